"""Expert parallel: experts spread over processes, to which tokens travel and come back.

    route           each process its own rows' tokens, by a router that all have whole
    send            rows to the processes of their experts           (all to all)
    compute         each expert on what came from everywhere, in the order of the processes
    bring back      results to the tokens they belong to             (all to all)

Backward takes the same ways. An expert's gradient is whole where the expert is; all else is summed
over processes as along `data`. No token is dropped for the sake of equal messages; an expert's
capacity, where there is one, is counted on each process, as if its rows were a micro-batch.
Routers are kept useful by losses over the tokens of all processes: `added` sums their statistics.
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
from groundup.kernels import Choice, ExpertWeights, brought_back, networks, sorted_pairs
from groundup.model import ModelConfig, Transformer

from .mesh import SEES_OTHER_TARGETS, Mesh

DIVIDED = ("gate_proj", "up_proj", "down_proj")
"""An expert's own weights, stacked by expert."""


def check_experts(config: ModelConfig, parts: int) -> None:
    """Raise ConfigError for a model whose experts do not divide."""
    experts = config.feedforward.experts
    if experts is None:
        raise ConfigError(
            f"Mesh dimension expert={parts} divides experts, and this model is dense; use data."
        )
    if experts.count % parts:
        raise ConfigError(
            f"feedforward.experts.count={experts.count} does not divide among mesh dimension "
            f"expert={parts}; choose a size that divides it."
        )


def spread_experts(model: Transformer, line: DeviceMesh) -> None:
    """Leave each process of a line its share of every layer's experts, in place.

    Their weights become DTensors, divided by expert. Every process must hold the same whole model.
    Raises ConfigError for a model whose experts do not divide.
    """
    check_experts(model.config, line.size())
    stacks = [model, model.encoder] if model.encoder is not None else [model]
    for block in (block for stack in stacks for block in stack.layers):
        experts = block.experts
        if experts is None:
            continue
        for name in DIVIDED:
            weight = getattr(experts, name)
            if weight is not None:
                own = weight.detach().chunk(line.size())[line.get_local_rank()].clone()
                setattr(experts, name, nn.Parameter(DTensor.from_local(own, line, [Shard(0)])))
        experts.compute = partial(travelling, line=line)  # type: ignore[union-attr]


def travelling(
    hidden: Float[Tensor, "N D"],
    weights: ExpertWeights,
    choice: Choice,
    activation: Callable[[Tensor], Tensor],
    *,
    line: DeviceMesh,
) -> Float[Tensor, "N D"]:
    """What `kernels.experts` gives, by experts that are spread over processes.

    All processes of the line call it together, forward and backward, with tokens or without.
    """
    group, parts = line.get_group(), line.size()
    gate = None if weights.gate is None else held(weights.gate)
    own = ExpertWeights(held(weights.up), held(weights.down), gate)
    pairs = sorted_pairs(choice, len(weights.up))
    rows = hidden[pairs.tokens]
    if torch.is_autocast_enabled(hidden.device.type):  # as every product would round them
        rows = rows.to(torch.get_autocast_dtype(hidden.device.type))
    sent = torch.tensor(pairs.counts, device=hidden.device).view(parts, -1)  # (P, E / P)
    came = torch.empty_like(sent)
    distributed.all_to_all_single(came, sent, group=group)
    to, back = sent.sum(1).tolist(), came.sum(1).tolist()
    arrived = AllToAll.apply(rows, to, back, group)  # process by process
    expert = torch.arange(sent.shape[1], device=hidden.device).repeat(parts)
    order = expert.repeat_interleave(came.flatten()).argsort(stable=True)
    results = networks(arrived[order], came.sum(0).tolist(), own, activation)
    returned = AllToAll.apply(results[order.argsort()], back, to, group)
    return brought_back(returned, pairs, hidden)


def held(weight: Tensor) -> Tensor:
    """What this process has of the experts; gradients flow to it."""
    return weight.to_local() if isinstance(weight, DTensor) else weight


class AllToAll(torch.autograd.Function):
    """Rows to all processes of a group and from all; their gradients take the way back."""

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, to: list[int], back: list[int], group: ProcessGroup
    ) -> Tensor:
        """Send each process its rows.

        to, back  how many rows go to each process, and how many come from it
        """
        ctx.ways = to, back, group
        return exchanged(rows, to, back, group)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        """Send each process the gradients of its rows."""
        to, back, group = ctx.ways
        return exchanged(grad, back, to, group), None, None, None


def exchanged(rows: Tensor, to: list[int], back: list[int], group: ProcessGroup) -> Tensor:
    """What comes of sending each process of a group some rows."""
    found = rows.new_empty(sum(back), rows.shape[1])
    distributed.all_to_all_single(found, rows.contiguous(), back, to, group=group)
    return found


def added(
    mesh: Mesh, along: Collection[str] = SEES_OTHER_TARGETS
) -> Callable[[Tensor], Tensor] | None:
    """Summing tensors over processes with other targets, gradients too; None if there are none.

    A sum that enters every process's loss has the gradients of all of them: they are summed too.
    """
    dimensions = [name for name in mesh.dimensions if name in along]
    if not dimensions:
        return None
    group = mesh.line(*dimensions).get_group()

    def add(tensor: Tensor) -> Tensor:
        return Added.apply(tensor, group)

    return add


class Added(torch.autograd.Function):
    """A tensor's sum over a group, and its gradients'."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, group: ProcessGroup) -> Tensor:
        """The sum, on every process."""
        ctx.group = group
        return summed(tensor, group)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        """The sum of all processes' gradients."""
        return summed(grad, ctx.group), None


def summed(tensor: Tensor, group: ProcessGroup) -> Tensor:
    """A tensor's sum over a group."""
    whole = tensor.clone()
    distributed.all_reduce(whole, group=group)
    return whole
