"""Confidence intervals of measured numbers.

Dependent values are resampled together: tokens of one document, questions on one module. Every
function takes `groups`, the group of each value; None makes each value its own group.

    bootstrap            mean, or ratio of sums
    paired_difference    of two systems on the same items
    ratio_of_sums        sum(a) / sum(b)
    rate                 share of successes
    wilson_interval      successes of n
    difference_of_rates  of two sets of items

Bootstrap intervals are studentised on a variance-stabilised scale. That handles skew better than
percentiles, with about equal errors on both sides, as gates need. If many resamples have zero
variance (few groups, or nearly all values equal), Student's bounds are used. If nearly all groups
are equal and the values have limits, bounds allow for values too rare for the sample: two extra
groups, one at each limit. Sums dominated by a few groups count like (Σw)² / Σw² groups. Measured
coverage: docs/benchmarks/simulations.md.
Source: Efron 1979, doi:10.1214/aos/1176344552; Hall 1988, doi:10.1214/aos/1176350933 (studentised);
Tibshirani 1988, doi:10.1093/biomet/75.3.433 (variance stabilised); Bonett and Price 2012,
doi:10.3102/1076998611411915 (the two extra groups).
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from math import ceil, inf, log, sqrt
from typing import NamedTuple

import numpy as np

from groundup.core import ConfigError, DataError

from .distribution import (
    beta_tail,
    normal_tail,
    solve_decreasing,
    student_quantile,
    two_sided_tail,
    z_value,
)
from .grouping import ROUNDING, Groups, Values, as_float_column, estimate_variance, group_values

REPEATS = 2000
DRAWS_AT_ONCE = 2**20
SCALE_END = 0.25
"""End of the stabilising scale; limits the widening of a bound to 1.85 times its distance."""
MIN_DEVIATING_GROUPS = 16
"""With fewer groups than this that differ from the rest, resamples miss rare values."""
MIN_TAIL = 1e-300
"""Smallest tail, so that its logarithm is finite."""
MAX_FLAT_SHARE = 1e-3
"""Student's bounds are used if more than this share of the resamples has zero variance."""


class Interval(NamedTuple):
    """An estimate with a confidence interval."""

    estimate: float
    low: float
    high: float
    confidence: float
    """Coverage probability, such as 0.95."""
    n: int
    """Number of values."""
    groups: int
    """Number of groups that were resampled."""
    trials: float = 0.0
    """Effective number of independent trials of a rate; 0 for other numbers."""
    degrees: float = 0.0
    """Degrees of freedom; 0 for the default: groups - 1, or infinite for independent trials."""
    error: float | None = None
    """Standard error of the observed values, if the bounds also allow for unseen ones."""
    limits: tuple[float, float] | None = None
    """Hard limits of the true value, if any."""

    def __str__(self) -> str:
        """The estimate and its bounds in four digits: `0.812 [0.7905, 0.8351]`."""
        return f"{self.estimate:.4g} [{self.low:.4g}, {self.high:.4g}]"

    def widened(self, errors: float) -> "Interval":
        """Widen the bounds to `errors` standard errors of a normal distribution.

        With few groups the equivalent Student quantile is used; Wilson's interval is recomputed.
        `confidence` is unchanged: use it to correct for multiple comparisons.

        >>> print(Interval(0.8, 0.7, 0.9, 0.95, 500, 500).widened(2 * 1.959964))
        0.8 [0.5988, 1.001]
        """
        tails = two_sided_tail(self.confidence), max(normal_tail(errors), MIN_TAIL)
        now, then = map(self.student_errors, tails)
        if self.trials:
            narrow = _wilson_bounds(self.estimate, self.trials, now)
            wide = _wilson_bounds(self.estimate, self.trials, then)
            more = [then / now * abs(a - b) for a, b in zip(narrow, self[1:3], strict=True)]
            return self._replace(low=max(0.0, wide[0] - more[0]), high=min(1.0, wide[1] + more[1]))
        by_error = then / now
        # The allowance for unseen values, 1 - tail ** (1 / groups), grows with log(tail).
        by_room = max(by_error, log(tails[1]) / log(tails[0]))
        reach = inf if self.error is None else now * self.error
        ends = [
            self.estimate + apart * (by_room if abs(apart) > reach else by_error)
            for apart in (self.low - self.estimate, self.high - self.estimate)
        ]
        least, most = self.limits or (-inf, inf)
        return self._replace(low=max(ends[0], least), high=min(ends[1], most))

    def student_errors(self, tail: float) -> float:
        """Distance in standard errors from the estimate to the bound with this tail."""
        degrees = self.degrees or (inf if self.trials else max(1, self.groups - 1))
        return student_quantile(tail, degrees)

    @property
    def largest_unseen_share(self) -> float:
        """Largest share of groups of a kind that a sample of this size may contain none of.

        About 3.7 / groups at 95 %. Bounds of values with limits allow for it; without limits the
        effect of such groups on the mean is unknown.

        >>> round(Interval(0.8, 0.7, 0.9, 0.95, 100, 100).largest_unseen_share, 4)
        0.0362
        """
        return _upper_share_bound(0.0, self.groups, two_sided_tail(self.confidence))


