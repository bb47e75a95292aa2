"""The matching rule of decontamination: when does a corpus text contain a test sample's text?

    n words and more   any (or a share) of its n-grams occurs in the corpus text
    8 to n - 1         the complete text occurs
    4 to 7             the text occurs between line or sentence ends or similar boundaries, as in
                       `Q: …?`, `1. …`, `| … |`, `"…"` (questions only, since answers are words)
    shorter            cannot be matched, and is counted

Words are folded (case, accents, zero-width characters; not digits). testsets.py keeps an index on
disk that workers map; lineage.py builds one in memory. Knows nothing of records.
Source: Brown et al. 2020, arXiv:2005.14165, appendix C (13-grams); Chowdhery et al. 2022,
arXiv:2204.02311, §8 (70 % of 8-grams).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

import numpy as np

from groundup.core import Sample

from ..dedup.sketch import (
    SKIP_CODE,
    HashedTokens,
    fold_table,
    hash_tokens,
    mix64,
    ngram_hashes,
    pack_strings,
)

NGRAM_WORDS, MIN_WORDS_ANYWHERE, MIN_WORDS_BOUNDED = 13, 8, 4
"""Words of an n-gram; minimum words of a text that is matched anywhere, and of one that is matched
between boundaries."""
BOUNDED_LENGTH = 10_000
"""Represents the length of texts that are matched between boundaries."""
BOUNDARY_CHARACTERS = '\n\r\t.?!:;|"“”„«»‹›()[]{}<>*#=…–—•·¿¡。？！：；「」『』'
"""Boundaries of sentences, cells and quotations; not commas, hyphens or apostrophes."""
ZERO_WIDTH_CHARACTERS = (0xAD, 0x34F, 0x61C, 0x180E, *range(0x200B, 0x2010), *range(0x202A, 0x202F),
          *range(0x2060, 0x2065), *range(0xFE00, 0xFE10), 0xFEFF)  # fmt: skip
"""Zero-width characters, which do not separate words: soft hyphens, joiners, direction marks."""
FILTER_BITS_PER_KEY = 16


class SampleText(NamedTuple):
    """A text of a test sample."""

    testset: str
    sample: str
    grams: int
    """Number of its distinct hashes."""


class SampleMatch(NamedTuple):
    """A match of a sample's text in a record."""

    start: int
    """First token of the match."""
    end: int
    item: SampleText


class NgramIndex(NamedTuple):
    """Sorted hashes of all sample texts."""

    keys: np.ndarray
    owners: np.ndarray
    """Index into `items` of each key."""
    filter: np.ndarray
    """Prefilter by the keys' leading bits, which rejects most n-grams."""
    items: list[SampleText]
    lengths: list[int]
    """N-gram lengths to hash; includes BOUNDED if there are texts matched between boundaries."""
    too_short: dict[str, int]
    """By test set, the number of samples whose texts are all too short to match."""

    def find_matches(
        self, text: str, tokens: HashedTokens, share: float = 0.0
    ) -> list[SampleMatch]:
        """Matches of all sample texts that the text contains, in text order.

        tokens  tokens of the text by `match_fold_table`
        share   minimum share of a sample text's n-grams; 0: a single one
        """
        hits: dict[int, set[int]] = defaultdict(set)
        matches: list[tuple[int, int, int]] = []
        shift = _filter_shift(self.filter)
        for length in self.lengths:
            is_short = length == BOUNDED_LENGTH
            starts, ends, keys = (
                _bounded_keys(text, tokens) if is_short else _ngram_keys(tokens, length)
            )
            for row in np.flatnonzero(self.filter[keys >> shift]).tolist():
                low, high = (np.searchsorted(self.keys, keys[row], s) for s in ("left", "right"))
                for owner in self.owners[low:high].tolist():
                    hits[owner].add(int(keys[row]))
                    matches.append((int(starts[row]), int(ends[row]), owner))
        enough = {
            owner
            for owner, own in hits.items()
            if len(own) >= max(1, share * self.items[owner].grams)
        }
        return [
            SampleMatch(a, b, self.items[owner])
            for a, b, owner in sorted(matches)
            if owner in enough
        ]


def _filter_shift(bits: np.ndarray) -> np.uint64:
    """Right shift that maps a key to its bit in a filter."""
    return np.uint64(64 - (len(bits).bit_length() - 1))


