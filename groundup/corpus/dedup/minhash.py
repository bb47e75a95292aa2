"""Near-duplicates: MinHash finds candidate pairs, which are verified on their sets of shingles.

    shingles    5-grams of tokens (words; characters in scripts without spaces)
    signature   minima of the shingles' hashes under `bands` × `rows` permutations
    candidates  two records with an equal band: P(J) = 1 - (1 - Jʳ)ᵇ for Jaccard similarity J
    similar     the exact Jaccard similarity of the two sets is at least `threshold`
    dropped     records similar to a kept record with a smaller number (see clusters.py)

All pairs of a bucket are candidates, up to `bucket_cap` records; a larger bucket is boilerplate,
and its records are paired with its smallest number only, so that no bucket has quadratic cost.
Source: Broder 1997; 14 × 8 and 5-grams are FineWeb's (Penedo et al. 2024, arXiv:2406.17557).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from groundup.core import ConfigError, record, replacing

from ..engine.rulings import write_rulings
from ..engine.survey import Each
from .clusters import components, rulings_of, stars, write_report
from .ranges import Slice, groups, key_ranges, read_slice, write_run
from .runs import (
    RECORDS,
    Arrays,
    DedupConfig,
    Order,
    even_slices,
    load,
    number_records,
    read_texts,
    save,
    write_arrays,
)
from .sketch import FACTOR, Texts, fold_table, mix, sets, shared, signatures

ROW = np.dtype([("key", "<u8"), ("number", "<u4")])
PAIRS = 10_000
"""Pairs per task, whose sets of shingles are in memory: 8 bytes per word of text."""
REASON = "near-duplicate"


class MinHashConfig(DedupConfig):
    """What counts as a near-duplicate, and with which probability it is found."""

    ngram: int = Field(default=5, ge=1)
    """Tokens per shingle [FineWeb]. Shorter texts are left to dedup.exact."""
    bands: int = Field(default=14, ge=1)
    """b: number of bands [FineWeb]."""
    rows: int = Field(default=8, ge=1)
    """r: rows, the equal minima of a band [FineWeb]. Do not swap b and r: half of the pairs are
    found at a similarity of about (1/b)^(1/r)."""
    threshold: float = Field(default=0.7, gt=0, le=1)
    """Minimum Jaccard similarity of duplicates [The Stack's 0.7; FineWeb takes every candidate
    pair, of which half have at least 0.7]."""
    clusters: Literal["stars", "components"] = "stars"
    """stars: each dropped record is itself similar to a kept one. components: one record per
    connected component is kept, as in datatrove; chains then drop records similar to none that is
    kept."""
    bucket_cap: int = Field(default=100, ge=2)
    """Bucket size above which records are compared with the bucket's smallest number only; our own:
    100 records are 4,950 pairs."""
    fold_digits: bool = True
    """Treat all digits as equal [datatrove's text normalisation], so that pages that differ in
    dates and counts are duplicates."""
    seed: int = Field(default=1, ge=0)
    """Seed of the permutations [datatrove's]."""

    @model_validator(mode="after")
    def check(self) -> "MinHashConfig":
        """Limit the size of signatures."""
        if self.bands * self.rows > 9_000:
            raise ConfigError(
                f"bands={self.bands} × rows={self.rows} exceed 9,000 hashes; try 14 × 8."
            )
        return self


def found_chance(similarity: float, bands: int, rows: int) -> float:
    """Probability that a pair of this Jaccard similarity becomes a candidate.

    >>> [round(found_chance(j, 14, 8), 3) for j in (0.7, 0.75, 0.8, 0.9)]
    [0.565, 0.772, 0.924, 1.0]
    """
    return 1 - (1 - similarity**rows) ** bands


def describe(config: MinHashConfig) -> str:
    """The settings in one line, with the S-curve, which reveals swapped b and r."""
    curve = "  ".join(
        f"{j:.2f}→{found_chance(j, config.bands, config.rows):.3f}"
        for j in (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9)
    )
    return (
        f"MinHash: {config.ngram}-grams, b={config.bands} bands of r={config.rows} rows, "
        f"similar from {config.threshold}; probability of being found: {curve}"
    )


class Found(NamedTuple):
    """Candidate pairs of a key range."""

    pairs: Path
    capped: int
    """Buckets above the cap."""


class Sketching(NamedTuple):
    """Task over a shard."""

    shard: Path
    numbers: Path
    out: Path
    config: MinHashConfig


class Comparing(NamedTuple):
    """Task over some pairs."""

    pairs: Path
    first: int
    sets: Arrays
    out: Path


class Compared(NamedTuple):
    """Pairs and their similarities."""

    pairs: np.ndarray
    """uint32 (n, 2)"""
    values: np.ndarray


class MinHash:
    """Drop near-duplicates of kept records."""

    def __init__(self, config: MinHashConfig) -> None:
        self.config = config

    def rulings(self, shards: Sequence[Path], each: Each, scratch: Path) -> list[Path]:
        """See `GlobalStep`. `scratch/report.json` has counts and the largest clusters."""
        config = self.config
        record.say(describe(config))
        order = number_records(shards, each, scratch, config.priority)
        runs = each(band_run, sketching(shards, order, scratch, "bands", config))
        ranges = [(part, config) for part in key_ranges(runs, each, scratch, config.memory_bytes)]
        buckets: list[Found] = each(candidates, ranges)
        pairs = joined([part.pairs for part in buckets], scratch)
        values = similarities(pairs, shards, order, each, scratch, config)
        alike = [compared(path, config.threshold) for path in values]
        resolve = stars if config.clusters == "stars" else components
        verdicts = resolve(
            np.concatenate([np.zeros((0, 2), np.uint32), *(part.pairs for part in alike)]),
            np.concatenate([np.zeros(0), *(part.values for part in alike)]),
        )
        figures = {
            "settings": describe(config),
            "candidates": len(pairs),
            "alike": sum(len(part.values) for part in alike),
            "capped_buckets": sum(part.capped for part in buckets),
        }
        write_report(scratch / "report.json", order, verdicts, figures)
        return [
            write_rulings(
                scratch / f"rulings-{at:06}.parquet",
                rulings_of(verdicts, order, numbers, REASON, "near_copies"),
            )
            for at, numbers in enumerate(order.numbers)
        ]


def sketching(
    shards: Sequence[Path], order: Order, scratch: Path, name: str, config: MinHashConfig
) -> list[Sketching]:
    """One task per shard."""
    return [
        Sketching(shard, numbers, scratch / f"{name}-{at:06}.npy", config)
        for at, (shard, numbers) in enumerate(zip(shards, order.numbers, strict=True))
    ]


def band_keys(minima: np.ndarray, bands: int) -> np.ndarray:
    """A 64-bit key of every band, uint64 (n, bands); it includes the band's index."""
    rows = minima.reshape(len(minima), bands, minima.shape[1] // bands).astype(np.uint64)
    keys = np.broadcast_to(np.arange(1, bands + 1, dtype=np.uint64), rows.shape[:2])
    for column in range(rows.shape[2]):
        keys = mix(keys * FACTOR + rows[:, :, column])
    return keys


def banded(numbers: np.ndarray, texts: Texts, config: MinHashConfig) -> np.ndarray:
    """Key and number of every band of some texts, dtype ROW; none for texts without shingles."""
    table = fold_table(True, config.fold_digits)
    sketch = signatures(texts, table, config.ngram, config.bands * config.rows, config.seed)
    has_any = sketch.shingles > 0
    keys = band_keys(sketch.minima[has_any], config.bands)
    rows = np.empty(keys.size, ROW)
    rows["key"], rows["number"] = keys.ravel(), np.repeat(numbers[has_any], config.bands)
    return rows


def band_run(task: Sketching) -> Path:
    """Write the sorted run of a shard's bands."""
    parts = [banded(*batch, task.config) for batch in read_texts(task.shard, task.numbers)]
    return write_run(task.out, np.concatenate([np.empty(0, ROW), *parts]))


def candidates(task: tuple[Slice, MinHashConfig]) -> Found:
    """Write the pairs of records with an equal band in a key range."""
    part, config = task
    pairs, capped = pairs_in(read_slice(part), config.bucket_cap)
    return Found(save(part.out, pairs), capped)


def pairs_in(rows: np.ndarray, bucket_cap: int) -> tuple[np.ndarray, int]:
    """Distinct pairs with an equal key, as smaller << 32 | larger, and the number of capped
    buckets.

    rows  sorted, dtype ROW
    """
    numbers = rows["number"].astype(np.uint64)
    buckets, capped, pairs = groups(rows, "key"), 0, [np.zeros(0, np.uint64)]
    sizes = buckets[:, 1] - buckets[:, 0]
    for size in np.unique(sizes[sizes <= bucket_cap]):  # all buckets of a size at once
        first, second = np.triu_indices(size, 1)
        members = numbers[buckets[sizes == size][:, :1] + np.arange(size)]
        pairs.append(np.unique(members[:, first] << np.uint64(32) | members[:, second]))
    for low, high in buckets[sizes > bucket_cap]:
        capped += 1
        pairs.append(numbers[low] << np.uint64(32) | numbers[low + 1 : high])
    return np.unique(np.concatenate(pairs)), capped


def joined(paths: Sequence[Path], scratch: Path) -> np.ndarray:
    """Distinct pairs as smaller << 32 | larger, ascending; memory-mapped."""
    out, size = scratch / "pairs", 0
    with open(out, "wb") as file:
        for slices in even_slices(paths, RECORDS):
            parts = [np.array(load(path)[rows]) for path, rows in zip(paths, slices, strict=True)]
            distinct = np.unique(np.concatenate([np.zeros(0, np.uint64), *parts]))
            file.write(distinct.tobytes())
            size += len(distinct)
    return np.memmap(out, np.uint64, "r") if size else np.zeros(0, np.uint64)


def similarities(
    pairs: np.ndarray, shards: Sequence[Path], order: Order, each: Each, scratch: Path,
    config: MinHashConfig,
) -> list[Path]:  # fmt: skip
    """Files of pairs and similarities; sets are computed only for records in a pair."""
    is_wanted = np.zeros(len(order.ids), bool)
    for at in range(0, len(pairs), PAIRS):
        is_wanted[both(pairs[at : at + PAIRS])] = True
    wanted = save(scratch / "wanted.npy", np.flatnonzero(is_wanted).astype(np.uint32))
    tasks = sketching(shards, order, scratch, "sets", config)
    files = each(set_file, [(task, wanted) for task in tasks])
    arrays = Arrays.gathered(files, [task.out for task in tasks], scratch)
    return each(
        compare,
        [
            Comparing(scratch / "pairs", at, arrays, scratch / f"values-{at:09}.npz")
            for at in range(0, len(pairs), PAIRS)
        ],
    )


def both(pairs: np.ndarray) -> np.ndarray:
    """Smaller and larger number of each pair, uint32 (n, 2)."""
    return np.stack([pairs >> np.uint64(32), pairs & np.uint64(0xFFFFFFFF)], 1).astype(np.uint32)


def compared(path: Path, threshold: float) -> Compared:
    """The pairs of a file at or above the threshold."""
    with np.load(path, allow_pickle=False) as file:
        is_similar = file["values"] >= threshold
        return Compared(file["pairs"][is_similar], file["values"][is_similar])


def set_file(given: tuple[Sketching, Path]) -> Path:
    """Write the sets of a shard's records whose numbers are in the second file."""
    task, wanted = given[0], load(given[1])
    config, table = task.config, fold_table(True, task.config.fold_digits)
    return write_arrays(
        task.out,
        (
            (numbers[row], sets(text, table, config.ngram).items)
            for numbers, texts in read_texts(task.shard, task.numbers)
            for row in np.flatnonzero(np.isin(numbers, wanted))
            for text in [texts._replace(starts=texts.starts[row : row + 2])]
        ),
    )


def compare(task: Comparing) -> Path:
    """Write the task's pairs and their Jaccard similarities."""
    pairs = both(np.fromfile(task.pairs, np.uint64, PAIRS, offset=task.first * 8))
    needed, local = np.unique(pairs, return_inverse=True)
    values = jaccards(task.sets.rows(needed), local.reshape(-1, 2))
    with replacing(task.out) as temporary, open(temporary, "wb") as file:
        np.savez(file, pairs=pairs, values=values)
    return task.out


def jaccards(rows: Sequence[np.ndarray], pairs: np.ndarray) -> np.ndarray:
    """Jaccard similarity |A ∩ B| / |A ∪ B| of the sets of each pair.

    >>> rows = [np.array(items, np.uint64) for items in ([1, 2, 3], [2, 3, 4])]
    >>> jaccards(rows, np.array([[0, 1]]))
    array([0.5])
    """
    common = shared(rows, pairs)
    sizes = np.array([len(row) for row in rows], np.int64)[pairs].sum(1)
    return common / np.maximum(sizes - common, 1)
