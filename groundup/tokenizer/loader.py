"""Batches of text windows: which tokens a step sees is a pure function of a few numbers.

The tokens of a shard are split into windows of `length` targets. Each epoch takes every window
once, in an order that depends only on (seed, epoch, mixture). So every token is a target once per
epoch, any batch can be recomputed from its step alone, and a resumed run needs no other state.

A window's first input is the token before its first target; the shard's last token, a document's
end, precedes its first. A document's end thus begins the next document, and `documents` assigns
each position to the document of its *target*: attention within equal numbers sees
    … the cat . <end> | a dog …        position of <end> has the number of "a dog"
`<end>` followed by "a dog" and nothing of the cat.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int32, Int64

from groundup.core import ConfigError, DataError, digest

from .shards import Shard

BLOCK_TOKENS = 4096
"""Tokens that stay together when an epoch is divided into parts."""


class TextBatch(NamedTuple):
    """Windows of text; sequence b, position t has input ids[b, t] and target ids[b, t + 1]."""

    ids: Int64[np.ndarray, "B T_plus_1"]
    documents: Int32[np.ndarray, "B T"]
    """Index of the target's document in its shard; -1 is padding at a shard's end."""
    names: tuple[str, ...]
    """Name of each sequence's first document."""

    @property
    def weights(self) -> Float32[np.ndarray, "B T"]:
        """1 where there is a target, 0 in padding."""
        return (self.documents >= 0).astype(np.float32)


