"""Front and back matter: what the publisher put before and after the author's text.

Project Gutenberg's header and licence lie outside its own markers. Elsewhere a block is removed
when enough kinds of evidence occur together: ISBN, copyright, cataloguing, printing. Tables of
contents are runs of lines with increasing page numbers; indexes, in the second half, runs of terms
with page lists; advertisements, lists of titles with prices. Each reason names the evidence.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from groundup.core import Config

from ..patterns import compile_patterns, read_patterns
from ..record import PASS, Record, StepResult, TextEdit
from .pages import BookLine, parse_roman, split_into_lines
from .paragraphs import split_into_blocks

QUOTES = "\"“„«‘‹'"
_FILE = Path(__file__).with_name("publisher.toml")
RE = compile_patterns(_FILE)
EVIDENCE = {
    name: re.compile("|".join(patterns), re.I | re.M)
    for name, patterns in read_patterns(_FILE)["evidence"].items()
}
STRONG_EVIDENCE = {"ISBN", "cataloguing", "rights", "copyright", "printing"}
TITLE_PAGE_ENDS = 3_000  # Characters from the start within which a title page ends. Source: own.
CERTAIN_EVIDENCE = {"ISBN", "rights"}  # Evidence that does not occur in an author's sentences
PROSE_WORDS = 25
"""Words of a sentence block from which it is prose even in the third person. Source: own."""
MAX_LINE_LENGTH = 300  # Characters of a line that are examined: longer lines are no entries


class FrontMatterConfig(Config):
    """How much evidence removes a block, and where blocks are searched."""

    edge: float = 0.12
    """Share of the book, from either end, that is searched for imprints. Source: own."""
    edge_characters: int = 6_000
    """Minimum characters from either end that are searched. Source: own."""
    min_evidence: int = 2
    """Kinds of evidence required in a block and its neighbours. Source: own."""
    min_entries: int = 5
    """Minimum number of lines with page numbers in a table of contents or an index. Source: own."""
    min_titled_entries: int = 2
    """The same directly below a title of contents, for lines with dot leaders. Source: own."""
    min_entry_share: float = 0.6
    """Minimum share of such lines from the first to the last. Source: own."""
    keep_in_metadata: bool = True
    """Whether removed text is kept in the metadata, as `publisher`, `contents` and `index`."""


class _MatterSlice(NamedTuple):
    start: int
    end: int
    reason: str
    metadata_key: str


class FrontMatter:
    """Removes front and back matter, tables of contents, indexes and advertisements."""

    def __init__(self, config: FrontMatterConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> StepResult:
        text = record.text
        first, last, parts = _gutenberg_body(text)
        lines = split_into_lines(text, first, last)
        parts += self._find_listings(lines, first, last)
        parts += self._find_imprints(text, lines, first, last)
        parts += self._find_advertisements(text, lines, last)
        edits: list[TextEdit] = []
        end = 0
        for part in sorted(parts):
            start, key = max(part.start, end), part.metadata_key
            if start < part.end:
                key = key if self.config.keep_in_metadata else ""
                edits.append(TextEdit(start, part.end, part.reason, metadata_key=key))
                end = part.end
        if not edits:
            return PASS
        share = sum(edit.end - edit.start for edit in edits) / len(text)
        return StepResult(edits=tuple(edits), metadata={"publisher_share": round(share, 4)})

    def _find_listings(
        self, lines: Sequence[BookLine], first: int, last: int
    ) -> Iterator[_MatterSlice]:
        """Yield contents and indexes: runs of entries below such a title or with dot leaders."""
        half = first + (last - first) // 2
        at = 0
        while at < len(lines):
            line = lines[at].text[:MAX_LINE_LENGTH]
            is_index = bool(RE.index_title.match(line)) and lines[at].start > half
            if is_index or RE.contents_title.match(line) or RE.dot_leader.search(line):
                end = self._end_of_entries(lines, at, RE.index_entry if is_index else None)
                if end > at:
                    shelf = "index" if is_index else "contents"
                    name = "index" if is_index else "table of contents"
                    yield _MatterSlice(lines[at].start, lines[end - 1].end, name, shelf)
                    at = end
                    continue
            at += 1

    def _end_of_entries(
        self, lines: Sequence[BookLine], at: int, term: re.Pattern[str] | None
    ) -> int:
        """End of the run of entries that begins at line `at`; `at` itself if there is none."""
        entries = filled = leaders = 0
        end, misses, last_page = at, 0, -1
        has_leader = RE.dot_leader.search(lines[at].text[:MAX_LINE_LENGTH])
        for here in range(at if has_leader else at + 1, len(lines)):
            stripped = lines[here].text.strip()[:MAX_LINE_LENGTH]
            if not stripped:
                continue
            if not term and RE.chapter_heading.match(stripped):
                continue  # a chapter heading, of the contents or already of the text
            filled += 1
            is_entry = bool(term.match(stripped)) if term else _is_contents_entry(stripped)
            if is_entry and not term:
                page, last_page = last_page, _entry_page(stripped)
                is_entry = (
                    last_page >= page or last_page < 0 or bool(RE.dot_leader.search(stripped))
                )
            leaders += bool(RE.dot_leader.search(stripped))
            entries, misses = entries + is_entry, 0 if is_entry else misses + 1
            if is_entry:
                end = here + 1
            if misses > (6 if term else 4) or len(stripped) > 150 and not is_entry:
                break
        enough = entries >= self.config.min_entries or (
            RE.contents_title.match(lines[at].text)
            and entries == leaders >= self.config.min_titled_entries
        )
        return end if enough and entries >= self.config.min_entry_share * (filled - misses) else at

    def _find_imprints(
        self, text: str, lines: Sequence[BookLine], first: int, last: int
    ) -> Iterator[_MatterSlice]:
        reach = max(int((last - first) * self.config.edge), self.config.edge_characters)
        blocks = [
            b
            for b in split_into_blocks(lines)
            if b[0].start < first + reach or b[-1].end > last - reach
        ]
        evidence = [_imprint_evidence(text[b[0].start : b[-1].end]) for b in blocks]
        for at, (block, kinds) in enumerate(zip(blocks, evidence, strict=True)):
            start, end = block[0].start, block[-1].end
            around = set().union(*evidence[max(0, at - 2) : at + 3])
            enough = kinds & STRONG_EVIDENCE and len(around) >= self.config.min_evidence
            is_title = end < first + TITLE_PAGE_ENDS and _is_title_page(text[start:end].strip())
            if is_title or enough and end - start < 3_000:
                why = "publisher and year" if is_title else ", ".join(sorted(kinds))
                yield _MatterSlice(start, end, f"imprint: {why}", "publisher")

    def _find_advertisements(
        self, text: str, lines: Sequence[BookLine], last: int
    ) -> Iterator[_MatterSlice]:
        """Yield lists of other titles: an offer followed by prices or by three short lines."""
        blocks = list(split_into_blocks(lines))
        for at, block in enumerate(blocks):
            head = block[0].text
            if len(head) > 120 or not RE.offer.search(head):
                continue
            listed = block[1:] or (blocks[at + 1] if at + 1 < len(blocks) else [])
            is_short = all(len(line.text.strip()) < 90 for line in listed)
            is_priced = all(RE.price.search(line.text) or line.text.isupper() for line in listed)
            if listed and is_short and (len(listed) >= 3 or is_priced):
                reason = "advertisement: other titles"
                yield _MatterSlice(block[0].start, listed[-1].end, reason, "publisher")
        tail = last - max(last // 8, self.config.edge_characters)
        for block in (block for block in blocks if block[0].start > tail):
            prices = sum(bool(RE.price.search(line.text[:MAX_LINE_LENGTH])) for line in block)
            if prices >= 3 and prices * 3 >= len(block):
                reason = "advertisement: prices"
                yield _MatterSlice(block[0].start, block[-1].end, reason, "publisher")


def _gutenberg_body(text: str) -> tuple[int, int, list[_MatterSlice]]:
    parts: list[_MatterSlice] = []
    first, last = 0, len(text)
    begin = RE.gutenberg_start.search(text) or RE.small_print.search(text)
    if begin:
        first = begin.end()
        parts.append(_MatterSlice(0, first, "Gutenberg header", "publisher"))
    if over := RE.gutenberg_end.search(text, first):
        last = over.start()
        parts.append(_MatterSlice(last, len(text), "Gutenberg licence", "publisher"))
    return first, last, parts


def _is_contents_entry(line: str) -> bool:
    match = RE.contents_entry.match(line)
    if not match:
        return bool(RE.dot_leader.search(line))
    page = match.group("page")
    return page.isdecimal() or parse_roman(page) is not None


def _entry_page(line: str) -> int:
    """Page number at the end of an entry; -1 for none or a roman one."""
    digits = re.search(r"\d{1,4}$", line)
    return int(digits.group()) if digits else -1


def _imprint_evidence(block: str) -> set[str]:
    """Kinds of evidence in a block; empty for an author's sentences about printing."""
    kinds = {name for name, pattern in EVIDENCE.items() if pattern.search(block[:3_000])}
    if not kinds or "©" in block:
        return kinds
    if block.lstrip()[:1] in QUOTES or len(kinds) < 3 and RE.narrative.search(block):
        return set()
    if kinds & CERTAIN_EVIDENCE:
        return kinds
    words = len(block.split())
    is_sentence = bool(re.search(r"[.!?…][\"'”’)]*\s*$", block)) and words >= 8
    is_long = words >= PROSE_WORDS and len(RE.function_word.findall(block)) * 4 >= words
    is_prose = is_sentence and (is_long or bool(RE.first_person.search(block)))
    return set() if is_prose else kinds


def _is_title_page(block: str) -> bool:
    """Whether a block is a publisher with a year, in capitals or on one line."""
    lines = "\n".join(line.strip() for line in block.split("\n"))
    return len(lines) < 300 and bool(
        RE.title_page.fullmatch(lines) or RE.title_line.fullmatch(lines)
    )
