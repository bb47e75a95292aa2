"""Confidence sequences: intervals that hold at every look, however often one looks.

An interval of a fixed sample is right 95 times in 100 at one size chosen beforehand. Who looks
after every item and stops when it suits will see it wrong sooner or later. These bounds hold for
all sizes together, so a measurement may stop as soon as it is decided.

    RateSequence    values that are 0 or 1, or between: a mixture of bets, at no cost
    MeanSequence    values in any range, such as paired differences in [-1, 1]: bets of a size that
                    follows the spread, so tighter where most differences are 0

Items must come in an order that has nothing to do with their scores (shuffle them) and be
independent: of grouped ones give one value a group.
Source: Robbins 1970, doi:10.1214/aoms/1177696786; Howard et al. 2021, arXiv:1810.08240 (mixture);
Waudby-Smith and Ramdas 2024, arXiv:2010.09686, §4.2 (hedged capital).
"""

from math import inf, isfinite, lgamma, log
from typing import NamedTuple

import numpy as np

from groundup.core import ConfigError, DataError

from .distribution import tail_of
from .grouping import Values, column
from .interval import Interval

POINTS = 2001
"""Candidate means across the range; bounds are outward by at most one step between them."""
STAKE = 0.5
"""Largest share of the capital that one bet may lose."""
HALVINGS = 50
VALUES_AT_ONCE = 500

log_gamma = np.frompyfunc(lgamma, 1, 1)


class RateSequence:
    """The share of ones, or the mean of values from 0 to 1, after each look.

    A bettor against the share p wins the likelihood of the values under a mixture of shares over
    that under p. Under the true share such capital stays below 1 / (1 - confidence) for ever with
    probability `confidence`, so shares against which it got there are out.

    >>> sequence = RateSequence()
    >>> for result in [1, 1, 0, 1] * 25:
    ...     found = sequence.update([result])
    >>> print(found)
    0.75 [0.5957, 0.8714]
    """

    def __init__(self, confidence: float = 0.95) -> None:
        self.confidence, self.limit = confidence, -log(2 * tail_of(confidence))
        self.n, self.successes = 0, 0.0
        self.low, self.high = 0.0, 1.0

    def update(self, values: Values) -> Interval:
        """Take in more values; return the bounds so far, which never widen."""
        found = within(column("values", values, len(values)), 0.0, 1.0)
        self.n, self.successes = self.n + len(found), self.successes + float(found.sum())
        share = self.successes / self.n if self.n else 0.5
        self.low = max(self.low, self.crossing(0.0, share))
        self.high = min(self.high, self.crossing(1.0, share))
        return Interval(share, self.low, self.high, self.confidence, self.n, self.n)

    def crossing(self, out: float, inside: float) -> float:
        """Where the capital comes down to the limit on the way from an end to the estimate."""
        if not self.is_out(out):
            return out
        for _ in range(HALVINGS):
            middle = (out + inside) / 2
            out, inside = (middle, inside) if self.is_out(middle) else (out, middle)
        return out

    def is_out(self, share: float) -> bool:
        """Whether a bettor against this share has reached the limit."""
        return bool(mixture_capital(self.successes, self.n, share) >= self.limit)


def mixture_capital(
    successes: float | np.ndarray, n: int | np.ndarray, share: float
) -> float | np.ndarray:
    """Log of what the mixture of bets against a share has made of 1; arrays look by look.

    log B(s + 1/2, f + 1/2) / B(1/2, 1/2) - s log p - f log(1 - p), with f = n - s

    >>> round(float(mixture_capital(1.0, 1, 0.25)), 4)        # one success: (1/2) / (1/4)
    0.6931
    """
    failures = n - successes
    mixed = log_gamma(successes + 0.5) + log_gamma(failures + 0.5) - log_gamma(n + 1.0)
    found = np.asarray(mixed, dtype=np.float64) - log(np.pi)
    for count, chance in ((successes, share), (failures, 1 - share)):
        if chance > 0:
            found = found - count * log(chance)
        else:
            found = np.where(np.asarray(count) > 0, inf, found)
    return found


