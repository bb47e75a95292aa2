"""Shards on disk: Parquet files written atomically, with a marker file per job.

    00003.kept.parquet      a stream of job 3: records kept, or those of a split
    00003.removed.parquet   removals and their reasons
    00003.done              written last: rows, bytes and sha256 of each file, counters

A job whose marker matches its files is not redone. Rows are buffered into row groups bounded in
rows and bytes, so memory does not depend on a shard's size. A global step's results for a shard are
a Parquet file as well: a record without a row passes; edits, metadata and extracted text are JSON,
because few records have any. Knows nothing of steps.
"""

import contextlib
import errno
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from groundup.core import CapacityError, DataError, atomic_replace, hash_file, write_text
from groundup.documents import (
    ExtractedText,
    Record,
    Removal,
    SourceMap,
    StepResult,
    TextEdit,
    TextSpan,
    canonical_json,
    from_batch,
    record_schema,
    removal_schema,
    removals_to_batch,
    to_batch,
)

DISK_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")
"""NumPy's message for a short write; its OSError has no errno."""
ROW_GROUP_BYTES = 8 * 2**20
ROW_GROUP_ROWS = 1_000
"""Limits of a row group, which bound a worker's memory except for a single large record."""
COMPRESSION = "zstd"
REMOVED_STREAM = "removed"
UNSTORABLE = "cannot be stored"
CONVERSION_ERRORS = (
    ValueError, TypeError, RecursionError, AttributeError, OverflowError, DataError,
)  # fmt: skip
RESULT_COLUMNS = ("id", "reason", "value", "details", "edits", "metadata", "made")


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
            if stream._is_storable(row):
                kept.append(row)
            elif isinstance(row, Record):
                self.put(REMOVED_STREAM, _unstorable_removal(row))
                self.counters.update(["engine|in", f"engine|record|{UNSTORABLE}"])
            else:
                kept.append(_escape_surrogates(row))
        stream.write(kept)

    def finish(self) -> JobResult:
        """Flush, sync and rename all files, then write the marker."""
        for stream in [s for name, s in self.streams.items() if name != REMOVED_STREAM]:
            self.flush(stream)  # may add removals
        if REMOVED_STREAM in self.streams:
            self.flush(self.streams[REMOVED_STREAM])
        files = {name: self.streams[name].close() for name in sorted(self.streams)}
        return write_job_marker(self.folder, self.number, files, self.counters)

    def _abandon(self) -> None:
        """Delete the temporary files."""
        for stream in self.streams.values():
            stream._abandon()


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
        for row in rows:  # a source map that does not cover its text could not be restored
            covered = sum(segment.end - segment.start for segment in row.map.segments)
            if covered != len(row.text) or row.map.text != row.text:
                raise DataError(
                    f"{row.path}: its map covers {covered} of {len(row.text)} characters."
                )
        return to_batch(rows)

    def _is_storable(self, row: Record | Removal) -> bool:
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

    def _abandon(self) -> None:
        """Close and delete the temporary file."""
        with contextlib.suppress(Exception):
            self.parquet.close()
        with contextlib.suppress(OSError):
            self.file.close()
        self.temporary.unlink(missing_ok=True)


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
        writer._abandon()
        raise as_capacity_error(folder, error) from error
    except BaseException:
        writer._abandon()
        raise


def _unstorable_removal(record: Record) -> Removal:
    row = Removal(
        record.id, record.source, record.path, "engine", "record", UNSTORABLE, None,
        "a lone surrogate in its text, metadata that JSON cannot hold, or a map that does not "
        "cover the text",
        0, len(record.text), 0, 0, record.text[:2_000], "",
    )  # fmt: skip
    return _escape_surrogates(row)


def _escape_surrogates(row: Removal) -> Removal:
    return Removal._make(
        value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
        for value in row
    )


def write_step_results(path: Path, results: Iterable[tuple[str, StepResult]]) -> Path:
    """Write the results for a shard atomically; returns the path."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    rows = [
        (name, result.reason, result.value, result.details, canonical_json(result.edits),
         canonical_json(result.metadata),
         canonical_json([made.map.text, made.map.to_numbers(), made.spans]) if made else "")
        for name, result in results
        for made in [result.extracted]
    ]  # fmt: skip
    kinds = [(name, pa.float64() if name == "value" else pa.string()) for name in RESULT_COLUMNS]
    columns = {name: [row[at] for row in rows] for at, name in enumerate(RESULT_COLUMNS)}
    with atomic_replace(path) as temporary:
        parquet.write_table(pa.table(columns, schema=pa.schema(kinds)), temporary)
    return path


def read_step_results(path: Path) -> dict[str, StepResult]:
    """Results of a file by record id."""
    import pyarrow.parquet as parquet

    results = {}
    for row in parquet.read_table(path).to_pylist():
        edits = tuple(TextEdit(*edit) for edit in json.loads(row["edits"]))
        extracted = None
        if row["made"]:
            text, numbers, spans = json.loads(row["made"])
            map = SourceMap.from_numbers(text, numbers)
            extracted = ExtractedText(map, tuple(TextSpan(*span) for span in spans))
        results[row["id"]] = StepResult(
            row["reason"], row["value"], row["details"], edits, json.loads(row["metadata"]),
            extracted=extracted,
        )  # fmt: skip
    return results


def as_capacity_error(path: Path | str, error: OSError) -> Exception:
    """A CapacityError if the disk is full, else the error itself."""
    if error.errno not in DISK_FULL_ERRNOS and not SHORT_WRITE.search(str(error)):
        return error
    return CapacityError(
        f"No space left while writing to {os.fspath(path)} ({error.strerror or error}); free some "
        "and run the same command again: complete shards are kept."
    )


@contextlib.contextmanager
def catch_full_disk(path: Path) -> Iterator[None]:
    """Raise CapacityError if the block finds the disk full."""
    try:
        yield
    except OSError as error:
        raise as_capacity_error(path, error) from error
