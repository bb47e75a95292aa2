"""The scaling law L(N, D) = E + A / N^α + B / D^β, with intervals, and its optimal frontier.

N are weights, D tokens, L nats. The law is fitted to log L with the Huber loss from a grid of
starts, summed, not averaged: an average makes an optimizer stop early, which is why the published
fit of Chinchilla was off. Internally logarithms are centred, which decorrelates intercepts and
exponents.

Intervals: runs are few and their sizes are designed, so the points stay and residuals are
resampled: L* = law x exp(residual of a run drawn at random). Residuals are inflated by
sqrt(n / (n - 2 parameters)): a fit that nearly minimises absolute errors passes through as many
runs as it has parameters, and is closer to the others than to unseen runs.
Coverage of the intervals, and of other bootstraps: docs/log/2026-11.md.

The compute-optimal frontier has the numbers of weights and tokens with the lowest loss for a
budget, by Chinchilla's three approaches, and the exponents N ~ C^a, D ~ C^b that follow from each:

    envelope    of all training curves: which run has the lowest loss at each compute
    isoflop     the vertex of a parabola through the losses of one budget over log N
    parametric  the optimum of L(N, D) where C = k N D

Its functions take losses as rows of resamples, so intervals cost one call.
Source: Hoffmann et al. 2022, arXiv:2203.15556, section 3; Besiroglu et al. 2024, arXiv:2404.10102;
Efron and Tibshirani 1993, An Introduction to the Bootstrap, section 9.4.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

from groundup.core import DataError, MissingExtra

from .sweep import SweepRun

HUBER_DELTA = 1e-3
"""Residual of log L above which the Huber loss is linear, as in Hoffmann et al."""
NUM_PARAMETERS = 5
START_LEVELS, START_EXPONENTS = (0.05, 0.25, 0.8), (0.1, 0.4, 1.0)
"""Shares of the mean loss, and exponents, of the grid of starts."""
SCREENING_ITERATIONS, NUM_FINALISTS = 15, 24
"""Iterations before the starts are compared, and how many of the best are continued."""
CONFIDENCE = 0.95
MAX_LOG_LOSS = 700.0
"""Largest log L with a finite exponential: a resample may diverge."""
Array = Float64[np.ndarray, " _"]
"""A column, of any length."""


class LossPoints(NamedTuple):
    """Data of runs."""

    parameters: Array
    tokens: Array
    loss: Array
    """Nats."""


class ScalingLaw(NamedTuple):
    """A fitted law."""

    centre: tuple[float, float]
    """Means of log N and log D, which are subtracted."""
    theta: tuple[float, ...]
    """log E, and log A / N^α and log B / D^β at the centre; α, β."""

    def log_loss(self, parameters: Array, tokens: Array) -> Array:
        """Predicted log L."""
        return predict_log_loss(self.centre, np.array([self.theta]), (parameters, tokens))[0]

    def loss(self, parameters: float, tokens: float) -> float:
        """Predicted nats at one point."""
        point = np.array([float(parameters)]), np.array([float(tokens)])
        return float(np.exp(self.log_loss(*point)[0]))

    def coefficients(self) -> dict[str, float]:
        """The coefficients as the paper writes them."""
        return coefficients(self.centre, self.theta)


class BootstrappedLaw(NamedTuple):
    """A law and its bootstrap resamples."""

    law: ScalingLaw
    thetas: Float64[np.ndarray, "K P"]
    """Parameters fitted to each resample."""
    noise: Array
    """Inflated residuals of log L, for prediction intervals of further runs."""
    logs: Float64[np.ndarray, "K n"]
    """log L of the resamples."""


class BootstrapInterval(NamedTuple):
    """An estimate and its 95 % interval."""

    estimate: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the interval relative to the estimate."""
        return (self.high - self.low) / 2 / self.estimate


def fit_law(points: LossPoints) -> ScalingLaw:
    """Fit the law to runs.

    Raises DataError if there are fewer runs than the law has parameters, or a loss is not above 0.
    """
    if len(points.loss) < NUM_PARAMETERS:
        raise DataError(
            f"The law has {NUM_PARAMETERS} parameters, but there are only {len(points.loss)} runs; "
            "sweep more sizes or budgets."
        )
    if not (np.isfinite(points.loss).all() and min(map(np.min, points)) > 0):
        raise DataError("A law needs weights, tokens and losses above 0 in every run.")
    centre = (float(np.log(points.parameters).mean()), float(np.log(points.tokens).mean()))
    logs = np.log(points.loss)
    levels = [logs.mean() + np.log(share) for share in START_LEVELS]
    grid = itertools.product(levels, levels, levels, START_EXPONENTS, START_EXPONENTS)
    x, y = _centred_logs(centre, points.parameters, points.tokens)
    starts = [_minimise(np.array(start), x, y, logs, SCREENING_ITERATIONS) for start in grid]
    starts.sort(key=lambda found: found.fun)
    ends = [_minimise(found.x, x, y, logs) for found in starts[:NUM_FINALISTS]]
    return ScalingLaw(centre, tuple(min(ends, key=lambda found: found.fun).x.tolist()))


