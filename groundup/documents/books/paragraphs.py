"""Paragraphs: join the lines that were wrapped to a width, keep those whose break has a meaning.

A line continues in the next if it is about as long as its column is wide and the next is not
indented, no list item and no heading. Verse (short lines that begin with capitals), tables (aligned
columns, rules) and code stay as they are. A paragraph continues over a page break if its sentence
does. Chinese and Japanese lines are joined without a space; their characters are two columns wide.
Only shapes are used, no language.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import median

from groundup.core import Config

from ..record import PASS, Edit, Record, Ruling
from .pages import Line, lines_of

ITEM = re.compile(r"\s*(?:[-*•‣◦–—+]|\(?(?:\d{1,3}|[a-zA-Z]|[ivx]{1,5})[.)])\s")
COLUMNS = re.compile(r"\S(?: {3,}|\t| ?\|)\s*\S|(?:[.·] ?){4,}|^\s*[-=+|_]{4,}\s*$")
CODE = re.compile(
    r"^\s*(?:[>$#%] |//|/\*|\.\w|\\|<[/\w])|[;{}]\s*$|^\s*[\w.]+\(.*\)\s*;?$|:=|<-|=="
)
ENDS = re.compile(r"[.!?:;…。！？：；][\"'”’»)\]」』）]*$")
WIDE = re.compile(r"[\u2e80-\u9fff\uf900-\ufaff\uff01-\uff60\U00020000-\U0003ffff]")
"""Characters that are written without spaces and are two columns wide; Korean has spaces."""
BROKEN = re.compile(r"[^\W\d_]{2}[-‐¬\u00ad]\s*$")
"""A word that continues in the next line; left to `books.hyphens`, which may run later."""
NEAR = 0.8
"""Share of a width from which a line is close to it. Source: own."""
STRETCH = 20
"""Number of lines before and after that determine the local width. Source: own."""


class ParagraphsConfig(Config):
    """When a line continues in the next."""

    fullness: float = 0.72
    """Share of the block's width from which a line is full. Source: own; a word of 15 letters
    leaves a line of 60 three quarters full."""
    verse_width: float = 0.75
    """Median line length relative to the page width below which capitalised lines are verse.
    Source: own."""
    verse_capitals: float = 0.8
    """Minimum share of capitalised lines in verse; prose has about one in ten. Source: own."""
    least_width: int = 30
    """Minimum length in characters of the longest line of wrapped prose. Source: own."""


class Paragraphs:
    """Joins wrapped lines; leaves verse, tables, lists and code alone."""

    def __init__(self, config: ParagraphsConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> Ruling:
        """Return one edit for every line break that only wraps."""
        text = record.text
        page_ends = [span.end for span in record.spans if span.kind == "page"]
        blocks = list(blocks_of(lines_of(text)))
        width = page_width(blocks)
        usual = column([columns_of(line.text.rstrip()) for block in blocks for line in block])
        edits: list[Edit] = []
        verses = 0
        before: Sequence[Line] = ()
        for block in blocks:
            if self.is_verse(block, width):
                verses, before = verses + 1, ()
                continue
            if (
                before
                and turned(before[-1], block[0], page_ends)
                and self.goes_over(before, block, usual)
            ):
                put = between(before[-1], block[0])
                edits.append(Edit(before[-1].end, first_letter(block[0]), "page turned", put))
            edits += self.unwrapped(block, usual)
            before = block if self.is_prose(block) else ()
        metadata = {"verses": verses, "wrapped_lines": len(edits)}
        return Ruling(edits=tuple(edits), metadata=metadata) if edits else PASS

    def is_prose(self, block: Sequence[Line]) -> bool:
        """Whether a block is wide enough and not a table or code."""
        layout_lines = sum(
            bool(COLUMNS.search(line.text[:400]) or CODE.search(line.text[:400])) for line in block
        )
        wide = max(columns_of(line.text.strip()) for line in block)
        return wide >= self.config.least_width and layout_lines * 3 <= len(block)

    def is_verse(self, block: Sequence[Line], width: float) -> bool:
        """Whether a block of four lines or more is verse."""
        lengths = [len(line.text.strip()) for line in block]
        capitals = sum(line.text.lstrip("\"'“‘« \t")[:1].isupper() for line in block)
        return (
            len(block) >= 4
            and median(lengths) < self.config.verse_width * width
            and capitals >= self.config.verse_capitals * len(block)
        )

    def unwrapped(self, block: Sequence[Line], usual: int) -> Iterator[Edit]:
        """Yield an edit for every line of a block that continues in the next."""
        if not self.is_prose(block):
            return
        widths = [columns_of(line.text.rstrip()) for line in block]
        columns = local_widths(widths, usual)
        for at, (line, following) in enumerate(pairwise(block)):
            is_broken = BROKEN.search(line.text[-40:]) and following.text.lstrip()[:1].islower()
            if (
                self.is_full(widths[at], columns[at], following)
                and follows(line, following)
                and not is_broken
            ):
                start, put = line.start + len(line.text.rstrip()), between(line, following)
                yield Edit(start, first_letter(following), "wrapped line", put)

    def is_full(self, wide: int, column: int, following: Line) -> bool:
        """Whether a line fills its column, or the next word did not fit."""
        word = columns_of(following.text.split()[0])
        return wide >= self.config.fullness * column or column < wide + 1 + word <= 2 * column

    def goes_over(self, before: Sequence[Line], block: Sequence[Line], usual: int) -> bool:
        """Whether a paragraph continues after a page break."""
        start = block[0].text.strip()
        open_end = not ENDS.search(before[-1].text.rstrip())
        widths = [columns_of(line.text.rstrip()) for line in before]
        full = self.is_full(widths[-1], local_widths(widths, usual)[-1], block[0])
        return (
            open_end
            and full
            and self.is_prose(block)
            and (start[0].islower() or start[0] in '("“‘' or WIDE.match(start) or len(block) > 1)
            and not block[0].text.startswith("\u3000")
        )


def blocks_of(lines: Sequence[Line]) -> Iterator[Sequence[Line]]:
    """Yield the runs of lines between empty lines."""
    block: list[Line] = []
    for line in lines:
        if line.text.strip():
            block.append(line)
        elif block:
            yield block
            block = []
    if block:
        yield block


def page_width(blocks: Sequence[Sequence[Line]]) -> float:
    """Width of the book's column: the 90th percentile of its line lengths."""
    lengths = sorted(len(line.text.strip()) for block in blocks for line in block)
    return lengths[int(len(lengths) * 0.9)] if lengths else 0


