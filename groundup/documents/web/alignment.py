"""Alignment: the bytes of a page from which each line of its extracted text came.

An extractor gives text and no places. But it keeps the order, so white space aside each line stands
in the page's own text somewhere after the line before. Both are squeezed (no white space, entities
decoded) and a cursor rises through the page. A line whose bytes are its text becomes an exact
segment; one with tags inside becomes one whole; one that is nowhere gets an empty place.
Linear: what may be searched in vain has a budget, a multiple of the page's length.
"""

import html
import re
from bisect import bisect_right
from typing import NamedTuple

from ..document import Segment, SourceMap

MARKUP = re.compile(
    r"<!--.*?(?:-->|\Z)"
    r"|<(?P<raw>script|style|textarea|noscript|template|svg)\b[^>]*(?:>.*?(?:</(?P=raw)\b[^>]*>|\Z)|\Z)"
    r"|<[/!?a-zA-Z][^>]*(?:>|\Z)"
    r"|(?P<entity>&#?[a-zA-Z0-9]{1,32};?)",
    re.DOTALL | re.IGNORECASE,
)
BULLET = re.compile(r"\s*(?:•|\d{1,9}\.)\s")
SOLID = re.compile(r"\S+")
NEAR = 3_000
"""Squeezed characters within which a short line is believed to be the one meant."""
LONG = 24
"""Squeezed characters from which a line is unlikely to stand in the page by chance."""
SEARCHES = 40
"""Budget of searched characters, in lengths of the page."""


class Run(NamedTuple):
    """A piece of the page's text between two tags."""

    squeezed_start: int
    start: int
    """First character in the page."""
    text: str
    is_entity: bool
    """One character that stands for several; its place is the whole of it."""


class Place(NamedTuple):
    """Characters of the page; `is_found` is false for an empty place."""

    start: int
    end: int
    is_found: bool


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
        self.cursor = 0
        self.walked = (-1, 0, 0, 0)  # run, its word at hand, squeezed characters before that
        self.budget = SEARCHES * (len(self.squeezed) + NEAR)

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

    def find(self, line: str, following: str) -> Place:
        """The place of a line, given the squeezed beginning of what follows it."""
        squeezed = "".join(line.split())
        bullet = BULLET.match(line)
        at = self.search(squeezed, following)
        if at < 0 and bullet:
            squeezed = "".join(line[bullet.end() :].split())
            at = self.search(squeezed, following)
        if at < 0 or not squeezed:
            here = self.character(self.cursor, is_end=False) if self.runs else 0
            return Place(here, here, False)
        self.cursor = at + len(squeezed)
        return Place(
            self.character(at, is_end=False), self.character(self.cursor, is_end=True), True
        )

    def search(self, squeezed: str, following: str) -> int:
        """Where a squeezed line stands after the cursor, or -1."""
        if not squeezed or self.budget <= 0:
            return -1
        if self.squeezed.startswith(squeezed, self.cursor):
            return self.cursor
        if len(squeezed) < LONG:
            at = self.reach(squeezed + following, len(self.squeezed))
            return at if at >= 0 else self.reach(squeezed, self.cursor + NEAR)
        return self.reach(squeezed, len(self.squeezed))

    def reach(self, wanted: str, stop: int) -> int:
        """`str.find` from the cursor on, paid for from the budget."""
        at = self.squeezed.find(wanted, self.cursor, stop)
        self.budget -= (stop if at < 0 else at) - self.cursor
        return at

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


def align(text: str, page: str, charset: str, start: int = 0) -> SourceMap:
    """Map of an extracted text to the bytes of the page that it came from.

    `page` is the bytes from `start` (after a mark) on, decoded with `surrogateescape`.

    >>> align("a b\\nc", "<p>a <b>b</b><p>c", "utf-8").segments[0][:4]
    (0, 4, 3, 9)
    """
    found = Page(page)
    place = Bytes(page, charset, start)
    segments: list[Segment] = []
    lines = text.split("\n")
    squeezed = ["".join(line[:200].split()) for line in lines]
    at = 0
    for number, line in enumerate(lines):
        end = at + len(line) + (number < len(lines) - 1)
        if not line.strip():
            extend(segments, at, end, place)
            at = end
            continue
        following = next((s for s in squeezed[number + 1 : number + 3] if s), "")[:40]
        first, last, _ = found.find(line, following)
        byte_start = place.move(first)
        row = place.line
        byte_end = place.move(last)
        if charset == "utf-8" and last > first and page[first:last] == line:
            segments.append(Segment(at, at + len(line), byte_start, byte_end, row, True))
            extend(segments, at + len(line), end, place)
        else:
            segments.append(Segment(at, end, byte_start, byte_end, row, False))
        at = end
    return SourceMap(text, tuple(segments))


def extend(segments: list[Segment], start: int, end: int, place: Bytes) -> None:
    """Line breaks that stand nowhere in the page: an empty place after the last line."""
    if start < end:
        segments.append(Segment(start, end, place.byte, place.byte, place.line, False))
