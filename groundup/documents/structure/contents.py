"""Tables of contents and indexes of books: lines that only say on which page something is."""

import re
from collections.abc import Iterator, Sequence

from ..document import Record

BLANK_LINE = re.compile(r"\n[ \t]*\n\s*|\f\s*")
CONTENTS_LINK = re.compile(r"\s*(?:[-*+]|\d{1,3}[.)])\s+\[[^\]]*\]\(#[^)]*\)\s*")
"""An entry such as - [Introduction](#introduction)."""
CONTENTS_LINE = re.compile(r"(.*?)\s*(?:(?:\.\s?){3,}|…)\s*(\d{1,4}|[ivxlc]+)\s*")
"""An entry such as Introduction . . . . 12."""
INDEX_LINE = re.compile(r"(.{2,80}?),\s*(\d{1,4})(?:\s*[-–,]\s*\d{1,4})*\s*")
"""An entry of a book's index: cache, size of, 12, 45-47."""
NUMBERED_ENTRY = re.compile(r"\D{2,80}?[,.\s…]\s*\d{1,4}(?:\s*[-–,]\s*\d{1,4})*\.?")
"""An entry of an index below its title: "gouge 8"."""
CONTENTS_TITLE = re.compile(
    r"[#\s]*(?:(?:table of )?contents|index|register|inhalt|inhaltsverzeichnis|sommaire|índice"
    r"|indice|table des matières|sommario|inhoud|inhoudsopgave|innehåll|indhold|innhold|sisällys"
    r"|spis treści|содержание|оглавление|目[录錄次])[\s:=*_-]*",
    re.IGNORECASE,
)
HASH_TITLE = re.compile(r"^#{1,6}\s+(.*\S)", re.MULTILINE)
LISTED = re.compile(r"\s*(?:[-*+•]|\d{1,3}(?:\.\d{1,3})*[.)]?)\s+(.*\S)\s*")
MIN_CONTENTS_LINES, MIN_CONTENTS_SHARE, MAX_ENTRY_CHARACTERS = 4, 0.6, 200


def contents_blocks(record: Record) -> list[tuple[int, int]]:
    """Blocks that list the document's own titles, or pages below a title such as Contents."""
    text, blocks, is_below = record.text, [], False
    titles = {title[1].casefold() for title in HASH_TITLE.finditer(text)}
    for start, end in paragraph_ranges(text):
        if not (lines := [line for line in text[start:end].splitlines() if line.strip()]):
            continue
        is_below = is_below or bool(CONTENTS_TITLE.fullmatch(lines[0]))
        links = sum(bool(CONTENTS_LINK.fullmatch(line)) for line in lines)
        items = filter(None, map(LISTED.fullmatch, lines))
        matched = links + sum(item[1].casefold() in titles for item in items)
        led = [entry for line in lines if (entry := _page_entry(CONTENTS_LINE, line))]
        if is_below:
            indexed = sum(_page_entry(INDEX_LINE, line) is not None for line in lines)
            is_listed = _is_most(len(led) + indexed, lines) or 1 < len(lines) == len(led)
        else:
            is_listed = 1 < len(lines) == len(led) and _lists_pages(led, text, end)
        if is_listed or 1 < len(lines) == links or _is_most(matched, lines):
            blocks.append((start, end))
        elif not CONTENTS_TITLE.fullmatch(lines[-1]):
            is_below = False
    return blocks


def index_sections(record: Record) -> Iterator[tuple[int, int]]:
    """Sections of a page or book below a title such as Index that list pages."""
    text, headings = record.text, record.headings
    ends = [*(heading.start for heading in headings[1:]), len(text)]
    for heading, end in zip(headings, ends, strict=False):
        lines = [line for line in re.split(r"[\n;]", text[heading.end : end]) if line.strip()]
        if CONTENTS_TITLE.fullmatch(text[heading.start : heading.end]):
            listed = sum(NUMBERED_ENTRY.fullmatch(line.strip()) is not None for line in lines)
            if _is_most(listed, lines):
                yield heading.start, end


def _is_most(matched: int, lines: Sequence[str]) -> bool:
    return len(lines) >= MIN_CONTENTS_LINES and matched >= MIN_CONTENTS_SHARE * len(lines)


def _page_entry(pattern: re.Pattern[str], line: str) -> re.Match[str] | None:
    return pattern.fullmatch(line) if len(line) <= MAX_ENTRY_CHARACTERS else None


def _lists_pages(entries: Sequence[re.Match[str]], text: str, end: int) -> bool:
    """Whether the pages of entries rise and most names stand in the text after them.

    Lists of prices or telephone numbers look alike otherwise.
    """
    pages = [int(entry[2]) for entry in entries if entry[2].isdecimal()]
    names = [name for entry in entries if len(name := entry[1].strip()) > 2]
    if pages != sorted(pages) or len({*pages}) < 2:
        return False
    return 2 * sum(text.find(name, end) >= 0 for name in names) >= len(entries)


def paragraph_ranges(text: str) -> Iterator[tuple[int, int]]:
    """Yield the ranges of a text between its blank lines."""
    start = 0
    for gap in BLANK_LINE.finditer(text):
        if start < gap.start():
            yield start, gap.start()
        start = gap.end()
    if start < len(text):
        yield start, len(text)
