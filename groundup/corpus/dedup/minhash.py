"""Near-duplicates: MinHash finds candidate pairs, which are verified on their sets of shingles.

    shingles    5-grams of tokens (words; characters in scripts without spaces)
    signature   minima of the shingles' hashes under `bands` × `rows` permutations
    candidates  two records with an equal band: P(J) = 1 - (1 - Jʳ)ᵇ for Jaccard similarity J
    similar     the exact Jaccard similarity of the two sets is at least `threshold`
    dropped     records similar to a kept record with a smaller number (see exact.py)

All pairs of a bucket are candidates, up to `bucket_cap` records; a larger bucket is boilerplate,
and its records are paired with its smallest number only, so that no bucket has quadratic cost.
Source: Broder 1997; 14 × 8 and 5-grams are FineWeb's (Penedo et al. 2024, arXiv:2406.17557).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from groundup.core import ConfigError, atomic_replace, record

from ..engine.executors import Executor
from .exact import resolve_components, resolve_stars, write_decision
from .sketch import (
    HASH_FACTOR,
    PackedTexts,
    fold_table,
    intersection_sizes,
    minhash_signatures,
    mix64,
    pack_strings,
    shingle_sets,
    split_sets,
)
from .storage import (
    MERGE_ROWS,
    ArrayStore,
    DedupConfig,
    KeyRange,
    RecordOrder,
    equal_groups,
    key_ranges,
    load_array,
    number_records,
    quantile_slices,
    read_range,
    read_shard_texts,
    save_array,
    sort_by_key,
    write_arrays,
    write_run,
)

BAND_ROW = np.dtype([("key", "<u8"), ("number", "<u4")])
PAIRS_PER_TASK = 10_000
"""Pairs per task, whose sets of shingles are in memory: 8 bytes per word of text."""
REASON = "near-duplicate"
SHINGLE_TOKENS = 5
PERMUTATIONS = 128
MAX_MISS_RATE = 1e-3
BUCKET_CAP = 1_000
"""Settings of `near_duplicates`. The cap is half a million pairs, a second's work."""


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


def candidate_probability(similarity: float, bands: int, rows: int) -> float:
    """Probability that a pair of this Jaccard similarity becomes a candidate.

    >>> [round(candidate_probability(j, 14, 8), 3) for j in (0.7, 0.75, 0.8, 0.9)]
    [0.565, 0.772, 0.924, 1.0]
    """
    return 1 - (1 - similarity**rows) ** bands


def _describe_minhash(config: MinHashConfig) -> str:
    curve = "  ".join(
        f"{j:.2f}→{candidate_probability(j, config.bands, config.rows):.3f}"
        for j in (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9)
    )
    return (
        f"MinHash: {config.ngram}-grams, b={config.bands} bands of r={config.rows} rows, "
        f"similar from {config.threshold}; probability of being found: {curve}"
    )


class SketchTask(NamedTuple):
    """Task over a shard."""

    shard: Path
    numbers: Path
    out: Path
    config: MinHashConfig


class MinHashDedup:
    """Drop near-duplicates of kept records."""

    def __init__(self, config: MinHashConfig) -> None:
        self.config = config

    def decide(self, shards: Sequence[Path], executor: Executor, scratch: Path) -> list[Path]:
        """See `GlobalStep`. `scratch/report.json` has counts and the largest clusters."""
        config = self.config
        record.log(_describe_minhash(config))
        order = number_records(shards, executor, scratch, config.priority)
        runs = executor(write_bands, sketch_tasks(shards, order, scratch, "bands", config))
        ranges = key_ranges(runs, executor, scratch, config.memory_bytes)
        tasks = [(part, config.bucket_cap) for part in ranges]
        buckets: list[tuple[Path, int]] = executor(_find_candidates, tasks)
        pairs = _merge_pairs([path for path, _ in buckets], scratch)
        files = _compare_candidates(pairs, shards, order, executor, scratch, config)
        similar, values = [np.zeros((0, 2), np.uint32)], [np.zeros(0)]
        for path in files:
            with np.load(path, allow_pickle=False) as file:
                is_similar = file["values"] >= config.threshold
                similar.append(file["pairs"][is_similar])
                values.append(file["values"][is_similar])
        resolve = resolve_stars if config.clusters == "stars" else resolve_components
        verdicts = resolve(np.concatenate(similar), np.concatenate(values))
        figures = {
            "settings": _describe_minhash(config),
            "candidates": len(pairs),
            "alike": sum(map(len, values)),
            "capped_buckets": sum(capped for _, capped in buckets),
        }
        return write_decision(scratch, order, verdicts, REASON, "near_copies", figures)


