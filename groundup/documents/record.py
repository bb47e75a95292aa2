"""A record on its way into a corpus, and what a step rules about it.

A step never changes text: it rules. A ruling drops the record for a reason, or lists edits (this
slice goes, that one becomes something else, a third is kept aside), or adds what it measured.
`follow` carries a ruling out, and it alone; so the text, its map to the original bytes, the places
of headings, pages and turns, the log of removals and every count agree whatever the steps are, and
each removed document, line and span has its reason by construction.

Knows nothing of files, of Arrow (see batch.py) or of who runs the steps.
"""

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

from groundup.core import Config, DataError

from .document import Segment, Segments, SourceMap


class Span(NamedTuple):
    """A named place in a record's text: it moves as the text is edited and goes when it empties."""

    kind: str
    """heading, page, turn, table, caption, cell, paragraph …"""
    start: int
    end: int
    value: str = ""
    """The heading's level, the page's number, the speaker's role."""


class Edit(NamedTuple):
    """A slice of the text that goes or becomes something else."""

    start: int
    end: int
    """Characters of the text as the step saw it; equal to `start` where text is only put in."""
    reason: str
    """Short and stable; removals are counted by it."""
    put: str = ""
    """What stands there instead."""
    aside: str = ""
    """Keep the slice in the record's metadata, under `aside` and this name, such as footnotes."""
    is_private: bool = False
    """The log tells reason and place and not the slice: it is personal, or a secret."""


class Made(NamedTuple):
    """The text that a step made of a record's bytes."""

    map: SourceMap
    spans: tuple[Span, ...] = ()


class Ruling(NamedTuple):
    """What a step says about one record; an empty one lets it pass as it is."""

    reason: str = ""
    """Why the record is dropped, short and stable, such as `gopher: too few words`."""
    value: float | None = None
    """The number that decided."""
    details: str = ""
    """For a person: the limit, the document that was kept instead."""
    edits: tuple[Edit, ...] = ()
    """In rising order, not overlapping."""
    metadata: Mapping[str, Any] = {}
    """Added to the record's, JSON values; numbers become histograms in the report."""
    spans: tuple[Span, ...] = ()
    """Places found in the text as the step saw it; they move with the edits."""
    made: Made | None = None
    """Text in place of the record's bytes; `edits` and `spans` then speak of that text."""


PASS = Ruling()


@dataclass(frozen=True, slots=True)
class Record:
    """A document, page, file or conversation between its source and the corpus."""

    id: str
    """32 hex digits of source and path: see `record_id`."""
    source: str
    """Name of the source in the pipeline."""
    path: str
    """Where it lies in the source: a relative path, `#` and a number inside a container."""
    kind: str
    """html, text, markdown, rst, python, code, notebook, latex, jats, pdf, epub, conversation."""
    text: str = field(default="", repr=False)
    map: SourceMap = field(default=SourceMap("", ()), repr=False)
    """From the text to the bytes of the original: of the file, or of the container's record."""
    spans: tuple[Span, ...] = field(default=(), repr=False)
    metadata: dict[str, Any] = field(default_factory=dict)
    """JSON values: url, title, licence, sha256 of the bytes, scores, what was kept aside."""
    data: bytes = field(default=b"", repr=False)
    """The original bytes until a step has made text of them; then empty."""


@runtime_checkable
class Step(Protocol):
    """A pure judge of single records, made anew from its configuration in every worker.

    The engine gives it a time limit and sets a record aside on which it fails; a step needs no
    guard of its own against either, but must not keep state from one record to the next.
    """

    config: Config

    def __call__(self, record: Record) -> Ruling:
        """Rule about one record."""
        ...


def record_id(source: str, path: str) -> str:
    """The id of a record: the same place in the same source has it in every run.

    >>> record_id("manuals", "tar.html")
    'fb41136b52e7db8eba01385b71f5918f'
    """
    return hashlib.blake2b(f"{source}\0{path}".encode(), digest_size=16).hexdigest()


def follow(record: Record, ruling: Ruling) -> Record:
    """The record after a ruling that keeps it.

    Raises DataError naming two edits that overlap or one that is not inside the text.

    >>> plain = Record("1", "s", "p", "text", "one two", SourceMap.identity("one two"))
    >>> cut = follow(plain, Ruling(edits=(Edit(0, 4, "first word"),)))
    >>> cut.text, cut.map.byte_range(0, 3)
    ('two', (4, 7))
    """
    if ruling == PASS:
        return record
    if ruling.made is not None:
        made = ruling.made
        record = replace(record, text=made.map.text, map=made.map, spans=made.spans, data=b"")
    spans = (*record.spans, *ruling.spans)
    metadata = record.metadata | dict(ruling.metadata)
    if not ruling.edits:
        return replace(record, spans=spans, metadata=metadata)
    check_edits(record, ruling.edits)
    shelves = {name: [*kept] for name, kept in metadata.get("aside", {}).items()}
    for edit in ruling.edits:
        if edit.aside:
            taken = record.text[edit.start : edit.end].strip()
            shelves.setdefault(edit.aside, []).append(taken)
    if shelves:
        metadata["aside"] = shelves
    map = edited_map(record.map, ruling.edits)
    moved = edited_spans(spans, ruling.edits)
    return replace(record, text=map.text, map=map, spans=moved, metadata=metadata)


