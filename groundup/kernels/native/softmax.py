"""Softmax and cross-entropy of rows in C++, with their gradients, for training on CPUs.

    weights[t, s] = softmax_s(scores[t, s] * scale)   over low[t] <= s < high[t], zero elsewhere

torch's compiled code reads each row four times and computes hidden keys; here a row stays in the
cache and hidden keys cost nothing. Both are torch operators, so compiled blocks can call them. The
references are `losses_and_logit_grads` in loss.py and `attend` in attention.py.
"""

import ctypes
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundup.core import device, native

FLAGS = ("-fopenmp",)
DTYPES = (torch.float32, torch.bfloat16)


class _Softmax(ctypes.Structure):
    """The struct Softmax of softmax.cpp, field by field."""

    _fields_ = [
        *[(name, ctypes.c_void_p) for name in ("in_", "slope", "out", "low", "high")],
        *[(name, ctypes.c_int64) for name in ("rows", "heads", "queries", "keys", "row_bounds")],
        ("scale", ctypes.c_float),
    ]


class _Loss(ctypes.Structure):
    """The struct Loss of softmax.cpp, field by field."""

    _fields_ = [
        *[(n, ctypes.c_void_p) for n in ("logits", "targets", "weights", "losses", "errors")],
        *[(name, ctypes.c_int64) for name in ("tokens", "size")],
    ]


def _softmax_library() -> ctypes.CDLL | None:
    """The C++ loops, or None without a compiler."""
    return native.load_library(Path(__file__).with_suffix(".cpp"), "", FLAGS)


def has_native_softmax(device_type: str, dtype: torch.dtype) -> bool:
    """Whether the native loops are available for a device type and dtype.

    GROUNDUP_SOFTMAX=torch disables them.
    """
    is_wanted = device.env_choice("GROUNDUP_SOFTMAX", "native", "torch") != "torch"
    return is_wanted and device_type == "cpu" and dtype in DTYPES and _softmax_library() is not None


# As in ways.py: compiled blocks hold the answer.
has_native_softmax._dynamo_marked_constant = True  # type: ignore[attr-defined]


@torch.library.custom_op("groundup::interval_softmax", mutates_args=())
def interval_softmax(scores: Tensor, low: Tensor, high: Tensor, scale: float) -> Tensor:
    """Softmax over each query's key interval.

    scores     (B, H, T, S)  float32 or bfloat16; those outside the interval are not read
    low, high  (b, T)        int32, within 0..S; see `key_intervals`
    """
    return _call_loop("softmax_forward", scores, None, low, high, scale)


@torch.library.custom_op("groundup::interval_softmax_back", mutates_args=())
def _interval_softmax_backward(
    weights: Tensor, slope: Tensor, low: Tensor, high: Tensor, scale: float
) -> Tensor:
    """Gradient of the scores from the weights and their gradient."""
    return _call_loop("softmax_backward", weights, slope.contiguous(), low, high, scale)


def _call_loop(
    name: str,
    values: Float[Tensor, "B H T S"],
    slope: Float[Tensor, "B H T S"] | None,
    low: Int[Tensor, "b T"],
    high: Int[Tensor, "b T"],
    scale: float,
) -> Float[Tensor, "B H T S"]:
    """Call a loop of softmax.cpp."""
    values, low, high = values.contiguous(), low.contiguous(), high.contiguous()
    B, H, T, S = values.shape
    out, library = torch.empty_like(values), _softmax_library()
    assert library is not None, "called without a compiler"
    work = _Softmax(
        values.data_ptr(), None if slope is None else slope.data_ptr(), out.data_ptr(),
        low.data_ptr(), high.data_ptr(), B, H, T, S, T if len(low) > 1 else 0, scale,
    )  # fmt: skip
    is_half = ctypes.c_int64(values.dtype == torch.bfloat16)
    getattr(library, name)(ctypes.byref(work), is_half, ctypes.c_int64(torch.get_num_threads()))
    return out


@interval_softmax.register_fake
def _(scores: Tensor, low: Tensor, high: Tensor, scale: float) -> Tensor:
    return torch.empty_like(scores, memory_format=torch.contiguous_format)


@_interval_softmax_backward.register_fake
def _(weights: Tensor, slope: Tensor, low: Tensor, high: Tensor, scale: float) -> Tensor:
    return torch.empty_like(weights, memory_format=torch.contiguous_format)


def _save_for_backward(ctx, inputs, output) -> None:
    """Save the weights for backward."""
    _, low, high, ctx.scale = inputs
    ctx.save_for_backward(output, low, high)


def _softmax_backward(ctx, slope: Tensor) -> tuple[Tensor, None, None, None]:
    """Gradient of the scores."""
    weights, low, high = ctx.saved_tensors
    return _interval_softmax_backward(weights, slope, low, high, ctx.scale), None, None, None


interval_softmax.register_autograd(_softmax_backward, setup_context=_save_for_backward)


@torch.library.custom_op("groundup::loss_rows", mutates_args=("logits",))
def _cross_entropy_rows(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Losses (N,) of logits (N, V), which are overwritten with their gradients."""
    library = _softmax_library()
    assert library is not None, "called without a compiler"
    losses = weights.new_empty(len(logits))
    work = _Loss(*(x.data_ptr() for x in (logits, targets, weights, losses, logits)), *logits.shape)
    is_half = ctypes.c_int64(logits.dtype == torch.bfloat16)
    library.cross_entropy(ctypes.byref(work), is_half, ctypes.c_int64(torch.get_num_threads()))
    return losses


@_cross_entropy_rows.register_fake
def _(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    return weights.new_empty(len(logits))


def native_losses_and_logit_grads(
    logits: Float[Tensor, "N V"], targets: Int[Tensor, " N"], weights: Float[Tensor, " N"]
) -> tuple[Float[Tensor, " N"], Float[Tensor, "N V"]]:
    """`losses_and_logit_grads` of loss.py in C++; overwrites the logits with their gradients."""
    logits = logits.contiguous()
    losses = _cross_entropy_rows(
        logits, targets.contiguous(), weights.to(torch.float32).contiguous()
    )
    return losses, logits
