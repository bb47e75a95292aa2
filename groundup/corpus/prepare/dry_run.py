"""A dry run: some records of each source, before and after every step.

Writes no corpus: one JSON line per record and step, which an HTML page shows side by side, and one
per record that would be derived. Input splits are drawn with the pipeline's seed; of each, a
bounded number of records is scanned and fewer are kept, so reading is bounded for any source.
Workers read and run the steps, so a hanging record is rejected as in a run. Global steps see only
the sample, so they find few of a source's duplicates; it meets only some of the unreadable inputs.
"""

import json
import math
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from groundup.core import atomic_replace
from groundup.documents import (
    PASS,
    BatchResult,
    NamedStep,
    Record,
    Rejected,
    StepResult,
    canonical_json,
    printable_path,
    record_id,
    run_steps,
)

from ..engine.executors import Executor
from ..engine.job import (
    KEPT_STREAM,
    READ_STEP,
    JobInput,
    SkippedRecord,
    add_provenance,
    precomputed,
    read_source_records,
)
from ..engine.shards import open_writer, read_step_results, shard_path
from ..engine.specs import StepSpec, instantiate, step_config
from ..engine.worker import RecordPosition, mark_record
from .pipeline import CorpusPipeline, PipelineSource, SourceListing, reader_spec, step_specs
from .write import HAS_TEXT, SplitSink, split_sink

DRY_RUN_FILE = "dry-run.jsonl"
MAX_TEXT_CHARACTERS = 200_000
"""Characters of a text that are kept."""
SAMPLE_SPLIT_BYTES = 2**20
"""Split size of large files in a dry run: smaller than a run's, for an even sample."""
MAX_SCANNED_RECORDS = 4_000
MAX_SCANNED_BYTES = 64 * 2**20
"""Records and bytes of a source that are scanned: a few seconds of work. Own choice."""
SPLITS_PER_RECORD = 2
"""Splits drawn per requested record, since some have none."""


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
    results: Path | None = None
    """Results of a global step."""
    skips: tuple[SkippedRecord, ...] = ()

    def without(self, position: RecordPosition, reason: str) -> "StepTask":
        """The same task with a hanging record rejected."""
        return self._replace(skips=(*self.skips, SkippedRecord(position, reason)))


class SourceSample(NamedTuple):
    """The sample of a source and its scan statistics."""

    records: list[Record]
    num_scanned: int
    """Readable records scanned."""
    unreadable: list[Rejected]
    """Unreadable inputs."""
    num_splits: int
    """Input splits scanned."""


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
            results = _run_global_step(use, own, place, executor) if is_global else None
            (steps,) = executor(_run_step, [StepTask(use, own, results)])
            rows += [row for row, _ in steps]
            left = {record.id: kept for record, (_, kept) in zip(own, steps, strict=True)}
            some = [kept for record in some for kept in left.get(record.id, [record])]
        sink: SplitSink = instantiate(split_sink(config.model_copy(update={"derive": ()})))
        for use in step_specs(config.derive):  # of training records only
            own = tuple(r for r in some if use.applies_to(r) and sink.split_of(r) == "train")
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


def _run_step(task: StepTask) -> list[tuple[DryRunRow, list[Record]]]:
    """Run a step over the records; those that hung before are dropped."""
    own = instantiate(task.use)
    if task.results is not None:
        own = precomputed(read_step_results(task.results))
    hung = {skip.position.record: skip.reason for skip in task.skips}
    steps = []
    for number, record in enumerate(task.records):
        mark_record(0, number, 0)
        if number in hung:
            reason = StepResult(hung[number])
            steps.append(_run_step_on(NamedStep(task.use.name, lambda _, r=reason: r), record))
        else:
            steps.append(_run_step_on(NamedStep(task.use.name, own), record))
    return steps


def _run_deriver(task: StepTask) -> list[DryRunRow]:
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


