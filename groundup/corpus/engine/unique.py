"""Unique ids: of records with one id, the first stays, in the order of shards.

Inside a shard the job that read it has seen to that; this survey does so between shards. It reads
ids alone and compares 16-byte hashes of them; where there are very many it takes several passes,
each over the ids of one range of hashes, so memory is bounded.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from groundup.core import Config
from groundup.documents import Ruling

from .rulings import write_rulings
from .survey import Each

AGAIN = Ruling("duplicate id", details="a record of an earlier shard has it")


class UniqueConfig(Config):
    """How many ids are compared at once."""

    ids_at_once: int = 8_000_000
    """Ids held in memory, about 100 bytes each while they are sorted. Own choice."""


class UniqueIds:
    """A survey that drops a record whose id an earlier shard has."""

    def __init__(self, config: UniqueConfig) -> None:
        self.config = config

    def rulings(self, shards: Sequence[Path], each: Each, scratch: Path) -> Sequence[Path]:
        """A file a shard, nearly always an empty one."""
        passes = sum(map(rows_of, shards)) // self.config.ids_at_once + 1
        again: list[set[int]] = [set() for _ in shards]
        for turn in range(passes):
            hashes, rows = zip(*(hashes_of(shard, turn, passes) for shard in shards), strict=True)
            every, row = np.concatenate(hashes), np.concatenate(rows)
            owner = np.repeat(np.arange(len(shards)), [len(part) for part in hashes])
            order = np.argsort(every, kind="stable")
            is_again = every[order[1:]] == every[order[:-1]]
            for at in order[1:][is_again]:
                again[owner[at]].add(int(row[at]))
        return [
            write_rulings(scratch / f"{number:05d}.parquet", chosen(shard, rows))
            for number, (shard, rows) in enumerate(zip(shards, again, strict=True))
        ]


def chosen(shard: Path, rows: set[int]) -> Iterator[tuple[str, Ruling]]:
    """Yield the ruling about the records in some rows."""
    if rows:
        ids = ids_of(shard)
        yield from ((ids[row], AGAIN) for row in sorted(rows))


def hashes_of(shard: Path, turn: int, passes: int) -> tuple[Any, Any]:
    """Hashes of a shard's ids that belong to one of several passes, and their rows."""
    hashes = np.array(
        [hashlib.blake2b(one.encode(), digest_size=16).digest() for one in ids_of(shard)],
        dtype="V16",
    )
    numbers = hashes.view("<u8").reshape(-1, 2)
    mine = np.flatnonzero(numbers[:, 0] % np.uint64(passes) == turn)
    return numbers[mine].copy().view([("a", "<u8"), ("b", "<u8")]).reshape(-1), mine


def ids_of(shard: Path) -> list[str]:
    """The ids of a shard's records, in order."""
    import pyarrow.parquet as parquet

    return parquet.read_table(shard, columns=["id"])["id"].to_pylist()


def rows_of(shard: Path) -> int:
    """Rows of a shard, from its footer."""
    import pyarrow.parquet as parquet

    return parquet.read_metadata(shard).num_rows
