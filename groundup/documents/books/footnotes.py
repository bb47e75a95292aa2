"""Footnotes: move them into the metadata and mark where each was referenced.

A note begins at the bottom of a page with a marker (2, *, †, [2]), alone on its line or before its
words, and the same marker follows a word in the page's text; both are required. Numbers increase
within a page. Text after the last note belongs to it, and a note that ends in mid-sentence
continues at the bottom of the next page. Pages come from pages.py.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from groundup.core import Config

from ..record import PASS, Record, StepResult, TextEdit, TextSpan
from .pages import BookLine, BookPage, find_pages, split_into_lines

MARKER = r"\*{1,3}|[†‡§¶]{1,2}|[¹²³⁴⁵⁶⁷⁸⁹⁰]{1,3}|\[\d{1,3}\]|\d{1,3}"
NOTE_START = re.compile(rf"^\s{{0,12}}({MARKER})(?:\s+(?=[^\W\d_]|[“‘\"(])|(?=[A-Z“‘\"])|\s*$)")
AFTER_WORD = (
    r"(?:(?<=[^\W\d_]{2})|(?<=[^\W\d_][.,;:!?)’”\"»])|(?<=[)’”\"»][.,;:!?)’”\"»])"
    r"|(?<=(?<!\d)1[0-9]\d\d[.,;:])|(?<=(?<!\d)20\d\d[.,;:]))"
)
"""A marker follows a word of two letters or more, the punctuation after it, a closing quote or
bracket, or a year with its punctuation."""
FROM_SUPERSCRIPT = str.maketrans("¹²³⁴⁵⁶⁷⁸⁹⁰", "1234567890")
RULE = re.compile(r"^\s*[_—–-]{5,}\s*$")
SENTENCE_ENDS = re.compile(r"[.!?)\]”\"'»]$")


class FootnotesConfig(Config):
    """Where a note may begin and whether it may continue."""

    share: float = 0.5
    """Share of the page's lines, counted from its end, in which a note may begin. Source: own."""
    continued: bool = True
    """Whether an unfinished note continues at the bottom of the next page. Source: the issue."""


class Note(NamedTuple):
    """A note at the bottom of a page."""

    marker: str
    start: int
    end: int
    marker_start: int
    """Start of its marker in the text; the end is `marker_end`."""
    marker_end: int


class Footnotes:
    """Moves footnotes to the metadata under `footnotes`; spans of that kind replace the markers."""

    def __init__(self, config: FootnotesConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> StepResult:
        paged = find_pages(record)
        if paged.source == "none":
            return PASS
        edits: list[TextEdit] = []
        spans: list[TextSpan] = []
        shelf = len(record.metadata.get("aside", {}).get("footnotes", ()))
        is_open, last_marker = False, "0"
        for page in paged.pages:
            lines = split_into_lines(record.text, page.start, page.end)
            notes = self._notes_on_page(record.text, lines, last_marker)
            last_marker = notes[-1].marker if notes else last_marker
            continuation = self.continuation(lines, notes, page) if is_open else None
            if continuation:
                reason = "footnote, continued"
                edits.append(TextEdit(*continuation, reason, metadata_key="footnotes"))
                shelf += 1
            for note in notes:
                edits.append(TextEdit(note.marker_start, note.marker_end, "footnote marker"))
                edits.append(TextEdit(note.start, note.end, "footnote", metadata_key="footnotes"))
                spans.append(TextSpan("footnote", note.marker_start, note.marker_start, str(shelf)))
                shelf += 1
            last = record.text[page.start : notes[-1].end if notes else page.end].rstrip()
            is_open = bool(notes or continuation) and not SENTENCE_ENDS.search(last[-1:])
            is_open = is_open and self.config.continued
        if not edits:
            return PASS
        metadata = {"footnotes": len(spans)}
        return StepResult(edits=tuple(sorted(edits)), spans=tuple(spans), metadata=metadata)

    def _notes_on_page(
        self, text: str, lines: Sequence[BookLine], previous_marker: str
    ) -> list[Note]:
        """Notes of a page, searched upwards from its end while the markers decrease.

        The first must be number 1 or follow the book's previous note.
        """
        filled = [line for line in lines if line.text.strip()]
        lower = filled[int(len(filled) * (1 - self.config.share)) :]
        chain: list[tuple[BookLine, str]] = []
        for line in reversed(lower):
            match = NOTE_START.match(line.text)
            marker = match.group(1).translate(FROM_SUPERSCRIPT) if match else ""
            if marker and (not chain or _may_precede(marker, chain[0][1])):
                chain.insert(0, (line, marker))
        while chain:
            body = text[lines[0].start : chain[0][0].start]
            markers = [_find_marker(body, marker) for _, marker in chain]
            missing = [n for n, found in enumerate(markers) if found is None]
            if not missing or len(chain) == 1:
                break
            chain = chain[missing[-1] + 1 :] or chain[: missing[-1]]
        last = previous_marker.strip("[]")
        while chain and (value := chain[0][1].strip("[]")).isdecimal():
            if int(value) == 1 or last.isdecimal() and 0 < int(value) - int(last) <= 2:
                break
            chain, markers = chain[1:], markers[1:]
        ends = [start.start for start, _ in chain[1:]] + [lines[-1].end] if chain else []
        first, matches = lines[0].start, markers if chain else []
        return [
            Note(marker, line.start, end, first + found.start(1), first + found.end(1))
            for (line, marker), end, found in zip(chain, ends, matches, strict=True)
            if found is not None
        ]

    def continuation(
        self, lines: Sequence[BookLine], notes: Sequence[Note], page: BookPage
    ) -> tuple[int, int] | None:
        """Start and end of the text that continues the previous page's note.

        It lies between a rule, or the page's last empty line, and the first note. If the page is a
        single block, it is text.
        """
        stop = notes[0].start if notes else page.end
        above = [line for line in lines if line.end <= stop]
        while above and not above[-1].text.strip():
            above.pop()
        for at in range(len(above) - 1, 0, -1):
            if RULE.match(above[at].text):
                return (above[at].start, stop)
        block = len(above)
        while block and above[block - 1].text.strip():
            block -= 1
        first = above[block].text.strip() if block < len(above) else ""
        few = 0 < len(above) - block <= 6
        return (above[block].start, stop) if block and few and first[:1].islower() else None


def _may_precede(marker: str, following: str) -> bool:
    """Whether a note may stand directly above another, judged by their markers.

    >>> _may_precede("2", "3"), _may_precede("7", "3"), _may_precede("*", "†")
    (True, False, True)
    """
    above, below = marker.strip("[]"), following.strip("[]")
    if above.isdecimal() and below.isdecimal():
        is_same_form = len(marker) - len(above) == len(following) - len(below)
        return int(above) + 1 == int(below) and is_same_form
    return above.isdecimal() == below.isdecimal() and above != below


def _find_marker(body: str, marker: str) -> re.Match[str] | None:
    raised = marker.translate(str.maketrans("1234567890", "¹²³⁴⁵⁶⁷⁸⁹⁰"))
    signs = [marker] if marker.startswith("[") else dict.fromkeys((raised, marker))
    either = "|".join(map(re.escape, signs))
    pattern = rf"{AFTER_WORD}({either})(?=[\s.;:!?)’”—–]|,\s|$)"
    return max(re.finditer(pattern, body), key=re.Match.start, default=None)
