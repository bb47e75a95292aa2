"""Record numbers, arrays and sorted rows on disk, shared by all deduplication steps.

Records are numbered by the priority of their source, then by id. All further work is on numbers, so
results do not depend on how records are distributed over shards.

Rows with the same key are brought together from all shards by an external sort: each shard's worker
writes a run, a file of rows sorted by a 64-bit key. A task processes one key range, a slice of
every run found by bisection, within bounded memory; ranges are even because keys are hashes. If
there are many runs, groups of `FAN_IN` are merged first, repeatedly, so no task opens many more
than `FAN_IN` files and the number of opens grows linearly with the shards. Source: external merge
sort, Knuth, The Art of Computer Programming, vol. 3, § 5.4.
"""

import contextlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple, SupportsIndex

import numpy as np
from pydantic import Field

from groundup.core import CapacityError, Config, DataError, atomic_replace

from ..engine.executors import Executor
from .sketch import PackedTexts, pack_arrow

ARRAY_ENTRY = np.dtype([("number", "<u4"), ("file", "<u4"), ("start", "<u8"), ("size", "<u8")])
MAX_OPEN_FILES = 200
"""Maximum number of open files; a process usually may open about 1,000."""
BATCH_RECORDS = 512  # Records of a shard per batch
MERGE_ROWS = 500_000
"""Names or pairs merged at a time: about 50 MB. Source: own judgement."""
SAMPLE_STRIDE = 1_024  # One of so many sorted values is sampled to find quantiles
RANK_BYTES = 2  # Bytes before an id that hold its source's rank
ROW_NUMBERS = ".rows.npy"  # Suffix of the row numbers of a file of sorted names
ArrayReader = Callable[[int], np.ndarray]
"""Returns a record's array by its number."""
FAN_IN = 64  # Runs merged at a time. Own choice: 4,096 shards need one pass, 262,144 two.
SORT_MEMORY_FACTOR = 4
"""Memory of sorting in multiples of the rows' size: slices or order, rows and sorted rows."""


class DedupConfig(Config):
    """Which record is kept, and the memory of a task."""

    priority: tuple[str, ...] = ()
    """Sources, the best first: of duplicates, the record of the better source is kept, then the one
    with the smaller id. Unnamed sources come last. Own choice: deterministic."""
    memory_bytes: int = Field(default=64 * 2**20, ge=2**16)
    """Memory of a sorting task, of which the rows themselves are a quarter. More memory means fewer
    tasks. Source: own judgement."""


