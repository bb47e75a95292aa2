"""Significance tests: would a difference this large arise by chance?

    mcnemar_test      two systems right or wrong on the same items
    sign_flip_test    two systems' scores on the same items, groups flipped together
    permutation_test  two sets of items, groups exchanged
    adjust_p_values   corrects p-values for multiple comparisons

A p-value does not tell how large a difference is: report the interval, and test where a yes or no
is needed. All tests are exact if there are few possible outcomes, as stated in `method`.
Source: Fay 2010 (mid-p), doi:10.1093/biostatistics/kxp050; Phipson and Smyth 2010 (a p-value of
drawn permutations is never 0), doi:10.2202/1544-6115.1585; Holm 1979; Benjamini and Hochberg 1995.
"""

from collections.abc import Iterator
from itertools import combinations
from math import comb, exp
from typing import Literal, NamedTuple, get_args

import numpy as np

from groundup.core import DataError, Reason, check_choice

from .distribution import binomial_below, log_binomial
from .grouping import Groups, Values, as_float_column, group_sums
from .interval import DRAWS_AT_ONCE, check_resampling

MAX_EXACT_OUTCOMES = 20_000
"""Maximum number of outcomes to enumerate."""
REPEATS = 10_000
ROUNDING = 1e-9

Method = Literal["exact", "mid-p"]
Alternative = Literal["two-sided", "greater", "less"]
Adjustment = Literal["bonferroni", "holm", "benjamini-hochberg"]


class Significance(NamedTuple):
    """The outcome of a test."""

    p: float
    """Probability of a difference at least this large under the null hypothesis."""
    difference: float
    """Tested difference: mean of a minus mean of b."""
    n: int
    """Number of values."""
    method: str
    """How p was computed: `mcnemar|exact`, `sign_flip|10000 draws`."""

    def __str__(self) -> str:
        """The difference and its p-value: `0.04, p = 0.0213 (mcnemar|mid-p)`."""
        return f"{self.difference:.4g}, p = {self.p:.3g} ({self.method})"


def mcnemar_test(a: Values, b: Values, *, method: Method = "mid-p") -> Significance | Reason:
    """Test whether two systems are right equally often on the same items, two-sided.

    Only discordant items count. Mid-p counts the observed outcome half and is closer to the nominal
    level than the exact test, which is conservative. Assumes independent items; use
    sign_flip_test for grouped ones. Reason `no_difference` if both agree on every item.

    >>> print(mcnemar_test([1] * 12 + [0] * 8, [1] * 5 + [0] * 14 + [1], method="exact"))
    0.3, p = 0.0703 (mcnemar|exact)
    """
    check_choice("method", method, get_args(Method))
    left, right = as_float_column("a", a, len(a)), as_float_column("b", b, len(a))
    if not len(left):
        raise DataError("McNemar's test needs items; got none.")
    if not (np.isin(left, (0, 1)).all() and np.isin(right, (0, 1)).all()):
        raise DataError("McNemar's test needs values of 0 or 1; use sign_flip_test for others.")
    gained, lost = int((left > right).sum()), int((left < right).sum())
    if not gained + lost:
        return Reason("no_difference", f"Both agree on all {len(left)} items: nothing to test.")
    fewer, both = min(gained, lost), gained + lost
    p = 2 * binomial_below(fewer, both)
    if method == "mid-p":
        p -= exp(log_binomial(fewer, both))
    return Significance(min(1.0, p), (gained - lost) / len(left), len(left), f"mcnemar|{method}")


def sign_flip_test(
    a: Values, b: Values, groups: Groups = None, *, alternative: Alternative = "two-sided",
    repeats: int = REPEATS, seed: int = 0,
) -> Significance | Reason:  # fmt: skip
    """Test whether two systems score equally on the same items, by sign flips per group.

    Exact if 2^groups is at most 20,000. Reason `no_difference` if all differences are 0.

    >>> print(sign_flip_test([3.0, 4.0, 6.0, 7.0, 9.0], [2.0, 2.0, 3.0, 3.0, 4.0]))
    3, p = 0.0625 (sign_flip|exact)
    """
    check_choice("alternative", alternative, get_args(Alternative))
    check_resampling(repeats, seed)
    left, right = as_float_column("a", a, len(a)), as_float_column("b", b, len(a))
    sums, _ = group_sums(left - right, groups, np.ones(len(left)))
    if not sums.any():
        return Reason("no_difference", f"All {len(left)} differences are 0: nothing to test.")
    number, is_exact = len(sums), 2 ** len(sums) <= MAX_EXACT_OUTCOMES
    if is_exact:
        bits = np.arange(2**number)[:, None] >> np.arange(number) & 1
        null = sums.sum() - 2 * (bits @ sums)
    else:
        null = sums.sum() - 2 * np.concatenate(list(_random_subset_sums(sums, repeats, seed)))
    p = _p_value(null, float(sums.sum()), alternative, is_exact, float(np.abs(sums).sum()))
    method = "exact" if is_exact else f"{repeats} draws"
    return Significance(p, float(sums.sum() / len(left)), len(left), f"sign_flip|{method}")


