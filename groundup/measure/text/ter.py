"""TER (translation edit rate): edit distance where moving a run of words is one edit.

    TER = (shifts + insertions + deletions + replacements) / words of the reference

Shifts are found greedily: repeatedly the one that saves most edits, among misplaced runs that occur
elsewhere in the reference. The optimum is NP-hard, so the search defines the metric: limits and tie
breaking are Tercom's.
Source: Snover et al. 2006, A Study of Translation Edit Rate. Departs from sacrebleu, which looks
for edits only 25 words around the diagonal: distances here are exact. See
docs/benchmarks/agreement.md.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from groundup.core import Config, Reason

from .edit import bit_columns, levenshtein
from .units import PUNCTUATION_RULES, missing_reference, unescape_entities

MAX_SHIFT_LENGTH, MAX_SHIFT_DISTANCE, MAX_SHIFTS_TRIED = 10, 50, 1000
MAX_SEARCH_CELLS = 10**8
"""Limit of words times words of the reference: seconds of search."""


class Ter(Config):
    """TER with all settings that affect it; 0 is right, above 100 is possible.

    >>> ter = Ter()
    >>> ter.counts("on the mat the cat sat", ["the cat sat on the mat"])      # one shift
    (1, 6.0)
    >>> round(ter.sentence("on the mat the cat sat", ["the cat sat on the mat"]), 2)
    16.67
    """

    normalised: bool = False
    """Whether punctuation is split from words, as Tercom does for Western languages."""
    punctuation: bool = True
    """Whether . , ? : ; ! " ( ) count."""
    case_sensitive: bool = False
    """Whether case counts."""

    @property
    def signature(self) -> str:
        """All settings that affect the score."""
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
            text = _tercom_normalise(text)
        return (text if self.punctuation else re.sub(r'[.,?:;!"()]', "", text)).split()

    def counts(self, candidate: str, references: Sequence[str]) -> tuple[int, float] | Reason:
        """(edits to the closest reference, mean length of the references)."""
        if missing := missing_reference("TER", references):
            return missing
        words, expected = self.tokens(candidate), [self.tokens(text) for text in references]
        lengths = list(map(len, expected))
        if len(words) * max(lengths) > MAX_SEARCH_CELLS:
            return Reason("too_long", f"{len(words)} words are too many to search for shifts.")
        edits = min(_count_edits_with_shifts(words, text) for text in expected)
        return edits, sum(lengths) / len(lengths)

    def from_counts(self, counts: Sequence[float]) -> float | Reason:
        """TER of counts or of their sums; Reason `empty_reference` if the references are empty."""
        number, length = counts
        if not length:
            return Reason("empty_reference", "The references have no word; TER is undefined.")
        return 100 * (number / length)

    def sentence(self, candidate: str, references: Sequence[str]) -> float | Reason:
        """TER of one answer."""
        counts = self.counts(candidate, references)
        return counts if isinstance(counts, Reason) else self.from_counts(counts)


def _tercom_normalise(text: str) -> str:
    """Tercom's normalisation: unescape entities, split off punctuation and the possessive 's."""
    text = unescape_entities(text.replace("\n-", "").replace("\n", " "))
    (marks, around), *others = PUNCTUATION_RULES
    text = marks.sub(around, f" {text} ").replace("'s ", " 's ")
    for pattern, replacement in others:
        text = pattern.sub(replacement, text)
    return text


def _count_edits_with_shifts(words: Sequence[str], reference: Sequence[str]) -> int:
    if not reference:
        return len(words)
    words, shifts, tried = list(words), 0, 0
    while True:
        shift = _best_shift(words, reference, tried)
        tried += shift.tried
        if tried >= MAX_SHIFTS_TRIED or shift.gain <= 0:
            return shifts + levenshtein(words, reference)
        words, shifts = shift.words, shifts + 1


class Shift(NamedTuple):
    """A shift; greater is better."""

    gain: int
    """Edits saved."""
    length: int
    """Number of words moved; longer is better."""
    start: int
    """Minus the source index; earlier is better."""
    target: int
    """Minus the target index; earlier is better."""
    words: list[str]
    """The words after the shift."""
    tried: int = 0
    """Number of shifts evaluated."""


def _best_shift(words: list[str], reference: Sequence[str], tried: int) -> Shift:
    path = AlignmentPath(words, reference)
    best, evaluated = Shift(0, 0, 0, 0, words), 0
    for start, index, length in _movable_runs(words, reference):
        is_right = not any(path.wrong_word[start : start + length])
        is_covered = not any(path.uncovered[index : index + length])
        if is_right or is_covered or start <= path.partner[index] < start + length:
            continue
        for target in dict.fromkeys(path.targets(index, length)):
            moved = _apply_shift(words, start, length, target)
            gain = path.distance - levenshtein(moved, reference)
            evaluated += 1
            candidate = Shift(gain, length, -start, -target, moved)
            if not best.length or candidate > best:
                best = candidate
        if tried + evaluated >= MAX_SHIFTS_TRIED:
            break
    return best._replace(tried=evaluated)


def _movable_runs(words: Sequence[str], reference: Sequence[str]) -> Iterator[tuple[int, int, int]]:
    """Yield (start, reference index, length) of every run of words shared with the reference."""
    positions: dict[str, list[int]] = {}
    for index, word in enumerate(reference):
        positions.setdefault(word, []).append(index)
    for start, word in enumerate(words):
        for index in positions.get(word, ()):
            if abs(index - start) > MAX_SHIFT_DISTANCE:
                continue
            most = min(MAX_SHIFT_LENGTH, len(words) - start, len(reference) - index)
            for length in range(1, most + 1):
                if words[start + length - 1] != reference[index + length - 1]:
                    break
                yield start, index, length


def _apply_shift(words: list[str], start: int, length: int, target: int) -> list[str]:
    """Move a run of words before `target`, an index into the original words.

    A target inside the run, or just after it, is an index into the remaining words.

    >>> _apply_shift(["a", "b", "c", "d"], 2, 2, 0), _apply_shift(["a", "b", "c", "d"], 0, 1, 3)
    (['c', 'd', 'a', 'b'], ['b', 'c', 'a', 'd'])
    """
    run, rest = words[start : start + length], words[:start] + words[start + length :]
    index = target - length if target > start + length else target
    return rest[:index] + run + rest[index:]


class AlignmentPath:
    """The alignment of words with a reference, used to select shifts."""

    def __init__(self, words: Sequence[str], reference: Sequence[str]) -> None:
        self.distance = levenshtein(words, reference)
        self.wrong_word = [True] * len(words)
        """Words that are replaced or deleted."""
        self.uncovered = [True] * len(reference)
        """Positions of the reference whose word is missing."""
        self.partner = [-1] * len(reference)
        """For each reference position the index of its aligned word, or of the last word before."""
        for j, is_paired, i in self.walk(words, reference):
            self.partner[j] = i - (0 if is_paired else 1)
            if is_paired and words[i] == reference[j]:
                self.wrong_word[i] = self.uncovered[j] = False

    def walk(
        self, words: Sequence[str], reference: Sequence[str]
    ) -> Iterator[tuple[int, bool, int]]:
        """Yield (reference index, whether a word is aligned, words before it), last first.

        Ties: pairing comes before deleting a word.
        """
        table = list(bit_columns(words, reference))
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

    def targets(self, index: int, length: int) -> Iterator[int]:
        """Targets of a run that matches the reference at `index`: before it, or after each word."""
        for at in range(index - 1, min(index + length, len(self.partner))):
            yield 0 if at < 0 else self.partner[at] + 1
