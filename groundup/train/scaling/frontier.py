"""Compute-optimal frontier: the numbers of weights and tokens with the lowest loss for a budget.

Chinchilla's three approaches, and the exponents N ~ C^a, D ~ C^b that follow from each:

    envelope    of all training curves: which run has the lowest loss at each compute
    isoflop     the vertex of a parabola through the losses of one budget over log N
    parametric  the optimum of L(N, D) where C = k N D

All functions take losses as rows of resamples, so intervals cost one call.
Source: Hoffmann et al. 2022, arXiv:2203.15556, section 3.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

from .bootstrap import BootstrappedLaw
from .laws import Array, LossPoints, coefficients
from .sweep import SweepRun

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
    rows = [_optimal_allocation(coefficients(law.form, law.centre, theta), flops / per_weight)
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
        return spent(law, product)


def spent(law: dict[str, float], product: Array) -> tuple[Array, Array, Array]:
    """The same for exponents above 0."""
    alpha, beta = law["alpha"], law["beta"]
    g = np.float64(alpha * law["A"] / (beta * law["B"])) ** (1 / (alpha + beta))
    weights = g * product ** (beta / (alpha + beta))
    tokens = product / weights
    return weights, tokens, law["E"] + law["A"] / weights**alpha + law["B"] / tokens**beta
