"""A job: one shard of one phase, self-contained so that any machine can run it.

Records come from input splits of a source or from an earlier shard, pass a global step's results
and the steps, and are written to streams: kept records, and removals with their reasons. The output
is a pure function of the job, independent of worker, time and concurrency. A record that hung or
killed a worker is rejected by a `Skip` and counted under its reason.
"""

import hashlib
import itertools
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol, get_type_hints, runtime_checkable

from groundup.core import Config, ConfigError, DataError, MissingExtra, digest
from groundup.documents import (
    PASS,
    Named,
    Record,
    Rejected,
    Removal,
    Ruling,
    Step,
    judge,
    printable,
    record_id,
)

from .disk import telling_full_disk
from .rulings import read_rulings
from .shards import (
    REMOVED,
    Done,
    Writer,
    link,
    mark,
    measured,
    read_shard,
    shard_path,
    writing,
)
from .worker import READING, Place, at, at_step, load, nowhere

KEPT = "kept"
READ = "00 read"
ENGINE = "engine"
LICENCES = ("licence", "license", "spdx")
"""Metadata keys in which records state their licence."""
SKIPS_OF_A_SHARD = 100
"""Workers that one shard may lose before the run stops: by then it is not a single bad record."""


class Use(NamedTuple):
    """Class and settings of a step, global step or reader; workers instantiate it."""

    name: str
    """Name in logs and reports, such as `03 web.lines`."""
    target: str
    """`module:Class`."""
    settings: str = "{}"
    """Its configuration as JSON."""
    sources: tuple[str, ...] = ()
    """Sources that it applies to; empty means all."""
    kinds: tuple[str, ...] = ()
    """Kinds of record that it applies to; empty means all."""

    def concerns(self, record: Record) -> bool:
        """Whether the step applies to this record."""
        return (not self.sources or record.source in self.sources) and (
            not self.kinds or record.kind in self.kinds
        )


class Origin(NamedTuple):
    """Input splits of one source that one job reads."""

    source: str
    root: str
    reader: Use
    parts: tuple[Any, ...]
    """Input splits as the reader planned them: see groundup.documents.readers."""
    licence: str = ""
    """Licence of records that state none."""
    states: tuple[str, ...] = ()
    """`file_state` of each split's file when it was hashed; empty if files were not hashed."""


class Skip(NamedTuple):
    """A record to reject unprocessed."""

    place: Place
    reason: str


@runtime_checkable
class Ending(Protocol):
    """Chooses the streams to which the last phase writes a record; may update counters."""

    def __call__(self, record: Record, counters: Counter[str]) -> Iterable[tuple[str, Record]]:
        """Yield (stream, record) pairs in writing order."""
        ...


class Job(NamedTuple):
    """The work on one shard in one phase."""

    number: int
    folder: Path
    """Output folder."""
    origin: Origin | None = None
    """Input of the first phase."""
    shard: Path | None = None
    """Input of later phases."""
    source: str = ""
    rulings: tuple[tuple[Use, Path], ...] = ()
    """Global steps and the files of their results for this shard, applied before the steps."""
    steps: tuple[Use, ...] = ()
    ending: Use | None = None
    skips: tuple[Skip, ...] = ()

    def without(self, place: Place, reason: str) -> "Job":
        """The same job with the record at `place` rejected; DataError after too many."""
        if len(self.skips) >= SKIPS_OF_A_SHARD:
            raise DataError(
                f"Shard {self.number} of {self.folder.name}: {SKIPS_OF_A_SHARD} records hung or "
                "killed their worker; check the log, then raise --limit-seconds or remove the step."
            )
        return self._replace(skips=(*self.skips, Skip(place, reason)))


def do(job: Job) -> Done:
    """Run a job; the task that every executor gives to its workers."""
    with telling_full_disk(job.folder):
        return carried_out(job)


