"""The forecast: the loss of a larger run, registered before it begins.

    forecast.json   loss with interval, the run's settings, what it must be trained on
    run.toml        the settings for `groundup pretrain --config`

The artifact cannot be changed without its id changing; when it was made is a line of a hash chain
in the fit's ledger, so a forecast that was written or replaced after its run began is found out.
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
    """Which run is foretold."""

    budget: float = Field(gt=0)
    """Compute of the run, FLOPs."""
    shape: tuple[int, int] | None = None
    """Layers and width; None: the shape that the law says is best for the budget."""
    most_half_width: float = Field(default=3.0, gt=0)
    """Widest half of the interval that is worth registering, percent of the loss."""


class Forecast(NamedTuple):
    """A forecast as read from its artifact."""

    loss: Spread
    run: dict[str, Any]
    """Settings of the run, a PretrainConfig."""
    inputs: dict[str, str]
    """Ids of the tokens and the tokenizer that the run must be made from."""
    flops: float
    when: str
    """When it was registered, ISO 8601, UTC."""
    others: int
    """Forecasts of the same run that were registered too."""


@dataclass(frozen=True)
class Registered:
    """What `groundup scaling forecast` gives."""

    artifact: Artifact
    forecast: Forecast

    def __str__(self) -> str:
        """The forecast, and how to make the run."""
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

    fit  a fit that `groundup scaling fit` made, of a sweep that is still there
    out  directory for the forecast and the run's settings

    Raises DataError if the interval is too wide to be worth registering, and ConfigError if the run
    is one of the sweep's own. One that reads text twice, or is of a size beyond the sweep's, is
    told.
    """
    known, swept = read_fit(fit), parent_of(fit, "sweep")
    told = read_sweep(swept)
    planned = plan(config, known, told)
    if trouble := lacking(planned, told.train_tokens):
        record.say(trouble)
    sizes = [run.computing for run in told.runs]
    if not min(sizes) <= planned.size.computing <= max(sizes):
        record.say(
            f"{planned.size.name} has {planned.size.computing:,} weights that compute, the "
            f"sweep's runs {min(sizes):,} to {max(sizes):,}: shape= asks for another."
        )
    loss = forecast_of(known.parametric, weights(planned.size, known), planned.config.tokens)
    if 100 * loss.half_width > config.most_half_width:
        raise DataError(
            f"The forecast {loss.estimate:.4f} has a half-width of {100 * loss.half_width:.1f} %, "
            f"and at most {config.most_half_width:g} % is asked for; give the sweep more runs, or "
            "foretell a smaller one."
        )
    inputs = {name: parent_of(swept, name).id for name in ("tokens", "tokenizer")}

    def write(draft: Draft) -> None:
        settings = PretrainConfig(**planned.config.plain())
        content = {"loss": loss, "run": settings.plain(), "inputs": inputs,
                   "flops": planned.flops, "vocab_size": told.vocab_size}  # fmt: skip
        write_json(draft.file(FILE), content)
        write_text(draft.file(SETTINGS), toml(settings))
        draft.numbers |= {"loss": loss.estimate, "low": loss.low, "high": loss.high}

    made = produce(out, kind="report", stage=STAGE, version=1, config=config, write=write,
                   parents={"fit": fit, "sweep": swept})  # fmt: skip
    register(made, fit)
    return Registered(made, read_forecast(made))


def plan(config: ForecastConfig, known: Fitted, told: Told) -> Rung:
    """The run of a budget: of the shape given, or of the one that the law likes best."""
    if config.shape is None:
        made = best(told.config, told.vocab_size, config.budget, known)
    else:
        made = rung(told.config, config.shape, config.budget, told.vocab_size)
    own = (made.size.layers, made.size.width, made.config.tokens)
    for run in told.runs:
        if (run.layers, run.width, run.tokens) == own:
            raise ConfigError(f"The run {run.name} is in the sweep: its loss is known already.")
    return made


def best(config: SweepConfig, vocab_size: int, budget: float, known: Fitted) -> Rung:
    """The shape and tokens of a budget that the law gives the lowest loss."""
    law = known.parametric.law
    made = (rung(config, shape, budget, vocab_size)
            for shape in sizes_near(config, vocab_size, budget))  # fmt: skip
    return min(made, key=lambda each: law.loss(weights(each.size, known), each.config.tokens))


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
    """Read a forecast and find when it was registered.

    Raises ConfigError if it is another report, DataError if the ledger does not know it.
    """
    if artifact.stage != STAGE:
        raise ConfigError(
            f"{artifact.path} is a {artifact.kind} of {artifact.stage}; expected what `groundup "
            "scaling forecast` made."
        )
    content = json.loads(artifact.file(FILE).read_text(encoding="utf-8"))
    entries = list(ledger_of(parent_of(artifact, "fit")).read())
    own = [entry for entry in entries if entry.content["forecast"] == artifact.id]
    if not own:
        raise DataError(
            f"The forecast {artifact.path} ({artifact.id[:12]}) is not in its fit's ledger: it was "
            "never registered, or another one was put in its place."
        )
    same = {entry.content["forecast"] for entry in entries
            if entry.content["run"] == content["run"]}  # fmt: skip
    return Forecast(Spread(*content["loss"]), content["run"], content["inputs"], content["flops"],
                    own[0].when, len(same) - 1)  # fmt: skip


def toml(settings: PretrainConfig) -> str:
    """The settings that differ from the defaults, for `--config`."""
    rows = changed(settings).items()
    return "".join(f"{key} = {toml_value(value)}\n" for key, (_, value) in rows)
