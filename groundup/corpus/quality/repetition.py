"""Repetition: how many characters of a text are in lines or n-grams that occurred before.

The counts equal those of plain loops over strings. Hashes of spans (Karp and Rabin's, modulo 2^64,
all at once) only show cheaply that a count cannot exceed its limit, which is nearly always so.
Knows nothing of thresholds; see rules.py.
"""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

BASE = np.uint64(0x9E3779B97F4A7C15)
INVERSE = np.uint64(pow(int(BASE), -1, 2**64))


class RepeatedItems(NamedTuple):
    """Count and characters of items that occurred before."""

    count: int
    characters: int


class WordSpans:
    """Words of a text joined without spaces, and hashes of any n-gram of them."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = words
        sizes = np.fromiter(map(len, words), dtype=np.int64, count=len(words))
        self.ends = np.cumsum(sizes)
        self.starts = self.ends - sizes

    @cached_property
    def hashes(self) -> tuple[np.ndarray, np.ndarray]:
        """Prefix sums of the characters' terms, and inverse powers of the base."""
        joined = "".join(self.words).encode("utf-32-le", "surrogatepass")
        signs = np.frombuffer(joined, dtype=np.uint32).astype(np.uint64) + np.uint64(1)
        powers = np.cumprod(np.full(len(signs), BASE))
        inverse = np.cumprod(np.full(len(signs) + 1, INVERSE))
        return np.concatenate([np.zeros(1, np.uint64), np.cumsum(signs * powers)]), inverse

    def ngram_hashes(self, n: int) -> np.ndarray:
        """A hash of each n-gram; equal joined strings have equal hashes."""
        sums, inverse = self.hashes
        starts = self.starts[: len(self.words) - n + 1]
        return (sums[self.ends[n - 1 :]] - sums[starts]) * inverse[starts]


def count_repeated(items: Sequence[str]) -> RepeatedItems:
    """Number and characters of items that occurred before.

    >>> count_repeated(["a", "bb", "a", "bb", "bb"])
    RepeatedItems(count=3, characters=5)
    """
    distinct = Counter(items)
    if len(distinct) == len(items):
        return RepeatedItems(0, 0)
    characters = sum(len(item) * (times - 1) for item, times in distinct.items() if times > 1)
    return RepeatedItems(len(items) - len(distinct), characters)


def top_ngram_characters(spans: WordSpans, n: int, enough: float) -> int:
    """Characters of the most frequent n-gram, including spaces between words, times its frequency.

    Of equally frequent ones the first in the text counts. If an upper bound is at most `enough`,
    the bound is returned instead.
    """
    if len(spans.words) < n:
        return 0
    hashes = np.sort(spans.ngram_hashes(n))
    edges = np.flatnonzero(np.concatenate([[True], hashes[1:] != hashes[:-1], [True]]))
    most = int(np.diff(edges).max())
    widest = int((spans.ends[n - 1 :] - spans.starts[: len(spans.words) - n + 1]).max()) + n - 1
    if most * widest <= enough:
        return most * widest
    words = spans.words
    top, times = Counter(zip(*(words[k:] for k in range(n)), strict=False)).most_common(1)[0]
    return (sum(map(len, top)) + n - 1) * times


def duplicate_ngram_characters(spans: WordSpans, n: int, enough: float) -> int:
    """Characters of n-grams that occurred before, taken from left to right without overlap.

    If an upper bound is at most `enough`, the bound is returned instead.
    """
    if len(spans.words) < n:
        return 0
    hashes = spans.ngram_hashes(n)
    ordered = np.sort(hashes)
    repeats = ordered[1:] == ordered[:-1]
    if not repeats.any():
        return 0
    first = np.unique(hashes, return_index=True)[1]
    is_repeated = np.ones(len(hashes), bool)
    is_repeated[first] = False
    positions = np.flatnonzero(is_repeated)
    starts, ends = spans.starts[positions], spans.ends[positions + n - 1]
    covered = int((ends - np.maximum(starts, np.concatenate([[0], ends[:-1]]))).sum())
    return covered if covered <= enough else _count_exactly(spans, hashes.tolist(), n)


def _count_exactly(spans: WordSpans, hashes: list[int], n: int) -> int:
    """The exact count, one n-gram after the other."""
    seen: set[int] = set()
    starts, ends = spans.starts.tolist(), spans.ends.tolist()
    characters = position = 0
    while position < len(hashes):
        if hashes[position] in seen:
            characters += ends[position + n - 1] - starts[position]
            position += n
        else:
            seen.add(hashes[position])
            position += 1
    return characters
