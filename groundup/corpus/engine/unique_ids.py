"""Unique ids: of records with the same id, the first in shard order is kept.

Within a shard the reading job ensures this; this global step does so across shards. Workers write a
sorted run of 16-byte id hashes per shard and compare one key range of all runs at a time (see
dedup/sorted_runs.py), so memory is bounded for any number of records.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from groundup.core import Config
from groundup.documents import StepResult

from ..dedup.numbering import save_array
from ..dedup.sorted_runs import KeyRange, equal_groups, key_ranges, read_range, write_run
from .global_step import Executor
from .step_results import write_step_results

DUPLICATE_ID = StepResult("duplicate id", details="a record of an earlier shard has it")
ID_ROW = np.dtype([("key", "<u8"), ("rest", "<u8"), ("shard", "<u4"), ("row", "<u4")])


class UniqueIdsConfig(Config):
    """Memory limit."""

    memory_bytes: int = 64 * 2**20
    """Memory of a task, 96 bytes per id. Own choice."""


class UniqueIds:
    """Drops each record whose id occurs in an earlier shard."""

    def __init__(self, config: UniqueIdsConfig) -> None:
        self.config = config

    def rulings(self, shards: Sequence[Path], executor: Executor, scratch: Path) -> Sequence[Path]:
        """See `GlobalStep`; the files are nearly always empty."""
        tasks = [
            (shard, number, scratch / f"{number:05d}.npy") for number, shard in enumerate(shards)
        ]
        ranges = key_ranges(executor(_hash_ids, tasks), executor, scratch, self.config.memory_bytes)
        duplicates = np.concatenate([np.load(path) for path in executor(_repeated_ids, ranges)])
        return [
            write_step_results(
                scratch / f"{number:05d}.parquet",
                _duplicate_results(shard, duplicates["row"][duplicates["shard"] == number]),
            )
            for number, shard in enumerate(shards)
        ]


def _duplicate_results(shard: Path, rows: np.ndarray) -> Iterator[tuple[str, StepResult]]:
    """Yield results for the records in the given rows."""
    if len(rows):
        ids = _read_ids(shard)
        yield from ((ids[row], DUPLICATE_ID) for row in np.sort(rows).tolist())


def _hash_ids(task: tuple[Path, int, Path]) -> Path:
    """Write the sorted run of a shard's id hashes."""
    shard, number, out = task
    hashes = b"".join(
        hashlib.blake2b(id.encode(), digest_size=16).digest() for id in _read_ids(shard)
    )
    both = np.frombuffer(hashes, "<u8").reshape(-1, 2)
    rows = np.empty(len(both), ID_ROW)
    rows["key"], rows["rest"] = both[:, 0], both[:, 1]
    rows["shard"], rows["row"] = number, np.arange(len(both))
    return write_run(out, rows)


def _repeated_ids(part: KeyRange) -> Path:
    """Rows of a key range whose id occurs in an earlier shard."""
    rows = read_range(part)
    later = [rows[low + 1 : high] for low, high in equal_groups(rows, "key", "rest")]
    return save_array(part.out, np.concatenate([rows[:0], *later]))


def _read_ids(shard: Path) -> list[str]:
    """Ids of a shard in row order."""
    import pyarrow.parquet as parquet

    return parquet.read_table(shard, columns=["id"])["id"].to_pylist()
