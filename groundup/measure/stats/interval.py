"""Intervals: how sure a measured number is, given what it was measured on.

What depends on each other is resampled together: tokens of one document, questions on one module.
Every function takes `groups`, the name of the group of each value; None makes each its own.

    bootstrap     mean, or ratio of sums      paired    difference of two systems on the same items
    ratio         sum(a) / sum(b)             rate      share of successes
    wilson        successes of n              difference_of_rates   of two sets of items

Bootstrap intervals are studentised: each resample is measured in its own standard errors, on a
scale where these do not depend on the mean. That follows skewed values where percentiles of the
resamples do not, and errs about equally on both sides, as gates need. Where resamples often have no
spread (few groups, or nearly all values equal) the bounds are Student's. Where nearly all groups
are equal and the values have limits, bounds leave room for values that the sample was too small to
show: two groups more, one at each limit. Sums ruled by a few groups count like a sample of
(Σw)² / Σw² groups; how often intervals hold: docs/simulations.md.
Source: Efron 1979, doi:10.1214/aos/1176344552; Hall 1988, doi:10.1214/aos/1176350933 (studentised);
Tibshirani 1988, doi:10.1093/biomet/75.3.433 (variance stabilised); Bonett and Price 2012,
doi:10.3102/1076998611411915 (the two groups more).
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from math import ceil, inf, log, sqrt
from typing import NamedTuple

import numpy as np

from groundup.core import ConfigError, DataError

from .distribution import beta_tail, falling, normal_tail, student_quantile, tail_of, z_value
from .grouping import ROUNDING, Groups, Values, column, grouped, spread_of

REPEATS = 2000
DRAWS_AT_ONCE = 2**20
STEEPEST = 0.25
"""Where the scale ends, so that no bound is stretched to more than 1.85 times its distance."""
RARE = 16
"""With fewer groups than this that differ from the rest, resamples miss what is rare."""
SMALLEST = 1e-300
"""Tails below this are taken for it; their logarithm would be infinite."""
FLAT = 1e-3
"""Student's bounds are taken where more than this share of the resamples has no spread."""


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
    trials: float = 0.0
    """Independent trials that a share of successes is worth; 0 for other numbers."""
    degrees: float = 0.0
    """Of freedom of the variance; 0 as usual: groups - 1, or infinite for independent trials."""
    error: float | None = None
    """Standard error of what was seen, where bounds also leave room for the unseen."""
    limits: tuple[float, float] | None = None
    """Between which the truth lies however little is known, if there are any."""

    def __str__(self) -> str:
        """The estimate and its bounds in four digits: `0.812 [0.7905, 0.8351]`."""
        return f"{self.estimate:.4g} [{self.low:.4g}, {self.high:.4g}]"

    def stretched(self, errors: float) -> "Interval":
        """The same with bounds so many standard errors away, as a normal distribution counts them.

        With few groups Student's distribution decides what that means; Wilson's interval is
        computed anew. The confidence stays what it was: stretch for several intervals that are to
        hold together.

        >>> print(Interval(0.8, 0.7, 0.9, 0.95, 500, 500).stretched(2 * 1.959964))
        0.8 [0.5988, 1.001]
        """
        tails = tail_of(self.confidence), max(normal_tail(errors), SMALLEST)
        now, then = map(self.student, tails)
        if self.trials:
            narrow = wilson_bounds(self.estimate, self.trials, now)
            wide = wilson_bounds(self.estimate, self.trials, then)
            more = [then / now * abs(a - b) for a, b in zip(narrow, self[1:3], strict=True)]
            return self._replace(low=max(0.0, wide[0] - more[0]), high=min(1.0, wide[1] + more[1]))
        by_error = then / now
        # Room for the unseen, 1 - tail ** (1 / groups), grows with the logarithm of the tail.
        by_room = max(by_error, log(tails[1]) / log(tails[0]))
        reach = inf if self.error is None else now * self.error
        ends = [
            self.estimate + apart * (by_room if abs(apart) > reach else by_error)
            for apart in (self.low - self.estimate, self.high - self.estimate)
        ]
        least, most = self.limits or (-inf, inf)
        return self._replace(low=max(ends[0], least), high=min(ends[1], most))

    def student(self, tail: float) -> float:
        """Standard errors from the estimate to a bound that leaves out this tail."""
        degrees = self.degrees or (inf if self.trials else max(1, self.groups - 1))
        return student_quantile(tail, degrees)

    @property
    def unseen(self) -> float:
        """Share of groups that may lie anywhere, as none of so few would have shown it.

        About 3.7 / groups at 95 %. Bounds of values with limits leave room for it; of values
        without limits nobody can say what such groups would do to the mean.

        >>> round(Interval(0.8, 0.7, 0.9, 0.95, 100, 100).unseen, 4)
        0.0362
        """
        return largest_share(0.0, self.groups, tail_of(self.confidence))


