"""Functions of sums: intervals of kappa, alpha, error rates, BLEU and other functions of counts.

Each item has a row of counts, and the result is a function of the rows' sum. A row's influence is
the row times the function's gradient (delta method); influences play the role of values of a mean,
so grouping.py gives their variance.

    studentised   studentised bootstrap over groups
    weighed       Bayesian bootstrap (random item weights) with one unseen item

If single items can decide the result, as with rare labels, resampling never produces what was not
observed. Exponential random weights with one unseen item, the worst for the lower and the best for
the upper bound, give Clopper and Pearson's interval for a share, and its analogue for kappa and
alpha.
Source: Efron 1982, doi:10.1137/1.9781611970319 (influence); Rubin 1981,
doi:10.1214/aos/1176345338 (random weights); Gaffke 2005, Mathematical Methods of Statistics 14
(one extra value at the limit).
"""

from collections.abc import Callable
from math import inf, sqrt

import numpy as np

from .distribution import student_quantile, two_sided_tail, z_value
from .grouping import VarianceEstimate, estimate_variance
from .interval import (
    DRAWS_AT_ONCE,
    ConfidenceBounds,
    Interval,
    ResampleStatistics,
    bounds_from_resamples,
    iterate_resamples,
    ratio_standard_error,
)

GRADIENT_STEP = 1e-4
"""Relative step of the numerical gradient."""

SumFunction = Callable[[np.ndarray], float | None]


def _gradient(of: SumFunction, sums: np.ndarray) -> np.ndarray | None:
    """Numerical gradient of the function at the sums; None if it is undefined.

    One-sided at sums of 0, and 0 if undefined there.
    """
    gradient, usual = np.zeros(len(sums)), float(np.abs(sums).max())
    for index, value in enumerate(sums):
        step = np.zeros(len(sums))
        step[index] = GRADIENT_STEP * (abs(value) or usual)
        up, down = of(sums + step), of(sums - step if value else sums)
        if up is not None and down is not None:
            gradient[index] = (up - down) / (step[index] * (2 if value else 1))
        elif value:
            return None
    return gradient if np.isfinite(gradient).all() else None


def studentised_sums(
    of: SumFunction, rows: np.ndarray, masses: np.ndarray, codes: np.ndarray, *, confidence: float,
    repeats: int, seed: int,
) -> tuple[ConfidenceBounds, VarianceEstimate] | None:  # fmt: skip
    """Studentised bounds, at least Student's if groups are uneven; None if undefined.

    rows    (N, counts)
    masses  (N,) weight of a row, such as the number of words of its reference
    codes   (N,) index of each row's group, of at least two groups
    """
    sums = np.stack([np.bincount(codes, column) for column in rows.T], axis=1)
    weights, estimate = np.bincount(codes, masses) / masses.sum(), of(rows.sum(axis=0))
    slope = _gradient(of, rows.sum(axis=0))
    if slope is None or estimate is None:
        return None
    moves, number, tail = rows @ slope, len(sums), two_sided_tail(confidence)
    moves -= moves.sum() * masses / masses.sum()
    residuals = np.bincount(codes, moves)
    error = float(ratio_standard_error(float((residuals**2).sum()), 1.0, number))
    if error <= GRADIENT_STEP**2 * abs(estimate):
        return ConfidenceBounds(estimate, estimate), VarianceEstimate(
            0.0, number - 1.0, number, number, number
        )
    shifts, spreads = [], []
    for counts in iterate_resamples(number, repeats, seed):
        values = [of(row) for row in counts @ sums]
        if None in values:
            return None
        shift = (np.array(values) - estimate) / error
        mass = counts @ weights
        squares = (counts * (residuals / error - shift[:, None] * weights) ** 2).sum(axis=1)
        is_flat = squares <= GRADIENT_STEP**2 * mass
        spreads.append(ratio_standard_error(np.where(is_flat, np.nan, squares), mass, number))
        shifts.append(shift)
    redrawn = ResampleStatistics(np.concatenate(shifts), np.concatenate(spreads))
    bounds = bounds_from_resamples(estimate, error, number, redrawn, tail)
    spread = estimate_variance(moves * masses.sum(), masses, codes)
    if spread.is_uneven:
        room = student_quantile(tail, spread.degrees) * sqrt(spread.variance)
        bounds = bounds.extended(estimate - room, estimate + room)
    return bounds, spread


def bayesian_bootstrap_sums(
    of: SumFunction, rows: np.ndarray, unseen: np.ndarray, codes: np.ndarray, *, confidence: float,
    repeats: int,
) -> Interval | None:  # fmt: skip
    """Bayesian-bootstrap interval with one unseen item; None if undefined.

    rows    (N, counts)
    unseen  (M, counts) possible unseen items, of which the worst and the best are used
    codes   (N,) index of each item's group, of at least two groups
    """
    estimate, slope = of(rows.sum(axis=0)), _gradient(of, rows.sum(axis=0))
    if estimate is None or slope is None:
        return None
    number, groups, tail = len(rows), int(codes.max()) + 1, two_sided_tail(confidence)
    trials, degrees, moves = float(number), 0.0, rows @ slope
    if groups < number:
        spread = estimate_variance(moves - moves.mean(), np.ones(number), codes)
        trials, degrees = spread.trials, spread.trial_degrees(number)
    worth = trials * (z_value(confidence) / student_quantile(tail, degrees or inf)) ** 2
    more = unseen[[(unseen @ slope).argmin(), (unseen @ slope).argmax()]]
    random, ends = np.random.default_rng(0), ([], [])
    size = max(1, DRAWS_AT_ONCE // number)
    for start in range(0, repeats, size):
        weights = random.gamma(worth / number, size=(min(size, repeats - start), number))
        extra = random.standard_exponential(len(weights))
        scale = number / np.maximum(weights.sum(axis=1) + extra, 1e-300)
        sums = weights @ rows
        for values, row in zip(ends, more, strict=True):
            drawn = (sums + extra[:, None] * row) * scale[:, None]
            values += [value for value in map(of, drawn) if value is not None]
    low = float(np.quantile(ends[0] or [estimate], tail))
    high = float(np.quantile(ends[1] or [estimate], 1 - tail))
    return Interval(
        estimate, min(low, estimate), max(high, estimate), confidence, number, groups,
        degrees=degrees,
    )  # fmt: skip
