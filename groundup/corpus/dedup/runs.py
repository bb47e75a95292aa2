"""Record numbers and arrays on disk, shared by all deduplication steps.

Records are numbered by the priority of their source, then by id. All further work is on numbers, so
results do not depend on how records are distributed over shards. See sorted_runs.py for sorting.
"""

import contextlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple, SupportsIndex

import numpy as np
from pydantic import Field

from groundup.core import CapacityError, Config, DataError, replacing

from ..engine.survey import Each
from .sketch import Texts, of_arrow

PLACE = np.dtype([("number", "<u4"), ("file", "<u4"), ("start", "<u8"), ("size", "<u8")])
OPEN = 200
"""Maximum number of open files; a process usually may open about 1,000."""
ROWS = 512
"""Records of a shard per batch."""
RECORDS = 500_000
"""Names or pairs merged at a time: about 50 MB. Source: own judgement."""
SAMPLED = 1_024
"""One of so many sorted values is sampled to find quantiles."""
RANK = 2
"""Bytes before an id that hold its source's rank."""


class DedupConfig(Config):
    """Which record is kept, and the memory of a task."""

    priority: tuple[str, ...] = ()
    """Sources, the best first: of duplicates, the record of the better source is kept, then the one
    with the smaller id. Unnamed sources come last. Own choice: deterministic."""
    memory_bytes: int = Field(default=64 * 2**20, ge=2**16)
    """Memory of a sorting task, of which the rows themselves are a quarter. More memory means fewer
    tasks. Source: own judgement."""


class Order(NamedTuple):
    """All records by number, in order of preference: 0 is always kept."""

    numbers: list[Path]
    """One uint32 file per shard: the number of each of its records."""
    ids: np.ndarray
    """Ids (bytes) by number; memory-mapped."""
    shards: np.ndarray
    """Shard by number, uint32; memory-mapped."""

    def id(self, number: SupportsIndex) -> str:
        """Id of a record."""
        return self.ids[number].decode()


def number_records(
    shards: Sequence[Path], each: Each, scratch: Path, priority: tuple[str, ...]
) -> Order:
    """Number all records by priority of source and id, independent of their shards.

    Shards are sorted separately and merged range by range, so memory is bounded.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    tasks = [(shard, scratch / f"names-{at:06}.npy", priority) for at, shard in enumerate(shards)]
    runs: list[Path] = each(sorted_names, tasks)
    kinds = [load(run).dtype for run in runs]
    total = sum(len(load(run)) for run in runs)
    if total >= 2**32:
        raise CapacityError(
            f"{total:,} records exceed the limit of 2³²; deduplicate parts of them."
        )
    numbers = [scratch / f"numbers-{at:06}.npy" for at in range(len(shards))]
    for run, path in zip(runs, numbers, strict=True):
        save(path, np.zeros(len(load(run)), np.uint32))
    width = max((kind.itemsize for kind in kinds), default=RANK + 1) - RANK
    ids, owners = scratch / "ids.npy", scratch / "owners.npy"
    with begun(ids, f"|S{width}", total) as id_file, begun(owners, "<u4", total) as owner_file:
        done = 0
        for slices in even_slices(runs, RECORDS):
            names, owner = numbered(slices, runs, numbers, done)
            id_file.write(names.astype(f"S{RANK + width}").view("u1").reshape(-1, RANK + width)
                          [:, RANK:].tobytes())  # fmt: skip
            owner_file.write(owner.tobytes())
            done += len(names)
    return Order(numbers, load(ids), load(owners))


def sorted_names(task: tuple[Path, Path, tuple[str, ...]]) -> Path:
    """Write rank and id of a shard's records, sorted, and a file of their row numbers."""
    shard, out, priority = task
    rank = {source: place for place, source in enumerate(priority)}
    names = []
    for batch in batches(shard, ("id", "source"), 65_536):
        ranks = (rank.get(name, len(rank)) for name in batch.column("source").to_pylist())
        ids = batch.column("id").to_pylist()
        names += [at.to_bytes(RANK, "big") + id.encode() for at, id in zip(ranks, ids)]  # noqa: B905
    every = np.array(names, "S" if names else f"S{RANK + 1}")
    order = np.argsort(every, kind="stable")
    save(rows_of(out), order.astype(np.uint32))
    return save(out, every[order])


def rows_of(names: Path) -> Path:
    """Path of the row numbers of sorted names."""
    return names.with_suffix(".rows.npy")


def numbered(
    slices: Sequence[slice], runs: Sequence[Path], numbers: Sequence[Path], first: int
) -> tuple[np.ndarray, np.ndarray]:
    """Number a range of names from `first`; returns their sorted names and shards."""
    names = np.concatenate(
        [np.array(load(run)[part]) for run, part in zip(runs, slices, strict=True)]
    )
    sizes = [part.stop - part.start for part in slices]
    order = np.argsort(names, kind="stable")
    place = np.empty(len(order), np.uint32)
    place[order] = np.arange(first, first + len(order), dtype=np.uint32)
    parts = np.split(place, np.cumsum(sizes)[:-1])
    for run, path, chosen, own in zip(runs, numbers, slices, parts, strict=True):
        if len(own):
            np.load(path, mmap_mode="r+")[load(rows_of(run))[chosen]] = own
    owners = np.repeat(np.arange(len(runs), dtype=np.uint32), sizes)
    return names[order], owners[order]