def refit_law(
    law: ScalingLaw, points: LossPoints, logs: Float64[np.ndarray, "B n"]
) -> Float64[np.ndarray, "B P"]:
    """Fit the law to other losses at the same points, from its own parameters."""
    x, y = _centred_logs(law.centre, points.parameters, points.tokens)
    return np.array([_minimise(np.array(law.theta), x, y, row).x for row in logs])


def _minimise(theta: Array, x: Array, y: Array, logs: Array, iterations: int = 2000) -> Any:
    """scipy's result of minimising from one start; `fun` is infinite where the law diverged."""
    try:
        from scipy.optimize import minimize
    except ImportError:
        raise MissingExtra("scipy", "scaling") from None
    options = {"ftol": 1e-15, "gtol": 1e-9, "maxiter": iterations, "maxfun": 20_000, "maxcor": 20}
    given = (np.stack([np.zeros_like(x), x, y]), logs)
    found = minimize(_huber_objective, theta, given, method="L-BFGS-B", jac=True, options=options)
    found.fun = found.fun if np.isfinite(found.fun) else np.inf
    return found


def _huber_objective(theta: Array, places: np.ndarray, logs: Array) -> tuple[float, Array]:
    """Sum of Huber losses, in units of `HUBER_DELTA`, and its gradient; `places` are 0, x and y."""
    parts = theta[:3, None] - np.append(0.0, theta[3:])[:, None] * places
    residual = ((total := np.logaddexp.reduce(parts)) - logs) / HUBER_DELTA
    clipped = np.minimum(np.maximum(residual, -1.0), 1.0)
    # d log L / d part is the part's share of the loss.
    slopes = np.exp(parts - total) * (clipped / HUBER_DELTA)
    gradient = np.concatenate([slopes.sum(1), -(slopes * places).sum(1)[1:]])
    return (clipped * (residual - clipped / 2)).sum(), gradient


def _centred_logs(
    centre: tuple[float, float], parameters: Array, tokens: Array
) -> tuple[Array, Array]:
    return np.log(parameters) - centre[0], np.log(tokens) - centre[1]


def predict_log_loss(
    centre: tuple[float, float],
    thetas: Float64[np.ndarray, "B P"],
    places: tuple[Array, Array],
) -> Float64[np.ndarray, "B n"]:
    """log(E + A / N^α + B / D^β) of many parameter vectors at points (N, D)."""
    x, y = _centred_logs(centre, *places)
    e, a, b, alpha, beta = thetas.T[..., None]
    return np.logaddexp(np.logaddexp(e, a - alpha * x), b - beta * y)


def coefficients(
    centre: tuple[float, float], theta: Sequence[float] | np.ndarray
) -> dict[str, float]:
    """The coefficients as the paper writes them, from parameters at the centre."""
    e, a, b, alpha, beta = (float(value) for value in theta)
    return {"E": _finite_exp(e), "A": _finite_exp(a + alpha * centre[0]),
            "B": _finite_exp(b + beta * centre[1]), "alpha": alpha, "beta": beta}  # fmt: skip


def _finite_exp(value: float) -> float:
    """exp(value), at most 1e304: a resample may diverge."""
    return math.exp(min(MAX_LOG_LOSS, value))


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
    draws = predict_log_loss(found.law.centre, found.thetas, point)[:, 0]
    if of_run:  # every resample combined with every residual
        draws = (draws[:, None] + found.noise[None]).ravel()
    return bootstrap_quantiles(
        found.law.loss(parameters, tokens), np.exp(draws.clip(max=MAX_LOG_LOSS))
    )


ResampleRows = Float64[np.ndarray, "K _"]
"""One row per resample."""
ENVELOPE_POINTS = 100
"""Points of compute at which the envelope is evaluated."""
MAX_EXTRAPOLATION = 2.0
"""A vertex beyond the tested sizes by more than this factor is rejected."""


class Frontier(NamedTuple):
    """Optimal weights and tokens at some budgets; one row per resample, NaN where unknown."""

    flops: Array
    parameters: ResampleRows
    tokens: ResampleRows
    loss: ResampleRows

    def exponents(self) -> tuple[Array, Array]:
        """Slopes of log N and log D over log C, one per row."""
        return _log_slope(self.flops, self.parameters), _log_slope(self.flops, self.tokens)


