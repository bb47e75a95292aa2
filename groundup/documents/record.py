"""The results of steps for a record on its way into a corpus, and records as Arrow.

A step never changes text. Its result drops the record for a reason, or lists edits (remove this
slice, replace that one, move a third to the metadata), or adds measurements. Only `apply_result`
changes records, so the text, its map to the original bytes, the offsets of headings, pages and
turns, the removal log and all counts agree whatever the steps are, and every removed document, line
and span has a reason.

Every runner calls `run_steps`: from a batch it returns the kept records, a log of removals, and
counters. The result depends on the batch and the steps' configurations alone, so this process, a
pool and a cluster give the same bytes. Knows nothing of files, shards or workers.
"""

import json
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from groundup.core import Config, DataError, MissingExtra

from .document import Record, Segment, Segments, SourceMap, TextSpan

if TYPE_CHECKING:
    import pyarrow

EXCERPT_CHARACTERS = 2_000


class TextEdit(NamedTuple):
    """A slice of the text to remove or replace."""

    start: int
    end: int
    """Characters of the text that the step received; equal to `start` for an insertion."""
    reason: str
    """Short and stable: removals are counted by reason."""
    replacement: str = ""
    """The new text."""
    metadata_key: str = ""
    """Keep the slice in the metadata, under `aside` and this key, such as footnotes."""
    is_private: bool = False
    """Log the reason and the offsets, not the slice: it is personal data or a secret."""


class ExtractedText(NamedTuple):
    """The text that a step extracted from a record's bytes."""

    map: SourceMap
    spans: tuple[TextSpan, ...] = ()


class StepResult(NamedTuple):
    """What a step of a corpus pipeline decides for one record: drop, edit or, if empty, keep it."""

    reason: str = ""
    """Why the record is dropped, short and stable, such as `gopher: too few words`."""
    value: float | None = None
    """The number that decided."""
    details: str = ""
    """For people: the limit, the document that was kept instead."""
    edits: tuple[TextEdit, ...] = ()
    """In ascending order, without overlaps."""
    metadata: Mapping[str, Any] = {}
    """JSON values added to the record's; the report shows histograms of numbers."""
    spans: tuple[TextSpan, ...] = ()
    """Ranges of the text that the step received; the edits move them."""
    extracted: ExtractedText | None = None
    """Text that replaces the record's bytes; `edits` and `spans` then refer to it."""


PASS = StepResult()


@runtime_checkable
class Step(Protocol):
    """A pure function of single records, created from its configuration in every worker.

    The engine limits its time and rejects a record on which it fails, so a step needs no guard
    against either; it must not keep state between records.
    """

    config: Config

    def __call__(self, record: Record) -> StepResult:
        """Process one record."""
        ...


def apply_result(record: Record, result: StepResult) -> Record:
    """Apply a step's result that keeps the record.

    Raises DataError naming two edits that overlap or one that is not inside the text.

    >>> plain = Record("1", "s", "p", "text", "one two", SourceMap.identity("one two"))
    >>> cut = apply_result(plain, StepResult(edits=(TextEdit(0, 4, "first word"),)))
    >>> cut.text, cut.map.byte_range(0, 3)
    ('two', (4, 7))
    """
    if result == PASS:
        return record
    if result.extracted is not None:
        made = result.extracted
        record = replace(record, text=made.map.text, map=made.map, spans=made.spans, data=b"")
    spans = (*record.spans, *result.spans)
    metadata = record.metadata | dict(result.metadata)
    if not result.edits:
        return replace(record, spans=spans, metadata=metadata)
    end = 0
    for edit in result.edits:
        if not end <= edit.start <= edit.end <= len(record.text):
            raise DataError(
                f"{record.path}: edit [{edit.start}:{edit.end}] ({edit.reason}) must start from "
                f"{end}, where the previous one ends, and end by {len(record.text)}."
            )
        end = edit.end
    moved_out = {key: [*slices] for key, slices in metadata.get("aside", {}).items()}
    for edit in result.edits:
        if edit.metadata_key:
            removed = record.text[edit.start : edit.end].strip()
            moved_out.setdefault(edit.metadata_key, []).append(removed)
    if moved_out:
        metadata["aside"] = moved_out
    map = _edited_map(record.map, result.edits)
    moved = _edited_spans(spans, result.edits)
    return replace(record, text=map.text, map=map, spans=moved, metadata=metadata)


