"""Fit the law and every approach to one sweep, with intervals, as an artifact and a page.

    fit.json     the law, exponents and frontiers; what a forecast and a table need
    index.html   isoFLOP curves, the frontier, loss over compute; opens from disk

Which weights count as N changes exponents at small sizes (Pearce and Song 2024, arXiv:2406.12907):
`computing` counts those that every token is multiplied with, so that compute is near 6 N D even
where the vocabulary is most of a model.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from groundup.core import Artifact, Config, ConfigError, DataError, Draft, produce, write_json
from groundup.core import page as look
from groundup.core import write_text as write_page

from .laws import (
    Array,
    BootstrappedLaw,
    Frontier,
    LossPoints,
    ResampleRows,
    ScalingLaw,
    bootstrap_law,
    bootstrap_quantiles,
    coefficients,
    envelope_frontier,
    fit_law,
    format_estimate,
    interval_to_json,
    isoflop_frontier,
    parametric_frontier,
)
from .sweep import ModelSize, SweepRun, read_sweep

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
    heads = [
        "approach",
        *(look.TableColumn(head, True) for head in ("a, of weights", "b, of tokens")),
    ]
    rows = [
        [name, *(format_estimate(part[key]) for key in "ND")] for name, part in exponents.items()
    ]
    return look.table_element("Exponents over compute", heads, rows)


def _law_table(laws: Mapping[str, Mapping[str, Sequence[float | None]]]) -> look.Html:
    rows = [[law, name, format_estimate(value)] for law, part in laws.items()
            for name, value in part.items()]  # fmt: skip
    return look.table_element("Laws", ["law", "number", look.TableColumn("value", True)], rows)


def _run_table(runs: Sequence[SweepRun], content: Mapping[str, Any]) -> look.Html:
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


STAGE, FILE, PAGE = "scaling_fit", "fit.json", "index.html"
JsonInterval = list[float | None]
WeightCount = Literal["computing", "non_embedding", "total"]


class FitConfig(Config):
    """How laws are fitted."""

    count: WeightCount = "computing"
    """Weights that count as N: those used in products, those without embeddings, or all."""
    resamples: int = Field(default=500, ge=50)
    """Bootstrap resamples for intervals."""
    seed: int = 0
    """Seed of the resamples."""


class ScalingFit(NamedTuple):
    """A fit, read from its artifact."""

    config: FitConfig
    parametric: BootstrappedLaw
    per_weight: float
    """FLOPs per weight and token, the median of the runs."""
    content: dict[str, Any]
    """Content of fit.json."""


@dataclass(frozen=True)
class FitReport:
    """Result of `groundup scaling fit`."""

    artifact: Artifact
    content: dict[str, Any]

    def __str__(self) -> str:
        """The laws and exponents with their intervals."""
        rows = [("law", "", "")]
        for law, numbers in self.content["laws"].items():
            rows += [(law, name, format_estimate(value)) for name, value in numbers.items()]
        rows += [("approach", "", "")]
        for name, parts in self.content["exponents"].items():
            rows += [
                (name, f"{part} ~ C^", format_estimate(value)) for part, value in parts.items()
            ]
        lines = [f"{a:<21}{b:<10}{c}".rstrip() for a, b, c in rows]
        worst = max(map(abs, self.content["residuals_percent"].values()))
        lines += ["", f"The parametric law is at most {worst:.2f} % off a run of the sweep.",
                  f"Page: {self.artifact.path / PAGE}"]  # fmt: skip
        return "\n".join(lines)

    def _asdict(self) -> dict[str, Any]:
        shown = {name: self.content[name] for name in ("laws", "exponents", "frontier")}
        return shown | {"report": str(self.artifact.path)}


def fit_sweep(config: FitConfig, sweep: Artifact, out: Path) -> FitReport:
    """Fit a scaling law to a sweep, and optimal sizes by Chinchilla's three approaches.

    sweep  the report that `groundup scaling sweep` wrote into its folder `sweep`
    out    directory for the fit and its page

    Raises DataError if the sweep has fewer than six runs.
    """
    runs = read_sweep(sweep).runs
    if len(runs) < 6:
        raise DataError(
            f"{sweep.path} has {len(runs)} runs; a law of five coefficients needs at least 6, "
            "better three budgets of four sizes."
        )

    def write(draft: Draft) -> None:
        content, drawn = _fit_all(config, runs)
        draft.numbers |= {"runs": len(runs), **content["laws"]["parametric"]}
        write_json(draft.file(FILE), content)
        write_page(draft.file(PAGE), render_page(runs, drawn, content))

    artifact = produce(
        out, kind="report", stage=STAGE, version=1, config=config, parents={"sweep": sweep},
        write=write,
    )  # fmt: skip
    return FitReport(artifact, json.loads(artifact.file(FILE).read_text(encoding="utf-8")))


def counted_weights(size: ModelSize | SweepRun, count: WeightCount) -> int:
    """N of a size or a run."""
    if count == "total":
        return size.embedding + size.computing
    return size.computing if count == "computing" else size.non_embedding


def _law_points(runs: Sequence[SweepRun], count: WeightCount) -> LossPoints:
    return LossPoints(
        np.array([counted_weights(run, count) for run in runs], dtype=float),
        np.array([run.tokens for run in runs], dtype=float),
        np.array([run.loss for run in runs]),
    )


def _fit_all(config: FitConfig, runs: Sequence[SweepRun]) -> tuple[dict[str, Any], ChartData]:
    """The content of fit.json, and the data of the page."""
    points = _law_points(runs, config.count)
    flops = np.array([run.flops for run in runs])
    budgets = np.array([run.budget for run in runs])
    per_weight = float(np.median(flops / (points.parameters * points.tokens)))
    found = bootstrap_law(fit_law(points), points, config.resamples, config.seed)
    logs = np.vstack([np.log(points.loss), found.logs])
    frontiers = {
        "envelope": envelope_frontier(runs, points.parameters, logs - logs[0]),
        "isoflop": isoflop_frontier(points, budgets, logs),
        "parametric": parametric_frontier(found, np.unique(budgets), per_weight),
    }
    errors = 100 * (points.loss / np.exp(found.law.log_loss(points.parameters, points.tokens)) - 1)
    content = {
        "count": config.count,
        "per_weight": per_weight,
        "laws": {"parametric": _law_intervals(found)},
        "exponents": {name: _exponent_intervals(each) for name, each in frontiers.items()},
        "frontier": {name: _frontier_intervals(each) for name, each in frontiers.items()
                     if name != "envelope"},
        "residuals_percent": dict(zip([run.name for run in runs], errors.round(4), strict=True)),
        "parametric": {
            "centre": found.law.centre, "theta": found.law.theta,
            "thetas": found.thetas.tolist(), "noise": found.noise.tolist(),
        },
    }  # fmt: skip
    return content, ChartData(points, budgets, flops, found, per_weight, frontiers)


def _law_intervals(found: BootstrappedLaw) -> dict[str, JsonInterval]:
    rows = [coefficients(found.law.centre, theta) for theta in found.thetas]
    return {
        name: interval_to_json(bootstrap_quantiles(value, np.array([row[name] for row in rows])))
        for name, value in found.law.coefficients().items()
    }


def _exponent_intervals(best: Frontier) -> dict[str, JsonInterval]:
    return {name: interval_to_json(bootstrap_quantiles(rows[0], rows[1:]))
            for name, rows in zip("ND", best.exponents(), strict=True)}  # fmt: skip


def _frontier_intervals(best: Frontier) -> list[dict[str, Any]]:
    columns = {"weights": best.parameters, "tokens": best.tokens, "loss": best.loss}

    return [
        {"flops": float(flops)}
        | {
            name: interval_to_json(bootstrap_quantiles(rows[0, at], rows[1:, at]))
            for name, rows in columns.items()
        }
        for at, flops in enumerate(best.flops)
    ]


def read_fit(artifact: Artifact) -> ScalingFit:
    """Read a fit.

    Raises ConfigError for another kind of report.
    """
    if artifact.stage != STAGE:
        raise ConfigError(
            f"{artifact.path} is a {artifact.kind} of {artifact.stage}; expected the result of "
            "`groundup scaling fit`."
        )
    content = json.loads(artifact.file(FILE).read_text(encoding="utf-8"))
    part = content["parametric"]
    law = ScalingLaw(tuple(part["centre"]), tuple(part["theta"]))
    noise = np.array(part["noise"])
    found = BootstrappedLaw(law, np.array(part["thetas"]), noise, np.empty((0, len(noise))))
    return ScalingFit(FitConfig(**artifact.config), found, content["per_weight"], content)


def open_input(artifact: Artifact, name: str) -> Artifact:
    """Open an input of an artifact.

    Raises DataError if it is missing.
    """
    parent = next(each for each in artifact.parents if each.name == name)
    opened = artifact.open_parent(parent)
    if opened is None:
        path = (artifact.path / parent.path).resolve()
        raise DataError(
            f"{name} {parent.id[:12]}, an input of {artifact.path}, is not at {path}; restore it."
        )
    return opened
