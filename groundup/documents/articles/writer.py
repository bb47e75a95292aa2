"""Writes a text from a source, and maps every part of it to the source.

The readers of LaTeX, XML and manual pages walk over their source and call `write_slice` for a
slice of it, `write_replacement` for text that replaces one (an accent, a macro), and
`request_break`. Runs of white space become one space, so a paragraph is one line. Figures,
bibliographies and the like are written too and marked for the metadata: an edit removes them, so
they are logged with a reason. Knows nothing of any format.
"""

import re
from array import array
from collections.abc import Iterator
from typing import NamedTuple

from ..document import Segment, Segments, SourceMap
from ..readers.encodings import decode
from ..record import ExtractedText, Record, StepResult, TextEdit, TextSpan, slice_segments

SPACES = re.compile(r"[ \t\r\n\f\v]+")
BREAKS = ("", " ", "\t", "\n", "\n\n")
SPACE, TAB, NEWLINE, BLANK_LINE = 1, 2, 3, 4
MAX_SEGMENT_CHARACTERS = 2_048


class MarkedSlice(NamedTuple):
    """A slice of the written text to move to the metadata."""

    metadata_key: str
    start: int
    end: int
    reason: str


class _TextParts:
    """Parts of a text: for each, a slice of the source, and the text that replaces it, if any.

    Offsets are in an array, since a source may have a part for each of its characters.
    """

    def __init__(self) -> None:
        self.offsets = array("q")
        self.replacements: list[str | None] = []

    def add(self, start: int, end: int, replacement: str | None) -> None:
        """Add a part, merged with the previous one if both are adjacent slices of the source."""
        follows_slice = self.replacements and self.replacements[-1] is None
        if replacement is None and follows_slice and self.offsets[-1] == start:
            self.offsets[-1] = end
            return
        self.offsets.extend((start, end))
        self.replacements.append(replacement)

    @property
    def end(self) -> int:
        """Offset in the source at the end of the last part; 0 if there is none."""
        return self.offsets[-1] if self.offsets else 0

    def __iter__(self) -> Iterator[tuple[int, int, str | None]]:
        offsets = iter(self.offsets)
        return zip(offsets, offsets, self.replacements, strict=True)


