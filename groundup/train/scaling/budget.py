"""What a budget buys: the best size and tokens, the loss to expect, the time and memory."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from groundup.core import Artifact, ConfigError, record
from groundup.model import describe_config

from .fit import Fitted, parent_of, read_fit
from .forecast import best, weights
from .resample import Spread, forecast_of
from .sweep import Told, read_sweep


class Bought(NamedTuple):
    """The best run of a budget."""

    flops: float
    layers: int
    width: int
    parameters: int
    """All weights."""
    weights: int
    """N, as the fit counts it."""
    tokens: int
    loss: Spread
    """Nats, with the interval of a single run."""
    seconds: float
    """At the speed that the sweep measured on its machine for this size."""
    training_bytes: int
    """Weights, gradients and AdamW's moments in float32; activations come on top."""


@dataclass(frozen=True)
class Table:
    """What `groundup scaling table` gives."""

    rows: tuple[Bought, ...]

    def __str__(self) -> str:
        """A line a budget."""
        heads = ("FLOPs", "shape", "parameters", "N", "tokens", "nats", "95 %", "time", "memory")
        cells = [heads] + [
            (f"{row.flops:.3g}", f"{row.layers}x{row.width}", f"{row.parameters:,}",
             f"{row.weights:,}", f"{row.tokens:,}", f"{row.loss.estimate:.3f}",
             f"{row.loss.low:.3f} to {row.loss.high:.3f}", record.duration(row.seconds),
             record.size(row.training_bytes))
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


def table(budgets: list[float], *, fit: Artifact) -> Table:
    """Tell for budgets of compute which model to train, on how much, and what it will lose.

    budgets  FLOPs, such as 1e15; a day on a machine of 1e11 FLOP/s is 8.6e15
    fit      a fit that `groundup scaling fit` made

    Raises ConfigError for a budget that is not above 0.
    """
    if not budgets or not all(0 < budget < math.inf for budget in budgets):
        raise ConfigError(f"budgets={budgets} must be FLOPs above 0; try 1e15.")
    known, told = read_fit(fit), read_sweep(parent_of(fit, "sweep"))
    return Table(tuple(bought(known, told, budget) for budget in sorted(budgets)))


def bought(known: Fitted, told: Told, budget: float) -> Bought:
    """The best run of one budget."""
    made = best(told.config, told.vocab_size, budget, known)
    count, size = weights(made.size, known), made.size
    shape = made.config.shape(told.vocab_size)
    return Bought(
        made.flops, size.layers, size.width, size.embedding + size.computing, count,
        made.config.tokens, forecast_of(known.parametric, count, made.config.tokens),
        made.flops / speed(told, size.computing), describe_config(shape).training_bytes,
    )  # fmt: skip


def speed(told: Told, computing: int) -> float:
    """FLOPs a second of a size: between those of the sweep, beyond them as the nearest."""
    runs = sorted({run.computing for run in told.runs})
    speeds = [float(np.median([r.flops_per_second for r in told.runs if r.computing == size]))
              for size in runs]  # fmt: skip
    return float(np.interp(np.log(computing), np.log(runs), speeds))
