"""A record: a document's text, with a map from every slice back to the bytes of its file.

A quote is evidence only if a person can find it in the file. So each record stores, for every
character of its text, the bytes that it came from. For plain kinds (text, Markdown, Python) the
text *is* the decoded file and the map has one segment; HTML has a segment for each run of text,
entity and line break. Knows nothing of files on disk or of how text is extracted; see
readers/ and markup.py.
"""

import hashlib
import json
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, pairwise
from operator import add, sub
from typing import Any, NamedTuple, overload

from groundup.core import DataError, Quote

CHECKPOINT_CHARACTERS = 4096
PAGES, WITHOUT_TEXT = "page_starts", "pages_without_text"
"""Keys of a record's metadata: where its pages, or sheets, begin in the text; numbers of pages."""


class Segment(NamedTuple):
    """A range of the text and the bytes that it came from."""

    start: int
    """First character in the text."""
    end: int
    """One past the last character in the text."""
    byte_start: int
    """First byte in the file."""
    byte_end: int
    """One past the last byte in the file; equal to `byte_start` for inserted text."""
    line: int
    """Line of `byte_start` in the file, counted from 1."""
    exact: bool
    """The text is these bytes decoded as UTF-8; otherwise the segment is indivisible."""


class Segments(Sequence[Segment]):
    """A packed sequence of segments, six numbers each: 48 bytes instead of a tuple's 260.

    A page may have a segment for each of its bytes. Behaves like a tuple of segments and equals
    one; grows only while a map is being built.
    """

    __slots__ = ("numbers",)

    def __init__(self, segments: Iterable[Segment] = ()) -> None:
        self.numbers = array("q")
        self.extend(segments)

    def append(self, segment: Segment) -> None:
        """Append one segment."""
        self.numbers.extend(segment)

    def extend(self, segments: Iterable[Segment]) -> None:
        """Append several segments."""
        for segment in segments:
            self.numbers.extend(segment)

    def extend_last(self, end: int, byte_end: int) -> None:
        """Move the end of the last segment."""
        self.numbers[-5], self.numbers[-3] = end, byte_end

    @property
    def length(self) -> int:
        """Characters covered: where the next segment starts."""
        return self.numbers[-5] if self.numbers else 0

    def iter_range(self, first: int, last: int) -> Iterator[Segment]:
        """Yield segments `first` to `last` - 1."""
        numbers = iter(self.numbers[6 * first : 6 * last])
        for start, end, byte_start, byte_end, line, exact in zip(*[numbers] * 6, strict=True):
            yield Segment(start, end, byte_start, byte_end, line, exact == 1)

    def __iter__(self) -> Iterator[Segment]:
        return self.iter_range(0, len(self))

    def __len__(self) -> int:
        return len(self.numbers) // 6

    @overload
    def __getitem__(self, index: int) -> Segment: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Segment, ...]: ...
    def __getitem__(self, index: int | slice) -> Segment | tuple[Segment, ...]:
        if isinstance(index, slice):
            return tuple(self[number] for number in range(*index.indices(len(self))))
        at = 6 * (index if index >= 0 else len(self) + index)
        if not 0 <= at < len(self.numbers):
            raise IndexError(f"segment {index} of {len(self)}")
        start, end, byte_start, byte_end, line, exact = self.numbers[at : at + 6]
        return Segment(start, end, byte_start, byte_end, line, exact == 1)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Segments):
            return self.numbers == other.numbers
        return tuple(self) == other

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return repr(tuple(self))


