"""Intervals: how sure a measured number is, given what it was measured on.

What depends on each other is resampled together: tokens of one document, questions on one module.
Every function takes `groups`, the name of the group of each value; None makes each its own.

    bootstrap     mean, or ratio of sums      paired    difference of two systems on the same items
    ratio         sum(a) / sum(b)             rate      share of successes
    wilson        successes of n              difference_of_rates   of two sets of items

Bootstrap intervals are percentile intervals, taken at the level that Student's t asks for with so
many groups, since plain percentiles are too narrow when groups are few. What remains: below about
20 groups, or with sums ruled by a few groups, they cover somewhat less than they say.
Source: Efron 1979, doi:10.1214/aos/1176344552; Hesterberg 2015, arXiv:1411.5279 (expansion).
"""

from collections.abc import Hashable, Sequence
from math import sqrt
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from groundup.core import ConfigError, DataError

REPEATS = 2000
DRAWS_AT_ONCE = 2**20

Values = Sequence[float] | np.ndarray
Groups = Sequence[Hashable] | None


class Interval(NamedTuple):
    """An estimate with the bounds between which the truth lies with the stated confidence."""

    estimate: float
    low: float
    high: float
    confidence: float
    """Share of such intervals that hold the truth: 0.95."""
    n: int
    """Number of values."""
    groups: int
    """Number of groups that were resampled."""

    def __str__(self) -> str:
        """The estimate and its bounds in four digits: `0.812 [0.7905, 0.8351]`."""
        return f"{self.estimate:.4g} [{self.low:.4g}, {self.high:.4g}]"

    def widened(self, confidence: float) -> "Interval":
        """The same at a higher confidence, each side stretched as a normal distribution's would be.

        Raises ConfigError if `confidence` is lower than the interval's own.
        """
        if confidence < self.confidence:
            raise ConfigError(
                f"An interval of confidence {self.confidence} cannot be narrowed to {confidence}; "
                "compute it anew from the values."
            )
        stretch = z_value(confidence) / z_value(self.confidence)
        low = self.estimate - stretch * (self.estimate - self.low)
        high = self.estimate + stretch * (self.high - self.estimate)
        return self._replace(low=low, high=high, confidence=confidence)


