"""Ways to split the sections of a document into slices of at most `limit` characters.

    structure  as many complete paragraphs, items of lists and blocks of code as fit
    fixed      as many words as fit
    sentence   as many complete sentences as fit
    semantic   sentences up to where the meaning changes:
               d_i = 1 - cos(e_i, e_i+1)      e_i: vector of sentence i with its two neighbours
               a slice ends where d_i is above a percentile of the document's distances

In the last three a table that fits is one unit, and a longer one is split between its rows.
Source of semantic: llama-index's SemanticSplitterNodeParser (buffer of 1, 95th percentile), after
Kamradt's "5 Levels of Text Splitting". Departs: no window crosses a title, slices are bounded.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple

from groundup.core import ShapeError
from groundup.documents import (
    TABLES,
    Record,
    is_inside_row,
    is_label,
    rows_of_tables,
    split_sentences,
)

from .structure import LINE_KINDS, Span, TitledSection, section_at, split_blocks, split_long_block

WORD, WORD_START = re.compile(r"\S+"), re.compile(r"(?<!\S)\S")
Unit = Literal["block", "sentence", "word"]
Embed = Callable[[list[str]], Any]
"""Texts to their vectors, (texts, width), as an array of any library."""


class Layout(NamedTuple):
    """A document with what bounds its passages."""

    document: Record
    sections: Sequence[TitledSection]
    skipped: Sequence[Span]
    """What is in no passage, such as menus; in order."""
    tables: Sequence[Span]
    """Rows of tables, and tables that stay whole; in order."""


def whole_tables(document: Record, limit: int) -> list[Span]:
    """The tables of at most `limit` characters and the rows of the others, in order."""
    small = sorted((a, b) for a, b in document.metadata.get(TABLES, ()) if b - a <= limit)
    rows = rows_of_tables(document, 0, len(document.text))
    return sorted([*small, *(row for row in rows if not is_inside_row(row[0] + 1, small))])


def split_by_units(layout: Layout, limit: int, unit: Unit) -> Iterator[Span]:
    """Yield slices of sections with as many complete units as fit."""
    for section in layout.sections:
        units = _split_units(layout, section, limit, unit)
        yield from _pack_units(layout, section, units, limit, keeps_labels=unit != "word")


def split_by_meaning(layout: Layout, limit: int, embed: Embed, percentile: float) -> Iterator[Span]:
    """Yield slices that end where the meaning of neighbouring sentences changes.

    percentile  of the document's distances, above which a distance ends a slice

    Raises ShapeError unless `embed` returns one finite vector for each text.
    """
    import numpy as np  # which most questions and indexes need not

    text = layout.document.text
    sections = [_split_units(layout, each, limit, "sentence") for each in layout.sections]
    places = [(units, at) for units in sections for at in range(len(units))]
    around = [units[max(0, at - 1) : at + 2] for units, at in places]
    windows = [text[units[0][0] : units[-1][1]] for units in around]
    if not windows:
        return
    vectors = np.asarray(embed(windows), np.float64)
    if vectors.ndim != 2 or len(vectors) != len(windows) or not np.isfinite(vectors).all():
        raise ShapeError(
            f"embed must return finite vectors of shape ({len(windows)}, width), one for each "
            f"text; got shape {vectors.shape}."
        )
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors /= np.maximum(lengths, np.finfo(np.float64).tiny)
    near = [index for index, (units, at) in enumerate(places) if at + 1 < len(units)]
    distances = 1 - (vectors[near] * vectors[[index + 1 for index in near]]).sum(1)
    threshold = np.percentile(distances, percentile) if near else np.inf
    far = [index for index, each in zip(near, distances, strict=True) if each > threshold]
    breaks = {units[at + 1][0] for units, at in (places[index] for index in far)}
    for section, units in zip(layout.sections, sections, strict=True):
        yield from _pack_units(layout, section, units, limit, breaks)


def _split_units(layout: Layout, section: TitledSection, limit: int, unit: Unit) -> list[Span]:
    """The units of a section; what is longer than `limit` is split."""
    text, rows = layout.document.text, layout.tables
    if unit == "block":
        found = split_blocks(text, section, rows)
    else:
        found = _split_around_tables(layout, section, unit == "word")
    units = list[Span]()
    for start, end in found:
        is_long = end - start > limit
        units += split_long_block(text, start, end, limit, rows) if is_long else [(start, end)]
    return units


def _split_around_tables(layout: Layout, section: TitledSection, words: bool) -> Iterator[Span]:
    document, text, at = layout.document, layout.document.text, section.start
    lines_end, is_code = document.kind in LINE_KINDS, document.kind in ("code", "python")
    first, last = (bisect_left(layout.tables, (end, 0)) for end in section[:2])
    for start, end in (*layout.tables[max(0, first - 1) : last], (section.end, section.end)):
        start, end = max(start, at), max(at, min(end, section.end))
        if words:
            yield from (word.span() for word in WORD.finditer(text, at, start))
        else:
            for each in split_sentences(text[at:start], lines_end, not is_code):
                yield at + each.start, at + each.end
        if table := text[start:end].strip():
            start = text.index(table, start)
            yield start, start + len(table)
        at = end


def _pack_units(
    layout: Layout, section: TitledSection, units: Iterable[Span], limit: int,
    breaks: Collection[int] = (), *, keeps_labels: bool = True,
) -> Iterator[Span]:  # fmt: skip
    """Yield slices of units; none crosses what is skipped, nor one of the `breaks`.

    keeps_labels: whether what only names what follows (a signature, a defined word) stays with it
    """
    text, pending = layout.document.text, list[Span]()
    skipped = [each for each in layout.skipped if each[0] < section.end and section.start < each[1]]
    for block in _cut_at(text, units, skipped):
        is_skipped = any(start <= block[0] and block[1] <= end for start, end in skipped)
        if pending and (is_skipped or block[0] in breaks):
            yield pending[0][0], pending[-1][1]
            pending = []
        if pending and block[1] - pending[0][0] > limit:
            count = len(pending)
            while keeps_labels and count > 1 and is_label(text[slice(*pending[count - 1])]):
                count -= 1
            if block[1] - pending[min(count, len(pending) - 1)][0] > limit:
                count = len(pending)
            yield pending[0][0], pending[count - 1][1]
            pending = pending[count:]
        if not is_skipped:
            pending.append(block)
    if pending:
        yield pending[0][0], pending[-1][1]


def _cut_at(text: str, units: Iterable[Span], skipped: Sequence[Span]) -> Iterator[Span]:
    """Yield units, cut where what is skipped lies in them, such as the foot of a page."""
    for start, end in units:
        edges = sorted(at for each in skipped for at in each if start < at < end)
        for first, last in pairwise([start, *edges, end]):
            inside = text[first:last].strip()
            if inside:
                first = text.index(inside, first)
                yield first, first + len(inside)


def earlier_start(
    layout: Layout, span: TitledSection, before: int, overlap: int, limit: int
) -> int:
    """Where a passage begins that repeats up to `overlap` characters of the one before, at a word.

    It stays within its section and within `limit`, begins after the one that begins at `before`,
    and repeats at most a quarter of itself: all passages have at most 4/3 of the text.
    """
    text, size = layout.document.text, span.end - span.start
    skipped = bisect_right(layout.skipped, (span.start, len(text))) - 1
    floor = max(before + 1, section_at(span.start, layout.sections).start)
    floor = max(floor, layout.skipped[skipped][1]) if skipped >= 0 else floor
    start = max(floor, span.start - min(overlap, size // 3, limit - size))
    found = (match.start() for match in WORD_START.finditer(text, start, span.start))
    word = next((at for at in found if not is_inside_row(at, layout.tables)), span.start)
    is_word = not re.search(r"\s", text[start : span.start])  # so are Chinese and Japanese
    return start if is_word and not is_inside_row(start, layout.tables) else word
