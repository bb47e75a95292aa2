"""Pages and lines of a book: where they begin, in characters of its text.

Pages are the reader's (spans `page`), or lie between form feeds, or are inferred: a line that comes
back every so many lines, or a number alone that counts up, is the edge of a page. Everything here
speaks of places; nothing is cut. Does not know what a head or a footnote is.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from statistics import median
from typing import NamedTuple

from ..record import Record, Span

LINES_A_PAGE = (15, 100)
"""Fewest and most lines between two edges of pages that are inferred."""
NUMBER_ALONE = re.compile(r"^\W{0,3}(?:page )?([0-9]{1,4}|[ivxlc]{1,8})\W{0,3}$", re.IGNORECASE)
ROMAN = re.compile(r"^m{0,3}(cm|cd|d?c{0,3})(xc|xl|l?x{0,3})(ix|iv|v?i{0,3})$", re.IGNORECASE)
ROMAN_VALUES = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100, "d": 500, "m": 1000}


class Line(NamedTuple):
    """A line: `text[start:end]`, its line break not counted."""

    start: int
    end: int
    text: str


class Page(NamedTuple):
    """A page: `text[start:end]`."""

    start: int
    end: int
    value: str = ""
    """The number that the reader gave it."""


class Pages(NamedTuple):
    """The pages of a record and how they were found."""

    pages: tuple[Page, ...]
    source: str
    """`spans`, `form feeds`, `period`, or `none`: then the whole text is one page."""


def pages_of(record: Record) -> Pages:
    """The pages of a record: the reader's, between form feeds, inferred, or the whole text."""
    text = record.text
    spans = sorted((s.start, s.end, s.value) for s in record.spans if s.kind == "page")
    if spans:
        return Pages(tuple(Page(*span) for span in spans), "spans")
    if "\f" in text:
        return Pages(
            tuple(between(text, [m.start() for m in re.finditer("\f", text)])), "form feeds"
        )
    edges = inferred_edges(lines_of(text))
    if edges:
        return Pages(tuple(between(text, edges)), "period")
    return Pages((Page(0, len(text)),), "none")


def page_spans(pages: Pages) -> tuple[Span, ...]:
    """Spans for pages that the reader did not mark, so that they outlive what marked them."""
    if pages.source in ("spans", "none"):
        return ()
    return tuple(
        Span("page", page.start, page.end, page.value or str(number))
        for number, page in enumerate(pages.pages, 1)
    )


def between(text: str, edges: Sequence[int]) -> Iterator[Page]:
    """Yield the pages between edges; an empty one after the last edge is none."""
    starts = [0, *(edge for edge in edges if edge > 0)]
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        if text[start:end].strip("\f\n "):
            yield Page(start, end)


def lines_of(text: str, start: int = 0, end: int | None = None) -> list[Line]:
    """The lines of a slice, with their places; a form feed ends a line too."""
    end = len(text) if end is None else end
    found, at = [], start
    for piece in re.split(r"[\n\f]", text[start:end]):
        found.append(Line(at, at + len(piece), piece))
        at += len(piece) + 1
    return found


def folded(line: str) -> str:
    """A line as heads are compared: lower case, one space, `#` for its numbers.

    >>> folded("Chapter 12:  Lists      iv")
    'chapter #: lists #'
    """
    words = [
        "#" if ROMAN.match(word) and word else re.sub(r"[0-9]+", "#", word)
        for word in line.lower().split()
    ]
    return " ".join(words)


def roman_value(word: str) -> int | None:
    """What a roman number is worth; None if it is none.

    >>> roman_value("xiv"), roman_value("mix"), roman_value("iix")
    (14, 1009, None)
    """
    if not word or len(word) > 15 or not ROMAN.match(word):
        return None
    digits = [ROMAN_VALUES[letter] for letter in word.lower()]
    following = [*digits[1:], 0]
    return sum(-a if a < b else a for a, b in zip(digits, following, strict=True))


def inferred_edges(lines: Sequence[Line]) -> list[int]:
    """First characters of pages, by the period of what recurs; empty if nothing does.

    A family is the places of one folded line. Real heads come back a page apart: a family counts if
    it has five places and half its gaps are within a quarter of the median gap.
    """
    families: dict[str, list[int]] = defaultdict(list)
    for at, line in enumerate(lines):
        stripped = line.text.strip()
        if 0 < len(stripped) <= 90 and stands_apart(lines, at):
            families[folded(stripped)].append(at)
    best: list[int] = []
    for key, places in families.items():
        number = key.strip("-[]()*. ") == "#"
        places = rising_numbers(lines, places) if number else places
        if len(places) > len(best) and is_periodic(places):
            best = places
    return [lines[at].start for at in best]


def stands_apart(lines: Sequence[Line], at: int) -> bool:
    """Whether a line has an empty one before or behind it."""
    before = at == 0 or not lines[at - 1].text.strip()
    return before or at + 1 == len(lines) or not lines[at + 1].text.strip()


def rising_numbers(lines: Sequence[Line], places: Sequence[int]) -> list[int]:
    """Those numbers alone that count up by one or two from the one before."""
    kept: list[int] = []
    last = None
    for at in places:
        match = NUMBER_ALONE.match(lines[at].text.strip())
        word = match.group(1) if match else ""
        value = int(word) if word.isdecimal() else roman_value(word)
        if value is not None and (last is None or 0 < value - last <= 2 or value == 1):
            kept.append(at)
            last = value
    return kept


def is_periodic(places: Sequence[int]) -> bool:
    """Whether places come back a page apart."""
    if len(places) < 5:
        return False
    gaps = [b - a for a, b in zip(places, places[1:], strict=False)]
    middle = median(gaps)
    near = sum(abs(gap - middle) <= middle / 4 for gap in gaps)
    return LINES_A_PAGE[0] <= middle <= LINES_A_PAGE[1] and near >= len(gaps) / 2
