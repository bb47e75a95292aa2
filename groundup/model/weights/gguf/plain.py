"""Types without levels: each number stands alone, in the machine's own formats.

bfloat16 is the upper half of a float32. Whole numbers occur in files, though not as weights.
"""

import numpy as np

from .block import Floats, block_type


@block_type("F32", 0, values=1, layout=[("x", "<f4")])
def _f32(b: np.ndarray) -> Floats:
    """Single precision."""
    return b["x"].astype(np.float32)[:, None]


@block_type("F16", 1, values=1, layout=[("x", "<f2")])
def _f16(b: np.ndarray) -> Floats:
    """Half precision."""
    return b["x"].astype(np.float32)[:, None]


@block_type("BF16", 30, values=1, layout=[("x", "<u2")])
def bf16(b: np.ndarray) -> Floats:
    """The upper half of a single."""
    return (b["x"].astype(np.uint32) << np.uint32(16)).view(np.float32)[:, None]


@block_type("F64", 28, values=1, layout=[("x", "<f8")])
def _f64(b: np.ndarray) -> Floats:
    """Double precision, rounded to single."""
    return b["x"].astype(np.float32)[:, None]


@block_type("I8", 24, values=1, layout=[("x", "i1")])
def _i8(b: np.ndarray) -> Floats:
    """Whole numbers of 8 bits."""
    return b["x"].astype(np.float32)[:, None]


@block_type("I16", 25, values=1, layout=[("x", "<i2")])
def _i16(b: np.ndarray) -> Floats:
    """Whole numbers of 16 bits."""
    return b["x"].astype(np.float32)[:, None]


@block_type("I32", 26, values=1, layout=[("x", "<i4")])
def _i32(b: np.ndarray) -> Floats:
    """Whole numbers of 32 bits, rounded to single precision."""
    return b["x"].astype(np.float32)[:, None]


@block_type("I64", 27, values=1, layout=[("x", "<i8")])
def _i64(b: np.ndarray) -> Floats:
    """Whole numbers of 64 bits, rounded to single precision."""
    return b["x"].astype(np.float32)[:, None]
