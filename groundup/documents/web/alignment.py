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
PUT = re.compile(r"\s*(?:(?:[•|*+-]|\d{1,9}\.)(?:\s+|\Z))*")
"""What an extractor inserts before list items and table rows, and a line's indent."""
BARS = frozenset("•|*+-")
"""What an extractor inserts between the cells of a row."""
MARKED = re.compile(r"[&<]|\s\Z")
SOLID = re.compile(r"\S+")
KEY = 12
"""Squeezed characters by which a line is searched; enough to rule out a chance match."""
NEAR = 3_000
"""Squeezed characters within which a match of a short line is accepted."""
LONG = 24
"""Squeezed characters from which a line is unlikely to match by chance."""
CANDIDATES = 8
"""Positions with the same beginning that are compared."""
CLOSE = 500
"""Squeezed characters within which the next words of a broken line are searched."""


class Run(NamedTuple):
    """A run of the page's text between two tags."""

    squeezed_start: int
    start: int
    """First character in the page."""
    text: str
    is_entity: bool
    """Written as several characters, decoded to one; maps to all of them."""


class Piece(NamedTuple):
    """A range of the text and its range in the squeezed page."""

    start: int
    end: int
    first: int
    last: int


class Aligned(NamedTuple):
    """The map of a text, and the number of lines with a word that was not found."""

    map: SourceMap
    lines_without_place: int


class Page:
    """A page's own text without tags and white space, and the offset of each run."""

    def __init__(self, page: str) -> None:
        self.page = page
        self.runs: list[Run] = []
        parts: list[str] = []
        length = at = 0
        for markup in MARKUP.finditer(page):
            stop, end = markup.span()
            if stop > at:
                length = self.add(page[at:stop], at, length, parts)
            if markup[2]:
                length = self.add(markup[2], stop, length, parts, is_entity=True)
            at = end
        self.add(page[at:], at, length, parts)
        self.squeezed = "".join(parts)
        self.starts = [run.squeezed_start for run in self.runs]
        self.walked = (-1, 0, 0, 0)  # run, start and end of its current word, characters before it

    def add(
        self, run: str, start: int, length: int, parts: list[str], is_entity: bool = False
    ) -> int:
        """Add a run of text; returns the squeezed length so far."""
        if run.isspace():
            return length
        squeezed = "".join((html.unescape(run) if is_entity else run).split())
        if squeezed:
            self.runs.append(Run(length, start, run, is_entity))
            parts.append(squeezed)
        return length + len(squeezed)

    @cached_property
    def beginnings(self) -> dict[str, list[int]]:
        """Squeezed offsets at which a run, or a line of one, begins, by their first characters."""
        beginnings: dict[str, list[int]] = {}
        for run in self.runs:
            at = run.squeezed_start
            for line in run.text.split("\n") if "\n" in run.text and not run.is_entity else ("",):
                offsets = beginnings.setdefault(self.squeezed[at : at + KEY], [])
                if not offsets or offsets[-1] < at:
                    offsets.append(at)
                at += len("".join(line.split()))
        return beginnings

    def character(self, squeezed_offset: int, is_end: bool) -> int:
        """Offset in the page of an offset of its squeezed text; of an end, one past its character.

        Offsets are requested in ascending order, so the words of a long run are scanned once.
        """
        number = max(0, bisect_right(self.starts, squeezed_offset - is_end) - 1)
        run = self.runs[number]
        if run.is_entity:
            return run.start + (len(run.text) if is_end else 0)
        if number != self.walked[0]:
            self.walked = (number, 0, 0, 0)
        _, first, last, before = self.walked
        target = squeezed_offset - run.squeezed_start
        while target >= before + last - first + is_end or first == last:
            word = SOLID.search(run.text, last)
            if word is None:
                return run.start + len(run.text)
            before += last - first
            first, last = word.span()
            self.walked = (number, first, last, before)
        return run.start + first + max(0, target - before)


def text_start(line: str) -> int:
    """Where a line begins after the prefix that an extractor inserted."""
    match = PUT.match(line)
    assert match is not None, "it may be empty"
    return match.end()