class Moments(NamedTuple):
    """What the next bet may depend on: the values seen so far."""

    n: int
    total: np.ndarray
    squares: np.ndarray
    """Sum of squared distances from the running means."""


class MeanSequence:
    """The mean of values in a range after each look.

    Two bettors, one on the mean being higher and one on it being lower than each candidate, stake
    more where the values so far vary less. A candidate against which either has doubled 1 /
    (1 - confidence) is out.

    >>> sequence = MeanSequence(-1, 1)                # paired differences of values from 0 to 1
    >>> print(sequence.update([0, 0, 1, 0, 0, 0, 0, 0, 0, 0] * 40))
    0.1 [0.058, 0.154]
    """

    def __init__(self, lowest: float, highest: float, confidence: float = 0.95) -> None:
        if not (lowest < highest and isfinite(highest - lowest)):
            raise ConfigError(f"Expected a range of values; got {lowest} to {highest}.")
        self.lowest, self.width = float(lowest), float(highest - lowest)
        self.confidence, self.limit = confidence, -log(tail_of(confidence))
        self.seen = Moments(0, np.zeros(()), np.zeros(()))
        self.grid = np.linspace(0, 1, POINTS)
        self.capital = np.zeros((2, POINTS))
        self.is_out = np.zeros((2, POINTS), dtype=bool)

    def update(self, values: Values) -> Interval:
        """Take in more values; return the bounds so far, which never widen."""
        found = column("values", values, len(values))
        found = (within(found, self.lowest, self.lowest + self.width) - self.lowest) / self.width
        for start in range(0, len(found), VALUES_AT_ONCE):
            part = found[start : start + VALUES_AT_ONCE]
            sizes, self.seen = bets(part, self.seen, self.confidence)
            for side, sign in enumerate((1, -1)):
                growth = log_growth(part[:, None], sizes[:, None], self.grid, sign)
                capital = self.capital[side] + growth.cumsum(axis=0)
                self.is_out[side] |= (capital >= self.limit).any(axis=0)
                self.capital[side] = capital[-1]
        return self.interval()

    def interval(self) -> Interval:
        """The last candidates that are out on either side."""
        below, above = self.is_out
        low = self.grid[below][-1] if below.any() else 0.0
        high = self.grid[above][0] if above.any() else 1.0
        mean = float(self.seen.total) / self.seen.n if self.seen.n else 0.5
        mean, low, high = (self.lowest + self.width * float(part) for part in (mean, low, high))
        return Interval(mean, low, high, self.confidence, self.seen.n, self.seen.n)


def bets(values: np.ndarray, seen: Moments, confidence: float) -> tuple[np.ndarray, Moments]:
    """Size of the bet before each value, from the values before it alone, and what is seen now.

    values  (..., T) from 0 to 1      returns  (..., T)
    """
    count = seen.n + np.arange(1, values.shape[-1] + 1)
    totals = seen.total[..., None] + values.cumsum(axis=-1)
    centres = (0.5 + totals) / (count + 1)
    squares = seen.squares[..., None] + ((values - centres) ** 2).cumsum(axis=-1)
    before = np.concatenate([seen.squares[..., None], squares[..., :-1]], axis=-1)
    variance = (0.25 + before) / count
    sizes = np.sqrt(-2 * log(tail_of(confidence)) / (variance * count * np.log1p(count)))
    return sizes, Moments(int(count[-1]), totals[..., -1], squares[..., -1])


def log_growth(
    values: np.ndarray, sizes: np.ndarray, means: np.ndarray | float, sign: int
) -> np.ndarray:
    """Log of the capital's growth with each value, betting that it is above (1) or below (-1)."""
    room = np.asarray(means if sign == 1 else 1 - means, dtype=np.float64)
    most = np.divide(STAKE, room, out=np.full_like(room, inf), where=room > 0)
    return np.log1p(sign * np.minimum(sizes, most) * (values - means))


def within(values: np.ndarray, lowest: float, highest: float) -> np.ndarray:
    """The values, if all lie in the range."""
    outside = (values < lowest) | (values > highest)
    if outside.any():
        where = int(np.argmax(outside))
        raise DataError(f"values[{where}] is {values[where]:g}, outside {lowest:g} to {highest:g}.")
    return values
