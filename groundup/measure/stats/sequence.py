"""Repeated looks: optional stopping, and one test set for many candidates.

A fixed-sample interval is valid at one size chosen beforehand; checked after every item, it will be
wrong at some size. A confidence sequence is valid at all sizes simultaneously, so a measurement may
stop as soon as it is decided.

    RateConfidenceSequence    values from 0 to 1: a mixture of bets, cheap
    MeanConfidenceSequence    values in any range, such as paired differences in [-1, 1]: bets
                              scaled by the observed variance, so tighter if most are 0
    reuse_standard_errors     how much wider the k-th candidate's interval must be on one test set

Items of a sequence must be independent and in an order unrelated to their scores (shuffle them);
give one value per group for grouped items. Every candidate is another chance to pass by luck;
worse, developers who see scores tune the next candidate to the noise in them:

    verdicts   only passed or failed was seen, or the candidates were fixed beforehand. Alpha
               spending: candidate k gets 1 / k(k + 1) of the level, which sums to the level.
    scores     scores were seen. With normal noise, k - 1 scores reveal the noise in k - 1
               directions; a candidate that exploits them best passes at t errors with probability
               (P(χ²_k > t²) + P(χ²_{k-1} > t²)) / 2, which must be at most the share above. Sharp:
               with r the length of the known noise, the best direction passes if r >= t, else with
               probability P(Z > √(t² - r²)).

After reading the samples themselves no number of errors suffices; only a new test set does.
Source: Robbins 1970, doi:10.1214/aoms/1177696786; Howard et al. 2021, arXiv:1810.08240 (mixture);
Waudby-Smith and Ramdas 2024, arXiv:2010.09686, §4.2 (hedged capital); Scheffé 1953,
doi:10.1093/biomet/40.1-2.87 (all directions at once); Blum and Hardt 2015, arXiv:1502.04585
(verdicts reveal little).
"""

from functools import cache
from math import inf, isfinite, lgamma, log
from typing import Literal, NamedTuple, get_args

import numpy as np

from groundup.core import ConfigError, DataError, check_choice

from .distribution import chi_square_tail, normal_quantile, solve_decreasing, two_sided_tail
from .grouping import Values, as_float_column
from .interval import Interval

GRID_POINTS = 2001
"""Grid of candidate means across the range; bounds are conservative by at most one step."""
MAX_STAKE = 0.5
"""Largest share of the capital that one bet may lose."""
BISECTIONS = 50
VALUES_AT_ONCE = 500

log_gamma = np.frompyfunc(lgamma, 1, 1)


class RateConfidenceSequence:
    """Confidence sequence for a share of ones, or for a mean of values from 0 to 1.

    The capital of a bet against a share p is the likelihood ratio of a mixture of shares to p.
    Under the true share it stays below 1 / (1 - confidence) forever with probability `confidence`,
    so shares whose capital reached that limit are excluded.

    >>> sequence = RateConfidenceSequence()
    >>> for result in [1, 1, 0, 1] * 25:
    ...     interval = sequence.update([result])
    >>> print(interval)
    0.75 [0.5957, 0.8714]
    """

    def __init__(self, confidence: float = 0.95) -> None:
        self.confidence, self.limit = confidence, -log(2 * two_sided_tail(confidence))
        self.n, self.successes = 0, 0.0
        self.low, self.high = 0.0, 1.0

    def update(self, values: Values) -> Interval:
        """Add values and return the bounds so far, which never widen."""
        array = _check_range(as_float_column("values", values, len(values)), 0.0, 1.0)
        self.n, self.successes = self.n + len(array), self.successes + float(array.sum())
        share = self.successes / self.n if self.n else 0.5
        self.low = max(self.low, self.find_bound(0.0, share))
        self.high = min(self.high, self.find_bound(1.0, share))
        return Interval(share, self.low, self.high, self.confidence, self.n, self.n)

    def find_bound(self, out: float, inside: float) -> float:
        """Bisect for the share between an end and the estimate where the capital is the limit."""
        if not self.is_excluded(out):
            return out
        for _ in range(BISECTIONS):
            middle = (out + inside) / 2
            out, inside = (middle, inside) if self.is_excluded(middle) else (out, middle)
        return out

    def is_excluded(self, share: float) -> bool:
        """Whether the capital against this share has reached the limit."""
        return bool(_mixture_capital(self.successes, self.n, share) >= self.limit)


def _mixture_capital(
    successes: float | np.ndarray, n: int | np.ndarray, share: float
) -> float | np.ndarray:
    """Log capital of the mixture of bets against a share; arrays give one value per step.

    log B(s + 1/2, f + 1/2) / B(1/2, 1/2) - s log p - f log(1 - p), with f = n - s

    >>> round(float(_mixture_capital(1.0, 1, 0.25)), 4)        # one success: (1/2) / (1/4)
    0.6931
    """
    failures = n - successes
    mixed = log_gamma(successes + 0.5) + log_gamma(failures + 0.5) - log_gamma(n + 1.0)
    capital = np.asarray(mixed, dtype=np.float64) - log(np.pi)
    for count, chance in ((successes, share), (failures, 1 - share)):
        if chance > 0:
            capital = capital - count * log(chance)
        else:
            capital = np.where(np.asarray(count) > 0, inf, capital)
    return capital


class RunningMoments(NamedTuple):
    """Running moments of the values so far, on which the next bet may depend."""

    n: int
    total: np.ndarray
    squares: np.ndarray
    """Sum of squared distances from the running means."""


