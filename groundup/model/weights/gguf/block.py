"""Types of stored numbers: how many share a block, how the block's bytes lie, how to undo it.

A tensor of a type is a row of equal blocks. The function that decodes them is declared with the
layout that it reads, so that both stand in one place:

    @block("Q8_0", 8, values=32, layout=[("d", "<f2"), ("q", "i1", 32)])
    def q8_0(b):
        return b["q"].astype(np.float32) * scales(b["d"])

`b` is a structured array of N blocks; the result is (N, values) in float32. The order of the
multiplications is part of a type: results equal those of the `gguf` package bit for bit.
Source: ggml-org/llama.cpp, ggml/src/ggml-common.h and ggml-quants.c; gguf-py 0.19.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

Floats = Float[np.ndarray, "N values"]
Layout = list[tuple[str, str] | tuple[str, str, int]]


class BlockType(NamedTuple):
    """One type of stored numbers."""

    name: str
    code: int
    """The type's number in files."""
    values: int
    """How many numbers a block holds; rows of tensors are whole blocks."""
    layout: np.dtype
    """The fields of a block, lowest address first, without gaps."""
    decode: Callable[[np.ndarray], Floats]
    """From N blocks to their values."""

    def size(self, values: int) -> int:
        """Bytes of so many values, which fill whole blocks."""
        return values // self.values * self.layout.itemsize


TYPES: dict[int, BlockType] = {}
"""Every type that is read, by its number; filled by the files that declare them."""


def block_type(
    name: str, code: int, *, values: int, layout: Layout
) -> Callable[[Callable[[np.ndarray], Floats]], BlockType]:
    """Declare the function below as the decoder of a type."""

    def declare(decode: Callable[[np.ndarray], Floats]) -> BlockType:
        TYPES[code] = BlockType(name, code, values, np.dtype(layout), decode)
        return TYPES[code]

    return declare


def unpack_bits(
    packed: UInt8[np.ndarray, "N bytes"], bits: int, run: int
) -> UInt8[np.ndarray, "N q"]:
    """Cut bytes into numbers of so many bits.

    Within every run of so many bytes the lowest bits of all come first, then the next ones.

    >>> unpack_bits(np.array([[0x21, 0x43]], np.uint8), 4, run=2).tolist()
    [[1, 3, 2, 4]]
    >>> unpack_bits(np.array([[0b0110]], np.uint8), 1, run=1).tolist()
    [[0, 1, 1, 0, 0, 0, 0, 0]]
    """
    shifts = np.arange(0, 8, bits, dtype=np.uint8)[:, None]
    runs = packed.reshape(len(packed), -1, 1, run) >> shifts  # (N, bytes / run, 8 / bits, run)
    return (runs & np.uint8((1 << bits) - 1)).reshape(len(packed), -1)


def scales(halves: np.ndarray) -> Float[np.ndarray, "N 1"]:
    """One factor a block, from the half precision that it is stored in."""
    return halves.astype(np.float32)[:, None]


def to_signed(q: UInt8[np.ndarray, "*shape"], zero: int) -> Float[np.ndarray, "*shape"]:
    """Numbers whose zero is stored as `zero`."""
    return (q.astype(np.int8) - np.int8(zero)).astype(np.float32)
