"""Mixtures: how much of each source a model reads, and from which source any sequence is.

Weights come from the sources' sizes (temperature, or UniMax with its cap on epochs), from the
configuration, or from quality buckets. The source of a sequence follows from the weights alone, by
a cycle in which every prefix has each source's share to within one sequence; so workers, ranks and
resumed runs agree without communicating. Within a source the loader's permutation decides the
order. Knows nothing of tokens or models; numpy only.
"""

import hashlib
import heapq
import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field

from groundup.core import Config, ConfigError
from groundup.documents import Record, Segment, SourceMap, TextSpan, record_id

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


def make_derived(
    parent: Record,
    text: str,
    method: str,
    number: int = 0,
    *,
    spans: tuple[TextSpan, ...] = (),
    metadata: dict[str, Any] | None = None,
) -> Record:
    """A record of derived text, all of which maps to all of the parent's bytes.

    It inherits the parent's metadata, its licence above all.

    >>> plain = Record("1", "s", "a.txt", "text", "one", SourceMap.identity("one"))
    >>> made = make_derived(plain, "two", "paraphrase")
    >>> made.path, made.metadata, made.map.byte_range(0, 1)
    ('a.txt#paraphrase-0', {'synthetic': 'paraphrase', 'parent': '1'}, (0, 3))
    """
    path = f"{parent.path}#{method}-{number}"
    first, last = parent.map.byte_range(0, len(parent.map.text))
    line = parent.map.line(0)
    segments = (Segment(0, len(text), first, last, line, False),) if text else ()
    own = {name: value for name, value in parent.metadata.items() if name != "aside"}
    own |= (metadata or {}) | {"synthetic": method, "parent": parent.id}
    return Record(
        record_id(parent.source, path), parent.source, path, parent.kind, text,
        SourceMap(text, segments), spans, own,
    )  # fmt: skip


class FillInTheMiddleConfig(Config):
    """How middles are moved (fill-in-the-middle)."""

    rate: float = Field(default=0.5, ge=0, le=1)
    """Share of records that get such a derivation [Bavarian et al. 2022]."""
    suffix_first: float = Field(default=0.5, ge=0, le=1)
    """Share of them in the order suffix, prefix, middle (SPM) [Bavarian et al. 2022]."""
    marks: tuple[str, str, str] = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
    """Sentinels before prefix, suffix and middle, as in the trainer's tokenizer [StarCoder 2's are
    <fim_prefix> …]."""
    min_characters: int = Field(default=100, ge=3)
    """Shortest text. Own choice."""
    seed: int = 0
    """Seed of the choice of records and cuts."""


class FillInTheMiddle:
    """The derivation `augment.fim`."""

    def __init__(self, config: FillInTheMiddleConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> list[Record]:
        """One record or none; none for a text that contains a sentinel."""
        config, text = self.config, record.text
        # Seeded by the record, so that results do not depend on workers or order.
        key = f"{config.seed}\0fim\0{record.id}".encode()
        digest = hashlib.blake2b(key, digest_size=8).digest()
        random_source = random.Random(int.from_bytes(digest, "little"))
        has_mark = any(mark in text for mark in config.marks)
        if len(text) < config.min_characters or random_source.random() >= config.rate or has_mark:
            return []
        low, high = sorted(random_source.randrange(len(text) + 1) for _ in range(2))
        is_spm = random_source.random() < config.suffix_first
        moved_text = _move_middle(text, low, high, config.marks, is_spm)
        metadata = {"fim": "spm" if is_spm else "psm", "middle": [low, high]}
        return [make_derived(record, moved_text, "fim", metadata=metadata)]


def _move_middle(text: str, low: int, high: int, marks: tuple[str, str, str], is_spm: bool) -> str:
    """Move `text[low:high]` to the end.

    >>> [_move_middle("abcdef", 2, 4, ("P", "S", "M"), is_spm) for is_spm in (False, True)]
    ['PabSefMcd', 'PSefMabcd']
    """
    before, after, between = marks
    prefix, middle, suffix = text[:low], text[low:high], text[high:]
    if is_spm:  # the paper's second variant, which is the one that this package trains
        return f"{before}{after}{suffix}{between}{prefix}{middle}"
    return f"{before}{prefix}{after}{suffix}{between}{middle}"
