"""Gradient norm clipping, also of sharded gradients.

On a mesh a process may have a shard of a gradient. Squares are summed over the dimensions that a
gradient is sharded along, not over those along which it is replicated, and every process gets the
same bits, so that all clip by the same factor.
"""

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor, distributed, nn
from torch.distributed.tensor import DTensor, Replicate

from ..parallel.mesh import ALONE, Mesh
from .sharded import local


@torch.no_grad()
def clip(
    parameters: Sequence[nn.Parameter], largest: float, *, scale: float = 1.0, mesh: Mesh = ALONE
) -> float:
    """Divide gradients by `scale` and clip them to a norm of `largest`; return the norm before.

    largest  0: no clipping
    mesh     processes with other shards of the gradients
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    own = [local(gradient) for gradient in gradients]
    if scale != 1.0:
        torch._foreach_div_(own, scale)
    norm = nn.utils.get_total_norm(own) if mesh.grid is None else norm_over(gradients, mesh)
    if largest and own:
        factor = torch.clamp(largest / (norm + 1e-6), max=1.0)
        torch._foreach_mul_(own, factor.to(own[0]))
    return float(norm)


def norm_over(gradients: Sequence[Tensor], mesh: Mesh) -> Tensor:
    """Norm of gradients of which each process of a mesh has some, or shards.

    One sum of squares for each set of dimensions that gradients are sharded along; along each
    dimension, the sums of the sets that contain it are reduced. Along a pipeline all are.
    """
    sets = [frozenset(some) for count in range(len(mesh.dimensions) + 1)
            for some in combinations(mesh.dimensions, count)]  # fmt: skip
    shards: dict[frozenset[str], list[Tensor]] = {some: [] for some in sets}
    for gradient in gradients:
        along = divided(gradient) | ({"pipeline"} & set(mesh.dimensions))
        shards[frozenset(along)].append(local(gradient))
    squares = mesh.numbers([
        float(torch.stack(torch._foreach_norm(own)).double().square().sum()) if own else 0.0
        for own in shards.values()
    ])  # fmt: skip
    for dimension in mesh.dimensions:
        indices = [index for index, some in enumerate(sets) if dimension in some]
        sums = squares[indices]
        distributed.all_reduce(sums, group=mesh.line(dimension).get_group())
        squares[indices] = sums
    distributed.broadcast(squares, src=0)
    return squares.sum().sqrt()


def divided(tensor: Tensor) -> set[str]:
    """Dimensions of the mesh along which a tensor is sharded."""
    if not isinstance(tensor, DTensor):
        return set()
    named = zip(tensor.device_mesh.mesh_dim_names or (), tensor.placements, strict=True)
    return {part for name, where in named if not isinstance(where, Replicate)
            for part in name.split("_")}  # fmt: skip