def bootstrap(
    values: Values, groups: Groups = None, *, weights: Values | None = None,
    confidence: float = 0.95, limits: tuple[float, float] = (-inf, inf),
    repeats: int = REPEATS, seed: int = 0,
) -> Interval:  # fmt: skip
    """Mean of the values, or sum(values) / sum(weights), by resampling whole groups.

    The bounds are cut at `limits`: (0, 1) for scores that cannot lie outside. Without limits equal
    values have an interval of width zero, as nothing says what else there might be.

    Raises DataError for fewer than two groups, a value that is not finite or outside the limits, or
    a weight below zero, ConfigError for limits that are none or for fewer repeats than the tails
    need: 40 for 95 %.

    >>> bootstrap([1.0, 1.0, 3.0, 3.0], ["a", "a", "b", "b"]).estimate
    2.0
    >>> bootstrap([8.0, 2.0], weights=[4.0, 1.0]).low       # both groups have the ratio 2
    2.0
    """
    tail = tail_of(confidence)
    check_draws(repeats, seed, tail)
    if not limits[0] < limits[1]:
        raise ConfigError(f"limits={limits} must be the lowest and the highest value.")
    data = grouped(values, groups, weights)
    totals, masses = data.totals, data.masses
    number = len(totals)
    if number < 2:
        raise DataError(
            f"An interval needs at least 2 groups with weight; got {number}: measure on more."
        )
    check_limits(totals / masses, limits)
    estimate = float(totals.sum() / masses.sum())
    residuals = totals - estimate * masses
    bounds, degrees, error = Bounds(estimate, estimate), 0.0, None
    if np.abs(residuals).max() > ROUNDING * np.abs(totals).max():
        bounds = resampled(estimate, residuals, masses, tail, repeats, seed)
        spread = spread_of(data.values - estimate * data.weights, data.weights, data.codes)
        if spread.is_uneven:
            room = student_quantile(tail, spread.degrees) * sqrt(spread.variance)
            bounds, degrees = bounds.around(estimate - room, estimate + room), spread.degrees
    if np.isfinite(limits).all():
        seen = bounds
        bounds = bounds.around(*with_unseen(totals, masses, tail, limits))
        if bounds != seen:
            error = float(standard_error(float((residuals**2).sum()), float(masses.sum()), number))
    low, high = (float(end) for end in np.clip(bounds, *limits))
    return Interval(
        estimate, low, high, confidence, len(values), number, degrees=degrees, error=error,
        limits=limits if np.isfinite(limits).all() else None,
    )  # fmt: skip


def check_limits(means: np.ndarray, limits: tuple[float, float]) -> None:
    """Raise DataError if a group's mean lies outside."""
    slack = ROUNDING * max(1.0, np.abs(means).max())
    if outside := means[(means < limits[0] - slack) | (means > limits[1] + slack)].tolist():
        raise DataError(f"Expected values within the limits {limits}; got {outside[0]:g}.")


class Bounds(NamedTuple):
    """Where the truth lies."""

    low: float
    high: float

    def around(self, low: float, high: float) -> "Bounds":
        """The narrowest bounds around these and others."""
        return Bounds(min(self.low, low), max(self.high, high))


