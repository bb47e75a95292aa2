"""Tests: would a difference this large come from chance alone?

    mcnemar      two systems right or wrong on the same items
    sign_flip    two systems' scores on the same items, whole groups flipped together
    permutation  two sets of items, whole groups exchanged
    adjusted     p-values of many comparisons, so that the luckiest of them does not win

A p-value says nothing of how large a difference is: report the interval, and test where a yes or no
is needed. All tests are exact where the possible outcomes are few, and say so in `method`.
Source: Fay 2010 (mid-p), doi:10.1093/biostatistics/kxp050; Phipson and Smyth 2010 (a p-value of
drawn permutations is never 0), doi:10.2202/1544-6115.1585; Holm 1979; Benjamini and Hochberg 1995.
"""

from collections.abc import Iterator
from itertools import combinations
from math import comb, exp
from typing import Literal, NamedTuple, get_args

import numpy as np

from groundup.core import DataError, Reason, choice

from .distribution import binomial_below, log_binomial
from .grouping import Groups, Values, column, group_sums
from .interval import DRAWS_AT_ONCE, check_draws

EXACT = 20_000
"""Enumerate when there are at most so many outcomes."""
REPEATS = 10_000
ROUNDING = 1e-9

Method = Literal["exact", "mid-p"]
Alternative = Literal["two-sided", "greater", "less"]
Adjustment = Literal["bonferroni", "holm", "benjamini-hochberg"]


class Significance(NamedTuple):
    """The outcome of a test."""

    p: float
    """Probability of a difference at least this large if there is none."""
    difference: float
    """What was tested: the mean of a less the mean of b."""
    n: int
    """Number of values."""
    method: str
    """How p was computed: `mcnemar|exact`, `sign_flip|10000 draws`."""

    def __str__(self) -> str:
        """The difference and its p-value: `0.04, p = 0.0213 (mcnemar|mid-p)`."""
        return f"{self.difference:.4g}, p = {self.p:.3g} ({self.method})"


def mcnemar(a: Values, b: Values, *, method: Method = "mid-p") -> Significance | Reason:
    """Test whether two systems are right equally often on the same items, two-sided.

    Only the items on which they differ count. Mid-p counts the observed outcome half: nearer to
    the stated level than the exact test, which is never above it. Items are taken as independent;
    use sign_flip for grouped ones. Reason `no_difference` where the two agree on every item.

    >>> print(mcnemar([1] * 12 + [0] * 8, [1] * 5 + [0] * 14 + [1], method="exact"))
    0.3, p = 0.0703 (mcnemar|exact)
    """
    choice("method", method, get_args(Method))
    left, right = column("a", a, len(a)), column("b", b, len(a))
    if not len(left):
        raise DataError("McNemar's test needs items; got none.")
    if not (np.isin(left, (0, 1)).all() and np.isin(right, (0, 1)).all()):
        raise DataError("McNemar's test needs values that are 0 or 1; use sign_flip for others.")
    gained, lost = int((left > right).sum()), int((left < right).sum())
    if not gained + lost:
        return Reason("no_difference", f"Both agree on all {len(left)} items: nothing to test.")
    fewer, both = min(gained, lost), gained + lost
    p = 2 * binomial_below(fewer, both)
    if method == "mid-p":
        p -= exp(log_binomial(fewer, both))
    return Significance(min(1.0, p), (gained - lost) / len(left), len(left), f"mcnemar|{method}")


def sign_flip(
    a: Values, b: Values, groups: Groups = None, *, alternative: Alternative = "two-sided",
    repeats: int = REPEATS, seed: int = 0,
) -> Significance | Reason:  # fmt: skip
    """Test whether two systems score alike on the same items, by swapping them group by group.

    Exact where 2^groups is at most 20,000. Reason `no_difference` where all differences are 0.

    >>> print(sign_flip([3.0, 4.0, 6.0, 7.0, 9.0], [2.0, 2.0, 3.0, 3.0, 4.0]))
    3, p = 0.0625 (sign_flip|exact)
    """
    choice("alternative", alternative, get_args(Alternative))
    check_draws(repeats, seed)
    left, right = column("a", a, len(a)), column("b", b, len(a))
    sums, _ = group_sums(left - right, groups, np.ones(len(left)))
    if not sums.any():
        return Reason("no_difference", f"All {len(left)} differences are 0: nothing to test.")
    number, is_exact = len(sums), 2 ** len(sums) <= EXACT
    if is_exact:
        bits = np.arange(2**number)[:, None] >> np.arange(number) & 1
        found = sums.sum() - 2 * (bits @ sums)
    else:
        found = sums.sum() - 2 * np.concatenate(list(halves(sums, repeats, seed)))
    p = share_beyond(found, float(sums.sum()), alternative, is_exact, float(np.abs(sums).sum()))
    told = "exact" if is_exact else f"{repeats} draws"
    return Significance(p, float(sums.sum() / len(left)), len(left), f"sign_flip|{told}")