class StoredSegments(Segments):
    """Segments as `SourceMap.to_numbers` writes them, which are unpacked when first used.

    A question reads the texts of dozens of documents and quotes three.
    """

    def __init__(self, text: str, stored: Sequence[int]) -> None:
        self.text, self.stored = text, array("q", stored)

    @cached_property
    def numbers(self) -> "array[int]":  # pyright: ignore[reportIncompatibleVariableOverride]
        """Six numbers of each segment, as in `Segment`."""
        skipped, lines, lengths, sizes = (self.stored[column::4] for column in range(4))
        bounds = [0, *accumulate(lengths)]
        own: Sequence[int] = lengths  # bytes of each slice
        if not self.text.isascii():
            slices = (self.text[start:end] for start, end in pairwise(bounds))
            own = [len(piece.encode("utf-8")) for piece in slices]
        exact = [size < 0 for size in sizes]
        sizes = [own[i] if is_exact else sizes[i] for i, is_exact in enumerate(exact)]
        byte_ends = list(accumulate(map(add, skipped, sizes)))
        byte_starts = map(sub, byte_ends, sizes)
        line_numbers = (1 + line for line in accumulate(lines))
        unpacked = array("q", bytes(6 * 8 * len(exact)))
        columns = (bounds[:-1], bounds[1:], byte_starts, byte_ends, line_numbers, exact)
        for index, column in enumerate(columns):
            unpacked[index::6] = array("q", column)
        return unpacked


class Heading(NamedTuple):
    """A title in the text: `text[start:end]`, level 1 outermost."""

    level: int
    start: int
    end: int


