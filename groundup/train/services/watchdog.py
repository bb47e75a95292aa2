"""Time of steps: the watchdog that ends a hanging run, and the search for slow processes.

A step hangs if it takes many times the median of previous steps and longer than a floor above any
compilation; the first steps, and the time between two steps (validation, samples, saving), have
only the final limit. A process stuck in a collective sees no exception: after the limit every
thread's stack is dumped and the process is killed, and its launcher ends the others. Only the work
since the last checkpoint is lost.

All processes end a step together, since each waits for the slowest. What differs is the time each
spends on its own work, making batches and gradients, before it waits. Where processes wait within
the gradients (sharded weights, pipelines), that time is equal on all.
"""

import faulthandler
import os
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, TypeVar, TypeVarTuple

import torch
from pydantic import Field
from torch import distributed

from groundup.core import Config, record

from ..loop import TrainStep
from ..parallel.mesh import SINGLE_PROCESS, Mesh

MIN_STEPS = 5
"""Steps before the median is trusted."""


class WatchdogConfig(Config):
    """When a step counts as hanging."""

    multiple: float = Field(default=20.0, gt=1)
    """A step that takes this many median steps is reported …"""
    floor_seconds: float = Field(default=120.0, ge=0)
    """… if it also takes longer than this."""
    limit_seconds: float = Field(default=1800.0, gt=0)
    """A step, or the time between two, longer than this ends the run, unless `multiple` median
    steps take longer still.
    """


class Watchdog:
    """Watches one process's steps from a separate thread."""

    def __init__(
        self,
        log: Path,
        config: WatchdogConfig | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        end: Callable[[str], object] | None = None,
        poll_seconds: float = 1.0,
    ) -> None:
        """Write stacks to `log`; `end` is called with the error after the limit."""
        self.log, self.config, self.clock = log, config or WatchdogConfig(), clock
        self.end, self.poll_seconds = end or _end_process, poll_seconds
        self.times = deque[float](maxlen=128)
        self.number, self.is_in_step, self.has_reported = 0, False, False
        self.started = clock()
        self.lock, self.ended = threading.Lock(), threading.Event()
        self.thread = threading.Thread(target=self._check_until_ended, name="watchdog", daemon=True)

    def __enter__(self) -> "Watchdog":
        self.begin_phase(self.number, False)
        self.thread.start()
        return self

    def __exit__(self, *about: object) -> None:
        self.ended.set()
        self.thread.join()

    def _check_until_ended(self) -> None:
        while not self.ended.wait(self.poll_seconds):
            self.check_progress()

    def begin_phase(self, number: int, is_in_step: bool) -> float:
        """Begin a step or a pause; return the duration of the previous one."""
        with self.lock:
            now = self.clock()
            took, self.started = now - self.started, now
            self.number, self.is_in_step, self.has_reported = number, is_in_step, False
        return took

    def watch_steps(self, steps: Iterable[TrainStep], start: int = 0) -> Iterator[TrainStep]:
        """Watch the time of each step."""
        number, iterator = start, iter(steps)
        while True:
            self.begin_phase(number, True)
            step = next(iterator, None)
            took = self.begin_phase(number, False)
            if step is None:
                return
            self.times.append(took)
            yield step
            number = step.number + 1

    def check_progress(self) -> None:
        """Report a hanging step once; end the run if it hangs for too long."""
        with self.lock:
            took, number, is_in_step = self.clock() - self.started, self.number, self.is_in_step
            usual = median(self.times) if len(self.times) >= MIN_STEPS else None
            has_told, config = self.has_reported, self.config
            hangs = usual is not None and took > max(config.multiple * usual, config.floor_seconds)
            is_over = took > max(config.limit_seconds, config.multiple * (usual or 0.0))
            if is_over or (hangs and is_in_step and not has_told):
                self.has_reported = True
            elif not is_over:
                return
        what = f"step {number}" if is_in_step else f"the work after step {number}"
        normal = f"the median step {usual:.3g} s" if usual is not None else "no median step yet"
        text = (
            f"{what} has taken {took:.0f} s, {normal}, in "
            f"{_process_label()}; stacks are in {self.log}"
        )
        self._write_stacks(text)
        if is_over:
            self.ended.set()
            self.end(f"The run hangs and is ended: {text}. Run the same command again to resume.")
        else:
            record.log(f"Hanging? {text[:1].upper()}{text[1:]}.")

    def _write_stacks(self, text: str) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log, "a") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
            file.flush()
            faulthandler.dump_traceback(file, all_threads=True)
            file.write("\n")


def _process_label() -> str:
    """This process's pid and host, and its rank under torchrun."""
    rank, count = os.environ.get("RANK"), os.environ.get("WORLD_SIZE")
    place = f"process {os.getpid()} on {socket.gethostname()}"
    return place if rank is None else f"rank {rank} of {count} ({place})"


def _end_process(text: str) -> None:
    """Print the error and end this process, whatever its other threads wait for."""
    print(f"Error: {text}", file=sys.stderr, flush=True)
    os._exit(1)


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


def _find_straggler(seconds: Sequence[float], factor: float) -> tuple[int, float] | None:
    """The slowest rank, if it takes more than `factor` times the others' median, and that median.

    >>> _find_straggler([1.0, 1.1, 2.4, 0.9], 1.5), _find_straggler([1.0, 1.1, 0.9], 1.5)
    ((2, 1.0), None)
    """
    slowest = max(range(len(seconds)), key=seconds.__getitem__)
    others = [each for rank, each in enumerate(seconds) if rank != slowest]
    if not others or seconds[slowest] <= factor * median(others):
        return None
    return slowest, median(others)


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
                _report_times(step.number, seconds, factor, metrics)
        yield step


def _gather_number(value: float, mesh: Mesh) -> list[float]:
    assert mesh.device_mesh is not None, "called on a mesh only"
    own = torch.tensor([value], dtype=torch.float64, device=mesh.device_mesh.device_type)
    values = [torch.zeros_like(own) for _ in range(distributed.get_world_size())]
    distributed.all_gather(values, own)
    return [float(each) for each in values]


def _report_times(
    step: int, seconds: list[float], factor: float, metrics: record.MetricsFile | None
) -> None:
    """Write the times by rank and log a straggler."""
    row: dict[str, Any] = {"own seconds by rank": [round(each, 5) for each in seconds]}
    if (slow := _find_straggler(seconds, factor)) is not None:
        rank, usual = slow
        row["straggler"] = rank
        times = f"{seconds[rank] / usual:.1f}" if usual else "many"
        record.log(
            f"Step {step}: rank {rank} is {times} times as slow as the others, "
            f"{seconds[rank]:.3g} s of own work against {usual:.3g} s."
        )
    if metrics is not None:
        metrics.write(step=step, **row)