def carried_out(job: Job) -> Done:
    """Write the job's files, or link the input shard if nothing changes it."""
    job.folder.mkdir(parents=True, exist_ok=True)
    rulings = [(use, read_rulings(path)) for use, path in job.rulings]
    if (
        job.shard
        and not job.steps
        and not job.ending
        and not any(results for _, results in rulings)
    ):
        return pass_on(job.shard, job)
    steps = [Named(use.name, Ruled(results), use.concerns) for use, results in rulings]
    steps += [watched(number, use) for number, use in enumerate(job.steps)]
    end: Ending = made(job.ending) if job.ending else keep
    seen: set[str] = set()
    with writing(job.folder, job.number) as writer:
        if job.ending is None:
            writer.open(KEPT)
        for record in found(job, writer):
            for kept in through(steps, record, writer):
                if job.origin and kept.id in seen:
                    set_aside(kept, "duplicate id", "an earlier record has it", writer)
                    continue
                seen.add(kept.id)
                for stream, row in end(kept, writer.counters):
                    writer.put(stream, row)
        nowhere()
        return writer.finish()


def keep(record: Record, counters: Counter[str]) -> Iterable[tuple[str, Record]]:
    """The sink of all phases but the last."""
    return ((KEPT, record),)


def through(steps: Sequence[Named], record: Record, writer: Writer) -> Sequence[Record]:
    """The record after the steps, if kept; removals are written and counted."""
    if not steps:
        return (record,)
    judged = judge(steps, (record,))
    writer.counters.update(judged.counters)
    for removal in judged.removed:
        writer.put(REMOVED, removal)
    return judged.kept


def set_aside(record: Record, reason: str, details: str, writer: Writer) -> None:
    """Reject a record for a reason of the engine, not of a step."""
    through((Named(ENGINE, Drop(Ruling(reason, details=details))),), record, writer)


def found(job: Job, writer: Writer) -> Iterator[Record]:
    """Yield the records that the job's steps process; unreadable ones are counted as removals."""
    skips = {(*skip.place[:2], skip.place.is_reading): skip for skip in job.skips}
    if job.origin:
        pairs = originals(job.origin, skips)
    else:
        assert job.shard is not None, "a job without an origin has a shard"
        pairs = stored(job.shard)
    last: Rejected | None = None
    for place, item in pairs:
        before, last = last, None if isinstance(item, Record) else item
        if last is not None and last == before:
            continue  # adjacent splits may report the same damage twice
        if job.origin:
            writer.counters[f"{READ}|in"] += 1
        if not isinstance(item, Record):
            writer.counters[f"{READ}|record|{item.reason}"] += 1
            writer.put(REMOVED, rejected(job.source, item.path, item.reason, item.details))
            continue
        if job.origin:
            item = complete(item, job.origin)
            writer.counters[f"{READ}|out"] += 1
            writer.counters[f"{READ}|characters"] += len(item.text)
            size = len(item.data) or len(item.text.encode("utf-8", "replace"))
            writer.counters[f"{READ}|bytes"] += size
        if skip := skips.get((*place[:2], False)):
            step = job.steps[skip.place.step].name if skip.place.step < len(job.steps) else ""
            set_aside(item, skip.reason, f"in {step}" if step else "", writer)
            continue
        yield item


def originals(
    origin: Origin, skips: Mapping[tuple[int, int, bool], Skip]
) -> Iterator[tuple[Place, Any]]:
    """Yield positions and records of a source's splits; a failing split loses only its own rest."""
    reader = made(origin.reader)
    for number, part in enumerate(origin.parts):
        records = iter(reader.read(Path(origin.root), part, origin.source))
        for count in itertools.count():
            at(number, count)
            place = Place(number, count, READING)
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
                if count == 0 and is_whole(Path(origin.root), part):
                    yield place, Rejected(part.path, "empty", "nothing in it is a document")
                break
            at_step(0)
            yield place, item
        if origin.states:
            check_unchanged(origin, part.path, origin.states[number])


def state_of(path: Path) -> str:
    """Sizes and modification times of a file, or of all files of a folder, to detect changes."""
    try:
        if path.is_symlink():
            return f"link to {os.readlink(path)!a}"
        if path.is_dir():
            inner = sorted(p for p in path.rglob("*") if not p.is_symlink() and not p.is_dir())
            return digest([[ascii(str(p.relative_to(path))), state_of(p)] for p in inner])
        info = path.stat()
        return f"{info.st_size}:{info.st_mtime_ns}"
    except OSError as error:
        return f"unreadable: {error.errno}"


