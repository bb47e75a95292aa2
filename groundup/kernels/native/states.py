"""Optimizer states in eight bits or bfloat16 in C++: read, written, and moved by AdamW in one pass.

In torch a step passes over some thirty tensors as long as the weight; here a block of each state
stays in the cache from its reading to its writing. The numbers are torch's: the definitions are
blocks.py, rounding.py and adamw.py of the optimizers, whose tables come here as tensors.
"""

import ctypes
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from groundup.core import ShapeError, device, native

SOURCE = Path(__file__).with_suffix(".cpp")
FLAGS = ("-fopenmp", "-ffp-contract=off")
STRETCH = 256
"""Numbers of bfloat16 that are taken at a time."""


class Stored(NamedTuple):
    """Some rows of a state as they are kept: codes with scales, or bfloat16."""

    numbers: Tensor
    scales: Tensor | None = None
    tables: tuple[Tensor, ...] = ()
    """Of eight bits: values, middles and first codes, see `Grid` of the optimizers' blocks.py."""
    block: int = STRETCH
    """Numbers of a row that share a scale."""
    starts: Tensor | None = None
    """Of bfloat16: place of each row's first number in the whole weight (int32), for its chance;
    None: these rows are the whole."""
    key: int = 0
    """Of that chance."""


class Factors(NamedTuple):
    """What an AdamW step is made with, in the order of the struct Move of states.cpp."""

    decay: float
    """What the weight is multiplied by."""
    mean_new: float
    square_old: float
    square_new: float
    root: float
    """Root of how much the mean square has seen."""
    epsilon: float
    rate: float
    """Negative, and over how much the mean has seen."""


class _State(ctypes.Structure):
    """The struct State of states.cpp, field by field."""

    _fields_ = [
        *[(name, ctypes.c_void_p) for name in (
            "numbers", "scales", "values", "middles", "first", "starts"
        )],
        *[(name, ctypes.c_int64) for name in ("rows", "columns", "block")],
        ("key", ctypes.c_uint32),
    ]  # fmt: skip


class _Move(ctypes.Structure):
    """The struct Move of states.cpp, field by field."""

    _fields_ = [
        *[(name, ctypes.c_void_p) for name in ("weights", "gradients")],
        *[(name, ctypes.c_float) for name in Factors._fields],
    ]


def code() -> ctypes.CDLL | None:
    """The loops in C++, or None if they cannot be had."""
    return native.library(SOURCE, "", FLAGS)


def has_states() -> bool:
    """Whether the native loops are wanted and can be had; GROUNDUP_STATES=torch says no."""
    return device.switch("GROUNDUP_STATES", "native", "torch") != "torch" and code() is not None


def fits(numbers: Tensor, *others: Tensor) -> bool:
    """Whether the native loops serve a state kept so, with float32 tensors of its shape.

    They go by address: no tensors but plain ones.
    """
    return (
        is_plain(numbers)
        and all(is_plain(t) and t.dtype == torch.float32 for t in others)
        and all(t.shape == numbers.shape for t in others)
        and has_states()
    )


def is_plain(tensor: Tensor) -> bool:
    """Whether a tensor's numbers lie in memory one after the other."""
    is_real = type(tensor) in (Tensor, nn.Parameter)
    return is_real and tensor.device.type == "cpu" and tensor.is_contiguous()


def move_states(
    weights: Float[Tensor, "*rows C"],
    gradients: Float[Tensor, "*rows C"],
    mean: Stored,
    square: Stored,
    factors: Factors,
) -> None:
    """One AdamW step of a weight and its states, in place, where both fit."""
    move = _Move(weights.data_ptr(), gradients.data_ptr(), *factors)
    run("adamw_states", *map(ctypes.byref, (struct(mean), struct(square), move)))
    torch.autograd.graph.increment_version(weights)


def read_state(stored: Stored) -> Float[Tensor, "*rows C"]:
    """A state of eight bits as float32, where it fits."""
    out = torch.empty(stored.numbers.shape)
    run("read_codes", ctypes.byref(struct(stored)), ctypes.c_void_p(out.data_ptr()))
    return out


def write_state(stored: Stored, values: Float[Tensor, "*rows C"]) -> None:
    """Keep float32 numbers as a state, where they fit."""
    run("write_state", ctypes.byref(struct(stored)), ctypes.c_void_p(values.data_ptr()))


def struct(stored: Stored) -> _State:
    """The state as C++ sees it: by address, so the tensors must outlive it.

    Raises ShapeError if it has not one scale a block.
    """
    numbers, columns = stored.numbers, stored.numbers.shape[-1]
    rows = numbers.numel() // max(1, columns)
    blocks = rows * -(-columns // stored.block)
    if stored.scales is not None and stored.scales.numel() != blocks:
        raise ShapeError(f"{blocks} blocks of numbers have {stored.scales.numel()} scales.")
    scales, starts = (None if t is None else t.data_ptr() for t in (stored.scales, stored.starts))
    tables = [table.data_ptr() for table in stored.tables] or [None] * 3
    place = numbers.data_ptr()
    return _State(place, scales, *tables, starts, rows, columns, stored.block, stored.key)


def run(name: str, *given: object) -> None:
    """Call a loop of states.cpp."""
    found = code()
    assert found is not None, "asked for without a compiler"
    getattr(found, name)(*given, ctypes.c_int64(torch.get_num_threads()))
