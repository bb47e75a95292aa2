"""Repetition: how many characters of a text stand in lines or n-grams that stood before.

The counts are those of the plain loops over strings; hashes of spans (Karp and Rabin's, modulo
2^64, all at once) only tell cheaply that a count cannot pass its limit, which is nearly always.
Knows nothing of thresholds; see rules.py.
"""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

BASE = np.uint64(0x9E3779B97F4A7C15)
INVERSE = np.uint64(pow(int(BASE), -1, 2**64))


class Again(NamedTuple):
    """Items that stood before."""

    count: int
    characters: int


class Spans:
    """Words of a text end to end, and hashes of any run of them."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = words
        sizes = np.fromiter(map(len, words), dtype=np.int64, count=len(words))
        self.ends = np.cumsum(sizes)
        self.starts = self.ends - sizes

    @cached_property
    def hashes(self) -> tuple[np.ndarray, np.ndarray]:
        """Sums of the characters' terms up to each character, and inverse powers."""
        joined = "".join(self.words).encode("utf-32-le", "surrogatepass")
        signs = np.frombuffer(joined, dtype=np.uint32).astype(np.uint64) + np.uint64(1)
        powers = np.cumprod(np.full(len(signs), BASE))
        inverse = np.cumprod(np.full(len(signs) + 1, INVERSE))
        return np.concatenate([np.zeros(1, np.uint64), np.cumsum(signs * powers)]), inverse

    def ngrams(self, n: int) -> np.ndarray:
        """A hash of each n-gram, equal where the joined strings are."""
        sums, inverse = self.hashes
        starts = self.starts[: len(self.words) - n + 1]
        return (sums[self.ends[n - 1 :]] - sums[starts]) * inverse[starts]


def duplicates(items: Sequence[str]) -> Again:
    """Number and characters of items that stood before.

    >>> duplicates(["a", "bb", "a", "bb", "bb"])
    Again(count=3, characters=5)
    """
    distinct = Counter(items)
    if len(distinct) == len(items):
        return Again(0, 0)
    characters = sum(len(item) * (times - 1) for item, times in distinct.items() if times > 1)
    return Again(len(items) - len(distinct), characters)


def top_characters(spans: Spans, n: int, enough: float) -> int:
    """Characters of the most frequent n-gram, spaces between words among them, by its frequency.

    Of equally frequent ones the first in the text counts. A bound that is no more than `enough`
    may be returned instead.
    """
    if len(spans.words) < n:
        return 0
    hashes = np.sort(spans.ngrams(n))
    edges = np.flatnonzero(np.concatenate([[True], hashes[1:] != hashes[:-1], [True]]))
    most = int(np.diff(edges).max())
    widest = int((spans.ends[n - 1 :] - spans.starts[: len(spans.words) - n + 1]).max()) + n - 1
    if most * widest <= enough:
        return most * widest
    words = spans.words
    top, times = Counter(zip(*(words[k:] for k in range(n)), strict=False)).most_common(1)[0]
    return (sum(map(len, top)) + n - 1) * times


def repeated_characters(spans: Spans, n: int, enough: float) -> int:
    """Characters of n-grams that stood before, taken from left to right without overlap.

    A bound that is no more than `enough` may be returned instead.
    """
    if len(spans.words) < n:
        return 0
    hashes = spans.ngrams(n)
    rising = np.sort(hashes)
    again = rising[1:] == rising[:-1]
    if not again.any():
        return 0
    first = np.unique(hashes, return_index=True)[1]
    stood = np.ones(len(hashes), bool)
    stood[first] = False
    places = np.flatnonzero(stood)
    starts, ends = spans.starts[places], spans.ends[places + n - 1]
    covered = int((ends - np.maximum(starts, np.concatenate([[0], ends[:-1]]))).sum())
    return covered if covered <= enough else walk(spans, hashes.tolist(), n)


def walk(spans: Spans, hashes: list[int], n: int) -> int:
    """The characters counted one n-gram after the other."""
    seen: set[int] = set()
    starts, ends = spans.starts.tolist(), spans.ends.tolist()
    characters = at = 0
    while at < len(hashes):
        if hashes[at] in seen:
            characters += ends[at + n - 1] - starts[at]
            at += n
        else:
            seen.add(hashes[at])
            at += 1
    return characters
