"""The structure of a document: its sections, their blocks, and where a long block may be split.

A section is what stands under one path of titles, on one page of a PDF, and in source one
definition. Knows nothing of passages; see chunk.py.
"""

import bisect
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from groundup.documents import (
    PAGES,
    Record,
    code_sections,
    is_inside_row,
    split_sentences,
    split_text_lines,
    text_blocks,
)

VISIBLE = re.compile(r"\S")
LINE_KINDS = ("html", "code", "notebook")
"""Kinds of files whose lines end sentences."""
OFFICE_KINDS = ("pdf", "docx", "odt", "rtf")
Span = tuple[int, int]
"""Start and end in a text."""


class TitledSection(NamedTuple):
    """A range of text under one path of titles."""

    start: int
    end: int
    headings: tuple[str, ...]


def split_sections(document: Record) -> Iterator[TitledSection]:
    """Yield the sections of a document, which no page of a PDF and no definition shares."""
    for section in _titled_sections(document):
        yield from _cut_at_pages(document, section)


def section_at(at: int, sections: Sequence[TitledSection]) -> TitledSection:
    """The section of a place in the text."""
    return sections[bisect.bisect_right(sections, at, key=lambda each: each.start) - 1]


def split_pages(document: Record) -> list[TitledSection]:
    """The pages of a PDF, without titles; other documents are one page."""
    return list(_cut_at_pages(document, TitledSection(0, len(document.text), ())))


def _cut_at_pages(document: Record, section: TitledSection) -> Iterator[TitledSection]:
    pages = document.metadata.get(PAGES, ())
    cuts = [page for page in pages if section.start < page < section.end]
    for start, end in pairwise([section.start, *cuts, section.end]):
        yield section._replace(start=start, end=end)


def _titled_sections(document: Record) -> Iterator[TitledSection]:
    if sections := code_sections(document):
        yield from (TitledSection(*section) for section in sections)
        return
    path: list[tuple[int, str]] = []
    title = _heading_text(document.metadata.get("title") or _first_line(document))
    start = 0
    headings = document.headings
    names = [_heading_text(document.text[heading.start : heading.end]) for heading in headings]
    if title in names and document.kind not in ("html", "epub", "pdf"):
        title = ""  # it is the first heading's, and no other section's
    for heading, name in zip(headings, names, strict=True):
        lines = (document.text.rfind(end, 0, heading.start) for end in "\r\n")
        begin = max(lines) + 1
        if begin > start:
            yield TitledSection(start, begin, _title_path(title, path))
        start = max(start, begin)
        path = [entry for entry in path if entry[0] < heading.level]
        path.append((heading.level, name))
    yield TitledSection(start, len(document.text), _title_path(title, path))


def _first_line(document: Record) -> str:
    """The first line of a file by a word processor that marks no titles, if it is short."""
    if document.kind not in OFFICE_KINDS or document.headings:
        return ""
    line = document.text.lstrip().partition("\n")[0].strip()
    is_title = 3 < len(line) <= 80 and line[-1] not in ".:,;" and "\t" not in line
    return line if is_title else ""


def _title_path(title: str, path: list[tuple[int, str]]) -> tuple[str, ...]:
    names = ([title] if title else []) + [name for _, name in path if name]
    return tuple(dict.fromkeys(names))


def _heading_text(text: str) -> str:
    """A heading on one line, without hashes, underlines and permalink signs."""
    first = re.sub(r"\n\s*([=\-~^*+#\"'`:.])\1{2,}\s*$", "", text.strip())
    return " ".join(re.sub(r"^#{1,6}\s+|\s+#+$|\s*[¶#]$", "", first).split())


def split_blocks(text: str, section: TitledSection, rows: Sequence[Span]) -> list[Span]:
    """Paragraphs, items of lists and blocks of code of a section; none begins inside a row."""
    blocks: list[Span] = []
    for block in text_blocks(text[section.start : section.end]):
        first, last = section.start + block.start, section.start + block.end
        if blocks and is_inside_row(first, rows):  # a paragraph of a cell
            first = blocks.pop()[0]
        blocks.append((first, last))
    return blocks


def split_long_block(
    text: str, start: int, end: int, limit: int, rows: Sequence[Span]
) -> Iterator[Span]:
    """Split a long block after the last sentence, line or word that fits, or else at the limit."""
    ends = sorted(
        {start + part.end for part in split_sentences(text[start:end])}
        | {start + line.end for line in split_text_lines(text[start:end])}
    )
    ends = [at for at in ends if not is_inside_row(at, rows)]
    while end - start > limit:
        index = bisect.bisect_right(ends, start + limit) - 1
        stop = ends[index] if index >= 0 and ends[index] > start + limit // 4 else 0
        stop = stop or max(text.rfind(" ", start + limit // 4, start + limit), 0) or start + limit
        kept = text[start:stop].rstrip()
        if kept:
            yield start, start + len(kept)
        visible = VISIBLE.search(text, stop, end)
        start = visible.start() if visible else end
    if start < end:
        yield start, end
