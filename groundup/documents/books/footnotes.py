"""Footnotes: kept aside, and the place of each marker remembered.

At the bottom of a page a note begins with a marker (2, *, †, [2]), alone on its line or before its
words; in the page's text the same marker stands behind a word. Both must be there. Numbers rise
within a page. What follows the last note to the page's end belongs to it, and a note that ends in
the middle of a sentence goes on at the bottom of the next page. Pages come from pages.py.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from groundup.core import Config

from ..record import PASS, Edit, Record, Ruling, Span
from .pages import Line, Page, lines_of, pages_of

SIGNS = r"\*{1,3}|[†‡§¶]{1,2}|[¹²³⁴⁵⁶⁷⁸⁹⁰]{1,3}|\[\d{1,3}\]|\d{1,3}"
OPENS = re.compile(rf"^\s{{0,12}}({SIGNS})(?:\s+(?=[^\W\d_]|[“‘\"(])|(?=[A-Z“‘\"])|\s*$)")
BEHIND = (
    r"(?:(?<=[^\W\d_]{2})|(?<=[^\W\d_][.,;:!?)’”\"»])|(?<=[)’”\"»][.,;:!?)’”\"»])"
    r"|(?<=(?<!\d)1[0-9]\d\d[.,;:])|(?<=(?<!\d)20\d\d[.,;:]))"
)
"""A marker stands behind a word of two letters or more, behind the stop after it or after a quote
or bracket, or behind a year with its stop."""
RAISED = str.maketrans("¹²³⁴⁵⁶⁷⁸⁹⁰", "1234567890")
RULE = re.compile(r"^\s*[_—–-]{5,}\s*$")
SENTENCE_ENDS = re.compile(r"[.!?)\]”\"'»]$")


class FootnotesConfig(Config):
    """Where a note may stand and what its marker must be."""

    share: float = 0.5
    """Part of the page's lines, from its end, in which a note may begin. Source: own."""
    continued: bool = True
    """Whether a note that breaks off goes on at the bottom of the next page. Source: the issue."""


class Note(NamedTuple):
    """A note at the bottom of a page."""

    marker: str
    start: int
    end: int
    place: int
    """Where its marker stands in the text; its end at `place_end`."""
    place_end: int


class Footnotes:
    """Keeps footnotes aside under `footnotes`; a span of that kind stands where the marker was."""

    def __init__(self, config: FootnotesConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> Ruling:
        """Cut the notes and their markers; mark the places."""
        found = pages_of(record)
        if found.source == "none":
            return PASS
        edits: list[Edit] = []
        spans: list[Span] = []
        shelf = len(record.metadata.get("aside", {}).get("footnotes", ()))
        is_open, last_marker = False, "0"
        for page in found.pages:
            lines = lines_of(record.text, page.start, page.end)
            notes = self.notes(record.text, lines, last_marker)
            last_marker = notes[-1].marker if notes else last_marker
            rest = self.rest(lines, notes, page) if is_open else None
            if rest:
                edits.append(Edit(*rest, "footnote, continued", aside="footnotes"))
                shelf += 1
            for note in notes:
                edits.append(Edit(note.place, note.place_end, "footnote marker"))
                edits.append(Edit(note.start, note.end, "footnote", aside="footnotes"))
                spans.append(Span("footnote", note.place, note.place, str(shelf)))
                shelf += 1
            if notes or rest:
                last = record.text[page.start : notes[-1].end if notes else page.end].rstrip()
                is_open = self.config.continued and not SENTENCE_ENDS.search(last[-1:])
            else:
                is_open = False
        if not edits:
            return PASS
        return Ruling(
            edits=tuple(sorted(edits)), spans=tuple(spans), metadata={"footnotes": len(spans)}
        )

    def notes(self, text: str, lines: Sequence[Line], before: str) -> list[Note]:
        """The notes of a page, from its end upwards as long as markers fall.

        Their first is number 1, or follows the book's last note.
        """
        filled = [line for line in lines if line.text.strip()]
        lower = filled[int(len(filled) * (1 - self.config.share)) :]
        chain: list[tuple[Line, str]] = []
        for line in reversed(lower):
            match = OPENS.match(line.text)
            marker = match.group(1).translate(RAISED) if match else ""
            if marker and (not chain or precedes(marker, chain[0][1])):
                chain.insert(0, (line, marker))
        while chain:
            body = text[lines[0].start : chain[0][0].start]
            places = [marker_place(body, marker) for _, marker in chain]
            if all(place is not None for place in places) or len(chain) == 1:
                break
            missing = max(n for n, place in enumerate(places) if place is None)
            chain = chain[missing + 1 :] or chain[:missing]
        while chain and not is_next(chain[0][1], before):
            chain, places = chain[1:], places[1:]
        ends = [start.start for start, _ in chain[1:]] + [lines[-1].end] if chain else []
        return [
            Note(
                marker,
                line.start,
                end,
                lines[0].start + place.start(1),
                lines[0].start + place.end(1),
            )
            for (line, marker), end, place in zip(chain, ends, places if chain else [], strict=True)
            if place is not None
        ]

    def rest(
        self, lines: Sequence[Line], notes: Sequence[Note], page: Page
    ) -> tuple[int, int] | None:
        """The part of a page that goes on with the note of the page before.

        It lies between a rule, or the page's last empty line, and the first note; the page's only
        block is text, not a note.
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


def precedes(marker: str, following: str) -> bool:
    """Whether a note may stand right above another by their markers.

    >>> precedes("2", "3"), precedes("7", "3"), precedes("*", "†")
    (True, False, True)
    """
    one, two = marker.strip("[]"), following.strip("[]")
    if one.isdecimal() and two.isdecimal():
        return int(one) + 1 == int(two) and len(marker) - len(one) == len(following) - len(two)
    return one.isdecimal() == two.isdecimal() and one != two


def is_next(marker: str, before: str) -> bool:
    """Whether a page's first note may have this marker after the book's last one."""
    value, last = marker.strip("[]"), before.strip("[]")
    if not value.isdecimal():
        return True
    return int(value) == 1 or last.isdecimal() and 0 < int(value) - int(last) <= 2


def marker_place(body: str, marker: str) -> re.Match[str] | None:
    """The last place where a page's text has a marker, written as the note's own is."""
    raised = marker.translate(str.maketrans("1234567890", "¹²³⁴⁵⁶⁷⁸⁹⁰"))
    signs = [marker] if marker.startswith("[") else dict.fromkeys((raised, marker))
    either = "|".join(map(re.escape, signs))
    pattern = rf"{BEHIND}({either})(?=[\s.;:!?)’”—–]|,\s|$)"
    return max(re.finditer(pattern, body), key=re.Match.start, default=None)
