"""METEOR: matched words of answer and reference, by form, by stem and by synonym, in order.

    F = P · R / (α · P + (1 - α) · R)       penalty = γ · (chunks / matches)^β
    METEOR = (1 - penalty) · F

A chunk is a run of matches that are adjacent in both texts. Which words are matched determines the
number of chunks, and implementations differ there. The presets:

    nltk            equal to NLTK. Each stage matches the last free word first, regardless of
                    chunks, and looks up synonyms of stems, few of which are words.
    banerjee-2005   as in the paper: the same α, β, γ; among the alignments with the most exact,
                    then stem, then synonym matches one with the fewest chunks.
    lavie-2007      the same with α, β, γ tuned to English judgements.

So a METEOR score without its preset and tokeniser is not comparable.
Source: Banerjee and Lavie 2005, W05-0909; Lavie and Agarwal 2007, W07-0734. `nltk` is equal to
NLTK, see docs/benchmarks/agreement.md.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from typing import Literal, NamedTuple

from pydantic import Field

from groundup.core import Config, Reason

from .stem import porter_stem
from .units import TOKENISERS, TokeniserName, missing_reference
from .wordnet import synonyms, synset_ids

MeteorPreset = Literal["nltk", "banerjee-2005", "lavie-2007"]
WordMatch = tuple[int, int]
"""Index in the answer, index in the reference."""


class Meteor(Config):
    """METEOR with all settings that affect it; scores lie between 0 and 1.

    >>> meteor = METEOR_PRESETS["banerjee-2005"]
    >>> round(meteor.sentence("the cars were sold", ["the automobiles were sold"]), 4)
    0.9922
    >>> round(meteor.sentence("sold were the cars", ["the automobiles were sold"]), 4)
    0.7891
    """

    alpha: float = Field(default=0.9, ge=0, le=1)
    """Weight of recall: 0.9 weighs it nine times as much as precision."""
    beta: float = Field(default=3.0, ge=0)
    """Exponent of the fragmentation penalty."""
    gamma: float = Field(default=0.5, ge=0, le=1)
    """Maximum penalty."""
    alignment: Literal["fewest_chunks", "nltk"] = "fewest_chunks"
    """Which matches are selected, and what is looked up in WordNet."""
    tokeniser: TokeniserName = "13a"
    """How texts are tokenised before lower-casing."""

    @property
    def signature(self) -> str:
        """All settings that affect the score."""
        return (
            f"meteor|alpha:{self.alpha:g}|beta:{self.beta:g}|gamma:{self.gamma:g}"
            f"|alignment:{self.alignment}|stages:exact,porter,wordnet-3.0"
            f"|tokeniser:{self.tokeniser}|case:lower|references:best|version:1"
        )

    def sentence(self, candidate: str, references: Sequence[str]) -> float | Reason:
        """METEOR of a text against its best reference."""
        if missing := missing_reference("METEOR", references):
            return missing
        tokenise = TOKENISERS[self.tokeniser]
        return self.tokens(tokenise(candidate), [tokenise(text) for text in references])

    def tokens(
        self, candidate: Sequence[str], references: Sequence[Sequence[str]]
    ) -> float | Reason:
        """METEOR of a tokenised answer and references.

        Reason `empty_reference` if no reference has a token.
        """
        lowered = [[word.lower() for word in words] for words in references if words]
        if not lowered:
            return Reason("empty_reference", "The reference has no token to match.")
        answer = [word.lower() for word in candidate]
        return max(self.score(answer, reference) for reference in lowered)

    def score(self, answer: Sequence[str], reference: Sequence[str]) -> float:
        """METEOR of one answer and one reference in lower-case tokens."""
        align = _align_as_nltk if self.alignment == "nltk" else _align_fewest_chunks
        matches = align(answer, reference)
        if not matches:
            return 0.0
        precision, recall = len(matches) / len(answer), len(matches) / len(reference)
        mean = precision * recall / (self.alpha * precision + (1 - self.alpha) * recall)
        penalty = self.gamma * (_count_chunks(matches) / len(matches)) ** self.beta
        return (1 - penalty) * mean


METEOR_PRESETS: dict[str, Meteor] = {
    "nltk": Meteor(alignment="nltk"),
    "banerjee-2005": Meteor(),
    "lavie-2007": Meteor(alpha=0.81, beta=0.83, gamma=0.28),
}


def _count_chunks(matches: Sequence[WordMatch]) -> int:
    """Number of runs of matches that are adjacent in both texts; matches in the answer's order."""
    starts = sum(
        (i + 1, j + 1) != following for (i, j), following in zip(matches, matches[1:], strict=False)
    )
    return starts + bool(matches)


