"""Lines of links: menus, pagers and tables of other pages that no class or id gives away.

Before the page is parsed, every link's text is put between two marks (marks.py); the text that is
written out then says of each line how much of it is links. Lines that are nothing else are cut at
the page's beginning, up to its first other line, and at its end; in between only pagers go, since a
run may be a list that the text speaks of. Marks of chrome and of code become edits and spans.
Knows nothing of trees or bytes.
"""

import re
from typing import NamedTuple

from ..record import Edit, Span
from .marks import ANY, CLOSE, CODE, CODE_END, END, KIND, LINK, OF_PLACES, PRE, PRE_END, START

SIGNS = re.compile(r"[\W_]+")
SIGN = re.compile(r"[^\W_]")
PAGER = re.compile(
    r"[\W_]*(?:(?:prev(?:ious)?|next|up|home|top|contents?|index|back|forward|first"
    r"|last|table of contents"
    r"|newer|older|skip to [a-z ]{3,20}|zurück|weiter|précédent|suivant|anterior"
    r"|siguiente|indietro|avanti)"
    r"(?: page| post| topic| chapter| section| article)?[\W_]*)+",
    re.IGNORECASE,
)
MOST_LINKS = 0.6
"""Share of a page's characters in lines of links above which they are what the page is for."""


class Lines(NamedTuple):
    """Text of a page, the lines of links in it, and where it is code."""

    text: str
    edits: tuple[Edit, ...]
    code: tuple[Span, ...]


class Line(NamedTuple):
    """A line of the text and how much of it is links."""

    start: int
    end: int
    share: float
    is_pager: bool


def link_lines(marked: str, link_share: float) -> Lines:
    """Take the marks out of a text; cut its chrome, lines of links at both ends, and pagers.

    >>> marked = "\\ufdd0Home\\ufdd1 | \\ufdd0Up\\ufdd1\\nWhat this page says, in words."
    >>> text, edits, code = link_lines(marked, 0.8)
    >>> text, [(edit.start, edit.end) for edit in edits]
    ('Home | Up\\nWhat this page says, in words.', [(0, 10)])
    """
    reading = Reading()
    for raw in marked.split("\n"):
        reading.read(raw)
    text, chrome = "\n".join(reading.pieces), reading.edits
    reading.end_code(len(text) if reading.is_pre else -1)
    if reading.depth:
        chrome.append(Edit(reading.begin, len(text), reading.kind))
    chrome = [widened(text, edit) for edit in chrome]
    blank = len(text) - len(text.lstrip())
    if chrome and chrome[0].start == blank:
        chrome[0] = chrome[0]._replace(start=0)
    code = (span for span in reading.code if text[span.start : span.end].strip())
    return Lines(text, merged(chrome, cut(text, reading.lines, link_share)), tuple(code))


