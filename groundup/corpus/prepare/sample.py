"""A dry run: some records of each source, before and after every step.

Writes no corpus: one JSON line per record and step, which an HTML page shows side by side, and one
per record that would be derived. Workers run the steps, so a hanging record is rejected as in a
run. Global steps see only the sample, so they find few of a source's duplicates, and the sample
meets only some of the unreadable inputs.
"""

import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from groundup.core import replacing
from groundup.documents import (
    PASS,
    Judged,
    Named,
    Record,
    Ruling,
    Step,
    judge,
    plain_json,
    printable,
    record_id,
)

from ..engine.job import KEPT, READ, Drop, Ruled, Skip, Use, made
from ..engine.rulings import read_rulings
from ..engine.shards import shard_path, writing
from ..engine.survey import Each
from ..engine.worker import Place, at
from .inputs import Found
from .pipeline import Pipeline, uses
from .spread import Drawn, spread
from .steps import is_survey
from .write import HAS_TEXT, SplitEnding, ending, split_name

SAMPLE_FILE = "dry-run.jsonl"
TEXT_CHARACTERS = 200_000
"""Characters of a text that are kept."""


class Shown(NamedTuple):
    """One record before and after one step."""

    id: str
    source: str
    path: str
    kind: str
    step: str
    before: str
    """The text that the step got, or extracted before editing it; for dropped bytes, their
    start."""
    after: str
    """The text afterwards; empty if the record was dropped."""
    reason: str
    """Why the record was dropped; empty if it was not."""
    removed: list[dict[str, Any]]
    """Removals, with the fields of `groundup.documents.Removal`."""
    metadata: dict[str, Any]
    """Metadata that the step added."""
    made_of: int = 0
    """Bytes from which the step extracted text; 0 if there was text before."""


class Showing(NamedTuple):
    """A task: one step over the sampled records."""

    use: Use
    records: tuple[Record, ...]
    rulings: Path | None = None
    """Results of a global step."""
    skips: tuple[Skip, ...] = ()

    def without(self, place: Place, reason: str) -> "Showing":
        """The same task with a hanging record rejected."""
        return self._replace(skips=(*self.skips, Skip(place, reason)))


class Seen(NamedTuple):
    """What a step did to a record, and the records kept."""

    row: Shown
    left: list[Record]


class Heard:
    """A step that remembers its last result, which the records it leaves do not fully show."""

    def __init__(self, step: Step) -> None:
        self.step, self.config, self.ruling = step, step.config, PASS

    def __call__(self, record: Record) -> Ruling:
        self.ruling = PASS
        self.ruling = self.step(record)
        return self.ruling


def sample(config: Pipeline, found: Sequence[Found], out: Path, records: int, each: Each) -> Path:
    """Run sampled records of each source through all steps; returns the file of lines."""
    drawn = [spread(config, one, records, each) for one in found]
    some = list({record.id: record for own in drawn for record in own.records}.values())
    rows = [row for source, own in zip(found, drawn, strict=True) for row in reading(source, own)]
    with tempfile.TemporaryDirectory() as scratch:
        for number, use in enumerate((*uses(config.steps), HAS_TEXT)):
            own = tuple(record for record in some if use.concerns(record))
            place = Path(scratch) / str(number)
            rulings = surveyed(use, own, place, each) if is_survey(use.target) and own else None
            (steps,) = each(show_all, [Showing(use, own, rulings)])
            rows += [step.row for step in steps]
            left = dict(zip([record.id for record in own], steps, strict=True))
            some = [
                kept
                for record in some
                for kept in (left[record.id].left if record.id in left else [record])
            ]
        plain: SplitEnding = made(ending(config.model_copy(update={"derive": ()})))
        for use in uses(config.derive):
            own = tuple(r for r in some if use.concerns(r) and is_training(plain, r))
            (derived,) = each(derive_all, [Showing(use, own)])
            rows += derived
    out.mkdir(parents=True, exist_ok=True)
    with replacing(out / SAMPLE_FILE) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for row in rows:
            file.write(plain_json(row._asdict()).encode("utf-8", "replace").decode() + "\n")
    return out / SAMPLE_FILE


