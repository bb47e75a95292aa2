"""Sorted runs on disk: how records from all shards with one key are brought together.

Each shard's worker writes one file of rows sorted by a 64-bit key. A range of keys is then a slice
of every file, found by bisection, so one task reads its range from all files in order and holds no
more than its share in memory, whatever the number of shards. Ranges are even because keys are
hashes. Records go by their numbers: see `survey_of`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import Field

from groundup.core import CapacityError, Config, DataError, replacing

from ..engine.survey import Each
from .sketch import Texts, of_arrow

PLACE = np.dtype([("number", "<u4"), ("file", "<u4"), ("start", "<u8"), ("size", "<u8")])
ROWS = 512
"""Records of a shard that are read together."""


class DedupConfig(Config):
    """Who stays, and how much memory a task takes."""

    priority: tuple[str, ...] = ()
    """Sources, the best first: of equal records the one of the better source stays, then the one
    with the smaller id. Sources not named come last. Our own order: chance decides nothing."""
    memory_bytes: int = Field(default=256 * 2**20, ge=2**16)
    """Keys that a task sorts at once take about this much. A share of the 2 GB that a cluster
    commonly grants a core. Source: own judgement."""


class Order(NamedTuple):
    """All records of a survey by number: 0 is the one that would stay of all."""

    numbers: list[Path]
    """A file of uint32 for each shard: the number of each of its records."""
    ids: np.ndarray
    """Ids by number, bytes."""
    shards: np.ndarray
    """Shard by number, uint32."""

    def id(self, number: int) -> str:
        """The id of a record."""
        return self.ids[number].decode()


class Slice(NamedTuple):
    """A task over a range of keys of several runs."""

    runs: tuple[Path, ...]
    low: int
    high: int
    """One past the last key, at most 2**64."""
    out: Path


def number_records(
    shards: Sequence[Path], each: Each, scratch: Path, priority: tuple[str, ...]
) -> Order:
    """Number all records by priority of source and id, however they lie in shards.

    What follows speaks of these numbers alone; therefore nothing depends on the shards.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    tasks = [(shard, scratch / f"ids-{at:06}.npz", priority) for at, shard in enumerate(shards)]
    parts = [np.load(path, allow_pickle=False) for path in each(read_ids, tasks)]
    ids = np.concatenate([part["ids"] for part in parts]) if parts else np.zeros(0, "S1")
    ranks = np.concatenate([part["ranks"] for part in parts]) if parts else np.zeros(0, np.uint16)
    if len(ids) >= 2**32:
        raise CapacityError(f"{len(ids):,} records are more than 2³²; survey parts of them.")
    sizes = [len(part["ids"]) for part in parts]
    order = np.lexsort((ids, ranks))
    numbers = np.empty(len(order), np.uint32)
    numbers[order] = np.arange(len(order), dtype=np.uint32)
    owners = np.repeat(np.arange(len(shards), dtype=np.uint32), sizes)[order]
    paths = []
    for at, own in enumerate(np.split(numbers, np.cumsum(sizes)[:-1]) if sizes else []):
        paths.append(save(scratch / f"numbers-{at:06}.npy", own))
    return Order(paths, ids[order], owners)


def read_ids(task: tuple[Path, Path, tuple[str, ...]]) -> Path:
    """Ids of a shard's records and the ranks of their sources."""
    shard, out, priority = task
    rank = {source: place for place, source in enumerate(priority)}
    ids, ranks = [], []
    for batch in batches(shard, ("id", "source"), 65_536):
        ids += [one.encode() for one in batch.column("id").to_pylist()]
        ranks += [rank.get(one, len(rank)) for one in batch.column("source").to_pylist()]
    with replacing(out) as temporary, open(temporary, "wb") as file:
        np.savez(file, ids=np.array(ids, "S" if ids else "S1"), ranks=np.array(ranks, np.uint16))
    return out


def batches(shard: Path, columns: Sequence[str], rows: int = ROWS) -> Iterator:
    """Yield a shard's records as Arrow batches; DataError if it is no shard."""
    import pyarrow
    import pyarrow.parquet as parquet

    try:
        with parquet.ParquetFile(shard) as file:
            yield from file.iter_batches(batch_size=rows, columns=list(columns))
    except (pyarrow.ArrowInvalid, KeyError, OSError) as error:
        raise DataError(f"{shard} is no shard of records ({error}); make it again.") from None


