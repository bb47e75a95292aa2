"""Rows over one contiguous key interval per query, in C++ on CPUs: attention, softmax and loss.

    weights[t, s] = softmax_s(q[t]·k[s] * scale)   over low[t] <= s < high[t], zero elsewhere

Causality, documents, padding, windows and blocks all reduce to one key interval per query, so one
loop serves causal and bidirectional, packed and padded sequences, and reads no hidden key.

`interval_attention` has no gradient. For training there are the softmax of rows and their
cross-entropy, with their gradients: torch's compiled code reads each row four times and computes
hidden keys; here a row stays in the cache. Both are torch operators, so compiled blocks can call
them. The references are `losses_and_logit_grads` in loss.py and `attend` in attention.py. Without a
compiler, callers use torch's kernels.
"""

import ctypes
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundup.core import ShapeError, device, native

from ..mask import Mask, check_attention_shapes, document_positions, has_split_document

MIN_QUERIES = 32
"""Minimum number of queries to be faster than torch's kernel."""
INTERVAL_PATTERNS = ("full", "window", "block")
"""Patterns with one key interval per query."""


class KeyIntervals(NamedTuple):
    """The keys low <= s < high that each query sees."""

    low: Int[Tensor, "b T"]
    high: Int[Tensor, "b T"]


class _Rows(ctypes.Structure):
    """The struct Rows of interval.cpp: address and element strides of rows, heads and tokens."""

    _fields_ = [("data", ctypes.c_void_p), *[(n, ctypes.c_int64) for n in ("row", "head", "token")]]


class _Work(ctypes.Structure):
    """The struct Work of interval.cpp, field by field."""

    _fields_ = [
        *[(name, _Rows) for name in ("q", "k", "v", "out")],
        *[(name, ctypes.c_void_p) for name in ("low", "high")],
        *[(name, ctypes.c_int64) for name in (
            "rows", "heads", "key_heads", "queries", "width", "value_width", "row_bounds"
        )],
        ("scale", ctypes.c_float),
    ]  # fmt: skip


def key_intervals(mask: Mask, T: int, S: int, device: torch.device) -> KeyIntervals | None:
    """The key interval of each query, or None if a query's keys are not contiguous.

    >>> key_intervals(Mask(), 2, 3, torch.device("cpu")).high
    tensor([[2, 3]], dtype=torch.int32)
    """
    if (
        mask.pattern.kind not in INTERVAL_PATTERNS
        or mask.prefix is not None
        or mask.queries is not None
    ):
        return None
    if not mask.causal and mask.pattern.kind == "full" and mask.documents is None:
        low = torch.zeros(1, T, dtype=torch.int32, device=device)  # T may exceed S
        return KeyIntervals(low, low + S)
    index = torch.arange(S, device=device)[None]
    low, high = torch.zeros_like(index), torch.full_like(index, S)
    if mask.documents is not None:
        if has_split_document(mask.documents):
            return None
        own = document_positions(mask.documents)
        low = index - own
        high = S - (index - document_positions(mask.documents.flip(1))).flip(1)
        high = torch.where(mask.documents < 0, low, high)
    size, start = mask.pattern.window, low
    match mask.pattern.kind:
        case "window":
            low, high = low.maximum(index - size + 1), high.minimum(index + size)
        case "block":
            low = start + (index - start) // size * size
            high = high.minimum(low + size)
    if mask.causal:
        high = high.minimum(index + 1)
    if mask.documents is not None:
        high = torch.where(mask.documents < 0, low, high)
    return KeyIntervals(*(bound[:, S - T :].int().contiguous() for bound in (low, high)))


def uses_native_loop(q: Float[Tensor, "B H T K"]) -> bool:
    """Whether the native loop is available and fast for these queries."""
    return (
        q.device.type == "cpu" and q.dtype in (torch.float32, torch.bfloat16)
        and q.shape[2] >= MIN_QUERIES and not torch.is_grad_enabled()
        and not torch.compiler.is_compiling() and _interval_library() is not None
    )  # fmt: skip


