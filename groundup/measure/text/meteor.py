"""METEOR: matched words of answer and reference, by form, by stem and by synonym, in order.

    F = P · R / (α · P + (1 - α) · R)       penalty = γ · (chunks / matches)^β
    METEOR = (1 - penalty) · F

A chunk is a run of matches that neighbour each other in both texts. Which words are matched decides
the number of chunks, and there implementations part. The presets:

    nltk            what NLTK computes. Each stage takes the last free word first, whatever that
                    does to chunks, and looks up the synonyms of stems: few stems are words.
    banerjee-2005   as the paper means it: the same α, β, γ; among the alignments with the most
                    exact, then stem, then synonym matches one with the fewest chunks.
    lavie-2007      the same with α, β, γ tuned to English judgements.

So a METEOR without its preset and tokeniser says little.
Source: Banerjee and Lavie 2005, W05-0909; Lavie and Agarwal 2007, W07-0734. `nltk` is equal to
NLTK, see docs/agreement.md.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from typing import Literal, NamedTuple

from pydantic import Field

from groundup.core import Config, Reason

from .stem import stem
from .tokenisers import TOKENISERS, TokeniserName
from .units import no_reference
from .wordnet import senses, synonyms

Preset = Literal["nltk", "banerjee-2005", "lavie-2007"]
Match = tuple[int, int]
"""Place in the answer, place in the reference."""


class Meteor(Config):
    """METEOR with everything that moves it; scores lie between 0 and 1.

    >>> meteor = METEOR["banerjee-2005"]
    >>> round(meteor.sentence("the cars were sold", ["the automobiles were sold"]), 4)
    0.9922
    >>> round(meteor.sentence("sold were the cars", ["the automobiles were sold"]), 4)
    0.7891
    """

    alpha: float = Field(default=0.9, ge=0, le=1)
    """Weight of recall: 0.9 weighs it nine times as much as precision."""
    beta: float = Field(default=3.0, ge=0)
    """How steeply the penalty grows with fragmentation."""
    gamma: float = Field(default=0.5, ge=0, le=1)
    """Largest penalty."""
    alignment: Literal["fewest_chunks", "nltk"] = "fewest_chunks"
    """Which of the possible matches are taken, and what is looked up in WordNet."""
    tokeniser: TokeniserName = "13a"
    """How texts are cut; afterwards all is lower case."""

    @property
    def signature(self) -> str:
        """Everything that moves the number."""
        return (
            f"meteor|alpha:{self.alpha:g}|beta:{self.beta:g}|gamma:{self.gamma:g}"
            f"|alignment:{self.alignment}|stages:exact,porter,wordnet-3.0"
            f"|tokeniser:{self.tokeniser}|case:lower|references:best|version:1"
        )

    def sentence(self, candidate: str, references: Sequence[str]) -> float | Reason:
        """METEOR of a text beside its best reference."""
        if missing := no_reference("METEOR", references):
            return missing
        cut = TOKENISERS[self.tokeniser]
        return self.tokens(cut(candidate), [cut(text) for text in references])

    def tokens(
        self, candidate: Sequence[str], references: Sequence[Sequence[str]]
    ) -> float | Reason:
        """METEOR of an answer and references that are cut already.

        Reason `empty_reference` if no reference has a token.
        """
        known = [[word.lower() for word in words] for words in references if words]
        if not known:
            return Reason("empty_reference", "The reference has no token to match.")
        answer = [word.lower() for word in candidate]
        return max(self.score(answer, reference) for reference in known)

    def score(self, answer: Sequence[str], reference: Sequence[str]) -> float:
        """METEOR of one answer and one reference in lower-case tokens."""
        align = last_first if self.alignment == "nltk" else fewest_chunks
        matches = align(answer, reference)
        if not matches:
            return 0.0
        precision, recall = len(matches) / len(answer), len(matches) / len(reference)
        mean = precision * recall / (self.alpha * precision + (1 - self.alpha) * recall)
        penalty = self.gamma * (count_chunks(matches) / len(matches)) ** self.beta
        return (1 - penalty) * mean


METEOR: dict[str, Meteor] = {
    "nltk": Meteor(alignment="nltk"),
    "banerjee-2005": Meteor(),
    "lavie-2007": Meteor(alpha=0.81, beta=0.83, gamma=0.28),
}


def count_chunks(matches: Sequence[Match]) -> int:
    """Runs of matches that neighbour each other in both texts; matches in the answer's order."""
    starts = sum(
        (i + 1, j + 1) != following for (i, j), following in zip(matches, matches[1:], strict=False)
    )
    return starts + bool(matches)