def resampled(
    estimate: float, residuals: np.ndarray, masses: np.ndarray, tail: float, repeats: int, seed: int
) -> Bounds:
    """Studentised bounds of a ratio of sums, Student's where resamples have no spread."""
    number = len(masses)
    error = float(standard_error(float((residuals**2).sum()), float(masses.sum()), number))
    found = redrawn(residuals / error, masses, repeats, seed)
    return by_spreads(estimate, error, number, found, tail)


def by_spreads(estimate: float, error: float, number: int, found: "Redrawn", tail: float) -> Bounds:
    """Bounds from resamples of so many groups."""
    defined = np.isfinite(found.spreads)
    if defined.mean() < 1 - FLAT:
        up = student_quantile(tail, number - 1)
        down = -up
    else:
        down, up = stabilised(found.shifts[defined], found.spreads[defined], tail)
    return Bounds(estimate + down * error, estimate + up * error)


def with_unseen(
    totals: np.ndarray, masses: np.ndarray, tail: float, limits: tuple[float, float]
) -> Bounds:
    """Bounds that leave room for values which the sample was too small to show.

    Groups that lie off the usual one are counted on each side, one at the limit as 1 and others by
    the cube of their part of the way, as skewness counts them; the share of such groups is taken
    at its exact upper bound, and what is added to it at the limit. So 50 scores near 1 leave room
    for 7 % that are 0. Of 100 paired differences that are all 0 the bounds are ±0.036: losses in
    36 of 1,000 cases would have left no trace with a chance of 2.5 %. Where most groups are equal
    nothing shows that large ones are like small ones, so they count by mass; and the bounds are
    at least Student's with two groups more, one at each limit, while few differ.
    """
    means, shares = totals / masses, masses / masses.sum()
    number, estimate = len(means), float(totals.sum() / masses.sum())
    usual = float(np.sort(means)[(number - 1) // 2])
    differ = int((means != usual).sum())
    worth = float(1 / (shares**2).sum()) if 2 * differ < number else float(number)
    bounds = [estimate, estimate]
    for side, limit in enumerate(limits):
        room = limit - usual
        parts = np.clip((means - usual) / room, 0, 1) ** 3 if room else np.zeros(number)
        if parts.sum() < RARE:
            share = float(shares @ parts)
            bounds[side] += (largest_share(share, worth, tail) - share) * room
    found = Bounds(*bounds)
    return found.around(*two_more(totals, masses, tail, limits)) if differ < RARE else found


def two_more(
    totals: np.ndarray, masses: np.ndarray, tail: float, limits: tuple[float, float]
) -> Bounds:
    """Student's bounds with two groups more, of the usual size and one at each limit."""
    worth = float(masses.sum() ** 2 / (masses**2).sum())
    size = float((masses**2).sum() / masses.sum())
    more = np.append(totals, [size * limit for limit in limits])
    weights = np.append(masses, [size, size])
    centre = float(more.sum() / weights.sum())
    squares = float(((more - centre * weights) ** 2).sum())
    error = float(standard_error(squares, float(weights.sum()), len(weights)))
    room = student_quantile(tail, max(1.0, worth + 1)) * error
    return Bounds(centre - room, centre + room)


def largest_share(share: float, trials: float, tail: float) -> float:
    """The share of which so few of these trials would be seen in `tail` of cases, exactly.

    >>> round(largest_share(0.0, 100, 0.025), 4)
    0.0362

    Source: Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404.
    """
    seen = share * trials
    if seen >= trials:
        return 1.0
    return falling(lambda share: 1 - beta_tail(seen + 1, trials - seen, share), tail)


def check_draws(repeats: int, seed: int = 0, tail: float = 1.0) -> None:
    """Raise ConfigError if so few draws have none in the tail, or if no generator has the seed."""
    least = ceil(1 / tail - ROUNDING)
    if repeats < least:
        raise ConfigError(f"repeats={repeats} must be {least} or more.")
    if seed < 0:
        raise ConfigError(f"seed={seed} must be 0 or more.")


class Redrawn(NamedTuple):
    """What the resamples say, in standard errors of the sample."""

    shifts: np.ndarray
    """How far each one's ratio lies from the sample's."""
    spreads: np.ndarray
    """Each one's own standard error; nan where it has no spread."""


def redrawn(residuals: np.ndarray, masses: np.ndarray, repeats: int, seed: int) -> Redrawn:
    """Draw the groups anew.

    residuals  (N,) sums of values less the sample's ratio times the masses, in standard errors
    """
    number, shifts, spreads = len(masses), [], []
    powers = np.stack([residuals, masses, residuals**2, residuals * masses, masses**2], axis=1)
    for counts in resamples(number, repeats, seed):
        sums, mass, squares, products, mass_squares = (counts @ powers).T
        shift = sums / mass
        spread = squares - 2 * shift * products + shift**2 * mass_squares
        is_flat = spread <= ROUNDING * squares
        shifts.append(shift)
        spreads.append(standard_error(np.where(is_flat, np.nan, spread), mass, number))
    return Redrawn(np.concatenate(shifts), np.concatenate(spreads))


def stabilised(shifts: np.ndarray, spreads: np.ndarray, tail: float) -> tuple[float, float]:
    """Bounds in standard errors from the estimate, on a scale where the spread stays the same.

    Skewed values spread more where their mean is higher: log spread = slope * shift. Measured by
    (1 - exp(-slope * shift)) / slope instead, their standard error no longer depends on the mean.
    """
    logs = np.log(spreads)
    slope = float(shifts @ (logs - logs.mean()) / (shifts @ shifts))
    slope = slope if abs(slope) > ROUNDING else ROUNDING
    errors = np.expm1(slope * shifts) / (slope * spreads)
    upper, lower = np.quantile(errors, [1 - tail, tail])
    down, up = (-np.log1p(max(slope * end, STEEPEST - 1)) / slope for end in (upper, lower))
    return float(down), float(up)


def standard_error(
    squares: float | np.ndarray, masses: float | np.ndarray, number: int
) -> float | np.ndarray:
    """Of a ratio of sums, from the sum of squared residuals over so many groups."""
    return np.sqrt(squares * (number / (number - 1))) / masses


def resamples(number: int, repeats: int, seed: int) -> Iterable[np.ndarray]:
    """How often each group is drawn in each resample, (rows, number) at a time.

    Many measures have the same number of groups, so the draws of small samples are kept.
    """
    is_small = number * repeats <= DRAWS_AT_ONCE
    return kept(number, repeats, seed) if is_small else drawn(number, repeats, seed)


@lru_cache(maxsize=2)
def kept(number: int, repeats: int, seed: int) -> tuple[np.ndarray, ...]:
    """The draws in memory, 8 MiB at most."""
    return tuple(drawn(number, repeats, seed))


def drawn(number: int, repeats: int, seed: int) -> Iterator[np.ndarray]:
    """Draw with replacement, as many as there are groups, `repeats` times."""
    generator, rows = np.random.default_rng(seed), max(1, DRAWS_AT_ONCE // number)
    for start in range(0, repeats, rows):
        size = min(rows, repeats - start)
        places = generator.integers(number, size=(size, number))
        places += number * np.arange(size)[:, None]
        counts = np.bincount(places.ravel(), minlength=size * number)
        yield counts.reshape(size, number).astype(np.float64)


def paired(
    a: Values, b: Values, groups: Groups = None, *, weights: Values | None = None,
    confidence: float = 0.95, limits: tuple[float, float] = (-inf, inf),
    repeats: int = REPEATS, seed: int = 0,
) -> Interval:  # fmt: skip
    """Difference a - b of two systems on the same items: mean, or ratio of sums with `weights`.

    Both are resampled by the same draws, so what makes an item hard for both cancels out. `limits`
    are those of the difference: (-1, 1) for shares.

    >>> paired([2.0, 5.0, 9.0], [1.0, 4.0, 8.0])[:3]
    (1.0, 1.0, 1.0)
    """
    left, right = column("a", a, len(a)), column("b", b, len(a))
    return bootstrap(
        left - right, groups, weights=weights, confidence=confidence, limits=limits,
        repeats=repeats, seed=seed,
    )  # fmt: skip


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
    Raises DataError if n is not positive and finite or successes lie outside 0..n.

    >>> print(wilson(98, 100))
    0.98 [0.93, 0.9945]
    """
    if not (0 <= successes <= n and 0 < n < inf):
        raise DataError(f"Expected successes between 0 and a finite n > 0; got {successes} of {n}.")
    low, high = wilson_bounds(successes / n, n, z_value(confidence))
    return Interval(successes / n, low, high, confidence, round(n), round(n), float(n))


def wilson_bounds(share: float, n: float, errors: float) -> tuple[float, float]:
    """The shares from which the one found lies so many of their standard errors away."""
    square = errors * errors / n
    centre = (share + square / 2) / (1 + square)
    half = sqrt(square) / (1 + square) * sqrt(share * (1 - share) + square / 4)
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return (0.0 if share == 0 else low), (1.0 if share == 1 else high)


def rate(values: Values, groups: Groups = None, *, confidence: float = 0.95) -> Interval:
    """Share of ones among values that are 0 or 1, counting dependence inside the groups.

    Wilson's interval for as many independent trials as these are worth: the variance of one value
    over that of the share, at most n (grouping.py). Where all values are equal that is 0 / 0 and
    says nothing; then each group is one trial. Student's factor stands for the normal one as far
    as the variance is the groups'. By the share of the largest group in all, beyond an even one,
    the bounds move from Wilson's to exact ones: what it does, the share does in one step.
    Source: Kish 1965, Survey Sampling, §8.2; Korn and Graubard 1998 (effective sample size).

    >>> print(rate([1, 1, 1, 0], ["a", "a", "b", "b"]))
    0.75 [0.3006, 0.9544]
    """
    ones = column("values", values, len(values))
    if not np.isin(ones, (0.0, 1.0)).all():
        raise DataError(
            "A rate needs values that are 0 or 1; use bootstrap for the mean of others."
        )
    data, tail = grouped(ones, groups), tail_of(confidence)
    masses, n, share = data.masses, len(ones), float(ones.mean())
    number, trials, degrees = len(masses), float(len(masses)), 0.0
    if 0 < share < 1 and 1 < number < n:
        spread = spread_of(ones - share, data.weights, data.codes)
        trials, degrees = spread.trials, spread.trial_degrees(n)
    errors = student_quantile(tail, degrees or inf)
    low, high = wilson_bounds(share, trials, errors)
    if uneven := float(masses.max() / n - 1 / number) * (0 < share < 1):
        worth = trials * (z_value(confidence) / errors) ** 2
        low += uneven * min(0.0, 1 - largest_share(1 - share, worth, tail) - low)
        high += uneven * max(0.0, largest_share(share, worth, tail) - high)
    return Interval(share, low, high, confidence, n, number, trials, degrees)


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
    degrees = min((one.degrees for one in (left, right) if one.degrees), default=0.0)
    return Interval(
        estimate, estimate - below, estimate + above, confidence, n, groups, degrees=degrees,
        limits=(-1.0, 1.0),
    )  # fmt: skip


def tail_share(confidence: float, groups: float) -> float:
    """Share of plain bootstrap estimates to cut off at each end, for this number of groups.

    Φ(-t √(n / (n - 1))) with Student's t of n - 1 degrees: percentiles are too narrow when groups
    are few. For statistics that have no standard error of their own. Source: Hesterberg 2015,
    arXiv:1411.5279 (expansion).

    >>> round(tail_share(0.95, 10**6), 4), round(tail_share(0.95, 20), 4)
    (0.025, 0.0159)
    """
    t = student_quantile(tail_of(confidence), groups - 1)
    return normal_tail(t * sqrt(groups / (groups - 1)))
