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

from groundup.core import atomic_replace
from groundup.documents import (
    PASS,
    BatchResult,
    NamedStep,
    Record,
    Step,
    StepResult,
    canonical_json,
    printable_path,
    record_id,
    run_steps,
)

from ..engine.global_step import Executor
from ..engine.job import (
    KEPT_STREAM,
    READ_STEP,
    DropRecord,
    PrecomputedStep,
    SkippedRecord,
    StepSpec,
    instantiate,
)
from ..engine.shards import open_writer, shard_path
from ..engine.step_results import read_step_results
from ..engine.worker import RecordPosition, mark_record
from .inputs import SourceListing
from .pipeline import CorpusPipeline, step_specs
from .sampling import SourceSample, sample_source
from .write import HAS_TEXT, SplitSink, split_key, split_sink

DRY_RUN_FILE = "dry-run.jsonl"
MAX_TEXT_CHARACTERS = 200_000
"""Characters of a text that are kept."""


class DryRunRow(NamedTuple):
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


class StepTask(NamedTuple):
    """A task: one step over the sampled records."""

    use: StepSpec
    records: tuple[Record, ...]
    rulings: Path | None = None
    """Results of a global step."""
    skips: tuple[SkippedRecord, ...] = ()

    def without(self, position: RecordPosition, reason: str) -> "StepTask":
        """The same task with a hanging record rejected."""
        return self._replace(skips=(*self.skips, SkippedRecord(position, reason)))


class StepOutcome(NamedTuple):
    """What a step did to a record, and the records kept."""

    row: DryRunRow
    kept: list[Record]


class RecordingStep:
    """A step that remembers its last result, which the records it leaves do not fully show."""

    def __init__(self, step: Step) -> None:
        self.step, self.config, self.result = step, step.config, PASS

    def __call__(self, record: Record) -> StepResult:
        self.result = PASS
        self.result = self.step(record)
        return self.result


def dry_run_steps(
    config: CorpusPipeline,
    sources: Sequence[SourceListing],
    out: Path,
    records: int,
    executor: Executor,
) -> Path:
    """Run sampled records of each source through all steps; returns the file of lines."""
    drawn = [sample_source(config, one, records, executor) for one in sources]
    some = list({record.id: record for own in drawn for record in own.records}.values())
    rows = [row for pair in zip(sources, drawn, strict=True) for row in _reading_rows(*pair)]
    with tempfile.TemporaryDirectory() as scratch:
        for number, use in enumerate((*step_specs(config.steps), HAS_TEXT)):
            own = tuple(record for record in some if use.applies_to(record))
            place = Path(scratch) / str(number)
            is_global = use.is_global and own
            rulings = _run_global_step(use, own, place, executor) if is_global else None
            (steps,) = executor(_run_step, [StepTask(use, own, rulings)])
            rows += [step.row for step in steps]
            left = dict(zip([record.id for record in own], steps, strict=True))
            some = [
                kept
                for record in some
                for kept in (left[record.id].kept if record.id in left else [record])
            ]
        plain: SplitSink = instantiate(split_sink(config.model_copy(update={"derive": ()})))
        for use in step_specs(config.derive):
            own = tuple(r for r in some if use.applies_to(r) and _is_training(plain, r))
            (derived,) = executor(_run_deriver, [StepTask(use, own)])
            rows += derived
    out.mkdir(parents=True, exist_ok=True)
    with (
        atomic_replace(out / DRY_RUN_FILE) as temporary,
        open(temporary, "w", encoding="utf-8") as file,
    ):
        for row in rows:
            file.write(canonical_json(row._asdict()).encode("utf-8", "replace").decode() + "\n")
    return out / DRY_RUN_FILE


def _reading_rows(source: SourceListing, sample: SourceSample) -> Iterator[DryRunRow]:
    """Yield a summary of the scan of a source, then each unreadable input."""
    scanned = {
        "parts": sample.num_splits,
        "of": len(source.input_splits),
        "records": sample.num_scanned,
        "unread": len(sample.unreadable),
    }
    name = source.source.name
    yield DryRunRow("", name, "", "", READ_STEP, "", "", "", [], scanned)
    for row in sample.unreadable:
        path = printable_path(row.path)
        details = {"details": row.details}
        yield DryRunRow(
            record_id(name, path), name, path, "", READ_STEP, "", "", row.reason, [], details
        )


