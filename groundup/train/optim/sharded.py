"""What of a weight lies in this process: shares of sharded tensors, and tensors whole again.

A weight that is sharded (by FSDP, or by a tensor-parallel plan) is a DTensor: this process holds a
share, and the rest lies elsewhere. What an optimizer does to each number by itself it does to the
shares; `whole` gathers, `share` cuts this process's part out again, without a message. A plain
tensor is its own share, so nobody asks which of the two he has.
"""

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, Replicate, distribute_tensor, empty
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset


def local(tensor: Tensor) -> Tensor:
    """This process's share, without copying."""
    with torch.no_grad():
        return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def aligned(gradient: Tensor, weight: Tensor) -> Tensor:
    """A gradient that lies as its weight does; partial sums are added up."""
    if isinstance(gradient, DTensor) and isinstance(weight, DTensor):
        if gradient.placements != weight.placements:
            return gradient.redistribute(placements=weight.placements)
    return gradient


def like(weight: Tensor, shape: tuple[int, ...], dtype: torch.dtype, fill: int = 0) -> Tensor:
    """A tensor full of one number, of another shape, that lies where the weight does."""
    if not isinstance(weight, DTensor):
        return torch.full(shape, fill, dtype=dtype, device=weight.device)
    mesh, placements = weight.device_mesh, weight.placements
    made = empty(shape, dtype=dtype, device_mesh=mesh, placements=placements)
    made.to_local().fill_(fill)
    return made


def settled(tensor: Tensor) -> Tensor:
    """A tensor whose partial sums have been added up."""
    if isinstance(tensor, DTensor) and any(place.is_partial() for place in tensor.placements):
        done = [Replicate() if place.is_partial() else place for place in tensor.placements]
        return tensor.redistribute(placements=done)
    return tensor


def whole(tensor: Tensor) -> Tensor:
    """The whole tensor, gathered if it is sharded; every process gets it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def gathered(part: Tensor, weight: Tensor) -> Tensor:
    """The whole tensor of which every process holds such a part as of the weight."""
    if not isinstance(weight, DTensor):
        return part
    return DTensor.from_local(
        part, weight.device_mesh, weight.placements,
        run_check=False, shape=weight.shape, stride=weight.stride(),
    ).full_tensor()  # fmt: skip


def share(tensor: Tensor, weight: Tensor) -> Tensor:
    """This process's part of a whole tensor that it has, as of the weight."""
    if not isinstance(weight, DTensor):
        return tensor
    mesh, placements = weight.device_mesh, weight.placements
    return distribute_tensor(tensor, mesh, placements, src_data_rank=None).to_local()


def copy(into: Tensor, given: Tensor) -> None:
    """Fill a tensor with a whole one, or with one that is sharded as it is."""
    is_sharded = isinstance(given, DTensor)
    local(into).copy_(local(given) if is_sharded else share(given, into))


def numbering(tensor: Tensor, rows: slice = slice(None), columns: slice = slice(None)) -> Tensor:
    """Number of each element of this process's share in the whole tensor, modulo 2^32 (int32).

    rows     of the share: along the first axis
    columns  of those: along the last one

    >>> numbering(torch.zeros(3, 2), slice(1, 3))
    tensor([[2, 3],
            [4, 5]], dtype=torch.int32)
    """
    size, first = tuple(tensor.shape), (0,) * tensor.ndim
    if isinstance(tensor, DTensor):
        mesh, placements = tensor.device_mesh, tensor.placements
        size, first = compute_local_shape_and_global_offset(tensor.shape, mesh, placements)
    found = torch.zeros((), dtype=torch.int32, device=tensor.device)
    stride = 1
    for axis in reversed(range(tensor.ndim)):
        places = torch.arange(first[axis], first[axis] + size[axis], device=tensor.device)
        if axis == 0:
            places = places[rows]
        if axis == tensor.ndim - 1:
            places = places[columns]
        places = (places * stride).to(torch.int32)
        found = found + places.view(-1, *[1] * (tensor.ndim - axis - 1))
        stride *= tensor.shape[axis]
    return found
