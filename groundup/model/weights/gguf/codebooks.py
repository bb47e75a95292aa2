"""IQ types: 4 or 8 numbers at once are a row of a grid, with signs beside it.

    value = factor * grid[index] * sign

The grids hold the rows that trained weights need most, so an index of 8 to 11 bits says what
singly would take 16. Signs are a bit each, or seven bits for eight numbers, the last of which
makes the number of minus signs even.
Source: gguf-py 0.19, gguf/quants.py, and its tables in grids.json (MIT, Copyright (c) 2023
Georgi Gerganov); the even signs: Tseng et al. 2024 (QuIP#), arXiv:2402.04396.
"""

import base64
import json
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8, UInt16, UInt32

from .block import Floats, block_type, scales, unpack_bits

GRIDS = Path(__file__).with_name("grids.json")
Signs = Float[np.ndarray, "*shape 8"]


@cache
def _load_grid(name: str, width: int) -> Float[np.ndarray, "rows width"]:
    """The rows of a type's grid."""
    spec = json.loads(GRIDS.read_text(encoding="utf-8"))["grids"][name]
    codes = np.frombuffer(base64.b64decode(spec["codes"]), np.uint8)[None]
    levels = np.array(spec["levels"], np.float32)
    return levels[unpack_bits(codes, spec["bits"], run=1)].reshape(-1, width)


def _unpack_signs(packed: UInt8[np.ndarray, "*shape"]) -> Signs:
    """-1 where a bit is set, else 1; lowest bit first.

    >>> _unpack_signs(np.array([0b101], np.uint8)).tolist()
    [[-1.0, 1.0, -1.0, 1.0, 1.0, 1.0, 1.0, 1.0]]
    """
    bits = packed[..., None] >> np.arange(8, dtype=np.uint8) & 1
    return np.where(bits == 0, np.float32(1), np.float32(-1))


def _even_signs(seven: UInt16[np.ndarray, "*shape"] | UInt32[np.ndarray, "*shape"]) -> Signs:
    """Signs of eight numbers from the seven bits of the first ones.

    >>> _even_signs(np.array([1], np.uint16)).tolist()
    [[-1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, -1.0]]
    """
    seven = seven.astype(np.uint8)
    return _unpack_signs(seven | (np.bitwise_count(seven) & 1) << 7)


def _four_signs(words: UInt32[np.ndarray, "N groups"]) -> Float[np.ndarray, "N groups 4 8"]:
    """Signs of 32 numbers from the lower 28 bits of a word."""
    return _even_signs(words[..., None] >> np.array([0, 7, 14, 21], np.uint32) & 127)


def _grid_index(
    low: UInt8[np.ndarray, "N rows"], high: UInt8[np.ndarray, "N rows"]
) -> UInt16[np.ndarray, "N rows"]:
    """Numbers of grid rows from their lower 8 bits and those above."""
    return low.astype(np.uint16) | high.astype(np.uint16) << 8


@block_type("IQ2_XXS", 16, values=256, layout=[("d", "<f2"), ("q", "<u4", 16)])
def _iq2_xxs(b: np.ndarray) -> Floats:
    """d * (s + 1/2) / 4 * row * sign: 32 numbers are four indices, then s (4 bits) and signs."""
    words = b["q"].reshape(-1, 8, 2)
    rows = _load_grid("IQ2_XXS", 8)[words[..., 0].copy().view(np.uint8).reshape(-1, 8, 4)]
    s = np.float32(0.5) + (words[..., 1] >> 28).astype(np.float32)
    factor = (scales(b["d"]) * s * np.float32(0.25))[..., None, None]
    return (factor * rows * _four_signs(words[..., 1])).reshape(len(b), -1)


def _decode_sixteens(
    b: np.ndarray, rows: Float[np.ndarray, "N 32 8"], flips: Float[np.ndarray, "N 32 8"]
) -> Floats:
    """d * (s + 1/2) / 4 * row * sign; each 16 numbers have an s of 4 bits."""
    s = np.float32(0.5) + unpack_bits(b["scales"], 4, run=1)
    factor = (scales(b["d"]) * s * np.float32(0.25)).repeat(2, axis=1)[..., None]
    return (factor * rows * flips).reshape(len(b), -1)


@block_type("IQ2_XS", 17, values=256, layout=[("d", "<f2"), ("q", "<u2", 32), ("scales", "u1", 8)])
def _iq2_xs(b: np.ndarray) -> Floats:
    """Eight numbers are nine bits of index and seven of signs."""
    return _decode_sixteens(b, _load_grid("IQ2_XS", 8)[b["q"] & 511], _even_signs(b["q"] >> 9))


