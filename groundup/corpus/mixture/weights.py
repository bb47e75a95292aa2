"""Mixtures: how much of each source a model reads, and whose turn it is at any row.

Weights come from the sources' sizes (temperature, or UniMax with its cap on epochs), from the
configuration, or from quality buckets. Whose turn a row is follows from the weights alone, by a
cycle in which every prefix holds every source's share to within one row; so workers, ranks and
resumed runs agree without communicating. Within a source the loader's own permutation decides.
Knows nothing of tokens or models; numpy only.
"""

import heapq
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from pydantic import Field

from groundup.core import Config, ConfigError

Numbers = Sequence[float] | np.ndarray

CYCLE = 10_000
"""Rows after which turns repeat: shares are met to a hundredth of a percent."""


class MixtureConfig(Config):
    """Shares of sources by their sizes, or as given."""

    weights: dict[str, float] = {}
    """Share by source, in any unit; given ones win over everything below."""
    temperature: float = Field(default=1.0, gt=0)
    """T of p ~ n^(1/T): 1 is the sources' own sizes, more favours small ones. Multilingual models
    take 1 to 5 [mBERT 1.43, mT5 3.3]."""
    max_epochs: float = Field(default=4.0, gt=0)
    """How often a source may be read at most [up to 4 epochs repeated text is nearly as good as
    new: Muennighoff et al. 2023, arXiv:2305.16264]."""
    unimax: bool = False
    """As even as the cap on epochs allows [Chung et al. 2023, arXiv:2304.09151], in place of the
    temperature."""
    buckets: dict[str, float] = {}
    """Factor on the size of a source whose name ends in `/NAME`, such as high: 3, low: 0.3."""


class Turn(NamedTuple):
    """Whose turn rows are."""

    source: np.ndarray
    """Place of the source in the list of weights."""
    before: np.ndarray
    """How many rows of it came before, since row 0."""


class Turns:
    """Whose turn any row is: a function of the weights and the row's number alone.

    >>> turns = Turns([0.5, 0.3, 0.2])
    >>> turns.at(range(10)).source.tolist()
    [0, 1, 0, 2, 0, 1, 0, 1, 0, 2]
    >>> turns.at([10_000_000]).before.tolist()
    [5000000]
    """

    def __init__(self, weights: Numbers, length: int = CYCLE) -> None:
        self.counts = row_counts(weights, length)
        self.cycle = interleaved(self.counts)
        order = np.argsort(self.cycle, kind="stable")
        starts = np.cumsum(self.counts) - self.counts
        self.earlier = np.empty(length, np.int64)
        self.earlier[order] = np.arange(length) - np.repeat(starts, self.counts)

    def at(self, rows: Numbers) -> Turn:
        """Source of each row, counted from 0, and how many of its rows came before."""
        cycles, place = np.divmod(np.asarray(rows, np.int64), len(self.cycle))
        source = self.cycle[place]
        return Turn(source, cycles * self.counts[source] + self.earlier[place])


def row_counts(weights: Numbers, length: int = CYCLE) -> np.ndarray:
    """Rows of each source in a cycle: the shares by largest remainder, one row at least.

    >>> row_counts([2, 1, 1e-9], 10).tolist()
    [6, 3, 1]
    """
    given = np.array(weights, np.float64)
    if given.ndim != 1 or not len(given) or not np.isfinite(given).all() or given.min() <= 0:
        raise ConfigError(f"A mixture needs finite weights above 0; got {list(weights)[:8]}.")
    if len(given) > length:
        raise ConfigError(f"{len(given):,} sources do not fit into a cycle of {length:,} rows.")
    exact = given / given.sum() * length
    counts = np.maximum(np.floor(exact).astype(np.int64), 1)
    while counts.sum() != length:
        step = int(np.sign(length - counts.sum()))
        counts[np.argmax(np.where(counts + step > 0, step * (exact - counts), -np.inf))] += step
    return counts


def interleaved(counts: np.ndarray) -> np.ndarray:
    """A cycle with so many rows of each source that no prefix is a whole row off any share.

    Row j of a source with c of C rows may stand from place ⌊j·C/c⌋ to before ⌈(j + 1)·C/c⌉; of all
    that may, the one that must soonest is next. That always succeeds.
    Source: Tijdeman 1980 (the chairman assignment problem); Baruah et al. 1996 (proportionate
    progress), whose windows and earliest deadline these are.
    """
    total = int(counts.sum())
    waiting = [(0, source) for source in range(len(counts))]  # place from which its next row may be
    heapq.heapify(waiting)
    ready: list[tuple[int, int]] = []
    drawn, cycle = [0] * len(counts), np.empty(total, np.int64)
    sizes = counts.tolist()
    for place in range(total):
        while waiting and waiting[0][0] <= place:
            source = heapq.heappop(waiting)[1]
            heapq.heappush(ready, (-(-(drawn[source] + 1) * total // sizes[source]), source))
        source = heapq.heappop(ready)[1]
        cycle[place] = source
        drawn[source] += 1
        if drawn[source] < sizes[source]:
            heapq.heappush(waiting, (drawn[source] * total // sizes[source], source))
    return cycle


def weights_of(
    config: MixtureConfig, sizes: Mapping[str, float], budget: float
) -> dict[str, float]:
    """Share of each source, summing to 1.

    sizes   tokens of each source
    budget  tokens that will be read

    Raises ConfigError for weights that name other sources, or if the cap on epochs cannot hold.
    """
    if not sizes or min(sizes.values()) <= 0:
        raise ConfigError(f"A mixture needs sources with tokens; got {dict(sizes)}.")
    if config.weights:
        if sorted(config.weights) != sorted(sizes) or min(config.weights.values()) <= 0:
            raise ConfigError(
                f"weights={config.weights} must give each source ({', '.join(sizes)}) a share "
                "above 0."
            )
        wanted = np.array([config.weights[name] for name in sizes])
    elif config.unimax:
        wanted = np.ones(len(sizes))
    else:
        factors = [config.buckets.get(name.rpartition("/")[2], 1.0) for name in sizes]
        own = np.array(list(sizes.values())) * factors
        wanted = (own / own.max()) ** (1 / config.temperature)
    most = np.array(list(sizes.values())) * config.max_epochs
    shares = capped(wanted / wanted.sum(), most / budget)
    return dict(zip(sizes, shares.tolist(), strict=True))


def capped(shares: np.ndarray, most: np.ndarray) -> np.ndarray:
    """Shares of which none is above its cap; what is cut goes to the others, by their shares.

    >>> capped(np.array([0.5, 0.25, 0.25]), np.array([0.2, 1.0, 1.0])).tolist()
    [0.2, 0.4, 0.4]
    """
    if most.sum() < 1 - 1e-12:
        raise ConfigError(
            f"With this cap on epochs all sources together give {most.sum():.0%} of the tokens to "
            "be read; raise max_epochs, or read fewer."
        )
    fixed = np.zeros(len(shares), bool)
    found = shares.copy()
    while (over := (found > most) & ~fixed).any():
        fixed |= over
        free = shares[~fixed].sum()
        found = np.where(fixed, most, shares * (1 - most[fixed].sum()) / (free or 1.0))
    return found / found.sum()
