"""Chapters: find where a book's chapters begin and mark them as spans.

A title is a line set apart by empty lines that reads `Chapter 3`, `PART II`, `Kapitel 4`, or a
number followed by words; the numbers must increase. Where the reader marked headings, the outermost
usable level gives the chapters. Entries of a table of contents are excluded: their lines end with a
page number.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from groundup.core import Config

from ..patterns import read_patterns
from ..record import PASS, Record, StepResult, TextSpan
from .pages import BookLine, parse_roman, split_into_lines

_WORDS = read_patterns(Path(__file__).with_name("chapters.toml"))
NAMED_TITLE = re.compile(
    rf"^(?:{'|'.join(_WORDS['named'])})\s+"
    r"([0-9]{1,3}|[ivxlc]{1,8}|[a-z]{1,12})\b[.:—–-]?\s*(.{0,100})$",
    re.IGNORECASE,
)
NUMBERED_TITLE = re.compile(
    r"^([0-9]{1,3}|[IVXLC]{1,8})(?:[.)]\s+|\s+|$)([^\W\d_a-zß-öø-ÿ].{0,90})?$"
)
UNNUMBERED_TITLE = re.compile(rf"^(?:{'|'.join(_WORDS['unnumbered'])})$", re.IGNORECASE)
DOT_LEADERS = re.compile(r"(?:[.·…] ?){3,}|\s{3,}[0-9ivxlc]+\s*$")
NUMBER_WORDS: list[str] = _WORDS["numbers"]


class ChaptersConfig(Config):
    """What a chapter's title looks like."""

    min_titles: int = 2
    """Minimum number of titles with increasing numbers. Source: own."""
    min_characters: int = 500
    """Minimum number of characters between two titles: less is a list. Source: own."""


class Chapters:
    """Marks chapters as spans `chapter` that carry the title; removes nothing."""

    def __init__(self, config: ChaptersConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> StepResult:
        """Return a span from each title to the next."""
        if any(span.kind == "chapter" for span in record.spans):
            return PASS
        starts = self.chapters_from_headings(record) or list(self.chapters_from_text(record.text))
        if len(starts) < self.config.min_titles:
            return PASS
        ends = [start for start, _ in starts[1:]] + [len(record.text)]
        spans = tuple(
            TextSpan("chapter", start, end, title)
            for (start, title), end in zip(starts, ends, strict=True)
        )
        return StepResult(spans=spans, metadata={"chapters": len(spans)})

    def chapters_from_headings(self, record: Record) -> list[tuple[int, str]]:
        """Start and title of each heading on the outermost level with `min_titles` headings."""
        headings = [span for span in record.spans if span.kind == "heading"]
        for level in sorted({span.value for span in headings}):
            starts = [(s.start, record.text[s.start : s.end]) for s in headings if s.value == level]
            if len(starts) >= self.config.min_titles:
                return [(start, " ".join(title.split())[:120]) for start, title in sorted(starts)]
        return []

    def chapters_from_text(self, text: str) -> Iterator[tuple[int, str]]:
        """Yield start and title of chapters in the text, in the style that finds more of them."""
        lines = split_into_lines(text)
        best: list[tuple[int, str]] = []
        for style in (NAMED_TITLE, NUMBERED_TITLE):
            titles = self.with_increasing_numbers(_find_titles(lines, style))
            if len(titles) > len(best) + (style is NUMBERED_TITLE):
                best = titles
        extra = _find_titles(lines, UNNUMBERED_TITLE) if len(best) >= self.config.min_titles else ()
        found = sorted((dict(best) | {start: title for start, _, title in extra}).items())
        ends = [*(start for start, _ in found[1:]), len(text) + self.config.min_characters]
        for (start, title), end in zip(found, ends, strict=bool(found)):
            if end - start >= self.config.min_characters:
                yield start, title

    def with_increasing_numbers(
        self, titles: Iterable[tuple[int, int, str]]
    ) -> list[tuple[int, str]]:
        """Titles whose numbers increase by one or two, or restart at 1, without a list's items."""
        chapters: list[tuple[int, str]] = []
        last, at = 0, -self.config.min_characters
        for start, number, title in titles:
            if number in (last + 1, last + 2) or number == 1:
                if start - at < self.config.min_characters and chapters:
                    chapters.pop()
                chapters.append((start, title))
                last, at = number, start
        return chapters


def _find_titles(
    lines: Sequence[BookLine], style: re.Pattern[str]
) -> Iterator[tuple[int, int, str]]:
    """Yield start, number (0 without one) and text of the lines that look like titles."""
    for at, line in enumerate(lines):
        stripped = line.text.strip()
        if not 0 < len(stripped) <= 120 or DOT_LEADERS.search(stripped):
            continue
        match = style.match(stripped)
        before = at == 0 or not lines[at - 1].text.strip()
        if match and before:
            number = _parse_chapter_number(match.group(1)) if match.groups() else 0
            if number is not None:
                yield line.start, number, " ".join(stripped.split())


def _parse_chapter_number(word: str) -> int | None:
    """Value of an arabic, roman or spelled-out number or a single letter; None otherwise."""
    if word.isdecimal():
        return int(word)
    if word.lower() in NUMBER_WORDS:
        return NUMBER_WORDS.index(word.lower()) + 1
    value = parse_roman(word)
    if value is None and len(word) == 1 and word.isascii() and word.isupper():
        return ord(word) - 64
    return value
