"""Near-duplicates: MinHash finds pairs that may be alike, their full sets of shingles decide.

    shingles    5 tokens in a row (words; characters in scripts without spaces)
    signature   minima of the shingles' hashes under `bands` × `rows` permutations
    candidates  two records with an equal band: P(J) = 1 - (1 - Jʳ)ᵇ for Jaccard similarity J
    alike       the exact Jaccard similarity of the two sets reaches `threshold`
    dropped     who is alike to a kept record with a smaller number (see clusters.py)

Candidates of a bucket are all its pairs, up to `bucket_cap` records; a larger bucket is boilerplate
and pairs each of its records with its smallest number only, so that no bucket costs its square.
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
"""Pairs that a task compares: their sets of shingles are in memory, 8 bytes a word of text."""
REASON = "near-duplicate"


class MinHashConfig(DedupConfig):
    """What counts as nearly the same, and how surely it is found."""

    ngram: int = Field(default=5, ge=1)
    """Tokens of a shingle [FineWeb]. A text of fewer tokens is judged by dedup.exact alone."""
    bands: int = Field(default=14, ge=1)
    """b: chances to be compared [FineWeb]."""
    rows: int = Field(default=8, ge=1)
    """r: minima that must be equal in one chance [FineWeb]. b and r are not to be swapped: the
    similarity from which half of all pairs are found is about (1/b)^(1/r)."""
    threshold: float = Field(default=0.7, gt=0, le=1)
    """Jaccard similarity from which a pair is alike [The Stack's 0.7; FineWeb takes every pair that
    the bands find, of which half have at least 0.7]."""
    clusters: Literal["stars", "components"] = "stars"
    """stars: whoever goes is itself alike to one that stays. components: whatever hangs together by
    pairs is one, as in datatrove; chains then drop what is like nothing that stays."""
    bucket_cap: int = Field(default=100, ge=2)
    """Records of a bucket from which on only its smallest number is compared with the others; our
    own: 100 records are 4,950 pairs."""
    fold_digits: bool = True
    """All digits count as equal [datatrove's text normalisation], so that pages which differ in
    dates and counts are near."""
    seed: int = Field(default=1, ge=0)
    """Of the permutations [datatrove's]."""

    @model_validator(mode="after")
    def check(self) -> "MinHashConfig":
        """Refuse signatures that nobody needs."""
        if self.bands * self.rows > 9_000:
            raise ConfigError(
                f"bands={self.bands} × rows={self.rows} are more than 9,000 hashes, RefinedWeb's; "
                "try 14 × 8."
            )
        return self


def found_chance(similarity: float, bands: int, rows: int) -> float:
    """Chance that a pair of this Jaccard similarity becomes a candidate.

    >>> [round(found_chance(j, 14, 8), 3) for j in (0.7, 0.75, 0.8, 0.9)]
    [0.565, 0.772, 0.924, 1.0]
    """
    return 1 - (1 - similarity**rows) ** bands


def describe(config: MinHashConfig) -> str:
    """The settings in a line, with the S-curve: print it, since swapped b and r look alike."""
    curve = "  ".join(
        f"{j:.2f}→{found_chance(j, config.bands, config.rows):.3f}"
        for j in (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9)
    )
    return (
        f"MinHash: {config.ngram}-grams, b={config.bands} bands of r={config.rows} rows, "
        f"alike from {config.threshold}; chance to be found by similarity: {curve}"
    )


class Found(NamedTuple):
    """Pairs of a range of keys."""

    pairs: Path
    capped: int
    """Buckets above the cap."""


class Sketching(NamedTuple):
    """A shard's task."""

    shard: Path
    numbers: Path
    out: Path
    config: MinHashConfig


class Comparing(NamedTuple):
    """A task over some pairs."""

    pairs: Path
    first: int
    sets: Arrays
    out: Path


class Compared(NamedTuple):
    """Pairs and how alike they are."""

    pairs: np.ndarray
    """uint32 (n, 2)"""
    values: np.ndarray


class MinHash:
    """Drop every record that is nearly the same as one that stays."""

    def __init__(self, config: MinHashConfig) -> None:
        self.config = config

    def rulings(self, shards: Sequence[Path], each: Each, scratch: Path) -> list[Path]:
        """See Survey. `scratch/report.json` tells figures and the largest clusters."""
        config = self.config
        record.say(describe(config))
        order = number_records(shards, each, scratch, config.priority)
        runs = each(band_run, sketching(shards, order, scratch, "bands", config))
        ranges = [(part, config) for part in key_ranges(runs, each, scratch, config.memory_bytes)]
        found: list[Found] = each(candidates, ranges)
        pairs = joined([one.pairs for one in found], scratch)
        values = similarities(pairs, shards, order, each, scratch, config)
        alike = [compared(path, config.threshold) for path in values]
        judge = stars if config.clusters == "stars" else components
        verdicts = judge(
            np.concatenate([np.zeros((0, 2), np.uint32), *(one.pairs for one in alike)]),
            np.concatenate([np.zeros(0), *(one.values for one in alike)]),
        )
        figures = {
            "settings": describe(config),
            "candidates": len(pairs),
            "alike": sum(len(one.values) for one in alike),
            "capped_buckets": sum(one.capped for one in found),
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
    """A task for every shard."""
    return [
        Sketching(shard, numbers, scratch / f"{name}-{at:06}.npy", config)
        for at, (shard, numbers) in enumerate(zip(shards, order.numbers, strict=True))
    ]


def band_keys(minima: np.ndarray, bands: int) -> np.ndarray:
    """A 64-bit key of every band, uint64 (n, bands); equal bands at other places differ."""
    rows = minima.reshape(len(minima), bands, minima.shape[1] // bands).astype(np.uint64)
    keys = np.broadcast_to(np.arange(1, bands + 1, dtype=np.uint64), rows.shape[:2])
    for place in range(rows.shape[2]):
        keys = mix(keys * FACTOR + rows[:, :, place])
    return keys


def banded(numbers: np.ndarray, texts: Texts, config: MinHashConfig) -> np.ndarray:
    """Key and number of every band of some texts, ROW; none of a text without shingles."""
    table = fold_table(True, config.fold_digits)
    made = signatures(texts, table, config.ngram, config.bands * config.rows, config.seed)
    has_any = made.shingles > 0
    keys = band_keys(made.minima[has_any], config.bands)
    rows = np.empty(keys.size, ROW)
    rows["key"], rows["number"] = keys.ravel(), np.repeat(numbers[has_any], config.bands)
    return rows


def band_run(task: Sketching) -> Path:
    """The run of a shard's bands."""
    parts = [banded(*some, task.config) for some in read_texts(task.shard, task.numbers)]
    return write_run(task.out, np.concatenate([np.empty(0, ROW), *parts]))


def candidates(task: tuple[Slice, MinHashConfig]) -> Found:
    """Pairs of records with an equal band in a range of keys."""
    part, config = task
    pairs, capped = pairs_in(read_slice(part), config.bucket_cap)
    return Found(save(part.out, pairs), capped)


def pairs_in(rows: np.ndarray, bucket_cap: int) -> tuple[np.ndarray, int]:
    """Pairs with an equal key, as smaller << 32 | larger, each once, and how many buckets are
    above the cap.

    rows  sorted, ROW
    """
    numbers = rows["number"].astype(np.uint64)
    found, capped, pairs = groups(rows, "key"), 0, [np.zeros(0, np.uint64)]
    sizes = found[:, 1] - found[:, 0]
    for size in np.unique(sizes[sizes <= bucket_cap]):  # buckets of one size at once
        first, second = np.triu_indices(size, 1)
        members = numbers[found[sizes == size][:, :1] + np.arange(size)]
        pairs.append(np.unique(members[:, first] << np.uint64(32) | members[:, second]))
    for low, high in found[sizes > bucket_cap]:
        capped += 1
        pairs.append(numbers[low] << np.uint64(32) | numbers[low + 1 : high])
    return np.unique(np.concatenate(pairs)), capped


def joined(paths: Sequence[Path], scratch: Path) -> np.ndarray:
    """All pairs once, as smaller << 32 | larger in rising order; on disk, mapped."""
    out, size = scratch / "pairs", 0
    with open(out, "wb") as file:
        for slices in even_slices(paths, RECORDS):
            parts = [np.array(load(path)[one]) for path, one in zip(paths, slices, strict=True)]
            once = np.unique(np.concatenate([np.zeros(0, np.uint64), *parts]))
            file.write(once.tobytes())
            size += len(once)
    return np.memmap(out, np.uint64, "r") if size else np.zeros(0, np.uint64)


def similarities(
    pairs: np.ndarray, shards: Sequence[Path], order: Order, each: Each, scratch: Path,
    config: MinHashConfig,
) -> list[Path]:  # fmt: skip
    """Files of pairs with their similarity: the sets of their records are made for this alone."""
    is_wanted = np.zeros(len(order.ids), bool)
    for at in range(0, len(pairs), PAIRS):
        is_wanted[both(pairs[at : at + PAIRS])] = True
    wanted = save(scratch / "wanted.npy", np.flatnonzero(is_wanted).astype(np.uint32))
    tasks = sketching(shards, order, scratch, "sets", config)
    files = each(set_file, [(task, wanted) for task in tasks])
    made = Arrays.gathered(files, [task.out for task in tasks], scratch)
    return each(
        compare,
        [
            Comparing(scratch / "pairs", at, made, scratch / f"values-{at:09}.npz")
            for at in range(0, len(pairs), PAIRS)
        ],
    )


def both(pairs: np.ndarray) -> np.ndarray:
    """Smaller and larger number of each pair, uint32 (n, 2)."""
    return np.stack([pairs >> np.uint64(32), pairs & np.uint64(0xFFFFFFFF)], 1).astype(np.uint32)


def compared(path: Path, threshold: float) -> Compared:
    """The pairs of a file that are alike."""
    with np.load(path, allow_pickle=False) as found:
        is_alike = found["values"] >= threshold
        return Compared(found["pairs"][is_alike], found["values"][is_alike])


def set_file(given: tuple[Sketching, Path]) -> Path:
    """Write the sets of a shard's wanted records, whose numbers are in the second file."""
    task, wanted = given[0], load(given[1])
    config, table = task.config, fold_table(True, task.config.fold_digits)
    return write_arrays(
        task.out,
        (
            (numbers[place], sets(one, table, config.ngram).items)
            for numbers, texts in read_texts(task.shard, task.numbers)
            for place in np.flatnonzero(np.isin(numbers, wanted))
            for one in [texts._replace(starts=texts.starts[place : place + 2])]
        ),
    )


def compare(task: Comparing) -> Path:
    """Write some pairs and their Jaccard similarities."""
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
