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

from ..patterns import read_patterns
from ..record import PASS, Record, StepResult, TextEdit
from .pages import BookLine, parse_roman, split_into_lines
from .paragraphs import split_into_blocks

GUTENBERG_START = re.compile(
    r"^[ \t]*\*{2,3}\s?START OF (?:THE|THIS) PROJECT GUTENBERG[^\n]*\n?", re.M | re.I
)
GUTENBERG_END = re.compile(
    r"^[ \t]*(?:\*{2,3}\s?END OF (?:THE|THIS) PROJECT GUTENBERG|End of (?:the )?Project Gutenberg)",
    re.M | re.I,
)
SMALL_PRINT = re.compile(r"\*END\*?THE SMALL PRINT[^\n]*\n", re.I)
QUOTES = "\"“„«‘‹'"
_PATTERNS = read_patterns(Path(__file__).with_name("publisher.toml"))
STRONG_EVIDENCE = {"ISBN", "cataloguing", "rights", "copyright", "printing"}


def _compile_alternatives(patterns: Sequence[str], *, is_whole: bool = False) -> re.Pattern[str]:
    joined = "|".join(f"(?:{pattern})" for pattern in patterns)
    return re.compile(rf"^\s*(?:{joined})\s*$" if is_whole else joined, re.I | re.M)


EVIDENCE = {
    name: _compile_alternatives(patterns) for name, patterns in _PATTERNS["evidence"].items()
}
CONTENTS_ENTRY = re.compile(
    r"^(?P<title>.*?\S)(?:\s*(?:[.·…_] ?){2,}\s*|\s+)(?P<page>\d{1,4}|[ivxlc]{1,7})$", re.I
)
DOT_LEADER = re.compile(r"(?:[.·…] ?){5,}\s*(?:\d{1,4}|[ivxlc]{1,7})\s*$", re.I)
CONTENTS_TITLE = _compile_alternatives(_PATTERNS["contents_titles"], is_whole=True)
INDEX_TITLE = _compile_alternatives(_PATTERNS["index_titles"], is_whole=True)
INDEX_ENTRY = _compile_alternatives(_PATTERNS["index_entries"], is_whole=True)
OFFER = _compile_alternatives(_PATTERNS["offers"])
PRICE = _compile_alternatives(_PATTERNS["prices"])
CHAPTER_HEADING = _compile_alternatives(_PATTERNS["chapter_headings"], is_whole=True)
NARRATIVE = re.compile(
    r"\b(?:[Hh]e|[Ss]he|[Tt]hey|I|[Ii]t)\s+(?!is\b|has\b)[a-z]{2,}"
    r"|[\"”’'],?\s+(?:\w+\s+){0,3}?(?:said|asked|cried|replied|answered|wrote|shouted|whispered)\b"
    r"|\b(?:was|were|had)\s+(?!first|originally|published|printed|set|typeset|designed|produced|made)"
    r"|\b(?:said|asked|cried|replied|answered)\s+(?:the|he|she|they|I|[A-Z])"
)
"""Narrative: a person who acts, or somebody who speaks."""
PUBLISHER_NAME = f"(?:{'|'.join(_PATTERNS['firm_words'])})"
YEAR = r"(?:1[4-9]\d\d|20[0-4]\d|M[DCLXVI]{3,14})"
TITLE_PAGE = (
    re.compile(
        rf"(?=.*\b{PUBLISHER_NAME}\b)[^a-zß-öø-ÿ\n]{{3,60}}(?:\n[^a-zß-öø-ÿ\n]{{3,60}}){{0,4}}\n\W*{YEAR}\W*",
        re.S,
    ),
    re.compile(rf"[A-Z][\w .]{{2,30}}(?: and [A-Z]\w+)?:\s+[A-Z][^\n.!?]{{2,60}}[,.]\s+{YEAR}\.?"),
)
"""A publisher with a city and a year on the title page: `LONDON / CHAPMAN AND HALL / 1893`."""
TITLE_PAGE_ENDS = 3_000
"""Characters from the start within which a title page ends. Source: own."""
FIRST_PERSON = re.compile(r"\b(?:I|[Ww]e|[Mm]y|me|[Oo]ur|us|ich|wir|je|nous)\b")
CERTAIN_EVIDENCE = {"ISBN", "rights"}
"""Evidence that does not occur in an author's sentences."""
PROSE_WORDS = 25
"""Words of a sentence block from which it is prose even in the third person. Source: own."""
FUNCTION_WORD = re.compile(
    r"\b(?:the|of|and|to|in|is|was|that|for|it|with|as|on|by|this|had|who|which)\b"
)
MAX_LINE_LENGTH = 300
"""Characters of a line that are examined: longer lines are no entries."""


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


