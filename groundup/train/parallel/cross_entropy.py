"""Cross-entropy over an output head that is sharded by ids.

Each process computes the logits of its own ids, a chunk of tokens at a time, and the processes
exchange three numbers per token: the largest logit, the sum of exponentials and the target's logit.
So neither all logits of a token nor all tokens' logits of an id are ever in memory. As in
`kernels.cross_entropy`, which it equals, gradients are computed in forward.
Source: Shoeybi et al. 2019, arXiv:1909.08053, section 3 (parallel cross-entropy).
"""

from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, distributed
from torch.distributed import ProcessGroup, ReduceOp
from torch.distributed.tensor import DTensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

from groundup.kernels import ChunkedCrossEntropy, LossPlan

CHUNK_TOKENS = 1024
"""Tokens per chunk of logits."""


def parallel_cross_entropy(
    hidden: Float[Tensor, "N D"],
    head: Float[DTensor, "V D"],
    targets: Int[Tensor, " N"],
    weights: Float[Tensor, " N"],
    *,
    bias: Float[DTensor, " V"] | None = None,
    softcap: float | None = None,
    chunk: int = CHUNK_TOKENS,
) -> Float[Tensor, ""]:
    """Sum over tokens of weight * -log p(target), nats, the same on every process of the head.

    hidden  (N, D)  replicated; its gradient is each process's partial sum
    head    (V, D)  sharded by ids along one dimension of a mesh
    bias    (V,)    added to the logits, sharded like the head

    The rest is as in `kernels.cross_entropy`.
    """
    compute = hidden.dtype
    if torch.is_autocast_enabled(hidden.device.type):
        compute = torch.get_autocast_dtype(hidden.device.type)
    _, offset = compute_local_shape_and_global_offset(head.shape, head.device_mesh, head.placements)
    ids = VocabularyShard(head.device_mesh.get_group(), offset[0])
    plan = LossPlan(chunk, compute, partial(_parallel_errors, ids=ids, softcap=softcap))
    own = head.to_local(grad_placements=head.placements)
    own_bias = None if bias is None else bias.to_local(grad_placements=bias.placements)
    return ChunkedCrossEntropy.apply(hidden, own, own_bias, targets, weights, plan)


class VocabularyShard(NamedTuple):
    """Which ids this process has."""

    group: ProcessGroup
    first: int


def _parallel_errors(
    logits: Float[Tensor, "N v"],
    bias: Float[Tensor, " v"] | None,
    targets: Int[Tensor, " N"],
    weights: Float[Tensor, " N"],
    *,
    ids: VocabularyShard,
    softcap: float | None,
) -> tuple[Float[Tensor, " N"], Float[Tensor, "N v"]]:
    """Weighted losses of a chunk, and their derivative with respect to this process's logits."""
    dtype, exact = logits.dtype, torch.promote_types(logits.dtype, torch.float32)
    if bias is not None:
        logits = logits + bias.detach().to(dtype)
    logits, slope = logits.to(exact), None
    if softcap is not None:
        bent = torch.tanh(logits / softcap)
        logits, slope = bent * softcap, 1 - bent * bent
    largest = logits.amax(-1)  # (n,)
    distributed.all_reduce(largest, ReduceOp.MAX, group=ids.group)
    logits = logits - largest[:, None]
    own = targets - ids.first
    is_own = (own >= 0) & (own < logits.shape[1])
    own = own.clamp(0, logits.shape[1] - 1)[:, None]  # (n, 1)
    picked = logits.gather(-1, own).squeeze(-1) * is_own
    errors = logits.exp_()
    sums = torch.stack([errors.sum(-1), picked])  # (2, n)
    distributed.all_reduce(sums, group=ids.group)
    total, target_logit = sums
    weights = weights.to(exact)
    losses = weights * (total.log() - target_logit)
    errors *= (weights / total)[:, None]
    errors.scatter_add_(-1, own, -(weights * is_own)[:, None])
    return losses, (errors if slope is None else errors * slope).to(dtype)
