"""Splits a document into passages, which are slices of its text.

A passage never crosses a heading, a class, a function or a page of a PDF. Within a section it packs
complete paragraphs and code blocks up to `max_characters`; only a longer block is split, at a
sentence or a line. Every visible character of the text is in exactly one passage, so everything in
a file can be found and quoted; only menus, tables of contents and indexes of books are in none.
"""

import bisect
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from pydantic import Field

from groundup.core import Config, Passage
from groundup.documents import (
    NAVIGATION,
    PAGES,
    Record,
    is_inside_row,
    is_label,
    module_name,
    python_sections,
    rows_of_tables,
    split_sentences,
    split_text_lines,
    text_blocks,
    with_titles,
)

VISIBLE = re.compile(r"\S")
OFFICE_KINDS = ("pdf", "docx", "odt", "rtf")


class ChunkConfig(Config):
    """How large passages are."""

    max_characters: int = Field(default=1200, ge=100)
    """Maximum characters of a passage."""
    min_characters: int = Field(default=200, ge=0)
    """A section shorter than this is merged with its parent's text if it fits."""


class TitledSection(NamedTuple):
    """A range of text under one path of titles."""

    start: int
    end: int
    headings: tuple[str, ...]


def chunk_document(document: Record, config: ChunkConfig | None = None) -> list[Passage]:
    """Split a document into passages, in the order of its text.

    Each passage is `document.text[start:end]`, at most `max_characters` long, without white space
    at its ends. A document without visible text has none.
    """
    config, document = config or ChunkConfig(), with_titles(document)
    passages: list[Passage] = []
    skipped = [(start, end) for start, end in document.metadata.get(NAVIGATION, ())]
    rows = rows_of_tables(document, 0, len(document.text))
    for section in _split_pages(document, _split_sections(document)):
        limit = config.max_characters
        for start, end in _pack_blocks(document.text, section, limit, skipped, rows):
            passages.append(_make_passage(document, start, end, section.headings))
    # Definitions keep their own passages, whose titles contain their names.
    return passages if document.kind == "python" else _merge_short(document, passages, config)


def _make_passage(document: Record, start: int, end: int, headings: tuple[str, ...]) -> Passage:
    id, text = f"{document.id}:{start}-{end}", document.text[start:end]
    return Passage(id, document.id, document.path, start, end, text, headings)


def _merge_short(document: Record, passages: list[Passage], config: ChunkConfig) -> list[Passage]:
    """Merge a short passage with its parent's or previous sibling's, if both together are short.

    Nothing that is in no passage may lie between them.
    """
    skipped = [start for start, _ in document.metadata.get(NAVIGATION, ())]
    merged: list[Passage] = []
    for passage in passages:
        last = merged[-1] if merged else None
        size = passage.end - last.start if last else 0
        if (
            last is not None
            and size <= config.min_characters
            and bisect.bisect_left(skipped, last.end) == bisect.bisect_left(skipped, passage.start)
            and passage.headings[: len(last.headings)] == last.headings
        ):
            merged[-1] = _make_passage(document, last.start, passage.end, last.headings)
        else:
            merged.append(passage)
    return merged


def _split_sections(document: Record) -> Iterator[TitledSection]:
    if document.kind == "python":
        module = module_name(document.path)
        if sections := [
            TitledSection(start, end, (module, *names))
            for start, end, names in python_sections(document.text)
        ]:
            yield from sections
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


def _split_pages(document: Record, sections: Iterator[TitledSection]) -> Iterator[TitledSection]:
    pages = document.metadata.get(PAGES, ())
    for section in sections:
        cuts = [page for page in pages if section.start < page < section.end]
        for start, end in pairwise([section.start, *cuts, section.end]):
            yield section._replace(start=start, end=end)


def _title_path(title: str, path: list[tuple[int, str]]) -> tuple[str, ...]:
    names = ([title] if title else []) + [name for _, name in path if name]
    return tuple(dict.fromkeys(names))


def _heading_text(text: str) -> str:
    """A heading on one line, without hashes, underlines and permalink signs."""
    first = re.sub(r"\n\s*([=\-~^*+#\"'`:.])\1{2,}\s*$", "", text.strip())
    return " ".join(re.sub(r"^#{1,6}\s+|\s+#+$|\s*[¶#]$", "", first).split())


def _pack_blocks(
    text: str,
    section: TitledSection,
    limit: int,
    skipped: Sequence[tuple[int, int]],
    rows: Sequence[tuple[int, int]],
) -> Iterator[tuple[int, int]]:
    """Yield slices of a section with as many complete blocks as fit.

    A block that only names what follows (a signature, a defined word) stays with what follows.
    """
    pending: list[tuple[int, int]] = []
    skipped = [each for each in skipped if each[0] < section.end and section.start < each[1]]
    for block in _split_blocks(text, section, limit, rows):
        if any(start <= block[0] and block[1] <= end for start, end in skipped):
            if pending:
                yield pending[0][0], pending[-1][1]
            pending = []
            continue
        if pending and block[1] - pending[0][0] > limit:
            count = len(pending)
            while count > 1 and is_label(text[slice(*pending[count - 1])]):
                count -= 1
            if block[1] - pending[min(count, len(pending) - 1)][0] > limit:
                count = len(pending)
            yield pending[0][0], pending[count - 1][1]
            pending = pending[count:]
        pending.append(block)
    if pending:
        yield pending[0][0], pending[-1][1]


def _split_blocks(
    text: str, section: TitledSection, limit: int, rows: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, int]]:
    blocks: list[tuple[int, int]] = []
    for block in text_blocks(text[section.start : section.end]):
        first, last = section.start + block.start, section.start + block.end
        if blocks and is_inside_row(first, rows):  # a paragraph of a cell
            first = blocks.pop()[0]
        blocks.append((first, last))
    for first, last in blocks:
        if last - first <= limit:
            yield first, last
        else:
            yield from _split_long_block(text, first, last, limit, rows)


def _split_long_block(
    text: str, start: int, end: int, limit: int, rows: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, int]]:
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
