"""bpe.py in C++: counts pieces, learns merges and encodes on all cores, with identical ids.

The splitting patterns are loops over character classes; the classes come from the same `regex`
module that the reference uses. Counting stores distinct pieces only, so a corpus may be larger than
memory. Without a compiler callers fall back to the reference.
"""

import ctypes
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import regex
from jaxtyping import Int64, UInt8

from groundup.core import native

from .bpe import ALPHABET, BYTE_IDS, PATTERNS, BytePairs, Pair, well_formed

Item = TypeVar("Item")

CLASSES = {r"\p{L}": 1, r"\p{N}": 2, r"\s": 4, r"[\r\n]": 8}
BATCH_CHARACTERS = 2**22
"""Characters per counting batch: enough for all cores, little compared with the pieces."""
ROOM = 8
"""Spare ids in the output between one text's ids and the next's."""


class Joined(NamedTuple):
    """Texts concatenated as bytes."""

    bytes: bytes
    ends: Int64[np.ndarray, " texts"]


def library() -> ctypes.CDLL | None:
    """The compiled library, or None if it is not available."""
    code = native.library(Path(__file__).with_name("bpe.cpp"), "")
    if code is not None:
        code.counter_new.restype = code.encoder_new.restype = ctypes.c_void_p
        code.counter_learn.restype = ctypes.c_int64
    return code


@cache
def classes() -> UInt8[np.ndarray, " points"]:
    """Class bits of every code point: letter, number, white space, line end."""
    points = [*range(0xD800), *range(0xE000, 0x110000)]
    text, table = "".join(map(chr, points)), np.zeros(0x110000, np.uint8)
    point_array = np.array(points)
    for expression, bit in CLASSES.items():
        for run in regex.finditer(f"{expression}+", text):
            table[point_array[run.start() : run.end()]] |= bit
    return table


def joined(texts: Sequence[str]) -> Joined:
    """Concatenate well-formed texts in UTF-8."""
    encoded = [well_formed(text).encode("utf-8") for text in texts]
    return Joined(b"".join(encoded), np.cumsum([len(data) for data in encoded], dtype=np.int64))


def grouped(items: Iterable[Item], size: Callable[[Item], int], limit: int) -> Iterator[list[Item]]:
    """Batch items in order; a batch ends with the item that reaches the limit.

    >>> list(grouped(["ab", "c", "def", "g"], len, 3))
    [['ab', 'c'], ['def'], ['g']]
    """
    group, total = list[Item](), 0
    for item in items:
        group.append(item)
        total += size(item)
        if total >= limit:
            yield group
            group, total = [], 0
    if group:
        yield group


class Counter:
    """Counts the distinct pieces of texts. Requires `library`."""

    def __init__(self, pattern: str, threads: int) -> None:
        code = library()
        assert code is not None, "asked for without a compiler"
        self.code, self.threads = code, threads
        self.pattern = list(PATTERNS).index(pattern)
        self.handle = ctypes.c_void_p(code.counter_new())

    def __enter__(self) -> "Counter":
        return self

    def __exit__(self, *error: object) -> None:
        """Free the counts."""
        self.code.counter_free(self.handle)

    def add(self, texts: Iterable[str]) -> None:
        """Count the pieces of texts, each split separately."""
        for group in grouped(texts, len, BATCH_CHARACTERS):
            data, ends = joined(group)
            self.code.counter_add(
                self.handle, data, pointer(ends), long(len(ends)), pointer(classes()),
                ctypes.c_int32(self.pattern), long(self.threads),
            )  # fmt: skip

    def pieces(self) -> dict[bytes, int]:
        """The counts by piece."""
        pieces, size = ctypes.c_int64(), ctypes.c_int64()
        self.code.counter_sizes(self.handle, ctypes.byref(pieces), ctypes.byref(size))
        data = np.empty(size.value, np.uint8)
        ends, counts = np.empty(pieces.value, np.int64), np.empty(pieces.value, np.int64)
        self.code.counter_read(self.handle, pointer(data), pointer(ends), pointer(counts))
        buffer, starts = data.tobytes(), [0, *ends.tolist()]
        cut = (buffer[start:end] for start, end in zip(starts, ends.tolist(), strict=False))
        return dict(zip(cut, counts.tolist(), strict=True))

    def learn(self, merges: int) -> list[Pair]:
        """Learn merges as pairs of ids; fewer if every piece has become one token."""
        out = np.empty((merges, 2), np.int32)
        count = self.code.counter_learn(
            self.handle, pointer(byte_ids()), long(merges), pointer(out)
        )
        return [(left, right) for left, right in out[:count].tolist()]


def learn_merges(
    texts: Iterable[str], vocab_size: int, pattern: str, threads: int
) -> list[tuple[bytes, bytes]]:
    """Equivalent of `train_bpe`. Requires `library`."""
    tokens, merges = list(ALPHABET), list[tuple[bytes, bytes]]()
    with Counter(pattern, threads) as counter:
        counter.add(texts)
        for left, right in counter.learn(vocab_size - len(ALPHABET)):
            merges.append((tokens[left], tokens[right]))
            tokens.append(tokens[left] + tokens[right])
    return merges


class Encoder:
    """Encodes with given merges on any number of threads. Requires `library`."""

    def __init__(self, pairs: BytePairs, pattern: str) -> None:
        code = library()
        assert code is not None, "asked for without a compiler"
        self.code, self.pattern = code, list(PATTERNS).index(pattern)
        ids = pairs.ids
        table = np.array([(ids[a], ids[b]) for a, b in pairs.merges], np.int32).reshape(-1, 2)
        merged_ids = np.array([ids[a + b] for a, b in pairs.merges], np.int32)
        self.handle = ctypes.c_void_p(
            code.encoder_new(
                pointer(byte_ids()), pointer(table), pointer(merged_ids), long(len(merged_ids))
            )
        )

    def __del__(self) -> None:
        if hasattr(self, "handle"):
            self.code.encoder_free(self.handle)

    def encode(self, texts: Sequence[str], threads: int = 1) -> list[np.ndarray]:
        """Ids of each text, int32."""
        if not texts:
            return []
        data, ends = joined(texts)
        out = np.empty(len(data) + ROOM * len(texts), np.int32)
        counts = np.empty(len(texts), np.int64)
        self.code.encoder_encode(
            self.handle, data, pointer(ends), long(len(ends)), pointer(classes()),
            ctypes.c_int32(self.pattern), long(threads), pointer(out), pointer(counts),
        )  # fmt: skip
        starts = np.concatenate([[0], ends[:-1]]) + ROOM * np.arange(len(texts))
        return [out[start : start + count] for start, count in zip(starts, counts, strict=True)]


@cache  # cached because C++ keeps its address
def byte_ids() -> np.ndarray:
    """The id of every byte."""
    return np.array([BYTE_IDS[byte] for byte in range(256)], np.int32)


def pointer(values: np.ndarray) -> ctypes.c_void_p:
    """Address of an array's first element."""
    return ctypes.c_void_p(values.ctypes.data)


def long(value: int) -> ctypes.c_int64:
    """A 64-bit integer for ctypes."""
    return ctypes.c_int64(value)
