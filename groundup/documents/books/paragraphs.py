"""Paragraphs: lines that were wrapped to a width become one; lines that mean something stay.

A line goes on in the next if it is about as long as its page is wide and nothing says otherwise:
the next is not indented, not an item of a list, not a heading. Verse (short lines that begin with
capitals), tables (columns of spaces, rules) and code stay as they are. A paragraph goes on over a
page's turn if it does not end a sentence. Chinese and Japanese lines join without a space, and
their signs are two wide. Does not know languages; it looks at shapes.
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
"""Signs that are written without spaces and two columns wide; Korean has spaces."""
BROKEN = re.compile(r"[^\W\d_]{2}[-‐¬\u00ad]\s*$")
"""A word that goes on in the next line: for `books.hyphens`, which may come later."""
NEAR = 0.8
"""Share of a width from which a line comes near it. Source: own."""
STRETCH = 20
"""Lines that are measured together, before and behind each. Source: own."""


class ParagraphsConfig(Config):
    """When a line goes on in the next."""

    fullness: float = 0.72
    """Share of the block's width from which a line is full, so that the next one goes on.
    Source: own; a word of 15 letters in a line of 60 leaves it three quarters full."""
    verse_width: float = 0.75
    """Median length of a line over the page's width, below which capital lines are verse.
    Source: own."""
    verse_capitals: float = 0.8
    """Share of lines that begin with a capital in verse; in prose about one in ten. Source: own."""
    least_width: int = 30
    """Characters of the longest line of wrapped prose, at least. Source: own."""


class Paragraphs:
    """Puts wrapped lines together; leaves verse, tables, lists and code."""

    def __init__(self, config: ParagraphsConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> Ruling:
        """One edit for every line break that only wrapped."""
        text = record.text
        turns = [span.end for span in record.spans if span.kind == "page"]
        blocks = list(blocks_of(lines_of(text)))
        width = page_width(blocks)
        usual = column([columns_of(one.text.rstrip()) for block in blocks for one in block])
        edits: list[Edit] = []
        verses = 0
        before: Sequence[Line] = ()
        for block in blocks:
            if self.is_verse(block, width):
                verses, before = verses + 1, ()
                continue
            if (
                before
                and turned(before[-1], block[0], turns)
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
        odd = sum(
            bool(COLUMNS.search(one.text[:400]) or CODE.search(one.text[:400])) for one in block
        )
        wide = max(columns_of(line.text.strip()) for line in block)
        return wide >= self.config.least_width and odd * 3 <= len(block)

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
        """Yield an edit for every line of a block that goes on in the next."""
        if not self.is_prose(block):
            return
        widths = [columns_of(line.text.rstrip()) for line in block]
        told = local_widths(widths, usual)
        for at, (one, following) in enumerate(pairwise(block)):
            is_broken = BROKEN.search(one.text[-40:]) and following.text.lstrip()[:1].islower()
            if (
                self.is_full(widths[at], told[at], following)
                and follows(one, following)
                and not is_broken
            ):
                start, put = one.start + len(one.text.rstrip()), between(one, following)
                yield Edit(start, first_letter(following), "wrapped line", put)

    def is_full(self, wide: int, column: int, following: Line) -> bool:
        """Whether a line is about as long as its column, or the next word found no room in it."""
        word = columns_of(following.text.split()[0])
        return wide >= self.config.fullness * column or column < wide + 1 + word <= 2 * column

    def goes_over(self, before: Sequence[Line], block: Sequence[Line], usual: int) -> bool:
        """Whether a paragraph goes on behind a page's turn."""
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
    """Yield the runs of lines between empty ones."""
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
    """The width of the book's column: the 90th percentile of its lines' lengths."""
    lengths = sorted(len(line.text.strip()) for block in blocks for line in block)
    return lengths[int(len(lengths) * 0.9)] if lengths else 0


def column(widths: Sequence[int]) -> int:
    """The width that lines were wrapped to: of those near the largest that a quarter come near.

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
    """The width of the column at each line of a block, in a book of this usual width.

    Told from the lines before and from those behind, the narrower of the two, for a book without
    empty lines is one block of several widths. The last line says nothing: it ends where its
    paragraph does.
    """
    told = widths[:-1] or widths
    found: list[int] = []
    for at in range(len(told)):
        first, end = max(0, at + 1 - STRETCH), min(len(told), at + STRETCH)
        sides = told[first : first + STRETCH], told[max(0, end - STRETCH) : end]
        found.append(min(column(likely(side, usual)) for side in sides))
    return found + found[-1:] * (len(widths) - len(told))


def likely(widths: Sequence[int], usual: int) -> Sequence[int]:
    """Widths without those much larger than is usual, unless most are."""
    plain = [one for one in widths if one <= usual / NEAR]
    return plain if len(plain) * 2 >= len(widths) else widths


def follows(one: Line, following: Line) -> bool:
    """Whether nothing about two neighbouring lines says that the second begins something."""
    indent = len(following.text) - len(following.text.lstrip())
    before = len(one.text) - len(one.text.lstrip())
    is_new = following.text.startswith("\u3000") and not one.text.startswith("\u3000\u3000")
    deeper = (is_new or indent > before + 1) and not ITEM.match(one.text)
    columns = COLUMNS.search(one.text[:400]) or COLUMNS.search(following.text[:400])
    code = CODE.search(one.text[:400]) or CODE.search(following.text[:400])
    return not (deeper or columns or code or ITEM.match(following.text))


def columns_of(text: str) -> int:
    """Width of a line, Chinese and Japanese signs two wide."""
    return len(text) if text.isascii() else len(text) + len(WIDE.findall(text))


def between(one: Line, following: Line) -> str:
    """What joins two lines: a space, or nothing between signs written without."""
    last, first = one.text.rstrip()[-1:], following.text.lstrip()[:1]
    return "" if WIDE.match(last) and WIDE.match(first) else " "


def first_letter(line: Line) -> int:
    """Place of the first character that is no space."""
    return line.end - len(line.text.lstrip())


def turned(before: Line, line: Line, turns: Sequence[int]) -> bool:
    """Whether a page ends between two lines."""
    at = bisect_left(turns, before.end)
    return at < len(turns) and turns[at] <= line.start + 1