def column(widths: Sequence[int]) -> int:
    """Width that the lines were wrapped to: near the maximum, and close to a quarter of the lines.

    A line longer than its neighbours (an address, two lines that another step joined) is not it.
    >>> column([61, 64, 20, 62, 130, 63]), column([40])
    (63, 40)
    """
    ordered = sorted(widths)
    for at in range(len(ordered) - 1, -1, -1):
        first = bisect_left(ordered, NEAR * ordered[at])
        if (at + 1 - first) * 4 >= len(ordered):
            return ordered[(first + at + 1) // 2]
    return 0


def local_widths(widths: Sequence[int], usual: int) -> list[int]:
    """Column width at each line of a block, given the book's usual width.

    It is the smaller of the widths before and after the line, because a book without empty lines is
    one block of several widths. The last line is ignored: it ends where its paragraph does.
    """
    known_widths = widths[:-1] or widths
    columns: list[int] = []
    for at in range(len(known_widths)):
        first, end = max(0, at + 1 - STRETCH), min(len(known_widths), at + STRETCH)
        sides = known_widths[first : first + STRETCH], known_widths[max(0, end - STRETCH) : end]
        columns.append(min(column(likely(side, usual)) for side in sides))
    return columns + columns[-1:] * (len(widths) - len(known_widths))


def likely(widths: Sequence[int], usual: int) -> Sequence[int]:
    """Widths without outliers above the usual one, unless most are above it."""
    usual_widths = [width for width in widths if width <= usual / NEAR]
    return usual_widths if len(usual_widths) * 2 >= len(widths) else widths


def follows(line: Line, following: Line) -> bool:
    """Whether two neighbouring lines give no sign that the second begins something new."""
    indent = len(following.text) - len(following.text.lstrip())
    before = len(line.text) - len(line.text.lstrip())
    is_new = following.text.startswith("\u3000") and not line.text.startswith("\u3000\u3000")
    deeper = (is_new or indent > before + 1) and not ITEM.match(line.text)
    columns = COLUMNS.search(line.text[:400]) or COLUMNS.search(following.text[:400])
    code = CODE.search(line.text[:400]) or CODE.search(following.text[:400])
    return not (deeper or columns or code or ITEM.match(following.text))


def columns_of(text: str) -> int:
    """Width in columns; Chinese and Japanese characters count two."""
    return len(text) if text.isascii() else len(text) + len(WIDE.findall(text))


def between(line: Line, following: Line) -> str:
    """Separator of two joined lines: a space, or nothing between Chinese or Japanese characters."""
    last, first = line.text.rstrip()[-1:], following.text.lstrip()[:1]
    return "" if WIDE.match(last) and WIDE.match(first) else " "


def first_letter(line: Line) -> int:
    """Offset of the first non-space character."""
    return line.end - len(line.text.lstrip())


def turned(before: Line, line: Line, page_ends: Sequence[int]) -> bool:
    """Whether a page ends between two lines."""
    at = bisect_left(page_ends, before.end)
    return at < len(page_ends) and page_ends[at] <= line.start + 1
