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

from ..loop import TrainStep
from ..parallel.mesh import SINGLE_PROCESS, Mesh

Args = TypeVarTuple("Args")
Result = TypeVar("Result")


class WorkTimer:
    """Time that this process spends on its own work; wrap `batches` and `gradients` with it."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock, self.seconds = clock, 0.0

    def timed(self, work: Callable[[*Args], Result]) -> Callable[[*Args], Result]:
        """The same function, timed."""

        def timing(*args: *Args) -> Result:
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
    median_of_others: float
    """Median of the others."""

    def __str__(self) -> str:
        factor = self.seconds / self.median_of_others if self.median_of_others else float("inf")
        return f"rank {self.rank} is {factor:.1f} times as slow as the others"


def _find_straggler(seconds: Sequence[float], factor: float) -> Straggler | None:
    """The slowest process if it takes more than `factor` times the median of the others.

    >>> _find_straggler([1.0, 1.1, 2.4, 0.9], 1.5).rank, _find_straggler([1.0, 1.1, 0.9], 1.5)
    (2, None)
    """
    slowest = max(range(len(seconds)), key=seconds.__getitem__)
    others = [each for rank, each in enumerate(seconds) if rank != slowest]
    if not others or seconds[slowest] <= factor * median(others):
        return None
    return Straggler(slowest, seconds[slowest], median(others))


def report_stragglers(
    steps: Iterable[TrainStep],
    own: WorkTimer,
    every: int,
    metrics: record.MetricsFile | None,
    *,
    factor: float = 1.5,
    mesh: Mesh = SINGLE_PROCESS,
) -> Iterator[TrainStep]:
    """Gather the processes' own times every `every` steps and report a straggler.

    metrics  of rank 0: gets a row with the median seconds per step by rank

    A time is the median over the steps since the last gathering, so one long step, such as a
    compilation, does not make a straggler. A single process gathers nothing.
    """
    times = deque[float]()
    for step in steps:
        times.append(own.seconds)
        own.seconds = 0.0
        if (step.number + 1) % every == 0 and mesh.device_mesh is not None:
            seconds = _gather_number(median(times), mesh)
            times.clear()
            if mesh.is_first:
                _report_times(step.number, seconds, _find_straggler(seconds, factor), metrics)
        yield step


def _gather_number(value: float, mesh: Mesh) -> list[float]:
    """A number of every process, by rank."""
    assert mesh.device_mesh is not None, "called on a mesh only"
    own = torch.tensor([value], dtype=torch.float64, device=mesh.device_mesh.device_type)
    values = [torch.zeros_like(own) for _ in range(distributed.get_world_size())]
    distributed.all_gather(values, own)
    return [float(each) for each in values]


def _report_times(
    step: int, seconds: list[float], slow: Straggler | None, metrics: record.MetricsFile | None
) -> None:
    """Write the times by rank and log a straggler."""
    if metrics is not None:
        row = {"own seconds by rank": [round(each, 5) for each in seconds]}
        metrics.write(step=step, **row, **({} if slow is None else {"straggler": slow.rank}))
    if slow is not None:
        record.log(
            f"Step {step}: {slow}, {slow.seconds:.3g} s of own work against "
            f"{slow.median_of_others:.3g} s."
        )
