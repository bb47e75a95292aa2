"""Data parallelism: every process computes other sequences; ZeRO shards the training state.

The loss is a sum divided by the weight of the global step, so gradients are added, not averaged. A
process takes its sequences of the same global batch, so a step is the same on any number of
processes. On a mesh of data only, torch's DistributedDataParallel overlaps communication with
backward; otherwise gradients are reduced after it.

    stage   weights          gradients        optimizer states    bytes of one of N, for P numbers
    1       replicated       replicated       sharded             4 P + 4 P + k P / N
    2       gathered         sharded          sharded             4 P + 4 P / N + (4 + k) P / N
    3       block by block   sharded          sharded             4 block + (4 + 4 + k) P / N

with k bytes of optimizer state per number (8 for AdamW) and float32 weights. Stage 1 is implemented
here: the optimizer gets views of this process's rows of each weight, gradients are reduce-scattered
to the owners and updated rows are all-gathered. Stages 2 and 3 are torch's `fully_shard`, which
gathers a block's weights when it computes (2: and keeps them until backward), in addition to the
shards.
Source: Li et al. 2020, arXiv:2006.15704; Rajbhandari et al. 2019, arXiv:1910.02054; Zhao et al.
2023, arXiv:2304.11277 (FSDP).
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, distributed, nn
from torch.distributed import GradBucket, ProcessGroup
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import (
    FSDPModule,
    MixedPrecisionPolicy,
    fully_shard,
    register_fsdp_forward_method,
)
from torch.distributed.tensor import DTensor, Partial, Shard
from torch.futures import Future
from torch.nn.parallel import DistributedDataParallel

from groundup.core import ConfigError
from groundup.kernels import LossSum
from groundup.model import Transformer

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
    return work.get_future().then(lambda done: done.value()[0])


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


ZeroStage = int
"""1: optimizer states are sharded; 2: gradients too; 3: weights too; 0: all replicated."""


def apply_fully_shard(
    model: Transformer, line: DeviceMesh, precision: Precision, *, keep_gathered: bool
) -> None:
    """Shard a model's weights, gradients and optimizer states over a line of processes.

    line           one dimension, or two, and weights are replicated along the first (HSDP)
    keep_gathered  gathered weights stay from forward to backward (stage 2), or are gathered again

    Blocks gather their weights in the compute dtype; gradients are reduced in float32. Everything
    outside the blocks stays float32, and so does the residual stream, as under autocast alone.
    """
    compute = None if precision.dtype == torch.float32 else precision.dtype
    inner = MixedPrecisionPolicy(
        param_dtype=compute, reduce_dtype=torch.float32, cast_forward_inputs=False
    )
    for stack in _layer_stacks(model):
        for block in stack.layers:
            _sum_gradients_in_fsdp(fully_shard(block, mesh=line, mp_policy=inner,
                            reshard_after_forward=not keep_gathered))  # fmt: skip
    # The loss reads the head after the forward pass, so weights outside the blocks stay gathered.
    outer = MixedPrecisionPolicy(reduce_dtype=torch.float32, cast_forward_inputs=False)
    _sum_gradients_in_fsdp(
        fully_shard(model, mesh=line, mp_policy=outer, reshard_after_forward=False)
    )
    register_fsdp_forward_method(model, "encode")


def _layer_stacks(model: Transformer) -> list[Any]:
    return [model] if model.encoder is None else [model.encoder, model]


def call_blocks_through_hooks(model: Transformer) -> None:
    """Call compiled blocks through the hooks that gather their weights.

    Call this after `compile_blocks`, which makes a stack call its blocks past their hooks. No
    effect on models that are not compiled or not sharded.
    """
    for stack in _layer_stacks(model):
        if stack.is_compiled and isinstance(stack.layers[0], FSDPModule):
            stack.is_compiled = False
            for block in stack.layers:
                block.forward = block.forward_within_hooks


def shard_head(head: nn.Module, line: DeviceMesh) -> None:
    """Shard a head that is trained with the model; it is gathered when called."""
    _sum_gradients_in_fsdp(fully_shard(head, mesh=line, reshard_after_forward=False))


def _sum_gradients_in_fsdp(module: FSDPModule) -> None:
    """Sum gradients, not average: the loss is already divided by the weight of all processes."""
    module.set_gradient_divide_factor(1.0)
    module.set_force_sum_reduction_for_comms(True)


class OwnedWeightRows(NamedTuple):
    """A weight, and the rows of it that this process updates."""

    full: nn.Parameter
    owned: nn.Parameter
    """A DTensor whose local tensor is a view of the weight's rows."""
    elements_per_process: int
    """Elements of one process's rows; the last processes may have fewer, or none."""