def sketch_tasks(
    shards: Sequence[Path], order: RecordOrder, scratch: Path, name: str, config: MinHashConfig
) -> list[SketchTask]:
    """One task per shard."""
    return [
        SketchTask(shard, numbers, scratch / f"{name}-{at:06}.npy", config)
        for at, (shard, numbers) in enumerate(zip(shards, order.numbers, strict=True))
    ]


def band_keys(minima: np.ndarray, bands: int) -> np.ndarray:
    """A 64-bit key of every band, uint64 (n, bands); it includes the band's index."""
    rows = minima.reshape(len(minima), bands, minima.shape[1] // bands).astype(np.uint64)
    keys = np.broadcast_to(np.arange(1, bands + 1, dtype=np.uint64), rows.shape[:2])
    for column in range(rows.shape[2]):
        keys = mix64(keys * HASH_FACTOR + rows[:, :, column])
    return keys


def band_rows(numbers: np.ndarray, texts: PackedTexts, config: MinHashConfig) -> np.ndarray:
    """Key and number of every band of some texts, dtype ROW; none for texts without shingles."""
    table = fold_table(True, config.fold_digits)
    sketch = minhash_signatures(texts, table, config.ngram, config.bands * config.rows, config.seed)
    has_any = sketch.shingles > 0
    keys = band_keys(sketch.minima[has_any], config.bands)
    rows = np.empty(keys.size, BAND_ROW)
    rows["key"], rows["number"] = keys.ravel(), np.repeat(numbers[has_any], config.bands)
    return rows


def write_bands(task: SketchTask) -> Path:
    """Write the sorted run of a shard's bands."""
    parts = [band_rows(*batch, task.config) for batch in read_shard_texts(task.shard, task.numbers)]
    return write_run(task.out, np.concatenate([np.empty(0, BAND_ROW), *parts]))


def _find_candidates(task: tuple[KeyRange, int]) -> tuple[Path, int]:
    part, bucket_cap = task
    pairs, capped = bucket_pairs(read_range(part), bucket_cap)
    return save_array(part.out, pairs), capped


def bucket_pairs(rows: np.ndarray, bucket_cap: int) -> tuple[np.ndarray, int]:
    """Distinct pairs with an equal key, as smaller << 32 | larger, and the number of capped
    buckets.

    rows  sorted, dtype ROW
    """
    numbers = rows["number"].astype(np.uint64)
    buckets, capped, pairs = equal_groups(rows, "key"), 0, [np.zeros(0, np.uint64)]
    sizes = buckets[:, 1] - buckets[:, 0]
    for size in np.unique(sizes[sizes <= bucket_cap]):  # all buckets of a size at once
        first, second = np.triu_indices(size, 1)
        members = numbers[buckets[sizes == size][:, :1] + np.arange(size)]
        pairs.append(np.unique(members[:, first] << np.uint64(32) | members[:, second]))
    for low, high in buckets[sizes > bucket_cap]:
        capped += 1
        pairs.append(numbers[low] << np.uint64(32) | numbers[low + 1 : high])
    return np.unique(np.concatenate(pairs)), capped


def _merge_pairs(paths: Sequence[Path], scratch: Path) -> np.ndarray:
    """Distinct pairs as smaller << 32 | larger, ascending; memory-mapped."""
    out, size = scratch / "pairs", 0
    with open(out, "wb") as file:
        for slices in quantile_slices(paths, MERGE_ROWS):
            parts = [
                np.array(load_array(path)[rows]) for path, rows in zip(paths, slices, strict=True)
            ]
            distinct = np.unique(np.concatenate([np.zeros(0, np.uint64), *parts]))
            file.write(distinct.tobytes())
            size += len(distinct)
    return np.memmap(out, np.uint64, "r") if size else np.zeros(0, np.uint64)


def _compare_candidates(
    pairs: np.ndarray,
    shards: Sequence[Path],
    order: RecordOrder,
    executor: Executor,
    scratch: Path,
    config: MinHashConfig,
) -> list[Path]:
    """Files of pairs and similarities; sets are computed only for records in a pair."""
    is_wanted = np.zeros(len(order.ids), bool)
    for at in range(0, len(pairs), PAIRS_PER_TASK):
        is_wanted[unpack_pairs(pairs[at : at + PAIRS_PER_TASK])] = True
    wanted = save_array(scratch / "wanted.npy", np.flatnonzero(is_wanted).astype(np.uint32))
    tasks = sketch_tasks(shards, order, scratch, "sets", config)
    files = executor(_write_sets, [(task, wanted) for task in tasks])
    arrays = ArrayStore.from_files(files, [task.out for task in tasks], scratch)
    rows = range(0, len(pairs), PAIRS_PER_TASK)
    return executor(
        _compare_pairs,
        [(scratch / "pairs", at, arrays, scratch / f"values-{at:09}.npz") for at in rows],
    )


def unpack_pairs(pairs: np.ndarray) -> np.ndarray:
    """Smaller and larger number of each pair, uint32 (n, 2)."""
    return np.stack([pairs >> np.uint64(32), pairs & np.uint64(0xFFFFFFFF)], 1).astype(np.uint32)


def _write_sets(given: tuple[SketchTask, Path]) -> Path:
    task, wanted = given[0], load_array(given[1])
    config, table = task.config, fold_table(True, task.config.fold_digits)
    sets = (
        (numbers[row], shingle_sets(text, table, config.ngram).items)
        for numbers, texts in read_shard_texts(task.shard, task.numbers)
        for row in np.flatnonzero(np.isin(numbers, wanted))
        for text in [texts._replace(starts=texts.starts[row : row + 2])]
    )
    return write_arrays(task.out, sets)


def _compare_pairs(task: tuple[Path, int, ArrayStore, Path]) -> Path:
    path, first, sets, out = task
    pairs = unpack_pairs(np.fromfile(path, np.uint64, PAIRS_PER_TASK, offset=first * 8))
    needed, local = np.unique(pairs, return_inverse=True)
    values = jaccards(sets.read_arrays(needed), local.reshape(-1, 2))
    with atomic_replace(out) as temporary, open(temporary, "wb") as file:
        np.savez(file, pairs=pairs, values=values)
    return out


def jaccards(rows: Sequence[np.ndarray], pairs: np.ndarray) -> np.ndarray:
    """Jaccard similarity |A ∩ B| / |A ∪ B| of the sets of each pair.

    >>> rows = [np.array(items, np.uint64) for items in ([1, 2, 3], [2, 3, 4])]
    >>> jaccards(rows, np.array([[0, 1]]))
    array([0.5])
    """
    common = intersection_sizes(rows, pairs)
    sizes = np.array([len(row) for row in rows], np.int64)[pairs].sum(1)
    return common / np.maximum(sizes - common, 1)


class Pair(NamedTuple):
    """Indices of two near-duplicates, i < j, and their similarity."""

    i: int
    j: int
    jaccard: float


def near_duplicates(texts: Sequence[str], threshold: float = 0.8, seed: int = 0) -> list[Pair]:
    """All pairs of near-duplicates with their exact Jaccard similarity, ascending.

    A pair at the threshold is missed with a probability below 1 in 1,000, a more similar one far
    less; of more than 1,000 texts with an equal band, only pairs with the first are compared.

    >>> text = "the quick brown fox jumps over the lazy dog and runs away"
    >>> near_duplicates([text, "another text", text + " home"], threshold=0.8)
    [Pair(i=0, j=2, jaccard=0.8888888888888888)]
    """
    pairs, values = similar_pairs(texts, threshold, seed)
    both = zip(pairs.tolist(), values.tolist(), strict=True)
    return [Pair(first, second, value) for (first, second), value in both]


def similar_pairs(
    texts: Sequence[str], threshold: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of texts at or above the threshold, (n, 2) ascending, and their similarities.

    The rows per band are the most that miss at most 1 in 1,000 pairs at the threshold.
    """
    rows = 1
    for more in (2, 4, 8, 16, 32):
        if 1 - candidate_probability(threshold, PERMUTATIONS // more, more) <= MAX_MISS_RATE:
            rows = more
    config = MinHashConfig(
        ngram=SHINGLE_TOKENS, bands=PERMUTATIONS // rows, rows=rows, threshold=threshold,
        bucket_cap=BUCKET_CAP, fold_digits=False, seed=seed,
    )  # fmt: skip
    packed = pack_strings(texts)
    bands = sort_by_key(band_rows(np.arange(len(texts), dtype=np.uint32), packed, config))
    pairs = unpack_pairs(bucket_pairs(bands, config.bucket_cap)[0])
    sets = split_sets(shingle_sets(packed, fold_table(True, False), SHINGLE_TOKENS))
    values = jaccards(sets, pairs)
    return pairs[values >= threshold], values[values >= threshold]