def even_slices(runs: Sequence[Path], rows: int) -> Iterator[list[slice]]:
    """Yield one slice per sorted file for consecutive value ranges of about `rows` rows in total.

    Equal values are in one range. Bounds are sample quantiles because names and pairs, unlike
    hashed keys, are not uniform.
    """
    samples = [np.array(load(run)[SAMPLED - 1 :: SAMPLED]) for run in runs]
    every = max(rows // SAMPLED, 1)
    bounds = np.sort(np.concatenate(samples))[every - 1 :: every].tolist() if samples else []
    lows = [0] * len(runs)
    for bound in [*bounds, None]:
        highs = []
        for run in runs:
            values = load(run)
            highs.append(len(values) if bound is None else bisect_left(values, bound))
        yield list(map(slice, lows, highs))
        lows = highs


@contextlib.contextmanager
def begun(path: Path, kind: str, size: int) -> Iterator[IO[bytes]]:
    """A .npy file for an array that is written sequentially and never held in memory."""
    with replacing(path) as temporary, open(temporary, "wb") as file:
        header = {"descr": kind, "fortran_order": False, "shape": (size,)}
        np.lib.format.write_array_header_1_0(file, header)
        yield file


def batches(shard: Path, columns: Sequence[str], rows: int = ROWS) -> Iterator:
    """Yield a shard's records as Arrow batches; DataError if it is not a shard."""
    import pyarrow
    import pyarrow.parquet as parquet

    try:
        with parquet.ParquetFile(shard) as file:
            yield from file.iter_batches(batch_size=rows, columns=list(columns))
    except (pyarrow.ArrowInvalid, KeyError, OSError) as error:
        raise DataError(f"{shard} is not a shard of records ({error}); create it again.") from None


def read_texts(shard: Path, numbers: Path) -> Iterator[tuple[np.ndarray, Texts]]:
    """Yield numbers and texts of a shard's records in batches."""
    own, at = load(numbers), 0
    for batch in batches(shard, ("text",)):
        yield own[at : at + len(batch)], of_arrow(batch.column("text"))
        at += len(batch)


def by_shard(order: Order, rows: np.ndarray, scratch: Path, name: str) -> list[Path]:
    """Split rows with a field `number` by the record's shard; one file each."""
    owners = order.shards[rows["number"]]
    place = np.argsort(owners, kind="stable")
    bounds = np.searchsorted(owners[place], np.arange(len(order.numbers) + 1))
    return [
        save(scratch / f"{name}-{at:06}.npy", rows[place[bounds[at] : bounds[at + 1]]])
        for at in range(len(order.numbers))
    ]


def write_arrays(out: Path, arrays: Iterable[tuple[int, np.ndarray]]) -> Path:
    """Write records' arrays of 64-bit hashes into one file; returns the file of their offsets."""
    rows, at = [], 0
    with open(out, "wb") as file:
        for number, array in arrays:
            rows.append((number, 0, at, len(array)))
            file.write(array.tobytes())
            at += len(array)
    return save(out.with_suffix(".places.npy"), np.array(rows, PLACE))


Reader = Callable[[int], np.ndarray]
"""Returns a record's array by its number."""


class Arrays(NamedTuple):
    """Arrays of hashes by record, on disk."""

    places: Path
    files: tuple[Path, ...]

    @classmethod
    def gathered(cls, places: Iterable[Path], files: Sequence[Path], scratch: Path) -> "Arrays":
        """The arrays that `write_arrays` wrote to each file."""
        parts = [np.load(path, allow_pickle=False) for path in places]
        for at, part in enumerate(parts):
            part["file"] = at
        every = np.concatenate([np.empty(0, PLACE), *parts])
        index = every[np.argsort(every["number"], kind="stable")]
        return cls(save(scratch / "places.npy", index), tuple(files))

    def reader(self) -> Reader:
        """A reader of memory-mapped arrays."""
        index, maps = load(self.places), {}
        numbers = index["number"]

        def read(number: int) -> np.ndarray:
            _, file, start, size = index[np.searchsorted(numbers, number)].tolist()
            if file not in maps:
                if len(maps) >= OPEN:
                    maps.clear()
                maps[file] = np.memmap(self.files[file], np.uint64, "r")
            return maps[file][start : start + size]

        return read

    def rows(self, numbers: np.ndarray) -> list[np.ndarray]:
        """Copies of the arrays of some records; opens one file at a time."""
        index = load(self.places)
        entries = np.array(index[np.searchsorted(index["number"], numbers)])
        arrays = [np.zeros(0, np.uint64)] * len(entries)
        for file in np.unique(entries["file"]).tolist():
            items = np.memmap(self.files[file], np.uint64, "r")
            for at in np.flatnonzero(entries["file"] == file).tolist():
                start, size = entries["start"][at], entries["size"][at]
                arrays[at] = np.array(items[start : start + size])
        return arrays


def save(path: Path, array: np.ndarray) -> Path:
    """Write an array atomically."""
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.save(file, array)
    return path


def load(path: Path) -> np.ndarray:
    """Memory-map an array; DataError if the file is damaged."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{path} is damaged ({error}); remove it and run again.") from None
