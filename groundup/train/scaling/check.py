"""The check: what the larger run came to, held to what was foretold.

The verdict's numbers are errors in percent of the forecast, its limits the forecast's own interval.
A run that began before the forecast was registered, or that is not the run of the forecast, is no
test of it and refused.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundup.core import Artifact, DataError
from groundup.measure import Interval, at_least, at_most, check, require, verdict

from ..pretrain.config import PretrainConfig
from .forecast import Forecast, read_forecast


@dataclass(frozen=True)
class Outcome:
    """What `groundup scaling check` gives of a run inside the interval."""

    verdict: Artifact
    forecast: Forecast
    loss: float
    """Held-out nats of the run."""

    @property
    def error_percent(self) -> float:
        """How far above the forecast the run ended."""
        return error(self.loss, self.forecast)

    def __str__(self) -> str:
        """One sentence, and where the verdict is."""
        low, high = self.forecast.loss.low, self.forecast.loss.high
        return (
            f"{self.loss:.4f} nats, {self.error_percent:+.2f} % of the forecast "
            f"{self.forecast.loss.estimate:.4f}: inside [{low:.4f}, {high:.4f}], registered "
            f"{self.forecast.when}\nVerdict: {self.verdict.path}"
        )

    def _asdict(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {"loss": self.loss, "error_percent": self.error_percent,
                "forecast": self.forecast.loss._asdict(), "registered": self.forecast.when,
                "verdict": str(self.verdict.path)}  # fmt: skip


def check_forecast(run: Artifact, forecast: Artifact, out: Path) -> Outcome:
    """Hold a run to its forecast; exit code 3 if its loss is outside the interval.

    run       the model that `groundup pretrain` made with the forecast's run.toml
    forecast  what `groundup scaling forecast` registered before
    out       directory for the verdict

    Raises DataError if the run began before the registration, or is another run, and GateFailed if
    it ended outside the interval.
    """
    known = read_forecast(forecast)
    refuse_another(run, known, forecast)
    began = run.numbers.get("began")
    if began is None or began < known.when:
        raise DataError(
            f"{run.path} began {began or 'at a time that it does not tell'}, and the forecast was "
            f"registered {known.when}: what is known already is not foretold. Register the next "
            "run before it begins."
        )
    loss = float(run.numbers["validation loss"])
    made = judged(run, forecast, known, loss, out)
    require(made)
    return Outcome(made, known, loss)


def refuse_another(run: Artifact, known: Forecast, forecast: Artifact) -> None:
    """Raise DataError for a run of other settings, tokens or tokenizer than the forecast's."""
    wanted = PretrainConfig(**known.run).deciding()
    differs = [name for name, value in wanted.items() if run.config.get(name) != value]
    parents = {parent.name: parent.id for parent in run.parents}
    differs += [name for name, id in known.inputs.items() if parents.get(name) != id]
    if differs:
        raise DataError(
            f"{run.path} is not the run that {forecast.path} foretells: {', '.join(differs)} "
            "differ. Train it with the forecast's run.toml on the sweep's tokens."
        )


def error(loss: float, known: Forecast) -> float:
    """How far above the forecast a loss is, percent of the forecast."""
    return 100 * (loss / known.loss.estimate - 1)


def judged(run: Artifact, forecast: Artifact, known: Forecast, loss: float, out: Path) -> Artifact:
    """The verdict: the error between the ends of the interval, one number without an interval."""
    value = error(loss, known)
    found = Interval(value, value, value, 0.95, 1, 1)
    next = "look at the residuals of the fit; a law that bends needs larger runs in its sweep"
    checks = [
        check("error, not above", found, at_most(error(known.loss.high, known)), "estimate",
              unit="%", next=next),
        check("error, not below", found, at_least(error(known.loss.low, known)), "estimate",
              unit="%", next=next),
    ]  # fmt: skip
    others = f", {known.others} other forecasts of this run" if known.others else ""
    author = f"the forecast registered {known.when}{others}"
    return verdict(checks, run, forecast, author=author, out=out)
