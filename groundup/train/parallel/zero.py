"""ZeRO: processes that see other rows hold a share of the training state each.

    stage   weights          gradients        optimizer states    held by one of N, of P numbers
    1       whole            whole            a share             4 P + 4 P + k P / N bytes
    2       gathered whole   a share          a share             4 P + 4 P / N + (4 + k) P / N
    3       a block at once  a share          a share             4 block + (4 + 4 + k) P / N

with k bytes of optimizer state a number (8 for AdamW) and float32 weights. Stage 1 is written here:
the optimizer is given views of this process's rows of each weight, gradients are scattered to their
owners and moved rows are gathered. Stages 2 and 3 are torch's `fully_shard`, which gathers the
weights of a block when it computes (2: and keeps them until backward), and needs a share of them
beside the whole ones.
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
from .data import buckets
from .mesh import Share

Stage = int
"""1, 2 or 3: states are divided, gradients too, weights too; 0: all is whole everywhere."""


def shard(
    model: Transformer, line: DeviceMesh, precision: Precision, *, keeps_weights: bool
) -> None:
    """Divide a model's weights, gradients and optimizer states over a line of processes.

    line           of one dimension; or of two, and the weights are whole along the first
    keeps_weights  gathered weights stay from forward to backward (stage 2), or are gathered again

    Blocks gather their weights in the compute dtype; gradients are added up in float32. What is
    outside the blocks stays float32, and with it the residual stream, as under autocast alone.
    """
    compute = None if precision.dtype == torch.float32 else precision.dtype
    inner = MixedPrecisionPolicy(
        param_dtype=compute, reduce_dtype=torch.float32, cast_forward_inputs=False
    )
    for stack in stacks_of(model):
        for block in stack.layers:
            add(fully_shard(block, mesh=line, mp_policy=inner,
                            reshard_after_forward=not keeps_weights))  # fmt: skip
    # The loss reads the head after the forward pass, so that what is outside stays gathered.
    outer = MixedPrecisionPolicy(reduce_dtype=torch.float32, cast_forward_inputs=False)
    add(fully_shard(model, mesh=line, mp_policy=outer, reshard_after_forward=False))
    register_fsdp_forward_method(model, "encode")


def stacks_of(model: Transformer) -> list[Any]:
    """The encoder, if there is one, and the decoder."""
    return [model] if model.encoder is None else [model.encoder, model]


def compile_within(model: Transformer) -> None:
    """Have compiled blocks called through the hooks that gather their weights.

    To be called after `compile_blocks`, which has a stack call blocks past their hooks; without
    that, or where nothing is sharded, nothing changes.
    """
    for stack in stacks_of(model):
        if stack.is_compiled and isinstance(stack.layers[0], FSDPModule):
            stack.is_compiled = False
            for block in stack.layers:
                block.forward = block.within_hooks


def shard_head(head: nn.Module, line: DeviceMesh) -> None:
    """Divide a head that is trained beside the model; it is gathered when it is called."""
    add(fully_shard(head, mesh=line, reshard_after_forward=False))


def add(module: FSDPModule) -> None:
    """Let gradients be added up: the loss is divided by the weight of all processes already."""
    module.set_gradient_divide_factor(1.0)
    module.set_force_sum_reduction_for_comms(True)


class Piece(NamedTuple):
    """A weight, and the rows of it that this process moves."""

    whole: nn.Parameter
    own: nn.Parameter
    """A DTensor whose local part is a view of the whole weight's rows."""
    share: int
    """Numbers of one process's rows; the last processes may have fewer, or none."""


