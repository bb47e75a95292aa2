"""Alignment: the bytes of a page from which each line of its extracted text came.

An extractor returns text without offsets, but keeps the order. Ignoring white space, each line
occurs in the page's own text after the previous line, except for the bullet, number or bar that the
extractor inserted. Both texts are squeezed (no white space, entities decoded) and a cursor advances
through the page. Nearly every line is at the cursor; any other is searched among the beginnings of
the page's runs, then word by word nearby, so that no search costs more than a window. A line whose
bytes are its text becomes an exact segment, one with tags inside an inexact one; a line that is not
found gets an empty byte range and is counted.
"""

import html
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

from ..document import Segment, Segments, SourceMap

MARKUP = re.compile(
    r"<!--.*?(?:-->|\Z)"
    r"|<(?P<raw>script|style|textarea|noscript|template|svg)\b[^>]*(?:>.*?(?:</(?P=raw)\b[^>]*>|\Z)|\Z)"
    r"|<[/!?a-zA-Z][^>]*(?:>|\Z)"
    r"|(?P<entity>&#?[a-zA-Z0-9]{1,32};?)",
    re.DOTALL | re.IGNORECASE,
)
INSERTED_PREFIX = re.compile(r"\s*(?:(?:[•|*+-]|\d{1,9}\.)(?:\s+|\Z))*")
"""What an extractor inserts before list items and table rows, and a line's indent."""
CELL_SEPARATORS = frozenset("•|*+-")  # What an extractor inserts between the cells of a row
HAS_MARKUP = re.compile(r"[&<]|\s\Z")
NON_SPACE = re.compile(r"\S+")
KEY_LENGTH = 12
"""Squeezed characters by which a line is searched; enough to rule out a chance match."""
NEAR_WINDOW = 3_000  # Squeezed characters within which a match of a short line is accepted
MIN_DISTINCTIVE = 24  # Squeezed characters from which a line is unlikely to match by chance
MAX_CANDIDATES = 8
"""Positions with the same beginning that are compared."""
WORD_WINDOW = 500  # Squeezed characters within which the next words of a broken line are searched


class _TextRun(NamedTuple):
    squeezed_start: int
    start: int  # First character in the page
    text: str
    is_entity: bool  # Written as several characters, decoded to one; maps to all of them


class _AlignedRange(NamedTuple):
    start: int
    end: int
    squeezed_start: int
    squeezed_end: int


class AlignedText(NamedTuple):
    """The map of a text, and the number of lines with a word that was not found."""

    map: SourceMap
    unaligned_lines: int


class _SqueezedPage:
    """A page's own text without tags and white space, and the offset of each run."""

    def __init__(self, page: str) -> None:
        self.page = page
        self.runs: list[_TextRun] = []
        parts: list[str] = []
        length = at = 0
        for markup in MARKUP.finditer(page):
            stop, end = markup.span()
            if stop > at:
                length = self.add_run(page[at:stop], at, length, parts)
            if markup[2]:
                length = self.add_run(markup[2], stop, length, parts, is_entity=True)
            at = end
        self.add_run(page[at:], at, length, parts)
        self.squeezed = "".join(parts)
        self.starts = [run.squeezed_start for run in self.runs]
        # Run, start and end of its current word, characters before it.
        self.scan_state = (-1, 0, 0, 0)

    def add_run(
        self, run: str, start: int, length: int, parts: list[str], is_entity: bool = False
    ) -> int:
        if run.isspace():
            return length
        squeezed = "".join((html.unescape(run) if is_entity else run).split())
        if squeezed:
            self.runs.append(_TextRun(length, start, run, is_entity))
            parts.append(squeezed)
        return length + len(squeezed)

    @cached_property
    def offsets_by_prefix(self) -> dict[str, list[int]]:
        """Squeezed offsets at which a run, or a line of one, begins, by their first characters."""
        beginnings: dict[str, list[int]] = {}
        for run in self.runs:
            at = run.squeezed_start
            for line in run.text.split("\n") if "\n" in run.text and not run.is_entity else ("",):
                offsets = beginnings.setdefault(self.squeezed[at : at + KEY_LENGTH], [])
                if not offsets or offsets[-1] < at:
                    offsets.append(at)
                at += len("".join(line.split()))
        return beginnings

    def page_offset(self, squeezed_offset: int, is_end: bool) -> int:
        """Offset in the page of an offset of its squeezed text; of an end, one past its character.

        Offsets are requested in ascending order, so the words of a long run are scanned once.
        """
        number = max(0, bisect_right(self.starts, squeezed_offset - is_end) - 1)
        run = self.runs[number]
        if run.is_entity:
            return run.start + (len(run.text) if is_end else 0)
        if number != self.scan_state[0]:
            self.scan_state = (number, 0, 0, 0)
        _, first, last, before = self.scan_state
        target = squeezed_offset - run.squeezed_start
        while target >= before + last - first + is_end or first == last:
            word = NON_SPACE.search(run.text, last)
            if word is None:
                return run.start + len(run.text)
            before += last - first
            first, last = word.span()
            self.scan_state = (number, first, last, before)
        return run.start + first + max(0, target - before)


