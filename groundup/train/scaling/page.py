"""The HTML page of a fit: isoFLOP curves, the frontier by three approaches, loss over compute."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from groundup.core import page as look

from .bootstrap import BootstrappedLaw, format_estimate
from .frontier import Frontier, ResampleRows, parametric_frontier
from .laws import Array, LossPoints
from .sweep import SweepRun

CURVE_STEPS = 40
EXTRAPOLATION_FACTOR = 10.0
"""The law is drawn to this multiple of the largest budget."""


class ChartData(NamedTuple):
    """Data of the charts."""

    points: LossPoints
    budgets: Array
    flops: Array
    parametric: BootstrappedLaw
    per_weight: float
    frontiers: Mapping[str, Frontier]


def render_page(
    runs: Sequence[SweepRun], drawn: ChartData, content: Mapping[str, Any]
) -> look.Html:
    """The page."""
    law, exponents = content["laws"]["parametric"], content["exponents"]["isoflop"]
    sheet = look.HtmlPage(
        "Scaling laws",
        f"{len(runs)} runs follow L = E + A / N^α + B / D^β to "
        f"{max(map(abs, content['residuals_percent'].values())):.2g} %.",
    )
    named = {"E": "irreducible loss E", "alpha": "α, of weights", "beta": "β, of tokens"}
    sheet.add(look.headline_figures([
        *(look.HeadlineFigure(label, law[name][0], "nats" if name == "E" else "", *law[name][1:])
          for name, label in named.items()),
        look.HeadlineFigure("weights ~ C^a, isoFLOP", exponents["N"][0], "", *exponents["N"][1:]),
    ]))  # fmt: skip
    sheet.section(
        "Equal compute", "Each curve is one budget; its minimum is the size to train.",
        _isoflop_chart(drawn),
    )  # fmt: skip
    sheet.section(
        "Optimal size", "Optimal number of weights for a budget, by Chinchilla's approaches.",
        _frontier_chart(drawn), _exponent_table(content["exponents"]),
    )  # fmt: skip
    sheet.section(
        "Loss over compute",
        f"The law at the optimal size, up to {EXTRAPOLATION_FACTOR:g} times the largest budget, "
        f"and the runs.",
        _loss_chart(drawn),
    )
    sheet.section("Laws", "Intervals contain 95 % of the resamples.", _law_table(content["laws"]))
    sheet.section("Runs", "The data of the fit.", _run_table(runs, content))
    return sheet.render()


def _isoflop_chart(drawn: ChartData) -> look.Html:
    """Held-out loss over weights, with a parabola, for each budget."""
    series = []
    for budget in np.unique(drawn.budgets):
        here = drawn.budgets == budget
        order = np.argsort(drawn.points.parameters[here])
        x = drawn.points.parameters[here][order]
        y = drawn.points.loss[here][order]
        places, lows = _as_dots(x, y)
        if len(x) > 2:
            across = np.geomspace(x[0], x[-1], CURVE_STEPS)
            curve = np.polyval(np.polyfit(np.log(x), y, 2), np.log(across))
            places, lows = [*places, *across], [*lows, *curve]
        series.append(look.Series(f"{budget:.2g} FLOPs".replace("+", ""), places, lows))
    return look.line_chart(
        "Loss of each budget", series, x_label="weights N", y_label="held-out loss, nats a token",
        logarithmic=True,
    )  # fmt: skip


def _as_dots(x: Array, y: Array) -> tuple[list[float], list[float | None]]:
    """Points that a chart draws as dots: with gaps between them."""
    places = [float(value) for value in x for _ in range(2)]
    values: list[float | None] = []
    for value in y:
        values += [float(value), None]
    return places, values


def _frontier_chart(drawn: ChartData) -> look.Html:
    """Optimal weights over compute by each approach, with the parametric law's interval."""
    series = []
    for name, found in drawn.frontiers.items():
        known = np.isfinite(found.parameters[0])
        low, high = _interval_band(found.parameters[1:, known]) if name != "envelope" else ([], [])
        series.append(look.Series(
            name, found.flops[known].tolist(), found.parameters[0, known].tolist(), low, high
        ))  # fmt: skip
    return look.line_chart(
        "Best weights", series, x_label="compute, FLOPs", y_label="weights N", logarithmic=True
    )


def _interval_band(rows: ResampleRows) -> tuple[list[float], list[float]]:
    """Ends of the 95 % interval at each point."""
    if not rows.shape[1]:
        return [], []
    low, high = np.nanpercentile(rows, [2.5, 97.5], axis=0)
    return low.tolist(), high.tolist()


def _loss_chart(drawn: ChartData) -> look.Html:
    """The law's lowest loss over compute with its interval, and every run."""
    across = np.geomspace(drawn.flops.min(), EXTRAPOLATION_FACTOR * drawn.flops.max(), CURVE_STEPS)
    best = parametric_frontier(drawn.parametric, across, drawn.per_weight)
    low, high = _interval_band(best.loss[1:])
    law = look.Series("law", across.tolist(), best.loss[0].tolist(), low, high)
    order = np.argsort(drawn.flops)
    runs = look.Series("runs", *_as_dots(drawn.flops[order], drawn.points.loss[order]))
    return look.line_chart(
        "Lowest loss", [law, runs], x_label="compute, FLOPs",
        y_label="held-out loss, nats a token", logarithmic=True,
    )  # fmt: skip


def _exponent_table(exponents: Mapping[str, Mapping[str, Sequence[float | None]]]) -> look.Html:
    """N ~ C^a and D ~ C^b by approach."""
    heads = [
        "approach",
        *(look.TableColumn(head, True) for head in ("a, of weights", "b, of tokens")),
    ]
    rows = [
        [name, *(format_estimate(part[key]) for key in "ND")] for name, part in exponents.items()
    ]
    return look.table_element("Exponents over compute", heads, rows)


def _law_table(laws: Mapping[str, Mapping[str, Sequence[float | None]]]) -> look.Html:
    """Every coefficient of every law."""
    rows = [[law, name, format_estimate(value)] for law, part in laws.items()
            for name, value in part.items()]  # fmt: skip
    return look.table_element("Laws", ["law", "number", look.TableColumn("value", True)], rows)


def _run_table(runs: Sequence[SweepRun], content: Mapping[str, Any]) -> look.Html:
    """One line per run."""
    heads = ["run", *(look.TableColumn(head, True) for head in (
        "embedding", "non-embedding", "output", "tokens", "FLOPs", "nats", "bits a byte", "off law"
    ))]  # fmt: skip
    rows = [
        [run.name, f"{run.embedding:,}", f"{run.non_embedding:,}", f"{run.output:,}",
         f"{run.tokens:,}", f"{run.flops:.3g}", f"{run.loss:.4f}", f"{run.bits_per_byte:.4f}",
         f"{content['residuals_percent'][run.name]:+.2f} %"]
        for run in runs
    ]  # fmt: skip
    return look.table_element("Runs", heads, rows)
