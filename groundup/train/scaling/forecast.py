"""What a law is for: forecasts of larger runs, their check, and what a budget buys.

    forecast.json   loss with interval, the run's settings, what it must be trained on
    run.toml        the settings for `groundup pretrain --config`

A forecast is registered before its run begins. The artifact cannot change without its id changing,
and the time of registration is a line of a hash chain in the fit's ledger, so a forecast written or
replaced after its run began is detected. The check's verdict has errors in percent of the forecast,
its thresholds are the forecast's interval; a run that began before the registration, or that is not
the forecast's run, is rejected.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field

from groundup.core import (
    Artifact,
    Config,
    ConfigError,
    DataError,
    Draft,
    Ledger,
    LedgerEntry,
    changed_settings,
    format_toml,
    produce,
    record,
    user_name,
    write_json,
    write_text,
)
from groundup.measure import (
    Interval,
    at_least,
    at_most,
    check_requirement,
    require_passed,
    write_verdict,
)
from groundup.model import describe_config

from ..pretrain.config import PretrainConfig
from .fit import ScalingFit, counted_weights, open_input, read_fit
from .laws import BootstrapInterval, predict_loss
from .sweep import (
    LadderRun,
    SweepConfig,
    SweepReport,
    candidate_shapes,
    format_table,
    make_ladder_run,
    missing_tokens_message,
    read_sweep,
)

STAGE, FILE, SETTINGS, LEDGER = "scaling_forecast", "forecast.json", "run.toml", "forecasts.jsonl"


class ForecastConfig(Config):
    """Which run to forecast."""

    budget: float = Field(gt=0)
    """Compute of the run, FLOPs."""
    shape: tuple[int, int] | None = None
    """Layers and width; None: the optimal shape for the budget by the law."""
    max_half_width: float = Field(default=3.0, gt=0)
    """Largest half-width of the interval to register, percent of the loss."""


class Forecast(NamedTuple):
    """A forecast, read from its artifact."""

    loss: BootstrapInterval
    run: dict[str, Any]
    """Settings of the run, a PretrainConfig."""
    inputs: dict[str, str]
    """Ids of the tokens and tokenizer that the run must use."""
    flops: float
    when: str
    """Time of registration, ISO 8601, UTC."""
    others: int
    """Number of other registered forecasts of the same run."""


@dataclass(frozen=True)
class RegisteredForecast:
    """Result of `groundup scaling forecast`."""

    artifact: Artifact
    forecast: Forecast

    def __str__(self) -> str:
        """The forecast, and how to train the run."""
        known, run = self.forecast, self.forecast.run
        return (
            f"{run['depth']}x{run['width']}, {run['tokens']:,} tokens, {known.flops:.3g} FLOPs: "
            f"{known.loss.estimate:.4f} nats [{known.loss.low:.4f}, {known.loss.high:.4f}], "
            f"half-width {100 * known.loss.half_width:.2f} %\n"
            f"Registered {known.when} as {self.artifact.id[:12]}. Now train it:\n"
            f"groundup pretrain --config {self.artifact.path / SETTINGS} --tokens … --tokenizer …"
        )

    def _asdict(self) -> dict[str, Any]:
        return self.forecast._asdict() | {"artifact": str(self.artifact.path)}


def forecast(config: ForecastConfig, fit: Artifact, out: Path) -> RegisteredForecast:
    """Register the loss of a larger run before it begins.

    fit  a fit that `groundup scaling fit` made, of a sweep that still exists
    out  directory for the forecast and the run's settings

    Logs a run that repeats text, or is beyond the sweep's sizes.
    Raises DataError if the interval is too wide to register, and ConfigError if the run is one of
    the sweep's own.
    """
    known, swept = read_fit(fit), open_input(fit, "sweep")
    report = read_sweep(swept)
    planned = _plan_run(config, known, report)
    if problem := missing_tokens_message(planned, report.train_tokens):
        record.log(problem)
    sizes = [run.computing for run in report.runs]
    if not min(sizes) <= planned.size.computing <= max(sizes):
        record.log(
            f"{planned.size.name} has {planned.size.computing:,} computing weights, the sweep's "
            f"runs {min(sizes):,} to {max(sizes):,}; set shape to choose another."
        )
    loss = predict_loss(
        known.parametric, counted_weights(planned.size, known.config.count), planned.config.tokens
    )
    if 100 * loss.half_width > config.max_half_width:
        raise DataError(
            f"The forecast {loss.estimate:.4f} has a half-width of {100 * loss.half_width:.1f} %, "
            f"more than max_half_width={config.max_half_width:g} %; add runs to the sweep, or "
            "forecast a smaller one."
        )
    inputs = {name: open_input(swept, name).id for name in ("tokens", "tokenizer")}

    def write(draft: Draft) -> None:
        settings = PretrainConfig(**planned.config.to_dict())
        content = {"loss": loss, "run": settings.to_dict(), "inputs": inputs,
                   "flops": planned.flops, "vocab_size": report.vocab_size}  # fmt: skip
        write_json(draft.file(FILE), content)
        write_text(draft.file(SETTINGS), _settings_to_toml(settings))
        draft.numbers |= {"loss": loss.estimate, "low": loss.low, "high": loss.high}

    artifact = produce(out, kind="report", stage=STAGE, version=1, config=config, write=write,
                       parents={"fit": fit, "sweep": swept})  # fmt: skip
    _register_forecast(artifact, fit)
    return RegisteredForecast(artifact, read_forecast(artifact))


def _plan_run(config: ForecastConfig, known: ScalingFit, told: SweepReport) -> LadderRun:
    if config.shape is None:
        planned = optimal_run(told.config, told.vocab_size, config.budget, known)
    else:
        planned = make_ladder_run(told.config, config.shape, config.budget, told.vocab_size)
    own = (planned.size.layers, planned.size.width, planned.config.tokens)
    for run in told.runs:
        if (run.layers, run.width, run.tokens) == own:
            raise ConfigError(f"The run {run.name} is in the sweep, so its loss is already known.")
    return planned


def optimal_run(
    config: SweepConfig, vocab_size: int, budget: float, known: ScalingFit
) -> LadderRun:
    """The run of a budget with the lowest loss by the law."""
    law = known.parametric.law
    runs = (make_ladder_run(config, shape, budget, vocab_size)
            for shape in candidate_shapes(config, vocab_size, budget))  # fmt: skip
    return min(
        runs,
        key=lambda run: law.loss(counted_weights(run.size, known.config.count), run.config.tokens),
    )


def _register_forecast(made: Artifact, fit: Artifact) -> LedgerEntry:
    ledger = _forecast_ledger(fit)
    for entry in ledger.read():
        if entry.content["forecast"] == made.id:
            return entry
    content = json.loads(made.file(FILE).read_text(encoding="utf-8"))
    return ledger.append({"forecast": made.id, "loss": content["loss"], "run": content["run"],
                          "who": user_name()})  # fmt: skip


def _forecast_ledger(fit: Artifact) -> Ledger:
    return Ledger(fit.path / "ledger" / LEDGER)


def read_forecast(artifact: Artifact) -> Forecast:
    """Read a forecast and its time of registration.

    Raises ConfigError for another kind of report, DataError if it is not in the ledger.
    """
    if artifact.stage != STAGE:
        raise ConfigError(
            f"{artifact.path} is a {artifact.kind} of {artifact.stage}; expected the result of "
            "`groundup scaling forecast`."
        )
    content = json.loads(artifact.file(FILE).read_text(encoding="utf-8"))
    entries = list(_forecast_ledger(open_input(artifact, "fit")).read())
    own = [entry for entry in entries if entry.content["forecast"] == artifact.id]
    if not own:
        raise DataError(
            f"The forecast {artifact.path} ({artifact.id[:12]}) is not in its fit's ledger: it was "
            "never registered, or was replaced."
        )
    same = {entry.content["forecast"] for entry in entries
            if entry.content["run"] == content["run"]}  # fmt: skip
    return Forecast(
        BootstrapInterval(*content["loss"]),
        content["run"],
        content["inputs"],
        content["flops"],
        own[0].when,
        len(same) - 1,
    )


def _settings_to_toml(settings: PretrainConfig) -> str:
    rows = changed_settings(settings).items()
    return "".join(f"{key} = {format_toml(value)}\n" for key, (_, value) in rows)


@dataclass(frozen=True)
class ForecastOutcome:
    """Result of `groundup scaling check` for a run inside the interval."""

    verdict: Artifact
    forecast: Forecast
    loss: float
    """Held-out loss of the run, nats."""

    @property
    def error_percent(self) -> float:
        """Relative error of the run's loss to the forecast."""
        return _relative_error_percent(self.loss, self.forecast)

    def __str__(self) -> str:
        """One sentence, and where the verdict is."""
        low, high = self.forecast.loss.low, self.forecast.loss.high
        return (
            f"{self.loss:.4f} nats, {self.error_percent:+.2f} % of the forecast "
            f"{self.forecast.loss.estimate:.4f}: inside [{low:.4f}, {high:.4f}], registered "
            f"{self.forecast.when}\nVerdict: {self.verdict.path}"
        )

    def _asdict(self) -> dict[str, Any]:
        return {"loss": self.loss, "error_percent": self.error_percent,
                "forecast": self.forecast.loss._asdict(), "registered": self.forecast.when,
                "verdict": str(self.verdict.path)}  # fmt: skip