def _content_start(line: str) -> int:
    match = INSERTED_PREFIX.match(line)
    assert match is not None, "it may be empty"
    return match.end()


class _LineAligner:
    """A cursor that advances through a page's squeezed text as the lines of a text are found."""

    def __init__(self, text: str, page: _SqueezedPage) -> None:
        self.page = page
        self.squeezed = page.squeezed
        self.lines = text.split("\n")
        self.cursor = 0
        self.unaligned_lines = 0

    def __iter__(self) -> Iterator[_AlignedRange]:
        """Yield the matches in ascending order of both texts."""
        at = 0
        for number, line in enumerate(self.lines):
            squeezed = "".join(line.split())
            if squeezed and self.squeezed.startswith(squeezed, self.cursor):
                begin, self.cursor = self.cursor, self.cursor + len(squeezed)
                yield _AlignedRange(at, at + len(line), begin, self.cursor)
            elif squeezed:
                yield from self.align_line(number, at, squeezed)
            at += len(line) + 1

    def align_line(self, number: int, offset: int, squeezed: str) -> Iterator[_AlignedRange]:
        line = self.lines[number]
        start = _content_start(line)
        body = "".join(line[start:].split())
        if not body:
            return
        prefix = squeezed[: len(squeezed) - len(body)]
        at = self.find_line(body, number)
        if at < 0:
            yield from self.align_words(line, start, offset)
            return
        floor, begin, self.cursor = self.cursor, at, at + len(body)
        if prefix and at - len(prefix) >= floor and self.squeezed.endswith(prefix, 0, at):
            start, begin = 0, at - len(prefix)
        yield _AlignedRange(offset + start, offset + len(line), begin, self.cursor)

    def find_line(self, body: str, number: int) -> int:
        at = self.cursor
        if self.squeezed.startswith(body, at):
            return at
        following = (x[_content_start(x) :][:200] for x in self.lines[number + 1 : number + 4])
        after = "".join("".join(x.split()) for x in following)[: 2 * MIN_DISTINCTIVE]
        for target in (body + after, body if len(body) >= MIN_DISTINCTIVE else ""):
            near = self.squeezed.find(target, at, at + NEAR_WINDOW + len(target)) if target else -1
            if near >= 0:
                return near
        offsets = self.page.offsets_by_prefix.get((body + after)[:KEY_LENGTH], [])
        low = bisect_left(offsets, at)
        far = -1
        for offset in offsets[low : low + MAX_CANDIDATES]:
            if self.squeezed.startswith(body + after, offset):
                return offset
            if far < 0 and len(body) >= MIN_DISTINCTIVE and self.squeezed.startswith(body, offset):
                far = offset
        if far >= 0:
            return far
        match = self.squeezed.find(body, at, at + NEAR_WINDOW + len(body))
        # A match after the text that follows the line is a chance match.
        is_chance = after and self.squeezed.find(after[:KEY_LENGTH], at, max(at, match)) >= 0
        return -1 if is_chance else match

    def align_words(self, line: str, start: int, offset: int) -> Iterator[_AlignedRange]:
        words = [(word.start(), word.end()) for word in NON_SPACE.finditer(line, start)]
        texts = [line[a:b] for a, b in words]
        number, is_complete = 0, True
        while number < len(words):
            at, target = self.cursor, texts[number]
            if not self.squeezed.startswith(target, at):
                more = number + 1
                while len(target) < KEY_LENGTH and more < len(words):
                    target += texts[more]
                    more += 1
                is_distinct = len(target) >= KEY_LENGTH
                at = self.squeezed.find(target, at, at + WORD_WINDOW) if is_distinct else -1
            if at < 0:
                is_complete &= texts[number] in CELL_SEPARATORS
                number += 1
                continue
            begin, first = words[number][0], at
            while number < len(words) and self.squeezed.startswith(texts[number], at):
                at += len(texts[number])
                number += 1
            self.cursor = at
            yield _AlignedRange(offset + begin, offset + words[number - 1][1], first, at)
        self.unaligned_lines += not is_complete


