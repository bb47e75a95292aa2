"""Sketches of texts: hashed tokens, sets of shingles, and MinHash signatures.

A token is a run of letters and digits, folded (case, accents, optionally digits), or a single
character of a script without spaces (Chinese, Japanese, Thai …). So n-grams of tokens are word
n-grams in English and character n-grams in Chinese. A shingle is the hash of an n-gram. The numpy
functions are the reference; sketch.cpp computes identical numbers. Texts are in Arrow's layout:
concatenated UTF-8 with offsets. Knows nothing of records.
Source: Broder 1997 (shingles, MinHash); the folding follows datatrove, with our own tables.
"""

import ctypes
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from groundup.core import native

if TYPE_CHECKING:
    import pyarrow

HASH_FACTOR = np.uint64(0x9E3779B97F4A7C15)
SKIP_CODE, SINGLE_TOKEN_FLAG = 0xFFFFFFFF, 0x80000000
"""Codes of a fold table: ignored (accents); flag of a single-character token. 0 is a separator."""
TABLE_CODE_POINTS = 0x40000  # Code points in a fold table; higher ones are separators
UNSPACED_RANGES = (
    (0x0E00, 0x0F00), (0x1000, 0x10A0), (0x1780, 0x1800), (0x3040, 0x3100), (0x3400, 0x4DC0),
    (0x4E00, 0xA000), (0xF900, 0xFB00), (0x20000, 0x40000),
)  # fmt: skip
"""Thai and Lao, Burmese, Khmer, kana, and Chinese characters."""


class PackedTexts(NamedTuple):
    """Concatenated UTF-8 texts."""

    data: np.ndarray
    """uint8"""
    starts: np.ndarray
    """int64 (n + 1,) offsets: text i is data[starts[i] : starts[i + 1]]."""


class HashedTokens(NamedTuple):
    """Hashed tokens of some texts."""

    hashes: np.ndarray
    """uint64"""
    starts: np.ndarray
    """First byte of each token in its text."""
    ends: np.ndarray
    """One past the last byte."""
    bounds: np.ndarray
    """(n + 1,) offsets: text i has tokens bounds[i] : bounds[i + 1]."""


class ShingleSets(NamedTuple):
    """Sorted distinct shingles of each text."""

    items: np.ndarray
    """uint64"""
    bounds: np.ndarray
    """(n + 1,) offsets by text"""


class _MinHashSignatures(NamedTuple):
    minima: np.ndarray  # uint32 (n, hashes); the largest uint32 for a text without shingles
    shingles: np.ndarray  # Number of shingles of each text, duplicates included


def pack_strings(texts: Iterable[str]) -> PackedTexts:
    """Pack strings; a lone surrogate becomes a question mark."""
    encoded = [text.encode("utf-8", "replace") for text in texts]
    starts = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(text) for text in encoded], out=starts[1:])
    return PackedTexts(np.frombuffer(b"".join(encoded), np.uint8), starts)


def pack_arrow(column: "pyarrow.Array") -> PackedTexts:
    """Texts of an Arrow column without copying; null is an empty text."""
    if column.null_count:
        column = column.fill_null("")
    _, offsets, data = column.buffers()
    size = len(column) + 1
    if not len(column) or data is None:
        return PackedTexts(np.zeros(0, np.uint8), np.zeros(size, np.int64))
    starts = np.frombuffer(offsets, np.int32)[column.offset : column.offset + size]
    return PackedTexts(np.frombuffer(data, np.uint8), starts.astype(np.int64))


@cache
def fold_table(fold: bool = True, fold_digits: bool = True) -> np.ndarray:
    """Code of every code point, uint32: 0, SKIP, or the folded code point, optionally with ALONE.

    fold         fold to lower case without accents
    fold_digits  fold every digit to 0
    """
    table = np.zeros(TABLE_CODE_POINTS, np.uint32)
    for point in range(0x20000):
        letter = chr(point)
        kind = unicodedata.category(letter)
        if kind[0] not in "LNM":
            continue
        if 0x300 <= point < 0x370:
            table[point] = SKIP_CODE if fold else point
        elif kind == "Nd" and fold_digits:
            table[point] = ord("0")
        else:
            table[point] = point
            if fold:
                table[point] = ord(unicodedata.normalize("NFKD", letter.casefold())[0])
    table[ord("_")] = ord("_")
    for start, end in UNSPACED_RANGES:
        points = np.arange(start, end, dtype=np.uint32)
        own = np.where(table[start:end] > 0, table[start:end], points * np.uint32(start >= 0x20000))
        own = np.where(own == ord("0"), 0x0E50, own)  # a digit of such a script remains a token
        table[start:end] = np.where(own > 0, own | np.uint32(SINGLE_TOKEN_FLAG), 0)
    return table


