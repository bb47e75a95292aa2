"""Check of a forecast: the larger run's loss against the registered interval.

The verdict's numbers are errors in percent of the forecast, its thresholds the forecast's interval.
A run that began before the registration, or that is not the forecast's run, is rejected.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundup.core import Artifact, DataError
from groundup.measure import (
    Interval,
    at_least,
    at_most,
    check_requirement,
    require_passed,
    write_verdict,
)

from ..pretrain.config import PretrainConfig
from .forecast import Forecast, read_forecast


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
        """What `--json` prints."""
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
    """Raise DataError for a run with other settings, tokens or tokenizer than the forecast's."""
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
    """Relative error of a loss to the forecast, percent."""
    return 100 * (loss / known.loss.estimate - 1)


def _make_verdict(
    run: Artifact, forecast: Artifact, known: Forecast, loss: float, out: Path
) -> Artifact:
    """The verdict: the error against both ends of the interval."""
    value = _relative_error_percent(loss, known)
    interval = Interval(value, value, value, 0.95, 1, 1)
    next = "check the residuals of the fit; a law that bends needs larger runs in its sweep"
    checks = [
        check_requirement(
            "error, not above",
            interval,
            at_most(_relative_error_percent(known.loss.high, known)),
            "estimate",
            unit="%",
            next=next,
        ),
        check_requirement(
            "error, not below",
            interval,
            at_least(_relative_error_percent(known.loss.low, known)),
            "estimate",
            unit="%",
            next=next,
        ),
    ]
    others = f", {known.others} other forecasts of this run" if known.others else ""
    author = f"the forecast registered {known.when}{others}"
    return write_verdict(checks, run, forecast, author=author, out=out)
