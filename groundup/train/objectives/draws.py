"""Keyed random numbers: a step can be drawn again without the steps before it.

Everything derives from the raw stream of a counter-based generator (Philox), which numpy keeps
stable, while its distributions may change between versions.
"""

import numpy as np
from jaxtyping import Float64, Int64

from groundup.core import digest


class Draws:
    """A random number stream for each key.

    >>> Draws("seed", 0).order(4).tolist() == Draws("seed", 0).order(4).tolist()
    True
    """

    def __init__(self, *key: int | str | list[int]) -> None:
        self.stream = np.random.Philox(key=int(digest(list(key)), 16) % 2**128)

    def uniform(self, count: int) -> Float64[np.ndarray, " count"]:
        """Numbers in [0, 1), with all 53 bits of a float's mantissa."""
        raw = np.atleast_1d(self.stream.random_raw(count))
        return (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def chance(self) -> float:
        """One number in [0, 1)."""
        return float(self.uniform(1)[0])

    def below(self, limit: int) -> int:
        """An integer from 0 to limit - 1."""
        return int(self.chance() * limit)

    def rounded(self, number: float) -> int:
        """Stochastic rounding: the mean is the number itself."""
        return int(number + self.chance())

    def order(self, count: int) -> Int64[np.ndarray, " count"]:
        """A permutation."""
        return np.argsort(self.uniform(count), kind="stable")

    def places(self, count: int, limit: int) -> Int64[np.ndarray, " count"]:
        """`count` distinct integers from 0 to limit - 1, sorted."""
        return np.sort(self.order(limit)[:count])

    def parts(self, total: int, count: int) -> Int64[np.ndarray, " count"]:
        """A random composition of `total` into `count` lengths of at least 1, uniformly.

        >>> int(Draws(1).parts(10, 3).sum())
        10
        """
        cuts = self.places(count - 1, total - 1) + 1
        return np.diff(np.concatenate([[0], cuts, [total]]))

    def weighted(self, weights: Float64[np.ndarray, " n"], count: int) -> Int64[np.ndarray, " m"]:
        """Sample `count` indices with replacement, in proportion to the weights."""
        bounds = np.cumsum(weights) / weights.sum()
        return np.searchsorted(bounds, self.uniform(count), side="right").clip(max=len(weights) - 1)