def bootstrap(
    values: Values, groups: Groups = None, *, weights: Values | None = None,
    confidence: float = 0.95, limits: tuple[float, float] = (-inf, inf),
    repeats: int = REPEATS, seed: int = 0,
) -> Interval:  # fmt: skip
    """Mean of the values, or sum(values) / sum(weights), by resampling groups.

    The bounds are clipped to `limits`: (0, 1) for scores that cannot lie outside. Without limits,
    equal values have an interval of width zero, because other values are unknown.

    Raises DataError for fewer than two groups, a value that is not finite or outside the limits, or
    a negative weight, ConfigError for invalid limits or too few repeats for the tails: 40 for 95 %.

    >>> bootstrap([1.0, 1.0, 3.0, 3.0], ["a", "a", "b", "b"]).estimate
    2.0
    >>> bootstrap([8.0, 2.0], weights=[4.0, 1.0]).low       # both groups have the ratio 2
    2.0
    """
    tail = two_sided_tail(confidence)
    check_resampling(repeats, seed, tail)
    if not limits[0] < limits[1]:
        raise ConfigError(f"limits={limits} must be the lowest and the highest value.")
    data = group_values(values, groups, weights)
    totals, masses = data.totals, data.masses
    number = len(totals)
    if number < 2:
        raise DataError(f"An interval needs at least 2 groups with weight; got {number}.")
    _check_limits(totals / masses, limits)
    estimate = float(totals.sum() / masses.sum())
    residuals = totals - estimate * masses
    bounds, degrees, error = ConfidenceBounds(estimate, estimate), 0.0, None
    if np.abs(residuals).max() > ROUNDING * np.abs(totals).max():
        bounds = _studentised_bounds(estimate, residuals, masses, tail, repeats, seed)
        spread = estimate_variance(data.values - estimate * data.weights, data.weights, data.codes)
        if spread.is_uneven:
            room = student_quantile(tail, spread.degrees) * sqrt(spread.variance)
            bounds, degrees = bounds.extended(estimate - room, estimate + room), spread.degrees
    if np.isfinite(limits).all():
        seen = bounds
        bounds = bounds.extended(*bounds_with_unseen(totals, masses, tail, limits))
        if bounds != seen:
            error = float(ratio_standard_error((residuals**2).sum(), masses.sum(), number))
    low, high = (float(end) for end in np.clip(bounds, *limits))
    return Interval(
        estimate, low, high, confidence, len(values), number, degrees=degrees, error=error,
        limits=limits if np.isfinite(limits).all() else None,
    )  # fmt: skip


def _check_limits(means: np.ndarray, limits: tuple[float, float]) -> None:
    slack = ROUNDING * max(1.0, np.abs(means).max())
    if outside := means[(means < limits[0] - slack) | (means > limits[1] + slack)].tolist():
        raise DataError(f"Expected values within the limits {limits}; got {outside[0]:g}.")


class ConfidenceBounds(NamedTuple):
    """Lower and upper confidence bound."""

    low: float
    high: float

    def extended(self, low: float, high: float) -> "ConfidenceBounds":
        """Extend the bounds to include others."""
        return ConfidenceBounds(min(self.low, low), max(self.high, high))


