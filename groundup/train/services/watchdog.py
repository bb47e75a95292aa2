"""Watchdog: detects a hanging step, dumps every thread's stack, and ends the run.

    with Watchdog(folder / "stacks.txt") as watchdog:
        for step in watchdog.watch_steps(train(…)):
            …

A step hangs if it takes many times the median of previous steps and longer than a floor above any
compilation; the first steps, and the time between two steps (validation, samples, saving), have
only the final limit. A process stuck in a collective sees no exception: after the limit the process
is killed, and its launcher ends the others. Only the work since the last checkpoint is lost.
"""

import faulthandler
import os
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from statistics import median

from pydantic import Field

from groundup.core import Config, record

from ..loop import TrainStep

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
        self.thread = threading.Thread(target=self.check_until_ended, name="watchdog", daemon=True)

    def __enter__(self) -> "Watchdog":
        self.begin_phase(self.number, False)
        self.thread.start()
        return self

    def __exit__(self, *about: object) -> None:
        self.ended.set()
        self.thread.join()

    def check_until_ended(self) -> None:
        """Check periodically until the run ends."""
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
        self.write_stacks(text)
        if is_over:
            self.ended.set()
            self.end(f"The run hangs and is ended: {text}. Run the same command again to resume.")
        else:
            record.log(f"Hanging? {text[:1].upper()}{text[1:]}.")

    def write_stacks(self, text: str) -> None:
        """Append all threads' stacks to the log."""
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