def bootstrap(
    values: Values, groups: Groups = None, *, weights: Values | None = None,
    confidence: float = 0.95, repeats: int = REPEATS, seed: int = 0,
) -> Interval:  # fmt: skip
    """Mean of the values, or sum(values) / sum(weights), by resampling whole groups.

    Raises DataError for fewer than two groups, a value that is not finite, or a weight below zero.

    >>> bootstrap([1.0, 1.0, 3.0, 3.0], ["a", "a", "b", "b"]).estimate
    2.0
    >>> bootstrap([8.0, 2.0], weights=[4.0, 1.0]).low       # both groups have the ratio 2
    2.0
    """
    totals, masses = group_sums(
        values, groups, np.ones(len(values)) if weights is None else weights
    )
    number = len(totals)
    if number < 2:
        raise DataError(
            f"An interval needs at least 2 groups with weight; got {number}: measure on more."
        )
    generator, found = np.random.default_rng(seed), []
    rows = max(1, DRAWS_AT_ONCE // number)
    for start in range(0, repeats, rows):
        drawn = generator.integers(number, size=(min(rows, repeats - start), number))
        found.append(totals[drawn].sum(axis=1) / masses[drawn].sum(axis=1))
    tail = tail_share(confidence, number)
    low, high = np.quantile(np.concatenate(found), [tail, 1 - tail])
    estimate = float(totals.sum() / masses.sum())
    return Interval(estimate, float(low), float(high), confidence, len(values), number)


def paired(
    a: Values, b: Values, groups: Groups = None, *, weights: Values | None = None,
    confidence: float = 0.95, seed: int = 0,
) -> Interval:  # fmt: skip
    """Difference a - b of two systems on the same items: mean, or ratio of sums with `weights`.

    Both are resampled by the same draws, so what makes an item hard for both cancels out.

    >>> paired([2.0, 5.0, 9.0], [1.0, 4.0, 8.0])[:3]
    (1.0, 1.0, 1.0)
    """
    left, right = column("a", a, len(a)), column("b", b, len(a))
    return bootstrap(left - right, groups, weights=weights, confidence=confidence, seed=seed)


def ratio(
    a: Values, b: Values, groups: Groups = None, *, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """sum(a) / sum(b) of two systems on the same items; no b may be below zero.

    >>> ratio([1.0, 2.0], [2.0, 4.0])[:3]
    (0.5, 0.5, 0.5)
    """
    return bootstrap(a, groups, weights=b, confidence=confidence, seed=seed)


def wilson(successes: float, n: float, *, confidence: float = 0.95) -> Interval:
    """Share of successes among n independent trials; never of width zero.

    Source: Wilson 1927, doi:10.1080/01621459.1927.10502953.
    Raises DataError if n is not positive or successes lie outside 0..n.

    >>> print(wilson(98, 100))
    0.98 [0.93, 0.9945]
    """
    if not 0 <= successes <= n or n <= 0:
        raise DataError(f"Expected successes between 0 and n > 0; got {successes} of {n}.")
    z, share = z_value(confidence), successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    low, high = (0.0 if share == 0 else low), (1.0 if share == 1 else high)
    return Interval(share, low, high, confidence, round(n), round(n))


def rate(values: Values, groups: Groups = None, *, confidence: float = 0.95) -> Interval:
    """Share of ones among values that are 0 or 1, counting dependence inside the groups.

    Wilson's interval for as many independent trials as these are worth: n over the design effect
    (the variance of the grouped share over that of n independent ones, at least 1). Where all
    values are equal that variance is 0 and says nothing; then each group is one trial.
    Source: Kish 1965, Survey Sampling, §8.2; Korn and Graubard 1998 (effective sample size).

    >>> print(rate([1, 1, 1, 0], ["a", "a", "b", "b"]))
    0.75 [0.3006, 0.9544]
    """
    ones = column("values", values, len(values))
    if not np.isin(ones, (0.0, 1.0)).all():
        raise DataError(
            "A rate needs values that are 0 or 1; use bootstrap for the mean of others."
        )
    totals, masses = group_sums(ones, groups, np.ones(len(ones)))
    n, number, share = len(ones), len(totals), float(ones.mean()) if len(ones) else 0.0
    worth = float(number)
    if 0 < share < 1 and number > 1:
        spread = number / (number - 1) * float(((totals - share * masses) ** 2).sum()) / n**2
        worth = n / max(1.0, spread / (share * (1 - share) / (n - 1)))
    return wilson(share * worth, worth, confidence=confidence)._replace(
        estimate=share, n=n, groups=number
    )


def difference_of_rates(
    a: Values, b: Values, groups_a: Groups = None, groups_b: Groups = None, *,
    confidence: float = 0.95,
) -> Interval:  # fmt: skip
    """rate(a) - rate(b) of two different sets of items, such as unknown and known questions.

    The two are taken as independent; items of one group on both sides make it too wide or narrow.
    Source: Newcombe 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I,
    method 10.

    >>> print(difference_of_rates([1] * 9 + [0], [0] * 10))
    0.9 [0.4883, 0.9821]
    """
    left = rate(a, groups_a, confidence=confidence)
    right = rate(b, groups_b, confidence=confidence)
    estimate = left.estimate - right.estimate
    below = sqrt((left.estimate - left.low) ** 2 + (right.high - right.estimate) ** 2)
    above = sqrt((left.high - left.estimate) ** 2 + (right.estimate - right.low) ** 2)
    n, groups = left.n + right.n, left.groups + right.groups
    return Interval(estimate, estimate - below, estimate + above, confidence, n, groups)


def group_sums(values: Values, groups: Groups, weights: Values) -> tuple[np.ndarray, np.ndarray]:
    """Sums of values and weights a group; groups without weight and value are left out."""
    number = len(values)
    if number == 0:
        raise DataError("An interval needs values; got none.")
    amounts, masses = column("values", values, number), column("weights", weights, number)
    if (masses < 0).any():
        raise DataError(f"weights[{int(np.argmax(masses < 0))}] is below zero.")
    codes = np.arange(number)
    if groups is not None:
        if len(groups) != number:
            raise DataError(f"{number} values need as many groups; got {len(groups)}.")
        seen: dict[Hashable, int] = {}
        codes = np.array([seen.setdefault(group, len(seen)) for group in groups])
    totals, masses = np.bincount(codes, amounts), np.bincount(codes, masses)
    if ((masses == 0) & (totals != 0)).any():
        raise DataError("A group has a value but no weight: its ratio is undefined; leave it out.")
    return totals[masses > 0], masses[masses > 0]


def column(name: str, values: Values, number: int) -> np.ndarray:
    """The values as float64 (N,), checked for length and finiteness."""
    found = np.asarray(values, dtype=np.float64)
    if found.shape != (number,):
        raise DataError(f"{name} must be {number} numbers in a row; got shape {found.shape}.")
    if not np.isfinite(found).all():
        where = int(np.argmin(np.isfinite(found)))
        raise DataError(f"{name}[{where}] is {found[where]}; leave undefined scores out.")
    return found


def z_value(confidence: float) -> float:
    """Two-sided normal quantile: 1.96 for 0.95."""
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence={confidence} must lie between 0 and 1, such as 0.95.")
    return NormalDist().inv_cdf((1 + confidence) / 2)


def tail_share(confidence: float, groups: int) -> float:
    """Share of bootstrap estimates to cut off at each end, for this number of groups.

    Φ(-t √(n / (n - 1))) with Student's t of n - 1 degrees, by its expansion around the normal's z.
    Source: Abramowitz and Stegun 1964, 26.7.5.

    >>> round(tail_share(0.95, 10**6), 4), round(tail_share(0.95, 20), 4)
    (0.025, 0.0159)
    """
    z, degrees = z_value(confidence), groups - 1
    t = z + (z**3 + z) / (4 * degrees)
    t += (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)
    return NormalDist().cdf(-t * sqrt(groups / degrees))