@dataclass(frozen=True)
class SourceMap:
    """Maps slices of a text to bytes of its file.

    Segments are contiguous in the text and ascending in the file; the bytes between two segments
    (tags, comments) have no text.

    >>> plain = SourceMap.identity("né!")
    >>> plain.byte_range(1, 2)
    (1, 3)
    """

    text: str = field(repr=False)
    segments: Sequence[Segment]
    """Packed into `Segments` on construction."""

    def __post_init__(self) -> None:
        if not isinstance(self.segments, Segments):
            object.__setattr__(self, "segments", Segments(self.segments))

    @classmethod
    def identity(cls, text: str, byte_start: int = 0) -> "SourceMap":
        """Map of a text that is its file decoded from `byte_start` (after a byte order mark) on."""
        if not text:
            return cls(text, ())
        byte_end = byte_start + len(text.encode("utf-8"))
        return cls(text, (Segment(0, len(text), byte_start, byte_end, 1, True),))

    def byte_range(self, start: int, end: int) -> tuple[int, int]:
        """Bytes of the file that hold `text[start:end]`.

        Exact segments give exactly those characters; an entity or a run of white space is
        indivisible. Raises DataError if the slice is not inside the text.
        """
        self.check_slice(start, end)
        if not self.segments:
            return (0, 0)
        first = self.segment_at(min(start, len(self.text) - 1))
        if start == end:
            byte = first.byte_end if start == len(self.text) else self.byte_offset(first, start)
            return (byte, byte)
        last = self.segment_at(end - 1)
        stop = self.byte_offset(last, end) if last.exact else last.byte_end
        return (self.byte_offset(first, start), stop)

    def character_range(self, byte_start: int, byte_end: int) -> tuple[int, int]:
        """Characters of the text that stand for bytes of the file; (0, 0) if none do.

        >>> SourceMap.identity("né!").character_range(1, 3)
        (1, 2)
        """
        assert isinstance(self.segments, Segments)
        first = bisect_right(self.segments.numbers[3::6], byte_start)
        last = bisect_left(self.segments.numbers[2::6], byte_end)
        if first >= last:
            return (0, 0)
        begin, end = self.segments[first], self.segments[last - 1]
        return (
            self._character_offset(begin, byte_start) if begin.exact else begin.start,
            self._character_offset(end, byte_end) if end.exact else end.end,
        )

    def _character_offset(self, segment: Segment, byte: int) -> int:
        """Character of an exact segment at a byte, or at the end of it that is nearer."""
        data = self.text[segment.start : segment.end].encode("utf-8")
        before = data[: max(0, byte - segment.byte_start)]
        return segment.start + len(before.decode("utf-8", "ignore"))

    def line(self, start: int) -> int:
        """Line of the file, counted from 1, of the character at `start`."""
        self.check_slice(start, start)
        if not self.segments:
            return 1
        segment = self.segment_at(min(start, len(self.text) - 1))
        return segment.line + (self.text.count("\n", segment.start, start) if segment.exact else 0)

    def check_slice(self, start: int, end: int) -> None:
        """Raise DataError unless 0 <= start <= end <= length of the text."""
        if not 0 <= start <= end <= len(self.text):
            size = len(self.text)
            raise DataError(f"Expected 0 <= start <= end <= {size} of a text; got [{start}:{end}].")

    def segment_at(self, character: int) -> Segment:
        """The segment that holds a character."""
        return self.segments[bisect_right(self.starts, character) - 1]

    def segments_in(self, start: int, end: int) -> Iterator[Segment]:
        """Yield the segments that overlap `text[start:end]`."""
        if start < end:
            first = bisect_right(self.starts, start) - 1
            last = bisect_right(self.starts, end - 1)
            assert isinstance(self.segments, Segments)
            yield from self.segments.iter_range(first, last)

    def byte_offset(self, segment: Segment, character: int) -> int:
        """Byte at which a character of this segment begins."""
        if not segment.exact:
            return segment.byte_start
        return segment.byte_start + self.utf8_length(character) - self.utf8_length(segment.start)

    def utf8_length(self, character: int) -> int:
        """Number of UTF-8 bytes of `text[:character]`."""
        if self.text.isascii():
            return character
        block = character // CHECKPOINT_CHARACTERS
        rest = self.text[block * CHECKPOINT_CHARACTERS : character]
        return self.checkpoints[block] + len(rest.encode("utf-8"))

    @cached_property
    def starts(self) -> Sequence[int]:
        """First character of every segment, for bisection."""
        assert isinstance(self.segments, Segments)
        return self.segments.numbers[::6]

    @cached_property
    def checkpoints(self) -> list[int]:
        """UTF-8 bytes before every 4,096th character, so that `utf8_length` stays cheap."""
        sums = [0]
        for start in range(0, len(self.text), CHECKPOINT_CHARACTERS):
            block = self.text[start : start + CHECKPOINT_CHARACTERS]
            sums.append(sums[-1] + len(block.encode("utf-8")))
        return sums

    def to_numbers(self) -> list[int]:
        """Four numbers per segment: bytes and lines skipped, characters, bytes (-1 if exact)."""
        assert isinstance(self.segments, Segments)
        import numpy as np  # opening an index needs none

        table = np.array(self.segments.numbers, dtype=np.int64).reshape(-1, 6)
        start, end, byte_start, byte_end, line, exact = table.T
        skipped = byte_start - np.append(0, byte_end)[:-1]
        sizes = np.where(exact == 1, -1, byte_end - byte_start)
        columns = (skipped, np.diff(line, prepend=1), end - start, sizes)
        return np.stack(columns, axis=1).ravel().tolist()

    @classmethod
    def from_numbers(cls, text: str, numbers: Sequence[int]) -> "SourceMap":
        """Inverse of `to_numbers`; raises DataError if the numbers do not cover the text."""
        size = sum(numbers[2::4])
        if size != len(text) or len(numbers) % 4:
            raise DataError(
                f"The map has {size} characters, the text {len(text)}; read the file again."
            )
        return cls(text, StoredSegments(text, numbers))


class TextSpan(NamedTuple):
    """A labelled range of a record's text: moved by edits, dropped when it becomes empty."""

    kind: str
    """heading, page, turn, table, caption, cell, paragraph …"""
    start: int
    end: int
    value: str = ""
    """The heading's level, the page's number, the speaker's role."""


def heading_spans(headings: Iterable[Heading]) -> tuple[TextSpan, ...]:
    """Headings as spans with the level as value."""
    return tuple(TextSpan("heading", h.start, h.end, str(h.level)) for h in headings)


