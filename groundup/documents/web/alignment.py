"""Alignment: the bytes of a page from which each line of its extracted text came.

An extractor gives text and no places. But it keeps the order, so white space aside each line stands
in the page's own text somewhere after the line before, but for the bullet, number or bar that the
extractor put there. Both are squeezed (no white space, entities decoded) and a cursor rises through
the page. Nearly every line stands at the cursor; one that does not is looked up among the places
where the page's pieces begin, then word by word close by: no look-up costs more than a window. A
line whose bytes are its text becomes an exact segment; one with tags inside becomes one whole; what
stands nowhere gets an empty place and is counted.
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
"""What an extractor writes before items of lists and rows of tables, and a line's indent."""
BARS = frozenset("•|*+-")
"""What an extractor puts between the cells of a row."""
MARKED = re.compile(r"[&<]|\s\Z")
SOLID = re.compile(r"\S+")
KEY = 12
"""Squeezed characters by which a line is looked up; a piece found by them is no chance."""
NEAR = 3_000
"""Squeezed characters within which a short line is believed to be the one meant."""
LONG = 24
"""Squeezed characters from which a line is unlikely to stand in the page by chance."""
CANDIDATES = 8
"""Places with the same beginning that are compared."""
CLOSE = 500
"""Squeezed characters within which the next words of a broken line are looked for."""


class Run(NamedTuple):
    """A piece of the page's text between two tags."""

    squeezed_start: int
    start: int
    """First character in the page."""
    text: str
    is_entity: bool
    """One character that stands for several; its place is the whole of it."""


class Piece(NamedTuple):
    """Characters of the text, and where they stand in the squeezed page."""

    start: int
    end: int
    first: int
    last: int


class Aligned(NamedTuple):
    """The map of a text, and how many of its lines have a word without a place."""

    map: SourceMap
    lines_without_place: int


class Page:
    """A page's own text without tags and white space, and where each piece stands."""

    def __init__(self, page: str) -> None:
        self.page = page
        self.runs: list[Run] = []
        pieces: list[str] = []
        length = place = 0
        for markup in MARKUP.finditer(page):
            stop, end = markup.span()
            if stop > place:
                length = self.add(page[place:stop], place, length, pieces)
            if markup[2]:
                length = self.add(markup[2], stop, length, pieces, is_entity=True)
            place = end
        self.add(page[place:], place, length, pieces)
        self.squeezed = "".join(pieces)
        self.starts = [run.squeezed_start for run in self.runs]
        self.walked = (-1, 0, 0, 0)  # run, its word at hand, squeezed characters before that

    def add(
        self, run: str, place: int, length: int, pieces: list[str], is_entity: bool = False
    ) -> int:
        """Note a piece of text; returns the squeezed length so far."""
        if run.isspace():
            return length
        squeezed = "".join((html.unescape(run) if is_entity else run).split())
        if squeezed:
            self.runs.append(Run(length, place, run, is_entity))
            pieces.append(squeezed)
        return length + len(squeezed)

    @cached_property
    def beginnings(self) -> dict[str, list[int]]:
        """Squeezed places at which a run or a line of one begins, by their first characters."""
        found: dict[str, list[int]] = {}
        for run in self.runs:
            at = run.squeezed_start
            for line in run.text.split("\n") if "\n" in run.text and not run.is_entity else ("",):
                places = found.setdefault(self.squeezed[at : at + KEY], [])
                if not places or places[-1] < at:
                    places.append(at)
                at += len("".join(line.split()))
        return found

    def character(self, squeezed_place: int, is_end: bool) -> int:
        """Character of the page at a place of its squeezed text, or one past the one before.

        Places are asked for in rising order, so words of a long run are walked over once.
        """
        number = max(0, bisect_right(self.starts, squeezed_place - is_end) - 1)
        run = self.runs[number]
        if run.is_entity:
            return run.start + (len(run.text) if is_end else 0)
        if number != self.walked[0]:
            self.walked = (number, 0, 0, 0)
        _, first, last, left = self.walked
        wanted = squeezed_place - run.squeezed_start
        while wanted >= left + last - first + is_end or first == last:
            word = SOLID.search(run.text, last)
            if word is None:
                return run.start + len(run.text)
            left += last - first
            first, last = word.span()
            self.walked = (number, first, last, left)
        return run.start + first + max(0, wanted - left)


def text_start(line: str) -> int:
    """Where a line begins behind what an extractor put there."""
    match = PUT.match(line)
    assert match is not None, "it may be empty"
    return match.end()


