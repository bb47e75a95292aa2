"""Cross-entropy over a head whose ids are divided among processes.

Each process makes the logits of its own ids, a chunk of tokens at a time, and the processes tell
each other three numbers a token: the largest logit, the sum of exponentials and the target's logit.
So neither all logits of a token nor all ids' logits of a chunk exist anywhere. As in
`kernels.cross_entropy`, which it equals, gradients are made in forward.
Source: Shoeybi et al. 2019, arXiv:1909.08053, section 3 (parallel cross-entropy).
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, distributed
from torch.distributed import ProcessGroup, ReduceOp
from torch.distributed.tensor import DTensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

CHUNK = 1024
"""Tokens whose logits exist at one time."""


def parallel_cross_entropy(
    hidden: Float[Tensor, "N D"],
    head: Float[DTensor, "V D"],
    targets: Int[Tensor, " N"],
    weights: Float[Tensor, " N"],
    *,
    bias: Float[DTensor, " V"] | None = None,
    softcap: float | None = None,
    chunk: int = CHUNK,
) -> Float[Tensor, ""]:
    """Sum over tokens of weight * -log p(target), nats, the same on every process of the head.

    hidden  (N, D)  the same on every process; its gradient is each process's part of a sum
    head    (V, D)  divided by ids along one dimension of a mesh
    bias    (V,)    added to the logits, divided like the head

    The rest is as in `kernels.cross_entropy`.
    """
    compute = hidden.dtype
    if torch.is_autocast_enabled(hidden.device.type):
        compute = torch.get_autocast_dtype(hidden.device.type)
    _, offset = compute_local_shape_and_global_offset(head.shape, head.device_mesh, head.placements)
    plan = Plan(head.device_mesh.get_group(), offset[0], chunk, compute, softcap)
    own = head.to_local(grad_placements=head.placements)
    own_bias = None if bias is None else bias.to_local(grad_placements=bias.placements)
    return ParallelCrossEntropy.apply(hidden, own, own_bias, targets, weights, plan)


class Plan(NamedTuple):
    """Who has which ids, and how to walk over the tokens."""

    group: ProcessGroup
    first: int
    """This process's first id."""
    chunk: int
    compute: torch.dtype
    softcap: float | None


class ParallelCrossEntropy(torch.autograd.Function):
    """Loss and, already in forward, its gradients; see `parallel_cross_entropy`."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, head: Tensor, bias: Tensor | None, targets: Tensor,
        weights: Tensor, plan: Plan,
    ) -> Tensor:  # fmt: skip
        """Walk over the chunks; every process walks alike."""
        output = head.detach().to(plan.compute)
        total = output.new_zeros((), dtype=torch.promote_types(plan.compute, torch.float32))
        grad_hidden, grad_head, grad_bias = (
            torch.zeros_like(leaf) if leaf is not None and wanted else None
            for leaf, wanted in zip((hidden, head, bias), ctx.needs_input_grad, strict=False)
        )
        with torch.autocast(hidden.device.type, enabled=False):
            for start in range(0, hidden.shape[0], plan.chunk):
                part = slice(start, start + plan.chunk)
                inputs = hidden[part].detach().to(plan.compute)
                logits = inputs @ output.T  # (n, V / processes)
                losses, errors = parallel_errors(logits, bias, targets[part], weights[part], plan)
                total += losses.sum()
                if grad_hidden is not None:
                    grad_hidden[part] = errors @ output
                if grad_head is not None:
                    grad_head += errors.T @ inputs
                if grad_bias is not None:
                    grad_bias += errors.sum(0)
        ctx.save_for_backward(grad_hidden, grad_head, grad_bias)
        return total

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        """Scale the gradients that forward made."""
        scaled = [None if g is None else g * scale.to(g.dtype) for g in ctx.saved_tensors]
        return (*scaled, None, None, None)


def parallel_errors(
    logits: Float[Tensor, "N v"],
    bias: Float[Tensor, " v"] | None,
    targets: Int[Tensor, " N"],
    weights: Float[Tensor, " N"],
    plan: Plan,
) -> tuple[Float[Tensor, " N"], Float[Tensor, "N v"]]:
    """Weighted losses of a chunk, and their derivative by this process's products."""
    dtype, exact = logits.dtype, torch.promote_types(logits.dtype, torch.float32)
    if bias is not None:
        logits = logits + bias.detach().to(dtype)
    logits, slope = logits.to(exact), None
    if plan.softcap is not None:
        bent = torch.tanh(logits / plan.softcap)
        logits, slope = bent * plan.softcap, 1 - bent * bent
    largest = logits.amax(-1)  # (n,)
    distributed.all_reduce(largest, ReduceOp.MAX, group=plan.group)
    logits = logits - largest[:, None]
    own = targets - plan.first
    is_own = (own >= 0) & (own < logits.shape[1])
    own = own.clamp(0, logits.shape[1] - 1)[:, None]  # (n, 1)
    picked = logits.gather(-1, own).squeeze(-1) * is_own
    errors = logits.exp_()
    told = torch.stack([errors.sum(-1), picked])  # (2, n)
    distributed.all_reduce(told, group=plan.group)
    weights = weights.to(exact)
    losses = weights * (told[0].log() - told[1])
    errors *= (weights / told[0])[:, None]
    errors.scatter_add_(-1, own, -(weights * is_own)[:, None])
    return losses, (errors if slope is None else errors * slope).to(dtype)