def halves(sums: np.ndarray, repeats: int, seed: int) -> Iterator[np.ndarray]:
    """Yield the total of each drawn half of the sums, so many draws that memory stays small."""
    random, width = np.random.default_rng(seed), -(-len(sums) // 8)
    rows = max(1, DRAWS_AT_ONCE // len(sums))
    for start in range(0, repeats, rows):
        drawn = random.integers(256, size=(min(rows, repeats - start), width), dtype=np.uint8)
        yield np.unpackbits(drawn, axis=1, count=len(sums)) @ sums


def permutation(
    a: Values, b: Values, groups_a: Groups = None, groups_b: Groups = None, *,
    alternative: Alternative = "two-sided", repeats: int = REPEATS, seed: int = 0,
) -> Significance | Reason:  # fmt: skip
    """Test whether two different sets of items have the same mean, by dealing the groups anew.

    Exact where there are at most 20,000 ways to deal them. Reason `no_difference` where all values
    are equal.

    >>> print(permutation([5.0, 6.0, 7.0], [1.0, 2.0, 3.0]))
    4, p = 0.1 (permutation|exact)
    """
    choice("alternative", alternative, get_args(Alternative))
    check_draws(repeats, seed)
    left, right = group_sums(a, groups_a, np.ones(len(a))), group_sums(b, groups_b, np.ones(len(b)))
    sums, sizes = (np.concatenate(pair) for pair in zip(left, right, strict=True))
    if len({*np.asarray(a, float).tolist(), *np.asarray(b, float).tolist()}) == 1:
        return Reason("no_difference", "All values are equal: nothing to test.")
    number, first = len(sums), len(left[0])
    is_exact = comb(number, first) <= EXACT
    if is_exact:
        chosen = np.array(list(combinations(range(number), first)))
        taken, size = sums[chosen].sum(axis=1), sizes[chosen].sum(axis=1)
    else:
        random, both = np.random.default_rng(seed), np.stack([sums, sizes], axis=1)
        dealt = (both[random.permutation(number)[:first]].sum(axis=0) for _ in range(repeats))
        taken, size = np.array(list(dealt)).T
    found = taken / size - (sums.sum() - taken) / (sizes.sum() - size)
    seen = float(left[0].sum() / left[1].sum() - right[0].sum() / right[1].sum())
    p = share_beyond(found, seen, alternative, is_exact, float(np.abs(found).max()))
    told = "exact" if is_exact else f"{repeats} draws"
    return Significance(p, seen, len(a) + len(b), f"permutation|{told}")


def share_beyond(
    found: np.ndarray, seen: float, alternative: Alternative, is_exact: bool, scale: float
) -> float:
    """Share of the outcomes at least as extreme as the one seen; drawn ones count it as one more.

    Two-sided p-values are twice the smaller tail, so that a skewed distribution errs on no side.
    """
    slack = ROUNDING * scale
    above, below = int((found >= seen - slack).sum()), int((found <= seen + slack).sum())
    total = len(found) + (not is_exact)
    greater, less = ((count + (not is_exact)) / total for count in (above, below))
    if alternative == "two-sided":
        return min(1.0, 2 * min(greater, less))
    return greater if alternative == "greater" else less


def adjusted(p_values: Values, method: Adjustment = "holm") -> list[float]:
    """P-values that may be held against one level although many comparisons were made.

    `bonferroni` and `holm` keep the chance of any false finding (Holm's is never larger: prefer
    it); `benjamini-hochberg` keeps the expected share of false ones among the findings.

    >>> [round(p, 3) for p in adjusted([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    >>> [round(p, 3) for p in adjusted([0.01, 0.04, 0.03], "benjamini-hochberg")]
    [0.03, 0.04, 0.04]
    """
    choice("method", method, get_args(Adjustment))
    p = column("p_values", p_values, len(p_values))
    number = len(p)
    if not number or p.min() < 0 or p.max() > 1:
        raise DataError("Expected p-values between 0 and 1; got none or others.")
    order = np.argsort(p, kind="stable")
    ranks, found = np.arange(1, number + 1), np.empty(number)
    if method == "bonferroni":
        return np.minimum(1, p * number).tolist()
    if method == "holm":
        found[order] = np.maximum.accumulate(p[order] * (number - ranks + 1))
    else:
        found[order] = np.minimum.accumulate((p[order] * number / ranks)[::-1])[::-1]
    return np.minimum(1, found).tolist()