def build_ngram_index(
    samples: Iterable[tuple[str, str, list[str]]], gram: int = NGRAM_WORDS
) -> NgramIndex:
    """Build the index of samples: (test set, id, texts with the question first).

    >>> asked = "In which year did the first ship of the line leave the harbour?"
    >>> index = build_ngram_index([("exam", "1", [asked, "1847"])])
    >>> text = f"Tell {asked.lower()}"
    >>> [match.item.sample for match in index.find_matches(text, match_tokens(text))]
    ['1']
    """
    items, lengths = list[SampleText](), set[int]()
    keys, owners = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint32)]
    short: Counter[str] = Counter()
    for testset, sample, texts in samples:
        indexed = 0
        for position, text in enumerate(texts):
            words = match_tokens(text).hashes
            count = len(words)
            if count < MIN_WORDS_BOUNDED or (count < MIN_WORDS_ANYWHERE and position > 0):
                continue
            length = BOUNDED_LENGTH if count < MIN_WORDS_ANYWHERE else min(gram, count)
            own = np.unique(mix64(ngram_hashes(words, min(count, length)) + np.uint64(length)))
            keys.append(own)
            owners.append(np.full(len(own), len(items), np.uint32))
            items.append(SampleText(testset, sample, len(own)))
            lengths.add(length)
            indexed += 1
        short[testset] += not indexed
    every, whose = np.concatenate(keys), np.concatenate(owners)
    bits = np.zeros(1 << max(16, (FILTER_BITS_PER_KEY * len(every)).bit_length()), bool)
    bits[every >> _filter_shift(bits)] = True
    order = np.lexsort((whose, every))
    return NgramIndex(every[order], whose[order], bits, items, sorted(lengths), dict(+short))


def sample_texts(sample: Sample) -> list[str]:
    """The texts of a sample: its messages, the last first, and its references.

    System messages are omitted: they are shared by all samples and by many conversations.
    """
    asked = [turn.content for turn in sample.conversation[::-1] if turn.role != "system"]
    return [*asked, *sample.references]


def match_tokens(text: str) -> HashedTokens:
    """Folded words of a text."""
    return hash_tokens(pack_strings([text]), match_fold_table())


def _ngram_keys(found: HashedTokens, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(start, end, key) arrays of every n-gram of `length` tokens."""
    keys = mix64(ngram_hashes(found.hashes, length) + np.uint64(length))
    starts = np.arange(len(keys))
    return starts, starts + length, keys


def _bounded_keys(text: str, found: HashedTokens) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(start, end, key) arrays of every short run of words between two boundaries."""
    count = len(found.hashes)
    data = np.frombuffer(text.encode("utf-8", "replace"), np.uint8)
    before = np.concatenate([[0], np.cumsum(_boundary_starts(data))])  # boundaries before each byte
    is_edge = np.ones(count + 1, bool)
    is_edge[1:count] = before[found.starts[1:]] > before[found.ends[:-1]]
    starts, ends, keys = [], [], []
    for length in range(MIN_WORDS_BOUNDED, min(MIN_WORDS_ANYWHERE, count + 1)):
        own = np.flatnonzero(is_edge[: count - length + 1] & is_edge[length:])
        starts.append(own)
        ends.append(own + length)
        keys.append(mix64(ngram_hashes(found.hashes, length)[own] + np.uint64(BOUNDED_LENGTH)))
    if not keys:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint64)
    return np.concatenate(starts), np.concatenate(ends), np.concatenate(keys)


def _boundary_starts(data: np.ndarray) -> np.ndarray:
    """Whether a boundary character starts at each byte of UTF-8."""
    single, double, triple = _boundary_codes()
    is_bound = single[data]
    wide = np.flatnonzero(data >= 0xC0)
    if len(wide):
        padded = np.concatenate([data, np.zeros(2, np.uint8)]).astype(np.uint32)
        two = padded[wide] << np.uint32(8) | padded[wide + 1]
        three = two << np.uint32(8) | padded[wide + 2]
        is_bound[wide] = np.isin(two, double) | np.isin(three, triple)
    return is_bound


@cache
def _boundary_codes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boundary characters of one byte as a table, of two and three bytes as integers."""
    single, wide = np.zeros(256, bool), {2: list[int](), 3: list[int]()}
    for sign in BOUNDARY_CHARACTERS:
        code = sign.encode()
        if len(code) == 1:
            single[code[0]] = True
        else:
            wide[len(code)].append(int.from_bytes(code))
    return single, np.array(wide[2], np.uint32), np.array(wide[3], np.uint32)


@cache
def match_fold_table() -> np.ndarray:
    """Fold table of words; zero-width characters are ignored like accents."""
    table = fold_table(True, False).copy()
    table[list(ZERO_WIDTH_CHARACTERS)] = SKIP_CODE
    return table