def _studentised_bounds(
    estimate: float, residuals: np.ndarray, masses: np.ndarray, tail: float, repeats: int, seed: int
) -> ConfidenceBounds:
    """Studentised bounds of a ratio of sums, Student's if resamples have zero variance."""
    number = len(masses)
    error = float(ratio_standard_error((residuals**2).sum(), masses.sum(), number))
    draws = _studentise_resamples(residuals / error, masses, repeats, seed)
    return bounds_from_resamples(estimate, error, number, draws, tail)


def bounds_from_resamples(
    estimate: float, error: float, number: int, draws: "ResampleStatistics", tail: float
) -> ConfidenceBounds:
    """Bounds from resamples of `number` groups."""
    defined = np.isfinite(draws.errors)
    if defined.mean() < 1 - MAX_FLAT_SHARE:
        up = student_quantile(tail, number - 1)
        down = -up
    else:
        down, up = _stabilised_errors(draws.shifts[defined], draws.errors[defined], tail)
    return ConfidenceBounds(estimate + down * error, estimate + up * error)


def bounds_with_unseen(
    totals: np.ndarray, masses: np.ndarray, tail: float, limits: tuple[float, float]
) -> ConfidenceBounds:
    """Bounds that allow for values too rare to occur in the sample.

    On each side, groups that deviate from the median are counted: 1 for one at the limit, others by
    the cube of their relative distance, as in skewness. Their share is raised to its exact upper
    bound, and the added groups are put at the limit. So 50 scores near 1 allow for 7 % zeros. For
    100 paired differences of 0 the bounds are ±0.036: losses in 36 of 1,000 cases would be missed
    with a probability of 2.5 %. If most groups are equal, groups count by mass; and while few
    groups deviate, the bounds are at least Student's with two extra groups, one at each limit.
    """
    means, shares = totals / masses, masses / masses.sum()
    number, estimate = len(means), float(totals.sum() / masses.sum())
    usual = float(np.sort(means)[(number - 1) // 2])
    differ = int((means != usual).sum())
    worth = float(1 / (shares**2).sum()) if 2 * differ < number else float(number)
    bounds = [estimate, estimate]
    for side, limit in enumerate(limits):
        room = limit - usual
        counts = np.clip((means - usual) / room, 0, 1) ** 3 if room else np.zeros(number)
        if counts.sum() < MIN_DEVIATING_GROUPS:
            share = float(shares @ counts)
            bounds[side] += (_upper_share_bound(share, worth, tail) - share) * room
    wide = ConfidenceBounds(*bounds)
    if differ < MIN_DEVIATING_GROUPS:
        wide = wide.extended(*_bounds_with_extra_groups(totals, masses, tail, limits))
    return wide


def _bounds_with_extra_groups(
    totals: np.ndarray, masses: np.ndarray, tail: float, limits: tuple[float, float]
) -> ConfidenceBounds:
    worth = float(masses.sum() ** 2 / (masses**2).sum())
    size = float((masses**2).sum() / masses.sum())
    more = np.append(totals, [size * limit for limit in limits])
    weights = np.append(masses, [size, size])
    centre = float(more.sum() / weights.sum())
    squares = ((more - centre * weights) ** 2).sum()
    error = float(ratio_standard_error(squares, weights.sum(), len(weights)))
    room = student_quantile(tail, max(1.0, worth + 1)) * error
    return ConfidenceBounds(centre - room, centre + room)


@lru_cache(maxsize=4096)
def _upper_share_bound(share: float, trials: float, tail: float) -> float:
    """Exact (Clopper-Pearson) upper bound of an observed share.

    >>> round(_upper_share_bound(0.0, 100, 0.025), 4)
    0.0362

    Source: Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404.
    """
    if (seen := share * trials) >= trials:
        return 1.0
    return solve_decreasing(lambda share: 1 - beta_tail(seen + 1, trials - seen, share), tail)


def check_resampling(repeats: int, seed: int = 0, tail: float = 1.0) -> None:
    """Raise ConfigError for too few draws to reach the tail, or a negative seed."""
    least = ceil(1 / tail - ROUNDING)
    if repeats < least:
        raise ConfigError(f"repeats={repeats} must be {least} or more.")
    if seed < 0:
        raise ConfigError(f"seed={seed} must be 0 or more.")


class ResampleStatistics(NamedTuple):
    """Statistics of the resamples, in standard errors of the sample."""

    shifts: np.ndarray
    """Difference of each resample's ratio from the sample's."""
    errors: np.ndarray
    """Standard error of each resample; nan if its variance is zero."""


def _studentise_resamples(
    residuals: np.ndarray, masses: np.ndarray, repeats: int, seed: int
) -> ResampleStatistics:
    """Resample the groups.

    residuals  (N,) sums of values minus the sample's ratio times the masses, in standard errors
    """
    number, shifts, spreads = len(masses), [], []
    powers = np.stack([residuals, masses, residuals**2, residuals * masses, masses**2], axis=1)
    for counts in iterate_resamples(number, repeats, seed):
        sums, mass, squares, products, mass_squares = (counts @ powers).T
        shift = sums / mass
        spread = squares - 2 * shift * products + shift**2 * mass_squares
        is_flat = spread <= ROUNDING * squares
        shifts.append(shift)
        spreads.append(ratio_standard_error(np.where(is_flat, np.nan, spread), mass, number))
    return ResampleStatistics(np.concatenate(shifts), np.concatenate(spreads))


def _stabilised_errors(shifts: np.ndarray, spreads: np.ndarray, tail: float) -> tuple[float, float]:
    """Variance-stabilised studentised bounds, in standard errors from the estimate.

    For skewed values the standard error grows with the mean: log(spread) = slope * shift. On the
    scale (1 - exp(-slope * shift)) / slope it is constant.
    """
    logs = np.log(spreads)
    slope = float(shifts @ (logs - logs.mean()) / (shifts @ shifts))
    slope = slope if abs(slope) > ROUNDING else ROUNDING
    errors = np.expm1(slope * shifts) / (slope * spreads)
    upper, lower = np.quantile(errors, [1 - tail, tail])
    down, up = (-np.log1p(max(slope * end, SCALE_END - 1)) / slope for end in (upper, lower))
    return float(down), float(up)


def ratio_standard_error(
    squares: float | np.ndarray, masses: float | np.ndarray, number: int
) -> float | np.ndarray:
    """Standard error of a ratio of sums, from the sum of squared residuals over the groups."""
    return np.sqrt(squares * (number / (number - 1))) / masses


def iterate_resamples(number: int, repeats: int, seed: int) -> Iterable[np.ndarray]:
    """Yield draw counts of the groups, (resamples, number) per batch.

    Small ones are cached, because many metrics have the same number of groups.
    """
    is_small = number * repeats <= DRAWS_AT_ONCE
    return _cached_draws(number, repeats, seed) if is_small else _draw_counts(number, repeats, seed)


@lru_cache(maxsize=2)
def _cached_draws(number: int, repeats: int, seed: int) -> tuple[np.ndarray, ...]:
    return tuple(_draw_counts(number, repeats, seed))


def _draw_counts(number: int, repeats: int, seed: int) -> Iterator[np.ndarray]:
    generator, rows = np.random.default_rng(seed), max(1, DRAWS_AT_ONCE // number)
    for start in range(0, repeats, rows):
        size = min(rows, repeats - start)
        indices = generator.integers(number, size=(size, number))
        indices += number * np.arange(size)[:, None]
        counts = np.bincount(indices.ravel(), minlength=size * number)
        yield counts.reshape(size, number).astype(np.float64)


def paired_difference(
    a: Values, b: Values, groups: Groups = None, *, weights: Values | None = None,
    confidence: float = 0.95, limits: tuple[float, float] = (-inf, inf),
    repeats: int = REPEATS, seed: int = 0,
) -> Interval:  # fmt: skip
    """Difference a - b of two systems on the same items: mean, or ratio of sums with `weights`.

    Both use the same resamples, so the difficulty of an item cancels out. `limits` are those of the
    difference: (-1, 1) for shares.

    >>> paired_difference([2.0, 5.0, 9.0], [1.0, 4.0, 8.0])[:3]
    (1.0, 1.0, 1.0)
    """
    left, right = as_float_column("a", a, len(a)), as_float_column("b", b, len(a))
    return bootstrap(
        left - right, groups, weights=weights, confidence=confidence, limits=limits,
        repeats=repeats, seed=seed,
    )  # fmt: skip


def ratio_of_sums(
    a: Values, b: Values, groups: Groups = None, *, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """sum(a) / sum(b) of two systems on the same items; b must not be negative.

    >>> ratio_of_sums([1.0, 2.0], [2.0, 4.0])[:3]
    (0.5, 0.5, 0.5)
    """
    return bootstrap(a, groups, weights=b, confidence=confidence, seed=seed)


def wilson_interval(successes: float, n: float, *, confidence: float = 0.95) -> Interval:
    """Share of successes among n independent trials; never of width zero.

    Source: Wilson 1927, doi:10.1080/01621459.1927.10502953.
    Raises DataError if n is not positive and finite or successes lie outside 0..n.

    >>> print(wilson_interval(98, 100))
    0.98 [0.93, 0.9945]
    """
    if not (0 <= successes <= n and 0 < n < inf):
        raise DataError(f"Expected successes between 0 and a finite n > 0; got {successes} of {n}.")
    low, high = _wilson_bounds(successes / n, n, z_value(confidence))
    return Interval(successes / n, low, high, confidence, round(n), round(n), float(n))


def _wilson_bounds(share: float, n: float, errors: float) -> tuple[float, float]:
    """Wilson's bounds at a distance of `errors` standard errors."""
    square = errors * errors / n
    centre = (share + square / 2) / (1 + square)
    half = sqrt(square) / (1 + square) * sqrt(share * (1 - share) + square / 4)
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return (0.0 if share == 0 else low), (1.0 if share == 1 else high)


def rate(values: Values, groups: Groups = None, *, confidence: float = 0.95) -> Interval:
    """Share of ones among values that are 0 or 1, accounting for dependence within groups.

    Wilson's interval for the effective number of independent trials: the variance of one value
    over that of the share, at most n (grouping.py). If all values are equal, each group is one
    trial. Student's quantile replaces the normal one to the extent that the variance comes from
    few groups. The larger the largest group, the more the bounds move from Wilson's to exact ones.
    Source: Kish 1965, Survey Sampling, §8.2; Korn and Graubard 1998 (effective sample size).

    >>> print(rate([1, 1, 1, 0], ["a", "a", "b", "b"]))
    0.75 [0.3006, 0.9544]
    """
    ones = as_float_column("values", values, len(values))
    if not np.isin(ones, (0.0, 1.0)).all():
        raise DataError("A rate needs values that are 0 or 1; use bootstrap for others.")
    data, tail = group_values(ones, groups), two_sided_tail(confidence)
    masses, n, share = data.masses, len(ones), float(ones.mean())
    number, trials, degrees = len(masses), float(len(masses)), 0.0
    if 0 < share < 1 and 1 < number < n:
        spread = estimate_variance(ones - share, data.weights, data.codes)
        trials, degrees = spread.trials, spread.trial_degrees(n)
    errors = student_quantile(tail, degrees or inf)
    low, high = _wilson_bounds(share, trials, errors)
    if uneven := float(masses.max() / n - 1 / number) * (0 < share < 1):
        worth = trials * (z_value(confidence) / errors) ** 2
        low += uneven * min(0.0, 1 - _upper_share_bound(1 - share, worth, tail) - low)
        high += uneven * max(0.0, _upper_share_bound(share, worth, tail) - high)
    return Interval(share, low, high, confidence, n, number, trials, degrees)


def difference_of_rates(
    a: Values, b: Values, groups_a: Groups = None, groups_b: Groups = None, *,
    confidence: float = 0.95,
) -> Interval:  # fmt: skip
    """rate(a) - rate(b) of two different sets of items, such as unknown and known questions.

    Assumes independent sets; groups that occur in both make the interval too wide or too narrow.
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
    degrees = min((side.degrees for side in (left, right) if side.degrees), default=0.0)
    return Interval(
        estimate, estimate - below, estimate + above, confidence, n, groups, degrees=degrees,
        limits=(-1.0, 1.0),
    )  # fmt: skip


def expanded_tail(confidence: float, groups: float) -> float:
    """Tail of an expanded percentile bootstrap for this number of groups.

    Φ(-t √(n / (n - 1))) with Student's t of n - 1 degrees, because percentiles are too narrow for
    few groups. For statistics without a standard error. Source: Hesterberg 2015, arXiv:1411.5279.

    >>> round(expanded_tail(0.95, 10**6), 4), round(expanded_tail(0.95, 20), 4)
    (0.025, 0.0159)
    """
    t = student_quantile(two_sided_tail(confidence), groups - 1)
    return normal_tail(t * sqrt(groups / (groups - 1)))
