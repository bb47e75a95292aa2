"""Sorted runs on disk: how rows from all shards with one key are brought together.

Each shard's worker writes one file of rows sorted by a 64-bit key: a run. A task has a range of
keys, a slice of every run that is found by bisection, and holds no more than its share in memory.
Ranges are even because keys are hashes. Of many runs, each group of `FAN_IN` is first put together
by ranges of its own, and so on until few are left: so no task opens more than some `FAN_IN` files
and twice the shards are twice the opens, not four times.
Source: external merge sort, Knuth, The Art of Computer Programming, vol. 3, § 5.4.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..engine.survey import Each
from .runs import load, save

FAN_IN = 64
"""Runs that are put together at once. Own choice: 4,096 shards take one turn, 262,144 two."""
COPIES = 4
"""Times their size that rows take while they are sorted: pieces or order, rows and sorted rows."""


class Slice(NamedTuple):
    """A task over a range of keys of several runs."""

    runs: tuple[Path, ...]
    """Files that may hold rows of the range."""
    low: int
    high: int
    """One past the last key, at most 2**64."""
    out: Path


class Run(NamedTuple):
    """Rows in the order of their keys, in files of a range each."""

    files: tuple[Path, ...]
    lows: tuple[int, ...]
    """Of each file the least key that it may hold; rising from 0."""

    def within(self, low: int, high: int) -> tuple[Path, ...]:
        """The files that may hold keys from `low` to before `high`."""
        return self.files[bisect_right(self.lows, low) - 1 : bisect_left(self.lows, high)]


def write_run(path: Path, rows: np.ndarray) -> Path:
    """Write rows with a field `key`, sorted by it and then by the others, which makes it a run."""
    return save(path, by_key(rows))


def by_key(rows: np.ndarray) -> np.ndarray:
    """Rows sorted by their first field, then by the others."""
    return rows[np.lexsort([rows[name] for name in reversed(rows.dtype.names or ())])]


def key_ranges(paths: Sequence[Path], each: Each, scratch: Path, memory_bytes: int) -> list[Slice]:
    """Tasks over even ranges of keys, each taking about `memory_bytes`."""
    runs, turn = [Run((path,), (0,)) for path in paths], 0
    while len(runs) > FAN_IN:
        groups = [runs[at : at + FAN_IN] for at in range(0, len(runs), FAN_IN)]
        tasks = [
            slices(group, scratch / f"merge-{turn}-{number:06}", memory_bytes)
            for number, group in enumerate(groups)
        ]
        each(merge, [one for group in tasks for one in group])
        if turn:  # made here: what was given stays
            for path in (path for run in runs for path in run.files):
                path.unlink()
        runs = [
            Run(tuple(one.out for one in group), tuple(one.low for one in group)) for group in tasks
        ]
        turn += 1
    return slices(runs, scratch / "range", memory_bytes, sum(map(size_of, paths)))


def slices(runs: Sequence[Run], stem: Path, memory_bytes: int, size: int = 0) -> list[Slice]:
    """Even ranges of some runs, each with the files that it needs."""
    size = size or sum(size_of(path) for run in runs for path in run.files)
    parts = max(1, -(-size * COPIES // memory_bytes))
    bounds = [2**64 * part // parts for part in range(parts + 1)]
    return [
        Slice(
            tuple(path for run in runs for path in run.within(low, high)),
            low, high, stem.with_name(f"{stem.name}-{at:06}.npy"),
        )
        for at, (low, high) in enumerate(zip(bounds, bounds[1:], strict=False))
    ]  # fmt: skip


def size_of(path: Path) -> int:
    """Bytes of a file."""
    return path.stat().st_size


def merge(part: Slice) -> Path:
    """Write the rows of a range, sorted."""
    return save(part.out, read_slice(part))


def read_slice(part: Slice) -> np.ndarray:
    """The rows of all runs in a range of keys, sorted like each run."""
    found = []
    for run in part.runs:
        rows = load(run)
        keys = rows["key"]
        low = np.searchsorted(keys, np.uint64(part.low))
        high = len(rows) if part.high >= 2**64 else np.searchsorted(keys, np.uint64(part.high))
        found.append(np.array(rows[low:high]))  # copied, so that no more than one file is open
    rows = np.concatenate(found)
    found.clear()
    return by_key(rows)


def groups(rows: np.ndarray, *fields: str) -> np.ndarray:
    """(n, 2) first and one past the last place of each group of two and more equal sorted rows."""
    if not len(rows):
        return np.zeros((0, 2), np.int64)
    is_new = np.ones(len(rows), bool)
    is_new[1:] = False
    for field in fields:
        is_new[1:] |= rows[field][1:] != rows[field][:-1]
    starts = np.flatnonzero(is_new)
    ends = np.append(starts[1:], len(rows))
    return np.stack([starts, ends], axis=1)[ends - starts > 1]
