"""Quantization to stored blocks, equal to llama.cpp's reference bit for bit.

Q8_0 scales a block of 32 so that its largest magnitude is 127, Q4_0 so that its value of largest
magnitude is -8, the level without a positive counterpart.
Source: gguf-py 0.19, gguf/quants.py (MIT, Copyright (c) 2023 Georgi Gerganov).
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, UInt8

from groundup.core import DataError

from .block import BlockType

Row = Float[np.ndarray, "N values"]
Stored = UInt8[np.ndarray, "N bytes"]
SMALLEST = np.finfo(np.float32).tiny


def quantize_blocks(
    values: Float[np.ndarray, "*shape"], type: BlockType
) -> UInt8[np.ndarray, " bytes"]:
    """The stored bytes of values whose last dimension is a multiple of the block size.

    >>> from groundup.model.weights.gguf.dequantize import BY_NAME
    >>> quantize_blocks(np.array([1.0, -2.0], np.float32), BY_NAME["F16"]).tolist()
    [0, 60, 0, 192]

    Raises DataError for an unsupported type, rows that are not complete blocks, and values that
    are not finite or too large for the type.
    """
    if type.name not in WRITERS:
        raise DataError(f"Type {type.name} is read only; write {', '.join(WRITERS)}.")
    if values.size == 0 or values.shape[-1] % type.values:
        raise DataError(
            f"Rows of {values.shape[-1:]} values are not complete blocks of {type.name}, which "
            f"hold {type.values}."
        )
    rows = np.ascontiguousarray(values, np.float32).reshape(-1, type.values)
    largest = max(float(rows.max()), -float(rows.min()))  # NaN stays NaN
    if not largest <= LARGEST[type.name]:
        raise DataError(
            f"A value of magnitude {largest:g} does not fit {type.name}; use BF16 or F32."
        )
    with np.errstate(under="ignore"):
        return WRITERS[type.name](rows).reshape(-1)


def _to_f32(rows: Row) -> Stored:
    """As they are."""
    return rows.astype("<f4").view(np.uint8)


def _to_f16(rows: Row) -> Stored:
    """The nearest half."""
    return rows.astype("<f2").view(np.uint8)


def _to_bf16(rows: Row) -> Stored:
    """The nearest upper half of a single; of two equally near ones the even."""
    bits = rows.view(np.uint32).astype(np.uint64)
    return (bits + 0x7FFF + (bits >> 16 & 1) >> 16).astype("<u2").view(np.uint8)


def _to_q8_0(rows: Row) -> Stored:
    """d * q; halves are rounded away from zero."""
    d = np.abs(rows).max(axis=1, keepdims=True) / 127
    x = rows * _safe_inverse(d)
    size = np.abs(x)
    whole = np.floor(size)
    q = np.sign(x) * (whole + np.floor(2 * (size - whole)))
    return np.concatenate([_half_bytes(d), q.astype(np.int8).view(np.uint8)], axis=1)


def _to_q4_0(rows: Row) -> Stored:
    """d * (q - 8), two q a byte."""
    largest = np.abs(rows).argmax(axis=1, keepdims=True)
    d = np.take_along_axis(rows, largest, axis=1) / -8
    q = np.trunc(rows * _safe_inverse(d) + np.float32(8.5)).astype(np.uint8).clip(0, 15)
    return np.concatenate([_half_bytes(d), q[:, :16] | q[:, 16:] << 4], axis=1)


def _safe_inverse(d: Float[np.ndarray, "N 1"]) -> Float[np.ndarray, "N 1"]:
    """1 / d, and 0 where d is so small that its half is 0 anyway."""
    return np.divide(1, d, out=np.zeros_like(d), where=np.abs(d) >= SMALLEST)


def _half_bytes(d: Float[np.ndarray, "N 1"]) -> UInt8[np.ndarray, "N 2"]:
    """Bytes of the nearest half."""
    return d.astype("<f2").view(np.uint8)


WRITERS: dict[str, Callable[[Row], Stored]] = {
    "F32": _to_f32, "F16": _to_f16, "BF16": _to_bf16, "Q8_0": _to_q8_0, "Q4_0": _to_q4_0,
}  # fmt: skip
LARGEST = {
    "F32": float(np.finfo(np.float32).max), "F16": 65_504.0, "BF16": 3.3895e38,
    "Q8_0": 65_504.0 * 127, "Q4_0": 65_504.0 * 8,
}  # fmt: skip
"""The largest number that a type holds."""
