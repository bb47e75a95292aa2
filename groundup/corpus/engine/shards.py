"""Shards on disk: Parquet written whole or not at all, each with a marker that says what it holds.

    00003.kept.parquet      a stream of one job: records kept, or a split's
    00003.removed.parquet   what the job took away and why
    00003.done              written last: rows, bytes and sha256 of each file, counters

A job whose marker and files agree is never done again. Rows are gathered into row groups that are
bounded in rows and bytes, so memory is the same for a shard of any size. Knows nothing of steps.
"""

import contextlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from groundup.core import DataError, hash_file, write_text
from groundup.documents import (
    Record,
    Removal,
    from_batch,
    removal_schema,
    removals_to_batch,
    schema,
    to_batch,
)

from .disk import full_disk

GROUP_BYTES = 8 * 2**20
GROUP_ROWS = 1_000
"""Where a row group ends: what a worker holds in memory at most, but for one large record."""
COMPRESSION = "zstd"
REMOVED = "removed"
UNSTORABLE = "cannot be stored"
UNFIT = (ValueError, TypeError, RecursionError, AttributeError, OverflowError, DataError)


class File(NamedTuple):
    """One file of a finished job."""

    rows: int
    bytes: int
    sha256: str


class Done(NamedTuple):
    """What a finished job made."""

    number: int
    files: dict[str, File]
    """By stream."""
    counters: Counter[str]


def shard_path(folder: Path, number: int, stream: str) -> Path:
    """Where a job's stream lies."""
    return folder / f"{number:05d}.{stream}.parquet"


