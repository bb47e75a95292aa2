"""K types: 256 numbers share a factor, and each 16 or 32 of them a small one of their own.

    d, m    factor of the factors, and of the minima, in half precision
    scales  the small factors, of 4, 6 or 8 bits
    q, low  lowest bits of the levels;  high  the bits above them

Two stages of factors cost less than one factor in half precision for each 16 numbers.
Source: gguf-py 0.19, gguf/quants.py (MIT, Copyright (c) 2023 Georgi Gerganov).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from .block import Floats, block_type, scales, to_signed, unpack_bits


@block_type(
    "Q2_K", 10, values=256,
    layout=[("scales", "u1", 16), ("q", "u1", 64), ("d", "<f2"), ("m", "<f2")],
)  # fmt: skip
def _q2_k(b: np.ndarray) -> Floats:
    """d * s * q - m * t with q of 2 bits; each 16 numbers have an s and a t of 4 bits."""
    factor = scales(b["d"]) * (b["scales"] & 15).astype(np.float32)
    minimum = scales(b["m"]) * (b["scales"] >> 4).astype(np.float32)
    q = unpack_bits(b["q"], 2, run=32).astype(np.float32).reshape(-1, 16, 16)
    return (factor[..., None] * q - minimum[..., None]).reshape(len(b), -1)


@block_type(
    "Q3_K", 11, values=256,
    layout=[("high", "u1", 32), ("low", "u1", 64), ("scales", "u1", 12), ("d", "<f2")],
)  # fmt: skip
def _q3_k(b: np.ndarray) -> Floats:
    """d * (s - 32) * (q - 4) with q of 3 bits; each 16 numbers have an s of 6 bits.

    The first eight bytes of `scales` hold the lower four bits of the s, the last four the rest.
    """
    low, high = unpack_bits(b["scales"][:, :8], 4, run=8), unpack_bits(b["scales"][:, 8:], 2, run=4)
    factor = scales(b["d"]) * to_signed(low | (high << np.uint8(4)), 32)  # (N, 16)
    q = unpack_bits(b["low"], 2, run=32) | (unpack_bits(b["high"], 1, run=32) << np.uint8(2))
    return (factor[..., None] * to_signed(q, 4).reshape(-1, 16, 16)).reshape(len(b), -1)


class _FactorPairs(NamedTuple):
    """Factors and minima of a block's eight groups."""

    factors: Float[np.ndarray, "N 8 1"]
    minima: Float[np.ndarray, "N 8 1"]


def _unpack_factors(b: np.ndarray) -> _FactorPairs:
    """Unpack eight factors and eight minima of 6 bits from 12 bytes.

    The first four of each lie in the lower six bits of bytes 0 to 3 and 4 to 7; of the last four,
    the lower four bits lie in bytes 8 to 11 and the upper two above the first four.
    """
    first, second, rest = np.moveaxis(b["scales"].reshape(-1, 3, 4), 1, 0)  # (N, 4) each
    factors = np.concatenate([first & 63, (rest & 15) | (first >> 2 & 48)], axis=1)
    minima = np.concatenate([second & 63, (rest >> 4) | (second >> 2 & 48)], axis=1)
    return _FactorPairs(
        (scales(b["d"]) * factors.astype(np.float32))[..., None],
        (scales(b["m"]) * minima.astype(np.float32))[..., None],
    )


def _apply_factors(b: np.ndarray, q: UInt8[np.ndarray, "N 256"]) -> Floats:
    """Factor * q - minimum, group by group."""
    factors, minima = _unpack_factors(b)
    return (factors * q.astype(np.float32).reshape(-1, 8, 32) - minima).reshape(len(b), -1)


@block_type(
    "Q4_K", 12, values=256,
    layout=[("d", "<f2"), ("m", "<f2"), ("scales", "u1", 12), ("q", "u1", 128)],
)  # fmt: skip
def _q4_k(b: np.ndarray) -> Floats:
    """d * s * q - m * t with q of 4 bits; each 32 numbers have an s and a t of 6 bits."""
    return _apply_factors(b, unpack_bits(b["q"], 4, run=32))


@block_type(
    "Q5_K", 13, values=256,
    layout=[
        ("d", "<f2"), ("m", "<f2"), ("scales", "u1", 12), ("high", "u1", 32), ("low", "u1", 128),
    ],
)  # fmt: skip
def _q5_k(b: np.ndarray) -> Floats:
    """d * s * q - m * t with q of 5 bits; each 32 numbers have an s and a t of 6 bits."""
    return _apply_factors(
        b, unpack_bits(b["low"], 4, run=32) | (unpack_bits(b["high"], 1, run=32) << 4)
    )


@block_type(
    "Q6_K", 14, values=256,
    layout=[("low", "u1", 128), ("high", "u1", 64), ("scales", "i1", 16), ("d", "<f2")],
)  # fmt: skip
def _q6_k(b: np.ndarray) -> Floats:
    """d * s * (q - 32) with q of 6 bits; each 16 numbers have a signed s of 8 bits."""
    factor = scales(b["d"]) * b["scales"].astype(np.float32)  # (N, 16)
    q = unpack_bits(b["low"], 4, run=64) | (unpack_bits(b["high"], 2, run=32) << np.uint8(4))
    return (factor[..., None] * to_signed(q, 32).reshape(-1, 16, 16)).reshape(len(b), -1)