class OwnRows:
    """ZeRO stage 1: whole weights, and the rows of each that this process moves."""

    def __init__(self, parameters: Mapping[str, nn.Parameter], line: DeviceMesh) -> None:
        """Divide each parameter by its rows over a line of processes."""
        self.line, self.parts, self.place = line, line.size(), line.get_local_rank()
        self.pieces = {name: self.piece(p) for name, p in parameters.items()}

    def piece(self, whole: nn.Parameter) -> Piece:
        """A view of this process's rows of a parameter."""
        each = -(-len(whole) // self.parts)
        rows = whole.detach()[self.place * each : (self.place + 1) * each]
        own = DTensor.from_local(
            rows, self.line, [Shard(0)], run_check=False, shape=whole.shape, stride=whole.stride()
        )
        parameter = nn.Parameter(own, requires_grad=whole.requires_grad)
        return Piece(whole, parameter, each * (whole.numel() // max(1, len(whole))))

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """What the optimizer moves."""
        return {name: piece.own for name, piece in self.pieces.items()}

    def runs(self) -> Iterator[list[Piece]]:
        """Pieces that travel together."""
        learnt = [piece for piece in self.pieces.values() if piece.whole.requires_grad]
        by_weight = {id(piece.whole): piece for piece in learnt}
        for run in buckets(piece.whole for piece in learnt):
            yield [by_weight[id(tensor)] for tensor in run]

    @torch.no_grad()
    def scatter(self) -> None:
        """Add up the gradients and leave each process those of its rows."""
        for run in self.runs():
            sizes = [piece.share for piece in run]
            sent = run[0].whole.new_zeros(self.parts, sum(sizes))
            for piece, columns in zip(run, sent.split(sizes, 1), strict=True):
                if piece.whole.grad is not None:
                    spread(piece.whole.grad, columns)
                    piece.whole.grad = None
            parts = DTensor.from_local(sent, self.line, [Partial()], run_check=False)
            found = parts.redistribute(placements=[Shard(0)]).to_local().flatten()
            for piece, part in zip(run, found.split(sizes), strict=True):
                like = piece.own.to_local()  # type: ignore[operator]
                piece.own.grad = DTensor.from_local(
                    part[: like.numel()].view_as(like), self.line, [Shard(0)], run_check=False,
                    shape=piece.whole.shape, stride=piece.whole.stride(),
                )  # fmt: skip

    @torch.no_grad()
    def gather(self) -> None:
        """Give every process the rows that the others moved."""
        for run in self.runs():
            sizes = [piece.share for piece in run]
            sent = run[0].whole.new_zeros(1, sum(sizes))
            for piece, part in zip(run, sent[0].split(sizes), strict=True):
                rows = piece.own.to_local().flatten()  # type: ignore[operator]
                part[: rows.numel()] = rows
            found = DTensor.from_local(sent, self.line, [Shard(0)], run_check=False).full_tensor()
            for piece, columns in zip(run, found.split(sizes, 1), strict=True):
                whole = columns.flatten()[: piece.whole.numel()]
                piece.whole.copy_(whole.view_as(piece.whole))


class Held(NamedTuple):
    """Bytes of the training state that a process holds at its fullest between two passes."""

    weights: int
    """Between forward and backward."""
    gradients: int
    """Between backward and the step."""
    states: int
    """Of the optimizer."""


def held(
    shapes: Mapping[str, torch.Size], share: Share, zero: Stage, *, compute_bytes: int = 4
) -> Held:
    """What a process of a line holds at a stage with AdamW, by formula; stage 0 divides nothing.

    share          this process's place in the line
    compute_bytes  of a number of a gathered block: 2 in bfloat16

    Shares of stages 2 and 3 are padded to equal rows, the optimizer's states are not. A block that
    is gathered while it computes comes on top in stage 3.
    """
    whole = sum(shape.numel() for shape in shapes.values())
    if zero == 0:
        return Held(4 * whole, 4 * whole, 8 * whole)
    states = 8 * sum(rows_of(s, share) * s[1:].numel() for s in shapes.values())
    if zero == 1:
        return Held(4 * whole, 4 * whole, states)
    each = {name: -(-s[0] // share.parts) * s[1:].numel() for name, s in shapes.items()}
    outer = sum(size for name, size in each.items() if ".layers." not in f".{name}")
    inner = sum(each.values()) - outer
    gathered = 4 * outer + (compute_bytes * inner if zero == 2 else 0)
    own = 4 * (inner + outer)
    return Held(own + gathered * share.parts, own, states)


def rows_of(shape: torch.Size, share: Share) -> int:
    """Rows of a tensor that fall to one of several processes.

    >>> [rows_of(torch.Size([5, 2]), Share(place, 4)) for place in range(4)]
    [2, 2, 1, 0]
    """
    each = -(-shape[0] // share.parts)
    return max(0, min(each, shape[0] - share.place * each))


def storage_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of the memory behind some tensors on this process, what they share counted once."""
    own = [tensor.to_local() if isinstance(tensor, DTensor) else tensor for tensor in tensors]
    stores = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in own}
    return sum(stores.values())


def spread(whole: Tensor, columns: Tensor) -> None:
    """Copy a tensor's rows to the rows of a matrix with one row a process, the last ones padded."""
    flat, share = whole.flatten(), columns.shape[1]
    for row, start in zip(columns, range(0, flat.numel(), share), strict=False):
        part = flat[start : start + share]
        row[: len(part)] = part