def _log_slope(flops: Array, values: ResampleRows) -> Array:
    """Slope of log values over log compute, by row; NaN with fewer than two points."""
    slopes = np.full(len(values), np.nan)
    for number, row in enumerate(np.log(values)):
        finite = np.isfinite(row)
        if len(set(flops[finite])) > 1:
            slopes[number] = np.polyfit(np.log(flops[finite]), row[finite], 1)[0]
    return slopes


def isoflop_frontier(points: LossPoints, budgets: Array, logs: ResampleRows) -> Frontier:
    """Vertices of parabolas, for budgets of at least three sizes."""
    usable = [c for c in np.unique(budgets) if (budgets == c).sum() >= 3]
    parts = [_parabola_vertices(points, budgets == budget, logs) for budget in usable]
    columns = [np.stack([part[i] for part in parts], 1) if parts else np.empty((len(logs), 0))
               for i in range(3)]  # fmt: skip
    return Frontier(np.array(usable), *columns)


def _parabola_vertices(
    points: LossPoints, here: Bool[np.ndarray, " n"], logs: ResampleRows
) -> tuple[Array, Array, Array]:
    """Weights, tokens and loss at the vertex of each row's parabola through some of the runs."""
    x, y = np.log(points.parameters[here]), np.log(points.tokens[here])
    centre = x.mean()
    a, b, c = np.polyfit(x - centre, np.exp(logs[:, here]).T, 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        best = -b / (2 * a) + centre
    margin = np.log(MAX_EXTRAPOLATION)
    sound = (a > 0) & (best >= x.min() - margin) & (best <= x.max() + margin)
    best = np.where(sound, best, np.nan)
    tokens = np.polyval(np.polyfit(x - centre, y, min(2, len(x) - 1)), best - centre)
    loss = np.where(sound, c - b**2 / (4 * np.where(sound, a, 1)), np.nan)
    return np.exp(best), np.exp(tokens), loss


def envelope_frontier(
    runs: Sequence[SweepRun], parameters: Array, shifts: ResampleRows
) -> Frontier:
    """The run with the lowest training loss at each compute.

    shifts  what a resample adds to the log loss of each run's curve

    Starts at the compute that every size has reached: below, only small ones have curves.
    """
    flops = [np.array(run.curve.tokens) * run.flops_per_token for run in runs]
    reached: dict[float, float] = {}
    for size, done in zip(parameters, flops, strict=True):
        reached[size] = min(done[0], reached.get(size, np.inf))
    most = max(run.budget for run in runs)
    last = min(done[-1] for run, done in zip(runs, flops, strict=True) if run.budget == most)
    grid = np.geomspace(max(reached.values()), last, ENVELOPE_POINTS)
    logs = np.array([
        np.interp(np.log(grid), np.log(done), np.log(run.curve.loss), left=np.inf, right=np.inf)
        for run, done in zip(runs, flops, strict=True)
    ])  # fmt: skip
    per_token = np.array([run.flops_per_token for run in runs], dtype=float)
    best = np.array([(logs + shift[:, None]).argmin(0) for shift in shifts])
    loss = np.exp(np.take_along_axis(logs[None], best[:, None], 1)[:, 0])
    return Frontier(grid, parameters[best], grid / per_token[best], loss)


def parametric_frontier(found: BootstrappedLaw, flops: Array, per_weight: float) -> Frontier:
    """The parametric law's optimum; the first row is of the law, the others of its resamples.

    per_weight  FLOPs per weight and token, near 6
    """
    law = found.law
    rows = [_optimal_allocation(coefficients(law.centre, theta), flops / per_weight)
            for theta in (law.theta, *found.thetas)]  # fmt: skip
    return Frontier(flops, *(np.array([row[i] for row in rows]) for i in range(3)))


def _optimal_allocation(law: dict[str, float], product: Array) -> tuple[Array, Array, Array]:
    """Weights, tokens and loss that minimise E + A / N^α + B / D^β for a given N D.

    >>> law = {"E": 1.0, "A": 8.0, "B": 8.0, "alpha": 0.5, "beta": 0.5}
    >>> [float(x[0]) for x in _optimal_allocation(law, np.array([16.0]))]
    [4.0, 4.0, 9.0]
    """
    alpha, beta = law["alpha"], law["beta"]
    if alpha <= 0 or beta <= 0:
        unknown = np.full(len(product), np.nan)
        return unknown, unknown, unknown
    with np.errstate(over="ignore", invalid="ignore"):  # a resample may have run away
        g = np.float64(alpha * law["A"] / (beta * law["B"])) ** (1 / (alpha + beta))
        weights = g * product ** (beta / (alpha + beta))
        tokens = product / weights
        return weights, tokens, law["E"] + law["A"] / weights**alpha + law["B"] / tokens**beta
