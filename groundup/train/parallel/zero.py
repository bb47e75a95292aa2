"""ZeRO: data-parallel processes each hold a shard of the training state.

    stage   weights          gradients        optimizer states    bytes of one of N, for P numbers
    1       replicated       replicated       sharded             4 P + 4 P + k P / N
    2       gathered         sharded          sharded             4 P + 4 P / N + (4 + k) P / N
    3       block by block   sharded          sharded             4 block + (4 + 4 + k) P / N

with k bytes of optimizer state per number (8 for AdamW) and float32 weights. Stage 1 is implemented
here: the optimizer gets views of this process's rows of each weight, gradients are reduce-scattered
to the owners and updated rows are all-gathered. Stages 2 and 3 are torch's `fully_shard`, which
gathers a block's weights when it computes (2: and keeps them until backward), in addition to the
shards.
Source: Rajbhandari et al. 2019, arXiv:1910.02054; Zhao et al. 2023, arXiv:2304.11277 (FSDP).
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import (
    FSDPModule,
    MixedPrecisionPolicy,
    fully_shard,
    register_fsdp_forward_method,
)
from torch.distributed.tensor import DTensor, Partial, Shard

from groundup.model import Transformer

from ..precision import Precision
from .data import gradient_buckets
from .mesh import RankOf

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
    """The encoder, if there is one, and the decoder."""
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


class TrainingStateBytes(NamedTuple):
    """Bytes of training state per process, at its largest between two passes."""

    weights: int
    """Between forward and backward."""
    gradients: int
    """Between backward and the optimizer step."""
    states: int
    """Of the optimizer."""


def _training_state_bytes(
    shapes: Mapping[str, torch.Size], share: RankOf, zero: ZeroStage, *, compute_bytes: int = 4
) -> TrainingStateBytes:
    """Bytes per process at a ZeRO stage with AdamW, by formula; stage 0 shards nothing.

    share          this process's rank in the line, and the line's size
    compute_bytes  per element of a gathered block: 2 in bfloat16

    Shards of stages 2 and 3 are padded to equal rows, optimizer states are not. In stage 3 the
    block that is gathered while it computes comes on top.
    """
    total = sum(shape.numel() for shape in shapes.values())
    if zero == 0:
        return TrainingStateBytes(4 * total, 4 * total, 8 * total)
    states = 8 * sum(_rows_of_rank(s, share) * s[1:].numel() for s in shapes.values())
    if zero == 1:
        return TrainingStateBytes(4 * total, 4 * total, states)
    each = {name: -(-s[0] // share.parts) * s[1:].numel() for name, s in shapes.items()}
    outer = sum(size for name, size in each.items() if ".layers." not in f".{name}")
    inner = sum(each.values()) - outer
    gathered = 4 * outer + (compute_bytes * inner if zero == 2 else 0)
    own = 4 * (inner + outer)
    return TrainingStateBytes(own + gathered * share.parts, own, states)


def _rows_of_rank(shape: torch.Size, share: RankOf) -> int:
    """Rows of a tensor on one of several processes.

    >>> [_rows_of_rank(torch.Size([5, 2]), RankOf(rank, 4)) for rank in range(4)]
    [2, 2, 1, 0]
    """
    each = -(-shape[0] // share.parts)
    return max(0, min(each, shape[0] - share.rank * each))


def _local_storage_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of the local storage of some tensors; shared storage counts once."""
    own = [tensor.to_local() if isinstance(tensor, DTensor) else tensor for tensor in tensors]
    stores = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in own}
    return sum(stores.values())


def _copy_padded_rows(whole: Tensor, columns: Tensor) -> None:
    """Copy a tensor into a matrix with one row per process, padding the last ones."""
    flat, share = whole.flatten(), columns.shape[1]
    for row, start in zip(columns, range(0, flat.numel(), share), strict=False):
        part = flat[start : start + share]
        row[: len(part)] = part
