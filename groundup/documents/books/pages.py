"""Pages and lines of a book, as character offsets.

Pages are the reader's spans `page`, or lie between form feeds, or are inferred: a line that recurs
at a regular distance, or a lone number that increases, marks a page edge. Nothing is removed here.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from ..record import Record, TextSpan

PAGE_LINES_RANGE = (15, 100)  # Minimum and maximum number of lines between two inferred page edges
NUMBER_ALONE = re.compile(r"^\W{0,3}(?:page )?([0-9]{1,4}|[ivxlc]{1,8})\W{0,3}$", re.IGNORECASE)
ROMAN = re.compile(r"^m{0,3}(cm|cd|d?c{0,3})(xc|xl|l?x{0,3})(ix|iv|v?i{0,3})$", re.IGNORECASE)
ROMAN_VALUES = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100, "d": 500, "m": 1000}


class BookLine(NamedTuple):
    """A line `text[start:end]`, without its line break."""

    start: int
    end: int
    text: str


class BookPage(NamedTuple):
    """A page: `text[start:end]`."""

    start: int
    end: int
    number: str = ""
    """The page number that the reader reported."""


class BookPages(NamedTuple):
    """The pages of a record and how they were determined."""

    pages: tuple[BookPage, ...]
    source: str
    """`spans`, `form feeds`, `period`, or `none` (the text is one page)."""

    def new_spans(self) -> tuple[TextSpan, ...]:
        """Spans for pages that the reader did not mark, so that later steps still have them."""
        if self.source in ("spans", "none"):
            return ()
        return tuple(
            TextSpan("page", page.start, page.end, page.number or str(number))
            for number, page in enumerate(self.pages, 1)
        )


def find_pages(record: Record) -> BookPages:
    """Pages of a record: from spans, form feeds or recurring lines; otherwise one page."""
    text = record.text
    spans = sorted((s.start, s.end, s.value) for s in record.spans if s.kind == "page")
    if spans:
        return BookPages(tuple(BookPage(*span) for span in spans), "spans")
    feeds = [match.start() for match in re.finditer("\f", text)]
    edges = feeds or _infer_page_edges(split_into_lines(text))
    if not edges:
        return BookPages((BookPage(0, len(text)),), "none")
    starts = [0, *(edge for edge in edges if edge > 0)]
    pages = (BookPage(*bounds) for bounds in zip(starts, [*starts[1:], len(text)], strict=True))
    filled = tuple(page for page in pages if text[page.start : page.end].strip("\f\n "))
    return BookPages(filled, "form feeds" if feeds else "period")


def split_into_lines(text: str, start: int = 0, end: int | None = None) -> list[BookLine]:
    """Lines of a slice with their offsets; a form feed also ends a line."""
    end = len(text) if end is None else end
    lines, at = [], start
    for line in re.split(r"[\n\f]", text[start:end]):
        lines.append(BookLine(at, at + len(line), line))
        at += len(line) + 1
    return lines


def normalize_line(line: str) -> str:
    """Normalise a line for comparison: lower case, single spaces, `#` for numbers.

    >>> normalize_line("Chapter 12:  Lists      iv")
    'chapter #: lists #'
    """
    words = [
        "#" if ROMAN.match(word) and word else re.sub(r"[0-9]+", "#", word)
        for word in line.lower().split()
    ]
    return " ".join(words)


def parse_roman(word: str) -> int | None:
    """Value of a roman number; None if the word is none.

    >>> parse_roman("xiv"), parse_roman("mix"), parse_roman("iix")
    (14, 1009, None)
    """
    if not word or len(word) > 15 or not ROMAN.match(word):
        return None
    digits = [ROMAN_VALUES[letter] for letter in word.lower()]
    following = [*digits[1:], 0]
    return sum(-a if a < b else a for a, b in zip(digits, following, strict=True))


def _infer_page_edges(lines: Sequence[BookLine]) -> list[int]:
    """Start offsets of pages, inferred from lines that recur periodically; empty if none do.

    A family is the set of positions of one normalised line. It counts if it has five positions and
    half of its gaps are within a quarter of the median gap.
    """
    families: dict[str, list[int]] = defaultdict(list)
    is_blank = [True, *(not line.text.strip() for line in lines), True]
    for at, line in enumerate(lines):
        stripped = line.text.strip()
        if 0 < len(stripped) <= 90 and (is_blank[at] or is_blank[at + 2]):
            families[normalize_line(stripped)].append(at)
    best: list[int] = []
    for key, indices in families.items():
        number = key.strip("-[]()*. ") == "#"
        indices = _increasing_numbers(lines, indices) if number else indices
        if len(indices) > len(best) and _is_periodic(indices):
            best = indices
    return [lines[at].start for at in best]


def _increasing_numbers(lines: Sequence[BookLine], indices: Sequence[int]) -> list[int]:
    rising: list[int] = []
    last = None
    for at in indices:
        match = NUMBER_ALONE.match(lines[at].text.strip())
        word = match.group(1) if match else ""
        value = int(word) if word.isdecimal() else parse_roman(word)
        if value is not None and (last is None or 0 < value - last <= 2 or value == 1):
            rising.append(at)
            last = value
    return rising


def _is_periodic(indices: Sequence[int]) -> bool:
    if len(indices) < 5:
        return False
    gaps = [b - a for a, b in zip(indices, indices[1:], strict=False)]
    middle = median(gaps)
    near = sum(abs(gap - middle) <= middle / 4 for gap in gaps)
    return PAGE_LINES_RANGE[0] <= middle <= PAGE_LINES_RANGE[1] and near >= len(gaps) / 2
