"""Cluster-robust variance of a mean, with few groups or groups of uneven size.

Values of one group share an effect, so a group is worth less than as many independent values, and
a group with half of all values determines half of the result although it is a single draw. Its own
residual hides that, because the mean follows it. The other groups show the size of the effects, if
large groups differ no more than small ones:

    variance = between * Σw² + within / values        w = share of the values in each group

With groups of equal size this is the usual variance of group means. (Σw)² / Σw² is the effective
number of groups; Satterthwaite's degrees of freedom tell how precisely the variance is known.
Source: Searle, Casella and McCulloch 1992, Variance Components, §3.6 (analysis of variance with
uneven groups); Kish 1965, Survey Sampling, §8.2 (effective numbers); Satterthwaite 1946,
doi:10.2307/3002019; Bell and McCaffrey 2002 (residuals of dominant groups); Korn and Graubard 1998
(effective sample size with Student's factor).
"""

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np

from groundup.core import DataError

from .distribution import student_quantile

MAX_VALUE = 1e100
COMPARISON_TAIL = 0.025
"""Tail at which uneven groups are compared with the same number of even ones."""
ROUNDING = 1e-12
NORMAL_DEGREES = 10**5
"""Degrees of freedom from which Student's distribution is treated as normal."""

Values = Sequence[float] | np.ndarray
Groups = Sequence[Hashable] | None


class GroupedValues(NamedTuple):
    """Values with weights and group indices, without groups of zero weight."""

    values: np.ndarray
    """float64 (N,)."""
    weights: np.ndarray
    """float64 (N,), 0 or more."""
    codes: np.ndarray
    """Index of each value's group, int (N,)."""

    @property
    def totals(self) -> np.ndarray:
        """Sum of the values of each group, float64 (G,)."""
        return np.bincount(self.codes, self.values)

    @property
    def masses(self) -> np.ndarray:
        """Sum of the weights of each group, float64 (G,)."""
        return np.bincount(self.codes, self.weights)


def group_values(values: Values, groups: Groups, weights: Values | None = None) -> GroupedValues:
    """Validate values, weights (default 1) and groups (None: each value its own)."""
    number = len(values)
    if number == 0:
        raise DataError("An interval needs values; got none.")
    amounts = as_float_column("values", values, number)
    masses = np.ones(number) if weights is None else as_float_column("weights", weights, number)
    if (masses < 0).any():
        raise DataError(f"weights[{int(np.argmax(masses < 0))}] is below zero.")
    codes = group_codes(groups, number)
    by_group = np.bincount(codes, masses)
    if ((by_group == 0) & (np.bincount(codes, amounts) != 0)).any():
        raise DataError("A group has a value but no weight: its ratio is undefined; leave it out.")
    has_weight = by_group[codes] > 0
    renumbered = (by_group > 0).cumsum() - 1
    return GroupedValues(amounts[has_weight], masses[has_weight], renumbered[codes[has_weight]])


def group_codes(groups: Groups, number: int, what: str = "values") -> np.ndarray:
    """Index of each value's group, in order of first appearance."""
    if groups is None:
        return np.arange(number)
    if len(groups) != number:
        raise DataError(f"{number} {what} need as many groups; got {len(groups)}.")
    seen: dict[Hashable, int] = {}
    try:
        return np.array([seen.setdefault(group, len(seen)) for group in groups], dtype=np.intp)
    except TypeError as error:
        raise DataError(f"Expected names or numbers of groups ({error}).") from None


def group_sums(values: Values, groups: Groups, weights: Values) -> tuple[np.ndarray, np.ndarray]:
    """Sums of values and weights per group, without groups of zero weight."""
    data = group_values(values, groups, weights)
    return data.totals, data.masses


class VarianceEstimate(NamedTuple):
    """Estimated variance of a mean, or of a ratio of sums, over groups."""

    variance: float
    """Variance of the mean."""
    degrees: float
    """Degrees of freedom of the variance estimate."""
    number: int
    """Number of groups."""
    effective: float
    """Effective number of groups of equal size: (Σw)² / Σw²."""
    trials: float
    """Effective number of independent values; the number of groups if all values are equal."""

    @property
    def is_uneven(self) -> bool:
        """Whether groups differ in weight."""
        return self.effective < self.number * (1 - ROUNDING)

    def trial_degrees(self, n: int) -> float:
        """Degrees of freedom of `trials` for n values; more if the values are nearly independent.

        0 stands for so many that Student's distribution is normal.
        """
        excess = (1 - self.trials / n) ** 2
        is_normal = excess * NORMAL_DEGREES <= self.degrees
        return 0.0 if is_normal else _round_degrees(self.degrees / excess)


