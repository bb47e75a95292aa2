"""TER: edits a post-editor would make, where moving a run of words anywhere is one edit.

    TER = (shifts + insertions + deletions + replacements) / words of the reference

Which shifts are made is a greedy search: again and again the one that leaves fewest edits, among
runs that the reference has elsewhere and that are wrong where they stand. Finding the fewest is
NP-hard, so the search is the measure: limits and the choice between equals are Tercom's.
Source: Snover et al. 2006, A Study of Translation Edit Rate. Departs from sacrebleu, which looks
for edits only 25 words around the diagonal: distances here are exact. See docs/agreement.md.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from groundup.core import Config, Reason

from .edit import columns, levenshtein
from .tokenisers import MARKS_APART, unescaped
from .units import no_reference

LONGEST_RUN, FARTHEST, MOST_TRIED = 10, 50, 1000
MOST_CELLS = 10**8
"""Longest texts, words times words of the reference: seconds of search."""


class Ter(Config):
    """TER with everything that moves it; 0 is right, above 100 is possible.

    >>> ter = Ter()
    >>> ter.counts("on the mat the cat sat", ["the cat sat on the mat"])      # one shift
    (1, 6.0)
    >>> round(ter.sentence("on the mat the cat sat", ["the cat sat on the mat"]), 2)
    16.67
    """

    normalised: bool = False
    """Whether marks are cut from words, as Tercom does for Western languages."""
    punctuation: bool = True
    """Whether . , ? : ; ! " ( ) count."""
    case_sensitive: bool = False
    """Whether case counts."""

    @property
    def signature(self) -> str:
        """Everything that moves the number."""
        return (
            f"ter|case:{'mixed' if self.case_sensitive else 'lower'}|tokeniser:tercom"
            f"|normalised:{'yes' if self.normalised else 'no'}"
            f"|punctuation:{'yes' if self.punctuation else 'no'}"
            "|references:best|scale:100|version:1"
        )

    def tokens(self, text: str) -> list[str]:
        """The text's words."""
        text = text.rstrip() if self.case_sensitive else text.rstrip().lower()
        if self.normalised:
            text = tercom(text)
        return (text if self.punctuation else re.sub(r'[.,?:;!"()]', "", text)).split()

    def counts(self, candidate: str, references: Sequence[str]) -> tuple[int, float] | Reason:
        """(edits to the nearest reference, mean length of the references)."""
        if missing := no_reference("TER", references):
            return missing
        words, known = self.tokens(candidate), [self.tokens(text) for text in references]
        if len(words) * max(map(len, known)) > MOST_CELLS:
            return Reason("too_long", f"{len(words)} words are too many to search for shifts.")
        return min(edits(words, text) for text in known), sum(map(len, known)) / len(known)

    def of(self, counts: Sequence[float]) -> float | Reason:
        """TER of counts or of their sums; Reason `empty_reference` if no word was asked."""
        made, asked = counts
        if not asked:
            return Reason("empty_reference", "The references have no word; TER is undefined.")
        return 100 * (made / asked)

    def sentence(self, candidate: str, references: Sequence[str]) -> float | Reason:
        """TER of one answer."""
        found = self.counts(candidate, references)
        return found if isinstance(found, Reason) else self.of(found)


def tercom(text: str) -> str:
    """Tercom's own normalisation: escapes resolved, marks and the possessive 's apart."""
    text = unescaped(text.replace("\n-", "").replace("\n", " "))
    (marks, around), *others = MARKS_APART
    text = marks.sub(around, f" {text} ").replace("'s ", " 's ")
    for pattern, replacement in others:
        text = pattern.sub(replacement, text)
    return text


def edits(words: Sequence[str], reference: Sequence[str]) -> int:
    """Shifts made, and the distance that is left after them."""
    if not reference:
        return len(words)
    words, shifts, tried = list(words), 0, 0
    while True:
        found = best_shift(words, reference, tried)
        tried += found.tried
        if tried >= MOST_TRIED or found.gain <= 0:
            return shifts + levenshtein(words, reference)
        words, shifts = found.words, shifts + 1


