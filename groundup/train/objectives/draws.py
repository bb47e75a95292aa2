"""Chance as a pure function of a key: a step can be drawn again without the steps before it.

All comes from the raw stream of a counter-based generator, which numpy keeps for ever, while it
may change what its distributions make of the stream.
"""

import numpy as np
from jaxtyping import Float64, Int64

from groundup.core import digest


class Draws:
    """A stream of random numbers of its own for every key.

    >>> Draws("seed", 0).order(4).tolist() == Draws("seed", 0).order(4).tolist()
    True
    """

    def __init__(self, *key: int | str | list[int]) -> None:
        self.stream = np.random.Philox(key=int(digest(list(key)), 16) % 2**128)

    def uniform(self, count: int) -> Float64[np.ndarray, " count"]:
        """Numbers in [0, 1), with all 53 bits that a float has."""
        raw = np.atleast_1d(self.stream.random_raw(count))
        return (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def chance(self) -> float:
        """One number in [0, 1)."""
        return float(self.uniform(1)[0])

    def below(self, limit: int) -> int:
        """A whole number from 0 to limit - 1."""
        return int(self.chance() * limit)

    def rounded(self, number: float) -> int:
        """The whole number below or above, so that the mean is the number itself."""
        return int(number + self.chance())

    def order(self, count: int) -> Int64[np.ndarray, " count"]:
        """A permutation."""
        return np.argsort(self.uniform(count), kind="stable")

    def places(self, count: int, limit: int) -> Int64[np.ndarray, " count"]:
        """So many different places from 0 to limit - 1, in order."""
        return np.sort(self.order(limit)[:count])

    def parts(self, total: int, count: int) -> Int64[np.ndarray, " count"]:
        """A total cut into so many lengths of at least 1, every way equally likely.

        >>> int(Draws(1).parts(10, 3).sum())
        10
        """
        cuts = self.places(count - 1, total - 1) + 1
        return np.diff(np.concatenate([[0], cuts, [total]]))

    def weighted(self, weights: Float64[np.ndarray, " n"], count: int) -> Int64[np.ndarray, " m"]:
        """So many indices, each as likely as its weight."""
        bounds = np.cumsum(weights) / weights.sum()
        return np.searchsorted(bounds, self.uniform(count), side="right").clip(max=len(weights) - 1)