def _run_step_on(named: NamedStep, record: Record) -> tuple[DryRunRow, list[Record]]:
    """What a step did to a record, and the records kept."""
    result = PASS

    def step(record: Record) -> StepResult:  # the records kept do not show the result fully
        nonlocal result
        result = named.step(record)
        return result

    judged = run_steps((named._replace(step=step),), (record,))
    after = judged.kept[0] if judged.kept else None
    dropped = next((one.reason for one in judged.removed if one.what == "record"), "")
    old = record.metadata
    added = {k: v for k, v in after.metadata.items() if old.get(k) != v} if after else {}
    is_made = after is not None and result.extracted is not None and not record.text
    row = DryRunRow(
        record.id, record.source, record.path, record.kind, named.name,
        _text_before(record, result, judged)[:MAX_TEXT_CHARACTERS],
        after.text[:MAX_TEXT_CHARACTERS] if after else "", dropped,
        [one._asdict() for one in judged.removed], added, len(record.data) if is_made else 0,
    )  # fmt: skip
    return row, judged.kept


def _text_before(record: Record, result: StepResult, judged: BatchResult) -> str:
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
    (path,) = instantiate(use).decide(
        [shard_path(place, 0, KEPT_STREAM)], executor, place / "survey"
    )
    return path


class SamplingTask(NamedTuple):
    """A sampling task over one input split."""

    origin: JobInput
    num_records: int
    max_scanned: int
    max_bytes: int
    seed: str
    skips: tuple[SkippedRecord, ...] = ()

    def without(self, position: RecordPosition, reason: str) -> "SamplingTask":
        """The same task without a record that hung."""
        return self._replace(skips=(*self.skips, SkippedRecord(position, reason)))


def with_small_splits(pipeline: CorpusPipeline) -> CorpusPipeline:
    """The pipeline with smaller input splits, where readers support it and no setting fixes it."""

    def small(source: PipelineSource) -> PipelineSource:
        if "part_bytes" not in type(step_config(reader_spec(source))).model_fields:
            return source
        settings = {"part_bytes": SAMPLE_SPLIT_BYTES} | source.settings
        return source.model_copy(update={"settings": settings})

    return pipeline.model_copy(update={"sources": tuple(map(small, pipeline.sources))})


def sample_source(
    config: CorpusPipeline, source: SourceListing, records: int, executor: Executor
) -> SourceSample:
    """Sample records evenly from a source, in its order; also collects unreadable inputs."""
    chance = Random(f"{config.seed}/{source.source.name}")
    count = min(len(source.input_splits), SPLITS_PER_RECORD * records)
    numbers = sorted(chance.sample(range(len(source.input_splits)), count))
    reader = reader_spec(source.source)
    origin = JobInput(source.source.name, str(source.root), reader, (), source.source.licence)
    wanted = math.ceil(records / max(min(count, records), 1))
    tasks = [
        SamplingTask(
            origin._replace(input_splits=(source.input_splits[number],)),
            wanted,
            max(wanted, MAX_SCANNED_RECORDS // count),
            MAX_SCANNED_BYTES // count,
            f"{config.seed}/{source.source.name}/{number}",
        )
        for number in numbers
    ]
    parts = executor(_sample_split, tasks)
    found = [record for part in parts for record in part.records]
    unread = dict.fromkeys(
        row for part in parts for row in part.unreadable
    )  # adjacent splits report the same damage
    seen = sum(part.num_scanned for part in parts)
    return SourceSample(_random_subset(found, records, chance), seen, list(unread), count)


def _sample_split(task: SamplingTask) -> SourceSample:
    rows = list(_scan_split(task))
    records = [row for row in rows if isinstance(row, Record)]
    unread = [row for row in rows if isinstance(row, Rejected)]
    return SourceSample(
        _random_subset(records, task.num_records, Random(task.seed)), len(records), unread, 1
    )


def _scan_split(task: SamplingTask) -> Iterator[Record | Rejected]:
    """Yield the first records and unreadable inputs of a split, up to the task's limits."""
    skips = {(*skip.position[:2], skip.position.is_reading): skip for skip in task.skips}
    count = size = 0
    for place, item in read_source_records(task.origin, skips):
        if isinstance(item, Rejected):
            yield item
            count += 1
        elif (*place[:2], False) not in skips:
            yield add_provenance(item, task.origin)
            count, size = count + 1, size + len(item.text) + len(item.data)
        if count >= task.max_scanned or size >= task.max_bytes:
            return


def _random_subset(rows: Sequence[Any], count: int, rng: Random) -> list[Any]:
    """A random subset of the rows, in their order.

    >>> _random_subset("abc", 5, Random(0))
    ['a', 'b', 'c']
    """
    numbers = rng.sample(range(len(rows)), min(count, len(rows)))
    return [rows[number] for number in sorted(numbers)]
