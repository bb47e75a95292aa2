"""A record on its way into a corpus, and the result of a step for it.

A step never changes text. Its result drops the record for a reason, or lists edits (remove this
slice, replace that one, move a third to the metadata), or adds measurements. Only `apply_result`
changes records, so the text, its map to the original bytes, the offsets of headings, pages and
turns, the removal log and all counts agree whatever the steps are, and every removed document, line
and span has a reason.

Knows nothing of files, of Arrow (see batch.py) or of who runs the steps.
"""

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

from groundup.core import Config, DataError

from .document import Segment, Segments, SourceMap


class TextSpan(NamedTuple):
    """A labelled range of a record's text: moved by edits, dropped when it becomes empty."""

    kind: str
    """heading, page, turn, table, caption, cell, paragraph …"""
    start: int
    end: int
    value: str = ""
    """The heading's level, the page's number, the speaker's role."""


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
    """The result of a step for one record; an empty one keeps the record unchanged."""

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


@dataclass(frozen=True, slots=True)
class Record:
    """A document, page, file or conversation between its source and the corpus."""

    id: str
    """32 hex digits of source and path: see `record_id`."""
    source: str
    """Name of the source in the pipeline."""
    path: str
    """Relative path in the source; `#` and a number follow inside a container."""
    kind: str
    """html, text, markdown, rst, python, code, notebook, latex, jats, pdf, epub, conversation."""
    text: str = field(default="", repr=False)
    map: SourceMap = field(default=SourceMap("", ()), repr=False)
    """From the text to the bytes of the original: of the file, or of the container's record."""
    spans: tuple[TextSpan, ...] = field(default=(), repr=False)
    metadata: dict[str, Any] = field(default_factory=dict)
    """JSON values: url, title, licence, sha256 of the bytes, scores, slices under `aside`."""
    data: bytes = field(default=b"", repr=False)
    """The original bytes until a step has extracted the text; then empty."""


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


def record_id(source: str, path: str) -> str:
    """The id of a record: the same path in the same source has the same id in every run.

    >>> record_id("manuals", "tar.html")
    'fb41136b52e7db8eba01385b71f5918f'
    """
    return hashlib.blake2b(f"{source}\0{path}".encode(), digest_size=16).hexdigest()


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
    _check_edits(record, result.edits)
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


def _check_edits(record: Record, edits: Sequence[TextEdit]) -> None:
    """Raise DataError unless the edits ascend, do not overlap and lie inside the text."""
    end = 0
    for edit in edits:
        if not end <= edit.start <= edit.end <= len(record.text):
            raise DataError(
                f"{record.path}: edit [{edit.start}:{edit.end}] ({edit.reason}) must start from "
                f"{end}, where the previous one ends, and end by {len(record.text)}."
            )
        end = edit.end


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
    moved, shift = [], _OffsetShift(edits)
    for span in spans:
        start, end = shift.shift_start(span.start), shift.shift_end(span.end)
        if start < end or span.start == span.end:
            moved.append(span._replace(start=start, end=max(start, end)))
    return tuple(moved)


class _OffsetShift:
    """Maps offsets of the text before the edits to the text after them."""

    def __init__(self, edits: Sequence[TextEdit]) -> None:
        self.edits = edits
        self.starts = [edit.start for edit in edits]
        self.shifts = [0]
        for edit in edits:
            self.shifts.append(self.shifts[-1] + len(edit.replacement) - (edit.end - edit.start))

    def shift_start(self, character: int) -> int:
        """New offset of a span's start: of a removed slice, what follows it."""
        return self.shift_offset(character, is_end=False)

    def shift_end(self, character: int) -> int:
        """New offset of a span's end: of a removed slice, what precedes it."""
        return self.shift_offset(character, is_end=True)

    def shift_offset(self, character: int, is_end: bool) -> int:
        before = (bisect_left if is_end else bisect_right)(self.starts, character)
        if before == 0:
            return character
        edit = self.edits[before - 1]
        if character >= edit.end:
            return character + self.shifts[before]
        start = edit.start + self.shifts[before - 1]
        return start + (0 if is_end and not edit.replacement else len(edit.replacement))
