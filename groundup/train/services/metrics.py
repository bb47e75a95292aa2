"""Metrics of each step, written next to the checkpoints and copied into the artifact's log."""

import math
import shutil
import statistics
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from groundup.core import Draft, record

from ..checkpoint.store import ResumePoint
from ..loop import TrainStep
from .validation import BITS_PER_BYTE

METRICS_FILE = "metrics.jsonl"


@contextmanager
def open_metrics(draft: Draft, resumed: ResumePoint) -> Iterator[record.MetricsFile]:
    """Metrics of a run, resumed from the checkpoint's step; copied into the log at the end.

    Until then they are next to the checkpoints, which survive a kill.
    """
    path = draft.scratch / METRICS_FILE
    metrics = record.MetricsFile(path, lambda row: row["step"] < resumed.step)
    try:
        yield metrics
    finally:
        metrics.close()
    shutil.copyfile(path, draft.log / METRICS_FILE)


def log_steps(
    steps: Iterable[TrainStep],
    metrics: record.MetricsFile,
    bar: record.ProgressReporter | None = None,
    *,
    utilisation: Callable[[TrainStep], float] | None = None,
) -> Iterator[TrainStep]:
    """Write each step to the metrics file and advance the progress bar by its tokens.

    utilisation  model FLOPs utilisation of a step, logged as `mfu`

    A non-finite loss is null; a step that was not applied has `applied: false`. After a rewind
    step numbers repeat, and the bar goes back too.
    """
    expected = None
    for step in steps:
        row: dict[str, Any] = {
            "loss": _round_finite(step.loss, 6),
            "gradient_norm": _round_finite(step.grad_norm, 4),
            "rate": round(step.lr_multiplier, 6),
            "tokens": step.tokens,
            "tokens_per_second": round(step.tokens / step.seconds),
        }
        shown = {"loss": step.loss}
        if utilisation is not None:
            shown["mfu"] = row["mfu"] = round(utilisation(step), 4)
        if not step.is_applied:
            row["applied"] = False
        metrics.write(step=step.number, **row)
        if bar is not None:
            if expected is None:  # the first step includes compilation
                bar.skip(step.tokens)
            else:
                bar.advance((1 + step.number - expected) * step.tokens, **shown)
        expected = step.number + 1
        yield step


def _round_finite(value: float, digits: int) -> float | None:
    """The value rounded, or None if it is not finite, which JSON lacks."""
    return round(value, digits) if math.isfinite(value) else None


def summarise_metrics(metrics: Path) -> dict[str, float]:
    """Numbers of a run from its metrics: last losses, median speed."""
    rows = record.read_metrics(metrics)
    losses = [row["loss"] for row in rows if row.get("loss") is not None]
    speeds = [row["tokens_per_second"] for row in rows if "tokens_per_second" in row]
    numbers = {"final loss": losses[-1]} if losses else {}
    if speeds:
        numbers["tokens per second"] = float(statistics.median(speeds))
    shares = [row["mfu"] for row in rows if "mfu" in row]
    numbers |= {"mfu": float(statistics.median(shares))} if shares else {}
    for column, name in (("validation", "validation loss"), (BITS_PER_BYTE, BITS_PER_BYTE)):
        values = [row[column] for row in rows if column in row]
        numbers |= {name: values[-1]} if values else {}
    return numbers
