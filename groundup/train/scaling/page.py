"""The HTML page of a fit: isoFLOP curves, the frontier by three approaches, loss over compute."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from groundup.core import page as look

from .frontier import Frontier, Rows, optimum
from .laws import Array, Points
from .resample import Resampled, written
from .sweep import Run

STEPS = 40
FURTHER = 10.0
"""The law is drawn to this multiple of the largest budget."""


class Drawn(NamedTuple):
    """Data of the charts."""

    points: Points
    budgets: Array
    flops: Array
    parametric: Resampled
    per_weight: float
    frontiers: Mapping[str, Frontier]


def page(runs: Sequence[Run], drawn: Drawn, told: Mapping[str, Any]) -> look.Html:
    """The page."""
    law, exponents = told["laws"]["parametric"], told["exponents"]["isoflop"]
    sheet = look.Page(
        "Scaling laws",
        f"{len(runs)} runs follow L = E + A / N^α + B / D^β to "
        f"{max(map(abs, told['residuals_percent'].values())):.2g} %.",
    )
    named = {"E": "irreducible loss E", "alpha": "α, of weights", "beta": "β, of tokens"}
    sheet.add(look.headline([
        *(look.Figure(label, law[name][0], "nats" if name == "E" else "", *law[name][1:])
          for name, label in named.items()),
        look.Figure("weights ~ C^a, isoFLOP", exponents["N"][0], "", *exponents["N"][1:]),
    ]))  # fmt: skip
    sheet.section(
        "Equal compute", "Each curve is one budget; its minimum is the size to train.",
        isoflop_chart(drawn),
    )  # fmt: skip
    sheet.section(
        "Optimal size", "Optimal number of weights for a budget, by Chinchilla's approaches.",
        frontier_chart(drawn), exponent_table(told["exponents"]),
    )  # fmt: skip
    sheet.section(
        "Loss over compute",
        f"The law at the optimal size, up to {FURTHER:g} times the largest budget, and the runs.",
        loss_chart(drawn),
    )
    sheet.section("Laws", "Intervals contain 95 % of the resamples.", law_table(told["laws"]))
    sheet.section("Runs", "The data of the fit.", run_table(runs, told))
    return sheet.render()


def isoflop_chart(drawn: Drawn) -> look.Html:
    """Held-out loss over weights, with a parabola, for each budget."""
    series = []
    for budget in np.unique(drawn.budgets):
        here = drawn.budgets == budget
        order = np.argsort(drawn.points.parameters[here])
        x = drawn.points.parameters[here][order]
        y = drawn.points.loss[here][order]
        places, lows = dotted(x, y)
        if len(x) > 2:
            across = np.geomspace(x[0], x[-1], STEPS)
            curve = np.polyval(np.polyfit(np.log(x), y, 2), np.log(across))
            places, lows = [*places, *across], [*lows, *curve]
        series.append(look.Series(f"{budget:.2g} FLOPs".replace("+", ""), places, lows))
    return look.line_chart(
        "Loss of each budget", series, x_label="weights N", y_label="held-out loss, nats a token",
        logarithmic=True,
    )  # fmt: skip


def dotted(x: Array, y: Array) -> tuple[list[float], list[float | None]]:
    """Points that a chart draws as dots: with gaps between them."""
    places = [float(value) for value in x for _ in range(2)]
    values: list[float | None] = []
    for value in y:
        values += [float(value), None]
    return places, values


def frontier_chart(drawn: Drawn) -> look.Html:
    """Optimal weights over compute by each approach, with the parametric law's interval."""
    series = []
    for name, found in drawn.frontiers.items():
        known = np.isfinite(found.parameters[0])
        low, high = band(found.parameters[1:, known]) if name != "envelope" else ([], [])
        series.append(look.Series(
            name, found.flops[known].tolist(), found.parameters[0, known].tolist(), low, high
        ))  # fmt: skip
    return look.line_chart(
        "Best weights", series, x_label="compute, FLOPs", y_label="weights N", logarithmic=True
    )


def band(rows: Rows) -> tuple[list[float], list[float]]:
    """Ends of the 95 % interval at each point."""
    if not rows.shape[1]:
        return [], []
    low, high = np.nanpercentile(rows, [2.5, 97.5], axis=0)
    return low.tolist(), high.tolist()


def loss_chart(drawn: Drawn) -> look.Html:
    """The law's lowest loss over compute with its interval, and every run."""
    across = np.geomspace(drawn.flops.min(), FURTHER * drawn.flops.max(), STEPS)
    best = optimum(drawn.parametric, across, drawn.per_weight)
    low, high = band(best.loss[1:])
    law = look.Series("law", across.tolist(), best.loss[0].tolist(), low, high)
    order = np.argsort(drawn.flops)
    runs = look.Series("runs", *dotted(drawn.flops[order], drawn.points.loss[order]))
    return look.line_chart(
        "Lowest loss", [law, runs], x_label="compute, FLOPs",
        y_label="held-out loss, nats a token", logarithmic=True,
    )  # fmt: skip


def exponent_table(exponents: Mapping[str, Mapping[str, Sequence[float | None]]]) -> look.Html:
    """N ~ C^a and D ~ C^b by approach."""
    heads = ["approach", *(look.Column(head, True) for head in ("a, of weights", "b, of tokens"))]
    rows = [[name, *(written(part[key]) for key in "ND")] for name, part in exponents.items()]
    return look.table("Exponents over compute", heads, rows)


def law_table(laws: Mapping[str, Mapping[str, Sequence[float | None]]]) -> look.Html:
    """Every coefficient of every law."""
    rows = [[law, name, written(value)] for law, part in laws.items()
            for name, value in part.items()]  # fmt: skip
    return look.table("Laws", ["law", "number", look.Column("value", True)], rows)


def run_table(runs: Sequence[Run], told: Mapping[str, Any]) -> look.Html:
    """One line per run."""
    heads = ["run", *(look.Column(head, True) for head in (
        "embedding", "non-embedding", "output", "tokens", "FLOPs", "nats", "bits a byte", "off law"
    ))]  # fmt: skip
    rows = [
        [run.name, f"{run.embedding:,}", f"{run.non_embedding:,}", f"{run.output:,}",
         f"{run.tokens:,}", f"{run.flops:.3g}", f"{run.loss:.4f}", f"{run.bits_per_byte:.4f}",
         f"{told['residuals_percent'][run.name]:+.2f} %"]
        for run in runs
    ]  # fmt: skip
    return look.table("Runs", heads, rows)