def reading(one: Found, drawn: Drawn) -> Iterator[Shown]:
    """Yield a summary of the scan of a source, then each unreadable input."""
    scanned = {"parts": drawn.parts, "of": len(one.parts), "records": drawn.seen,
              "unread": len(drawn.unread)}  # fmt: skip
    name = one.source.name
    yield Shown("", name, "", "", READ, "", "", "", [], scanned)
    for row in drawn.unread:
        path = printable(row.path)
        details = {"details": row.details}
        yield Shown(record_id(name, path), name, path, "", READ, "", "", row.reason, [], details)


def read_sample(path: Path) -> Iterator[Shown]:
    """Yield the rows of a dry run, by step and record."""
    with open(path, encoding="utf-8") as file:
        for line in file:
            yield Shown(**json.loads(line))


def is_training(plain: SplitEnding, record: Record) -> bool:
    """Whether a record is in the train split; only those have derived records."""
    name = split_name(record.source, record.path, plain.config.whole_files)
    return plain.split(name) == "train"


def show_all(task: Showing) -> list[Seen]:
    """Run a step over the records; those that hung before are dropped."""
    own = made(task.use) if task.rulings is None else Ruled(read_rulings(task.rulings))
    hung = {skip.place.record: skip.reason for skip in task.skips}
    steps = []
    for number, record in enumerate(task.records):
        at(0, number, 0)
        step = Drop(Ruling(hung[number])) if number in hung else own
        steps.append(show(Named(task.use.name, step), record))
    return steps


def derive_all(task: Showing) -> list[Shown]:
    """Records derived from each record, next to the parent's text."""
    derive = made(task.use)
    hung = {skip.place.record: skip.reason for skip in task.skips}
    rows = []
    for number, record in enumerate(task.records):
        at(0, number, 0)
        row = Shown(
            record.id, record.source, record.path, record.kind, task.use.name,
            record.text[:TEXT_CHARACTERS], "", hung.get(number, ""), [], {},
        )  # fmt: skip
        try:
            found = [] if row.reason else list(derive(record))
        except Exception as error:  # as in a run: only the derived records are lost
            rows.append(row._replace(reason=f"failed: {type(error).__name__}"))
            continue
        rows += [row] if row.reason else []
        for one in found:
            added = {k: v for k, v in one.metadata.items() if record.metadata.get(k) != v}
            text = one.text[:TEXT_CHARACTERS]
            rows.append(row._replace(id=one.id, path=one.path, after=text, metadata=added))
    return rows


def show(named: Named, record: Record) -> Seen:
    """A record at a step, and what is left of it."""
    step = Heard(named.step)
    judged = judge((named._replace(step=step),), (record,))
    after = judged.kept[0] if judged.kept else None
    dropped = next((one.reason for one in judged.removed if one.what == "record"), "")
    old = record.metadata
    added = {k: v for k, v in after.metadata.items() if old.get(k) != v} if after else {}
    is_made = after is not None and step.ruling.made is not None and not record.text
    row = Shown(
        record.id, record.source, record.path, record.kind, named.name,
        text_before(record, step.ruling, judged)[:TEXT_CHARACTERS],
        after.text[:TEXT_CHARACTERS] if after else "", dropped,
        [one._asdict() for one in judged.removed], added, len(record.data) if is_made else 0,
    )  # fmt: skip
    return Seen(row, judged.kept)


def text_before(record: Record, ruling: Ruling, judged: Judged) -> str:
    """The text to which a result's edits refer, or else the step's input."""
    if not judged.kept:
        return record.text or judged.removed[0].text
    if ruling.made is not None and (ruling.edits or not record.text):
        return ruling.made.map.text
    return record.text


def surveyed(use: Use, records: Sequence[Record], place: Path, each: Each) -> Path:
    """Run a global step over the sample alone; returns its file of results."""
    (place / "survey").mkdir(parents=True)
    with writing(place, 0) as writer:
        writer.open(KEPT)
        for record in records:
            writer.put(KEPT, record)
        writer.finish()
    (path,) = made(use).rulings([shard_path(place, 0, KEPT)], each, place / "survey")
    return path