class ZeroOneRows:
    """ZeRO stage 1: replicated weights, and the rows of each that this process updates."""

    def __init__(self, parameters: Mapping[str, nn.Parameter], line: DeviceMesh) -> None:
        """Divide each parameter by rows over a line of processes."""
        self.line, self.world_size, self.rank = line, line.size(), line.get_local_rank()
        self.weights = {name: self.own_rows_of(p) for name, p in parameters.items()}

    def own_rows_of(self, whole: nn.Parameter) -> OwnedWeightRows:
        """A view of this process's rows of a parameter."""
        each = -(-len(whole) // self.world_size)
        rows = whole.detach()[self.rank * each : (self.rank + 1) * each]
        own = DTensor.from_local(
            rows, self.line, [Shard(0)], run_check=False, shape=whole.shape, stride=whole.stride()
        )
        parameter = nn.Parameter(own, requires_grad=whole.requires_grad)
        return OwnedWeightRows(whole, parameter, each * (whole.numel() // max(1, len(whole))))

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """What the optimizer updates."""
        return {name: piece.owned for name, piece in self.weights.items()}

    def communication_buckets(self) -> Iterator[list[OwnedWeightRows]]:
        """Weights grouped into communication buckets."""
        trainable = [piece for piece in self.weights.values() if piece.full.requires_grad]
        by_weight = {id(piece.full): piece for piece in trainable}
        for bucket in gradient_buckets(piece.full for piece in trainable):
            yield [by_weight[id(tensor)] for tensor in bucket]

    @torch.no_grad()
    def reduce_scatter_gradients(self) -> None:
        """Reduce-scatter the gradients, so each process has those of its rows."""
        for bucket in self.communication_buckets():
            sizes = [piece.elements_per_process for piece in bucket]
            sent = bucket[0].full.new_zeros(self.world_size, sum(sizes))
            for piece, columns in zip(bucket, sent.split(sizes, 1), strict=True):
                if piece.full.grad is not None:
                    _copy_padded_rows(piece.full.grad, columns)
                    piece.full.grad = None
            partial = DTensor.from_local(sent, self.line, [Partial()], run_check=False)
            reduced = partial.redistribute(placements=[Shard(0)]).to_local().flatten()
            for piece, grad in zip(bucket, reduced.split(sizes), strict=True):
                rows = piece.owned.to_local()  # type: ignore[operator]
                piece.owned.grad = DTensor.from_local(
                    grad[: rows.numel()].view_as(rows), self.line, [Shard(0)], run_check=False,
                    shape=piece.full.shape, stride=piece.full.stride(),
                )  # fmt: skip

    @torch.no_grad()
    def all_gather_weights(self) -> None:
        """All-gather the updated rows."""
        for bucket in self.communication_buckets():
            sizes = [piece.elements_per_process for piece in bucket]
            sent = bucket[0].full.new_zeros(1, sum(sizes))
            for piece, room in zip(bucket, sent[0].split(sizes), strict=True):
                rows = piece.owned.to_local().flatten()  # type: ignore[operator]
                room[: rows.numel()] = rows
            full = DTensor.from_local(sent, self.line, [Shard(0)], run_check=False).full_tensor()
            for piece, columns in zip(bucket, full.split(sizes, 1), strict=True):
                flat = columns.flatten()[: piece.full.numel()]
                piece.full.copy_(flat.view_as(piece.full))


def _copy_padded_rows(whole: Tensor, columns: Tensor) -> None:
    flat, share = whole.flatten(), columns.shape[1]
    for row, start in zip(columns, range(0, flat.numel(), share), strict=False):
        part = flat[start : start + share]
        row[: len(part)] = part
