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
    Entry,
    Ledger,
    changed,
    produce,
    record,
    toml_value,
    user_name,
    write_json,
    write_text,
)

from ..pretrain.stage import PretrainConfig
from .fit import Fitted, parent_of, read_fit
from .ladder import Rung, Size, SweepConfig, rung, sizes_near
from .resample import Spread, forecast_of
from .sweep import Told, lacking, read_sweep

STAGE, FILE, SETTINGS, LEDGER = "scaling_forecast", "forecast.json", "run.toml", "forecasts.jsonl"


class ForecastConfig(Config):
    """Which run to forecast."""

    budget: float = Field(gt=0)
    """Compute of the run, FLOPs."""
    shape: tuple[int, int] | None = None
    """Layers and width; None: the optimal shape for the budget by the law."""
    most_half_width: float = Field(default=3.0, gt=0)
    """Largest half-width of the interval to register, percent of the loss."""


class Forecast(NamedTuple):
    """A forecast, read from its artifact."""

    loss: Spread
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
class Registered:
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


def forecast(config: ForecastConfig, fit: Artifact, out: Path) -> Registered:
    """Register the loss of a larger run before it begins.

    fit  a fit that `groundup scaling fit` made, of a sweep that still exists
    out  directory for the forecast and the run's settings

    Logs a run that repeats text, or is beyond the sweep's sizes.
    Raises DataError if the interval is too wide to register, and ConfigError if the run is one of
    the sweep's own.
    """
    known, swept = read_fit(fit), parent_of(fit, "sweep")
    report = read_sweep(swept)
    planned = plan(config, known, report)
    if problem := lacking(planned, report.train_tokens):
        record.say(problem)
    sizes = [run.computing for run in report.runs]
    if not min(sizes) <= planned.size.computing <= max(sizes):
        record.say(
            f"{planned.size.name} has {planned.size.computing:,} computing weights, the sweep's "
            f"runs {min(sizes):,} to {max(sizes):,}; set shape to choose another."
        )
    loss = forecast_of(known.parametric, weights(planned.size, known), planned.config.tokens)
    if 100 * loss.half_width > config.most_half_width:
        raise DataError(
            f"The forecast {loss.estimate:.4f} has a half-width of {100 * loss.half_width:.1f} %, "
            f"more than most_half_width={config.most_half_width:g} %; add runs to the sweep, or "
            "forecast a smaller one."
        )
    inputs = {name: parent_of(swept, name).id for name in ("tokens", "tokenizer")}

    def write(draft: Draft) -> None:
        settings = PretrainConfig(**planned.config.plain())
        content = {"loss": loss, "run": settings.plain(), "inputs": inputs,
                   "flops": planned.flops, "vocab_size": report.vocab_size}  # fmt: skip
        write_json(draft.file(FILE), content)
        write_text(draft.file(SETTINGS), toml(settings))
        draft.numbers |= {"loss": loss.estimate, "low": loss.low, "high": loss.high}

    artifact = produce(out, kind="report", stage=STAGE, version=1, config=config, write=write,
                       parents={"fit": fit, "sweep": swept})  # fmt: skip
    register(artifact, fit)
    return Registered(artifact, read_forecast(artifact))


def plan(config: ForecastConfig, known: Fitted, told: Told) -> Rung:
    """The run of a budget: of the configured shape, or of the optimal one."""
    if config.shape is None:
        planned = best(told.config, told.vocab_size, config.budget, known)
    else:
        planned = rung(told.config, config.shape, config.budget, told.vocab_size)
    own = (planned.size.layers, planned.size.width, planned.config.tokens)
    for run in told.runs:
        if (run.layers, run.width, run.tokens) == own:
            raise ConfigError(f"The run {run.name} is in the sweep, so its loss is already known.")
    return planned


def best(config: SweepConfig, vocab_size: int, budget: float, known: Fitted) -> Rung:
    """The run of a budget with the lowest loss by the law."""
    law = known.parametric.law
    runs = (rung(config, shape, budget, vocab_size)
            for shape in sizes_near(config, vocab_size, budget))  # fmt: skip
    return min(runs, key=lambda run: law.loss(weights(run.size, known), run.config.tokens))


def weights(size: Size, known: Fitted) -> int:
    """N of a size, as the fit counts it."""
    if known.config.count == "total":
        return size.embedding + size.computing
    return size.computing if known.config.count == "computing" else size.non_embedding


def register(made: Artifact, fit: Artifact) -> Entry:
    """Write a forecast into the fit's ledger, once."""
    ledger = ledger_of(fit)
    for entry in ledger.read():
        if entry.content["forecast"] == made.id:
            return entry
    content = json.loads(made.file(FILE).read_text(encoding="utf-8"))
    return ledger.append({"forecast": made.id, "loss": content["loss"], "run": content["run"],
                          "who": user_name()})  # fmt: skip


def ledger_of(fit: Artifact) -> Ledger:
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
    entries = list(ledger_of(parent_of(artifact, "fit")).read())
    own = [entry for entry in entries if entry.content["forecast"] == artifact.id]
    if not own:
        raise DataError(
            f"The forecast {artifact.path} ({artifact.id[:12]}) is not in its fit's ledger: it was "
            "never registered, or was replaced."
        )
    same = {entry.content["forecast"] for entry in entries
            if entry.content["run"] == content["run"]}  # fmt: skip
    return Forecast(Spread(*content["loss"]), content["run"], content["inputs"], content["flops"],
                    own[0].when, len(same) - 1)  # fmt: skip


def toml(settings: PretrainConfig) -> str:
    """The settings that differ from the defaults, as TOML."""
    rows = changed(settings).items()
    return "".join(f"{key} = {toml_value(value)}\n" for key, (_, value) in rows)
