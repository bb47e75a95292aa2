"""Tensor parallelism: every process has a shard of each matrix, for the same sequences.

    q, k, v, gate, up   sharded by outputs: a process has some heads and some inner features
    o, down             sharded by inputs: products are partial sums
    embedding, head     sharded by ids; the loss uses sharded logits
    norms               replicated, each process norming some of the positions (sequence parallel)

Between blocks hidden states are sharded by positions: all-gathered before a matrix sharded by
outputs, reduce-scattered after one sharded by inputs. torch's DTensor does the rest from the
placements, gradients included; hidden states leave the last norm unsharded.
For the loss each process computes the logits of its own ids, a chunk of tokens at a time, and the
processes exchange three numbers per token: the largest logit, the sum of exponentials and the
target's logit. As in `kernels.cross_entropy`, which it equals, gradients are computed in forward.
Source: Shoeybi et al. 2019, arXiv:1909.08053, with section 3 for the cross-entropy; Korthikanti et
al. 2022, arXiv:2205.05198.
"""

from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, distributed, nn
from torch.distributed import ProcessGroup, ReduceOp
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    PrepareModuleInput,
    RowwiseParallel,
    SequenceParallel,
    parallelize_module,
)
from torch.distributed.tensor.parallel.style import ParallelStyle

from groundup.core import ConfigError, ShapeError
from groundup.kernels import ChunkedCrossEntropy, LossPlan
from groundup.model import ModelConfig, Transformer

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
    _, offset = compute_local_shape_and_global_offset(head.shape, head.device_mesh, head.placements)
    ids = VocabularyShard(head.device_mesh.get_group(), offset[0])
    errors = partial(_parallel_errors, ids=ids, softcap=softcap)
    plan = LossPlan.of(hidden, head, chunk, errors)
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


NORMS = ("attention_norm", "attention_out_norm", "feedforward_norm", "feedforward_out_norm")
"""A block's norms, each over all features of some positions."""


def apply_tensor_parallel(model: Transformer, line: DeviceMesh) -> None:
    """Shard a decoder's matrices over a line of processes, in place.

    Every process must have the same weights. Raises ConfigError for unsupported models.
    """
    check_tensor_parallel(model.config, line.size())
    for block in model.layers:
        _parallelize_module(block, line, _block_plan(model.config, block))
    _parallelize_module(model, line, _outer_plan(model))
    if model.lm_bias is not None:
        model.lm_bias = nn.Parameter(
            distribute_tensor(model.lm_bias.detach(), line, [Shard(0)], src_data_rank=None)
        )
    model.norm.register_forward_hook(_gather_positions)
    model.register_forward_pre_hook(PositionCheck(line.size()), with_kwargs=True)


def _parallelize_module(
    module: nn.Module, line: DeviceMesh, plan: dict[str, ParallelStyle]
) -> None:
    parallelize_module(module, line, plan, src_data_rank=None)


def check_tensor_parallel(config: ModelConfig, parts: int) -> None:
    """Raise ConfigError naming what does not divide, or what is unsupported."""
    attention = config.attention
    sizes = {
        "attention.heads": attention.heads,
        "attention.kv_heads": attention.kv_heads,
        "feedforward.width": config.feedforward.width,
    }
    for name, size in sizes.items():
        if size % parts:
            raise ConfigError(
                f"{name}={size} does not divide among mesh dimension tensor={parts}; choose a "
                f"tensor size that divides {', '.join(f'{n}={s}' for n, s in sizes.items())}."
            )
    odd = {
        f"kind={config.kind!r}": config.kind != "decoder",
        "experts": config.feedforward.experts is not None,
        "latent attention": attention.latent is not None,
        "attention sinks": attention.sinks,
        f"position.kind={config.position.kind!r}": config.position.kind
        not in ("rope", "learned", "none"),
        f"output.transform={config.output.transform!r}": config.output.transform != "none",
    }
    for name, is_odd in odd.items():
        if is_odd:
            raise ConfigError(
                f"Mesh dimension tensor supports dense decoders with rotary, learned or no "
                f"positions; this model has {name}: use data, shard or pipeline."
            )


def _block_plan(config: ModelConfig, block: nn.Module) -> dict[str, ParallelStyle]:
    attention = PrepareModuleInput(
        input_layouts=(Shard(1), None), desired_input_layouts=(Replicate(), None)
    )
    feedforward = PrepareModuleInput(
        input_layouts=(Shard(1),), desired_input_layouts=(Replicate(),)
    )
    plan: dict[str, ParallelStyle] = {"attention": attention, "feedforward": feedforward}
    for name in ("attention.q_proj", "attention.k_proj", "attention.v_proj",
                 "feedforward.gate_proj", "feedforward.up_proj"):  # fmt: skip
        plan[name] = ColwiseParallel()
    for name in ("attention.o_proj", "feedforward.down_proj"):
        plan[name] = RowwiseParallel(output_layouts=Shard(1), use_local_output=False)
    if not config.feedforward.gated:
        del plan["feedforward.gate_proj"]
    plan |= {name: SequenceParallel() for name in NORMS if _has_weights(getattr(block, name))}
    by_head = SequenceParallel(sequence_dim=2, use_local_output=True)  # (B, T, H, K)
    for name in ("attention.q_norm", "attention.k_norm"):
        if config.attention.qk_norm != "none":
            plan[name] = by_head if config.attention.qk_norm == "head" else ShardedFeatureNorm()
    return plan


def _outer_plan(model: Transformer) -> dict[str, ParallelStyle]:
    plan: dict[str, ParallelStyle] = {
        name: RowwiseParallel(
            input_layouts=Replicate(), output_layouts=Shard(1), use_local_output=False
        )
        for name in ("embed_tokens", "embed_positions", "embed_types")
        if getattr(model, name) is not None
    }
    plan |= {
        n: SequenceParallel() for n in ("embed_norm", "norm") if _has_weights(getattr(model, n))
    }
    if model.lm_head is not None:
        plan["lm_head"] = ColwiseParallel()
    return plan


def _has_weights(module: nn.Module) -> bool:
    return any(True for _ in module.parameters())


class ShardedFeatureNorm(ParallelStyle):
    """A norm over all features where each process has some: mean squares are all-reduced."""

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        """Shard the weights; take and return this process's features."""
        for name, parameter in list(module.named_parameters()):
            part = distribute_tensor(parameter.detach(), device_mesh, [Shard(0)],
                                     src_data_rank=None)  # fmt: skip
            module.register_parameter(name, nn.Parameter(part))
        module.register_forward_pre_hook(
            lambda _, args: (DTensor.from_local(args[0], device_mesh, [Shard(-1)]),)
        )
        module.register_forward_hook(
            lambda _, args, output: output.redistribute(
                placements=[Shard(output.ndim - 1)]
            ).to_local()
        )
        return module


def _gather_positions(module: nn.Module, given: Any, hidden: DTensor) -> Tensor:
    """Hidden states of all positions; their gradient is reduced and sharded again."""
    full = hidden.redistribute(placements=[Replicate()]).to_local(grad_placements=[Partial()])
    return full.clone()  # not a view: fully_shard hooks the gradient of a model's output


class PositionCheck:
    """Rejects sequences whose positions do not divide among the processes."""

    def __init__(self, parts: int) -> None:
        self.parts = parts

    def __call__(self, module: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Raise ShapeError before anything is computed."""
        ids = given[0] if given else named["ids"]
        if ids.shape[1] % self.parts:
            raise ShapeError(
                f"Sequences of {ids.shape[1]} positions do not divide among mesh dimension tensor="
                f"{self.parts}; use multiples of it for length and context_length."
            )