class RecordOrder(NamedTuple):
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
    shards: Sequence[Path], executor: Executor, scratch: Path, priority: tuple[str, ...]
) -> RecordOrder:
    """Number all records by priority of source and id, independent of their shards.

    Shards are sorted separately and merged range by range, so memory is bounded.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    tasks = [(shard, scratch / f"names-{at:06}.npy", priority) for at, shard in enumerate(shards)]
    runs: list[Path] = executor(_write_sorted_names, tasks)
    kinds = [load_array(run).dtype for run in runs]
    total = sum(len(load_array(run)) for run in runs)
    if total >= 2**32:
        raise CapacityError(f"{total:,} records exceed the limit of 2³²; deduplicate parts.")
    numbers = [scratch / f"numbers-{at:06}.npy" for at in range(len(shards))]
    for run, path in zip(runs, numbers, strict=True):
        save_array(path, np.zeros(len(load_array(run)), np.uint32))
    width = max((kind.itemsize for kind in kinds), default=RANK_BYTES + 1) - RANK_BYTES
    ids, owners = scratch / "ids.npy", scratch / "owners.npy"
    with (
        _open_array_file(ids, f"|S{width}", total) as id_file,
        _open_array_file(owners, "<u4", total) as owner_file,
    ):
        done = 0
        for slices in quantile_slices(runs, MERGE_ROWS):
            names, owner = _number_range(slices, runs, numbers, done)
            padded = names.astype(f"S{RANK_BYTES + width}").view("u1")
            id_file.write(padded.reshape(-1, RANK_BYTES + width)[:, RANK_BYTES:].tobytes())
            owner_file.write(owner.tobytes())
            done += len(names)
    return RecordOrder(numbers, load_array(ids), load_array(owners))


def _write_sorted_names(task: tuple[Path, Path, tuple[str, ...]]) -> Path:
    shard, out, priority = task
    rank = {source: place for place, source in enumerate(priority)}
    names = []
    for batch in _read_batches(shard, ("id", "source"), 65_536):
        ranks = (rank.get(name, len(rank)) for name in batch.column("source").to_pylist())
        ids = batch.column("id").to_pylist()
        names += [at.to_bytes(RANK_BYTES, "big") + id.encode() for at, id in zip(ranks, ids)]  # noqa: B905
    every = np.array(names, "S" if names else f"S{RANK_BYTES + 1}")
    order = np.argsort(every, kind="stable")
    save_array(out.with_suffix(ROW_NUMBERS), order.astype(np.uint32))
    return save_array(out, every[order])


def _number_range(
    slices: Sequence[slice], runs: Sequence[Path], numbers: Sequence[Path], first: int
) -> tuple[np.ndarray, np.ndarray]:
    names = np.concatenate(
        [np.array(load_array(run)[part]) for run, part in zip(runs, slices, strict=True)]
    )
    sizes = [part.stop - part.start for part in slices]
    order = np.argsort(names, kind="stable")
    place = np.empty(len(order), np.uint32)
    place[order] = np.arange(first, first + len(order), dtype=np.uint32)
    parts = np.split(place, np.cumsum(sizes)[:-1])
    for run, path, chosen, own in zip(runs, numbers, slices, parts, strict=True):
        if len(own):
            np.load(path, mmap_mode="r+")[load_array(run.with_suffix(ROW_NUMBERS))[chosen]] = own
    owners = np.repeat(np.arange(len(runs), dtype=np.uint32), sizes)
    return names[order], owners[order]


def quantile_slices(runs: Sequence[Path], rows: int) -> Iterator[list[slice]]:
    """Yield one slice per sorted file for consecutive value ranges of about `rows` rows in total.

    Equal values are in one range. Bounds are sample quantiles because names and pairs, unlike
    hashed keys, are not uniform.
    """
    samples = [np.array(load_array(run)[SAMPLE_STRIDE - 1 :: SAMPLE_STRIDE]) for run in runs]
    every = max(rows // SAMPLE_STRIDE, 1)
    bounds = np.sort(np.concatenate(samples))[every - 1 :: every].tolist() if samples else []
    lows = [0] * len(runs)
    for bound in [*bounds, None]:
        highs = []
        for run in runs:
            values = load_array(run)
            highs.append(len(values) if bound is None else bisect_left(values, bound))
        yield list(map(slice, lows, highs))
        lows = highs


@contextlib.contextmanager
def _open_array_file(path: Path, kind: str, size: int) -> Iterator[IO[bytes]]:
    """A .npy file for an array that is written sequentially and never held in memory."""
    with atomic_replace(path) as temporary, open(temporary, "wb") as file:
        header = {"descr": kind, "fortran_order": False, "shape": (size,)}
        np.lib.format.write_array_header_1_0(file, header)
        yield file


def _read_batches(shard: Path, columns: Sequence[str], rows: int = BATCH_RECORDS) -> Iterator:
    import pyarrow
    import pyarrow.parquet as parquet

    try:
        with parquet.ParquetFile(shard) as file:
            yield from file.iter_batches(batch_size=rows, columns=list(columns))
    except (pyarrow.ArrowInvalid, KeyError, OSError) as error:
        raise DataError(f"{shard} is not a shard of records ({error}); create it again.") from None


def read_shard_texts(shard: Path, numbers: Path) -> Iterator[tuple[np.ndarray, PackedTexts]]:
    """Yield numbers and texts of a shard's records in batches."""
    own, at = load_array(numbers), 0
    for batch in _read_batches(shard, ("text",)):
        yield own[at : at + len(batch)], pack_arrow(batch.column("text"))
        at += len(batch)


