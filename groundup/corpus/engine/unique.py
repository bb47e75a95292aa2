"""Unique ids: of records with one id, the first stays, in the order of shards.

Inside a shard the job that read it has seen to that; this survey does so between shards. Workers
write the sorted 16-byte hashes of each shard's ids, 20 bytes a record, and compare a range of all
shards' hashes at a time, so memory is bounded whatever the number of records.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from groundup.core import Config
from groundup.documents import Ruling

from .rulings import write_rulings
from .survey import Each

AGAIN = Ruling("duplicate id", details="a record of an earlier shard has it")
ROW = np.dtype([("a", "<u8"), ("b", "<u8"), ("row", "<u4")])
SPOT = np.dtype([("shard", "<u4"), ("row", "<u4")])


class UniqueConfig(Config):
    """How many ids are compared at once."""

    ids_at_once: int = 500_000
    """Ids that a task holds in memory, about 90 bytes each while they are sorted. Own choice."""


class Range(NamedTuple):
    """A task over a range of hashes of all shards."""

    files: tuple[Path, ...]
    low: int
    high: int
    """One past the last, at most 2**64."""
    out: Path


class UniqueIds:
    """A survey that drops a record whose id an earlier shard has."""

    def __init__(self, config: UniqueConfig) -> None:
        self.config = config

    def rulings(self, shards: Sequence[Path], each: Each, scratch: Path) -> Sequence[Path]:
        """A file a shard, nearly always an empty one."""
        names = [f"{number:05d}" for number in range(len(shards))]
        hashed = [
            (shard, scratch / f"{name}.npy") for shard, name in zip(shards, names, strict=True)
        ]
        count = sum(each(hash_ids, hashed))
        parts = count // self.config.ids_at_once + 1
        bounds = [2**64 * part // parts for part in range(parts + 1)]
        files = tuple(file for _, file in hashed)
        ranges = [
            Range(files, low, high, scratch / f"again-{part:05d}.npy")
            for part, (low, high) in enumerate(zip(bounds, bounds[1:], strict=False))
        ]
        again = np.concatenate([np.load(path) for path in each(repeated, ranges)])
        return [
            write_rulings(
                scratch / f"{name}.parquet", chosen(shard, again["row"][again["shard"] == number])
            )
            for number, (shard, name) in enumerate(zip(shards, names, strict=True))
        ]


def chosen(shard: Path, rows: np.ndarray) -> Iterator[tuple[str, Ruling]]:
    """Yield the ruling about the records in some rows."""
    if len(rows):
        ids = ids_of(shard)
        yield from ((ids[row], AGAIN) for row in np.sort(rows).tolist())


def hash_ids(task: tuple[Path, Path]) -> int:
    """Write the hashes of a shard's ids, sorted, and their rows; returns how many."""
    shard, out = task
    hashes = b"".join(
        hashlib.blake2b(one.encode(), digest_size=16).digest() for one in ids_of(shard)
    )
    both = np.frombuffer(hashes, "<u8").reshape(-1, 2)
    rows = np.empty(len(both), ROW)
    rows["a"], rows["b"], rows["row"] = both[:, 0], both[:, 1], np.arange(len(both))
    np.save(out, rows[np.argsort(rows["a"], kind="stable")])
    return len(rows)


def repeated(task: Range) -> Path:
    """Write where the ids of a range stand that an earlier shard has."""
    parts, owners = [], []
    for number, file in enumerate(task.files):
        rows = np.load(file, mmap_mode="r")
        low = np.searchsorted(rows["a"], np.uint64(task.low))
        is_last = task.high >= 2**64
        high = len(rows) if is_last else np.searchsorted(rows["a"], np.uint64(task.high))
        parts.append(np.array(rows[low:high]))  # copied, so that one file is open at a time
        owners.append(np.full(high - low, number, np.uint32))
    every, owner = np.concatenate(parts), np.concatenate(owners)
    order = np.lexsort((owner, every["b"], every["a"]))
    first, second = every[order[:-1]], every[order[1:]]
    later = order[1:][(first["a"] == second["a"]) & (first["b"] == second["b"])]
    spots = np.empty(len(later), SPOT)
    spots["shard"], spots["row"] = owner[later], every["row"][later]
    np.save(task.out, spots)
    return task.out


def ids_of(shard: Path) -> list[str]:
    """The ids of a shard's records, in order."""
    import pyarrow.parquet as parquet

    return parquet.read_table(shard, columns=["id"])["id"].to_pylist()