class Walk:
    """A cursor that advances through a page's squeezed text as the lines of a text are found."""

    def __init__(self, text: str, page: Page) -> None:
        self.page = page
        self.squeezed = page.squeezed
        self.lines = text.split("\n")
        self.cursor = 0
        self.without = 0

    def __iter__(self) -> Iterator[Piece]:
        """Yield the matches in ascending order of both texts."""
        at = 0
        for number, line in enumerate(self.lines):
            squeezed = "".join(line.split())
            if squeezed and self.squeezed.startswith(squeezed, self.cursor):
                begin, self.cursor = self.cursor, self.cursor + len(squeezed)
                yield Piece(at, at + len(line), begin, self.cursor)
            elif squeezed:
                yield from self.find(number, at, squeezed)
            at += len(line) + 1

    def find(self, number: int, offset: int, squeezed: str) -> Iterator[Piece]:
        """Yield the matches of a line that is not at the cursor."""
        line = self.lines[number]
        start = text_start(line)
        body = "".join(line[start:].split())
        if not body:
            return
        prefix = squeezed[: len(squeezed) - len(body)]
        at = self.look_up(body, number)
        if at < 0:
            yield from self.broken(line, start, offset)
            return
        floor, begin, self.cursor = self.cursor, at, at + len(body)
        if prefix and at - len(prefix) >= floor and self.squeezed.endswith(prefix, 0, at):
            start, begin = 0, at - len(prefix)
        yield Piece(offset + start, offset + len(line), begin, self.cursor)

    def look_up(self, body: str, number: int) -> int:
        """Offset of a squeezed line at or after the cursor, or -1."""
        at = self.cursor
        if self.squeezed.startswith(body, at):
            return at
        after = self.following(number)
        for target in (body + after, body if len(body) >= LONG else ""):
            near = self.squeezed.find(target, at, at + NEAR + len(target)) if target else -1
            if near >= 0:
                return near
        offsets = self.page.beginnings.get((body + after)[:KEY], [])
        low = bisect_left(offsets, at)
        far = -1
        for offset in offsets[low : low + CANDIDATES]:
            if self.squeezed.startswith(body + after, offset):
                return offset
            if far < 0 and len(body) >= LONG and self.squeezed.startswith(body, offset):
                far = offset
        if far >= 0:
            return far
        match = self.squeezed.find(body, at, at + NEAR + len(body))
        # A match after the text that follows the line is a chance match.
        is_chance = after and self.squeezed.find(after[:KEY], at, max(at, match)) >= 0
        return -1 if is_chance else match

    def following(self, number: int) -> str:
        """The squeezed beginning of the lines after line `number`."""
        after = ""
        for line in self.lines[number + 1 : number + 4]:
            after += "".join(line[text_start(line) :][:200].split())
        return after[: 2 * LONG]

    def broken(self, line: str, start: int, offset: int) -> Iterator[Piece]:
        """Yield the matches of a line that the page interrupts or holds in part."""
        words = [(word.start(), word.end()) for word in SOLID.finditer(line, start)]
        texts = [line[a:b] for a, b in words]
        number, is_complete = 0, True
        while number < len(words):
            at, target = self.cursor, texts[number]
            if not self.squeezed.startswith(target, at):
                more = number + 1
                while len(target) < KEY and more < len(words):
                    target += texts[more]
                    more += 1
                at = self.squeezed.find(target, at, at + CLOSE) if len(target) >= KEY else -1
            if at < 0:
                is_complete &= texts[number] in BARS
                number += 1
                continue
            begin, first = words[number][0], at
            while number < len(words) and self.squeezed.startswith(texts[number], at):
                at += len(texts[number])
                number += 1
            self.cursor = at
            yield Piece(offset + begin, offset + words[number - 1][1], first, at)
        self.without += not is_complete


class Bytes:
    """Counts the bytes and lines before characters of the page, in ascending order."""

    def __init__(self, page: str, charset: str, start: int) -> None:
        self.page, self.charset = page, charset
        self.at, self.byte, self.line = 0, start, 1

    def move(self, character: int) -> int:
        """Byte at which a character begins; never before the previous result."""
        if character > self.at:
            piece = self.page[self.at : character]
            self.byte += (
                len(piece) if piece.isascii() and self.charset in ASCII_COMPATIBLE
                else len(piece.encode(self.charset, "surrogateescape"))
            )  # fmt: skip
            self.line += piece.count("\n")
            self.at = character
        return self.byte


ASCII_COMPATIBLE = frozenset({"utf-8", "cp1252", "ascii"})


class Placing:
    """Builds the segments of a text from its matches in the page."""

    def __init__(self, text: str, page: Page, place: Bytes) -> None:
        self.text, self.page, self.place = text, page, place
        self.made = Segments()
        self.end = 0

    def found(self, piece: Piece) -> None:
        """Add the segment of a match."""
        first = self.page.character(piece.first, is_end=False)
        if piece.start > self.end:
            self.between(piece.start, first)
        line = self.text[piece.start : piece.end]
        is_same = self.page.page.startswith(line, first) and not MARKED.search(line)
        last = first + len(line) if is_same else self.page.character(piece.last, is_end=True)
        start = self.place.move(first)
        row = self.place.line
        stop = self.place.move(last)
        is_same = is_same or self.page.page[first:last] == line
        is_exact = is_same and self.place.charset == "utf-8"
        self.made.append(Segment(piece.start, piece.end, start, stop, row, is_exact))
        self.end = piece.end

    def between(self, end: int, before: int) -> None:
        """Add segments for unmatched text, then for a prefix that the extractor inserted."""
        if self.text[self.end : end].isspace():
            self.nowhere(end)
            return
        prefix = self.text.rfind("\n", self.end, end) + 1 or self.end
        if prefix > self.end:
            self.nowhere(prefix)
        if prefix < end and PUT.fullmatch(self.text, prefix, end):
            page, at = self.page.page, self.place.at
            tag = max(page.rfind("<li", at, before), page.rfind("<LI", at, before))
            if tag >= 0:
                start, row = self.place.move(tag), self.place.line
                self.made.append(Segment(prefix, end, start, self.place.move(before), row, False))
                self.end = end
        if self.end < end:
            self.nowhere(end)

    def nowhere(self, end: int) -> None:
        """Add text that is not in the page: an empty byte range after the previous match."""
        last = self.made[-1] if self.made else None
        if last and not last.exact and self.text[self.end : end].isspace():
            self.made.stretch(end, last.byte_end)
        else:
            byte = self.place.byte
            self.made.append(Segment(self.end, end, byte, byte, self.place.line, False))
        self.end = end


def align(text: str, page: str, charset: str, start: int = 0) -> Aligned:
    """Map of an extracted text to the bytes of the page that it came from.

    `page` is the bytes from `start` (after a byte order mark) on, decoded with `surrogateescape`.

    >>> align("a b\\nc", "<p>a <b>b</b><p>c", "utf-8").map.segments[0][:4]
    (0, 4, 3, 9)
    """
    squeezed = Page(page)
    walk = Walk(text, squeezed)
    placing = Placing(text, squeezed, Bytes(page, charset, start))
    for piece in walk:
        placing.found(piece)
    if placing.end < len(text):
        placing.nowhere(len(text))
    return Aligned(SourceMap(text, placing.made), walk.without)
