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

from collections.abc import Hashable, Iterable, Iterator, Sequence
from functools import lru_cache
from math import ceil, inf, sqrt
from typing import NamedTuple

import numpy as np

from groundup.core import ConfigError, DataError

from .distribution import beta_tail, falling, normal_tail, student_quantile, tail_of, z_value

REPEATS = 2000
DRAWS_AT_ONCE = 2**20
ROUNDING = 1e-12
LARGEST = 1e100
STEEPEST = 0.25
"""Where the scale ends, so that no bound is stretched to more than 1.85 times its distance."""
RARE = 16
"""With fewer groups than this that differ from the rest, resamples miss what is rare."""
FLAT = 1e-3
"""Student's bounds are taken where more than this share of the resamples has no spread."""

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
    trials: float = 0.0
    """Independent trials that a share of successes is worth; 0 for other numbers."""

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
        if self.trials:
            low, high = wilson_bounds(self.estimate, self.trials, errors)
            return self._replace(low=low, high=high)
        degrees = max(1, self.groups - 1)
        now = student_quantile(tail_of(self.confidence), degrees)
        factor = student_quantile(normal_tail(errors), degrees) / now
        low = self.estimate - factor * (self.estimate - self.low)
        return self._replace(low=low, high=self.estimate + factor * (self.high - self.estimate))


def bootstrap(
    values: Values, groups: Groups = None, *, weights: Values | None = None,
    confidence: float = 0.95, limits: tuple[float, float] = (-inf, inf),
    repeats: int = REPEATS, seed: int = 0,
) -> Interval:  # fmt: skip
    """Mean of the values, or sum(values) / sum(weights), by resampling whole groups.

    The bounds are cut at `limits`: (0, 1) for scores that cannot lie outside. Without limits equal
    values have an interval of width zero, as nothing says what else there might be.

    Raises DataError for fewer than two groups, a value that is not finite, or a weight below zero,
    ConfigError for limits that are none or for fewer repeats than the tails need: 40 for 95 %.

    >>> bootstrap([1.0, 1.0, 3.0, 3.0], ["a", "a", "b", "b"]).estimate
    2.0
    >>> bootstrap([8.0, 2.0], weights=[4.0, 1.0]).low       # both groups have the ratio 2
    2.0
    """
    tail = tail_of(confidence)
    check_draws(repeats, seed, tail)
    if not limits[0] < limits[1]:
        raise ConfigError(f"limits={limits} must be the lowest and the highest value.")
    totals, masses = group_sums(
        values, groups, np.ones(len(values)) if weights is None else weights
    )
    number = len(totals)
    if number < 2:
        raise DataError(
            f"An interval needs at least 2 groups with weight; got {number}: measure on more."
        )
    estimate = float(totals.sum() / masses.sum())
    residuals = totals - estimate * masses
    low, high = estimate, estimate
    if np.abs(residuals).max() > ROUNDING * np.abs(totals).max():
        low, high = resampled(estimate, residuals, masses, tail, repeats, seed)
    if differing(totals / masses) < RARE and weights is None and np.isfinite(limits).all():
        wide = with_unseen(totals, masses, tail, limits)
        low, high = min(low, wide.low), max(high, wide.high)
    low, high = np.clip([low, high], *limits)
    return Interval(estimate, float(low), float(high), confidence, len(values), number)


class Bounds(NamedTuple):
    """Where the truth lies."""

    low: float
    high: float


def resampled(
    estimate: float, residuals: np.ndarray, masses: np.ndarray, tail: float, repeats: int, seed: int
) -> Bounds:
    """Studentised bounds of a ratio of sums, Student's where resamples have no spread."""
    number = len(masses)
    error = float(standard_error(float((residuals**2).sum()), float(masses.sum()), number))
    shifts, spreads = redrawn(residuals / error, masses, repeats, seed)
    defined = np.isfinite(spreads)
    if defined.mean() < 1 - FLAT:
        up = student_quantile(tail, number - 1)
        down = -up
    else:
        down, up = stabilised(shifts[defined], spreads[defined], tail)
    return Bounds(estimate + down * error, estimate + up * error)


def differing(means: np.ndarray) -> int:
    """How many groups do not have the most common mean."""
    return int((means != modal(means)).sum())


def with_unseen(
    totals: np.ndarray, masses: np.ndarray, tail: float, limits: tuple[float, float]
) -> Bounds:
    """Bounds that leave room for values which the sample was too small to show.

    The wider of two, on each side: Student's with two groups more, one at each limit; and the
    share of groups on that side of the usual value taken at its exact upper bound, each at the
    limit. Groups count by mass: a large one that is rarely hit weighs like many.

    Of 100 paired differences that are all 0 the bounds are ±0.036: losses in 36 of 1,000 cases
    would have left no trace in the sample with a chance of 2.5 %.
    """
    worth = float(masses.sum() ** 2 / (masses**2).sum())
    size = float((masses**2).sum() / masses.sum())
    means, estimate = totals / masses, float(totals.sum() / masses.sum())
    usual = modal(means)
    more = np.append(totals, [size * limit for limit in limits])
    weights = np.append(masses, [size, size])
    centre = float(more.sum() / weights.sum())
    squares = float(((more - centre * weights) ** 2).sum())
    error = float(standard_error(squares, float(weights.sum()), len(weights)))
    room = student_quantile(tail, max(1.0, worth + 1)) * error
    below, above = (
        float(masses[side].sum() / masses.sum()) for side in (means < usual, means > usual)
    )
    low = estimate - (largest_share(below, worth, tail) - below) * (usual - limits[0])
    high = estimate + (largest_share(above, worth, tail) - above) * (limits[1] - usual)
    return Bounds(min(low, centre - room), max(high, centre + room))


def modal(values: np.ndarray) -> float:
    """The most common value."""
    found, counts = np.unique(values, return_counts=True)
    return float(found[counts.argmax()])


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

    Both are resampled by the same draws, so what makes an item hard for both cancels out.

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


def tail_share(confidence: float, groups: int) -> float:
    """Share of plain bootstrap estimates to cut off at each end, for this number of groups.

    Φ(-t √(n / (n - 1))) with Student's t of n - 1 degrees: percentiles are too narrow when groups
    are few. For statistics that have no standard error of their own. Source: Hesterberg 2015,
    arXiv:1411.5279 (expansion).

    >>> round(tail_share(0.95, 10**6), 4), round(tail_share(0.95, 20), 4)
    (0.025, 0.0159)
    """
    t = student_quantile(tail_of(confidence), groups - 1)
    return normal_tail(t * sqrt(groups / (groups - 1)))