class Shift(NamedTuple):
    """A shift; the greater is the better."""

    gain: int
    """Edits saved."""
    length: int
    """Words moved; longer before shorter."""
    start: int
    """Minus where from; earlier before later."""
    target: int
    """Minus where to; earlier before later."""
    words: list[str]
    """The words after it."""
    tried: int = 0
    """Shifts looked at."""


def best_shift(words: list[str], reference: Sequence[str], tried: int) -> Shift:
    """The shift that saves most, of those worth trying."""
    path = Path(words, reference)
    best, looked = Shift(0, 0, 0, 0, words), 0
    for start, place, length in runs_elsewhere(words, reference):
        is_right = not any(path.wrong_word[start : start + length])
        is_served = not any(path.wrong_place[place : place + length])
        if is_right or is_served or start <= path.partner[place] < start + length:
            continue
        for target in dict.fromkeys(path.targets(place, length)):
            moved = shifted(words, start, length, target)
            gain = path.distance - levenshtein(moved, reference)
            looked += 1
            candidate = Shift(gain, length, -start, -target, moved)
            if not best.length or candidate > best:
                best = candidate
        if tried + looked >= MOST_TRIED:
            break
    return best._replace(tried=looked)


def runs_elsewhere(
    words: Sequence[str], reference: Sequence[str]
) -> Iterator[tuple[int, int, int]]:
    """Yield (start, place, length) of every run of words that the reference has too."""
    standing: dict[str, list[int]] = {}
    for place, word in enumerate(reference):
        standing.setdefault(word, []).append(place)
    for start, word in enumerate(words):
        for place in standing.get(word, ()):
            if abs(place - start) > FARTHEST:
                continue
            most = min(LONGEST_RUN, len(words) - start, len(reference) - place)
            for length in range(1, most + 1):
                if words[start + length - 1] != reference[place + length - 1]:
                    break
                yield start, place, length


def shifted(words: list[str], start: int, length: int, target: int) -> list[str]:
    """The words with a run moved to before `target`, counted as if it still stood.

    A target inside the run, or just after it, counts from the words that are left.

    >>> shifted(["a", "b", "c", "d"], 2, 2, 0), shifted(["a", "b", "c", "d"], 0, 1, 3)
    (['c', 'd', 'a', 'b'], ['b', 'c', 'a', 'd'])
    """
    run, rest = words[start : start + length], words[:start] + words[start + length :]
    place = target - length if target > start + length else target
    return rest[:place] + run + rest[place:]


class Path:
    """The alignment of words with a reference, from which shifts are judged."""

    def __init__(self, words: Sequence[str], reference: Sequence[str]) -> None:
        self.distance = levenshtein(words, reference)
        self.wrong_word = [True] * len(words)
        """Words that are replaced or deleted."""
        self.wrong_place = [True] * len(reference)
        """Places of the reference whose word is missing."""
        self.partner = [-1] * len(reference)
        """For each place the word that stands for it, or the last word before it."""
        for j, is_paired, i in self.walk(words, reference):
            self.partner[j] = i - (0 if is_paired else 1)
            if is_paired and words[i] == reference[j]:
                self.wrong_word[i] = self.wrong_place[j] = False

    def walk(
        self, words: Sequence[str], reference: Sequence[str]
    ) -> Iterator[tuple[int, bool, int]]:
        """Yield (place, whether a word stands for it, words before it), last place first.

        Of equally short ways the one that pairs, then the one that deletes a word, is taken.
        """
        table = list(columns(words, reference))
        i, j = len(words), len(reference)
        while j:
            column, bit = table[j - 1], 1 << (i - 1) if i else 0
            down = bool(column.up & bit) - bool(column.down & bit)
            right = 1 if i < 2 else bool(column.grows & bit >> 1) - bool(column.shrinks & bit >> 1)
            if i and (words[i - 1] == reference[j - 1] or down + right == 1):
                i, j = i - 1, j - 1
                yield j, True, i
            elif i and down == 1:
                i -= 1
            else:
                j -= 1
                yield j, False, i

    def targets(self, place: int, length: int) -> Iterator[int]:
        """Where a run that belongs at `place` could go: before it, or after each of its words."""
        for at in range(place - 1, min(place + length, len(self.partner))):
            yield 0 if at < 0 else self.partner[at] + 1
