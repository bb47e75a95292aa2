"""A job: one shard of one phase, self-contained so that any machine can run it.

Records come from input splits of a source or from an earlier shard, pass a global step's results
and the steps, and are written to streams: kept records, and removals with their reasons. The output
is a pure function of the job, independent of worker, time and concurrency. A record that hung or
killed a worker is rejected by a `SkippedRecord` and counted under its reason.
"""

import hashlib
import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from groundup.core import DataError, MissingExtra, digest
from groundup.documents import (
    PASS,
    NamedStep,
    Record,
    Rejected,
    Removal,
    Step,
    StepResult,
    printable_path,
    record_id,
    run_steps,
)

from .shards import (
    REMOVED_STREAM,
    JobResult,
    ShardWriter,
    catch_full_disk,
    describe_file,
    link_file,
    open_writer,
    read_shard,
    read_step_results,
    shard_path,
    write_job_marker,
)
from .specs import StepSpec, instantiate
from .worker import READING, RecordPosition, clear_mark, mark_record, mark_step

KEPT_STREAM = "kept"
READ_STEP = "00 read"
ENGINE_STEP = "engine"
LICENCE_KEYS = ("licence", "license", "spdx")
"""Metadata keys in which records state their licence."""
MAX_SKIPS_PER_SHARD = 100
"""Workers that one shard may lose before the run stops: by then it is not a single bad record."""


class JobInput(NamedTuple):
    """Input splits of one source that one job reads."""

    source: str
    root: str
    reader: StepSpec
    input_splits: tuple[Any, ...]
    """Input splits as the reader planned them: see groundup.documents.readers."""
    licence: str = ""
    """Licence of records that state none."""
    file_states: tuple[str, ...] = ()
    """`file_state` of each split's file when it was hashed; empty if files were not hashed."""


class SkippedRecord(NamedTuple):
    """A record to reject unprocessed."""

    position: RecordPosition
    reason: str


@runtime_checkable
class Sink(Protocol):
    """Chooses the streams to which the last phase writes a record; may update counters."""

    def __call__(self, record: Record, counters: Counter[str]) -> Iterable[tuple[str, Record]]:
        """Yield (stream, record) pairs in writing order."""
        ...


class CorpusJob(NamedTuple):
    """The work on one shard in one phase."""

    number: int
    folder: Path
    """Output folder."""
    origin: JobInput | None = None
    """Input of the first phase."""
    shard: Path | None = None
    """Input of later phases."""
    source: str = ""
    step_results: tuple[tuple[StepSpec, Path], ...] = ()
    """Global steps and the files of their results for this shard, applied before the steps."""
    steps: tuple[StepSpec, ...] = ()
    ending: StepSpec | None = None
    skips: tuple[SkippedRecord, ...] = ()

    def without(self, position: RecordPosition, reason: str) -> "CorpusJob":
        """The same job with the record at `position` rejected; DataError after too many."""
        if len(self.skips) >= MAX_SKIPS_PER_SHARD:
            raise DataError(
                f"Shard {self.number} of {self.folder.name}: {MAX_SKIPS_PER_SHARD} records hung or "
                "killed their worker; check the log, then raise --limit-seconds or remove the step."
            )
        return self._replace(skips=(*self.skips, SkippedRecord(position, reason)))


def run_job(job: CorpusJob) -> JobResult:
    """Run a job; the task that every executor gives to its workers."""
    with catch_full_disk(job.folder):
        return _process_shard(job)