def split_by_shard(order: RecordOrder, rows: np.ndarray, scratch: Path, name: str) -> list[Path]:
    """Split rows with a field `number` by the record's shard; one file each."""
    owners = order.shards[rows["number"]]
    place = np.argsort(owners, kind="stable")
    bounds = np.searchsorted(owners[place], np.arange(len(order.numbers) + 1))
    return [
        save_array(scratch / f"{name}-{at:06}.npy", rows[place[bounds[at] : bounds[at + 1]]])
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
    return save_array(out.with_suffix(".places.npy"), np.array(rows, ARRAY_ENTRY))


class ArrayStore(NamedTuple):
    """Arrays of hashes by record, on disk."""

    entries: Path
    files: tuple[Path, ...]

    @classmethod
    def from_files(
        cls, places: Iterable[Path], files: Sequence[Path], scratch: Path
    ) -> "ArrayStore":
        """The arrays that `write_arrays` wrote to each file."""
        parts = [np.load(path, allow_pickle=False) for path in places]
        for at, part in enumerate(parts):
            part["file"] = at
        every = np.concatenate([np.empty(0, ARRAY_ENTRY), *parts])
        index = every[np.argsort(every["number"], kind="stable")]
        return cls(save_array(scratch / "places.npy", index), tuple(files))

    def reader(self) -> ArrayReader:
        """A reader of memory-mapped arrays."""
        index, maps = load_array(self.entries), {}
        numbers = index["number"]

        def read(number: int) -> np.ndarray:
            _, file, start, size = index[np.searchsorted(numbers, number)].tolist()
            if file not in maps:
                if len(maps) >= MAX_OPEN_FILES:
                    maps.clear()
                maps[file] = np.memmap(self.files[file], np.uint64, "r")
            return maps[file][start : start + size]

        return read

    def read_arrays(self, numbers: np.ndarray) -> list[np.ndarray]:
        """Copies of the arrays of some records; opens one file at a time."""
        index = load_array(self.entries)
        entries = np.array(index[np.searchsorted(index["number"], numbers)])
        arrays = [np.zeros(0, np.uint64)] * len(entries)
        for file in np.unique(entries["file"]).tolist():
            items = np.memmap(self.files[file], np.uint64, "r")
            for at in np.flatnonzero(entries["file"] == file).tolist():
                start, size = entries["start"][at], entries["size"][at]
                arrays[at] = np.array(items[start : start + size])
        return arrays


def save_array(path: Path, array: np.ndarray) -> Path:
    """Write an array atomically."""
    with atomic_replace(path) as temporary, open(temporary, "wb") as file:
        np.save(file, array)
    return path


def load_array(path: Path) -> np.ndarray:
    """Memory-map an array; DataError if the file is damaged."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{path} is damaged ({error}); remove it and run again.") from None


class KeyRange(NamedTuple):
    """A task over a key range of several runs."""

    runs: tuple[Path, ...]
    """Files that may have rows in the range."""
    low: int
    high: int
    """One past the last key, at most 2**64."""
    out: Path


class _SortedRun(NamedTuple):
    files: tuple[Path, ...]
    lows: tuple[int, ...]  # Lower key bound of each file, ascending from 0

    def files_in_range(self, low: int, high: int) -> tuple[Path, ...]:
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
    runs, turn = [_SortedRun((path,), (0,)) for path in paths], 0
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
            _SortedRun(tuple(task.out for task in group), tuple(task.low for task in group))
            for group in tasks
        ]
        turn += 1
    return _split_ranges(
        runs, scratch / "range", memory_bytes, sum(path.stat().st_size for path in paths)
    )


def _split_ranges(
    runs: Sequence[_SortedRun], stem: Path, memory_bytes: int, size: int = 0
) -> list[KeyRange]:
    size = size or sum(path.stat().st_size for run in runs for path in run.files)
    parts = max(1, -(-size * SORT_MEMORY_FACTOR // memory_bytes))
    bounds = [2**64 * part // parts for part in range(parts + 1)]
    return [
        KeyRange(
            tuple(path for run in runs for path in run.files_in_range(low, high)),
            low, high, stem.with_name(f"{stem.name}-{at:06}.npy"),
        )
        for at, (low, high) in enumerate(zip(bounds, bounds[1:], strict=False))
    ]  # fmt: skip


def _merge_range(part: KeyRange) -> Path:
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
