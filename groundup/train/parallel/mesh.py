"""The mesh: how many processes train, along which dimensions, and which of them this one is.

    pipeline  the same rows, some of the layers
    data      other rows of the batch, the same weights
    shard     other rows of the batch, the weights' rows split among them (ZeRO)
    expert    other rows of the batch, a share of the experts
    context   the same rows, a share of each row's positions
    tensor    the same rows, a share of each matrix

`parse` reads "data=2,tensor=2"; `open_mesh` gives the grid of processes. Outer dimensions come
first: neighbours, whose links are fastest, share a matrix. `ALONE` is the mesh of one process;
whoever is given none trains as if there were no others. Knows process groups, but no models.
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
"""The outermost first."""

HAS_OTHER_ROWS = ("data", "shard", "expert")
"""Dimensions along which processes compute other rows of the batch."""

SEES_OTHER_TARGETS = (*HAS_OTHER_ROWS, "context")
"""Dimensions along which processes have other targets, so that their sums add up."""


class Share(NamedTuple):
    """One of several equal parts."""

    place: int
    """Counted from 0."""
    parts: int


class Mesh(NamedTuple):
    """Processes in a grid with named dimensions, each longer than 1."""

    grid: DeviceMesh | None = None
    """None: this process trains alone."""

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Names of the dimensions, the outermost first."""
        return () if self.grid is None else self.grid.mesh_dim_names or ()

    @property
    def sizes(self) -> dict[str, int]:
        """Number of processes along each dimension."""
        return {name: self.size(name) for name in self.dimensions}

    def size(self, dimension: str) -> int:
        """Number of processes along a dimension; 1 if there is no such."""
        return 1 if dimension not in self.dimensions else self.line(dimension).size()

    def place(self, dimension: str) -> int:
        """Place of this process along a dimension, counted from 0."""
        return 0 if dimension not in self.dimensions else self.line(dimension).get_local_rank()

    def line(self, *dimensions: str) -> DeviceMesh:
        """The mesh along some dimensions through this process; several are made into one.

        Every process must ask for the same ones in the same order: their group is made at the
        first call. It is an error of ours to ask for a dimension that there is not.
        """
        assert self.grid is not None, "one process has no line to others"
        named = tuple(name for name in self.dimensions if name in dimensions)
        part = self.grid[named]
        return part if len(named) == 1 else part._flatten("_".join(named))

    @property
    def is_first(self) -> bool:
        """Whether this process speaks for all: it logs, and shows progress."""
        return self.grid is None or distributed.get_rank() == 0

    @property
    def rows(self) -> Share:
        """Which share of a batch's rows this process computes."""
        place, parts = 0, 1
        for name in HAS_OTHER_ROWS:
            place, parts = place * self.size(name) + self.place(name), parts * self.size(name)
        return Share(place, parts)

    def sum(self, value: float, along: Collection[str] = SEES_OTHER_TARGETS) -> float:
        """Sum of a number over the processes along some dimensions, the same bits on each."""
        for dimension in self.dimensions:
            if dimension in along:
                whole = self.numbers([value])
                distributed.all_reduce(whole, group=self.line(dimension).get_group())
                value = float(whole)
        return value

    def agreed(self, value: float) -> float:
        """The first process's number, on every process: whoever must decide alike asks for it."""
        if self.grid is None:
            return value
        told = self.numbers([value])
        distributed.broadcast(told, src=0)
        return float(told)

    def told(self, text: str) -> str:
        """The first process's text, on every process."""
        if self.grid is None:
            return text
        size = int(self.agreed(float(len(text.encode()))))
        letters = torch.zeros(size, dtype=torch.uint8, device=self.grid.device_type)
        if self.is_first and text:
            letters.copy_(torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8))
        distributed.broadcast(letters, src=0)
        return bytes(letters.tolist()).decode()

    def any(self, is_so: bool) -> bool:
        """Whether it is so on any process, such as that Ctrl-C was pressed; all get one answer."""
        return self.sum(float(is_so), self.dimensions) > 0

    def numbers(self, values: Sequence[float]) -> torch.Tensor:
        """Numbers where collectives can read them, in float64."""
        assert self.grid is not None, "one process has nobody to tell"
        return torch.tensor(values, dtype=torch.float64, device=self.grid.device_type)


ALONE = Mesh()


def parse(text: str) -> dict[str, int]:
    """Sizes by dimension of a mesh that is written down, those of 1 left out.

    >>> parse("tensor=2, data=4")
    {'data': 4, 'tensor': 2}

    Raises ConfigError for what is no dimension, no size, or there twice.
    """
    found: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, size = (side.strip() for side in part.partition("="))
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
        if name in found:
            raise ConfigError(f"mesh={text!r} has {name} twice; give it once.")
        found[name] = int(size)
    return {name: found[name] for name in DIMENSIONS if found.get(name, 1) > 1}


def sizes_for(text: str, world: int) -> dict[str, int]:
    """Sizes of the mesh that is written down; of nothing, all processes along `data`.

    Raises ConfigError if it needs another number of processes than there are.
    """
    sizes = parse(text) if text.strip() else parse(f"data={world}")
    needed = math.prod(sizes.values())
    if needed != world:
        raise ConfigError(
            f"mesh={text!r} needs {needed} processes, and {world} are running; start it with "
            f"torchrun --nproc-per-node {needed}, or choose sizes whose product is {world}, such "
            f"as data={world}."
        )
    return sizes


def open_mesh(sizes: Mapping[str, int], kind: str) -> Mesh:
    """The grid of all processes, on a kind of device; `ALONE` if it has no dimension.

    The process group must have been started (launch.py), with as many processes.
    """
    if not sizes:
        return ALONE
    return Mesh(init_device_mesh(kind, tuple(sizes.values()), mesh_dim_names=tuple(sizes)))