def _align_as_nltk(answer: Sequence[str], reference: Sequence[str]) -> list[WordMatch]:
    """NLTK's alignment: per stage, from the answer's last word, the last free matching word.

    The third stage looks up synonyms of stems, because the second replaced the words by stems.

    >>> _align_as_nltk(["the", "cat"], ["the", "old", "the", "cat"])
    [(0, 2), (1, 3)]
    """
    matches: list[WordMatch] = []
    left, right = dict(enumerate(answer)), dict(enumerate(reference))
    for prepare, related in ((None, None), (porter_stem, None), (None, synonyms)):
        if prepare:
            left = {i: prepare(word) for i, word in left.items()}
            right = {j: prepare(word) for j, word in right.items()}
        free: dict[str, list[int]] = defaultdict(list)
        for j, word in right.items():
            free[word].append(j)
        for i, word in reversed(left.items()):
            alike = related(word) if related else (word,)
            positions = [free[other] for other in alike if free.get(other)]
            if positions:
                matches.append((i, max(positions, key=lambda indices: indices[-1]).pop()))
        for i, j in matches:
            left.pop(i, None)
            right.pop(j, None)
    return sorted(matches)


class PartialAlignment(NamedTuple):
    """A partial alignment of the answer's first words; greater is better."""

    stages: tuple[int, int, int]
    """Numbers of exact, stem and synonym matches."""
    chunks: int
    """Minus the number of chunks."""
    used: int
    """Matched positions of the reference, as bits."""
    last: int
    """Reference position matched by the answer's last word, -2 if none."""
    matches: tuple | None
    """Linked list of matches, last one first."""


BEAM_WIDTH, MAX_BRANCHES = 64, 8


def _align_fewest_chunks(answer: Sequence[str], reference: Sequence[str]) -> list[WordMatch]:
    """Most exact, then stem, then synonym matches, in the fewest chunks, by beam search.

    Each of the BEAM best partial alignments continues its chunk or branches to the WAYS free
    positions with the longest possible chunk. Exact unless frequent words exceed these limits; the
    problem is NP-hard.

    >>> _align_fewest_chunks(["the", "cat"], ["the", "cat", "the"])
    [(0, 0), (1, 1)]
    """
    options = _match_options(answer, reference)
    beam = [PartialAlignment((0, 0, 0), 0, 0, -2, None)]
    for i in range(len(answer)):
        reached: dict[tuple[int, int], PartialAlignment] = {}
        for partial in beam:
            for following in _extend_alignment(partial, i, options[i]):
                state = (following.used, following.last)
                if state not in reached or following[:2] > reached[state][:2]:
                    reached[state] = following
        beam = sorted(reached.values(), key=lambda partial: partial[:2], reverse=True)[:BEAM_WIDTH]
    path, matches = [], max(beam, key=lambda partial: partial[:2]).matches
    while matches:
        matches, match = matches
        path.append(match)
    return path[::-1]


def _extend_alignment(
    partial: PartialAlignment, i: int, options: Sequence[tuple[int, int]]
) -> Iterable[PartialAlignment]:
    """Extend the alignment by each possible match of the answer's word i, and by none."""
    yield partial._replace(last=-2)
    branches = 0
    for stage, j in options:
        continues = j == partial.last + 1
        if not partial.used >> j & 1 and (continues or branches < MAX_BRANCHES):
            branches += not continues
            stages = list(partial.stages)
            stages[stage] += 1
            yield PartialAlignment(
                (stages[0], stages[1], stages[2]),
                partial.chunks - (not continues),
                partial.used | 1 << j,
                j,
                (partial.matches, (i, j)),
            )


def _match_options(answer: Sequence[str], reference: Sequence[str]) -> list[list[tuple[int, int]]]:
    """For each word of the answer: (first stage that allows it, position in the reference).

    Those with the longest possible chunk come first.
    """
    positions: dict[Hashable, list[int]] = defaultdict(list)
    for j, word in enumerate(reference):
        for key in (word, ("stem", porter_stem(word)), *synset_ids(word)):
            positions[key].append(j)
    options: list[list[tuple[int, int]]] = []
    chunk: dict[int, int] = {}
    for word in reversed(answer):
        stages: dict[int, int] = {}
        for stage, keys in enumerate(([word], [("stem", porter_stem(word))], synset_ids(word))):
            for key in keys:
                stages.update((j, stage) for j in positions.get(key, ()) if j not in stages)
        chunk = {j: 1 + chunk.get(j + 1, 0) for j in sorted(stages)}
        options.append(sorted(((stage, j) for j, stage in stages.items()),
                              key=lambda option: (-chunk[option[1]], option)))  # fmt: skip
    return options[::-1]