class Loader:
    """Batches of `batch` windows of `length` tokens.

        shards    one, or several that are read as one or by the shares of a `mixture`
        mixture   shard name -> share of the sequences, exact within one sequence in every prefix
                  (see corpus/mixture.py); each shard then has its own epochs
        part      range (from, to) in 0…1 of each epoch's text that this loader reads. Loaders with
                  disjoint parts never see the same token, whatever their lengths, unless a shard
                  has too few blocks of 4,096 tokens to give each its own

    >>> shard = Shard.from_documents("train", [("a", [1, 2, 3], 3), ("b", [4, 5, 6], 3)], end=0)
    >>> loader = Loader([shard], batch=2, length=4, seed=0)
    >>> loader.batch(0).ids
    array([[0, 4, 5, 6, 0],
           [0, 1, 2, 3, 0]])
    >>> loader.batch(0).documents
    array([[1, 1, 1, 1],
           [0, 0, 0, 0]], dtype=int32)

    Raises DataError for an empty shard, ConfigError for invalid sizes, shares or parts.
    """

    def __init__(
        self, shards: Sequence[Shard], batch: int, length: int, seed: int = 0,
        mixture: Mapping[str, float] | None = None, part: tuple[float, float] = (0.0, 1.0),
    ) -> None:  # fmt: skip
        _check_loader_arguments(shards, batch, length, part)
        self.shards, self.batch_size, self.length, self.seed = list(shards), batch, length, seed
        windows = [self._windows(number, part) for number in range(len(self.shards))]
        if mixture is None:
            self.sources = [np.concatenate(windows)]
            self.interleaving = None
        else:
            from groundup.corpus import SourceSchedule  # only needed for mixtures

            self.sources = windows
            self.interleaving = SourceSchedule(_normalize_shares(self.shards, mixture))
        self._order = lru_cache(maxsize=2 * len(self.sources))(self._shuffled_windows)

    def _windows(self, number: int, part: tuple[float, float]) -> Int64[np.ndarray, "windows 2"]:
        """(shard, first target) of each window of a shard that lies in the part."""
        size = len(self.shards[number])
        starts = np.arange(0, size, self.length)
        if part != (0.0, 1.0):
            blocks = -(-size // BLOCK_TOKENS)
            order = _stable_permutation(blocks, [self.seed, number, "parts"])
            first = min(round(part[0] * blocks), blocks - 1)
            chosen = np.zeros(blocks, dtype=bool)
            chosen[order[first : max(round(part[1] * blocks), first + 1)]] = True
            starts = starts[chosen[starts // BLOCK_TOKENS]]
        return np.stack([np.full_like(starts, number), starts], axis=1)

    def _shuffled_windows(self, source: int, epoch: int) -> Int64[np.ndarray, "windows 2"]:
        """Windows of a source in the order of an epoch."""
        windows = self.sources[source]
        return windows[_stable_permutation(len(windows), [self.seed, source, epoch])]

    @property
    def tokens_per_epoch(self) -> int:
        """Number of targets in an epoch; with a mixture, summed over each shard's own epoch."""
        sizes = np.array([len(shard) for shard in self.shards])
        windows = np.concatenate(self.sources)
        return int(np.minimum(self.length, sizes[windows[:, 0]] - windows[:, 1]).sum())

    def batch(self, step: int) -> TextBatch:
        """The batch of a step, counted from 0; epochs follow one another without a gap."""
        if step < 0:
            raise ConfigError(f"step={step} must be 0 or more.")
        return self.sequences(step * self.batch_size, self.batch_size)

    def sequences(self, first: int, count: int) -> TextBatch:
        """`count` sequences from index `first`, for steps whose batches differ in size."""
        rows = map(self._read_sequence, range(first, first + count))
        ids, documents, names = zip(*rows, strict=True)
        return TextBatch(np.stack(ids), np.stack(documents), names)

    def _locate(self, sequence_index: int) -> tuple[int, int]:
        """(source, number of earlier sequences from that source) of a sequence index."""
        if self.interleaving is None:
            return 0, sequence_index
        turn = self.interleaving.sources_at([sequence_index])
        return int(turn.source[0]), int(turn.num_before[0])

    def _read_sequence(
        self, sequence_index: int
    ) -> tuple[Int64[np.ndarray, " T_plus_1"], Int32[np.ndarray, " T"], str]:
        source, before = self._locate(sequence_index)
        epoch, index = divmod(before, len(self.sources[source]))
        number, start = self._order(source, epoch)[index]
        shard = self.shards[number]
        targets = np.arange(start, min(start + self.length, len(shard)))
        numbers = shard.document_indices(targets)
        ids = np.full(self.length + 1, shard.ids[-1], dtype=np.int64)
        ids[0] = shard.ids[start - 1]  # before the first it is the last one: a document's end
        ids[1 : len(targets) + 1] = shard.ids[start : start + len(targets)]
        documents = np.full(self.length, -1, dtype=np.int32)
        documents[: len(targets)] = numbers
        return ids, documents, shard.names[numbers[0]]


EMPTY_SHARD_ADVICE = (
    "its split of the corpus has no document. Add documents (at least one per split) or raise "
    "validation_share, and recreate corpus and tokens"
)


def _check_loader_arguments(
    shards: Sequence[Shard], batch: int, length: int, part: tuple[float, float]
) -> None:
    if not shards or not all(map(len, shards)):
        empty = next((shard.name for shard in shards if not len(shard)), None)
        what = f"shard {empty!r} is empty: {EMPTY_SHARD_ADVICE}" if empty else "none was given"
        raise DataError(f"A loader needs shards with tokens; {what}.")
    if batch < 1 or length < 1:
        raise ConfigError(f"batch={batch} and length={length} must be 1 or more.")
    if not 0 <= part[0] < part[1] <= 1:
        raise ConfigError(f"part={part} must be (from, to) with 0 <= from < to <= 1.")
    if part != (0.0, 1.0) and BLOCK_TOKENS % length:
        near = 1 << min(length, BLOCK_TOKENS).bit_length() - 1
        what = f"length={length} must divide {BLOCK_TOKENS} to read a part of the text"
        raise ConfigError(f"{what}; try {near}.")


def _normalize_shares(shards: Sequence[Shard], mixture: Mapping[str, float]) -> list[float]:
    """A mixture's shares in the order of the shards, summing to 1."""
    names = [shard.name for shard in shards]
    if sorted(names) != sorted(mixture) or min(mixture.values()) <= 0:
        expected = f"must give each shard ({', '.join(names)}) a share above 0"
        raise ConfigError(f"mixture={dict(mixture)} {expected}.")
    return [mixture[name] / sum(mixture.values()) for name in names]


def _stable_permutation(size: int, key: Sequence[int | str]) -> Int64[np.ndarray, " size"]:
    """A permutation that depends only on the key, also under later versions of numpy.

    numpy guarantees the raw stream of a bit generator, but not its shuffle.
    """
    seed = int(digest(list(key)), 16) % 2**128
    return np.argsort(np.random.Philox(key=seed).random_raw(size), kind="stable")