def _random_subset_sums(sums: np.ndarray, repeats: int, seed: int) -> Iterator[np.ndarray]:
    random, width = np.random.default_rng(seed), -(-len(sums) // 8)
    rows = max(1, DRAWS_AT_ONCE // len(sums))
    for start in range(0, repeats, rows):
        drawn = random.integers(256, size=(min(rows, repeats - start), width), dtype=np.uint8)
        yield np.unpackbits(drawn, axis=1, count=len(sums)) @ sums


def permutation_test(
    a: Values, b: Values, groups_a: Groups = None, groups_b: Groups = None, *,
    alternative: Alternative = "two-sided", repeats: int = REPEATS, seed: int = 0,
) -> Significance | Reason:  # fmt: skip
    """Test whether two different sets of items have the same mean, by permuting the groups.

    Exact if there are at most 20,000 permutations. Reason `no_difference` if all values are equal.

    >>> print(permutation_test([5.0, 6.0, 7.0], [1.0, 2.0, 3.0]))
    4, p = 0.1 (permutation|exact)
    """
    check_choice("alternative", alternative, get_args(Alternative))
    check_resampling(repeats, seed)
    left, right = group_sums(a, groups_a, np.ones(len(a))), group_sums(b, groups_b, np.ones(len(b)))
    sums, sizes = (np.concatenate(pair) for pair in zip(left, right, strict=True))
    if len({*np.asarray(a, float).tolist(), *np.asarray(b, float).tolist()}) == 1:
        return Reason("no_difference", "All values are equal: nothing to test.")
    number, first = len(sums), len(left[0])
    is_exact = comb(number, first) <= MAX_EXACT_OUTCOMES
    if is_exact:
        chosen = np.array(list(combinations(range(number), first)))
        total, size = sums[chosen].sum(axis=1), sizes[chosen].sum(axis=1)
    else:
        random, both = np.random.default_rng(seed), np.stack([sums, sizes], axis=1)
        draws = (both[random.permutation(number)[:first]].sum(axis=0) for _ in range(repeats))
        total, size = np.array(list(draws)).T
    null = total / size - (sums.sum() - total) / (sizes.sum() - size)
    seen = float(left[0].sum() / left[1].sum() - right[0].sum() / right[1].sum())
    p = _p_value(null, seen, alternative, is_exact, float(np.abs(null).max()))
    method = "exact" if is_exact else f"{repeats} draws"
    return Significance(p, seen, len(a) + len(b), f"permutation|{method}")


def _p_value(
    null: np.ndarray, observed: float, alternative: Alternative, is_exact: bool, scale: float
) -> float:
    """P-value: share of null outcomes at least as extreme; for random draws plus the observed one.

    Two-sided p-values are twice the smaller tail, which is fair to skewed distributions.
    """
    slack = ROUNDING * scale
    above, below = int((null >= observed - slack).sum()), int((null <= observed + slack).sum())
    total = len(null) + (not is_exact)
    greater, less = ((count + (not is_exact)) / total for count in (above, below))
    if alternative == "two-sided":
        return min(1.0, 2 * min(greater, less))
    return greater if alternative == "greater" else less


def adjust_p_values(p_values: Values, method: Adjustment = "holm") -> list[float]:
    """P-values adjusted for multiple comparisons.

    `bonferroni` and `holm` control the family-wise error rate (prefer Holm's, which is more
    powerful); `benjamini-hochberg` controls the false discovery rate.

    >>> [round(p, 3) for p in adjust_p_values([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    >>> [round(p, 3) for p in adjust_p_values([0.01, 0.04, 0.03], "benjamini-hochberg")]
    [0.03, 0.04, 0.04]
    """
    check_choice("method", method, get_args(Adjustment))
    p = as_float_column("p_values", p_values, len(p_values))
    number = len(p)
    if not number or p.min() < 0 or p.max() > 1:
        raise DataError("Expected p-values between 0 and 1; got none or others.")
    order = np.argsort(p, kind="stable")
    ranks, result = np.arange(1, number + 1), np.empty(number)
    if method == "bonferroni":
        return np.minimum(1, p * number).tolist()
    if method == "holm":
        result[order] = np.maximum.accumulate(p[order] * (number - ranks + 1))
    else:
        result[order] = np.minimum.accumulate((p[order] * number / ranks)[::-1])[::-1]
    return np.minimum(1, result).tolist()
