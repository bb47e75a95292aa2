"""Data parallel: every process computes other rows, and their gradients are added up.

The loss is a sum divided by the weight of the whole step, so gradients of processes add; they are
not averaged. A process takes its rows of the batch that one process would have computed whole, so
that a step is the same on any number of them. Where processes have nothing but data between them,
torch's DistributedDataParallel sends gradients while backward still runs; else they are added up
after it.
Source: Li et al. 2020, arXiv:2006.15704.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed import GradBucket, ProcessGroup
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor
from torch.futures import Future
from torch.nn.parallel import DistributedDataParallel

from groundup.core import ConfigError
from groundup.kernels import LossSum

from ..batches import Batch, split
from ..loop import Gradients, Loss, backward
from ..optim.sharded import local
from ..precision import Precision
from .mesh import SEES_OTHER_TARGETS, Mesh

BUCKET_BYTES = 25 * 2**20
"""Gradients that travel together: fewer calls, and no second copy of all of them."""


def own_rows(batch: Batch, mesh: Mesh) -> Batch:
    """The rows of a batch that this process computes.

    Raises ConfigError if processes would have unequal shares.
    """
    check_rows(len(batch.ids), mesh)
    place, parts = mesh.rows
    return split(batch, parts)[place] if parts > 1 else batch


def check_rows(rows: int, mesh: Mesh) -> None:
    """Refuse a batch of so many rows if processes would have unequal shares: ConfigError."""
    parts = mesh.rows[1]
    if rows % parts:
        raise ConfigError(
            f"A batch of {rows} rows does not divide among the {parts} processes of the mesh that "
            f"have rows of their own; make batch_tokens / length a multiple of {parts} at every "
            "length of the run, its last stretch's too."
        )


class Losing(nn.Module):
    """A model and its loss as one module: DistributedDataParallel watches a forward pass."""

    def __init__(self, model: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, batch: Batch) -> LossSum:
        """What the model loses on a micro-batch."""
        return self.loss(self.model, batch)


def overlapped(
    model: nn.Module, loss: Loss, precision: Precision, group: ProcessGroup
) -> Gradients:
    """Gradients summed over a group while the last micro-batch's backward runs."""
    whole = DistributedDataParallel(Losing(model, loss), process_group=group)
    whole.register_comm_hook(group, summing)

    def one(batch: Batch, weight: float) -> float:
        return backward(whole, batch, lambda _, part: whole(part), weight, precision)

    def gradients(micro_batches: Sequence[Batch], weight: float) -> float:
        with whole.no_sync():
            early = sum(one(batch, weight) for batch in micro_batches[:-1])
        return early + one(micro_batches[-1], weight)

    return gradients


def summing(group: ProcessGroup, bucket: GradBucket) -> Future[Tensor]:
    """Add up a bucket of gradients; torch's own hook would average them."""
    work = distributed.all_reduce(bucket.buffer(), group=group, async_op=True)
    assert work is not None, "asynchronous calls give their work"
    return work.get_future().then(first_value)


def first_value(done: Future[Any]) -> Tensor:
    """The tensor of a finished collective."""
    return done.value()[0]


def summed(accumulate: Gradients, parameters: Sequence[nn.Parameter], mesh: Mesh) -> Gradients:
    """Gradients that are added up over the mesh once all micro-batches are through."""

    def gradients(micro_batches: Sequence[Batch], weight: float) -> float:
        found = accumulate(micro_batches, weight)
        sum_gradients(parameters, mesh)
        return found

    return gradients


@torch.no_grad()
def sum_gradients(
    parameters: Iterable[nn.Parameter], mesh: Mesh, along: Collection[str] = SEES_OTHER_TARGETS
) -> None:
    """Add up gradients along those dimensions that a parameter is not divided over.

    A parameter without a gradient counts as zeros: another process may have one.
    """
    alike: dict[tuple[str, ...], list[Tensor]] = {}
    for parameter in parameters:
        if parameter.requires_grad:
            placed = dimensions_of(parameter)
            apart = tuple(d for d in mesh.dimensions if d in along and d not in placed)
            alike.setdefault(apart, []).append(whole_gradient(parameter))
    for dimensions, gradients in alike.items():
        if dimensions:
            group = mesh.line(*dimensions).get_group()
            for bucket in buckets(gradients):
                flat = torch.cat([gradient.flatten() for gradient in bucket])
                distributed.all_reduce(flat, group=group)
                for gradient, part in zip(
                    bucket, flat.split([g.numel() for g in bucket]), strict=True
                ):
                    gradient.copy_(part.view_as(gradient))


def whole_gradient(parameter: nn.Parameter) -> Tensor:
    """What this process holds of a gradient, summed as far as its parameter's mesh goes."""
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    if isinstance(parameter, DTensor) and isinstance(parameter.grad, DTensor):
        if parameter.grad.placements != parameter.placements:  # a sum that is still outstanding
            parameter.grad = parameter.grad.redistribute(placements=parameter.placements)
    return local(parameter.grad)


def dimensions_of(tensor: Tensor) -> tuple[str, ...]:
    """Dimensions of the mesh that a tensor is placed on; none if it is a plain one."""
    return names_of(tensor.device_mesh) if isinstance(tensor, DTensor) else ()


def names_of(mesh: DeviceMesh) -> tuple[str, ...]:
    """Names of a mesh's dimensions, those that were made into one apart."""
    return tuple(part for name in mesh.mesh_dim_names or () for part in name.split("_"))


def buckets(tensors: Iterable[Tensor], limit: int = BUCKET_BYTES) -> Iterator[list[Tensor]]:
    """Cut a list into runs of one dtype and at most so many bytes, or of one tensor.

    >>> [len(run) for run in buckets([torch.zeros(2), torch.zeros(2), torch.zeros(2)], 16)]
    [2, 1]
    """
    run: list[Tensor] = []
    held = 0
    for tensor in tensors:
        if run and (held + tensor.nbytes > limit or tensor.dtype != run[0].dtype):
            yield run
            run, held = [], 0
        run.append(tensor)
        held += tensor.nbytes
    if run:
        yield run