def last_first(answer: Sequence[str], reference: Sequence[str]) -> list[Match]:
    """NLTK's: stage by stage, from the answer's last word back, the last free word that fits.

    The third stage looks up stems and looks for stems, since those are what its second leaves.

    >>> last_first(["the", "cat"], ["the", "old", "the", "cat"])
    [(0, 2), (1, 3)]
    """
    found: list[Match] = []
    left, right = dict(enumerate(answer)), dict(enumerate(reference))
    for prepare, related in ((None, None), (stem, None), (None, synonyms)):
        if prepare:
            left = {i: prepare(word) for i, word in left.items()}
            right = {j: prepare(word) for j, word in right.items()}
        free: dict[str, list[int]] = defaultdict(list)
        for j, word in right.items():
            free[word].append(j)
        for i, word in reversed(left.items()):
            alike = related(word) if related else (word,)
            places = [free[other] for other in alike if free.get(other)]
            if places:
                found.append((i, max(places, key=lambda place: place[-1]).pop()))
        for i, j in found:
            left.pop(i, None)
            right.pop(j, None)
    return sorted(found)


class Partial(NamedTuple):
    """An alignment of the answer's first words; the greater is the better."""

    stages: tuple[int, int, int]
    """Exact, stem and synonym matches."""
    chunks: int
    """Minus the number of chunks."""
    used: int
    """Places of the reference that are taken, as bits."""
    last: int
    """Place matched by the answer's last word, -2 if it has none."""
    matches: tuple | None
    """The last match and, nested, those before."""


BEAM, WAYS = 64, 8


def fewest_chunks(answer: Sequence[str], reference: Sequence[str]) -> list[Match]:
    """Most exact, then stem, then synonym matches, in the fewest chunks.

    Goes through the answer's words and keeps the best BEAM alignments of those before, each going
    on its chunk or at the WAYS free places from where most words could follow: exact unless words
    that occur many times give more ways than that, since the problem itself is NP-hard.

    >>> fewest_chunks(["the", "cat"], ["the", "cat", "the"])
    [(0, 0), (1, 1)]
    """
    options = possible(answer, reference)
    beam = [Partial((0, 0, 0), 0, 0, -2, None)]
    for i in range(len(answer)):
        reached: dict[tuple[int, int], Partial] = {}
        for partial in beam:
            for following in continued(partial, i, options[i]):
                state = (following.used, following.last)
                if state not in reached or following[:2] > reached[state][:2]:
                    reached[state] = following
        beam = sorted(reached.values(), key=lambda partial: partial[:2], reverse=True)[:BEAM]
    found, matches = [], max(beam, key=lambda partial: partial[:2]).matches
    while matches:
        matches, match = matches
        found.append(match)
    return found[::-1]


def continued(partial: Partial, i: int, options: Sequence[tuple[int, int]]) -> Iterable[Partial]:
    """The alignment with the answer's word i matched in each possible way, and left out."""
    yield partial._replace(last=-2)
    ways = 0
    for stage, j in options:
        goes_on = j == partial.last + 1
        if not partial.used >> j & 1 and (goes_on or ways < WAYS):
            ways += not goes_on
            stages = list(partial.stages)
            stages[stage] += 1
            yield Partial(
                (stages[0], stages[1], stages[2]),
                partial.chunks - (not goes_on),
                partial.used | 1 << j,
                j,
                (partial.matches, (i, j)),
            )


def possible(answer: Sequence[str], reference: Sequence[str]) -> list[list[tuple[int, int]]]:
    """For each word of the answer: (first stage that allows it, place in the reference).

    Those from where most words could follow in one chunk come first.
    """
    places: dict[Hashable, list[int]] = defaultdict(list)
    for j, word in enumerate(reference):
        for key in (word, ("stem", stem(word)), *senses(word)):
            places[key].append(j)
    found: list[list[tuple[int, int]]] = []
    follow: dict[int, int] = {}
    for word in reversed(answer):
        ways: dict[int, int] = {}
        for stage, keys in enumerate(([word], [("stem", stem(word))], senses(word))):
            for key in keys:
                ways.update((j, stage) for j in places.get(key, ()) if j not in ways)
        follow = {j: 1 + follow.get(j + 1, 0) for j in sorted(ways)}
        found.append(sorted(((stage, j) for j, stage in ways.items()),
                            key=lambda way: (-follow[way[1]], way)))  # fmt: skip
    return found[::-1]
