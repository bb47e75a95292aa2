"""Expert parallelism: experts are distributed over processes, and tokens are sent to them and back.

    route           each process routes its own tokens; the router is replicated
    dispatch        hidden states to the processes of their experts  (all to all)
    compute         each expert on tokens from everywhere, in rank order
    combine         results back to their tokens                     (all to all)

Backward does the reverse. An expert's gradient is complete on its process; everything else is
summed over processes as along `data`. No token is dropped to make messages equal; an expert's
capacity, if set, is counted per process, as if its sequences were a micro-batch.
Router losses use the tokens of all processes: `summing_function` sums their statistics.
Source: Lepikhin et al. 2020, arXiv:2006.16668; statistics over all processes: Qiu et al. 2025,
arXiv:2501.11873.
"""

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, distributed, nn
from torch.distributed import ProcessGroup
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Shard

from groundup.core import ConfigError
from groundup.kernels import (
    ExpertRouting,
    ExpertWeights,
    combine_expert_outputs,
    run_experts,
    sort_pairs_by_expert,
)
from groundup.model import ModelConfig, Transformer

from .mesh import LOSS_DIMENSIONS, Mesh

EXPERT_WEIGHTS = ("gate_proj", "up_proj", "down_proj")
"""Expert weights, stacked by expert."""


def check_experts(config: ModelConfig, parts: int) -> None:
    """Raise ConfigError for a model whose experts do not divide among the processes."""
    experts = config.feedforward.experts
    if experts is None:
        raise ConfigError(
            f"Mesh dimension expert={parts} needs experts, but this model is dense; use data."
        )
    if experts.count % parts:
        raise ConfigError(
            f"feedforward.experts.count={experts.count} does not divide among mesh dimension "
            f"expert={parts}; choose a size that divides it."
        )
    if experts.bias:
        raise ConfigError(f"Mesh dimension expert={parts} has no place for biases of experts.")


def shard_experts(model: Transformer, line: DeviceMesh) -> None:
    """Keep this process's share of every layer's experts, in place.

    Their weights become DTensors, sharded by expert. Every process must have the same complete
    model. Raises ConfigError for a model whose experts do not divide.
    """
    check_experts(model.config, line.size())
    stacks = [model, model.encoder] if model.encoder is not None else [model]
    for block in (block for stack in stacks for block in stack.layers):
        experts = block.experts
        if experts is None:
            continue
        for name in EXPERT_WEIGHTS:
            weight = getattr(experts, name)
            if weight is not None:
                own = weight.detach().chunk(line.size())[line.get_local_rank()].clone()
                setattr(experts, name, nn.Parameter(DTensor.from_local(own, line, [Shard(0)])))
        experts.compute = partial(_dispatch_to_experts, line=line)  # type: ignore[union-attr]


def _dispatch_to_experts(
    hidden: Float[Tensor, "N D"],
    weights: ExpertWeights,
    choice: ExpertRouting,
    activation: Callable[[Tensor], Tensor],
    *,
    line: DeviceMesh,
) -> Float[Tensor, "N D"]:
    """The result of `kernels.experts`, with experts distributed over processes.

    A collective call, forward and backward, also for processes without tokens.
    """
    group, parts = line.get_group(), line.size()
    gate = None if weights.gate is None else _local_experts(weights.gate)
    own = ExpertWeights(_local_experts(weights.up), _local_experts(weights.down), gate)
    pairs = sort_pairs_by_expert(choice, len(weights.up))
    rows = hidden[pairs.tokens]
    if torch.is_autocast_enabled(hidden.device.type):  # as every matrix product would do
        rows = rows.to(torch.get_autocast_dtype(hidden.device.type))
    sent = torch.tensor(pairs.counts, device=hidden.device).view(parts, -1)  # (P, E / P)
    received = torch.empty_like(sent)
    distributed.all_to_all_single(received, sent, group=group)
    to, back = sent.sum(1).tolist(), received.sum(1).tolist()
    arrived = AllToAll.apply(rows, to, back, group)  # in rank order
    expert = torch.arange(sent.shape[1], device=hidden.device).repeat(parts)
    order = expert.repeat_interleave(received.flatten()).argsort(stable=True)
    results = run_experts(arrived[order], received.sum(0).tolist(), own, activation)
    returned = AllToAll.apply(results[order.argsort()], back, to, group)
    return combine_expert_outputs(returned, pairs, hidden)


def _local_experts(weight: Tensor) -> Tensor:
    return weight.to_local() if isinstance(weight, DTensor) else weight


class AllToAll(torch.autograd.Function):
    """Exchange rows with all processes of a group; the gradients are sent back."""

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, to: list[int], back: list[int], group: ProcessGroup
    ) -> Tensor:
        """Send each process its rows.

        to, back  number of rows sent to, and received from, each process
        """
        ctx.ways = to, back, group
        return _all_to_all_rows(rows, to, back, group)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        """Send each process the gradients of its rows."""
        to, back, group = ctx.ways
        return _all_to_all_rows(grad, back, to, group), None, None, None


def _all_to_all_rows(rows: Tensor, to: list[int], back: list[int], group: ProcessGroup) -> Tensor:
    received = rows.new_empty(sum(back), rows.shape[1])
    distributed.all_to_all_single(received, rows.contiguous(), back, to, group=group)
    return received


def summing_function(
    mesh: Mesh, along: Collection[str] = LOSS_DIMENSIONS
) -> Callable[[Tensor], Tensor] | None:
    """A function that sums tensors over processes with other targets, gradients too; None if alone.

    A sum that enters every process's loss has gradients from all of them, so these are summed too.
    """
    dimensions = [name for name in mesh.dimensions if name in along]
    if not dimensions:
        return None
    group = mesh.submesh(*dimensions).get_group()

    def add(tensor: Tensor) -> Tensor:
        return AllReduceWithGradient.apply(tensor, group)

    return add


class AllReduceWithGradient(torch.autograd.Function):
    """Sum over a group, with the gradient summed too."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, group: ProcessGroup) -> Tensor:
        """The sum, on every process."""
        ctx.group = group
        return _all_reduce(tensor, group)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        """The sum of all processes' gradients."""
        return _all_reduce(grad, ctx.group), None


def _all_reduce(tensor: Tensor, group: ProcessGroup) -> Tensor:
    total = tensor.clone()
    distributed.all_reduce(total, group=group)
    return total
