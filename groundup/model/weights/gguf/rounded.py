"""Types that round each number to a level: evenly spaced, of three, or of a small float.

    d       factor of a block, in half precision unless said otherwise
    m       what a level of zero means
    q, low  lowest bits of the levels;  high  the bits above them

Q4_0 … Q8_0 have 32 numbers a block and whole levels, around zero (_0) or from a minimum (_1).
TQ1_0 and TQ2_0 hold -1, 0 and 1. MXFP4 and NVFP4 hold four-bit floats, IQ4_NL levels that lie
denser around zero.
Source: gguf-py 0.19, gguf/quants.py (MIT, Copyright (c) 2023 Georgi Gerganov); MXFP4: OCP
Microscaling Formats 1.0.
"""

import numpy as np
from jaxtyping import Float, UInt8

from .block import Floats, block_type, scales, to_signed, unpack_bits


@block_type("Q4_0", 2, values=32, layout=[("d", "<f2"), ("q", "u1", 16)])
def _q4_0(b: np.ndarray) -> Floats:
    """d * (q - 8) with q of 4 bits."""
    return scales(b["d"]) * to_signed(unpack_bits(b["q"], 4, run=16), 8)


@block_type("Q4_1", 3, values=32, layout=[("d", "<f2"), ("m", "<f2"), ("q", "u1", 16)])
def _q4_1(b: np.ndarray) -> Floats:
    """d * q + m with q of 4 bits."""
    return scales(b["d"]) * unpack_bits(b["q"], 4, run=16).astype(np.float32) + scales(b["m"])


def _unpack_five_bits(b: np.ndarray) -> UInt8[np.ndarray, "N 32"]:
    """Levels whose fifth bit stands apart."""
    return unpack_bits(b["low"], 4, run=16) | (unpack_bits(b["high"], 1, run=1) << np.uint8(4))


@block_type("Q5_0", 6, values=32, layout=[("d", "<f2"), ("high", "u1", 4), ("low", "u1", 16)])
def _q5_0(b: np.ndarray) -> Floats:
    """d * (q - 16) with q of 5 bits."""
    return scales(b["d"]) * to_signed(_unpack_five_bits(b), 16)


@block_type(
    "Q5_1", 7, values=32,
    layout=[("d", "<f2"), ("m", "<f2"), ("high", "u1", 4), ("low", "u1", 16)],
)  # fmt: skip
def _q5_1(b: np.ndarray) -> Floats:
    """d * q + m with q of 5 bits."""
    return scales(b["d"]) * _unpack_five_bits(b).astype(np.float32) + scales(b["m"])


@block_type("Q8_0", 8, values=32, layout=[("d", "<f2"), ("q", "i1", 32)])
def _q8_0(b: np.ndarray) -> Floats:
    """d * q with signed q of 8 bits."""
    return b["q"].astype(np.float32) * scales(b["d"])


POWERS_OF_3 = np.array([1, 3, 9, 27, 81], np.uint8)


def _base3_digits(packed: UInt8[np.ndarray, "N bytes"], count: int) -> UInt8[np.ndarray, "N q"]:
    """The first `count` digits in base three of fractions of 256, first digits of all bytes first.

    A byte of ceil(n * 256 / 243) stands for n / 243; times 3^i modulo 256 drops i digits.

    >>> _base3_digits(np.array([[(2 * 81 + 1 * 27) * 256 // 243 + 1]], np.uint8), 3).tolist()
    [[2, 1, 0]]
    """
    shifted = packed[:, None] * POWERS_OF_3[:count, None]  # (N, digits, bytes), modulo 256
    return (shifted.astype(np.uint16) * 3 >> 8).astype(np.uint8).reshape(len(packed), -1)


@block_type("TQ1_0", 34, values=256, layout=[("q", "u1", 48), ("last", "u1", 4), ("d", "<f2")])
def _tq1_0(b: np.ndarray) -> Floats:
    """d * (q - 1), q of one base-three digit: five a byte, in the last four bytes four."""
    parts = (
        _base3_digits(b["q"][:, :32], 5),
        _base3_digits(b["q"][:, 32:], 5),
        _base3_digits(b["last"], 4),
    )
    return scales(b["d"]) * to_signed(np.concatenate(parts, axis=1), 1)


@block_type("TQ2_0", 35, values=256, layout=[("q", "u1", 64), ("d", "<f2")])
def _tq2_0(b: np.ndarray) -> Floats:
    """d * (q - 1) with q of 2 bits."""
    return scales(b["d"]) * to_signed(unpack_bits(b["q"], 2, run=32), 1)


FLOATS_OF_4_BITS = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12], np.float32)
"""Twice the values of E2M1: a sign, two bits of exponent, one of fraction."""


@block_type("MXFP4", 39, values=32, layout=[("e", "u1"), ("q", "u1", 16)])
def _mxfp4(b: np.ndarray) -> Floats:
    """2^(e - 128) times twice a float of 4 bits."""
    factor = np.ldexp(np.float32(1), b["e"].astype(np.int32) - 128)[:, None]
    return factor * FLOATS_OF_4_BITS[unpack_bits(b["q"], 4, run=16)]


@block_type("NVFP4", 40, values=64, layout=[("d", "u1", 4), ("q", "u1", 32)])
def _nvfp4(b: np.ndarray) -> Floats:
    """d times twice a float of 4 bits, with a d of UE4M3 for each 16 numbers."""
    levels = FLOATS_OF_4_BITS[unpack_bits(b["q"], 4, run=8)].reshape(-1, 4, 16)
    return (_half_of_ue4m3(b["d"])[..., None] * levels).reshape(len(b), -1)


def _half_of_ue4m3(x: UInt8[np.ndarray, "N 4"]) -> Float[np.ndarray, "N 4"]:
    """Half of an unsigned float with four bits of exponent and three of fraction; 0x7F is zero.

    >>> _half_of_ue4m3(np.array([[0, 1, 0x38, 0x7F]], np.uint8)).tolist()
    [[0.0, 0.0009765625, 0.5, 0.0]]
    """
    exponent, fraction = (x >> 3 & 15).astype(np.int32), (x & 7).astype(np.float32)
    normal = np.ldexp(np.float32(1) + fraction / np.float32(8), exponent - 7)
    value = np.where(exponent == 0, fraction * np.float32(2**-9), normal)
    return np.where(x == 0x7F, np.float32(0), value * np.float32(0.5))


LEVELS_OF_IQ4 = np.array(
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.float32
)


@block_type("IQ4_NL", 20, values=32, layout=[("d", "<f2"), ("q", "u1", 16)])
def _iq4_nl(b: np.ndarray) -> Floats:
    """d * level[q] with q of 4 bits."""
    return scales(b["d"]) * LEVELS_OF_IQ4[unpack_bits(b["q"], 4, run=16)]


@block_type(
    "IQ4_XS", 23, values=256,
    layout=[("d", "<f2"), ("high", "<u2"), ("low", "u1", 4), ("q", "u1", 128)],
)  # fmt: skip
def _iq4_xs(b: np.ndarray) -> Floats:
    """d * (s - 32) * level[q]; each 32 numbers have an s of 6 bits, four of them apart."""
    high = unpack_bits(b["high"][:, None].view(np.uint8), 2, run=1)
    s = to_signed(unpack_bits(b["low"], 4, run=1) | (high << np.uint8(4)), 32)  # (N, 8)
    levels = LEVELS_OF_IQ4[unpack_bits(b["q"], 4, run=16)].reshape(-1, 8, 32)
    return ((scales(b["d"]) * s)[..., None] * levels).reshape(len(b), -1)