def finished(folder: Path, number: int) -> Done | None:
    """What a job made, if it was done before and every file still is what its marker says."""
    try:
        said = json.loads((folder / f"{number:05d}.done").read_text())
        files = {stream: File(*file) for stream, file in said["files"].items()}
        for stream, file in files.items():
            path = shard_path(folder, number, stream)
            if path.stat().st_size != file.bytes or hash_file(path) != file.sha256:
                return None
        return Done(number, files, Counter(said["counters"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_shard(path: Path) -> Iterator[Record]:
    """Yield a shard's records in order, a row group in memory at a time."""
    import pyarrow.parquet as parquet

    with parquet.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            for batch in file.read_row_group(group).to_batches():
                yield from from_batch(batch)


class Writer:
    """Files of one job, by stream; they appear together when `finish` is called."""

    def __init__(self, folder: Path, number: int) -> None:
        self.folder, self.number = folder, number
        self.counters: Counter[str] = Counter()
        self.streams: dict[str, Stream] = {}

    def put(self, stream: str, row: Record | Removal) -> None:
        """Add a row; memory holds no more than a row group of each stream."""
        into = self.open(stream)
        into.rows.append(row)
        into.size += len(row.text) + (len(row.data) if isinstance(row, Record) else 200)
        if into.size >= GROUP_BYTES or len(into.rows) >= GROUP_ROWS:
            self.flush(into)

    def open(self, name: str) -> "Stream":
        """A stream, begun if it is new: one without rows is a file too."""
        if name not in self.streams:
            self.streams[name] = Stream(shard_path(self.folder, self.number, name), name)
        return self.streams[name]

    def flush(self, stream: "Stream") -> None:
        """Write what is gathered as one row group; what no file can hold becomes a removal."""
        rows, stream.rows, stream.size = stream.rows, [], 0
        try:
            stream.write(rows)
            return
        except UNFIT:
            pass
        kept = []
        for row in rows:
            if stream.is_fit(row):
                kept.append(row)
            elif isinstance(row, Record):
                self.put(REMOVED, unstorable(row))
                self.counters.update(["engine|in", f"engine|record|{UNSTORABLE}"])
            else:
                kept.append(ascii_row(row))
        stream.write(kept)

    def finish(self) -> Done:
        """Write what is left, make the files durable, put them in place and say so."""
        for stream in sorted(self.streams.values(), key=lambda one: one.name == REMOVED):
            self.flush(stream)
        if REMOVED in self.streams:
            self.flush(self.streams[REMOVED])
        files = {name: self.streams[name].close() for name in sorted(self.streams)}
        return mark(self.folder, self.number, files, self.counters)

    def abandon(self) -> None:
        """Remove what was begun."""
        for stream in self.streams.values():
            stream.abandon()


class Stream:
    """One Parquet file on its way."""

    def __init__(self, path: Path, name: str) -> None:
        import pyarrow.parquet as parquet

        self.name, self.path = name, path
        self.temporary = path.with_name(path.name + ".tmp")
        self.rows: list[Any] = []
        self.size = self.count = 0
        self.file: IO[bytes] = open(self.temporary, "wb")  # noqa: SIM115  closed by close()
        columns = removal_schema() if name == REMOVED else schema()
        self.parquet = parquet.ParquetWriter(self.file, columns, compression=COMPRESSION)

    def write(self, rows: list[Any]) -> None:
        """Write rows as one row group."""
        if rows:
            self.parquet.write_batch(self.batch(rows))
            self.count += len(rows)

    def batch(self, rows: list[Any]) -> Any:
        """Rows as Arrow."""
        if self.name == REMOVED:
            return removals_to_batch(rows)
        for row in rows:
            check_map(row)
        return to_batch(rows)

    def is_fit(self, row: Record | Removal) -> bool:
        """Whether columns can hold it and give it back."""
        try:
            self.batch([row])
        except UNFIT:
            return False
        return True

    def close(self) -> File:
        """Finish the file and put it in its place."""
        self.parquet.close()
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        made = measured(self.temporary, self.count)
        os.replace(self.temporary, self.path)
        return made

    def abandon(self) -> None:
        """Close and remove the file, however far it came."""
        with contextlib.suppress(Exception):
            self.parquet.close()
        with contextlib.suppress(OSError):
            self.file.close()
        self.temporary.unlink(missing_ok=True)


def check_map(row: Record) -> None:
    """Raise DataError unless the map is of the record's text: no file could give it back."""
    covered = sum(segment.end - segment.start for segment in row.map.segments)
    if covered != len(row.text) or row.map.text != row.text:
        raise DataError(f"{row.path}: its map covers {covered} of {len(row.text)} characters.")


def measured(path: Path, rows: int) -> File:
    """A file of so many rows, measured and hashed."""
    return File(rows, path.stat().st_size, hash_file(path))


def mark(folder: Path, number: int, files: dict[str, File], counters: Counter[str]) -> Done:
    """Write the marker that says that a job is done."""
    counted = dict(sorted(counters.items()))
    write_ascii(folder / f"{number:05d}.done", {"files": files, "counters": counted})
    return Done(number, files, Counter(counted))


def write_ascii(path: Path, value: Any) -> None:
    """Write JSON atomically and durably; names that are not UTF-8 are spelt out and come back."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def link(source: Path, target: Path) -> None:
    """Put a file in a second place at once; it is copied where the disk has no links."""
    temporary = target.with_name(target.name + ".tmp")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:
        shutil.copyfile(source, temporary)
    os.replace(temporary, target)
    temporary.unlink(missing_ok=True)  # a rename between two names of one file does nothing


@contextlib.contextmanager
def writing(folder: Path, number: int) -> Iterator[Writer]:
    """A writer for a job; what it began goes if the block fails, and a full disk is named."""
    writer = Writer(folder, number)
    try:
        yield writer
    except OSError as error:
        writer.abandon()
        raise full_disk(folder, error) from error
    except BaseException:
        writer.abandon()
        raise


def unstorable(record: Record) -> Removal:
    """The removal of a record that no file can hold."""
    row = Removal(
        record.id, record.source, record.path, "engine", "record", UNSTORABLE, None,
        "half a character (a lone surrogate) in its text, metadata that JSON lacks, or a map that "
        "does not cover the text",
        0, len(record.text), 0, 0, record.text[:2_000], "",
    )  # fmt: skip
    return ascii_row(row)


def ascii_row(row: Removal) -> Removal:
    """The removal with half characters spelt out."""
    return Removal._make(
        value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
        for value in row
    )
