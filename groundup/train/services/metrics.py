"""Metrics: what each step was, written beside the checkpoints and kept in the artifact's log."""

import math
import shutil
import statistics
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
    steps: Iterable[Step],
    metrics: record.Metrics,
    bar: record.Progress | None = None,
    *,
    share: Callable[[Step], float] | None = None,
) -> Iterator[Step]:
    """Write each step to the metrics file and move the progress bar by its tokens.

    share  share of the machine's peak that a step used, told as `mfu`

    A loss that is not finite is null; a step that was not made has `applied: false`. Where a run
    goes back its numbers come again, and the bar goes back too.
    """
    expected = None
    for step in steps:
        row: dict[str, Any] = {
            "loss": rounded(step.loss, 6),
            "gradient_norm": rounded(step.gradient_norm, 4),
            "rate": round(step.rate, 6),
            "tokens": step.tokens,
            "tokens_per_second": round(step.tokens / step.seconds),
        }
        shown = {"loss": step.loss}
        if share is not None:
            shown["mfu"] = row["mfu"] = round(share(step), 4)
        if not step.is_applied:
            row["applied"] = False
        metrics.write(step=step.number, **row)
        if bar is not None:
            if expected is None:  # it is compiled, and tells nothing of the others' pace
                bar.skip(step.tokens)
            else:
                bar.advance((1 + step.number - expected) * step.tokens, **shown)
        expected = step.number + 1
        yield step


def rounded(value: float, digits: int) -> float | None:
    """The value rounded, or None if it is not finite, which JSON cannot tell."""
    return round(value, digits) if math.isfinite(value) else None


def summary(metrics: Path) -> dict[str, float]:
    """Figures of a whole run from its metrics: last losses, median speed."""
    rows = record.read_metrics(metrics)
    losses = [row["loss"] for row in rows if row.get("loss") is not None]
    speeds = [row["tokens_per_second"] for row in rows if "tokens_per_second" in row]
    found = {"final loss": losses[-1]} if losses else {}
    if speeds:
        found["tokens per second"] = float(statistics.median(speeds))
    shares = [row["mfu"] for row in rows if "mfu" in row]
    found |= {"mfu": float(statistics.median(shares))} if shares else {}
    for name, told in (("validation", "validation loss"), (BITS, BITS)):
        held_out = [row[name] for row in rows if name in row]
        found |= {told: held_out[-1]} if held_out else {}
    return found