class MappedWriter:
    """Collects the written text, its spans and the slices for the metadata."""

    def __init__(self, source: SourceMap) -> None:
        self.source = _split_segments(source)
        self.parts = _TextParts()
        self.length = 0
        self.requested_break = 0  # the strongest break requested since the last character
        self.ends_in_space = True
        self.spans: list[TextSpan] = []
        self.marked_slices: list[MarkedSlice] = []
        # By `marked_slices`, ascending and disjoint.
        self.covered_ranges: list[tuple[int, int]] = []
        self.is_first = True
        self.is_bullet = False

    def request_break(self, strength: int) -> None:
        """Request a break before the next text."""
        self.requested_break = max(
            self.requested_break, min(strength, SPACE) if self.is_bullet else strength
        )

    def write_bullet(self, start: int, end: int) -> None:
        """Write the dash of a list item; the next text stays on its line."""
        self.write_replacement(start, end, "-")
        self.requested_break, self.is_bullet = SPACE, True

    def write_slice(self, start: int, end: int) -> None:
        """Write a slice of the source with runs of white space as one space."""
        text = self.source.text
        at = start
        for run in SPACES.finditer(text, start, end):
            if run.start() > at:
                self.write_exact(at, run.start())
            self.request_break(SPACE)
            at = run.end()
        if at < end:
            self.write_exact(at, end)

    def write_exact(self, start: int, end: int) -> None:
        """Write a slice of the source unchanged, line breaks included."""
        if start < end:
            before = self.parts.end if not self.is_first else start
            if self.requested_break == SPACE and not self.ends_in_space and before < start:
                if self.source.text[start - 1] == " ":  # the source's own space, so it is exact
                    start, self.requested_break = start - 1, 0
            self._write_break(start)
            self._append_part(start, end, None)

    def write_replacement(self, start: int, end: int, text: str) -> None:
        """Write a text in place of a slice of the source; runs of white space become one space."""
        words = SPACES.sub(" ", text)
        if words.startswith(" "):
            self.request_break(SPACE)
        if words.strip():
            self._write_break(start)
            self._append_part(start, end, words.strip())
        if words.endswith(" "):
            self.request_break(SPACE)

    def _write_break(self, offset: int) -> None:
        wanted, self.requested_break, self.is_bullet = self.requested_break, 0, False
        if wanted == SPACE and self.ends_in_space:
            return
        if wanted and not self.is_first:
            self._append_part(offset, offset, BREAKS[wanted])

    def _append_part(self, start: int, end: int, text: str | None) -> None:
        last = self.source.text[end - 1] if text is None else text[-1]
        self.ends_in_space = last in " \t\n"
        self.is_first = False
        self.length += end - start if text is None else len(text)
        self.parts.add(start, end, text)

    def next_offset(self) -> int:
        """Offset of the next character, after the requested break."""
        if self.is_first or (self.requested_break == SPACE and self.ends_in_space):
            return self.length
        return self.length + len(BREAKS[self.requested_break])

    def add_span(self, kind: str, start: int, value: str = "") -> None:
        """Mark the text written since `start`."""
        if start < self.length:
            self.spans.append(TextSpan(kind, start, self.length, value))

    def mark_for_metadata(self, name: str, start: int, reason: str) -> None:
        """Mark the text since `start` for the metadata, except slices that are already marked."""
        stop = self.length
        # From the last inner slice backwards.
        while self.covered_ranges and self.covered_ranges[-1][0] >= start:
            inner_start, inner_end = self.covered_ranges.pop()
            if inner_end < stop:
                self.marked_slices.append(MarkedSlice(name, inner_end, stop, reason))
            stop = inner_start
        if start < stop:
            self.marked_slices.append(MarkedSlice(name, start, stop, reason))
        self.covered_ranges.append((start, self.length))

    def text(self) -> str:
        """The text written so far."""
        source = self.source.text
        return "".join(source[a:b] if put is None else put for a, b, put in self.parts)

    def to_result(self, metadata: dict[str, object]) -> StepResult:
        """The step's result: the text, edits for the marked slices, and metadata."""
        segments = Segments()
        for start, end, text in self.parts:
            at = segments.length
            if text is None:
                segments.extend(slice_segments(self.source, start, end, at))
            else:
                first, last = self.source.byte_range(start, end)
                line = self.source.line(start)
                segments.append(Segment(at, at + len(text), first, last, line, False))
        map = SourceMap(self.text(), segments)
        edits = tuple(metadata_edits(map.text, self.marked_slices))
        return StepResult(
            edits=edits, metadata=metadata, extracted=ExtractedText(map, tuple(self.spans))
        )


def metadata_edits(text: str, asides: list[MarkedSlice]) -> Iterator[TextEdit]:
    """Yield edits for marked slices, each with the break before it, so that no gap remains."""
    before = 0
    ascending = sorted(asides, key=lambda marked: marked.start)
    starts = {marked.start for marked in ascending}
    for name, start, end, reason in ascending:
        if not text[start:end].strip():
            continue
        first = start
        while first > before and text[first - 1] in "\n\t ":
            first -= 1
        if first == 0:
            while end < len(text) and text[end] in "\n\t ":
                end += 1
        elif first < start and end not in starts and not text[end : end + 1].isspace():
            first = start if end < len(text) else first  # the next text needs the break
        yield TextEdit(first, end, reason, metadata_key=name)
        before = end


def _split_segments(map: SourceMap) -> SourceMap:
    """Split exact segments to a limited length, so that a look-up never scans a file."""
    segments = Segments()
    for segment in map.segments:
        if not segment.exact or segment.end - segment.start <= MAX_SEGMENT_CHARACTERS:
            segments.append(segment)
            continue
        byte, line = segment.byte_start, segment.line
        for start in range(segment.start, segment.end, MAX_SEGMENT_CHARACTERS):
            end = min(start + MAX_SEGMENT_CHARACTERS, segment.end)
            text = map.text[start:end]
            size = len(text.encode("utf-8"))
            segments.append(Segment(start, end, byte, byte + size, line, True))
            byte, line = byte + size, line + text.count("\n")
    return SourceMap(map.text, segments)


def record_source(record: Record) -> SourceMap:
    """A record's text before its markup is read: the reader's text, or its decoded bytes."""
    if record.text or not record.data:
        return record.map
    return decode(record.data, kind=record.kind).map
