"""Data parallelism: every process computes other sequences, and their gradients are summed.

The loss is a sum divided by the weight of the global step, so gradients are added, not averaged. A
process takes its sequences of the same global batch, so a step is the same on any number of
processes. On a mesh of data only, torch's DistributedDataParallel overlaps communication with
backward; otherwise gradients are reduced after it.
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

from ..batches import MicroBatch, split_batch
from ..loop import Gradients, Loss, backward
from ..optim.sharded import local_tensor
from ..precision import Precision
from .mesh import LOSS_DIMENSIONS, Mesh

BUCKET_BYTES = 25 * 2**20
"""Bucket size for gradient communication: fewer calls, without copying all gradients."""


def local_sequences(batch: MicroBatch, mesh: Mesh) -> MicroBatch:
    """The sequences of a batch that this process computes.

    Raises ConfigError if processes would have unequal numbers.
    """
    check_batch_divides(len(batch.ids), mesh)
    rank, parts = mesh.batch_rank
    return split_batch(batch, parts)[rank] if parts > 1 else batch


def check_batch_divides(sequences: int, mesh: Mesh) -> None:
    """Raise ConfigError if a number of sequences does not divide among the processes."""
    parts = mesh.batch_rank[1]
    if sequences % parts:
        raise ConfigError(
            f"A batch of {sequences} sequences does not divide among {parts} data-parallel "
            f"processes; "
            f"make batch_tokens / length a multiple of {parts} at every length of the run, "
            "context_length included."
        )


class ModelWithLoss(nn.Module):
    """A model and its loss as one module: DistributedDataParallel hooks a forward pass."""

    def __init__(self, model: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, batch: MicroBatch) -> LossSum:
        """The loss of a micro-batch."""
        return self.loss(self.model, batch)


def overlapped_gradients(
    model: nn.Module, loss: Loss, precision: Precision, group: ProcessGroup
) -> Gradients:
    """Gradients reduced over a group during the last micro-batch's backward."""
    ddp = DistributedDataParallel(ModelWithLoss(model, loss), process_group=group)
    ddp.register_comm_hook(group, _sum_hook)

    def add_gradients(batch: MicroBatch, weight: float) -> float:
        return backward(ddp, batch, lambda _, part: ddp(part), weight, precision)

    def gradients(micro_batches: Sequence[MicroBatch], weight: float) -> float:
        with ddp.no_sync():
            early = sum(add_gradients(batch, weight) for batch in micro_batches[:-1])
        return early + add_gradients(micro_batches[-1], weight)

    return gradients


def _sum_hook(group: ProcessGroup, bucket: GradBucket) -> Future[Tensor]:
    """Sum a bucket of gradients; torch's default hook would average."""
    work = distributed.all_reduce(bucket.buffer(), group=group, async_op=True)
    assert work is not None, "asynchronous calls return their work"
    return work.get_future().then(_first_value)


def _first_value(done: Future[Any]) -> Tensor:
    """The tensor of a finished collective."""
    return done.value()[0]


def summed_gradients(
    accumulate: Gradients, parameters: Sequence[nn.Parameter], mesh: Mesh
) -> Gradients:
    """Gradients summed over the mesh after all micro-batches."""

    def gradients(micro_batches: Sequence[MicroBatch], weight: float) -> float:
        loss_share = accumulate(micro_batches, weight)
        sum_gradients(parameters, mesh)
        return loss_share

    return gradients


@torch.no_grad()
def sum_gradients(
    parameters: Iterable[nn.Parameter], mesh: Mesh, along: Collection[str] = LOSS_DIMENSIONS
) -> None:
    """All-reduce gradients along those dimensions that a parameter is not sharded over.

    A missing gradient counts as zeros: another process may have one.
    """
    by_dimensions: dict[tuple[str, ...], list[Tensor]] = {}
    for parameter in parameters:
        if parameter.requires_grad:
            placed = _placed_dimensions(parameter)
            missing = tuple(d for d in mesh.dimensions if d in along and d not in placed)
            by_dimensions.setdefault(missing, []).append(_reduced_gradient(parameter))
    for dimensions, gradients in by_dimensions.items():
        if dimensions:
            group = mesh.submesh(*dimensions).get_group()
            for bucket in gradient_buckets(gradients):
                flat = torch.cat([gradient.flatten() for gradient in bucket])
                distributed.all_reduce(flat, group=group)
                for gradient, part in zip(
                    bucket, flat.split([g.numel() for g in bucket]), strict=True
                ):
                    gradient.copy_(part.view_as(gradient))


def _reduced_gradient(parameter: nn.Parameter) -> Tensor:
    """This process's gradient, reduced over the mesh of its parameter."""
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    if isinstance(parameter, DTensor) and isinstance(parameter.grad, DTensor):
        if parameter.grad.placements != parameter.placements:  # a pending reduction
            parameter.grad = parameter.grad.redistribute(placements=parameter.placements)
    return local_tensor(parameter.grad)


def _placed_dimensions(tensor: Tensor) -> tuple[str, ...]:
    """Mesh dimensions that a tensor is placed on; none if it is a plain one."""
    return _dimension_names(tensor.device_mesh) if isinstance(tensor, DTensor) else ()


def _dimension_names(mesh: DeviceMesh) -> tuple[str, ...]:
    """Names of a mesh's dimensions, flattened ones separated."""
    return tuple(part for name in mesh.mesh_dim_names or () for part in name.split("_"))


def gradient_buckets(
    tensors: Iterable[Tensor], limit: int = BUCKET_BYTES
) -> Iterator[list[Tensor]]:
    """Group tensors in order into buckets of one dtype and at most `limit` bytes.

    >>> [len(bucket) for bucket in gradient_buckets([torch.zeros(2)] * 3, 16)]
    [2, 1]
    """
    bucket: list[Tensor] = []
    size = 0
    for tensor in tensors:
        if bucket and (size + tensor.nbytes > limit or tensor.dtype != bucket[0].dtype):
            yield bucket
            bucket, size = [], 0
        bucket.append(tensor)
        size += tensor.nbytes
    if bucket:
        yield bucket
