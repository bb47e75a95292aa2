"""Resamples of a sweep: what the same ladder might have given, and what follows from that.

Runs are few and placed by design, so the places stay and each run's distance from the law is drawn
anew from all of them: L* = law x exp(residual of a run drawn at random). Residuals are stretched
by sqrt(n / (n - 2 parameters)): a fit that nearly minimises absolute distances passes through as
many runs as it has parameters, and lies nearer to the others than to runs that it has not seen.
How often the intervals hold, and those of other resamples: docs/LOG.md.
Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, section 9.4.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from .laws import Array, Law, Points, predicted, refit

CONFIDENCE = 0.95
LARGEST = 700.0
"""Of log L, whose exponential is a number still: a resample may have run away."""


class Spread(NamedTuple):
    """An estimate and where 95 of 100 resamples lie."""

    estimate: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the interval as a share of the estimate."""
        return (self.high - self.low) / 2 / self.estimate


class Resampled(NamedTuple):
    """A law with what it might have been."""

    law: Law
    thetas: Float64[np.ndarray, "K P"]
    """Parameters fitted to each resample."""
    noise: Array
    """Stretched residuals of log L, from which those of a further run are drawn."""
    logs: Float64[np.ndarray, "K n"]
    """log L of the resamples."""


def resampled(law: Law, points: Points, count: int, seed: int = 0) -> Resampled:
    """Draw so many resamples of a sweep and fit the law to each."""
    fitted = law.log_loss(points.parameters, points.tokens)
    noise = stretched(np.log(points.loss) - fitted, len(law.theta))
    rows = np.random.default_rng(seed).integers(len(noise), size=(count, len(noise)))
    logs = fitted + noise[rows]
    return Resampled(law, refit(law, points, logs), noise, logs)


def stretched(residuals: Array, parameters: int) -> Array:
    """Residuals as large as those of runs that the law was not fitted to; zero in the mean."""
    left = max(1, len(residuals) - 2 * parameters)
    return (residuals - residuals.mean()) * np.sqrt(len(residuals) / left)


def spread(estimate: float, draws: Array) -> Spread:
    """An estimate with the percentiles of its resamples; those that are no number are left out."""
    sound = draws[~np.isnan(draws)]
    tail = 50 * (1 - CONFIDENCE)
    if not len(sound):
        return Spread(float(estimate), float("nan"), float("nan"))
    low, high = np.percentile(sound, [tail, 100 - tail], method="nearest")  # some are infinite
    return Spread(float(estimate), float(low), float(high))


def told(value: Spread) -> list[float | None]:
    """An estimate and its bounds for JSON; None where there is no finite number."""
    return [number if np.isfinite(number) else None for number in value]


def written(value: Sequence[float | None]) -> str:
    """What `told` gave, in four digits.

    >>> written([0.31234, 0.29, None])
    '0.3123 [0.29, –]'
    """
    return "{} [{}, {}]".format(*("–" if x is None else f"{x:.4g}" for x in value))


def forecast_of(
    found: Resampled, parameters: float, tokens: float, *, of_run: bool = True
) -> Spread:
    """The loss of weights and tokens with its interval.

    of_run  of one further run, which has a residual of its own; else of the law alone
    """
    place = (np.array([float(parameters)]), np.array([float(tokens)]))
    draws = predicted(found.law.form, found.law.centre, found.thetas, place)[:, 0]
    if of_run:  # each resample meets each residual
        draws = (draws[:, None] + found.noise[None]).ravel()
    return spread(found.law.loss(parameters, tokens), np.exp(draws.clip(max=LARGEST)))
