"""Shards on disk: Parquet files written atomically, with a marker file per job.

    00003.kept.parquet      a stream of job 3: records kept, or those of a split
    00003.removed.parquet   removals and their reasons
    00003.done              written last: rows, bytes and sha256 of each file, counters

A job whose marker matches its files is not redone. Rows are buffered into row groups bounded in
rows and bytes, so memory does not depend on a shard's size. Knows nothing of steps.
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
    record_schema,
    removal_schema,
    removals_to_batch,
    to_batch,
)

from .disk import as_capacity_error

ROW_GROUP_BYTES = 8 * 2**20
ROW_GROUP_ROWS = 1_000
"""Limits of a row group, which bound a worker's memory except for a single large record."""
COMPRESSION = "zstd"
REMOVED_STREAM = "removed"
UNSTORABLE = "cannot be stored"
CONVERSION_ERRORS = (
    ValueError,
    TypeError,
    RecursionError,
    AttributeError,
    OverflowError,
    DataError,
)


class ShardFile(NamedTuple):
    """One file of a finished job."""

    rows: int
    bytes: int
    sha256: str


class JobResult(NamedTuple):
    """Output of a finished job."""

    number: int
    files: dict[str, ShardFile]
    """By stream name."""
    counters: Counter[str]


def shard_path(folder: Path, number: int, stream: str) -> Path:
    """Path of a job's stream."""
    return folder / f"{number:05d}.{stream}.parquet"


