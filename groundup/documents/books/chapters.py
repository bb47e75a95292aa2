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

from ..patterns import compile_patterns, read_patterns
from ..record import PASS, Record, StepResult, TextSpan
from .pages import BookLine, parse_roman, split_into_lines

_FILE = Path(__file__).with_name("chapters.toml")
RE = compile_patterns(_FILE)
NUMBER_WORDS: list[str] = read_patterns(_FILE)["numbers"]


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
        if any(span.kind == "chapter" for span in record.spans):
            return PASS
        starts = self._chapters_from_headings(record) or list(self._chapters_from_text(record.text))
        if len(starts) < self.config.min_titles:
            return PASS
        ends = [start for start, _ in starts[1:]] + [len(record.text)]
        spans = tuple(
            TextSpan("chapter", start, end, title)
            for (start, title), end in zip(starts, ends, strict=True)
        )
        return StepResult(spans=spans, metadata={"chapters": len(spans)})

    def _chapters_from_headings(self, record: Record) -> list[tuple[int, str]]:
        headings = [span for span in record.spans if span.kind == "heading"]
        for level in sorted({span.value for span in headings}):
            starts = [(s.start, record.text[s.start : s.end]) for s in headings if s.value == level]
            if len(starts) >= self.config.min_titles:
                return [(start, " ".join(title.split())[:120]) for start, title in sorted(starts)]
        return []

    def _chapters_from_text(self, text: str) -> Iterator[tuple[int, str]]:
        lines = split_into_lines(text)
        best: list[tuple[int, str]] = []
        for style in (RE.named_title, RE.numbered_title):
            titles = self._with_increasing_numbers(_find_titles(lines, style))
            if len(titles) > len(best) + (style is RE.numbered_title):
                best = titles
        is_book = len(best) >= self.config.min_titles
        extra = _find_titles(lines, RE.unnumbered_title) if is_book else ()
        found = sorted((dict(best) | {start: title for start, _, title in extra}).items())
        ends = [*(start for start, _ in found[1:]), len(text) + self.config.min_characters]
        for (start, title), end in zip(found, ends, strict=bool(found)):
            if end - start >= self.config.min_characters:
                yield start, title

    def _with_increasing_numbers(
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
        if not 0 < len(stripped) <= 120 or RE.dot_leaders.search(stripped):
            continue
        match = style.match(stripped)
        before = at == 0 or not lines[at - 1].text.strip()
        if match and before:
            word, number = (match.group(1) if match.groups() else ""), 0
            if word.isdecimal():
                number = int(word)
            elif word.lower() in NUMBER_WORDS:
                number = NUMBER_WORDS.index(word.lower()) + 1
            elif word:
                letter = ord(word) - 64 if re.fullmatch("[A-Z]", word) else None
                number = letter if (value := parse_roman(word)) is None else value
            if number is not None:
                yield line.start, number, " ".join(stripped.split())
