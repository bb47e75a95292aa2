"""Keyed random numbers: a step can be drawn again without the steps before it.

Everything derives from the raw stream of a counter-based generator (Philox), which numpy keeps
stable, while its distributions may change between versions.
"""

import numpy as np
from jaxtyping import Float64, Int64

from groundup.core import digest


class KeyedRandom:
    """A random number stream for each key.

    >>> first, second = (KeyedRandom("seed", 0).permutation(4).tolist() for _ in range(2))
    >>> first == second
    True
    """

    def __init__(self, *key: int | str | list[int]) -> None:
        self.stream = np.random.Philox(key=int(digest(list(key)), 16) % 2**128)

    def uniform(self, count: int) -> Float64[np.ndarray, " count"]:
        """Numbers in [0, 1), with all 53 bits of a float's mantissa."""
        raw = np.atleast_1d(self.stream.random_raw(count))
        return (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def uniform_scalar(self) -> float:
        """One number in [0, 1)."""
        return float(self.uniform(1)[0])

    def random_integer(self, limit: int) -> int:
        """An integer from 0 to limit - 1."""
        return int(self.uniform_scalar() * limit)

    def round_stochastically(self, number: float) -> int:
        """Stochastic rounding: the mean is the number itself."""
        return int(number + self.uniform_scalar())

    def permutation(self, count: int) -> Int64[np.ndarray, " count"]:
        """A permutation."""
        return np.argsort(self.uniform(count), kind="stable")

    def sorted_sample(self, count: int, limit: int) -> Int64[np.ndarray, " count"]:
        """`count` distinct integers from 0 to limit - 1, sorted."""
        return np.sort(self.permutation(limit)[:count])

    def random_composition(self, total: int, count: int) -> Int64[np.ndarray, " count"]:
        """A random composition of `total` into `count` lengths of at least 1, uniformly.

        >>> int(KeyedRandom(1).random_composition(10, 3).sum())
        10
        """
        cuts = self.sorted_sample(count - 1, total - 1) + 1
        return np.diff(np.concatenate([[0], cuts, [total]]))

    def weighted_choice(
        self, weights: Float64[np.ndarray, " n"], count: int
    ) -> Int64[np.ndarray, " m"]:
        """Sample `count` indices with replacement, in proportion to the weights."""
        bounds = np.cumsum(weights) / weights.sum()
        return np.searchsorted(bounds, self.uniform(count), side="right").clip(max=len(weights) - 1)