@block_type(
    "IQ2_S", 22, values=256,
    layout=[
        ("d", "<f2"), ("low", "u1", 32), ("signs", "u1", 32), ("high", "u1", 8),
        ("scales", "u1", 8),
    ],
)  # fmt: skip
def _iq2_s(b: np.ndarray) -> Floats:
    """Eight numbers are ten bits of index, two of them apart, and eight signs."""
    rows = _load_grid("IQ2_S", 8)[_grid_index(b["low"], unpack_bits(b["high"], 2, run=1))]
    return _decode_sixteens(b, rows, _unpack_signs(b["signs"]))


@block_type("IQ3_XXS", 18, values=256, layout=[("d", "<f2"), ("q", "u1", 64), ("words", "<u4", 8)])
def _iq3_xxs(b: np.ndarray) -> Floats:
    """d * (s + 1/2) / 2 * row * sign: four numbers an index; 32 have a word of s and signs."""
    rows = _load_grid("IQ3_XXS", 4)[b["q"]].reshape(-1, 8, 4, 8)
    s = np.float32(0.5) + (b["words"] >> 28).astype(np.float32)
    factor = (scales(b["d"]) * s * np.float32(0.5))[..., None, None]
    return (factor * rows * _four_signs(b["words"])).reshape(len(b), -1)


@block_type(
    "IQ3_S", 21, values=256,
    layout=[
        ("d", "<f2"), ("low", "u1", 64), ("high", "u1", 8), ("signs", "u1", 32),
        ("scales", "u1", 4),
    ],
)  # fmt: skip
def _iq3_s(b: np.ndarray) -> Floats:
    """d * (1 + 2 s) * row * sign: four numbers an index of 9 bits; 32 have an s of 4 bits."""
    rows = _load_grid("IQ3_S", 4)[_grid_index(b["low"], unpack_bits(b["high"], 1, run=1))].reshape(
        -1, 8, 4, 8
    )
    factor = (scales(b["d"]) * (1 + 2 * unpack_bits(b["scales"], 4, run=1)))[..., None, None]
    return (factor * rows * _unpack_signs(b["signs"]).reshape(-1, 8, 4, 8)).reshape(len(b), -1)


SHIFT = np.float32(0.125)
"""What is added to the rows of IQ1 types, or taken away: three levels that are not centred."""


def _grid_shift(is_down: np.ndarray) -> np.ndarray:
    """The shift of each group: down where a bit is set."""
    return np.where(is_down == 0, SHIFT, -SHIFT)


THREES = np.array([0, 3, 6, 9], np.uint16)


@block_type("IQ1_S", 19, values=256, layout=[("d", "<f2"), ("low", "u1", 32), ("high", "<u2", 8)])
def _iq1_s(b: np.ndarray) -> Floats:
    """d * (2 s + 1) * (row ± 1/8): 32 numbers have four indices of 11 bits, an s of 3 and a sign.

    A word of `high` holds four times three bits of index, then s, then the sign.
    """
    words = b["high"]
    high = (words[..., None] >> THREES & 7).astype(np.uint8).reshape(len(b), -1)
    rows = _load_grid("IQ1_S", 8)[_grid_index(b["low"], high)].reshape(-1, 8, 4, 8)
    factor = scales(b["d"]) * (2 * (words >> 12 & 7) + 1)
    shift = _grid_shift(words >> 15)
    return (factor[..., None, None] * (rows + shift[..., None, None])).reshape(len(b), -1)


@block_type(
    "IQ1_M", 29, values=256, layout=[("low", "u1", 32), ("high", "u1", 16), ("words", "<u2", 4)]
)
def _iq1_m(b: np.ndarray) -> Floats:
    """As IQ1_S, with a sign for each 8 numbers and an s for each 16.

    d lies in the highest four bits of the four words, lowest first; below them four s of 3 bits.
    """
    tops = b["words"] >> 12 << np.array([0, 4, 8, 12], np.uint16)
    d = np.bitwise_or.reduce(tops, axis=1).view(np.float16)
    s = (b["words"][..., None] >> THREES & 7).reshape(len(b), -1)  # (N, 16)
    high = unpack_bits(b["high"], 4, run=1)  # (N, 32)
    rows = (
        _load_grid("IQ1_S", 8)[_grid_index(b["low"], high & 7)] + _grid_shift(high >> 3)[..., None]
    )
    factor = scales(d) * (2 * s + 1)
    return (factor[..., None, None] * rows.reshape(-1, 16, 2, 8)).reshape(len(b), -1)
