"""Profiling: where the time of some steps goes, as a table and as a trace.

profile.txt       the operators with the most self time, and their share
trace.json.gz     every call, for chrome://tracing or https://ui.perfetto.dev
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.profiler import ProfilerActivity, profile

from groundup.core import record

from ..loop import TrainStep

TABLE_FILE, TRACE_FILE = "profile.txt", "trace.json.gz"


class OperatorTime(NamedTuple):
    """An operator of the profiled steps."""

    name: str
    calls: int
    seconds: float
    """Self time, without the operators it calls."""
    share: float
    """Of all operators' self time."""


def profile_steps(
    steps: Iterable[TrainStep], folder: Path, first: int, count: int = 3, *, start: int = 0
) -> Iterator[TrainStep]:
    """Profile `count` steps from `first` on and write the table and the trace to a folder.

    start  number of the first step to come; a run resumed after `first` profiles nothing

    Profiled steps are slower. If the run ends during profiling, the steps so far are reported.
    """
    number, iterator, profiled = start, iter(steps), 0
    profiler: profile | None = None
    try:
        while True:
            if number == first and count > 0:
                profiler = profile(activities=_activities())
                profiler.start()
            step = next(iterator, None)
            if step is None:
                return
            profiled += profiler is not None
            if profiler is not None and profiled >= count:
                _write_profile(profiler, folder, profiled)
                profiler = None
            yield step
            number = step.number + 1
    finally:
        if profiler is not None:
            _write_profile(profiler, folder, profiled)


def _activities() -> list[ProfilerActivity]:
    """The CPU, and CUDA where available."""
    cpu = [ProfilerActivity.CPU]
    return [*cpu, ProfilerActivity.CUDA] if torch.cuda.is_available() else cpu


def _write_profile(profiler: profile, folder: Path, steps: int) -> None:
    """Stop, write both files and log the three largest operators."""
    profiler.stop()
    folder.mkdir(parents=True, exist_ok=True)
    found = _operator_times(profiler)
    (folder / TABLE_FILE).write_text(_format_table(found, steps))
    profiler.export_chrome_trace(str(folder / TRACE_FILE))
    top = ", ".join(f"{each.name} {each.share:.0%}" for each in found[:3])
    record.log(f"Profile of {steps} steps: {top}; see {folder / TABLE_FILE} and {TRACE_FILE}.")


def _operator_times(profiler: profile) -> list[OperatorTime]:
    """Operators by self time in descending order: on the device if used, otherwise on the CPU."""
    rows: list[Any] = list(profiler.key_averages())
    on_device = sum(row.self_device_time_total for row in rows) > 0
    times = [row.self_device_time_total if on_device else row.self_cpu_time_total for row in rows]
    total = sum(times) or 1
    found = [OperatorTime(row.key, row.count, time / 1e6, time / total)
             for row, time in zip(rows, times, strict=True)]  # fmt: skip
    return sorted(found, key=lambda each: each.seconds, reverse=True)


def _format_table(found: list[OperatorTime], steps: int, most: int = 30) -> str:
    """The largest operators as a text table."""
    lines = [f"{'operator':<48} {'calls':>8} {'ms a step':>10} {'share':>6}"]
    lines += [
        f"{each.name[:48]:<48} {each.calls:>8} {1e3 * each.seconds / steps:>10.2f} "
        f"{each.share:>6.1%}"
        for each in found[:most]
    ]
    return "\n".join(lines) + "\n"
