"""Fit every law and approach to one sweep, with intervals, as an artifact and a page.

    fit.json     the laws, exponents and frontiers; what a forecast and a table need
    index.html   isoFLOP curves, the frontier, the laws; opens from disk

Which weights count as N changes exponents at small sizes (Pearce and Song 2024, arXiv:2406.12907):
`computing` counts those that every token is multiplied with, so that compute is near 6 N D even
where the vocabulary is most of a model.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from groundup.core import Artifact, Config, ConfigError, DataError, Draft, produce, write_json
from groundup.core import write_text as write_page

from .bootstrap import (
    BootstrappedLaw,
    bootstrap_law,
    bootstrap_quantiles,
    format_estimate,
    interval_to_json,
)
from .frontier import (
    Frontier,
    ResampleRows,
    envelope_frontier,
    isoflop_frontier,
    parametric_frontier,
)
from .laws import FormName, LossPoints, ScalingLaw, coefficients, fit_law, refit_law
from .page import ChartData, render_page
from .sweep import SweepRun, read_sweep

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
        """What `--json` prints."""
        shown = {name: self.content[name] for name in ("laws", "exponents", "frontier")}
        return shown | {"report": str(self.artifact.path)}


def fit_sweep(config: FitConfig, sweep: Artifact, out: Path) -> FitReport:
    """Fit scaling laws to a sweep: Kaplan's, and Chinchilla's by three approaches.

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


def _counted_weights(run: SweepRun, count: WeightCount) -> int:
    """N of a run."""
    if count == "total":
        return run.embedding + run.non_embedding + run.output
    return run.non_embedding if count == "non_embedding" else run.computing


def _law_points(runs: Sequence[SweepRun], count: WeightCount) -> LossPoints:
    """The data that laws are fitted to."""
    return LossPoints(
        np.array([_counted_weights(run, count) for run in runs], dtype=float),
        np.array([run.tokens for run in runs], dtype=float),
        np.array([run.loss for run in runs]),
    )


def _fit_all(config: FitConfig, runs: Sequence[SweepRun]) -> tuple[dict[str, Any], ChartData]:
    """The content of fit.json, and the data of the page."""
    points = _law_points(runs, config.count)
    flops = np.array([run.flops for run in runs])
    budgets = np.array([run.budget for run in runs])
    per_weight = float(np.median(flops / (points.parameters * points.tokens)))
    found = bootstrap_law(fit_law("parametric", points), points, config.resamples, config.seed)
    logs = np.vstack([np.log(points.loss), found.logs])
    frontiers = {
        "envelope": envelope_frontier(runs, points.parameters, logs - logs[0]),
        "isoflop": isoflop_frontier(points, budgets, logs),
        "parametric": parametric_frontier(found, np.unique(budgets), per_weight),
    }
    laws = {"parametric": _law_intervals(found.law, found.thetas)}
    for form in ("kaplan", "kaplan_floor"):
        law = fit_law(form, points)
        laws[form] = _law_intervals(law, refit_law(law, points, found.logs))
    laws |= _compute_laws(frontiers["isoflop"])
    errors = 100 * (points.loss / np.exp(found.law.log_loss(points.parameters, points.tokens)) - 1)
    content = {
        "count": config.count,
        "per_weight": per_weight,
        "laws": laws,
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


def _law_intervals(law: ScalingLaw, thetas: ResampleRows) -> dict[str, JsonInterval]:
    """The law's coefficients with their intervals."""
    rows = [coefficients(law.form, law.centre, theta) for theta in thetas]
    return {
        name: interval_to_json(bootstrap_quantiles(value, np.array([row[name] for row in rows])))
        for name, value in law.coefficients().items()
    }


def _compute_laws(best: Frontier) -> dict[str, dict[str, JsonInterval]]:
    """Kaplan's L(C) along the lowest losses of the budgets, without and with a floor."""
    known = np.isfinite(best.loss[0])
    draws = best.loss[1:, known]
    draws = np.log(draws[np.isfinite(draws).all(1)])
    points = LossPoints(best.flops[known], np.ones(known.sum()), best.loss[0, known])
    laws = {}
    forms: tuple[FormName, ...] = ("power", "power_floor")
    for form, fewest in zip(forms, (2, 4), strict=True):  # three points fit 3 coefficients exactly
        if known.sum() >= fewest and len(draws):
            law = fit_law(form, points)
            laws[f"compute_{form}"] = _law_intervals(law, refit_law(law, points, draws))
    return laws


def _exponent_intervals(best: Frontier) -> dict[str, JsonInterval]:
    """Exponents of weights and tokens over compute with their intervals."""
    return {name: interval_to_json(bootstrap_quantiles(rows[0], rows[1:]))
            for name, rows in zip("ND", best.exponents(), strict=True)}  # fmt: skip


def _frontier_intervals(best: Frontier) -> list[dict[str, Any]]:
    """Optimal weights, tokens and loss of each budget with their intervals."""
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
    law = ScalingLaw("parametric", tuple(part["centre"]), tuple(part["theta"]))
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