@dataclass(frozen=True, slots=True)
class Record:
    """A document, page, file or conversation: its text, the map to its bytes, and metadata."""

    id: str
    """32 hex digits of source and path (`record_id`), or 16 of path and content (`read_bytes`)."""
    source: str
    """Name of the source in the pipeline; empty for a file of a folder."""
    path: str
    """Relative path in the source; `#` and a number follow inside a container."""
    kind: str
    """html, text, markdown, rst, python, code, notebook, latex, jats, docbook, pdf, epub,
    docx, odt, pptx, odp, ods, xlsx, rtf, conversation."""
    text: str = field(default="", repr=False)
    map: SourceMap = field(default=SourceMap("", ()), repr=False)
    """From the text to the bytes of the original: of the file, or of the container's record."""
    spans: tuple[TextSpan, ...] = field(default=(), repr=False)
    metadata: dict[str, Any] = field(default_factory=dict)
    """JSON values: url, title, licence, sha256 of the bytes, scores, slices under `aside`."""
    data: bytes = field(default=b"", repr=False)
    """The original bytes until a step has extracted the text; then empty."""

    @property
    def sha256(self) -> str:
        """Of the file's bytes, hex; empty if the reader did not state it."""
        return self.metadata.get("sha256", "")

    @property
    def headings(self) -> tuple[Heading, ...]:
        """Titles in text order: headings, or class and function names of Python."""
        return tuple(
            Heading(int(span.value) if span.value.isdigit() else 1, span.start, span.end)
            for span in self.spans
            if span.kind == "heading"
        )

    def quote(self, start: int, end: int) -> Quote:
        """The slice `text[start:end]` as a quote of the file, with its page if it has pages.

        Raises DataError if the slice is not inside the text.
        """
        byte_start, byte_end = self.map.byte_range(start, end)
        text, line = self.text[start:end], self.map.line(start)
        page = bisect_right(self.metadata.get(PAGES, ()), start)
        return Quote(self.path, byte_start, byte_end, text, line, page)

    def find(self, quote: Quote) -> int:
        """Where the text has a quote, at the quote's bytes and on its page; -1 if nowhere."""
        at = self.text.find(quote.text)
        while at >= 0:
            place = self.map.byte_range(at, at + len(quote.text))
            page = bisect_right(self.metadata.get(PAGES, ()), at)
            if place == (quote.start, quote.end) and quote.page in (0, page):
                return at
            at = self.text.find(quote.text, at + 1)
        return -1

    def to_json(self) -> str:
        """A file's record as one line of JSON: text, map, headings and metadata."""
        row = {
            "id": self.id,
            "path": self.path,
            "kind": self.kind,
            "sha256": self.sha256,
            "text": self.text,
            "map": self.map.to_numbers(),
            "headings": [list(heading) for heading in self.headings],
            "metadata": {key: self.metadata[key] for key in self.metadata if key != "sha256"},
        }
        return json.dumps(row, ensure_ascii=False, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, line: str | bytes) -> "Record":
        """Inverse of `to_json`; raises DataError if the line is not a document."""
        try:
            row = json.loads(line)
            map = SourceMap.from_numbers(row["text"], row["map"])
            spans = heading_spans(Heading(*heading) for heading in row["headings"])
            metadata = row["metadata"] | {"sha256": row["sha256"]}
            return cls(row["id"], "", row["path"], row["kind"], map.text, map, spans, metadata)
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"A line is not a document ({error}); it was truncated or edited: write it again."
            ) from None


def record_id(source: str, path: str) -> str:
    """The id of a record: the same path in the same source has the same id in every run.

    >>> record_id("manuals", "tar.html")
    'fb41136b52e7db8eba01385b71f5918f'
    """
    return hashlib.blake2b(f"{source}\0{path}".encode(), digest_size=16).hexdigest()
