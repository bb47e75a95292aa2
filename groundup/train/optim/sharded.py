"""Local shards and complete tensors, for plain tensors and DTensors alike.

A sharded weight (by FSDP or a tensor-parallel plan) is a DTensor of which this process has a shard.
Elementwise updates work on the shards; `full_tensor` gathers, `extract_shard` extracts this
process's shard
again, without communication. A plain tensor is its own shard, so callers need not distinguish.
"""

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, Replicate, distribute_tensor, empty
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset


def local_tensor(tensor: Tensor) -> Tensor:
    """This process's shard, without copying."""
    with torch.no_grad():
        return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def place_gradient(gradient: Tensor, weight: Tensor) -> Tensor:
    """A gradient placed as its weight is; partial sums are reduced."""
    if isinstance(gradient, DTensor) and isinstance(weight, DTensor):
        if gradient.placements != weight.placements:
            return gradient.redistribute(placements=weight.placements)
    return gradient


def full_like_placement(
    weight: Tensor, shape: tuple[int, ...], dtype: torch.dtype, fill: int = 0
) -> Tensor:
    """A constant tensor of another shape, placed as the weight is."""
    if not isinstance(weight, DTensor):
        return torch.full(shape, fill, dtype=dtype, device=weight.device)
    mesh, placements = weight.device_mesh, weight.placements
    tensor = empty(shape, dtype=dtype, device_mesh=mesh, placements=placements)
    tensor.to_local().fill_(fill)
    return tensor


def reduce_partial(tensor: Tensor) -> Tensor:
    """A tensor with its partial sums reduced."""
    if isinstance(tensor, DTensor) and any(each.is_partial() for each in tensor.placements):
        reduced = [Replicate() if each.is_partial() else each for each in tensor.placements]
        return tensor.redistribute(placements=reduced)
    return tensor


def full_tensor(tensor: Tensor) -> Tensor:
    """The complete tensor, gathered on every process if it is sharded."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def gather_shards(part: Tensor, weight: Tensor) -> Tensor:
    """The complete tensor, from shards placed as the weight is."""
    if not isinstance(weight, DTensor):
        return part
    return DTensor.from_local(
        part, weight.device_mesh, weight.placements,
        run_check=False, shape=weight.shape, stride=weight.stride(),
    ).full_tensor()  # fmt: skip


def extract_shard(tensor: Tensor, weight: Tensor) -> Tensor:
    """This process's shard of a complete tensor, placed as the weight is."""
    if not isinstance(weight, DTensor):
        return tensor
    mesh, placements = weight.device_mesh, weight.placements
    return distribute_tensor(tensor, mesh, placements, src_data_rank=None).to_local()


def copy_into(into: Tensor, source: Tensor) -> None:
    """Fill a tensor from a complete one, or from one that is sharded as it is."""
    is_sharded = isinstance(source, DTensor)
    local_tensor(into).copy_(local_tensor(source) if is_sharded else extract_shard(source, into))


def flat_indices(tensor: Tensor, rows: slice = slice(None), columns: slice = slice(None)) -> Tensor:
    """Flat index of each element of this process's shard in the complete tensor, mod 2^32 (int32).

    rows     of the shard: along the first axis
    columns  of those: along the last one

    >>> flat_indices(torch.zeros(3, 2), slice(1, 3))
    tensor([[2, 3],
            [4, 5]], dtype=torch.int32)
    """
    size, first = tuple(tensor.shape), (0,) * tensor.ndim
    if isinstance(tensor, DTensor):
        mesh, placements = tensor.device_mesh, tensor.placements
        size, first = compute_local_shape_and_global_offset(tensor.shape, mesh, placements)
    index = torch.zeros((), dtype=torch.int32, device=tensor.device)
    stride = 1
    for axis in reversed(range(tensor.ndim)):
        along = torch.arange(first[axis], first[axis] + size[axis], device=tensor.device)
        if axis == 0:
            along = along[rows]
        if axis == tensor.ndim - 1:
            along = along[columns]
        along = (along * stride).to(torch.int32)
        index = index + along.view(-1, *[1] * (tensor.ndim - axis - 1))
        stride *= tensor.shape[axis]
    return index
