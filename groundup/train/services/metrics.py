"""Metrics: what each step was, written beside the checkpoints and kept in the artifact's log."""

import shutil
import statistics
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from groundup.core import Draft, record

from ..checkpoint.store import Resumed
from ..loop import Step
from .validation import BITS

METRICS = "metrics.jsonl"


@contextmanager
def measured(draft: Draft, resumed: Resumed) -> Iterator[record.Metrics]:
    """Metrics of a run, those before the checkpoint kept; complete, they go into its log.

    Until then they lie beside the checkpoints, which outlive a kill.
    """
    path = draft.scratch / METRICS
    metrics = record.Metrics(path, lambda row: row["step"] < resumed.step)
    try:
        yield metrics
    finally:
        metrics.close()
    shutil.copyfile(path, draft.log / METRICS)


def logging(
    steps: Iterable[Step], metrics: record.Metrics, bar: record.Progress | None = None
) -> Iterator[Step]:
    """Write each step to the metrics file and move the progress bar by its tokens."""
    for step in steps:
        metrics.write(
            step=step.number,
            loss=round(step.loss, 6),
            gradient_norm=round(step.gradient_norm, 4),
            rate=round(step.rate, 6),
            tokens=step.tokens,
            tokens_per_second=round(step.tokens / step.seconds),
        )
        if bar is not None:
            bar.advance(step.tokens, loss=step.loss)
        yield step


def summary(metrics: Path) -> dict[str, float]:
    """Figures of a whole run from its metrics: last losses, median speed."""
    rows = record.read_metrics(metrics)
    losses = [row["loss"] for row in rows if "loss" in row]
    speeds = [row["tokens_per_second"] for row in rows if "tokens_per_second" in row]
    found = {"final loss": losses[-1]} if losses else {}
    if speeds:
        found["tokens per second"] = float(statistics.median(speeds))
    for name, told in (("validation", "validation loss"), (BITS, BITS)):
        held_out = [row[name] for row in rows if name in row]
        found |= {told: held_out[-1]} if held_out else {}
    return found