def read_texts(shard: Path, numbers: Path) -> Iterator[tuple[np.ndarray, Texts]]:
    """Yield the numbers and texts of a shard's records, some at a time."""
    known, at = load(numbers), 0
    for batch in batches(shard, ("text",)):
        yield known[at : at + len(batch)], of_arrow(batch.column("text"))
        at += len(batch)


def write_run(path: Path, rows: np.ndarray) -> Path:
    """Write rows with a field `key`, sorted by it and then by the others, which makes it a run."""
    return save(path, by_key(rows))


def by_key(rows: np.ndarray) -> np.ndarray:
    """Rows sorted by their first field, then by the others."""
    return rows[np.lexsort([rows[name] for name in reversed(rows.dtype.names)])]


def key_ranges(runs: Sequence[Path], scratch: Path, memory_bytes: int) -> list[Slice]:
    """Tasks over even ranges of keys, each holding about `memory_bytes` of rows."""
    total = sum(run.stat().st_size for run in runs)
    parts = max(1, -(-total // memory_bytes))
    bounds = [2**64 * part // parts for part in range(parts + 1)]
    return [
        Slice(tuple(runs), low, high, scratch / f"range-{at:06}.npy")
        for at, (low, high) in enumerate(zip(bounds, bounds[1:], strict=False))
    ]


def read_slice(part: Slice) -> np.ndarray:
    """The rows of all runs in a range of keys, sorted like each run."""
    found = []
    for run in part.runs:
        rows = load(run)
        keys = rows["key"]
        low = np.searchsorted(keys, np.uint64(part.low))
        high = len(rows) if part.high >= 2**64 else np.searchsorted(keys, np.uint64(part.high))
        found.append(np.asarray(rows[low:high]))
    return by_key(np.concatenate(found))


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


def by_shard(order: Order, rows: np.ndarray, scratch: Path, name: str) -> list[Path]:
    """Part rows with a field `number` by the shard of the record, a file each."""
    owners = order.shards[rows["number"]]
    place = np.argsort(owners, kind="stable")
    bounds = np.searchsorted(owners[place], np.arange(len(order.numbers) + 1))
    return [
        save(scratch / f"{name}-{at:06}.npy", rows[place[bounds[at] : bounds[at + 1]]])
        for at in range(len(order.numbers))
    ]


def write_arrays(out: Path, arrays: Iterable[tuple[int, np.ndarray]]) -> Path:
    """Write records' rows of 64-bit hashes behind one another; return the file of their places."""
    rows, at = [], 0
    with open(out, "wb") as file:
        for number, array in arrays:
            rows.append((number, 0, at, len(array)))
            file.write(array.tobytes())
            at += len(array)
    return save(out.with_suffix(".places.npy"), np.array(rows, PLACE))


Reader = Callable[[int], np.ndarray]
"""A record's row by its number."""


class Arrays(NamedTuple):
    """Rows of hashes of records, on disk."""

    places: Path
    files: tuple[Path, ...]

    @classmethod
    def gathered(cls, places: Iterable[Path], files: Sequence[Path], scratch: Path) -> "Arrays":
        """Those that `write_arrays` wrote to each file."""
        parts = [np.load(path, allow_pickle=False) for path in places]
        for at, part in enumerate(parts):
            part["file"] = at
        every = np.concatenate([np.empty(0, PLACE), *parts])
        index = every[np.argsort(every["number"], kind="stable")]
        return cls(save(scratch / "places.npy", index), tuple(files))

    def reader(self) -> Reader:
        """What reads a row, mapped."""
        index, maps = load(self.places), {}
        numbers = index["number"]

        def read(number: int) -> np.ndarray:
            _, file, start, size = index[np.searchsorted(numbers, number)].tolist()
            if file not in maps:
                maps[file] = np.memmap(self.files[file], np.uint64, "r")
            return maps[file][start : start + size]

        return read


def save(path: Path, array: np.ndarray) -> Path:
    """Write an array whole or not at all."""
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.save(file, array)
    return path


def load(path: Path) -> np.ndarray:
    """An array on disk, mapped; a truncated file is a DataError that says so."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{path} is damaged ({error}); remove it and start again.") from None
