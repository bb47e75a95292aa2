"""Forecast: the loss of a larger run, registered before it begins.

    forecast.json   loss with interval, the run's settings, what it must be trained on
    run.toml        the settings for `groundup pretrain --config`

The artifact cannot change without its id changing, and the time of registration is a line of a
hash chain in the fit's ledger, so a forecast written or replaced after its run began is detected.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

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

from ..pretrain.stage import PretrainConfig
from .bootstrap import BootstrapInterval, predict_loss
from .fit import ScalingFit, open_input, read_fit
from .ladder import LadderRun, ModelSize, SweepConfig, candidate_shapes, make_ladder_run
from .sweep import SweepReport, missing_tokens_message, read_sweep

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
        """What `--json` prints."""
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
        known.parametric, counted_weights_of_size(planned.size, known), planned.config.tokens
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
    """The run of a budget: of the configured shape, or of the optimal one."""
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
        runs, key=lambda run: law.loss(counted_weights_of_size(run.size, known), run.config.tokens)
    )


def counted_weights_of_size(size: ModelSize, known: ScalingFit) -> int:
    """N of a size, as the fit counts it."""
    if known.config.count == "total":
        return size.embedding + size.computing
    return size.computing if known.config.count == "computing" else size.non_embedding


def _register_forecast(made: Artifact, fit: Artifact) -> LedgerEntry:
    """Write a forecast into the fit's ledger, once."""
    ledger = _forecast_ledger(fit)
    for entry in ledger.read():
        if entry.content["forecast"] == made.id:
            return entry
    content = json.loads(made.file(FILE).read_text(encoding="utf-8"))
    return ledger.append({"forecast": made.id, "loss": content["loss"], "run": content["run"],
                          "who": user_name()})  # fmt: skip


def _forecast_ledger(fit: Artifact) -> Ledger:
    """The ledger of all forecasts from a fit."""
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
    """The settings that differ from the defaults, as TOML."""
    rows = changed_settings(settings).items()
    return "".join(f"{key} = {format_toml(value)}\n" for key, (_, value) in rows)
