"""Profiling: where the time of some steps goes, as a table and as a trace.

profile.txt       the operators with the most time of their own, and their share
trace.json.gz     every call, for chrome://tracing or https://ui.perfetto.dev
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.profiler import ProfilerActivity, profile

from groundup.core import record

from ..loop import Step

TABLE, TRACE = "profile.txt", "trace.json.gz"


class Operator(NamedTuple):
    """An operator of the profiled steps."""

    name: str
    calls: int
    seconds: float
    """Of its own, without what it calls."""
    share: float
    """Of all operators' own time."""


def profiling(
    steps: Iterable[Step], folder: Path, first: int, count: int = 3, *, start: int = 0
) -> Iterator[Step]:
    """Profile `count` steps from `first` on and write the table and the trace to a folder.

    start  number of the first step that comes; a run resumed after `first` profiles nothing

    Profiled steps are slower than others. A run that ends in their middle tells of those that were.
    """
    number, made, seen = start, iter(steps), 0
    watch: profile | None = None
    try:
        while True:
            if number == first and count > 0:
                watch = profile(activities=activities())
                watch.start()
            step = next(made, None)
            if step is None:
                return
            seen += watch is not None
            if watch is not None and seen >= count:
                write(watch, folder, seen)
                watch = None
            yield step
            number = step.number + 1
    finally:
        if watch is not None:
            write(watch, folder, seen)


def activities() -> list[ProfilerActivity]:
    """What to look at: the processor, and a CUDA device where there is one."""
    found = [ProfilerActivity.CPU]
    return [*found, ProfilerActivity.CUDA] if torch.cuda.is_available() else found


def write(watch: profile, folder: Path, steps: int) -> None:
    """Stop, write both files and say the three largest operators in a line."""
    watch.stop()
    folder.mkdir(parents=True, exist_ok=True)
    found = operators(watch)
    (folder / TABLE).write_text(table(found, steps))
    watch.export_chrome_trace(str(folder / TRACE))
    top = ", ".join(f"{each.name} {each.share:.0%}" for each in found[:3])
    record.say(f"Profile of {steps} steps: {top}; see {folder / TABLE} and {TRACE}.")


def operators(watch: profile) -> list[Operator]:
    """Operators by their own time, the largest first: on the device if it was used, else here."""
    rows: list[Any] = list(watch.key_averages())
    on_device = sum(row.self_device_time_total for row in rows) > 0
    times = [row.self_device_time_total if on_device else row.self_cpu_time_total for row in rows]
    whole = sum(times) or 1
    made = [Operator(row.key, row.count, time / 1e6, time / whole)
            for row, time in zip(rows, times, strict=True)]  # fmt: skip
    return sorted(made, key=lambda each: each.seconds, reverse=True)


def table(found: list[Operator], steps: int, most: int = 30) -> str:
    """The largest operators as lines."""
    lines = [f"{'operator':<48} {'calls':>8} {'ms a step':>10} {'share':>6}"]
    lines += [
        f"{each.name[:48]:<48} {each.calls:>8} {1e3 * each.seconds / steps:>10.2f} "
        f"{each.share:>6.1%}"
        for each in found[:most]
    ]
    return "\n".join(lines) + "\n"
