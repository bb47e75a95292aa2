"""A job: one shard of one phase, with all that any machine needs to do it.

Records come from a source's parts or from an earlier shard, pass the rulings of a survey and the
steps, and leave in streams: what is kept, what was removed and why. The result is a pure function
of the job; who does it, when, and beside how many others leaves no trace in the files. A record
that hung or killed a worker is left out by a `Skip` and counted with its reason.
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
"""Names under which records state their licence."""
SKIPS_OF_A_SHARD = 100
"""Records of one shard that may cost a worker before the run stops: it is not one bad record."""


class Use(NamedTuple):
    """A step, survey or reader as a worker makes it."""

    name: str
    """As the log and the report call it, such as `03 web.lines`."""
    target: str
    """`module:Class`."""
    settings: str = "{}"
    """JSON of its configuration."""
    sources: tuple[str, ...] = ()
    """Sources that it concerns; none is all."""
    kinds: tuple[str, ...] = ()
    """Kinds of record that it concerns; none is all."""

    def concerns(self, record: Record) -> bool:
        """Whether it rules about this record."""
        return (not self.sources or record.source in self.sources) and (
            not self.kinds or record.kind in self.kinds
        )


class Origin(NamedTuple):
    """Parts of a source that one job reads."""

    source: str
    root: str
    reader: Use
    parts: tuple[Any, ...]
    """What the reader planned: see groundup.documents.readers."""
    licence: str = ""
    """Of records that state none themselves."""
    states: tuple[str, ...] = ()
    """Of each part's file when it was hashed, by `state_of`; none if nobody hashed them."""


class Skip(NamedTuple):
    """A record to leave out."""

    place: Place
    reason: str


@runtime_checkable
class Ending(Protocol):
    """Says in which streams the last phase writes a record, and counts what it likes."""

    def __call__(self, record: Record, counters: Counter[str]) -> Iterable[tuple[str, Record]]:
        """Streams and the records to write there, in order."""
        ...


class Job(NamedTuple):
    """One shard's work in one phase."""

    number: int
    folder: Path
    """Where its files go."""
    origin: Origin | None = None
    """What it reads, in the first phase."""
    shard: Path | None = None
    """What it reads in later phases."""
    source: str = ""
    rulings: tuple[tuple[Use, Path], ...] = ()
    """Surveys and their rulings about this shard, carried out before the steps."""
    steps: tuple[Use, ...] = ()
    ending: Use | None = None
    skips: tuple[Skip, ...] = ()

    def without(self, place: Place, reason: str) -> "Job":
        """The same job, the record at `place` set aside; DataError if that happens too often."""
        if len(self.skips) >= SKIPS_OF_A_SHARD:
            raise DataError(
                f"Shard {self.number} of {self.folder.name}: {SKIPS_OF_A_SHARD} records hung or "
                "killed their worker; look at them in the log before, raise --limit-seconds or "
                "leave out the step at fault."
            )
        return self._replace(skips=(*self.skips, Skip(place, reason)))


def do(job: Job) -> Done:
    """Do a job; what a worker of any runner is given."""
    with telling_full_disk(job.folder):
        return carried_out(job)


def carried_out(job: Job) -> Done:
    """The job's files, written anew or passed on."""
    job.folder.mkdir(parents=True, exist_ok=True)
    rulings = [(use, read_rulings(path)) for use, path in job.rulings]
    if job.shard and not job.steps and not job.ending and not any(said for _, said in rulings):
        return pass_on(job.shard, job)
    steps = [Named(use.name, Ruled(said), use.concerns) for use, said in rulings]
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
    """The ending of all phases but the last."""
    return ((KEPT, record),)


def through(steps: Sequence[Named], record: Record, writer: Writer) -> Sequence[Record]:
    """The record after the steps, if it stays; what goes is written and counted."""
    if not steps:
        return (record,)
    judged = judge(steps, (record,))
    writer.counters.update(judged.counters)
    for removal in judged.removed:
        writer.put(REMOVED, removal)
    return judged.kept


def set_aside(record: Record, reason: str, details: str, writer: Writer) -> None:
    """Quarantine a record for a reason of the engine's own."""
    through((Named(ENGINE, Drop(Ruling(reason, details=details))),), record, writer)


def found(job: Job, writer: Writer) -> Iterator[Record]:
    """Yield the records of a job that shall be judged; what cannot be is counted."""
    skips = {(*skip.place[:2], skip.place.is_reading): skip for skip in job.skips}
    if job.origin:
        pairs = originals(job.origin, skips)
    else:
        assert job.shard is not None, "a job without an origin has a shard"
        pairs = stored(job.shard)
    last: Rejected | None = None
    for place, one in pairs:
        before, last = last, None if isinstance(one, Record) else one
        if last is not None and last == before:
            continue  # a reader that looked twice at one damage has found one
        if job.origin:
            writer.counters[f"{READ}|in"] += 1
        if not isinstance(one, Record):
            writer.counters[f"{READ}|record|{one.reason}"] += 1
            writer.put(REMOVED, rejected(job.source, one.path, one.reason, one.details))
            continue
        if job.origin:
            one = complete(one, job.origin)
            writer.counters[f"{READ}|out"] += 1
            writer.counters[f"{READ}|characters"] += len(one.text)
            size = len(one.data) or len(one.text.encode("utf-8", "replace"))
            writer.counters[f"{READ}|bytes"] += size
        if skip := skips.get((*place[:2], False)):
            step = job.steps[skip.place.step].name if skip.place.step < len(job.steps) else ""
            set_aside(one, skip.reason, f"in {step}" if step else "", writer)
            continue
        yield one


