"""Stragglers: detect the process that slows the others down.

All processes end a step together, since each waits for the slowest. What differs is the time each
spends on its own work, making batches and gradients, before it waits. Where processes wait within
the gradients (sharded weights, pipelines), that time is equal on all.
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
    """Time that this process spends on its own work; wrap `batches` and `gradients` with it."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock, self.seconds = clock, 0.0

    def timed(self, work: Callable[[*Given], Made]) -> Callable[[*Given], Made]:
        """The same function, timed."""

        def timing(*args: *Given) -> Made:
            started = self.clock()
            try:
                return work(*args)
            finally:
                self.seconds += self.clock() - started

        return timing


class Straggler(NamedTuple):
    """The slowest process and its time."""

    rank: int
    seconds: float
    usual: float
    """Median of the others."""

    def __str__(self) -> str:
        factor = self.seconds / self.usual if self.usual else float("inf")
        return f"rank {self.rank} is {factor:.1f} times as slow as the others"


def straggler(seconds: Sequence[float], factor: float) -> Straggler | None:
    """The slowest process if it takes more than `factor` times the median of the others.

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
    """Gather the processes' own times every `every` steps and report a straggler.

    metrics  of rank 0: gets a row with the median seconds per step by rank

    A time is the median over the steps since the last gathering, so one long step, such as a
    compilation, does not make a straggler. A single process gathers nothing.
    """
    times = deque[float]()
    for step in steps:
        times.append(own.seconds)
        own.seconds = 0.0
        if (step.number + 1) % every == 0 and mesh.grid is not None:
            seconds = gathered(median(times), mesh)
            times.clear()
            if mesh.is_first:
                tell(step.number, seconds, straggler(seconds, factor), metrics)
        yield step


def gathered(value: float, mesh: Mesh) -> list[float]:
    """A number of every process, by rank."""
    assert mesh.grid is not None, "called on a mesh only"
    own = torch.tensor([value], dtype=torch.float64, device=mesh.grid.device_type)
    values = [torch.zeros_like(own) for _ in range(distributed.get_world_size())]
    distributed.all_gather(values, own)
    return [float(each) for each in values]


def tell(
    step: int, seconds: list[float], slow: Straggler | None, metrics: record.Metrics | None
) -> None:
    """Write the times by rank and log a straggler."""
    if metrics is not None:
        row = {"own seconds by rank": [round(each, 5) for each in seconds]}
        metrics.write(step=step, **row, **({} if slow is None else {"straggler": slow.rank}))
    if slow is not None:
        record.say(
            f"Step {step}: {slow}, {slow.seconds:.3g} s of own work against {slow.usual:.3g} s."
        )