def edited_text(text: str, edits: Iterable[TextEdit]) -> str:
    """The text after the edits."""
    parts, at = [], 0
    for edit in edits:
        parts += [text[at : edit.start], edit.replacement]
        at = edit.end
    return "".join([*parts, text[at:]])


def _edited_map(map: SourceMap, edits: Sequence[TextEdit]) -> SourceMap:
    """The map of the text after the edits; new text maps to the bytes that it replaced."""
    offsets = sorted({offset for edit in edits for offset in (edit.start, edit.end)})
    old = _cut_segments(map, offsets)
    segments, start = Segments(), 0
    following, previous = next(old, None), None
    for edit in [*edits, TextEdit(len(map.text), len(map.text), "")]:
        while following and following.end <= edit.start:
            length = following.end - following.start
            segments.append(following._replace(start=start, end=start + length))
            start += length
            previous, following = following, next(old, None)
        first, replaced = following, 0
        while following and following.end <= edit.end:
            previous, following, replaced = following, next(old, None), replaced + 1
        if edit.replacement:
            end = start + len(edit.replacement)
            low, high, line = _replaced_bytes(
                map.text, first if replaced else None, previous, following
            )
            segments.append(Segment(start, end, low, high, line, False))
            start = end
    return SourceMap(edited_text(map.text, edits), segments)


def _cut_segments(map: SourceMap, offsets: Sequence[int]) -> Iterator[Segment]:
    """Yield the segments, cut at ascending offsets; each character is counted once."""
    number, is_ascii = 0, map.text.isascii()
    for segment in map.segments:
        at, byte, line = segment.start, segment.byte_start, segment.line
        while number < len(offsets) and offsets[number] < segment.end:
            offset, number = offsets[number], number + 1
            if offset <= at:
                continue
            if segment.exact:
                text = map.text[at:offset]
                size = offset - at if is_ascii else len(text.encode("utf-8"))
                yield Segment(at, offset, byte, byte + size, line, True)
                at, byte, line = offset, byte + size, line + text.count("\n")
            else:
                yield segment._replace(start=at, end=offset)
                at = offset
        yield segment._replace(start=at, byte_start=byte, line=line)


def _replaced_bytes(
    text: str, first: Segment | None, previous: Segment | None, following: Segment | None
) -> tuple[int, int, int]:
    """First byte, last byte and line of a replaced slice; of an insertion if `first` is None.

    `previous` is the segment before `following`, replaced or not.
    """
    if first and previous:
        return first.byte_start, previous.byte_end, first.line
    if following:
        return following.byte_start, following.byte_start, following.line
    if not previous:
        return 0, 0, 1
    lines = text.count("\n", previous.start) if previous.exact else 0
    return previous.byte_end, previous.byte_end, previous.line + lines


def slice_segments(map: SourceMap, start: int, end: int, at: int) -> Iterator[Segment]:
    """Yield the segments of a slice of `map`, shifted so that the slice starts at `at`."""
    shift = at - start
    for segment in map.segments_in(start, end):
        first, last = max(start, segment.start), min(end, segment.end)
        bytes = (segment.byte_start, segment.byte_end)
        line = segment.line
        if segment.exact and (first, last) != (segment.start, segment.end):
            bytes = (map.byte_offset(segment, first), map.byte_offset(segment, last))
            line += map.text.count("\n", segment.start, first)
        yield Segment(first + shift, last + shift, *bytes, line, segment.exact)