def estimate_variance(
    residuals: np.ndarray, weights: np.ndarray, codes: np.ndarray
) -> VarianceEstimate:
    """Variance of sum(values) / sum(weights) from the values' residuals.

    residuals  (N,) value minus the ratio times its weight; their sum is 0
    weights    (N,)
    codes      (N,) each value's group, of at least two groups
    """
    masses, sums = np.bincount(codes, weights), np.bincount(codes, residuals)
    number, mass = len(masses), float(masses.sum())
    if number == len(residuals):
        return _variance_of_singletons(sums / mass, masses / mass)
    shares, means = masses / mass, sums / masses
    heavy = float((shares**2).sum())
    inside = residuals - weights * means[codes]
    squares = np.divide(inside**2, weights, out=np.zeros_like(inside), where=weights > 0)
    within = float(squares.sum()) / (len(residuals) - number)
    seen = float((shares * means**2).sum())
    degrees = _satterthwaite_degrees(shares)
    noise = (number - 1) * within / mass
    own = number / (number - 1) * float(((shares * means) ** 2).sum())
    # Few groups may underestimate the variance: scale it up before subtracting the noise.
    few, many = (student_quantile(COMPARISON_TAIL, each) for each in (degrees, number - 1))
    scale = (few / many) ** 2
    between = max(0.0, (scale * seen - noise) / (1 - heavy))
    alone = _largest_group_variance(shares, means, within / mass)
    variance = max(own, between * heavy + within / mass, alone + within / mass)
    of_one = max(between + within, float((residuals**2).sum()) / mass)
    trials = min(mass, of_one / variance) if variance > 0 else float(number)
    return VarianceEstimate(variance, degrees, number, 1 / heavy, trials)


def _largest_group_variance(shares: np.ndarray, means: np.ndarray, noise: float) -> float:
    """Variance due to the largest group's effect, from its distance to the mean of all others.

    Guards against twenty similar small groups hiding one large group that differs.
    """
    top = int(shares.argmax())
    share = float(shares[top])
    others = (float((shares**2).sum()) - share**2) / (1 - share) ** 2
    apart = float(means[top]) / (1 - share)
    return share**2 * max(0.0, apart**2 - noise / (share * (1 - share))) / (1 + others)


def _satterthwaite_degrees(shares: np.ndarray) -> float:
    """Satterthwaite's degrees of freedom of the weighted variance between groups.

    For equal sizes it is the number of groups minus one.

    >>> sizes = np.full(20, 0.05), np.array([0.5] + [0.05] * 10)
    >>> [round(_satterthwaite_degrees(shares), 1) for shares in sizes]
    [19.0, 5.4]
    """
    two, three = float((shares**2).sum()), float((shares**3).sum())
    degrees = (1 - two) ** 2 / (two - 2 * three + two**2)
    return min(len(shares) - 1.0, max(1.0, _round_degrees(degrees)))


def _round_degrees(degrees: float) -> float:
    """Round to tenths, from 20 on to integers, so that cached quantiles are reused."""
    return float(round(degrees, 1 if degrees < 20 else 0))


def _variance_of_singletons(sums: np.ndarray, shares: np.ndarray) -> VarianceEstimate:
    """Variance if each value is its own group, so noise and group effects are not separable.

    The tighter of two estimates: effects independent of size, pooled over all groups; and each
    group's own residual, corrected for its leverage.
    """
    number, heavy = len(shares), float((shares**2).sum())
    means = sums / shares
    pooled = heavy * float((shares * means**2).sum()) / (1 - heavy), _satterthwaite_degrees(shares)
    scaled = shares**2 / (1 - 2 * shares + heavy)
    zero, one, two = (float((scaled * shares**k).sum()) for k in range(3))
    cross = heavy**2 * zero**2 + 2 * zero * two + 2 * one**2 - 4 * heavy * zero * one
    twice = scaled**2 * ((1 - 2 * shares + heavy) ** 2 - (heavy - 2 * shares) ** 2)
    effective = heavy**2 / (cross + float(twice.sum()))
    own = float((scaled * means**2).sum()), min(number - 1.0, max(1.0, _round_degrees(effective)))
    variance, degrees = min(
        (pooled, own), key=lambda each: student_quantile(COMPARISON_TAIL, each[1]) * each[0] ** 0.5
    )
    return VarianceEstimate(variance, degrees, number, 1 / heavy, 1 / heavy)


def as_float_column(name: str, values: Values, number: int) -> np.ndarray:
    """Convert to float64 (N,); DataError for a wrong length, a non-finite or too large value."""
    try:
        if np.iscomplexobj(values):
            raise TypeError("these are complex")
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} must be numbers; {error}.") from None
    if array.shape != (number,):
        raise DataError(f"{name} must be {number} numbers in a row; got shape {array.shape}.")
    if not np.isfinite(array).all():
        index = int(np.argmin(np.isfinite(array)))
        raise DataError(f"{name}[{index}] is {array[index]}; leave undefined scores out.")
    if number and np.abs(array).max() > MAX_VALUE:  # squares must not overflow
        index = int(np.argmax(np.abs(array)))
        raise DataError(f"{name}[{index}] is {array[index]:g}; give values up to {MAX_VALUE:g}.")
    return array
