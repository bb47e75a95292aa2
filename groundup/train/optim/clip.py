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

from ..parallel.mesh import SINGLE_PROCESS, Mesh
from .sharded import local_tensor


@torch.no_grad()
def clip_grad_norm(
    parameters: Sequence[nn.Parameter],
    max_norm: float,
    *,
    scale: float = 1.0,
    mesh: Mesh = SINGLE_PROCESS,
) -> float:
    """Divide gradients by `scale` and clip them to a norm of `max_norm`; return the norm before.

    max_norm  0: no clipping
    mesh      processes with other shards of the gradients
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    own = [local_tensor(gradient) for gradient in gradients]
    if scale != 1.0:
        torch._foreach_div_(own, scale)
    norm = (
        nn.utils.get_total_norm(own) if mesh.device_mesh is None else _sharded_norm(gradients, mesh)
    )
    if max_norm and own:
        factor = torch.clamp(max_norm / (norm + 1e-6), max=1.0)
        torch._foreach_mul_(own, factor.to(own[0]))
    return float(norm)


def _sharded_norm(gradients: Sequence[Tensor], mesh: Mesh) -> Tensor:
    """Norm of gradients of which each process of a mesh has some, or shards.

    One sum of squares for each set of dimensions that gradients are sharded along; along each
    dimension, the sums of the sets that contain it are reduced. Along a pipeline all are.
    """
    sets = [frozenset(some) for count in range(len(mesh.dimensions) + 1)
            for some in combinations(mesh.dimensions, count)]  # fmt: skip
    shards: dict[frozenset[str], list[Tensor]] = {some: [] for some in sets}
    for gradient in gradients:
        along = _sharded_dimensions(gradient) | ({"pipeline"} & set(mesh.dimensions))
        shards[frozenset(along)].append(local_tensor(gradient))
    squares = mesh.collective_tensor([
        float(torch.stack(torch._foreach_norm(own)).double().square().sum()) if own else 0.0
        for own in shards.values()
    ])  # fmt: skip
    for dimension in mesh.dimensions:
        indices = [index for index, some in enumerate(sets) if dimension in some]
        sums = squares[indices]
        distributed.all_reduce(sums, group=mesh.submesh(dimension).get_group())
        squares[indices] = sums
    distributed.broadcast(squares, src=0)
    return squares.sum().sqrt()


def _sharded_dimensions(tensor: Tensor) -> set[str]:
    """Dimensions of the mesh along which a tensor is sharded."""
    if not isinstance(tensor, DTensor):
        return set()
    named = zip(tensor.device_mesh.mesh_dim_names or (), tensor.placements, strict=True)
    return {part for name, where in named if not isinstance(where, Replicate)
            for part in name.split("_")}  # fmt: skip
