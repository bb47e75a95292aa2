"""Residual bootstrap of a sweep, for intervals.

Runs are few and their sizes are designed, so the points stay and residuals are resampled:
L* = law x exp(residual of a run drawn at random). Residuals are inflated by
sqrt(n / (n - 2 parameters)): a fit that nearly minimises absolute errors passes through as many
runs as it has parameters, and is closer to the others than to unseen runs.
Coverage of the intervals, and of other bootstraps: docs/log/2026-11.md.
Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, section 9.4.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from .laws import Array, LossPoints, ScalingLaw, predict_log_loss, refit_law

CONFIDENCE = 0.95
MAX_LOG_LOSS = 700.0
"""Largest log L with a finite exponential: a resample may diverge."""


class BootstrapInterval(NamedTuple):
    """An estimate and its 95 % interval."""

    estimate: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the interval relative to the estimate."""
        return (self.high - self.low) / 2 / self.estimate


class BootstrappedLaw(NamedTuple):
    """A law and its bootstrap resamples."""

    law: ScalingLaw
    thetas: Float64[np.ndarray, "K P"]
    """Parameters fitted to each resample."""
    noise: Array
    """Inflated residuals of log L, for prediction intervals of further runs."""
    logs: Float64[np.ndarray, "K n"]
    """log L of the resamples."""


def bootstrap_law(
    law: ScalingLaw, points: LossPoints, count: int, seed: int = 0
) -> BootstrappedLaw:
    """Draw `count` resamples of a sweep and fit the law to each."""
    fitted = law.log_loss(points.parameters, points.tokens)
    noise = _inflate_residuals(np.log(points.loss) - fitted, len(law.theta))
    rows = np.random.default_rng(seed).integers(len(noise), size=(count, len(noise)))
    logs = fitted + noise[rows]
    return BootstrappedLaw(law, refit_law(law, points, logs), noise, logs)


def _inflate_residuals(residuals: Array, parameters: int) -> Array:
    """Residuals inflated to those of unseen runs, with zero mean."""
    freedom = max(1, len(residuals) - 2 * parameters)
    return (residuals - residuals.mean()) * np.sqrt(len(residuals) / freedom)


def bootstrap_quantiles(estimate: float, draws: Array) -> BootstrapInterval:
    """An estimate with the percentiles of its resamples, without NaN."""
    valid = draws[~np.isnan(draws)]
    tail = 50 * (1 - CONFIDENCE)
    if not len(valid):
        return BootstrapInterval(float(estimate), float("nan"), float("nan"))
    low, high = np.percentile(valid, [tail, 100 - tail], method="nearest")  # some are infinite
    return BootstrapInterval(float(estimate), float(low), float(high))


def interval_to_json(value: BootstrapInterval) -> list[float | None]:
    """An estimate and its bounds for JSON; None where not finite."""
    return [number if np.isfinite(number) else None for number in value]


def format_estimate(value: Sequence[float | None]) -> str:
    """Format what `interval_to_json` returns, in four digits.

    >>> format_estimate([0.31234, 0.29, None])
    '0.3123 [0.29, –]'
    """
    return "{} [{}, {}]".format(*("–" if x is None else f"{x:.4g}" for x in value))


def predict_loss(
    found: BootstrappedLaw, parameters: float, tokens: float, *, of_run: bool = True
) -> BootstrapInterval:
    """The loss at a number of weights and tokens, with its interval.

    of_run  prediction interval of a further run, with its own residual; otherwise of the law only
    """
    point = (np.array([float(parameters)]), np.array([float(tokens)]))
    draws = predict_log_loss(found.law.form, found.law.centre, found.thetas, point)[:, 0]
    if of_run:  # every resample combined with every residual
        draws = (draws[:, None] + found.noise[None]).ravel()
    return bootstrap_quantiles(
        found.law.loss(parameters, tokens), np.exp(draws.clip(max=MAX_LOG_LOSS))
    )