def mix64(x: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64: each input bit affects all 64 output bits."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def hash_tokens(texts: PackedTexts, table: np.ndarray) -> HashedTokens:
    """Hash the tokens of texts, with their byte offsets."""
    code, count = _sketch_library(), len(texts.starts) - 1
    if code is None:
        by_string = [_hash_tokens_numpy(text, table) for text in unpack_strings(texts)]
        sizes = np.array([0, *(len(own.hashes) for own in by_string)])
        parts = zip(*(own[:3] for own in by_string), strict=True) if by_string else ([], [], [])
        dtypes = (np.uint64, np.int64, np.int64)
        joined = [
            np.concatenate(part) if len(part) else np.zeros(0, dtype)
            for part, dtype in zip(parts, dtypes, strict=True)
        ]
        return HashedTokens(joined[0], joined[1], joined[2], np.cumsum(sizes))
    most = int(texts.starts[-1] - texts.starts[0]) // 2 + count  # two tokens are two bytes apart
    hashes = np.empty(most, np.uint64)
    starts, ends = np.empty(most, np.int64), np.empty(most, np.int64)
    bounds = np.zeros(count + 1, np.int64)
    size = code.tokens(
        *_ctypes_arguments(texts, table),
        *map(native.data_pointer, (hashes, starts, ends, bounds[1:])),
    )
    return HashedTokens(hashes[:size].copy(), starts[:size].copy(), ends[:size].copy(), bounds)


def shingle_sets(texts: PackedTexts, table: np.ndarray, length: int) -> ShingleSets:
    """Sets of shingles of `length` tokens; empty for shorter texts.

    >>> shingle_sets(pack_strings(["one two three four", "one"]), fold_table(), 3).bounds.tolist()
    [0, 2, 2]
    """
    code, count = _sketch_library(), len(texts.starts) - 1
    if code is None:
        shingles = [
            np.unique(ngram_hashes(own, length))
            for own in _split_by_text(hash_tokens(texts, table))
        ]
        bounds = np.cumsum([0, *map(len, shingles)])
        return ShingleSets(np.concatenate([np.zeros(0, np.uint64), *shingles]), bounds)
    items = np.empty(int(texts.starts[-1] - texts.starts[0]), np.uint64)
    bounds = np.zeros(count + 1, np.int64)
    size = code.sets(
        *_ctypes_arguments(texts, table), length, *map(native.data_pointer, (items, bounds[1:]))
    )
    return ShingleSets(items[:size].copy(), bounds)


class SetIndex:
    """Inverted index of sets, to intersect another set with all of them."""

    def __init__(self, made: ShingleSets) -> None:
        self.sizes = np.diff(made.bounds)
        order = np.argsort(made.items, kind="stable")
        self.items = made.items[order]
        self.owners = np.repeat(np.arange(len(self.sizes)), self.sizes)[order]

    def intersection_sizes(self, items: np.ndarray) -> np.ndarray:
        """Size of the intersection with each set, int64 (sets,); `items` are distinct."""
        lows, highs = (np.searchsorted(self.items, items, side) for side in ("left", "right"))
        sizes = highs - lows
        matches = np.repeat(lows - np.cumsum(sizes) + sizes, sizes) + np.arange(sizes.sum())
        return np.bincount(self.owners[matches], minlength=len(self.sizes))

    def jaccards(self, items: np.ndarray) -> np.ndarray:
        """Jaccard similarity with each set."""
        common = self.intersection_sizes(items)
        return common / np.maximum(self.sizes + len(items) - common, 1)


def split_sets(made: ShingleSets) -> list[np.ndarray]:
    """Shingles of each text."""
    return np.split(made.items, made.bounds[1:-1]) if len(made.bounds) > 1 else []


def minhash_signatures(
    texts: PackedTexts, table: np.ndarray, length: int, hashes: int, seed: int = 1
) -> _MinHashSignatures:
    """MinHash under permutations x → (a·x + b) mod 2³² with odd a.

    The share of equal columns of two rows estimates the Jaccard similarity of the two sets.
    """
    factors, offsets = _hash_permutations(hashes, seed)
    code, count = _sketch_library(), len(texts.starts) - 1
    minima, shingles = np.full((count, hashes), SKIP_CODE, np.uint32), np.zeros(count, np.int64)
    if code is not None:
        given, results = (
            map(native.data_pointer, pair) for pair in ((factors, offsets), (minima, shingles))
        )
        code.signatures(*_ctypes_arguments(texts, table), length, *given, hashes, *results)
        return _MinHashSignatures(minima, shingles)
    for row, own in enumerate(_split_by_text(hash_tokens(texts, table))):
        short = (ngram_hashes(own, length) >> np.uint64(32)).astype(np.uint32)
        shingles[row] = len(short)
        for number in range(hashes if len(short) else 0):
            minima[row, number] = (short * factors[number] + offsets[number]).min()
    return _MinHashSignatures(minima, shingles)


@cache
def _hash_permutations(hashes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Odd factors and offsets, uint32: from Philox's raw stream, which numpy guarantees stable."""
    raw = np.random.Philox(key=seed).random_raw(2 * hashes)
    short = (raw >> np.uint64(32)).astype(np.uint32)
    return short[:hashes] | np.uint32(1), short[hashes:]


def intersection_sizes(rows: Sequence[np.ndarray], pairs: np.ndarray) -> np.ndarray:
    """Size of the intersection of the two rows of each pair.

    rows   sorted distinct uint64
    pairs  (n, 2) int64, indices into `rows`
    """
    code = _sketch_library()
    if code is None:
        common = [len(np.intersect1d(rows[a], rows[b], assume_unique=True)) for a, b in pairs]
        return np.array(common, np.int64)
    addresses = np.array([row.ctypes.data for row in rows], np.uint64)
    sizes = np.array([len(row) for row in rows], np.int64)
    pairs, counts = np.ascontiguousarray(pairs, np.int64), np.zeros(len(pairs), np.int64)
    given = map(native.data_pointer, (addresses, sizes, pairs))
    code.shared(*given, len(pairs), native.data_pointer(counts))
    return counts


def _hash_tokens_numpy(text: str, table: np.ndarray) -> HashedTokens:
    """Hash the tokens of one text: the reference."""
    points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    widths = 1 + (points >= 0x80) + (points >= 0x800) + (points >= 0x10000)
    stops = np.cumsum(widths)
    codes = np.where(points < len(table), table[np.minimum(points, len(table) - 1)], 0)
    index = np.arange(len(codes))
    real = np.maximum.accumulate(np.where(codes != SKIP_CODE, index, -1))  # the last non-accent
    state = np.where(real >= 0, codes[np.maximum(real, 0)], 0)
    is_alone = (codes & SINGLE_TOKEN_FLAG > 0) & (codes != SKIP_CODE)
    is_word = (state > 0) & (state & SINGLE_TOKEN_FLAG == 0)
    begins = (is_word & ~np.concatenate([[False], is_word[:-1]])) | is_alone
    inside = is_word | is_alone
    number = np.cumsum(begins)[inside] - 1
    own, size = index[inside], int(begins.sum())
    is_letter = codes[own] != SKIP_CODE
    letters, number_of = codes[own[is_letter]].astype(np.uint64), number[is_letter]
    counts = np.bincount(number_of, minlength=size)
    within = np.arange(len(letters)) - np.repeat(np.cumsum(counts) - counts, counts)
    mixed = mix64(letters + (within.astype(np.uint64) << np.uint64(32)))
    sums = np.add.reduceat(mixed, np.cumsum(counts) - counts) if size else mixed
    hashes = mix64(sums + counts.astype(np.uint64))
    starts = (stops - widths)[begins]
    last = np.zeros(size, np.int64)
    last[number] = own  # the last assignment wins
    return HashedTokens(hashes, starts, stops[last] if size else starts, np.array([0, size]))


def ngram_hashes(hashes: np.ndarray, length: int) -> np.ndarray:
    """Hashes of all n-grams of `length` tokens, in order."""
    count = len(hashes) - length + 1
    if count < 1:
        return np.zeros(0, np.uint64)
    sums = np.zeros(count, np.uint64)
    for shift in range(length):
        sums = sums * HASH_FACTOR + hashes[shift : shift + count]
    return mix64(sums)


def _split_by_text(found: HashedTokens) -> list[np.ndarray]:
    return np.split(found.hashes, found.bounds[1:-1]) if len(found.bounds) > 1 else []


def char_offsets(text: np.ndarray, byte_offsets: np.ndarray) -> np.ndarray:
    """Character offsets of byte offsets in a UTF-8 text.

    >>> char_offsets(np.frombuffer("né!".encode(), np.uint8), np.array([0, 3, 4])).tolist()
    [0, 2, 3]
    """
    before = np.zeros(len(text) + 1, np.int64)
    np.cumsum((text & 0xC0) != 0x80, out=before[1:])
    return before[byte_offsets]


def unpack_strings(texts: PackedTexts) -> list[str]:
    """Unpack texts into strings."""
    data = texts.data.tobytes()
    bounds = texts.starts.tolist()
    return [data[a:b].decode("utf-8") for a, b in zip(bounds, bounds[1:], strict=False)]


def _ctypes_arguments(texts: PackedTexts, table: np.ndarray) -> tuple[int | None, ...]:
    """Texts and table as C arguments; the arrays must outlive the call."""
    arrays = map(native.data_pointer, (texts.data, texts.starts))
    return *arrays, len(texts.starts) - 1, native.data_pointer(table), len(table)


@cache
def _declare_types(code: ctypes.CDLL) -> ctypes.CDLL:
    P, N = ctypes.c_void_p, ctypes.c_int64
    texts = [P, P, N, P, N]
    code.tokens.argtypes, code.tokens.restype = [*texts, P, P, P, P], N
    code.sets.argtypes, code.sets.restype = [*texts, N, P, P], N
    code.signatures.argtypes, code.signatures.restype = [*texts, N, P, P, N, P, P], None
    code.shared.argtypes, code.shared.restype = [P, P, P, N, P], None
    return code


def _sketch_library() -> ctypes.CDLL | None:
    """The C++ loops, or None without a compiler."""
    code = native.load_library(Path(__file__).with_suffix(".cpp"), "numpy, tens of times slower")
    return None if code is None else _declare_types(code)
