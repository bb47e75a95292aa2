"""What a budget buys: optimal size and tokens, expected loss, time and memory."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from groundup.core import Artifact, ConfigError, record
from groundup.model import describe_config

from .bootstrap import BootstrapInterval, predict_loss
from .fit import ScalingFit, open_input, read_fit
from .forecast import counted_weights_of_size, optimal_run
from .sweep import SweepReport, read_sweep


class OptimalRun(NamedTuple):
    """The optimal run of a budget."""

    flops: float
    layers: int
    width: int
    parameters: int
    """All weights."""
    weights: int
    """N, as the fit counts it."""
    tokens: int
    loss: BootstrapInterval
    """Nats, with the prediction interval of a single run."""
    seconds: float
    """At the speed measured in the sweep for this size."""
    training_bytes: int
    """Weights, gradients and AdamW's states in float32; without activations."""


@dataclass(frozen=True)
class BudgetTable:
    """Result of `groundup scaling table`."""

    rows: tuple[OptimalRun, ...]

    def __str__(self) -> str:
        """One line per budget."""
        heads = ("FLOPs", "shape", "parameters", "N", "tokens", "nats", "95 %", "time", "memory")
        cells = [heads] + [
            (f"{row.flops:.3g}", f"{row.layers}x{row.width}", f"{row.parameters:,}",
             f"{row.weights:,}", f"{row.tokens:,}", f"{row.loss.estimate:.3f}",
             f"{row.loss.low:.3f} to {row.loss.high:.3f}", record.format_duration(row.seconds),
             record.format_bytes(row.training_bytes))
            for row in self.rows
        ]  # fmt: skip
        widths = [max(len(row[i]) for row in cells) for i in range(len(heads))]
        return "\n".join(
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            for row in cells
        )

    def _asdict(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {"rows": [row._asdict() | {"loss": row.loss._asdict()} for row in self.rows]}


def budget_table(budgets: list[float], *, fit: Artifact) -> BudgetTable:
    """For compute budgets, the optimal model size and tokens, and the expected loss.

    budgets  FLOPs, such as 1e15; a day on a machine of 1e11 FLOP/s is 8.6e15
    fit      a fit that `groundup scaling fit` made

    Raises ConfigError for a budget that is not above 0.
    """
    if not budgets or not all(0 < budget < math.inf for budget in budgets):
        raise ConfigError(f"budgets={budgets} must be FLOPs above 0; try 1e15.")
    known, swept = read_fit(fit), read_sweep(open_input(fit, "sweep"))
    return BudgetTable(tuple(_optimal_run(known, swept, budget) for budget in sorted(budgets)))


def _optimal_run(known: ScalingFit, told: SweepReport, budget: float) -> OptimalRun:
    """The optimal run of one budget."""
    run = optimal_run(told.config, told.vocab_size, budget, known)
    count, size = counted_weights_of_size(run.size, known), run.size
    shape = run.config.model_config_for(told.vocab_size)
    return OptimalRun(
        run.flops, size.layers, size.width, size.embedding + size.computing, count,
        run.config.tokens, predict_loss(known.parametric, count, run.config.tokens),
        run.flops / _interpolate_speed(told, size.computing), describe_config(shape).training_bytes,
    )  # fmt: skip


def _interpolate_speed(told: SweepReport, computing: int) -> float:
    """FLOP/s of a size, interpolated between the sweep's sizes."""
    runs = sorted({run.computing for run in told.runs})
    speeds = [float(np.median([r.flops_per_second for r in told.runs if r.computing == size]))
              for size in runs]  # fmt: skip
    return float(np.interp(np.log(computing), np.log(runs), speeds))
