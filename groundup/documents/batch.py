"""Records as Arrow, and steps as pure functions over batches of them.

Every runner calls `run_steps`: from a batch it returns the kept records, a log of removals, and
counters. The result depends on the batch and the steps' configurations alone, so this process, a
pool and a cluster give the same bytes. Knows nothing of shards or workers.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple

from groundup.core import MissingExtra

from .document import SourceMap
from .record import PASS, Record, Step, StepResult, TextEdit, TextSpan, apply_result

if TYPE_CHECKING:
    import pyarrow

EXCERPT_CHARACTERS = 2_000
STEP_FAILED = "step failed"


class NamedStep(NamedTuple):
    """A step and its name in the log and the report."""

    name: str
    """As in the pipeline, such as `03 web.lines`."""
    step: Step
    applies_to: Callable[[Record], bool] = lambda record: True
    """Whether the step applies to a record; others pass unchanged."""


class Removal(NamedTuple):
    """A record or slice that was removed or changed."""

    id: str
    """Of the record."""
    source: str
    path: str
    step: str
    what: str
    """record; removed, replaced or aside for a slice."""
    reason: str
    value: float | None
    details: str
    start: int
    """First character, in the text that the step received; 0 for a record."""
    end: int
    byte_start: int
    """First byte in the original."""
    byte_end: int
    text: str
    """The slice, or the beginning of the record: 2,000 characters at most."""
    put: str
    """The replacement."""


class BatchResult(NamedTuple):
    """The result of a batch."""

    kept: list[Record]
    removed: list[Removal]
    counters: Counter[str]
    """`STEP|in`, `STEP|out`, `STEP|characters`, `STEP|WHAT|REASON`: counts of records or slices;
    `STEP|grew`: characters after the step minus characters before it."""


def run_steps(steps: Sequence[NamedStep], records: Iterable[Record]) -> BatchResult:
    """Run steps on records; a record on which a step fails is rejected with the error message."""
    kept, removed = [], []
    counters: Counter[str] = Counter()
    for record in records:
        current: Record | None = record
        for named in steps:
            if current is None:
                break
            if named.applies_to(current):
                current = _apply_step(named, current, removed, counters)
        if current is not None:
            kept.append(current)
    return BatchResult(kept, removed, counters)


def _apply_step(
    named_step: NamedStep, record: Record, removed: list[Removal], counters: Counter[str]
) -> Record | None:
    """Apply one step to one record, logged and counted; None if the record is dropped."""
    counters[f"{named_step.name}|in"] += 1
    try:
        ruling = _check_result(named_step.step(record))
        after = None if ruling.reason else apply_result(record, ruling)
        log = list(_removals_of(named_step.name, record, ruling))
    except MissingExtra:
        raise
    except Exception as error:  # one bad record must not fail the batch
        message = f"{type(error).__name__}: {error}".splitlines()[0][:300]
        after, log = (
            None,
            list(_removals_of(named_step.name, record, StepResult(STEP_FAILED, details=message))),
        )
    removed += log
    for removal in log:
        counters[f"{named_step.name}|{removal.what}|{removal.reason}"] += 1
    if after is not None:
        counters[f"{named_step.name}|out"] += 1
        counters[f"{named_step.name}|characters"] += len(after.text)
    if grew := (len(after.text) if after else 0) - len(record.text):
        counters[f"{named_step.name}|grew"] += grew
    return after


def _check_result(result: Any) -> StepResult:
    """The result, if log and counters can hold it; raises TypeError or ValueError otherwise."""
    if result is PASS:
        return result
    if not isinstance(result, StepResult):
        raise TypeError(f"a step must return a StepResult, got {type(result).__name__}")
    texts = [result.reason, result.details]
    numbers: list[Any] = [] if result.value is None else [result.value]
    for edit in result.edits:
        if not isinstance(edit, TextEdit):
            raise TypeError(f"an edit must be a TextEdit, got {type(edit).__name__}")
        texts += [edit.reason, edit.replacement, edit.metadata_key]
        numbers += edit[:2]
    for span in (*result.spans, *(result.extracted.spans if result.extracted else ())):
        if not isinstance(span, TextSpan):
            raise TypeError(f"a span must be a TextSpan, got {type(span).__name__}")
        texts += [span.kind, span.value]
        numbers += span[1:3]
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(f"a step's result must hold text here, got {type(text).__name__}")
    for number in numbers:
        if not isinstance(number, Real):
            raise TypeError(f"a step's result must hold a number here, got {type(number).__name__}")
        float(number)
    (result.reason + "".join(edit.reason for edit in result.edits)).encode()
    return result


def _removals_of(step: str, record: Record, result: StepResult) -> Iterator[Removal]:
    origin = (record.id, record.source, record.path, step)
    if result.reason:
        text = record.text or record.data[:EXCERPT_CHARACTERS].decode("utf-8", "replace")
        size = record.map.segments[-1].byte_end if record.map.segments else len(record.data)
        yield Removal(
            *origin, "record", result.reason, result.value, result.details, 0, len(record.text),
            0, size, text[:EXCERPT_CHARACTERS], "",
        )  # fmt: skip
        return
    map = record.map if result.extracted is None else result.extracted.map
    for edit in result.edits:
        if edit.start < edit.end or edit.replacement:
            what = "aside" if edit.metadata_key else "replaced" if edit.replacement else "removed"
            bytes = map.byte_range(edit.start, edit.end)
            shown = min(edit.end, edit.start + (0 if edit.is_private else EXCERPT_CHARACTERS))
            text = map.text[edit.start : shown]
            yield Removal(
                *origin, what, edit.reason, result.value, result.details, edit.start, edit.end,
                *bytes, text, edit.replacement[:EXCERPT_CHARACTERS],
            )  # fmt: skip


@cache
def record_schema() -> "pyarrow.Schema":
    """Columns of a shard of records."""
    pa = import_pyarrow()
    span = pa.struct(
        [("kind", pa.string()), ("start", pa.int32()), ("end", pa.int32()), ("value", pa.string())]
    )
    columns = [(name, pa.string()) for name in ("id", "source", "path", "kind", "text")]
    return pa.schema(
        [
            *columns,
            ("map", pa.list_(pa.int64())),
            ("spans", pa.list_(span)),
            ("metadata", pa.string()),
            ("data", pa.binary()),
        ]
    )


@cache
def removal_schema() -> "pyarrow.Schema":
    """Columns of a shard of removals."""
    pa = import_pyarrow()
    kinds = {"value": pa.float64(), "start": pa.int64(), "end": pa.int64(),
             "byte_start": pa.int64(), "byte_end": pa.int64()}  # fmt: skip
    return pa.schema([(name, kinds.get(name, pa.string())) for name in Removal._fields])


def to_batch(records: Sequence[Record]) -> "pyarrow.RecordBatch":
    """Records as one Arrow batch with the columns of `record_schema`."""
    columns = {
        "id": [record.id for record in records],
        "source": [record.source for record in records],
        "path": [record.path for record in records],
        "kind": [record.kind for record in records],
        "text": [record.text for record in records],
        "map": [record.map.to_numbers() for record in records],
        "spans": [[span._asdict() for span in record.spans] for record in records],
        "metadata": [canonical_json(record.metadata) for record in records],
        "data": [record.data for record in records],
    }
    return import_pyarrow().RecordBatch.from_pydict(columns, schema=record_schema())


def from_batch(batch: "pyarrow.RecordBatch") -> Iterator[Record]:
    """Yield the records of an Arrow batch."""
    for row in batch.to_pylist():
        map = SourceMap.from_numbers(row["text"], row["map"])
        spans = tuple(TextSpan(**span) for span in row["spans"])
        metadata = json.loads(row["metadata"])
        yield Record(**(row | {"map": map, "spans": spans, "metadata": metadata}))


def removals_to_batch(removed: Sequence[Removal]) -> "pyarrow.RecordBatch":
    """Removals as one Arrow batch."""
    rows = zip(*removed, strict=True) if removed else [[] for _ in Removal._fields]
    columns = {name: list(row) for name, row in zip(Removal._fields, rows, strict=True)}
    return import_pyarrow().RecordBatch.from_pydict(columns, schema=removal_schema())


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal bytes."""
    return json.dumps(
        value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
    )


def import_pyarrow() -> Any:
    """pyarrow, or the command that installs it."""
    try:
        import pyarrow
    except ImportError:
        raise MissingExtra("pyarrow", "corpus") from None
    return pyarrow