def _edited_spans(spans: Iterable[TextSpan], edits: Sequence[TextEdit]) -> tuple[TextSpan, ...]:
    """The spans after the edits, without those whose text was removed."""
    shifts, starts, moved = [0], [edit.start for edit in edits], []
    for edit in edits:
        shifts.append(shifts[-1] + len(edit.replacement) - (edit.end - edit.start))

    def shifted(character: int, is_end: bool) -> int:
        """New offset; of a removed slice, a start is what follows it, an end what precedes it."""
        before = (bisect_left if is_end else bisect_right)(starts, character)
        if before == 0 or character >= edits[before - 1].end:
            return character + shifts[before]
        edit = edits[before - 1]
        start = edit.start + shifts[before - 1]
        return start + (0 if is_end and not edit.replacement else len(edit.replacement))

    for span in spans:
        start, end = shifted(span.start, False), shifted(span.end, True)
        if start < end or span.start == span.end:
            moved.append(span._replace(start=start, end=max(start, end)))
    return tuple(moved)


class NamedStep(NamedTuple):
    """A step and its name in the log and the report."""

    name: str
    """As in the pipeline, such as `03 web.lines`."""
    step: Callable[[Record], StepResult]
    """A `Step`, or any function of a record."""
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
        result = _check_result(named_step.step(record))
        after = None if result.reason else apply_result(record, result)
        log = list(_removals_of(named_step.name, record, result))
    except MissingExtra:
        raise
    except Exception as error:  # one bad record must not fail the batch
        message = f"{type(error).__name__}: {error}".splitlines()[0][:300]
        failure = StepResult("step failed", details=message)
        after, log = None, list(_removals_of(named_step.name, record, failure))
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
    import pyarrow as pa

    span = pa.struct(
        [("kind", pa.string()), ("start", pa.int32()), ("end", pa.int32()), ("value", pa.string())]
    )
    columns = {name: pa.string() for name in ("id", "source", "path", "kind", "text")}
    columns |= {"map": pa.list_(pa.int64()), "spans": pa.list_(span)}
    return pa.schema(columns | {"metadata": pa.string(), "data": pa.binary()})


@cache
def removal_schema() -> "pyarrow.Schema":
    """Columns of a shard of removals."""
    import pyarrow as pa

    kinds = {"value": pa.float64(), "start": pa.int64(), "end": pa.int64(),
             "byte_start": pa.int64(), "byte_end": pa.int64()}  # fmt: skip
    return pa.schema([(name, kinds.get(name, pa.string())) for name in Removal._fields])


def to_batch(records: Sequence[Record]) -> "pyarrow.RecordBatch":
    """Records as one Arrow batch with the columns of `record_schema`."""
    import pyarrow

    columns: dict[str, list[Any]] = {
        name: [getattr(record, name) for record in records]
        for name in ("id", "source", "path", "kind", "text", "data")
    }
    columns |= {
        "map": [record.map.to_numbers() for record in records],
        "spans": [[span._asdict() for span in record.spans] for record in records],
        "metadata": [canonical_json(record.metadata) for record in records],
    }
    return pyarrow.RecordBatch.from_pydict(columns, schema=record_schema())


def from_batch(batch: "pyarrow.RecordBatch") -> Iterator[Record]:
    """Yield the records of an Arrow batch."""
    for row in batch.to_pylist():
        map = SourceMap.from_numbers(row["text"], row["map"])
        spans = tuple(TextSpan(**span) for span in row["spans"])
        metadata = json.loads(row["metadata"])
        yield Record(**(row | {"map": map, "spans": spans, "metadata": metadata}))


def removals_to_batch(removed: Sequence[Removal]) -> "pyarrow.RecordBatch":
    """Removals as one Arrow batch."""
    import pyarrow

    rows = zip(*removed, strict=True) if removed else [[] for _ in Removal._fields]
    columns = {name: list(row) for name, row in zip(Removal._fields, rows, strict=True)}
    return pyarrow.RecordBatch.from_pydict(columns, schema=removal_schema())


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal bytes."""
    return json.dumps(
        value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
    )
