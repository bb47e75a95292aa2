"""The device mesh: how many processes train, along which dimensions, and this one's coordinates.

    pipeline  same sequences, some of the layers
    data      other sequences of the batch, replicated weights
    shard     other sequences of the batch, weights sharded by rows (ZeRO)
    expert    other sequences of the batch, some of the experts
    context   same sequences, some of each sequence's positions
    tensor    same sequences, a shard of each matrix

`parse_dimensions` reads "data=2,tensor=2"; `open_mesh` makes the grid of processes. Outer
dimensions come
first: neighbours, which have the fastest links, share a matrix. `SINGLE_PROCESS` is the mesh of
one process, the default everywhere. Knows process groups, but no models.
"""

import difflib
import math
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import distributed
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from groundup.core import ConfigError

DIMENSIONS = ("pipeline", "data", "shard", "expert", "context", "tensor")
"""Outermost first."""

BATCH_DIMENSIONS = ("data", "shard", "expert")
"""Dimensions along which processes have other sequences of the batch."""

LOSS_DIMENSIONS = (*BATCH_DIMENSIONS, "context")
"""Dimensions along which processes have other targets, so that their sums add up."""


class RankOf(NamedTuple):
    """One of several equal parts."""

    rank: int
    """From 0."""
    parts: int


class Mesh(NamedTuple):
    """Processes in a grid with named dimensions, each larger than 1."""

    device_mesh: DeviceMesh | None = None
    """None: a single process."""

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Names of the dimensions, outermost first."""
        return () if self.device_mesh is None else self.device_mesh.mesh_dim_names or ()

    @property
    def sizes(self) -> dict[str, int]:
        """Number of processes along each dimension."""
        return {name: self.size(name) for name in self.dimensions}

    def size(self, dimension: str) -> int:
        """Number of processes along a dimension; 1 if it is not in the mesh."""
        return 1 if dimension not in self.dimensions else self.submesh(dimension).size()

    def rank_along(self, dimension: str) -> int:
        """This process's rank along a dimension, from 0."""
        return 0 if dimension not in self.dimensions else self.submesh(dimension).get_local_rank()

    def submesh(self, *dimensions: str) -> DeviceMesh:
        """The submesh along some dimensions through this process; several are flattened into one.

        A collective call on first use: every process must pass the same dimensions, in the same
        order of calls.
        """
        assert self.device_mesh is not None, "a single process has no submesh"
        named = tuple(name for name in self.dimensions if name in dimensions)
        submesh = self.device_mesh[named]
        return submesh if len(named) == 1 else submesh._flatten("_".join(named))

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0, which logs and shows progress."""
        return self.device_mesh is None or distributed.get_rank() == 0

    @property
    def batch_rank(self) -> RankOf:
        """Which part of a batch's sequences this process computes."""
        rank, parts = 0, 1
        for name in BATCH_DIMENSIONS:
            rank, parts = rank * self.size(name) + self.rank_along(name), parts * self.size(name)
        return RankOf(rank, parts)

    def sum(self, value: float, along: Collection[str] = LOSS_DIMENSIONS) -> float:
        """Sum of a number over the processes along some dimensions, bit-equal on each."""
        for dimension in self.dimensions:
            if dimension in along:
                total = self.collective_tensor([value])
                distributed.all_reduce(total, group=self.submesh(dimension).get_group())
                value = float(total)
        return value

    def broadcast_number(self, value: float) -> float:
        """Broadcast a number from rank 0, for identical decisions."""
        if self.device_mesh is None:
            return value
        shared = self.collective_tensor([value])
        distributed.broadcast(shared, src=0)
        return float(shared)

    def broadcast_text(self, text: str) -> str:
        """Broadcast a text from rank 0."""
        if self.device_mesh is None:
            return text
        size = int(self.broadcast_number(float(len(text.encode()))))
        letters = torch.zeros(size, dtype=torch.uint8, device=self.device_mesh.device_type)
        if self.is_first and text:
            letters.copy_(torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8))
        distributed.broadcast(letters, src=0)
        return bytes(letters.tolist()).decode()

    def any_process(self, flag: bool) -> bool:
        """Whether a flag is set on any process; the same on all."""
        return self.sum(float(flag), self.dimensions) > 0

    def collective_tensor(self, values: Sequence[float]) -> torch.Tensor:
        """A float64 tensor on the device of the collectives."""
        assert self.device_mesh is not None, "a single process has no collectives"
        return torch.tensor(values, dtype=torch.float64, device=self.device_mesh.device_type)


SINGLE_PROCESS = Mesh()


def parse_dimensions(text: str) -> dict[str, int]:
    """Parse a mesh into sizes by dimension; sizes of 1 are dropped.

    >>> parse_dimensions("tensor=2, data=4")
    {'data': 4, 'tensor': 2}

    Raises ConfigError for an unknown or repeated dimension and for an invalid size.
    """
    sizes: dict[str, int] = {}
    for item in filter(None, (item.strip() for item in text.split(","))):
        name, _, size = (side.strip() for side in item.partition("="))
        if name not in DIMENSIONS:
            near = difflib.get_close_matches(name, DIMENSIONS, 1, cutoff=0)[0]
            raise ConfigError(
                f"mesh={text!r} has the dimension {name!r}; expected {', '.join(DIMENSIONS)}, such "
                f"as {near}=2."
            )
        if not size.isdecimal() or int(size) < 1:
            raise ConfigError(
                f"mesh={text!r} gives {name} the size {size!r}; expected a number of processes, "
                f"such as {name}=2."
            )
        if name in sizes:
            raise ConfigError(f"mesh={text!r} has {name} twice; expected it once.")
        sizes[name] = int(size)
    return {name: sizes[name] for name in DIMENSIONS if sizes.get(name, 1) > 1}


def mesh_sizes(text: str, world: int) -> dict[str, int]:
    """Sizes of a mesh; an empty text means all processes along `data`.

    Raises ConfigError if it needs another number of processes than there are.
    """
    sizes = parse_dimensions(text) if text.strip() else parse_dimensions(f"data={world}")
    needed = math.prod(sizes.values())
    if needed != world:
        raise ConfigError(
            f"mesh={text!r} needs {needed} processes, but {world} are running; start it with "
            f"torchrun --nproc-per-node {needed}, or choose sizes with the product {world}, such "
            f"as data={world}."
        )
    return sizes


def open_mesh(sizes: Mapping[str, int], device_type: str) -> Mesh:
    """Make the grid of all processes on a device type; `SINGLE_PROCESS` if it has no dimension.

    The process group must have been started (launch.py) with the same number of processes.
    """
    if not sizes:
        return SINGLE_PROCESS
    return Mesh(init_device_mesh(device_type, tuple(sizes.values()), mesh_dim_names=tuple(sizes)))
