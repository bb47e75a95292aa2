"""Groups: how uncertain is a mean whose values come in groups, few or of uneven size?

Values of one group share an effect, so a group tells less than so many independent values, and one
that holds half of them all counts for half of the result although it is a single draw. Its own
residual does not show that: the mean follows it. What the other groups show of the size of the
effects does, if large groups differ no more than small ones do:

    variance = between * Σw² + within / values        w = share of the values in each group

With groups of one size this is the usual variance of group means. (Σw)² / Σw² is the effective
number of groups; Satterthwaite's degrees say how well so few show their variance.
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

LARGEST = 1e100
TAIL = 0.025
"""Tail at which uneven groups are compared with as many even ones."""
ROUNDING = 1e-12
MANY = 10**5
"""Degrees of freedom with which Student's distribution is normal."""

Values = Sequence[float] | np.ndarray
Groups = Sequence[Hashable] | None


class Grouped(NamedTuple):
    """Values and the groups that they belong to; groups without weight are left out."""

    values: np.ndarray
    """float64 (N,)."""
    weights: np.ndarray
    """float64 (N,), 0 or more."""
    codes: np.ndarray
    """Place of each value's group, int (N,)."""

    @property
    def totals(self) -> np.ndarray:
        """Sum of the values of each group, float64 (G,)."""
        return np.bincount(self.codes, self.values)

    @property
    def masses(self) -> np.ndarray:
        """Sum of the weights of each group, float64 (G,)."""
        return np.bincount(self.codes, self.weights)


def grouped(values: Values, groups: Groups, weights: Values | None = None) -> Grouped:
    """Check values, weights (1 each by default) and groups (None: each value its own)."""
    number = len(values)
    if number == 0:
        raise DataError("An interval needs values; got none.")
    amounts = column("values", values, number)
    masses = np.ones(number) if weights is None else column("weights", weights, number)
    if (masses < 0).any():
        raise DataError(f"weights[{int(np.argmax(masses < 0))}] is below zero.")
    codes = group_codes(groups, number)
    by_group = np.bincount(codes, masses)
    if ((by_group == 0) & (np.bincount(codes, amounts) != 0)).any():
        raise DataError("A group has a value but no weight: its ratio is undefined; leave it out.")
    kept = by_group[codes] > 0
    renumbered = (by_group > 0).cumsum() - 1
    return Grouped(amounts[kept], masses[kept], renumbered[codes[kept]])


def group_codes(groups: Groups, number: int, what: str = "values") -> np.ndarray:
    """Place of each value's group, in order of first appearance."""
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
    """Sums of values and weights a group; groups without weight and value are left out."""
    found = grouped(values, groups, weights)
    return found.totals, found.masses


class Spread(NamedTuple):
    """What groups say of the variance of a mean, or of a ratio of sums."""

    variance: float
    """Of the mean."""
    degrees: float
    """Degrees of freedom that the variance is known with."""
    number: int
    """Groups."""
    effective: float
    """Groups of even size that the sample is worth: (Σw)² / Σw²."""
    trials: float
    """Independent values that the sample is worth; the number of groups if all values are equal."""

    @property
    def is_uneven(self) -> bool:
        """Whether some group weighs more than others."""
        return self.effective < self.number * (1 - ROUNDING)

    def trial_degrees(self, n: int) -> float:
        """Degrees of freedom of the trials: none is lost as far as n values are independent.

        0 where so many are left that Student's distribution is normal.
        """
        excess = 1 - self.trials / n
        return coarse(self.degrees / excess**2) if excess**2 * MANY > self.degrees else 0.0