def _process_shard(job: CorpusJob) -> JobResult:
    job.folder.mkdir(parents=True, exist_ok=True)
    by_step = [(use, read_step_results(path)) for use, path in job.step_results]
    has_work = job.steps or job.ending or any(results for _, results in by_step)
    if job.shard and not has_work:
        return _link_shard(job.shard, job)
    steps = [NamedStep(use.name, precomputed(results), use.applies_to) for use, results in by_step]
    steps += [
        NamedStep(use.name, _tracked(number, instantiate(use)), use.applies_to)
        for number, use in enumerate(job.steps)
    ]
    end: Sink | None = instantiate(job.ending) if job.ending else None
    seen: set[str] = set()
    with open_writer(job.folder, job.number) as writer:
        if job.ending is None:
            writer.open(KEPT_STREAM)
        for record in read_records(job, writer):
            for kept in apply_steps(steps, record, writer):
                if job.origin and kept.id in seen:
                    _reject_record(kept, "duplicate id", "an earlier record has it", writer)
                    continue
                seen.add(kept.id)
                rows = end(kept, writer.counters) if end else ((KEPT_STREAM, kept),)
                for stream, row in rows:
                    writer.put(stream, row)
        clear_mark()
        return writer.finish()


def apply_steps(
    steps: Sequence[NamedStep], record: Record, writer: ShardWriter
) -> Sequence[Record]:
    """The record after the steps, if kept; removals are written and counted."""
    if not steps:
        return (record,)
    judged = run_steps(steps, (record,))
    writer.counters.update(judged.counters)
    for removal in judged.removed:
        writer.put(REMOVED_STREAM, removal)
    return judged.kept


def _reject_record(record: Record, reason: str, details: str, writer: ShardWriter) -> None:
    result = StepResult(reason, details=details)
    apply_steps((NamedStep(ENGINE_STEP, lambda record: result),), record, writer)


def read_records(job: CorpusJob, writer: ShardWriter) -> Iterator[Record]:
    """Yield the records that the job's steps process; unreadable ones are counted as removals."""
    skips = {(*skip.position[:2], skip.position.is_reading): skip for skip in job.skips}
    if job.origin:
        pairs = read_source_records(job.origin, skips)
    else:
        assert job.shard is not None, "a job without an origin has a shard"
        pairs = _read_shard_records(job.shard)
    last: Rejected | None = None
    for place, item in pairs:
        before, last = last, None if isinstance(item, Record) else item
        if last is not None and last == before:
            continue  # adjacent splits may report the same damage twice
        if not isinstance(item, Record):
            put_rejected(item, job.source, writer)
            continue
        if job.origin:
            item = add_provenance(item, job.origin)
            count_read(item, writer.counters)
        if skip := skips.get((*place[:2], False)):
            step = job.steps[skip.position.step].name if skip.position.step < len(job.steps) else ""
            _reject_record(item, skip.reason, f"in {step}" if step else "", writer)
            continue
        yield item


def read_source_records(
    origin: JobInput, skips: Mapping[tuple[int, int, bool], SkippedRecord]
) -> Iterator[tuple[RecordPosition, Any]]:
    """Yield positions and records of a source's splits; a failing split loses only its own rest."""
    reader = instantiate(origin.reader)
    for number, part in enumerate(origin.input_splits):
        records = iter(reader.read(Path(origin.root), part, origin.source))
        for count in itertools.count():
            mark_record(number, count)
            place = RecordPosition(number, count, READING)
            if skip := skips.get((number, count, True)):
                details = f"from byte or record {part.start}, the rest after {count} was not read"
                yield place, Rejected(part.path, skip.reason, details)
                break
            try:
                item = next(records, None)
            except MissingExtra:
                raise
            except Exception as error:  # a bad file must not cost the others
                details = f"{type(error).__name__}: {error}".splitlines()[0][:300]
                yield place, Rejected(part.path, "reading failed", details)
                break
            if item is None:
                if count == 0 and _covers_file(Path(origin.root), part):
                    yield place, Rejected(part.path, "empty", "nothing in it is a document")
                break
            mark_step(0)
            yield place, item
        if origin.file_states:
            root = Path(origin.root)
            state = file_state(root if root.is_file() else root / part.path)
            if state != origin.file_states[number]:  # the job stays incomplete
                raise DataError(
                    f"Source {origin.source}: {printable_path(part.path)} changed while it was "
                    "read; wait until it is final, remove the unfinished --out and run again."
                )


