"""Unique ids: of records with one id, the first stays, in the order of shards.

Inside a shard the job that read it has seen to that; this survey does so between shards. Workers
write a sorted run of 16-byte hashes of each shard's ids and compare a range of all runs at a time
(see dedup/runs.py), so memory is bounded whatever the number of records.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from groundup.core import Config
from groundup.documents import Ruling

from ..dedup.ranges import Slice, groups, key_ranges, read_slice, write_run
from ..dedup.runs import save
from .rulings import write_rulings
from .survey import Each

AGAIN = Ruling("duplicate id", details="a record of an earlier shard has it")
ROW = np.dtype([("key", "<u8"), ("rest", "<u8"), ("shard", "<u4"), ("row", "<u4")])


class UniqueConfig(Config):
    """How many ids are compared at once."""

    memory_bytes: int = 64 * 2**20
    """Memory of a task, 96 bytes an id. Own choice."""


class UniqueIds:
    """A survey that drops a record whose id an earlier shard has."""

    def __init__(self, config: UniqueConfig) -> None:
        self.config = config

    def rulings(self, shards: Sequence[Path], each: Each, scratch: Path) -> Sequence[Path]:
        """A file a shard, nearly always an empty one."""
        tasks = [
            (shard, number, scratch / f"{number:05d}.npy") for number, shard in enumerate(shards)
        ]
        ranges = key_ranges(each(hash_ids, tasks), each, scratch, self.config.memory_bytes)
        again = np.concatenate([np.load(path) for path in each(repeated, ranges)])
        return [
            write_rulings(
                scratch / f"{number:05d}.parquet",
                chosen(shard, again["row"][again["shard"] == number]),
            )
            for number, shard in enumerate(shards)
        ]


def chosen(shard: Path, rows: np.ndarray) -> Iterator[tuple[str, Ruling]]:
    """Yield the ruling about the records in some rows."""
    if len(rows):
        ids = ids_of(shard)
        yield from ((ids[row], AGAIN) for row in np.sort(rows).tolist())


def hash_ids(task: tuple[Path, int, Path]) -> Path:
    """The run of a shard's ids."""
    shard, number, out = task
    hashes = b"".join(
        hashlib.blake2b(one.encode(), digest_size=16).digest() for one in ids_of(shard)
    )
    both = np.frombuffer(hashes, "<u8").reshape(-1, 2)
    rows = np.empty(len(both), ROW)
    rows["key"], rows["rest"] = both[:, 0], both[:, 1]
    rows["shard"], rows["row"] = number, np.arange(len(both))
    return write_run(out, rows)


def repeated(part: Slice) -> Path:
    """The rows of a range whose id an earlier shard has."""
    rows = read_slice(part)
    again = [rows[low + 1 : high] for low, high in groups(rows, "key", "rest")]
    return save(part.out, np.concatenate([rows[:0], *again]))


def ids_of(shard: Path) -> list[str]:
    """The ids of a shard, in the order of its rows."""
    import pyarrow.parquet as parquet

    return parquet.read_table(shard, columns=["id"])["id"].to_pylist()
