"""Recomputation: what a layer keeps for its backward pass, and what it computes there again.

    none       every operation keeps what its gradient needs
    selective  products keep their results, unless those are larger than what they were made of, as
               the scores of attention are; the cheap rest is computed again
    all        a layer keeps its input alone and runs again, which costs a third more arithmetic

Gradients are those of the same operations on the same numbers. Knows no models: a layer is a
function of hidden states.
Source: Chen et al. 2016, arXiv:1604.06174; selective: Korthikanti et al. 2022, arXiv:2205.05198.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import (
    CheckpointPolicy,
    checkpoint,
    create_selective_checkpoint_contexts,
)

Recompute = Literal["none", "selective", "all"]

aten: Any = torch.ops.aten
PRODUCTS = {aten.mm.default, aten.addmm.default, aten.bmm.default, aten.baddbmm.default}
FUSED = {
    aten._scaled_dot_product_flash_attention_for_cpu.default,
    aten._scaled_dot_product_flash_attention.default,
    aten._scaled_dot_product_efficient_attention.default,
    aten._scaled_dot_product_cudnn_attention.default,
}
"""Attention in one kernel: its result is small and costs much."""


def recomputing(layer: Callable[[Tensor], Tensor], kind: Recompute) -> Callable[[Tensor], Tensor]:
    """The layer, which keeps for its gradient only what `kind` says.

    The layer must do the same each time it is called: no dropout, nothing noted on the way.
    """
    if kind == "none" or not torch.is_grad_enabled():
        return layer
    settings: dict[str, Any] = {"use_reentrant": False, "preserve_rng_state": False}
    if kind == "selective":
        policy = lambda ctx, op, *inputs, **_: kept(op, inputs)  # noqa: E731
        settings["context_fn"] = partial(create_selective_checkpoint_contexts, policy)
    return lambda hidden: checkpoint(layer, hidden, **settings)


def kept(op: Any, inputs: Sequence[Any]) -> CheckpointPolicy:
    """Whether an operation's result is kept: see `selective` above."""
    if op in FUSED:
        return CheckpointPolicy.MUST_SAVE
    if op not in PRODUCTS:
        return CheckpointPolicy.PREFER_RECOMPUTE
    left, right = [each for each in inputs if isinstance(each, Tensor)][-2:]
    made = left.numel() // left.shape[-1] * right.shape[-1]
    if op in (aten.mm.default, aten.addmm.default) or made <= left.numel() + right.numel():
        return CheckpointPolicy.MUST_SAVE
    return CheckpointPolicy.PREFER_RECOMPUTE
