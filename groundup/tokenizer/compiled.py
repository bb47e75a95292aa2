"""bpe.py in C++: pieces counted, merges learned and texts encoded on all cores, to the same ids.

The cutting expressions become loops over classes of code points; the classes are asked of the same
`regex` that the definition cuts with. Counting keeps distinct pieces alone, so a corpus may be
larger than memory. Without a compiler there is nothing here and callers use their definition.
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
"""Characters that are counted together: enough for all cores, little beside the pieces."""
ROOM = 8
"""Ids that a text's own place leaves free before the next text's."""


class Joined(NamedTuple):
    """Texts as one row of bytes."""

    bytes: bytes
    ends: Int64[np.ndarray, " texts"]


def library() -> ctypes.CDLL | None:
    """The compiled loops, or None if they cannot be had."""
    code = native.library(Path(__file__).with_name("pairs.cpp"), "")
    if code is not None:
        code.counter_new.restype = code.encoder_new.restype = ctypes.c_void_p
        code.counter_learn.restype = ctypes.c_int64
    return code


@cache
def classes() -> UInt8[np.ndarray, " points"]:
    """A byte for every code point: is it a letter, a number, white space, the end of a line?"""
    points = [*range(0xD800), *range(0xE000, 0x110000)]
    text, table = "".join(map(chr, points)), np.zeros(0x110000, np.uint8)
    places = np.array(points)
    for expression, bit in CLASSES.items():
        for run in regex.finditer(f"{expression}+", text):
            table[places[run.start() : run.end()]] |= bit
    return table


def joined(texts: Sequence[str]) -> Joined:
    """Well-formed texts in UTF-8, one after the other."""
    encoded = [well_formed(text).encode("utf-8") for text in texts]
    return Joined(b"".join(encoded), np.cumsum([len(one) for one in encoded], dtype=np.int64))


def grouped(items: Iterable[Item], size: Callable[[Item], int], limit: int) -> Iterator[list[Item]]:
    """Group items in order, a group ending with the item that brings it to the limit.

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
    """Distinct pieces of texts and how often each occurs. Call it only where `library` is there."""

    def __init__(self, pattern: str, threads: int) -> None:
        code = library()
        assert code is not None, "asked for without a compiler"
        self.code, self.threads = code, threads
        self.pattern = list(PATTERNS).index(pattern)
        self.handle = ctypes.c_void_p(code.counter_new())

    def __enter__(self) -> "Counter":
        return self

    def __exit__(self, *error: object) -> None:
        """Free what was counted."""
        self.code.counter_free(self.handle)

    def add(self, texts: Iterable[str]) -> None:
        """Count the pieces of texts, each cut by itself."""
        for group in grouped(texts, len, BATCH_CHARACTERS):
            data, ends = joined(group)
            self.code.counter_add(
                self.handle, data, pointer(ends), long(len(ends)), pointer(classes()),
                ctypes.c_int32(self.pattern), long(self.threads),
            )  # fmt: skip

    def pieces(self) -> dict[bytes, int]:
        """What was counted."""
        pieces, size = ctypes.c_int64(), ctypes.c_int64()
        self.code.counter_sizes(self.handle, ctypes.byref(pieces), ctypes.byref(size))
        data = np.empty(size.value, np.uint8)
        ends, counts = np.empty(pieces.value, np.int64), np.empty(pieces.value, np.int64)
        self.code.counter_read(self.handle, pointer(data), pointer(ends), pointer(counts))
        whole, starts = data.tobytes(), [0, *ends.tolist()]
        cut = (whole[start:end] for start, end in zip(starts, ends.tolist(), strict=False))
        return dict(zip(cut, counts.tolist(), strict=True))

    def learn(self, merges: int) -> list[Pair]:
        """The first merges as pairs of ids; fewer if every piece has become one token."""
        out = np.empty((merges, 2), np.int32)
        count = self.code.counter_learn(
            self.handle, pointer(byte_ids()), long(merges), pointer(out)
        )
        return [(left, right) for left, right in out[:count].tolist()]


def learn_merges(
    texts: Iterable[str], vocab_size: int, pattern: str, threads: int
) -> list[tuple[bytes, bytes]]:
    """What `train_bpe` learns; call it only where `library` is there."""
    tokens, merges = list(ALPHABET), list[tuple[bytes, bytes]]()
    with Counter(pattern, threads) as counter:
        counter.add(texts)
        for left, right in counter.learn(vocab_size - len(ALPHABET)):
            merges.append((tokens[left], tokens[right]))
            tokens.append(tokens[left] + tokens[right])
    return merges


class Encoder:
    """Merges ready to encode, for any number of threads. Only where `library` is there."""

    def __init__(self, pairs: BytePairs, pattern: str) -> None:
        code = library()
        assert code is not None, "asked for without a compiler"
        self.code, self.pattern = code, list(PATTERNS).index(pattern)
        ids = pairs.ids
        table = np.array([(ids[a], ids[b]) for a, b in pairs.merges], np.int32).reshape(-1, 2)
        made = np.array([ids[a + b] for a, b in pairs.merges], np.int32)
        self.handle = ctypes.c_void_p(
            code.encoder_new(pointer(byte_ids()), pointer(table), pointer(made), long(len(made)))
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


@cache  # it must outlive the call that is given its address
def byte_ids() -> np.ndarray:
    """The id of every byte."""
    return np.array([BYTE_IDS[byte] for byte in range(256)], np.int32)


def pointer(values: np.ndarray) -> ctypes.c_void_p:
    """Address of an array's first element."""
    return ctypes.c_void_p(values.ctypes.data)


def long(value: int) -> ctypes.c_int64:
    """A whole number of 64 bits."""
    return ctypes.c_int64(value)
