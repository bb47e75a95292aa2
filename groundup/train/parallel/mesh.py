"""The device mesh: how many processes train, along which dimensions, and this one's coordinates.

    pipeline  same sequences, some of the layers
    data      other sequences of the batch, replicated weights
    shard     other sequences of the batch, weights sharded by rows (ZeRO)
    expert    other sequences of the batch, some of the experts
    context   same sequences, some of each sequence's positions
    tensor    same sequences, a shard of each matrix

`parse` reads "data=2,tensor=2"; `open_mesh` makes the grid of processes. Outer dimensions come
first: neighbours, which have the fastest links, share a matrix. `ALONE` is the mesh of one process,
the default everywhere. Knows process groups, but no models.
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

HAS_OTHER_ROWS = ("data", "shard", "expert")
"""Dimensions along which processes have other sequences of the batch."""

SEES_OTHER_TARGETS = (*HAS_OTHER_ROWS, "context")
"""Dimensions along which processes have other targets, so that their sums add up."""


class Share(NamedTuple):
    """One of several equal parts."""

    place: int
    """From 0."""
    parts: int


class Mesh(NamedTuple):
    """Processes in a grid with named dimensions, each larger than 1."""

    grid: DeviceMesh | None = None
    """None: a single process."""

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Names of the dimensions, outermost first."""
        return () if self.grid is None else self.grid.mesh_dim_names or ()

    @property
    def sizes(self) -> dict[str, int]:
        """Number of processes along each dimension."""
        return {name: self.size(name) for name in self.dimensions}

    def size(self, dimension: str) -> int:
        """Number of processes along a dimension; 1 if it is not in the mesh."""
        return 1 if dimension not in self.dimensions else self.line(dimension).size()

    def place(self, dimension: str) -> int:
        """This process's rank along a dimension, from 0."""
        return 0 if dimension not in self.dimensions else self.line(dimension).get_local_rank()

    def line(self, *dimensions: str) -> DeviceMesh:
        """The submesh along some dimensions through this process; several are flattened into one.

        A collective call on first use: every process must pass the same dimensions, in the same
        order of calls.
        """
        assert self.grid is not None, "a single process has no submesh"
        named = tuple(name for name in self.dimensions if name in dimensions)
        submesh = self.grid[named]
        return submesh if len(named) == 1 else submesh._flatten("_".join(named))

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0, which logs and shows progress."""
        return self.grid is None or distributed.get_rank() == 0

    @property
    def rows(self) -> Share:
        """Which part of a batch's sequences this process computes."""
        rank, parts = 0, 1
        for name in HAS_OTHER_ROWS:
            rank, parts = rank * self.size(name) + self.place(name), parts * self.size(name)
        return Share(rank, parts)

    def sum(self, value: float, along: Collection[str] = SEES_OTHER_TARGETS) -> float:
        """Sum of a number over the processes along some dimensions, bit-equal on each."""
        for dimension in self.dimensions:
            if dimension in along:
                total = self.numbers([value])
                distributed.all_reduce(total, group=self.line(dimension).get_group())
                value = float(total)
        return value

    def agreed(self, value: float) -> float:
        """Broadcast a number from rank 0, for identical decisions."""
        if self.grid is None:
            return value
        shared = self.numbers([value])
        distributed.broadcast(shared, src=0)
        return float(shared)

    def told(self, text: str) -> str:
        """Broadcast a text from rank 0."""
        if self.grid is None:
            return text
        size = int(self.agreed(float(len(text.encode()))))
        letters = torch.zeros(size, dtype=torch.uint8, device=self.grid.device_type)
        if self.is_first and text:
            letters.copy_(torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8))
        distributed.broadcast(letters, src=0)
        return bytes(letters.tolist()).decode()

    def any(self, is_so: bool) -> bool:
        """Whether a flag is set on any process; the same on all."""
        return self.sum(float(is_so), self.dimensions) > 0

    def numbers(self, values: Sequence[float]) -> torch.Tensor:
        """A float64 tensor on the device of the collectives."""
        assert self.grid is not None, "a single process has no collectives"
        return torch.tensor(values, dtype=torch.float64, device=self.grid.device_type)


ALONE = Mesh()


def parse(text: str) -> dict[str, int]:
    """Parse a mesh into sizes by dimension; sizes of 1 are dropped.

    >>> parse("tensor=2, data=4")
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


def sizes_for(text: str, world: int) -> dict[str, int]:
    """Sizes of a mesh; an empty text means all processes along `data`.

    Raises ConfigError if it needs another number of processes than there are.
    """
    sizes = parse(text) if text.strip() else parse(f"data={world}")
    needed = math.prod(sizes.values())
    if needed != world:
        raise ConfigError(
            f"mesh={text!r} needs {needed} processes, but {world} are running; start it with "
            f"torchrun --nproc-per-node {needed}, or choose sizes with the product {world}, such "
            f"as data={world}."
        )
    return sizes


def open_mesh(sizes: Mapping[str, int], kind: str) -> Mesh:
    """Make the grid of all processes on a device type; `ALONE` if it has no dimension.

    The process group must have been started (launch.py) with the same number of processes.
    """
    if not sizes:
        return ALONE
    return Mesh(init_device_mesh(kind, tuple(sizes.values()), mesh_dim_names=tuple(sizes)))
