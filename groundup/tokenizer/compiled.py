"""bpe.py in C++: counts pieces, learns merges and encodes on all cores, with identical ids.

The splitting patterns are loops over character classes; the classes come from the same `regex`
module that the reference uses. Counting stores distinct pieces only, so a corpus may be larger than
memory. Without a compiler callers fall back to the reference.
"""

import ctypes
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import regex
from jaxtyping import Int64, UInt8

from groundup.core import native

from .bpe import BYTE_IDS, BYTE_TOKENS, PATTERNS, Pair, ReferenceBPE, well_formed

Item = TypeVar("Item")

CLASS_BITS = {r"\p{L}": 1, r"\p{N}": 2, r"\s": 4, r"[\r\n]": 8}
BATCH_CHARACTERS = 2**22
"""Characters per counting batch: enough for all cores, little compared with the pieces."""
SPARE_IDS = 8
"""Spare ids in the output between one text's ids and the next's."""


def load_bpe_library() -> ctypes.CDLL | None:
    """The compiled library, or None if it is not available."""
    code = native.load_library(Path(__file__).with_name("bpe.cpp"), "")
    if code is not None:
        code.counter_new.restype = code.encoder_new.restype = ctypes.c_void_p
        code.counter_learn.restype = ctypes.c_int64
    return code


@cache
def _character_classes() -> UInt8[np.ndarray, " points"]:
    """Class bits of every code point: letter, number, white space, line end."""
    points = [*range(0xD800), *range(0xE000, 0x110000)]
    text, table = "".join(map(chr, points)), np.zeros(0x110000, np.uint8)
    point_array = np.array(points)
    for expression, bit in CLASS_BITS.items():
        for run in regex.finditer(f"{expression}+", text):
            table[point_array[run.start() : run.end()]] |= bit
    return table


def _concatenate(texts: Sequence[str]) -> tuple[bytes, Int64[np.ndarray, " texts"]]:
    encoded = [well_formed(text).encode("utf-8") for text in texts]
    return b"".join(encoded), np.cumsum([len(data) for data in encoded], dtype=np.int64)


def batch_by_size(
    items: Iterable[Item], size: Callable[[Item], int], limit: int
) -> Iterator[list[Item]]:
    """Batch items in order; a batch ends with the item that reaches the limit.

    >>> list(batch_by_size(["ab", "c", "def", "g"], len, 3))
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


class PieceCounter:
    """Counts the distinct pieces of texts. Requires `load_bpe_library`."""

    def __init__(self, pattern: str, threads: int) -> None:
        code = load_bpe_library()
        assert code is not None, "asked for without a compiler"
        self.code, self.threads = code, threads
        self.pattern = list(PATTERNS).index(pattern)
        self.handle = ctypes.c_void_p(code.counter_new())

    def __enter__(self) -> "PieceCounter":
        return self

    def __exit__(self, *error: object) -> None:
        """Free the counts."""
        self.code.counter_free(self.handle)

    def add(self, texts: Iterable[str]) -> None:
        """Count the pieces of texts, each split separately."""
        for group in batch_by_size(texts, len, BATCH_CHARACTERS):
            data, ends = _concatenate(group)
            self.code.counter_add(
                self.handle, data, _pointer(ends), _int64(len(ends)),
                _pointer(_character_classes()), ctypes.c_int32(self.pattern), _int64(self.threads),
            )  # fmt: skip

    def pieces(self) -> dict[bytes, int]:
        """The counts by piece."""
        pieces, size = ctypes.c_int64(), ctypes.c_int64()
        self.code.counter_sizes(self.handle, ctypes.byref(pieces), ctypes.byref(size))
        data = np.empty(size.value, np.uint8)
        ends, counts = np.empty(pieces.value, np.int64), np.empty(pieces.value, np.int64)
        self.code.counter_read(self.handle, _pointer(data), _pointer(ends), _pointer(counts))
        buffer, starts = data.tobytes(), [0, *ends.tolist()]
        cut = (buffer[start:end] for start, end in zip(starts, ends.tolist(), strict=False))
        return dict(zip(cut, counts.tolist(), strict=True))

    def learn(self, merges: int) -> list[Pair]:
        """Learn merges as pairs of ids; fewer if every piece has become one token."""
        out = np.empty((merges, 2), np.int32)
        table = _pointer(_byte_id_table())
        count = self.code.counter_learn(self.handle, table, _int64(merges), _pointer(out))
        return [(left, right) for left, right in out[:count].tolist()]


def learn_merges(
    texts: Iterable[str], vocab_size: int, pattern: str, threads: int
) -> list[tuple[bytes, bytes]]:
    """Equivalent of `train_bpe`. Requires `load_bpe_library`."""
    tokens, merges = list(BYTE_TOKENS), list[tuple[bytes, bytes]]()
    with PieceCounter(pattern, threads) as counter:
        counter.add(texts)
        for left, right in counter.learn(vocab_size - len(BYTE_TOKENS)):
            merges.append((tokens[left], tokens[right]))
            tokens.append(tokens[left] + tokens[right])
    return merges


class CompiledEncoder:
    """Encodes with given merges on any number of threads. Requires `load_bpe_library`."""

    def __init__(self, pairs: ReferenceBPE, pattern: str) -> None:
        code = load_bpe_library()
        assert code is not None, "asked for without a compiler"
        self.code, self.pattern = code, list(PATTERNS).index(pattern)
        ids = pairs.ids
        table = np.array([(ids[a], ids[b]) for a, b in pairs.merges], np.int32).reshape(-1, 2)
        merged_ids = np.array([ids[a + b] for a, b in pairs.merges], np.int32)
        arrays = map(_pointer, (_byte_id_table(), table, merged_ids))
        self.handle = ctypes.c_void_p(code.encoder_new(*arrays, _int64(len(merged_ids))))

    def __del__(self) -> None:
        if hasattr(self, "handle"):
            self.code.encoder_free(self.handle)

    def encode(self, texts: Sequence[str], threads: int = 1) -> list[np.ndarray]:
        """Ids of each text, int32."""
        if not texts:
            return []
        data, ends = _concatenate(texts)
        out = np.empty(len(data) + SPARE_IDS * len(texts), np.int32)
        counts = np.empty(len(texts), np.int64)
        self.code.encoder_encode(
            self.handle, data, _pointer(ends), _int64(len(ends)), _pointer(_character_classes()),
            ctypes.c_int32(self.pattern), _int64(threads), _pointer(out), _pointer(counts),
        )  # fmt: skip
        starts = np.concatenate([[0], ends[:-1]]) + SPARE_IDS * np.arange(len(texts))
        return [out[start : start + count] for start, count in zip(starts, counts, strict=True)]


@cache  # cached because C++ keeps its address
def _byte_id_table() -> np.ndarray:
    return np.array([BYTE_IDS[byte] for byte in range(256)], np.int32)


def _pointer(values: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(values.ctypes.data)


def _int64(value: int) -> ctypes.c_int64:
    return ctypes.c_int64(value)
