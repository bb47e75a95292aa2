"""External sort: brings rows with the same key from all shards together.

Each shard's worker writes a run: a file of rows sorted by a 64-bit key. A task processes one key
range, a slice of every run found by bisection, within bounded memory; ranges are even because keys
are hashes. If there are many runs, groups of `FAN_IN` are merged first, repeatedly, so no task
opens many more than `FAN_IN` files and the number of opens grows linearly with the shards. Source:
external merge sort, Knuth, The Art of Computer Programming, vol. 3, § 5.4.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..engine.global_step import Executor
from .numbering import load_array, save_array

FAN_IN = 64
"""Runs merged at a time. Own choice: 4,096 shards need one pass, 262,144 two."""
SORT_MEMORY_FACTOR = 4
"""Memory of sorting in multiples of the rows' size: slices or order, rows and sorted rows."""


class KeyRange(NamedTuple):
    """A task over a key range of several runs."""

    runs: tuple[Path, ...]
    """Files that may have rows in the range."""
    low: int
    high: int
    """One past the last key, at most 2**64."""
    out: Path


class SortedRun(NamedTuple):
    """Sorted rows in files of consecutive key ranges."""

    files: tuple[Path, ...]
    lows: tuple[int, ...]
    """Lower key bound of each file, ascending from 0."""

    def files_in_range(self, low: int, high: int) -> tuple[Path, ...]:
        """Files that may have keys in [low, high)."""
        return self.files[bisect_right(self.lows, low) - 1 : bisect_left(self.lows, high)]


def write_run(path: Path, rows: np.ndarray) -> Path:
    """Write rows sorted by their field `key`, then by the others."""
    return save_array(path, sort_by_key(rows))


def sort_by_key(rows: np.ndarray) -> np.ndarray:
    """Rows sorted by their first field, then by the others."""
    return rows[np.lexsort([rows[name] for name in reversed(rows.dtype.names or ())])]


def key_ranges(
    paths: Sequence[Path], executor: Executor, scratch: Path, memory_bytes: int
) -> list[KeyRange]:
    """Tasks over even key ranges, each needing about `memory_bytes`; merges runs first if many."""
    runs, turn = [SortedRun((path,), (0,)) for path in paths], 0
    while len(runs) > FAN_IN:
        groups = [runs[at : at + FAN_IN] for at in range(0, len(runs), FAN_IN)]
        tasks = [
            _split_ranges(group, scratch / f"merge-{turn}-{number:06}", memory_bytes)
            for number, group in enumerate(groups)
        ]
        executor(_merge_range, [task for group in tasks for task in group])
        if turn:  # intermediate files; the input runs are kept
            for path in (path for run in runs for path in run.files):
                path.unlink()
        runs = [
            SortedRun(tuple(task.out for task in group), tuple(task.low for task in group))
            for group in tasks
        ]
        turn += 1
    return _split_ranges(runs, scratch / "range", memory_bytes, sum(map(_file_bytes, paths)))


def _split_ranges(
    runs: Sequence[SortedRun], stem: Path, memory_bytes: int, size: int = 0
) -> list[KeyRange]:
    """Even key ranges of some runs, each with the files that it needs."""
    size = size or sum(_file_bytes(path) for run in runs for path in run.files)
    parts = max(1, -(-size * SORT_MEMORY_FACTOR // memory_bytes))
    bounds = [2**64 * part // parts for part in range(parts + 1)]
    return [
        KeyRange(
            tuple(path for run in runs for path in run.files_in_range(low, high)),
            low, high, stem.with_name(f"{stem.name}-{at:06}.npy"),
        )
        for at, (low, high) in enumerate(zip(bounds, bounds[1:], strict=False))
    ]  # fmt: skip


def _file_bytes(path: Path) -> int:
    """Size of a file in bytes."""
    return path.stat().st_size


def _merge_range(part: KeyRange) -> Path:
    """Write the sorted rows of a range."""
    return save_array(part.out, read_range(part))


def read_range(part: KeyRange) -> np.ndarray:
    """Sorted rows of all runs in a key range."""
    slices = []
    for run in part.runs:
        rows = load_array(run)
        keys = rows["key"]
        low = np.searchsorted(keys, np.uint64(part.low))
        high = len(rows) if part.high >= 2**64 else np.searchsorted(keys, np.uint64(part.high))
        slices.append(np.array(rows[low:high]))  # copied, so that only one file is open
    rows = np.concatenate(slices)
    slices.clear()
    return sort_by_key(rows)


def equal_groups(rows: np.ndarray, *fields: str) -> np.ndarray:
    """(n, 2) start and end of each group of two or more sorted rows with equal fields."""
    if not len(rows):
        return np.zeros((0, 2), np.int64)
    is_new = np.ones(len(rows), bool)
    is_new[1:] = False
    for field in fields:
        is_new[1:] |= rows[field][1:] != rows[field][:-1]
    starts = np.flatnonzero(is_new)
    ends = np.append(starts[1:], len(rows))
    return np.stack([starts, ends], axis=1)[ends - starts > 1]