class Reading:
    """A marked text on its way to a clean one: lines, chrome as edits, code as spans."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.lines: list[Line] = []
        self.edits: list[Edit] = []
        self.at = self.depth = self.begin = 0
        self.kind = ""
        self.code: list[Span] = []
        self.code_begin, self.is_pre = -1, False

    def read(self, raw: str) -> None:
        """Read a line; one of marks alone is none."""
        parts, clean = OF_PLACES.split(raw), ANY.sub("", raw)
        is_line = len(parts) == 1 or clean.strip() not in ("", "•")
        kept, length = [], 0
        for number, part in enumerate(parts):
            if number % 2:
                self.pass_mark(part, self.at + length)
            elif is_line:
                length += len(ANY.sub("", part))
                if not self.depth:
                    kept.append(part)
        if not is_line:
            return
        self.pieces.append(clean)
        own = "".join(kept)
        if own.strip(" •\t" + START + END):
            clean = ANY.sub("", own)
            is_pager = bool(PAGER.fullmatch(clean.strip()[:200]))
            share = linked_share(own, clean)
            self.lines.append(Line(self.at, self.at + length, share, is_pager))
        self.at += length + 1

    def pass_mark(self, mark: str, place: int) -> None:
        """Chrome or code begins or ends; what is inside other chrome is a part of it."""
        if mark in (CODE, PRE):
            self.is_pre |= mark == PRE
            self.code_begin = place if self.code_begin < 0 else self.code_begin
        elif mark == PRE_END or (mark == CODE_END and not self.is_pre):
            self.end_code(place)
        elif mark == CODE_END:
            pass
        elif mark == CLOSE:
            self.depth = max(0, self.depth - 1)
            if not self.depth and self.begin < place:
                self.edits.append(Edit(self.begin, place, self.kind))
                self.begin = place
        else:
            if not self.depth:
                self.begin, self.kind = place, KIND.get(mark, "navigation")
            self.depth += 1

    def end_code(self, place: int) -> None:
        """Code ends, where any had begun; a <code> that nothing ends is none."""
        if 0 <= self.code_begin < place:
            self.code.append(Span("code", self.code_begin, place))
        self.code_begin, self.is_pre = -1, False


def widened(text: str, edit: Edit) -> Edit:
    """An edit with the bullet, blanks or empty lines that would be left of it."""
    start, end = min(edit.start, len(text)), min(edit.end, len(text))
    line = text.rfind("\n", 0, start) + 1
    if end == len(text) or text[end] in "\n \t" or text[end - 1] == "\n":
        while start > line and text[start - 1] in " \t•":
            start -= 1
    while start == line and end < len(text) and text[end] == "\n":
        end += 1
    return edit._replace(start=start, end=end)


def merged(chrome: list[Edit], links: list[Edit]) -> tuple[Edit, ...]:
    """Both kinds of edits in rising order, each character cut once."""
    rising: list[Edit] = []
    for edit in sorted([*chrome, *links]):
        if rising and edit.start < rising[-1].end:
            if edit.end <= rising[-1].end:
                continue
            edit = edit._replace(start=rising[-1].end)
        if edit.start < edit.end:
            rising.append(edit)
    return tuple(rising)


def linked_share(raw: str, clean: str) -> float:
    """Share of a line's letters and digits that stand in links; 1 if there are none."""
    if START not in raw:
        return 0.0 if SIGN.search(clean) else 1.0
    signs = len(SIGNS.sub("", clean))
    linked = sum(len(SIGNS.sub("", text)) for text in LINK.findall(raw))
    return linked / signs if signs else 1.0


def cut(text: str, lines: list[Line], link_share: float) -> list[Edit]:
    """Edits for the lines of links."""
    linked = [line.share >= link_share or line.is_pager for line in lines]
    first = next((n for n, yes in enumerate(linked) if not yes), len(lines))
    last = next((n for n in range(len(lines) - 1, -1, -1) if not linked[n]), -1)
    if last < 0:
        return []  # a page of links is a list that somebody made
    pairs = zip(lines, linked, strict=True)
    linked_signs = sum(line.end - line.start for line, is_linked in pairs if is_linked)
    if linked_signs > MOST_LINKS * (lines[-1].end - lines[0].start):
        linked = [line.is_pager for line in lines]  # so is a page that is mostly one
    edits = []
    run: list[int] = []
    for number in [*range(len(lines)), -1]:
        if number >= 0 and linked[number]:
            run.append(number)
            continue
        if run and (run[0] < first or run[-1] > last or is_menu(run, lines)):
            reason = (
                "links at the top"
                if run[0] < first
                else "links at the end"
                if run[-1] > last
                else "menu"
            )
            for n in run:
                end = min(lines[n].end + 1, len(text))
                edits.append(Edit(lines[n].start, end, reason))
        run = []
    return edits


def is_menu(run: list[int], lines: list[Line]) -> bool:
    """Whether a run of lines of links in the middle of a page is no part of its text."""
    return all(lines[n].is_pager for n in run)
