"""Mixtures: how much of each source a model reads, and from which source any sequence is.

Weights come from the sources' sizes (temperature, or UniMax with its cap on epochs), from the
configuration, or from quality buckets. The source of a sequence follows from the weights alone, by
a cycle in which every prefix has each source's share to within one sequence; so workers, ranks and
resumed runs agree without communicating. Within a source the loader's permutation decides the
order. Knows nothing of tokens or models; numpy only.
"""

import heapq
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from pydantic import Field

from groundup.core import Config, ConfigError

FloatArrayLike = Sequence[float] | np.ndarray

CYCLE_LENGTH = 10_000
"""Sequences after which the order repeats: shares are exact to a hundredth of a percent."""


class MixtureConfig(Config):
    """Shares of sources, by size or as given."""

    weights: dict[str, float] = {}
    """Share by source, in any unit; overrides everything below."""
    temperature: float = Field(default=1.0, gt=0)
    """T of p ~ n^(1/T): 1 is the sources' own sizes, more favours small ones. Multilingual models
    take 1 to 5 [mBERT 1.43, mT5 3.3]."""
    max_epochs: float = Field(default=4.0, gt=0)
    """Largest number of passes over a source [up to 4 epochs repeated text is nearly as good as
    new: Muennighoff et al. 2023, arXiv:2305.16264]."""
    unimax: bool = False
    """As uniform as the cap on epochs allows [Chung et al. 2023, arXiv:2304.09151], instead of the
    temperature."""
    buckets: dict[str, float] = {}
    """Factor on the size of a source whose name ends in `/NAME`, such as high: 3, low: 0.3."""


class SequenceSource(NamedTuple):
    """The sources of sequences."""

    source: np.ndarray
    """Index of the source in the list of weights."""
    num_before: np.ndarray
    """Number of its sequences before this one."""


class SourceSchedule:
    """The source of any sequence: a function of the weights and the sequence's index alone.

    >>> turns = SourceSchedule([0.5, 0.3, 0.2])
    >>> turns.sources_at(range(10)).source.tolist()
    [0, 1, 0, 2, 0, 1, 0, 1, 0, 2]
    >>> turns.sources_at([10_000_000]).num_before.tolist()
    [5000000]
    """

    def __init__(self, weights: FloatArrayLike, length: int = CYCLE_LENGTH) -> None:
        self.counts = sequence_counts(weights, length)
        self.cycle = _interleave(self.counts)
        order = np.argsort(self.cycle, kind="stable")
        starts = np.cumsum(self.counts) - self.counts
        self.before_in_cycle = np.empty(length, np.int64)
        self.before_in_cycle[order] = np.arange(length) - np.repeat(starts, self.counts)

    def sources_at(self, rows: FloatArrayLike) -> SequenceSource:
        """Source of each sequence, by index, and how many of its sequences came before."""
        cycles, place = np.divmod(np.asarray(rows, np.int64), len(self.cycle))
        source = self.cycle[place]
        return SequenceSource(source, cycles * self.counts[source] + self.before_in_cycle[place])


def sequence_counts(weights: FloatArrayLike, length: int = CYCLE_LENGTH) -> np.ndarray:
    """Sequences of each source in a cycle: shares by largest remainder, at least one.

    >>> sequence_counts([2, 1, 1e-9], 10).tolist()
    [6, 3, 1]
    """
    shares = np.array(weights, np.float64)
    if shares.ndim != 1 or not len(shares) or not np.isfinite(shares).all() or shares.min() <= 0:
        raise ConfigError(f"A mixture needs finite weights above 0; got {list(weights)[:8]}.")
    if len(shares) > length:
        raise ConfigError(f"{len(shares):,} sources do not fit into a cycle of {length:,} rows.")
    exact = shares / shares.sum() * length
    counts = np.maximum(np.floor(exact).astype(np.int64), 1)
    while counts.sum() != length:
        step = int(np.sign(length - counts.sum()))
        counts[np.argmax(np.where(counts + step > 0, step * (exact - counts), -np.inf))] += step
    return counts


def _interleave(counts: np.ndarray) -> np.ndarray:
    """A cycle in which no prefix deviates from any share by a full sequence.

    Sequence j of a source with c of C may be at positions ⌊j·C/c⌋ to ⌈(j + 1)·C/c⌉ - 1; of those
    released, the one with the earliest deadline is next. That always succeeds.
    Source: Tijdeman 1980 (the chairman assignment problem); Baruah et al. 1996 (proportionate
    progress), whose windows and earliest deadline these are.
    """
    total = int(counts.sum())
    waiting = [
        (0, source) for source in range(len(counts))
    ]  # release position of its next sequence
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


def mixture_weights(
    config: MixtureConfig, sizes: Mapping[str, float], budget: float
) -> dict[str, float]:
    """Share of each source, summing to 1.

    sizes   tokens of each source
    budget  tokens that will be read

    Raises ConfigError for weights of other sources, or if the cap on epochs cannot be met.
    """
    if not sizes or min(sizes.values()) <= 0:
        raise ConfigError(f"A mixture needs sources with tokens; got {dict(sizes)}.")
    if config.weights:
        if sorted(config.weights) != sorted(sizes) or min(config.weights.values()) <= 0:
            raise ConfigError(
                f"weights={config.weights} must give each source ({', '.join(sizes)}) a share "
                "above 0."
            )
        raw = np.array([config.weights[name] for name in sizes])
    elif config.unimax:
        raw = np.ones(len(sizes))
    else:
        factors = [config.buckets.get(name.rpartition("/")[2], 1.0) for name in sizes]
        scaled = np.array(list(sizes.values())) * factors
        raw = (scaled / scaled.max()) ** (1 / config.temperature)
    caps = np.array(list(sizes.values())) * config.max_epochs
    shares = _cap_shares(raw / raw.sum(), caps / budget)
    return dict(zip(sizes, shares.tolist(), strict=True))


def _cap_shares(shares: np.ndarray, caps: np.ndarray) -> np.ndarray:
    """Shares below their caps; the excess goes to the other sources in proportion to their shares.

    >>> _cap_shares(np.array([0.5, 0.25, 0.25]), np.array([0.2, 1.0, 1.0])).tolist()
    [0.2, 0.4, 0.4]
    """
    if caps.sum() < 1 - 1e-12:
        raise ConfigError(
            f"With this max_epochs all sources together give {caps.sum():.0%} of the tokens to be "
            "read; raise it, or read fewer tokens."
        )
    fixed = np.zeros(len(shares), bool)
    result = shares.copy()
    while (over := (result > caps) & ~fixed).any():
        fixed |= over
        free = shares[~fixed].sum()
        result = np.where(fixed, caps, shares * (1 - caps[fixed].sum()) / (free or 1.0))
    return result / result.sum()