def file_state(path: Path) -> str:
    """Sizes and modification times of a file, or of all files of a folder, to detect changes."""
    try:
        if path.is_symlink():
            return f"link to {os.readlink(path)!a}"
        if path.is_dir():
            inner = sorted(p for p in path.rglob("*") if not p.is_symlink() and not p.is_dir())
            return digest([[ascii(str(p.relative_to(path))), file_state(p)] for p in inner])
        info = path.stat()
        return f"{info.st_size}:{info.st_mtime_ns}"
    except OSError as error:
        return f"unreadable: {error.errno}"


def _covers_file(root: Path, part: Any) -> bool:
    """Whether a split covers its file: a byte range may contain no record start, a file may not."""
    if part.start or not part.end:
        return not part.start  # no end: the split is the complete file
    file = root if root.is_file() else root / part.path
    return not file.is_file() or file.stat().st_size <= max(part.bytes, part.end)


def _read_shard_records(shard: Path) -> Iterator[tuple[RecordPosition, Record]]:
    for number, record in enumerate(read_shard(shard)):
        mark_record(0, number, 0)
        yield RecordPosition(0, number, 0), record


def put_rejected(item: Rejected, source: str, writer: ShardWriter) -> None:
    """Log and count a file or record that could not be read."""
    writer.counters.update((f"{READ_STEP}|in", f"{READ_STEP}|record|{item.reason}"))
    path = printable_path(item.path)
    names = (record_id(source, path), source, path, READ_STEP, "record")
    removal = Removal(*names, item.reason, None, item.details, 0, 0, 0, 0, "", "")
    writer.put(REMOVED_STREAM, removal)


def count_read(record: Record, counters: Counter[str]) -> None:
    """Count a record that was read, with its characters and bytes."""
    counters.update((f"{READ_STEP}|in", f"{READ_STEP}|out"))
    counters[f"{READ_STEP}|characters"] += len(record.text)
    size = len(record.data) or len(record.text.encode("utf-8", "replace"))
    counters[f"{READ_STEP}|bytes"] += size


def add_provenance(record: Record, origin: JobInput) -> Record:
    """The record with the metadata that withdrawal needs: its source's licence and a sha256."""
    metadata = record.metadata
    missing: dict[str, Any] = {}
    if origin.licence and not any(metadata.get(name) for name in LICENCE_KEYS):
        missing["licence"] = origin.licence
    if "sha256" not in metadata:
        data = record.data or record.text.encode("utf-8", "backslashreplace")
        missing["sha256"] = hashlib.sha256(data).hexdigest()
    return replace(record, metadata=metadata | missing) if missing else record


def _link_shard(shard: Path, job: CorpusJob) -> JobResult:
    import pyarrow.compute as compute
    import pyarrow.parquet as parquet

    made_of, counters = Counter[str](), Counter[str]()
    with parquet.ParquetFile(shard) as file:
        rows = file.metadata.num_rows
        for group in range(file.num_row_groups if job.step_results else 0):
            text = file.read_row_group(group, columns=["text"])["text"]
            lengths = compute.call_function("utf8_length", [text])
            made_of["characters"] += compute.call_function("sum", [lengths]).as_py() or 0
    for use, _ in job.step_results:
        counters |= {f"{use.name}|in": rows, f"{use.name}|out": rows}
        counters[f"{use.name}|characters"] = made_of["characters"]
    target = shard_path(job.folder, job.number, KEPT_STREAM)
    link_file(shard, target)
    return write_job_marker(
        job.folder, job.number, {KEPT_STREAM: describe_file(target, rows)}, counters
    )


def precomputed(results: Mapping[str, StepResult]) -> Callable[[Record], StepResult]:
    """A global step's results for one shard, as a step that looks them up by record id."""
    return lambda record: results.get(record.id, PASS)


def _tracked(number: int, step: Step) -> Callable[[Record], StepResult]:
    """A step that marks its start, so that a hang is attributed to it."""

    def run(record: Record) -> StepResult:
        mark_step(number)
        return step(record)

    return run