class Walk:
    """A cursor that rises through a page's squeezed text as the lines of a text are found in it."""

    def __init__(self, text: str, page: Page) -> None:
        self.page = page
        self.squeezed = page.squeezed
        self.lines = text.split("\n")
        self.cursor = 0
        self.without = 0

    def __iter__(self) -> Iterator[Piece]:
        """Yield what stands in the page, in rising order in both."""
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
        """Yield the pieces of a line that does not stand at the cursor."""
        line = self.lines[number]
        start = text_start(line)
        body = "".join(line[start:].split())
        if not body:
            return
        put = squeezed[: len(squeezed) - len(body)]
        at = self.look_up(body, number)
        if at < 0:
            yield from self.broken(line, start, offset)
            return
        floor, begin, self.cursor = self.cursor, at, at + len(body)
        if put and at - len(put) >= floor and self.squeezed.endswith(put, 0, at):
            start, begin = 0, at - len(put)
        yield Piece(offset + start, offset + len(line), begin, self.cursor)

    def look_up(self, body: str, number: int) -> int:
        """Where a squeezed line stands from the cursor on, or -1."""
        at = self.cursor
        if self.squeezed.startswith(body, at):
            return at
        after = self.following(number)
        for wanted in (body + after, body if len(body) >= LONG else ""):
            near = self.squeezed.find(wanted, at, at + NEAR + len(wanted)) if wanted else -1
            if near >= 0:
                return near
        places = self.page.beginnings.get((body + after)[:KEY], [])
        low = bisect_left(places, at)
        far = -1
        for place in places[low : low + CANDIDATES]:
            if self.squeezed.startswith(body + after, place):
                return place
            if far < 0 and len(body) >= LONG and self.squeezed.startswith(body, place):
                far = place
        if far >= 0:
            return far
        found = self.squeezed.find(body, at, at + NEAR + len(body))
        is_chance = after and self.squeezed.find(after[:KEY], at, max(at, found)) >= 0
        return -1 if is_chance else found  # what comes after a line does not stand before it

    def following(self, number: int) -> str:
        """The squeezed beginning of the lines after one."""
        after = ""
        for line in self.lines[number + 1 : number + 4]:
            after += "".join(line[text_start(line) :][:200].split())
        return after[: 2 * LONG]

    def broken(self, line: str, start: int, offset: int) -> Iterator[Piece]:
        """Yield the pieces of a line of which the page has something in between, or not all."""
        words = [(word.start(), word.end()) for word in SOLID.finditer(line, start)]
        texts = [line[a:b] for a, b in words]
        number, is_whole = 0, True
        while number < len(words):
            at, wanted = self.cursor, texts[number]
            if not self.squeezed.startswith(wanted, at):
                more = number + 1
                while len(wanted) < KEY and more < len(words):
                    wanted += texts[more]
                    more += 1
                at = self.squeezed.find(wanted, at, at + CLOSE) if len(wanted) >= KEY else -1
            if at < 0:
                is_whole &= texts[number] in BARS
                number += 1
                continue
            begin, first = words[number][0], at
            while number < len(words) and self.squeezed.startswith(texts[number], at):
                at += len(texts[number])
                number += 1
            self.cursor = at
            yield Piece(offset + begin, offset + words[number - 1][1], first, at)
        self.without += not is_whole


class Bytes:
    """Bytes and lines before a character of the page, asked for in rising order."""

    def __init__(self, page: str, charset: str, start: int) -> None:
        self.page, self.charset = page, charset
        self.at, self.byte, self.line = 0, start, 1

    def move(self, character: int) -> int:
        """Byte at which a character begins; never before the last one asked for."""
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
    """Segments of a text in the making: what follows each other in the text and in the page."""

    def __init__(self, text: str, page: Page, place: Bytes) -> None:
        self.text, self.page, self.place = text, page, place
        self.made = Segments()
        self.end = 0

    def found(self, piece: Piece) -> None:
        """A piece of the text with its place."""
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
        """What stands nowhere, then what the extractor put before a character of the page."""
        if self.text[self.end : end].isspace():
            self.nowhere(end)
            return
        put = self.text.rfind("\n", self.end, end) + 1 or self.end
        if put > self.end:
            self.nowhere(put)
        if put < end and PUT.fullmatch(self.text, put, end):
            page, at = self.page.page, self.place.at
            tag = max(page.rfind("<li", at, before), page.rfind("<LI", at, before))
            if tag >= 0:
                start, row = self.place.move(tag), self.place.line
                self.made.append(Segment(put, end, start, self.place.move(before), row, False))
                self.end = end
        if self.end < end:
            self.nowhere(end)

    def nowhere(self, end: int) -> None:
        """Text that stands nowhere in the page: an empty place after what was found last."""
        last = self.made[-1] if self.made else None
        if last and not last.exact and self.text[self.end : end].isspace():
            self.made.stretch(end, last.byte_end)
        else:
            byte = self.place.byte
            self.made.append(Segment(self.end, end, byte, byte, self.place.line, False))
        self.end = end


def align(text: str, page: str, charset: str, start: int = 0) -> Aligned:
    """Map of an extracted text to the bytes of the page that it came from.

    `page` is the bytes from `start` (after a mark) on, decoded with `surrogateescape`.

    >>> align("a b\\nc", "<p>a <b>b</b><p>c", "utf-8").map.segments[0][:4]
    (0, 4, 3, 9)
    """
    found = Page(page)
    walk = Walk(text, found)
    placing = Placing(text, found, Bytes(page, charset, start))
    for piece in walk:
        placing.found(piece)
    if placing.end < len(text):
        placing.nowhere(len(text))
    return Aligned(SourceMap(text, placing.made), walk.without)
