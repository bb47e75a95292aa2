"""Types of stored numbers: blocks of values, quantized and dequantized by the library gguf.

A tensor of a type is a row of equal blocks, each of so many values in so many bytes. The library is
that of llama.cpp's own converter. Formats that are numpy's own are converted here: the library
leaves out some of them.
"""

from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from types import ModuleType
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from groundup.core import DataError, import_extra

CHUNK_VALUES = 1 << 16
"""Values dequantized at once, so that what is in between stays small."""
NUMPY_TYPES = {
    "F32": "<f4", "F16": "<f2", "F64": "<f8", "I8": "i1", "I16": "<i2", "I32": "<i4", "I64": "<i8",
}  # fmt: skip
LARGEST = {
    "F32": float(np.finfo(np.float32).max), "F16": 65_504.0, "BF16": 3.3895e38,
    "Q8_0": 65_504.0 * 127, "Q4_0": 65_504.0 * 8,
}  # fmt: skip
"""The types that are written, and the largest number that each holds."""
SMALLEST = 1e-30
"""Numbers that no type's scale can express; the library would divide by what is left of them."""


class BlockType(NamedTuple):
    """One type of stored numbers."""

    name: str
    code: int
    """The type's number in files."""
    values: int
    """How many numbers a block holds; rows of tensors are whole blocks."""
    bytes: int
    """Of a block."""

    def size(self, values: int) -> int:
        """Bytes of so many values, which fill whole blocks."""
        return values // self.values * self.bytes


@cache
def _library() -> ModuleType:
    library: ModuleType = import_extra("gguf", "gguf")
    return library


def _library_type(type: BlockType) -> int:
    return _library().GGMLQuantizationType(type.code)


@cache
def block_types() -> Mapping[str, BlockType]:
    """Every type that can be read, by name.

    Raises MissingExtra without the library.
    """
    library, types = _library(), dict[str, BlockType]()
    for type, (values, size) in library.GGML_QUANT_SIZES.items():
        with suppress(NotImplementedError):
            if type.name not in NUMPY_TYPES:  # try the library with a block of zeros
                library.dequantize(np.zeros((1, size), np.uint8), type)
            types[type.name] = BlockType(type.name, int(type), values, size)
    return types


def dequantize(
    stored: UInt8[np.ndarray, " bytes"], type: BlockType
) -> Float[np.ndarray, " values"]:
    """Dequantize complete blocks.

    >>> dequantize(np.array([0x80, 0x3F, 0, 0x40], np.uint8), block_types()["BF16"]).tolist()
    [1.0, 2.0]

    Raises DataError if the bytes are not complete blocks.
    """
    if stored.size % type.bytes:
        what = f"{stored.size} bytes are not complete blocks of {type.name}"
        raise DataError(f"{what}, which have {type.bytes} bytes each.")
    values = np.empty(stored.size // type.bytes * type.values, np.float32)
    step = max(1, CHUNK_VALUES // type.values)
    with np.errstate(all="ignore"):  # a factor may be infinite, in a file as in a model
        for start in range(0, stored.size // type.bytes, step):
            blocks = stored[start * type.bytes : (start + step) * type.bytes]
            values[start * type.values : (start + step) * type.values] = (
                blocks.view(NUMPY_TYPES[type.name])
                if type.name in NUMPY_TYPES
                else _library().dequantize(blocks[None], _library_type(type)).ravel()
            )
    return values


def quantize_blocks(
    values: Float[np.ndarray, "*shape"], type: BlockType
) -> UInt8[np.ndarray, " bytes"]:
    """The stored bytes of values whose last dimension is a multiple of the block size.

    >>> quantize_blocks(np.array([1.0, -2.0], np.float32), block_types()["F16"]).tolist()
    [0, 60, 0, 192]

    Raises DataError for an unsupported type, rows that are not complete blocks, and values that
    are not finite or too large for the type.
    """
    if type.name not in LARGEST:
        raise DataError(f"Type {type.name} is read only; write {', '.join(LARGEST)}.")
    if values.size == 0 or values.shape[-1] % type.values:
        what = f"Rows of {values.shape[-1:]} values are not complete blocks of {type.name}"
        raise DataError(f"{what}, which hold {type.values}.")
    values = np.ascontiguousarray(values, np.float32)
    largest = max(float(values.max()), -float(values.min()))  # NaN stays NaN
    if not largest <= LARGEST[type.name]:
        raise DataError(
            f"A value of magnitude {largest:g} does not fit {type.name}; use BF16 or F32."
        )
    if type.values > 1:
        values = np.where(np.abs(values) < SMALLEST, np.float32(0), values)
    with np.errstate(under="ignore"):
        stored = _library().quantize(values, _library_type(type))
    return stored.reshape(-1).view(np.uint8)
