"""The mesh: how many processes train, along which dimensions, and which of them this one is.

    data      other rows of the batch, the same weights (whole or sharded)
    tensor    the same rows, a share of each matrix
    pipeline  the same rows, some of the layers
    context   the same rows, a share of each row's positions
    expert    a share of the experts

`ALONE` is the mesh of one process; whoever is given none trains as if there were no others. Knows
process groups, but no models.
"""

from collections.abc import Collection
from typing import NamedTuple

import torch
from torch import distributed
from torch.distributed.device_mesh import DeviceMesh

SEES_OTHER_TARGETS = ("data", "expert", "context")
"""Dimensions along which processes have other targets, so that their sums add up."""


class Mesh(NamedTuple):
    """Processes in a grid with named dimensions."""

    grid: DeviceMesh | None = None
    """None: this process trains alone."""

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Names of the dimensions, the outermost first."""
        return () if self.grid is None else self.grid.mesh_dim_names or ()

    def size(self, dimension: str) -> int:
        """Number of processes along a dimension; 1 if there is no such."""
        return 1 if dimension not in self.dimensions else self.grid[dimension].size()  # type: ignore[index]

    def place(self, dimension: str) -> int:
        """Place of this process along a dimension, counted from 0."""
        if dimension not in self.dimensions:
            return 0
        return self.grid[dimension].get_local_rank()  # type: ignore[index]

    @property
    def is_first(self) -> bool:
        """Whether this process speaks for all: it logs, and shows progress."""
        return self.grid is None or distributed.get_rank() == 0

    def sum(self, value: float, along: Collection[str] = SEES_OTHER_TARGETS) -> float:
        """Sum of a number over the processes along some dimensions, the same bits on each."""
        for dimension in self.dimensions:
            if dimension in along and self.size(dimension) > 1:
                assert self.grid is not None, "it has dimensions"
                whole = torch.tensor([value], dtype=torch.float64, device=self.grid.device_type)
                distributed.all_reduce(whole, group=self.grid[dimension].get_group())
                value = float(whole)
        return value


ALONE = Mesh()
