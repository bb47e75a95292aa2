"""Stragglers: which of the processes that train together holds the others up.

All of them end a step together, since each waits for the slowest: what tells them apart is the time
that each spends on its own work, making batches and gradients, before it waits. Where a plan lets
processes wait within the gradients (sharded weights, pipelines), that part is equal on all.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from statistics import median
from typing import NamedTuple, TypeVar, TypeVarTuple

import torch
from torch import distributed

from groundup.core import record

from ..loop import Step
from ..parallel.mesh import ALONE, Mesh

Given = TypeVarTuple("Given")
Made = TypeVar("Made")


class Own:
    """Time that this process spends on work of its own; wrap `batches` and `gradients` by it."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock, self.seconds = clock, 0.0

    def timed(self, work: Callable[[*Given], Made]) -> Callable[[*Given], Made]:
        """The same function; its time is counted."""

        def timing(*given: *Given) -> Made:
            started = self.clock()
            try:
                return work(*given)
            finally:
                self.seconds += self.clock() - started

        return timing


class Straggler(NamedTuple):
    """The slowest process and how slow it is."""

    rank: int
    seconds: float
    usual: float
    """Median of the others."""

    def __str__(self) -> str:
        factor = self.seconds / self.usual if self.usual else float("inf")
        return f"rank {self.rank} is {factor:.1f} times as slow as the others"


def straggler(seconds: Sequence[float], factor: float) -> Straggler | None:
    """The slowest of several if it is beyond a factor of the median of the others.

    >>> straggler([1.0, 1.1, 2.4, 0.9], 1.5).rank, straggler([1.0, 1.1, 0.9], 1.5)
    (2, None)
    """
    slowest = max(range(len(seconds)), key=seconds.__getitem__)
    others = [each for rank, each in enumerate(seconds) if rank != slowest]
    if not others or seconds[slowest] <= factor * median(others):
        return None
    return Straggler(slowest, seconds[slowest], median(others))


def pacing(
    steps: Iterable[Step],
    own: Own,
    every: int,
    metrics: record.Metrics | None,
    *,
    factor: float = 1.5,
    mesh: Mesh = ALONE,
) -> Iterator[Step]:
    """Gather the processes' own times every so many steps and name the slowest, if it is.

    metrics  of the first process: it gets a row with the median seconds of a step by rank

    A time is the median over the steps since the last gathering, so that one long step, such as a
    compilation, makes no straggler. A process that trains alone gathers nothing.
    """
    taken = deque[float]()
    for step in steps:
        taken.append(own.seconds)
        own.seconds = 0.0
        if (step.number + 1) % every == 0 and mesh.grid is not None:
            seconds = gathered(median(taken), mesh)
            taken.clear()
            if mesh.is_first:
                tell(step.number, seconds, straggler(seconds, factor), metrics)
        yield step


def gathered(value: float, mesh: Mesh) -> list[float]:
    """A number of every process, by rank."""
    assert mesh.grid is not None, "there are others"
    own = torch.tensor([value], dtype=torch.float64, device=mesh.grid.device_type)
    found = [torch.zeros_like(own) for _ in range(distributed.get_world_size())]
    distributed.all_gather(found, own)
    return [float(each) for each in found]


def tell(
    step: int, seconds: list[float], slow: Straggler | None, metrics: record.Metrics | None
) -> None:
    """Write the times by rank and say who is slow."""
    if metrics is not None:
        row = {"own seconds by rank": [round(each, 5) for each in seconds]}
        metrics.write(step=step, **row, **({} if slow is None else {"straggler": slow.rank}))
    if slow is not None:
        record.say(
            f"Step {step}: {slow}, {slow.seconds:.3g} s of own work against {slow.usual:.3g} s."
        )
