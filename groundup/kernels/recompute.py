"""Activation checkpointing: which activations are saved, and which are recomputed in backward.

    none       every operation saves what its gradient needs
    selective  matrix products save their results, unless those are larger than their inputs, as
               attention scores are; the cheaper operations are recomputed
    all        a layer saves only its input and runs again, for a third more arithmetic

Gradients are identical. Knows no models: a layer is a function of hidden states.
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
MATMUL_OPS = {aten.mm.default, aten.addmm.default, aten.bmm.default, aten.baddbmm.default}
ATTENTION_OPS = {
    aten._scaled_dot_product_flash_attention_for_cpu.default,
    aten._scaled_dot_product_flash_attention.default,
    aten._scaled_dot_product_efficient_attention.default,
    aten._scaled_dot_product_cudnn_attention.default,
}
"""Fused attention: its result is small and expensive."""


def with_recompute(
    layer: Callable[[Tensor], Tensor], kind: Recompute
) -> Callable[[Tensor], Tensor]:
    """Wrap a layer so that it saves only the activations that `kind` says.

    The layer must be deterministic and free of side effects: no dropout.
    """
    if kind == "none" or not torch.is_grad_enabled():
        return layer
    settings: dict[str, Any] = {"use_reentrant": False, "preserve_rng_state": False}
    if kind == "selective":
        policy = lambda ctx, op, *inputs, **_: _checkpoint_policy(op, inputs)  # noqa: E731
        settings["context_fn"] = partial(create_selective_checkpoint_contexts, policy)
    return lambda hidden: checkpoint(layer, hidden, **settings)


def _checkpoint_policy(op: Any, inputs: Sequence[Any]) -> CheckpointPolicy:
    """Whether an operation's result is saved: see `selective` above."""
    if op in ATTENTION_OPS:
        return CheckpointPolicy.MUST_SAVE
    if op not in MATMUL_OPS:
        return CheckpointPolicy.PREFER_RECOMPUTE
    left, right = [x for x in inputs if isinstance(x, Tensor)][-2:]
    made = left.numel() // left.shape[-1] * right.shape[-1]
    if op in (aten.mm.default, aten.addmm.default) or made <= left.numel() + right.numel():
        return CheckpointPolicy.MUST_SAVE
    return CheckpointPolicy.PREFER_RECOMPUTE