def read_dry_run(path: Path) -> Iterator[DryRunRow]:
    """Yield the rows of a dry run, by step and record."""
    with open(path, encoding="utf-8") as file:
        for line in file:
            yield DryRunRow(**json.loads(line))


def _is_training(sink: SplitSink, record: Record) -> bool:
    """Whether a record is in the train split; only those have derived records."""
    name = split_key(record.source, record.path, sink.config.whole_files)
    return sink.split(name) == "train"


def _run_step(task: StepTask) -> list[StepOutcome]:
    """Run a step over the records; those that hung before are dropped."""
    own = (
        instantiate(task.use)
        if task.rulings is None
        else PrecomputedStep(read_step_results(task.rulings))
    )
    hung = {skip.position.record: skip.reason for skip in task.skips}
    steps = []
    for number, record in enumerate(task.records):
        mark_record(0, number, 0)
        step = DropRecord(StepResult(hung[number])) if number in hung else own
        steps.append(_run_step_on(NamedStep(task.use.name, step), record))
    return steps


def _run_deriver(task: StepTask) -> list[DryRunRow]:
    """Records derived from each record, next to the parent's text."""
    derive = instantiate(task.use)
    hung = {skip.position.record: skip.reason for skip in task.skips}
    rows = []
    for number, record in enumerate(task.records):
        mark_record(0, number, 0)
        row = DryRunRow(
            record.id, record.source, record.path, record.kind, task.use.name,
            record.text[:MAX_TEXT_CHARACTERS], "", hung.get(number, ""), [], {},
        )  # fmt: skip
        try:
            found = [] if row.reason else list(derive(record))
        except Exception as error:  # as in a run: only the derived records are lost
            rows.append(row._replace(reason=f"failed: {type(error).__name__}"))
            continue
        rows += [row] if row.reason else []
        for one in found:
            added = {k: v for k, v in one.metadata.items() if record.metadata.get(k) != v}
            text = one.text[:MAX_TEXT_CHARACTERS]
            rows.append(row._replace(id=one.id, path=one.path, after=text, metadata=added))
    return rows


def _run_step_on(named: NamedStep, record: Record) -> StepOutcome:
    """A record at a step, and what is left of it."""
    step = RecordingStep(named.step)
    judged = run_steps((named._replace(step=step),), (record,))
    after = judged.kept[0] if judged.kept else None
    dropped = next((one.reason for one in judged.removed if one.what == "record"), "")
    old = record.metadata
    added = {k: v for k, v in after.metadata.items() if old.get(k) != v} if after else {}
    is_made = after is not None and step.result.extracted is not None and not record.text
    row = DryRunRow(
        record.id, record.source, record.path, record.kind, named.name,
        _text_before(record, step.result, judged)[:MAX_TEXT_CHARACTERS],
        after.text[:MAX_TEXT_CHARACTERS] if after else "", dropped,
        [one._asdict() for one in judged.removed], added, len(record.data) if is_made else 0,
    )  # fmt: skip
    return StepOutcome(row, judged.kept)


def _text_before(record: Record, result: StepResult, judged: BatchResult) -> str:
    """The text to which a result's edits refer, or else the step's input."""
    if not judged.kept:
        return record.text or judged.removed[0].text
    if result.extracted is not None and (result.edits or not record.text):
        return result.extracted.map.text
    return record.text


def _run_global_step(
    use: StepSpec, records: Sequence[Record], place: Path, executor: Executor
) -> Path:
    """Run a global step over the sample alone; returns its file of results."""
    (place / "survey").mkdir(parents=True)
    with open_writer(place, 0) as writer:
        writer.open(KEPT_STREAM)
        for record in records:
            writer.put(KEPT_STREAM, record)
        writer.finish()
    (path,) = instantiate(use).rulings(
        [shard_path(place, 0, KEPT_STREAM)], executor, place / "survey"
    )
    return path
