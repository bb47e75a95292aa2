"""8-bit and bfloat16 optimizer states in C++: decoded, encoded, and updated by AdamW in one pass.

In torch a step passes over about thirty tensors of the weight's size; here a block of each state is
decoded, updated and encoded in cache. Results are identical to torch's: the references are
blocks.py, rounding.py and adamw.py of the optimizers, whose tables are passed as tensors.
"""

import ctypes
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from groundup.core import ShapeError, device, native

SOURCE = Path(__file__).with_suffix(".cpp")
BFLOAT16_BLOCK = 256
"""bfloat16 numbers per block."""


class StoredState(NamedTuple):
    """Rows of a stored state: 8-bit codes with scales, or bfloat16."""

    numbers: Tensor
    scales: Tensor | None = None
    tables: tuple[Tensor, ...] = ()
    """For 8 bits: values, midpoints and first codes, see `QuantizationGrid` of the optimizers."""
    block: int = BFLOAT16_BLOCK
    """Numbers per scale."""
    starts: Tensor | None = None
    """For bfloat16: offset of each row in the unsharded weight (int32), for stochastic rounding;
    None: the rows are the complete weight."""
    key: int = 0
    """Key of the stochastic rounding."""


class AdamWFactors(NamedTuple):
    """Factors of an AdamW step, in the order of the struct Move of states.cpp."""

    decay: float
    """Factor of the weight."""
    mean_new: float
    square_old: float
    square_new: float
    root: float
    """Square root of the second moment's bias correction."""
    epsilon: float
    rate: float
    """Negative learning rate divided by the first moment's bias correction."""


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
        *[(name, ctypes.c_float) for name in AdamWFactors._fields],
    ]


def _states_library() -> ctypes.CDLL | None:
    return native.load_library(SOURCE, "")


def has_native_states() -> bool:
    """Whether the native loops are available; GROUNDUP_STATES=torch disables them."""
    return (
        device.env_choice("GROUNDUP_STATES", "native", "torch") != "torch"
        and _states_library() is not None
    )


def fits_native_states(numbers: Tensor, *others: Tensor) -> bool:
    """Whether the native loops support a state and float32 tensors of its shape.

    They access memory directly, so all must be contiguous CPU tensors.
    """
    return (
        _is_plain_cpu_tensor(numbers)
        and all(_is_plain_cpu_tensor(t) and t.dtype == torch.float32 for t in others)
        and all(t.shape == numbers.shape for t in others)
        and has_native_states()
    )


def _is_plain_cpu_tensor(tensor: Tensor) -> bool:
    is_real = type(tensor) in (Tensor, nn.Parameter)
    return is_real and tensor.device.type == "cpu" and tensor.is_contiguous()


def adamw_update(
    weights: Float[Tensor, "*rows C"], gradients: Float[Tensor, "*rows C"], mean: StoredState,
    square: StoredState, factors: AdamWFactors,
) -> None:  # fmt: skip
    """One AdamW step of a weight and its states in place; see `fits_native_states`."""
    move = _Move(weights.data_ptr(), gradients.data_ptr(), *factors)
    _call_loop(
        "adamw_states", *map(ctypes.byref, (_state_struct(mean), _state_struct(square), move))
    )
    torch.autograd.graph.increment_version(weights)


def decode_state(stored: StoredState) -> Float[Tensor, "*rows C"]:
    """Decode an 8-bit state to float32; see `fits_native_states`."""
    out = torch.empty(stored.numbers.shape)
    _call_loop("read_codes", ctypes.byref(_state_struct(stored)), ctypes.c_void_p(out.data_ptr()))
    return out


def encode_state(stored: StoredState, values: Float[Tensor, "*rows C"]) -> None:
    """Encode float32 numbers into a state; see `fits_native_states`."""
    _call_loop(
        "write_state", ctypes.byref(_state_struct(stored)), ctypes.c_void_p(values.data_ptr())
    )


def _state_struct(stored: StoredState) -> _State:
    """The state's C struct, with addresses of its tensors, which must outlive it.

    Raises ShapeError unless there is one scale per block.
    """
    numbers, columns = stored.numbers, stored.numbers.shape[-1]
    rows = numbers.numel() // max(1, columns)
    blocks = rows * -(-columns // stored.block)
    if stored.scales is not None and stored.scales.numel() != blocks:
        raise ShapeError(f"{blocks} blocks have {stored.scales.numel()} scales; expected as many.")
    scales, starts = (None if t is None else t.data_ptr() for t in (stored.scales, stored.starts))
    tables = [table.data_ptr() for table in stored.tables] or [None] * 3
    address = numbers.data_ptr()
    return _State(address, scales, *tables, starts, rows, columns, stored.block, stored.key)


def _call_loop(name: str, *given: object) -> None:
    library = _states_library()
    assert library is not None, "called without a compiler"
    getattr(library, name)(*given, ctypes.c_int64(torch.get_num_threads()))
