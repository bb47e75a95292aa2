"""Stored blocks to numbers, a chunk at a time, so that what is in between stays small."""

import numpy as np
from jaxtyping import Float, UInt8

from groundup.core import DataError

from . import codebooks, plain, rounded, super_blocks
from .block import TYPES, BlockType

DECLARED = (plain, rounded, super_blocks, codebooks)
"""The files whose types are read."""

BY_NAME: dict[str, BlockType] = {type.name: type for type in TYPES.values()}
CHUNK_VALUES = 1 << 18


def dequantize(
    stored: UInt8[np.ndarray, " bytes"], type: BlockType
) -> Float[np.ndarray, " values"]:
    """Dequantize complete blocks.

    >>> dequantize(np.array([0x80, 0x3F, 0, 0x40], np.uint8), BY_NAME["BF16"]).tolist()
    [1.0, 2.0]

    Raises DataError if the bytes are not complete blocks.
    """
    if stored.size % type.layout.itemsize:
        raise DataError(
            f"{stored.size} bytes are not complete blocks of {type.name}, which have "
            f"{type.layout.itemsize} bytes each."
        )
    blocks = stored.view(type.layout)
    values = np.empty(len(blocks) * type.values, np.float32)
    step = max(1, CHUNK_VALUES // type.values)
    with np.errstate(all="ignore"):  # a factor may be infinite, in a file as in a model
        for start in range(0, len(blocks), step):
            chunk = type.decode(blocks[start : start + step])
            values[start * type.values :][: chunk.size] = chunk.ravel()
    return values
