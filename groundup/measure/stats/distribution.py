"""Tail probabilities and quantiles for tests and intervals, without scipy.

A tail is P(X > x); a quantile is the value with the given tail above it. Both keep their relative
precision far out, where 1 - p would be 0: gates need tails of 1e-20.
Source: Abramowitz and Stegun 1964, 26.4 and 26.7; Press et al. 2007, Numerical Recipes, 6.4.
"""

from collections.abc import Callable
from functools import lru_cache
from math import erfc, exp, inf, lgamma, log, log1p, sqrt
from statistics import NormalDist

from groundup.core import ConfigError

TINY = 1e-300
STEPS = 200


def two_sided_tail(confidence: float) -> float:
    """Probability outside a two-sided interval at each end: 0.025 for 0.95."""
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence={confidence} must lie between 0 and 1, such as 0.95.")
    return (1 - confidence) / 2


def z_value(confidence: float) -> float:
    """Two-sided normal quantile: 1.96 for 0.95."""
    return normal_quantile(two_sided_tail(confidence))


def normal_tail(z: float) -> float:
    """P(Z > z).

    >>> round(normal_tail(1.959964), 6)
    0.025
    """
    return erfc(z / sqrt(2)) / 2


def normal_quantile(tail: float) -> float:
    """The z with this tail above it."""
    return -NormalDist().inv_cdf(tail)


def _student_tail(t: float, degrees: float) -> float:
    """P(T > t) of Student's distribution.

    >>> round(_student_tail(2.776445, 4), 6)
    0.025
    """
    share = beta_tail(degrees / 2, 0.5, degrees / (degrees + t * t)) / 2
    return share if t >= 0 else 1 - share


@lru_cache(maxsize=4096)
def student_quantile(tail: float, degrees: float) -> float:
    """The t with this tail above it, for a tail of at most a half; with inf degrees the normal z.

    >>> round(student_quantile(0.025, 4), 4), round(student_quantile(0.025, 10**6), 4)
    (2.7764, 1.96)
    """
    if degrees == inf:
        return normal_quantile(tail)
    return solve_decreasing(lambda t: _student_tail(t, degrees), tail)


def chi_square_tail(x: float, degrees: int) -> float:
    """P(X > x) of a chi-square distribution; with 0 degrees X is always 0.

    >>> round(chi_square_tail(3.841459, 1), 6), round(chi_square_tail(18.307038, 10), 6)
    (0.05, 0.05)
    """
    if x <= 0:
        return 1.0 if degrees else 0.0
    tail = erfc(sqrt(x / 2)) if degrees % 2 else 0.0
    for half in range(degrees % 2, degrees, 2):
        tail += exp(half / 2 * (log(x) - log(2)) - x / 2 - lgamma(half / 2 + 1))
    return tail


def binomial_below(k: int, n: int, share: float = 0.5) -> float:
    """P(X <= k) of n trials, each a success with probability `share`.

    >>> round(binomial_below(1, 4), 6)
    0.3125
    """
    if k < 0 or k >= n:
        return float(k >= n)
    return beta_tail(n - k, k + 1, 1 - share)


def log_binomial(k: int, n: int, share: float = 0.5) -> float:
    """log P(X = k) of n trials, for a share between 0 and 1, both excluded."""
    ways = lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
    return ways + k * log(share) + (n - k) * log1p(-share)


def beta_tail(a: float, b: float, x: float) -> float:
    """P(X < x) of a beta(a, b) distribution: the regularised incomplete beta function.

    >>> round(beta_tail(2, 3, 0.5), 6)
    0.6875
    """
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_tail(b, a, 1 - x)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x)) / a
    # Lentz's evaluation of the continued fraction; it converges fast on this side of the mean.
    c, d, product = 1.0, 1 / (1 - (a + b) * x / (a + 1) or TINY), 1.0
    product = d
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        before = product
        for term in (even, odd):
            d = 1 / (1 + term * d or TINY)
            c = 1 + term / c or TINY
            product *= c * d
        if abs(product - before) <= 1e-15 * abs(product):
            break
    return front * product


def solve_decreasing(function: Callable[[float], float], target: float, high: float = 1.0) -> float:
    """Solve function(x) = target for a decreasing function of x >= 0; inf if there is no x."""
    low = 0.0
    while function(high) > target:
        low, high = high, high * 2
        if high > TINY**-0.5:
            return inf
    for _ in range(STEPS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if function(middle) > target else (low, middle)
    return high
