"""Paragraphs: join the lines that were wrapped to a width, keep those whose break has a meaning.

A line continues in the next if it is about as long as its column is wide and the next is not
indented, no list item and no heading. Verse (short lines that begin with capitals), tables (aligned
columns, rules) and code stay as they are. A paragraph continues over a page break if its sentence
does. Chinese and Japanese lines are joined without a space; their characters are two columns wide.
Only shapes are used, no language.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise
from pathlib import Path
from statistics import median

from groundup.core import Config

from ..patterns import compile_patterns
from ..record import PASS, Record, StepResult, TextEdit
from .pages import BookLine, split_into_lines

RE = compile_patterns(Path(__file__).with_name("paragraphs.toml"))
NEAR_WIDTH = 0.8  # Share of a width from which a line is close to it. Source: own.
WIDTH_WINDOW = 20  # Number of lines before and after that determine the local width. Source: own.


class ParagraphJoinerConfig(Config):
    """When a line continues in the next."""

    fullness: float = 0.72
    """Share of the block's width from which a line is full. Source: own; a word of 15 letters
    leaves a line of 60 three quarters full."""
    verse_width: float = 0.75
    """Median line length relative to the page width below which capitalised lines are verse.
    Source: own."""
    verse_capitals: float = 0.8
    """Minimum share of capitalised lines in verse; prose has about one in ten. Source: own."""
    min_width: int = 30
    """Minimum length in characters of the longest line of wrapped prose. Source: own."""


class ParagraphJoiner:
    """Joins wrapped lines; leaves verse, tables, lists and code alone."""

    def __init__(self, config: ParagraphJoinerConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> StepResult:
        text = record.text
        page_ends = [span.end for span in record.spans if span.kind == "page"]
        blocks = list(split_into_blocks(split_into_lines(text)))
        lengths = sorted(len(line.text.strip()) for block in blocks for line in block)
        width = lengths[int(len(lengths) * 0.9)] if lengths else 0
        usual = _column_width(_display_widths(line for block in blocks for line in block))
        edits: list[TextEdit] = []
        verses = 0
        before: list[BookLine] = []
        for block in blocks:
            if self._is_verse(block, width):
                verses, before = verses + 1, []
                continue
            at = bisect_left(page_ends, before[-1].end) if before else len(page_ends)
            is_turned = at < len(page_ends) and page_ends[at] <= block[0].start + 1
            if is_turned and self._continues_after_page(before, block, usual):
                edits.append(_join(before[-1], block[0], before[-1].end, "page turned"))
            edits += self.join_lines(block, usual)
            before = list(block) if self.is_prose(block) else []
        metadata = {"verses": verses, "wrapped_lines": len(edits)}
        return StepResult(edits=tuple(edits), metadata=metadata) if edits else PASS

    def is_prose(self, block: Sequence[BookLine]) -> bool:
        """Whether a block is wide enough and not a table or code."""
        layout_lines = sum(map(_has_layout, block))
        wide = max(_display_width(line.text.strip()) for line in block)
        return wide >= self.config.min_width and layout_lines * 3 <= len(block)

    def _is_verse(self, block: Sequence[BookLine], width: float) -> bool:
        usual = median(len(line.text.strip()) for line in block)
        capitals = sum(line.text.lstrip("\"'“‘« \t")[:1].isupper() for line in block)
        is_capitalised = capitals >= self.config.verse_capitals * len(block)
        return len(block) >= 4 and usual < self.config.verse_width * width and is_capitalised

    def join_lines(self, block: Sequence[BookLine], usual_width: int) -> Iterator[TextEdit]:
        """Yield an edit for every line of a block that continues in the next."""
        if not self.is_prose(block):
            return
        widths = _display_widths(block)
        columns = _local_widths(widths, usual_width)
        for at, (line, following) in enumerate(pairwise(block)):
            is_full = self._fills_column(widths[at], columns[at], following)
            if is_full and _may_continue(line, following):
                yield _join(line, following, line.start + len(line.text.rstrip()), "wrapped line")

    def _fills_column(self, line_width: int, column: int, following: BookLine) -> bool:
        word = _display_width(following.text.split()[0])
        is_full = line_width >= self.config.fullness * column
        return is_full or column < line_width + 1 + word <= 2 * column

    def _continues_after_page(
        self, previous: Sequence[BookLine], block: Sequence[BookLine], usual_width: int
    ) -> bool:
        if RE.sentence_end.search(previous[-1].text.rstrip()) or block[0].text.startswith("\u3000"):
            return False
        first = block[0].text.strip()[0]
        is_start = first.islower() or first in '("“‘' or RE.wide_character.match(first)
        if not self.is_prose(block) or not is_start and len(block) == 1:
            return False
        widths = _display_widths(previous)
        return self._fills_column(widths[-1], _local_widths(widths, usual_width)[-1], block[0])


def split_into_blocks(lines: Sequence[BookLine]) -> Iterator[Sequence[BookLine]]:
    """Yield the runs of lines between empty lines."""
    for is_filled, block in groupby(lines, key=lambda line: bool(line.text.strip())):
        if is_filled:
            yield list(block)


def _column_width(widths: Sequence[int]) -> int:
    """Width that the lines were wrapped to: near the maximum, and close to a quarter of the lines.

    A line longer than its neighbours (an address, two lines that another step joined) is not it.
    >>> _column_width([61, 64, 20, 62, 130, 63]), _column_width([40])
    (63, 40)
    """
    ordered = sorted(widths)
    for at in range(len(ordered) - 1, -1, -1):
        first = bisect_left(ordered, NEAR_WIDTH * ordered[at])
        if (at + 1 - first) * 4 >= len(ordered):
            return ordered[(first + at + 1) // 2]
    return 0


def _local_widths(widths: Sequence[int], usual_width: int) -> list[int]:
    """Column width at each line of a block, given the book's usual width.

    It is the smaller of the widths before and after the line, because a book without empty lines is
    one block of several widths. The last line is ignored: it ends where its paragraph does.
    """
    known = widths[:-1] or widths
    columns: list[int] = []
    for at in range(len(known)):
        first, end = max(0, at + 1 - WIDTH_WINDOW), min(len(known), at + WIDTH_WINDOW)
        sides = []
        for side in (known[first : first + WIDTH_WINDOW], known[max(0, end - WIDTH_WINDOW) : end]):
            # Without outliers above the usual width, unless most are above it.
            usual = [width for width in side if width <= usual_width / NEAR_WIDTH]
            sides.append(_column_width(usual if len(usual) * 2 >= len(side) else side))
        columns.append(min(sides))
    return columns + columns[-1:] * (len(widths) - len(known))


def _may_continue(line: BookLine, following: BookLine) -> bool:
    indent = len(following.text) - len(following.text.lstrip())
    before = len(line.text) - len(line.text.lstrip())
    is_new = following.text.startswith("\u3000") and not line.text.startswith("\u3000\u3000")
    if (is_new or indent > before + 1) and not RE.list_item.match(line.text):
        return False
    if RE.broken_word.search(line.text[-40:]) and following.text.lstrip()[:1].islower():
        return False
    return not (_has_layout(line) or _has_layout(following) or RE.list_item.match(following.text))


def _has_layout(line: BookLine) -> bool:
    return bool(RE.table_columns.search(line.text[:400]) or RE.code_line.search(line.text[:400]))


def _display_width(text: str) -> int:
    return len(text) if text.isascii() else len(text) + len(RE.wide_character.findall(text))


def _display_widths(lines: Iterable[BookLine]) -> list[int]:
    return [_display_width(line.text.rstrip()) for line in lines]


def _join(line: BookLine, following: BookLine, start: int, reason: str) -> TextEdit:
    last, first = line.text.rstrip()[-1:], following.text.lstrip()[:1]
    separator = "" if RE.wide_character.match(last) and RE.wide_character.match(first) else " "
    end = following.end - len(following.text.lstrip())
    return TextEdit(start, end, reason, separator)