class MeanConfidenceSequence:
    """Confidence sequence for the mean of values in a range.

    For each candidate mean, one bet is on the mean being higher and one on it being lower; stakes
    grow as the variance shrinks. A candidate is excluded once either capital reaches
    2 / (1 - confidence).

    >>> sequence = MeanConfidenceSequence(-1, 1)    # paired differences of values from 0 to 1
    >>> print(sequence.update([0, 0, 1, 0, 0, 0, 0, 0, 0, 0] * 40))
    0.1 [0.058, 0.154]
    """

    def __init__(self, lowest: float, highest: float, confidence: float = 0.95) -> None:
        if not (lowest < highest and isfinite(highest - lowest)):
            raise ConfigError(f"Expected a range of values; got {lowest} to {highest}.")
        self.lowest, self.width = float(lowest), float(highest - lowest)
        self.confidence, self.limit = confidence, -log(two_sided_tail(confidence))
        self.seen = RunningMoments(0, np.zeros(()), np.zeros(()))
        self.grid = np.linspace(0, 1, GRID_POINTS)
        self.capital = np.zeros((2, GRID_POINTS))
        self.is_excluded = np.zeros((2, GRID_POINTS), dtype=bool)

    def update(self, values: Values) -> Interval:
        """Add values and return the bounds so far, which never widen."""
        array = as_float_column("values", values, len(values))
        array = _check_range(array, self.lowest, self.lowest + self.width)
        array = (array - self.lowest) / self.width
        for start in range(0, len(array), VALUES_AT_ONCE):
            chunk = array[start : start + VALUES_AT_ONCE]
            sizes, self.seen = _bet_sizes(chunk, self.seen, self.confidence)
            for side, sign in enumerate((1, -1)):
                growth = _log_growth(chunk[:, None], sizes[:, None], self.grid, sign)
                capital = self.capital[side] + growth.cumsum(axis=0)
                self.is_excluded[side] |= (capital >= self.limit).any(axis=0)
                self.capital[side] = capital[-1]
        return self.interval()

    def interval(self) -> Interval:
        """The interval between the excluded candidates on both sides."""
        below, above = self.is_excluded
        low = self.grid[below][-1] if below.any() else 0.0
        high = self.grid[above][0] if above.any() else 1.0
        mean = float(self.seen.total) / self.seen.n if self.seen.n else 0.5
        mean, low, high = (self.lowest + self.width * float(end) for end in (mean, low, high))
        return Interval(mean, low, high, self.confidence, self.seen.n, self.seen.n)


def _bet_sizes(
    values: np.ndarray, seen: RunningMoments, confidence: float
) -> tuple[np.ndarray, RunningMoments]:
    """Size of the bet on each value, from earlier values only, and the updated moments.

    values  (..., T) from 0 to 1      returns  (..., T)
    """
    count = seen.n + np.arange(1, values.shape[-1] + 1)
    totals = seen.total[..., None] + values.cumsum(axis=-1)
    centres = (0.5 + totals) / (count + 1)
    squares = seen.squares[..., None] + ((values - centres) ** 2).cumsum(axis=-1)
    before = np.concatenate([seen.squares[..., None], squares[..., :-1]], axis=-1)
    variance = (0.25 + before) / count
    sizes = np.sqrt(-2 * log(two_sided_tail(confidence)) / (variance * count * np.log1p(count)))
    return sizes, RunningMoments(int(count[-1]), totals[..., -1], squares[..., -1])


def _log_growth(
    values: np.ndarray, sizes: np.ndarray, means: np.ndarray | float, sign: int
) -> np.ndarray:
    """Log growth of the capital per value, betting that the mean is above (1) or below (-1)."""
    room = np.asarray(means if sign == 1 else 1 - means, dtype=np.float64)
    most = np.divide(MAX_STAKE, room, out=np.full_like(room, inf), where=room > 0)
    return np.log1p(sign * np.minimum(sizes, most) * (values - means))


def _check_range(values: np.ndarray, lowest: float, highest: float) -> np.ndarray:
    outside = (values < lowest) | (values > highest)
    if outside.any():
        index = int(np.argmax(outside))
        raise DataError(f"values[{index}] is {values[index]:g}, outside {lowest:g} to {highest:g}.")
    return values


SeenFeedback = Literal["verdicts", "scores"]


@cache
def reuse_standard_errors(
    candidate: int, confidence: float = 0.95, seen: SeenFeedback = "scores"
) -> float:
    """Distance in standard errors of the k-th candidate's bound from its estimate.

    The probability that any candidate that is not good enough passes is at most 1 - confidence,
    however many there are.

    >>> [round(reuse_standard_errors(k), 2) for k in (1, 2, 5, 50)]
    [1.96, 2.94, 4.3, 10.07]
    >>> [round(reuse_standard_errors(k, seen="verdicts"), 2) for k in (1, 2, 5, 50)]
    [1.96, 2.39, 2.94, 4.11]
    """
    if candidate < 1:
        raise ConfigError(f"candidate={candidate} must be 1 for the first, 2 for the second ...")
    level = 2 * two_sided_tail(confidence) / (candidate * (candidate + 1))
    if check_choice("seen", seen, get_args(SeenFeedback)) == "verdicts":
        return normal_quantile(level)
    return solve_decreasing(
        lambda t: (chi_square_tail(t * t, candidate) + chi_square_tail(t * t, candidate - 1)) / 2,
        level,
    )