def _interval_library() -> ctypes.CDLL | None:
    return native.load_library(Path(__file__).with_suffix(".cpp"), "")


def interval_attention(
    q: Float[Tensor, "B H T K"], k: Float[Tensor, "B G S K"], v: Float[Tensor, "B G S W"],
    seen: KeyIntervals, *, scale: float | None = None,
) -> Float[Tensor, "B H T W"]:  # fmt: skip
    """Attention on a CPU without gradients, for inputs accepted by `uses_native_loop`.

    16-bit inputs are computed in float32. Requires a compiler. Raises ShapeError if queries, keys,
    values and intervals do not match, so no memory beyond them is read.
    """
    code = _interval_library()
    assert code is not None, "called without a compiler"
    check_attention_shapes(q, k, Mask(causal=False))
    (B, H, T, K), G = q.shape, k.shape[1]
    _check_intervals(seen, (B, T), k, v)
    dtype, (q, k, v) = q.dtype, (_as_float32(x) for x in (q, k, v))
    out = q.new_empty(B, T, H, v.shape[3]).transpose(1, 2)
    work = _Work(
        *(_Rows(x.data_ptr(), *x.stride()[:3]) for x in (q, k, v, out)),
        seen.low.data_ptr(), seen.high.data_ptr(), B, H, G, T, K, v.shape[3],
        T if len(seen.low) > 1 else 0, K**-0.5 if scale is None else scale,
    )  # fmt: skip
    code.interval_attention(ctypes.byref(work), ctypes.c_int64(torch.get_num_threads()))
    return out.to(dtype)


def _check_intervals(seen: KeyIntervals, shape: tuple[int, int], k: Tensor, v: Tensor) -> None:
    """Raise ShapeError if values do not match keys, or an interval exceeds them."""
    if v.shape[:3] != k.shape[:3]:
        raise ShapeError(f"Keys have the shape {tuple(k.shape)} and values {tuple(v.shape)}.")
    for bound in seen:
        fits = bound.dtype == torch.int32 and bound.is_contiguous() and bound.dim() == 2
        if not fits or bound.shape[1] != shape[1] or len(bound) not in (1, shape[0]):
            what = f"Bounds have the shape {tuple(bound.shape)} and {bound.dtype}"
            raise ShapeError(f"{what}; expected int32, {shape} or one row for all.")
    if len(seen.low) != len(seen.high) or (
        seen.low.numel() and (int(seen.low.min()) < 0 or int(seen.high.max()) > k.shape[2])
    ):
        raise ShapeError(f"Intervals reach beyond the {k.shape[2]} keys.")


def _as_float32(x: Tensor) -> Tensor:
    x = x.float()
    return x if x.stride(-1) == 1 else x.contiguous()


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
    return native.load_library(Path(__file__).with_name("softmax.cpp"), "")


def has_native_softmax(device_type: str, dtype: torch.dtype) -> bool:
    """Whether the native loops are available for a device type and dtype.

    GROUNDUP_SOFTMAX=torch disables them.
    """
    is_wanted = device.env_choice("GROUNDUP_SOFTMAX", "native", "torch") != "torch"
    return is_wanted and device_type == "cpu" and dtype in DTYPES and _softmax_library() is not None


# Compiled blocks hold the answer.
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
    return _call_loop("softmax_backward", weights, slope.contiguous(), low, high, scale)


def _call_loop(
    name: str, values: Float[Tensor, "B H T S"], slope: Float[Tensor, "B H T S"] | None,
    low: Int[Tensor, "b T"], high: Int[Tensor, "b T"], scale: float,
) -> Float[Tensor, "B H T S"]:  # fmt: skip
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
    _, low, high, ctx.scale = inputs
    ctx.save_for_backward(output, low, high)


def _softmax_backward(ctx, slope: Tensor) -> tuple[Tensor, None, None, None]:
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