class _ByteCounter:
    """Counts the bytes in UTF-8 and lines before characters of the page, in ascending order."""

    def __init__(self, page: str) -> None:
        self.page = page
        self.at, self.byte, self.line = 0, 0, 1

    def advance_to(self, character: int) -> int:
        if character > self.at:
            piece = self.page[self.at : character]
            self.byte += len(piece if piece.isascii() else piece.encode("utf-8"))
            self.line += piece.count("\n")
            self.at = character
        return self.byte


class _SegmentBuilder:
    def __init__(self, text: str, page: _SqueezedPage, byte_counter: _ByteCounter) -> None:
        self.text, self.page, self.byte_counter = text, page, byte_counter
        self.segments = Segments()
        self.end = 0

    def add_match(self, aligned: _AlignedRange) -> None:
        first = self.page.page_offset(aligned.squeezed_start, is_end=False)
        if aligned.start > self.end:
            self.add_unmatched(aligned.start, first)
        line = self.text[aligned.start : aligned.end]
        is_same = self.page.page.startswith(line, first) and not HAS_MARKUP.search(line)
        last = first + len(line)
        if not is_same:
            last = self.page.page_offset(aligned.squeezed_end, is_end=True)
        start = self.byte_counter.advance_to(first)
        row = self.byte_counter.line
        stop = self.byte_counter.advance_to(last)
        is_exact = is_same or self.page.page[first:last] == line
        self.segments.append(Segment(aligned.start, aligned.end, start, stop, row, is_exact))
        self.end = aligned.end

    def add_unmatched(self, end: int, before: int) -> None:
        if self.text[self.end : end].isspace():
            self.add_missing(end)
            return
        prefix = self.text.rfind("\n", self.end, end) + 1 or self.end
        if prefix > self.end:
            self.add_missing(prefix)
        if prefix < end and INSERTED_PREFIX.fullmatch(self.text, prefix, end):
            page, at = self.page.page, self.byte_counter.at
            tag = max(page.rfind("<li", at, before), page.rfind("<LI", at, before))
            if tag >= 0:
                start, row = self.byte_counter.advance_to(tag), self.byte_counter.line
                self.segments.append(
                    Segment(prefix, end, start, self.byte_counter.advance_to(before), row, False)
                )
                self.end = end
        if self.end < end:
            self.add_missing(end)

    def add_missing(self, end: int) -> None:
        """Add text that is not in the page: an empty byte range after the previous match."""
        last = self.segments[-1] if self.segments else None
        if last and not last.exact and self.text[self.end : end].isspace():
            self.segments.extend_last(end, last.byte_end)
        else:
            byte = self.byte_counter.byte
            self.segments.append(Segment(self.end, end, byte, byte, self.byte_counter.line, False))
        self.end = end


def align_to_page(text: str, page: str) -> AlignedText:
    """Map of an extracted text to the bytes in UTF-8 of the page that it came from.

    >>> align_to_page("a b\\nc", "<p>a <b>b</b><p>c").map.segments[0][:4]
    (0, 4, 3, 9)
    """
    squeezed = _SqueezedPage(page)
    walk = _LineAligner(text, squeezed)
    placing = _SegmentBuilder(text, squeezed, _ByteCounter(page))
    for piece in walk:
        placing.add_match(piece)
    if placing.end < len(text):
        placing.add_missing(len(text))
    return AlignedText(SourceMap(text, placing.segments), walk.unaligned_lines)