def load_job_result(folder: Path, number: int) -> JobResult | None:
    """The result of a finished job if every file matches its marker, else None."""
    try:
        marker = json.loads((folder / f"{number:05d}.done").read_text())
        files = {stream: ShardFile(*file) for stream, file in marker["files"].items()}
        for stream, file in files.items():
            path = shard_path(folder, number, stream)
            if path.stat().st_size != file.bytes or hash_file(path) != file.sha256:
                return None
        return JobResult(number, files, Counter(marker["counters"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_shard(path: Path) -> Iterator[Record]:
    """Yield a shard's records in order, with one row group in memory."""
    import pyarrow.parquet as parquet

    with parquet.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            for batch in file.read_row_group(group).to_batches():
                yield from from_batch(batch)


class ShardWriter:
    """Writes the streams of one job; `finish` publishes them."""

    def __init__(self, folder: Path, number: int) -> None:
        self.folder, self.number = folder, number
        self.counters: Counter[str] = Counter()
        self.streams: dict[str, ShardStream] = {}

    def put(self, stream: str, row: Record | Removal) -> None:
        """Append a row; at most one row group per stream is buffered."""
        into = self.open(stream)
        into.rows.append(row)
        into.size += len(row.text) + (len(row.data) if isinstance(row, Record) else 200)
        if into.size >= ROW_GROUP_BYTES or len(into.rows) >= ROW_GROUP_ROWS:
            self.flush(into)

    def open(self, name: str) -> "ShardStream":
        """The stream of this name, created if new: one without rows becomes a file as well."""
        if name not in self.streams:
            self.streams[name] = ShardStream(shard_path(self.folder, self.number, name), name)
        return self.streams[name]

    def flush(self, stream: "ShardStream") -> None:
        """Write the buffer as one row group; records that cannot be stored become removals."""
        rows, stream.rows, stream.size = stream.rows, [], 0
        try:
            stream.write(rows)
            return
        except CONVERSION_ERRORS:
            pass
        kept = []
        for row in rows:
            if stream.is_storable(row):
                kept.append(row)
            elif isinstance(row, Record):
                self.put(REMOVED_STREAM, _unstorable_removal(row))
                self.counters.update(["engine|in", f"engine|record|{UNSTORABLE}"])
            else:
                kept.append(_escape_surrogates(row))
        stream.write(kept)

    def finish(self) -> JobResult:
        """Flush, sync and rename all files, then write the marker."""
        for stream in sorted(
            self.streams.values(), key=lambda stream: stream.name == REMOVED_STREAM
        ):
            self.flush(stream)
        if REMOVED_STREAM in self.streams:
            self.flush(self.streams[REMOVED_STREAM])
        files = {name: self.streams[name].close() for name in sorted(self.streams)}
        return write_job_marker(self.folder, self.number, files, self.counters)

    def abandon(self) -> None:
        """Delete the temporary files."""
        for stream in self.streams.values():
            stream.abandon()


class ShardStream:
    """One Parquet file being written."""

    def __init__(self, path: Path, name: str) -> None:
        import pyarrow.parquet as parquet

        self.name, self.path = name, path
        self.temporary = path.with_name(path.name + ".tmp")
        self.rows: list[Any] = []
        self.size = self.count = 0
        self.file: IO[bytes] = open(self.temporary, "wb")  # noqa: SIM115  closed by close()
        columns = removal_schema() if name == REMOVED_STREAM else record_schema()
        self.parquet = parquet.ParquetWriter(self.file, columns, compression=COMPRESSION)

    def write(self, rows: list[Any]) -> None:
        """Write rows as one row group."""
        if rows:
            self.parquet.write_batch(self.batch(rows))
            self.count += len(rows)

    def batch(self, rows: list[Any]) -> Any:
        """Rows as an Arrow batch."""
        if self.name == REMOVED_STREAM:
            return removals_to_batch(rows)
        for row in rows:
            _check_map(row)
        return to_batch(rows)

    def is_storable(self, row: Record | Removal) -> bool:
        """Whether a row survives conversion to Arrow."""
        try:
            self.batch([row])
        except CONVERSION_ERRORS:
            return False
        return True

    def close(self) -> ShardFile:
        """Finish, sync and rename the file."""
        self.parquet.close()
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        file = describe_file(self.temporary, self.count)
        os.replace(self.temporary, self.path)
        return file

    def abandon(self) -> None:
        """Close and delete the temporary file."""
        with contextlib.suppress(Exception):
            self.parquet.close()
        with contextlib.suppress(OSError):
            self.file.close()
        self.temporary.unlink(missing_ok=True)


def _check_map(row: Record) -> None:
    """Raise DataError unless the source map covers the record's text: it could not be restored."""
    covered = sum(segment.end - segment.start for segment in row.map.segments)
    if covered != len(row.text) or row.map.text != row.text:
        raise DataError(f"{row.path}: its map covers {covered} of {len(row.text)} characters.")


def describe_file(path: Path, rows: int) -> ShardFile:
    """Rows, size and hash of a file."""
    return ShardFile(rows, path.stat().st_size, hash_file(path))


def write_job_marker(
    folder: Path, number: int, files: dict[str, ShardFile], counters: Counter[str]
) -> JobResult:
    """Write the marker of a finished job."""
    counted = dict(sorted(counters.items()))
    write_ascii_json(folder / f"{number:05d}.done", {"files": files, "counters": counted})
    return JobResult(number, files, Counter(counted))


def write_ascii_json(path: Path, value: Any) -> None:
    """Write ASCII JSON atomically and durably; non-UTF-8 file names round-trip as escapes."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def link_file(source: Path, target: Path) -> None:
    """Hard-link a file atomically; copy it where the file system has no links."""
    temporary = target.with_name(target.name + ".tmp")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:
        shutil.copyfile(source, temporary)
    os.replace(temporary, target)
    temporary.unlink(missing_ok=True)  # renaming onto a link to the same file does nothing


@contextlib.contextmanager
def open_writer(folder: Path, number: int) -> Iterator[ShardWriter]:
    """A writer for a job; deletes its files if the block fails; a full disk is a CapacityError."""
    writer = ShardWriter(folder, number)
    try:
        yield writer
    except OSError as error:
        writer.abandon()
        raise as_capacity_error(folder, error) from error
    except BaseException:
        writer.abandon()
        raise


def _unstorable_removal(record: Record) -> Removal:
    """The removal of a record that cannot be stored."""
    row = Removal(
        record.id, record.source, record.path, "engine", "record", UNSTORABLE, None,
        "a lone surrogate in its text, metadata that JSON cannot hold, or a map that does not "
        "cover the text",
        0, len(record.text), 0, 0, record.text[:2_000], "",
    )  # fmt: skip
    return _escape_surrogates(row)


def _escape_surrogates(row: Removal) -> Removal:
    """The removal with lone surrogates escaped."""
    return Removal._make(
        value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
        for value in row
    )