def check_forecast(run: Artifact, forecast: Artifact, out: Path) -> ForecastOutcome:
    """Check a run against its forecast; exit code 3 if its loss is outside the interval.

    run       the model that `groundup pretrain` made with the forecast's run.toml
    forecast  what `groundup scaling forecast` registered before
    out       directory for the verdict

    Raises DataError if the run began before the registration, or is another run, and GateFailed if
    it ended outside the interval.
    """
    known = read_forecast(forecast)
    _require_same_run(run, known, forecast)
    began = run.numbers.get("began")
    if began is None or began < known.when:
        raise DataError(
            f"{run.path} began {began or 'at an unknown time'}, but the forecast was registered "
            f"{known.when}; register a forecast before its run begins."
        )
    loss = float(run.numbers["validation loss"])
    result = _make_verdict(run, forecast, known, loss, out)
    require_passed(result)
    return ForecastOutcome(result, known, loss)


def _require_same_run(run: Artifact, known: Forecast, forecast: Artifact) -> None:
    wanted = PretrainConfig(**known.run).hashed_values()
    differs = [name for name, value in wanted.items() if run.config.get(name) != value]
    parents = {parent.name: parent.id for parent in run.parents}
    differs += [name for name, id in known.inputs.items() if parents.get(name) != id]
    if differs:
        raise DataError(
            f"{run.path} is not the run of the forecast {forecast.path}: {', '.join(differs)} "
            "differ. Train it with the forecast's run.toml on the sweep's tokens."
        )