def spread_of(residuals: np.ndarray, weights: np.ndarray, codes: np.ndarray) -> Spread:
    """Variance of sum(values) / sum(weights) from the values' residuals.

    residuals  (N,) value less the ratio times its weight: they add up to 0
    weights    (N,) at least one group has two or more values, or see `spread_of_single`
    codes      (N,) each value's group; there are two groups or more
    """
    masses, sums = np.bincount(codes, weights), np.bincount(codes, residuals)
    number, mass = len(masses), float(masses.sum())
    if number == len(residuals):
        return spread_of_single(sums / mass, masses / mass)
    shares, means = masses / mass, sums / masses
    heavy = float((shares**2).sum())
    inside = residuals - weights * means[codes]
    squares = np.divide(inside**2, weights, out=np.zeros_like(inside), where=weights > 0)
    within = float(squares.sum()) / (len(residuals) - number)
    seen = float((shares * means**2).sum())
    degrees = degrees_between(shares)
    noise = (number - 1) * within / mass
    own = number / (number - 1) * float(((shares * means) ** 2).sum())
    # Few groups may show too little: what even ones could not hide is added before noise goes off.
    scale = (student_quantile(TAIL, degrees) / student_quantile(TAIL, number - 1)) ** 2
    between = max(0.0, (scale * seen - noise) / (1 - heavy))
    alone = lone(shares, means, within / mass)
    variance = max(own, between * heavy + within / mass, alone + within / mass)
    of_one = max(between + within, float((residuals**2).sum()) / mass)
    trials = min(mass, of_one / variance) if variance > 0 else float(number)
    return Spread(variance, degrees, number, 1 / heavy, trials)


def lone(shares: np.ndarray, means: np.ndarray, noise: float) -> float:
    """Variance by the largest group's own effect, from how far it lies from all others together.

    Twenty small groups that are alike do not make a large one that differs from them certain.
    """
    top = int(shares.argmax())
    share = float(shares[top])
    others = (float((shares**2).sum()) - share**2) / (1 - share) ** 2
    apart = float(means[top]) / (1 - share)
    return share**2 * max(0.0, apart**2 - noise / (share * (1 - share))) / (1 + others)


def degrees_between(shares: np.ndarray) -> float:
    """Satterthwaite's degrees of freedom of the weighted variance between groups.

    Groups of one size have one less than there are: Σw(x - mean)² of equal normal effects.

    >>> degrees_between(np.full(20, 0.05)), round(degrees_between(np.array([0.5] + [0.05] * 10)), 1)
    (19.0, 5.4)
    """
    two, three = float((shares**2).sum()), float((shares**3).sum())
    found = (1 - two) ** 2 / (two - 2 * three + two**2)
    return min(len(shares) - 1.0, max(1.0, coarse(found)))


def coarse(degrees: float) -> float:
    """In steps of a tenth, from 20 on in steps of one: what is worth an own quantile."""
    return float(round(degrees, 1 if degrees < 20 else 0))


def spread_of_single(sums: np.ndarray, shares: np.ndarray) -> Spread:
    """Variance where each value is a group: nothing tells noise from the groups' own effects.

    The more precise of two: effects that do not depend on size, pooled over all groups; and each
    group's own residual, scaled up by what a group of its size hides of it.
    """
    number, heavy = len(shares), float((shares**2).sum())
    means = sums / shares
    pooled = heavy * float((shares * means**2).sum()) / (1 - heavy), degrees_between(shares)
    scaled = shares**2 / (1 - 2 * shares + heavy)
    zero, one, two = (float((scaled * shares**k).sum()) for k in range(3))
    cross = heavy**2 * zero**2 + 2 * zero * two + 2 * one**2 - 4 * heavy * zero * one
    twice = scaled**2 * ((1 - 2 * shares + heavy) ** 2 - (heavy - 2 * shares) ** 2)
    found = heavy**2 / (cross + float(twice.sum()))
    own = float((scaled * means**2).sum()), min(number - 1.0, max(1.0, coarse(found)))
    variance, degrees = min(
        (pooled, own), key=lambda each: student_quantile(TAIL, each[1]) * each[0] ** 0.5
    )
    return Spread(variance, degrees, number, 1 / heavy, 1 / heavy)


def column(name: str, values: Values, number: int) -> np.ndarray:
    """The values as float64 (N,), checked for length, finiteness and room for their squares."""
    try:
        if np.iscomplexobj(values):
            raise TypeError("these are complex")
        found = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} must be numbers; {error}.") from None
    if found.shape != (number,):
        raise DataError(f"{name} must be {number} numbers in a row; got shape {found.shape}.")
    if not np.isfinite(found).all():
        where = int(np.argmin(np.isfinite(found)))
        raise DataError(f"{name}[{where}] is {found[where]}; leave undefined scores out.")
    if number and np.abs(found).max() > LARGEST:
        where = int(np.argmax(np.abs(found)))
        raise DataError(f"{name}[{where}] is {found[where]:g}; give values up to {LARGEST:g}.")
    return found