def originals(
    origin: Origin, skips: Mapping[tuple[int, int, bool], Skip]
) -> Iterator[tuple[Place, Any]]:
    """Yield what a source's parts hold, in order, and where; a part that fails costs itself."""
    reader = made(origin.reader)
    for number, part in enumerate(origin.parts):
        records = iter(reader.read(Path(origin.root), part, origin.source))
        for count in itertools.count():
            at(number, count)
            place = Place(number, count, READING)
            if skip := skips.get((number, count, True)):
                said = f"from byte or record {part.start}, the rest after {count} was not read"
                yield place, Rejected(part.path, skip.reason, said)
                break
            try:
                one = next(records, None)
            except MissingExtra:
                raise
            except Exception as error:  # a bad file must not cost the others
                said = f"{type(error).__name__}: {error}".splitlines()[0][:300]
                yield place, Rejected(part.path, "reading failed", said)
                break
            if one is None:
                if count == 0 and is_whole(Path(origin.root), part):
                    yield place, Rejected(part.path, "empty", "nothing in it is a document")
                break
            at_step(0)
            yield place, one
        if origin.states:
            check_unchanged(origin, part.path, origin.states[number])


def state_of(path: Path) -> str:
    """What tells that a file, or all that is in a folder, was written to: sizes and times."""
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
    """Raise DataError if a file is not as it was when it was hashed: the job is not complete."""
    root = Path(origin.root)
    if state_of(root if root.is_file() else root / path) != state:
        raise DataError(
            f"Source {origin.source}: {printable(path)} changed while it was read: the corpus is "
            "named by what it held before. Let it rest, remove the unfinished --out and run again."
        )


def is_whole(root: Path, part: Any) -> bool:
    """Whether a part is all of its file: a range of one may well hold no beginning of a record."""
    if part.start or not part.end:
        return not part.start  # without an end, it is the whole file
    file = root if root.is_file() else root / part.path
    return not file.is_file() or file.stat().st_size <= max(part.bytes, part.end)


def stored(shard: Path) -> Iterator[tuple[Place, Record]]:
    """Yield the records of a shard and where they are."""
    for number, record in enumerate(read_shard(shard)):
        at(0, number, 0)
        yield Place(0, number, 0), record


def rejected(source: str, path: str, reason: str, details: str) -> Removal:
    """The removal of what a reader set aside."""
    path = printable(path)
    return Removal(
        record_id(source, path), source, path, READ, "record", reason, None, details,
        0, 0, 0, 0, "", "",
    )  # fmt: skip


def complete(record: Record, origin: Origin) -> Record:
    """The record with what erasure needs: a licence, if its source has one, and a hash."""
    metadata = record.metadata
    missing: dict[str, Any] = {}
    if origin.licence and not any(metadata.get(name) for name in LICENCES):
        missing["licence"] = origin.licence
    if "sha256" not in metadata:
        data = record.data or record.text.encode("utf-8", "backslashreplace")
        missing["sha256"] = hashlib.sha256(data).hexdigest()
    return replace(record, metadata=metadata | missing) if missing else record


def pass_on(shard: Path, job: Job) -> Done:
    """The shard itself as the result, where nothing is ruled about it: no byte is written again."""
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
    """A step that drops whatever comes, for a reason known before."""

    config = Config()

    def __init__(self, ruling: Ruling) -> None:
        self.ruling = ruling

    def __call__(self, record: Record) -> Ruling:
        return self.ruling


class Ruled:
    """A survey's rulings about one shard, as a step."""

    config = Config()

    def __init__(self, rulings: Mapping[str, Ruling]) -> None:
        self.rulings = rulings

    def __call__(self, record: Record) -> Ruling:
        return self.rulings.get(record.id, PASS)


class Watched:
    """A step that notes when it begins, so that whoever hangs in it is known."""

    def __init__(self, number: int, step: Step) -> None:
        self.number, self.step, self.config = number, step, step.config

    def __call__(self, record: Record) -> Ruling:
        at_step(self.number)
        return self.step(record)


def watched(number: int, use: Use) -> Named:
    """A step under its name, as a worker runs it."""
    return Named(use.name, Watched(number, made(use)), use.concerns)


@cache
def made(use: Use) -> Any:
    """What a use names, made from its settings; once a process."""
    return load(use.target)(configured(use))


def configured(use: Use) -> Config:
    """The configuration that a use's settings give; ConfigError if they do not fit its class."""
    try:
        found = load(use.target)
        config = get_type_hints(found.__init__)["config"]
    except (ImportError, AttributeError, KeyError, ValueError) as error:
        raise ConfigError(
            f"{use.name}: {use.target} cannot be used ({error}); expected `module:Class` whose "
            "__init__ takes `config`, a Config."
        ) from None
    try:
        return config(**json.loads(use.settings))
    except ConfigError as error:
        raise ConfigError(f"{use.name}: {error}") from None