def _relative_error_percent(loss: float, known: Forecast) -> float:
    return 100 * (loss / known.loss.estimate - 1)


def _make_verdict(
    run: Artifact, forecast: Artifact, known: Forecast, loss: float, out: Path
) -> Artifact:
    """The verdict: the error against both ends of the interval."""
    value = _relative_error_percent(loss, known)
    interval = Interval(value, value, value, 0.95, 1, 1)
    next = "check the residuals of the fit; a law that bends needs larger runs in its sweep"
    high, low = (_relative_error_percent(end, known) for end in (known.loss.high, known.loss.low))
    checks = [
        check_requirement(f"error, not {side}", interval, bound, "estimate", unit="%", next=next)
        for side, bound in (("above", at_most(high)), ("below", at_least(low)))
    ]
    others = f", {known.others} other forecasts of this run" if known.others else ""
    author = f"the forecast registered {known.when}{others}"
    return write_verdict(checks, run, forecast, author=author, out=out)


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
        return format_table(cells)

    def _asdict(self) -> dict[str, Any]:
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
    run = optimal_run(told.config, told.vocab_size, budget, known)
    count, size = counted_weights(run.size, known.config.count), run.size
    shape = run.config.model_config_for(told.vocab_size)
    return OptimalRun(
        run.flops, size.layers, size.width, size.embedding + size.computing, count,
        run.config.tokens, predict_loss(known.parametric, count, run.config.tokens),
        run.flops / _interpolate_speed(told, size.computing), describe_config(shape).training_bytes,
    )  # fmt: skip


def _interpolate_speed(told: SweepReport, computing: int) -> float:
    runs = sorted({run.computing for run in told.runs})
    speeds = [float(np.median([r.flops_per_second for r in told.runs if r.computing == size]))
              for size in runs]  # fmt: skip
    return float(np.interp(np.log(computing), np.log(runs), speeds))