def check_edits(record: Record, edits: Sequence[Edit]) -> None:
    """Raise DataError unless the edits rise, do not overlap and lie inside the text."""
    end = 0
    for edit in edits:
        if not end <= edit.start <= edit.end <= len(record.text):
            raise DataError(
                f"{record.path}: the edit [{edit.start}:{edit.end}] ({edit.reason}) overlaps the "
                f"one before, which ends at {end}, or leaves the {len(record.text)} characters."
            )
        end = edit.end


def edited_text(text: str, edits: Iterable[Edit]) -> str:
    """The text after the edits."""
    pieces, at = [], 0
    for edit in edits:
        pieces += [text[at : edit.start], edit.put]
        at = edit.end
    return "".join([*pieces, text[at:]])


def edited_map(map: SourceMap, edits: Sequence[Edit]) -> SourceMap:
    """The map of the text after the edits: what was put in comes from the bytes it replaced."""
    places = sorted({place for edit in edits for place in (edit.start, edit.end)})
    pieces = cut_segments(map, places)
    segments, start = Segments(), 0
    piece, last = next(pieces, None), None  # the piece to come, and the one before it
    for edit in [*edits, Edit(len(map.text), len(map.text), "")]:
        while piece and piece.end <= edit.start:
            length = piece.end - piece.start
            segments.append(piece._replace(start=start, end=start + length))
            start += length
            last, piece = piece, next(pieces, None)
        first, number = piece, 0
        while piece and piece.end <= edit.end:
            last, piece, number = piece, next(pieces, None), number + 1
        if edit.put:
            end = start + len(edit.put)
            low, high, line = origin(map.text, first if number else None, last, piece)
            segments.append(Segment(start, end, low, high, line, False))
            start = end
    return SourceMap(edited_text(map.text, edits), segments)


def cut_segments(map: SourceMap, places: Sequence[int]) -> Iterator[Segment]:
    """Yield the segments, cut at rising places; each character is counted once."""
    number, is_ascii = 0, map.text.isascii()
    for segment in map.segments:
        at, byte, line = segment.start, segment.byte_start, segment.line
        while number < len(places) and places[number] < segment.end:
            place, number = places[number], number + 1
            if place <= at:
                continue
            if segment.exact:
                piece = map.text[at:place]
                size = place - at if is_ascii else len(piece.encode("utf-8"))
                yield Segment(at, place, byte, byte + size, line, True)
                at, byte, line = place, byte + size, line + piece.count("\n")
            else:
                yield segment._replace(start=at, end=place)
                at = place
        yield segment._replace(start=at, byte_start=byte, line=line)


def origin(
    text: str, first: Segment | None, last: Segment | None, after: Segment | None
) -> tuple[int, int, int]:
    """First and last byte, and line, of what was replaced; of a place if `first` is None.

    `last` is the piece before `after`, replaced or not.
    """
    if first and last:
        return first.byte_start, last.byte_end, first.line
    if after:
        return after.byte_start, after.byte_start, after.line
    if not last:
        return 0, 0, 1
    lines = text.count("\n", last.start) if last.exact else 0
    return last.byte_end, last.byte_end, last.line + lines


def slice_of(map: SourceMap, start: int, end: int, at: int) -> Iterator[Segment]:
    """Yield the segments of `map` in a slice, moved to begin at character `at`."""
    shift = at - start
    for segment in map.segments_in(start, end):
        first, last = max(start, segment.start), min(end, segment.end)
        bytes = (segment.byte_start, segment.byte_end)
        line = segment.line
        if segment.exact and (first, last) != (segment.start, segment.end):
            bytes = (map.place(segment, first), map.place(segment, last))
            line += map.text.count("\n", segment.start, first)
        yield Segment(first + shift, last + shift, *bytes, line, segment.exact)


def edited_spans(spans: Iterable[Span], edits: Sequence[Edit]) -> tuple[Span, ...]:
    """The spans after the edits: those whose text is gone are gone, the others moved."""
    moved, rising = [], Moving(edits)
    for span in spans:
        start, end = rising.start(span.start), rising.end(span.end)
        if start < end or span.start == span.end:
            moved.append(span._replace(start=start, end=max(start, end)))
    return tuple(moved)


class Moving:
    """Where a character of the old text is in the new one."""

    def __init__(self, edits: Sequence[Edit]) -> None:
        self.edits = edits
        self.starts = [edit.start for edit in edits]
        self.shifts = [0]
        for edit in edits:
            self.shifts.append(self.shifts[-1] + len(edit.put) - (edit.end - edit.start))

    def start(self, character: int) -> int:
        """New place of a span's first character: inside a removed slice, what follows it."""
        return self.place(character, is_end=False)

    def end(self, character: int) -> int:
        """New place of a span's end: inside a removed slice, what stands before it."""
        return self.place(character, is_end=True)

    def place(self, character: int, is_end: bool) -> int:
        """Where the character lands."""
        before = (bisect_left if is_end else bisect_right)(self.starts, character)
        if before == 0:
            return character
        edit = self.edits[before - 1]
        if character >= edit.end:
            return character + self.shifts[before]
        kept = edit.start + self.shifts[before - 1]
        return kept + (0 if is_end and not edit.put else len(edit.put))