class MatterSlice(NamedTuple):
    """A slice that is not the author's text."""

    start: int
    end: int
    reason: str
    metadata_key: str


class FrontMatter:
    """Removes front and back matter, tables of contents, indexes and advertisements."""

    def __init__(self, config: FrontMatterConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> StepResult:
        """Return one edit per slice; overlapping slices are merged."""
        text = record.text
        first, last, parts = _gutenberg_body(text)
        lines = split_into_lines(text, first, last)
        parts += self.find_listings(lines, first, last)
        parts += self.find_imprints(text, lines, first, last)
        parts += self.find_advertisements(text, lines, last)
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

    def find_listings(
        self, lines: Sequence[BookLine], first: int, last: int
    ) -> Iterator[MatterSlice]:
        """Yield contents and indexes: runs of entries below such a title or with dot leaders."""
        half = first + (last - first) // 2
        at = 0
        while at < len(lines):
            line = lines[at].text[:MAX_LINE_LENGTH]
            is_index = bool(INDEX_TITLE.match(line)) and lines[at].start > half
            if is_index or CONTENTS_TITLE.match(line) or DOT_LEADER.search(line):
                end = self.end_of_entries(lines, at, INDEX_ENTRY if is_index else None)
                if end > at:
                    shelf = "index" if is_index else "contents"
                    name = "index" if is_index else "table of contents"
                    yield MatterSlice(lines[at].start, lines[end - 1].end, name, shelf)
                    at = end
                    continue
            at += 1

    def end_of_entries(
        self, lines: Sequence[BookLine], at: int, term: re.Pattern[str] | None
    ) -> int:
        """End of the run of entries that begins at line `at`; `at` itself if there is none."""
        entries = filled = leaders = 0
        end, misses, last_page = at, 0, -1
        has_leader = DOT_LEADER.search(lines[at].text[:MAX_LINE_LENGTH])
        for here in range(at if has_leader else at + 1, len(lines)):
            stripped = lines[here].text.strip()[:MAX_LINE_LENGTH]
            if not stripped:
                continue
            if not term and CHAPTER_HEADING.match(stripped):
                continue  # a chapter heading, of the contents or already of the text
            filled += 1
            is_entry = bool(term.match(stripped)) if term else _is_contents_entry(stripped)
            if is_entry and not term:
                page, last_page = last_page, _entry_page(stripped)
                is_entry = last_page >= page or last_page < 0 or bool(DOT_LEADER.search(stripped))
            leaders += bool(DOT_LEADER.search(stripped))
            entries, misses = entries + is_entry, 0 if is_entry else misses + 1
            if is_entry:
                end = here + 1
            if misses > (6 if term else 4) or len(stripped) > 150 and not is_entry:
                break
        enough = entries >= self.config.min_entries or (
            CONTENTS_TITLE.match(lines[at].text)
            and entries == leaders >= self.config.min_titled_entries
        )
        return end if enough and entries >= self.config.min_entry_share * (filled - misses) else at

    def find_imprints(
        self, text: str, lines: Sequence[BookLine], first: int, last: int
    ) -> Iterator[MatterSlice]:
        """Yield blocks near the ends with enough kinds of evidence."""
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
                yield MatterSlice(start, end, f"imprint: {why}", "publisher")

    def find_advertisements(
        self, text: str, lines: Sequence[BookLine], last: int
    ) -> Iterator[MatterSlice]:
        """Yield lists of other titles: an offer followed by prices or by three short lines."""
        blocks = list(split_into_blocks(lines))
        for at, block in enumerate(blocks):
            head = block[0].text
            if len(head) > 120 or not OFFER.search(head):
                continue
            listed = block[1:] or (blocks[at + 1] if at + 1 < len(blocks) else [])
            is_short = all(len(line.text.strip()) < 90 for line in listed)
            is_priced = all(PRICE.search(line.text) or line.text.isupper() for line in listed)
            if listed and is_short and (len(listed) >= 3 or is_priced):
                reason = "advertisement: other titles"
                yield MatterSlice(block[0].start, listed[-1].end, reason, "publisher")
        tail = last - max(last // 8, self.config.edge_characters)
        for block in (block for block in blocks if block[0].start > tail):
            prices = sum(bool(PRICE.search(line.text[:MAX_LINE_LENGTH])) for line in block)
            if prices >= 3 and prices * 3 >= len(block):
                reason = "advertisement: prices"
                yield MatterSlice(block[0].start, block[-1].end, reason, "publisher")


def _gutenberg_body(text: str) -> tuple[int, int, list[MatterSlice]]:
    """Bounds of the text between Gutenberg's markers, and the slices outside them."""
    parts: list[MatterSlice] = []
    first, last = 0, len(text)
    begin = GUTENBERG_START.search(text) or SMALL_PRINT.search(text)
    if begin:
        first = begin.end()
        parts.append(MatterSlice(0, first, "Gutenberg header", "publisher"))
    if over := GUTENBERG_END.search(text, first):
        last = over.start()
        parts.append(MatterSlice(last, len(text), "Gutenberg licence", "publisher"))
    return first, last, parts


def _is_contents_entry(line: str) -> bool:
    """Whether a line is a title with its page number, with or without a dot leader."""
    match = CONTENTS_ENTRY.match(line)
    if not match:
        return bool(DOT_LEADER.search(line))
    page = match.group("page")
    return page.isdecimal() or parse_roman(page) is not None


def _entry_page(line: str) -> int:
    """Page number at the end of an entry; -1 for none or a roman one.

    >>> _entry_page("The Storm ..... 12"), _entry_page("Preface ix")
    (12, -1)
    """
    digits = re.search(r"\d{1,4}$", line)
    return int(digits.group()) if digits else -1


def _imprint_evidence(block: str) -> set[str]:
    """Kinds of evidence in a block; empty for an author's sentences about printing."""
    kinds = {name for name, pattern in EVIDENCE.items() if pattern.search(block[:3_000])}
    if not kinds or "©" in block:
        return kinds
    if block.lstrip()[:1] in QUOTES or len(kinds) < 3 and NARRATIVE.search(block):
        return set()
    if kinds & CERTAIN_EVIDENCE:
        return kinds
    words = len(block.split())
    is_sentence = bool(re.search(r"[.!?…][\"'”’)]*\s*$", block)) and words >= 8
    is_long = words >= PROSE_WORDS and len(FUNCTION_WORD.findall(block)) * 4 >= words
    is_prose = is_sentence and (is_long or bool(FIRST_PERSON.search(block)))
    return set() if is_prose else kinds


def _is_title_page(block: str) -> bool:
    """Whether a block is a publisher with a year, in capitals or on one line.

    >>> _is_title_page("LONDON\\nCHAPMAN AND HALL\\n1893"), _is_title_page("LONDON\\nMay 3\\n1893")
    (True, False)
    """
    lines = "\n".join(line.strip() for line in block.split("\n"))
    return len(lines) < 300 and any(pattern.fullmatch(lines) for pattern in TITLE_PAGE)
