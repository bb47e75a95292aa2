"""Co-occurrence counts of words, with bounded memory (external sort and shuffle).

    x_ij = Σ 1 / distance       over the pairs of a sentence at most `window` words apart

Pairs are collected until memory is full, sorted, summed and written as a run. Runs are merged by
ranges of keys. Cells are distributed to random buckets and each bucket is shuffled, so that every
order of the file is equally likely. Symmetric counts store each pair once until the end.
Source: GloVe's cooccur.c and shuffle.c (Pennington et al. 2014), with another implementation.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from groundup.core import DataError, record

from ..text import TokenizedText

CELL = np.dtype([("word", "<i4"), ("context", "<i4"), ("count", "<f8")])
PAIR_BYTES = 64
"""Maximum memory of one collected pair while a run is sorted."""
SAMPLE_EVERY = 1000
"""Every SAMPLED-th key of a run is sampled to choose the ranges."""


class CooccurrenceRun(NamedTuple):
    """Distinct keys `word * V + context`, ascending, with their counts."""

    keys: np.ndarray
    counts: np.ndarray


def cooccurrences(
    text: TokenizedText, words: int, window: int, folder: Path, *, is_symmetric: bool = True,
    by_distance: bool = True, memory_bytes: int = 1 << 29, seed: int = 1,
) -> np.ndarray:  # fmt: skip
    """Count a text's co-occurrences; return them memory-mapped and shuffled: (cells,) CELL.

    words         size of the vocabulary
    is_symmetric  whether contexts include following words
    by_distance   whether a pair counts 1 / distance, or 1
    folder        for runs and the result, on a disk with enough space

    Raises DataError if no sentence has two words.
    """
    most = max(memory_bytes // PAIR_BYTES, 1 << 12)
    runs = []
    for number, run in enumerate(_count_runs(text, words, window, most, is_symmetric, by_distance)):
        runs.append(_store_run(run, folder / f"run-{number}"))
    total = sum(len(run.keys) for run in runs)
    if not total:
        raise DataError("No sentence has two words; give longer sentences.")
    buckets = -(-total * 2 * CELL.itemsize // memory_bytes)
    stream = np.random.default_rng(seed)
    files = [open(folder / f"bucket-{number}", "wb") for number in range(buckets)]  # noqa: SIM115
    try:
        for run in _merge_runs(runs, most):
            _scatter_cells(_to_cells(run, words, is_symmetric), files, stream)
    finally:
        for file in files:
            file.close()
    return _shuffle_buckets([Path(file.name) for file in files], folder / "cells", stream)


def _count_runs(
    text: TokenizedText, words: int, window: int, most: int, is_symmetric: bool, by_distance: bool
) -> Iterator[CooccurrenceRun]:  # fmt: skip
    """Yield runs of at most about `most` pairs each."""
    length, size = len(text.ids), max(most // window, 1)
    with record.progress("pairs", length, "words") as bar:
        for start in range(0, length, size):
            positions = np.arange(start, min(start + size, length))
            stops = text.ends[np.searchsorted(text.ends, positions, "right")]
            ids = np.array(text.ids[start : start + size + window], np.int64)
            keys, counts = [], []
            for distance in range(1, window + 1):
                left = positions[positions + distance < stops] - start
                a, b = ids[left], ids[left + distance]
                if is_symmetric:
                    a, b = np.minimum(a, b), np.maximum(a, b)
                keys.append(a * words + b)
                counts.append(np.full(len(left), 1 / distance if by_distance else 1.0))
            yield _sum_by_key(np.concatenate(keys), np.concatenate(counts))
            bar.advance(len(positions))


def _sum_by_key(keys: np.ndarray, counts: np.ndarray) -> CooccurrenceRun:
    """Sort by key and sum the counts of equal keys.

    >>> _sum_by_key(np.array([7, 3, 7]), np.array([1.0, 1.0, 0.5]))
    CooccurrenceRun(keys=array([3, 7]), counts=array([1. , 1.5]))
    """
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    first = np.flatnonzero(np.diff(keys, prepend=-1))
    return CooccurrenceRun(
        keys[first], np.add.reduceat(counts[order], first) if len(keys) else counts
    )


def _store_run(run: CooccurrenceRun, path: Path) -> CooccurrenceRun:
    """Write a run and memory-map it."""
    if not len(run.keys):
        return run
    parts = []
    for name, values in zip(("keys", "counts"), run, strict=True):
        file = path.with_name(f"{path.name}-{name}")
        values.tofile(file)
        parts.append(np.memmap(file, values.dtype, "r"))
    return CooccurrenceRun(*parts)


def _merge_runs(runs: list[CooccurrenceRun], most: int) -> Iterator[CooccurrenceRun]:
    """Merge runs; yields one run per range of keys, each of about `most` entries."""
    total = sum(len(run.keys) for run in runs)
    sample = np.sort(np.concatenate([run.keys[::SAMPLE_EVERY] for run in runs]))
    parts = -(-total // most)
    inner = sample[np.arange(1, parts) * len(sample) // parts]
    bounds = [-1, *np.unique(inner).tolist(), np.iinfo(np.int64).max]
    for low, high in zip(bounds, bounds[1:], strict=False):
        ranges = [slice(*np.searchsorted(run.keys, [low, high], "right")) for run in runs]
        pairs = list(zip(runs, ranges, strict=True))
        keys = np.concatenate([run.keys[part] for run, part in pairs])
        if len(keys):
            yield _sum_by_key(keys, np.concatenate([run.counts[part] for run, part in pairs]))


def _to_cells(run: CooccurrenceRun, words: int, is_symmetric: bool) -> np.ndarray:
    """The cells of a run; if symmetric, in both directions, with the diagonal doubled."""
    cells = np.empty(len(run.keys), CELL)
    cells["word"], cells["context"] = run.keys // words, run.keys % words
    cells["count"] = run.counts
    if not is_symmetric:
        return cells
    is_same = cells["word"] == cells["context"]
    cells["count"][is_same] *= 2
    other = cells[~is_same]
    other["word"], other["context"] = other["context"].copy(), other["word"].copy()
    return np.concatenate([cells, other])


def _scatter_cells(cells: np.ndarray, files: list, stream: np.random.Generator) -> None:
    """Append each cell to a random bucket."""
    bucket = stream.integers(len(files), size=len(cells))
    for number, file in enumerate(files):
        cells[bucket == number].tofile(file)


def _shuffle_buckets(buckets: list[Path], path: Path, stream: np.random.Generator) -> np.ndarray:
    """Shuffle each bucket, concatenate them and memory-map the result."""
    with open(path, "wb") as file:
        for bucket in buckets:
            stream.permutation(np.fromfile(bucket, CELL)).tofile(file)
            bucket.unlink()
    return np.memmap(path, CELL, "r")