def check_unchanged(origin: Origin, path: str, state: str) -> None:
    """Raise DataError if a file changed after it was hashed; the job then stays incomplete."""
    root = Path(origin.root)
    if state_of(root if root.is_file() else root / path) != state:
        raise DataError(
            f"Source {origin.source}: {printable(path)} changed while it was read, so its hash is "
            "stale; wait until it is final, remove the unfinished --out and run again."
        )


def is_whole(root: Path, part: Any) -> bool:
    """Whether a split covers its file: a byte range may contain no record start, a file may not."""
    if part.start or not part.end:
        return not part.start  # no end: the split is the complete file
    file = root if root.is_file() else root / part.path
    return not file.is_file() or file.stat().st_size <= max(part.bytes, part.end)


def stored(shard: Path) -> Iterator[tuple[Place, Record]]:
    """Yield positions and records of a shard."""
    for number, record in enumerate(read_shard(shard)):
        at(0, number, 0)
        yield Place(0, number, 0), record


def rejected(source: str, path: str, reason: str, details: str) -> Removal:
    """The removal entry of an input that a reader rejected."""
    path = printable(path)
    return Removal(
        record_id(source, path), source, path, READ, "record", reason, None, details,
        0, 0, 0, 0, "", "",
    )  # fmt: skip


def complete(record: Record, origin: Origin) -> Record:
    """The record with the metadata that withdrawal needs: its source's licence and a sha256."""
    metadata = record.metadata
    missing: dict[str, Any] = {}
    if origin.licence and not any(metadata.get(name) for name in LICENCES):
        missing["licence"] = origin.licence
    if "sha256" not in metadata:
        data = record.data or record.text.encode("utf-8", "backslashreplace")
        missing["sha256"] = hashlib.sha256(data).hexdigest()
    return replace(record, metadata=metadata | missing) if missing else record


def pass_on(shard: Path, job: Job) -> Done:
    """Hard-link the input shard as output, where no step changes it."""
    import pyarrow.compute as compute
    import pyarrow.parquet as parquet

    made_of, counters = Counter[str](), Counter[str]()
    with parquet.ParquetFile(shard) as file:
        rows = file.metadata.num_rows
        for group in range(file.num_row_groups if job.rulings else 0):
            text = file.read_row_group(group, columns=["text"])["text"]
            lengths = compute.call_function("utf8_length", [text])
            made_of["characters"] += compute.call_function("sum", [lengths]).as_py() or 0
    for use, _ in job.rulings:
        counters |= {f"{use.name}|in": rows, f"{use.name}|out": rows}
        counters[f"{use.name}|characters"] = made_of["characters"]
    target = shard_path(job.folder, job.number, KEPT)
    link(shard, target)
    return mark(job.folder, job.number, {KEPT: measured(target, rows)}, counters)


class Drop:
    """A step that drops every record with a fixed result."""

    config = Config()

    def __init__(self, ruling: Ruling) -> None:
        self.ruling = ruling

    def __call__(self, record: Record) -> Ruling:
        return self.ruling


class Ruled:
    """A global step's results for one shard, as a step that looks them up by record id."""

    config = Config()

    def __init__(self, rulings: Mapping[str, Ruling]) -> None:
        self.rulings = rulings

    def __call__(self, record: Record) -> Ruling:
        return self.rulings.get(record.id, PASS)


class Watched:
    """A step that marks its start, so that a hang is attributed to it."""

    def __init__(self, number: int, step: Step) -> None:
        self.number, self.step, self.config = number, step, step.config

    def __call__(self, record: Record) -> Ruling:
        at_step(self.number)
        return self.step(record)


def watched(number: int, use: Use) -> Named:
    """A step under its name, instantiated and tracked."""
    return Named(use.name, Watched(number, made(use)), use.concerns)


@cache
def made(use: Use) -> Any:
    """The object that a spec describes; one per process."""
    return load(use.target)(configured(use))


def configured(use: Use) -> Config:
    """The configuration of a spec; ConfigError if its settings do not fit its class."""
    try:
        config = get_type_hints(load(use.target).__init__)["config"]
    except (ImportError, AttributeError, KeyError, ValueError) as error:
        raise ConfigError(
            f"{use.name}: {use.target} cannot be used ({error}); expected `module:Class` whose "
            "__init__ takes `config`, a Config."
        ) from None
    try:
        return config(**json.loads(use.settings))
    except ConfigError as error:
        raise ConfigError(f"{use.name}: {error}") from None
