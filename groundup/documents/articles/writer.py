"""Writes a text from a source, and maps every part of it to the source.

The readers of LaTeX, XML and manual pages walk over their source and call `write_slice` for a
slice of it, `write_replacement` for text that replaces one (an accent, a macro), and
`request_break`. Runs of white space become one space, so a paragraph is one line. Figures,
bibliographies and the like are written too and marked for the metadata: an edit removes them, so
they are logged with a reason. Knows nothing of any format.
"""

import re
from array import array
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ..document import Segment, Segments, SourceMap
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


class TextParts:
    """Parts of a text: for each, a slice of the source, and the text that replaces it, if any.

    Offsets are in an array, since a source may have a part for each of its characters.
    """

    def __init__(self) -> None:
        self.offsets = array("q")
        self.replacements: list[str | None] = []

    def add(self, start: int, end: int, replacement: str | None) -> None:
        """Add a part, merged with the previous one if both are adjacent slices of the source."""
        if (
            replacement is None
            and self.replacements
            and self.replacements[-1] is None
            and self.offsets[-1] == start
        ):
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

    def last_parts(self, max_parts: int) -> list[tuple[int, int, str | None]]:
        """The last parts, in reverse order."""
        ends = range(len(self.replacements), max(0, len(self.replacements) - max_parts), -1)
        return [
            (self.offsets[2 * n - 2], self.offsets[2 * n - 1], self.replacements[n - 1])
            for n in ends
        ]


class MappedWriter:
    """Collects the written text, its spans and the slices for the metadata."""

    def __init__(self, source: SourceMap) -> None:
        self.source = _split_segments(source)
        self.parts = TextParts()
        self.length = 0
        self.requested_break = 0  # the strongest break requested since the last character
        self.ends_in_space = True
        self.spans: list[TextSpan] = []
        self.marked_slices: list[MarkedSlice] = []
        self.covered_ranges: list[
            tuple[int, int]
        ] = []  # by `marked_slices`, ascending and disjoint
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
            self.write_break(start)
            self.append_part(start, end, None)

    def write_replacement(self, start: int, end: int, text: str) -> None:
        """Write a text in place of a slice of the source; runs of white space become one space."""
        words = SPACES.sub(" ", text)
        if words.startswith(" "):
            self.request_break(SPACE)
        if words.strip():
            self.write_break(start)
            self.append_part(start, end, words.strip())
        if words.endswith(" "):
            self.request_break(SPACE)

    def write_break(self, offset: int) -> None:
        """Write the requested break."""
        wanted, self.requested_break, self.is_bullet = self.requested_break, 0, False
        if wanted == SPACE and self.ends_in_space:
            return
        if wanted and not self.is_first:
            self.append_part(offset, offset, BREAKS[wanted])

    def append_part(self, start: int, end: int, text: str | None) -> None:
        """Add a part, merged with the previous one if both are adjacent slices of the source."""
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
        while (
            self.covered_ranges and self.covered_ranges[-1][0] >= start
        ):  # from the last inner slice backwards
            inner_start, inner_end = self.covered_ranges.pop()
            if inner_end < stop:
                self.marked_slices.append(MarkedSlice(name, inner_end, stop, reason))
            stop = inner_start
        if start < stop:
            self.marked_slices.append(MarkedSlice(name, start, stop, reason))
        self.covered_ranges.append((start, self.length))

    def text(self, start: int = 0) -> str:
        """The text written since `start`."""
        return _join_parts(self.source.text, self.parts)[start:]

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
        map = SourceMap(_join_parts(self.source.text, self.parts), segments)
        edits = tuple(_metadata_edits(map.text, self.marked_slices))
        return StepResult(
            edits=edits, metadata=metadata, extracted=ExtractedText(map, tuple(self.spans))
        )


def _join_parts(source: str, pieces: Iterable[tuple[int, int, str | None]]) -> str:
    """The text of the parts."""
    return "".join(source[a:b] if put is None else put for a, b, put in pieces)


def _metadata_edits(text: str, asides: list[MarkedSlice]) -> Iterator[TextEdit]:
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
    """A record's text before its markup is read: the reader's text, or its decoded bytes.

    UTF-16 is detected by its byte order mark, or by a zero byte next to the first `<`. Other bytes
    that are not UTF-8 are read as Windows-1252, undefined ones as Latin-1: LaTeX and manual pages
    before 2018 often are.
    """
    if record.text or not record.data:
        return record.map
    if (charset := UTF_16.get(record.data[:2])) and len(record.data) % 2 == 0:
        try:
            return _map_utf16(record.data.decode(charset))
        except UnicodeDecodeError:
            pass  # not a byte order mark
    skip = 3 if record.data.startswith(b"\xef\xbb\xbf") else 0
    try:
        return SourceMap.identity(record.data[skip:].decode("utf-8"), skip)
    except UnicodeDecodeError:
        text = "".join(WINDOWS_1252[byte] for byte in record.data)
    segments, line = Segments(), 1
    for run in re.finditer(r"[\x00-\x7f]+|[^\x00-\x7f]", text):
        a, b = run.span()
        segments.append(Segment(a, b, a, b, line, run[0].isascii()))
        line += run[0].count("\n")
    return SourceMap(text, segments)


UTF_16 = {
    b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be", b"<\0": "utf-16-le", b"\0<": "utf-16-be",
}  # fmt: skip


def _map_utf16(text: str) -> SourceMap:
    """Map of a text decoded from UTF-16; a segment per word, since its bytes are not UTF-8.

    >>> _map_utf16("\ufeff<p>Ä b").byte_range(3, 4)
    (8, 10)
    """
    mark = text.startswith("\ufeff")
    segments, byte, line, text = Segments(), 2 * mark, 1, text[mark:]
    for word in re.finditer(r"[^\s<>]+|<|>|\s", text):
        size = 2 * len(word[0]) + 2 * sum(character > "\uffff" for character in word[0])
        segments.append(Segment(*word.span(), byte, byte + size, line, False))
        byte += size
        line += word[0] == "\n"
    return SourceMap(text, segments)


WINDOWS_1252 = [
    bytes([byte]).decode("cp1252", "ignore") or bytes([byte]).decode("latin-1")
    for byte in range(256)
]
