"""Lines of links: menus, pagers and tables of other pages that no class or id gives away.

Before the page is parsed, every link's text is put between two characters of the private use area;
the text that is written out then says of each line how much of it is links. Lines that are nothing
else are cut at the page's beginning, up to its first prose or title, and at its end; in between a
long run of them is a menu, while a short one may be a list that the text speaks of.
Knows nothing of trees or bytes.
"""

import re
from typing import NamedTuple

from ..record import Edit

START, END = "\ue0fa", "\ue0fb"
LINK = re.compile(r"<a\b(?=[^>]{0,500}?\bhref\b)[^>]{0,5000}>|</a\s*>", re.IGNORECASE)
MARKED = re.compile(f"{START}([^{START}{END}]*){END}")
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
MENU = 8
"""Lines of links in a row that make a menu in the middle of a page."""


class Lines(NamedTuple):
    """Text of a page, and the lines of links in it."""

    text: str
    edits: tuple[Edit, ...]


class Line(NamedTuple):
    """A line of the text and how much of it is links."""

    start: int
    end: int
    share: float
    is_pager: bool
    is_prose: bool


def mark_links(page: str) -> str:
    """The page with every link's text between START and END."""
    page = page.replace(START, "").replace(END, "")
    return LINK.sub(lambda tag: END + tag[0] if tag[0][1] == "/" else tag[0] + START, page)


def link_lines(marked: str, link_share: float) -> Lines:
    """Take the marks out of a text; cut its lines of links at both ends and its long menus.

    >>> marked = "\\ue0faHome\\ue0fb | \\ue0faUp\\ue0fb\\nWhat this page says, in words."
    >>> text, edits = link_lines(marked, 0.8)
    >>> text, [(edit.start, edit.end) for edit in edits]
    ('Home | Up\\nWhat this page says, in words.', [(0, 10)])
    """
    pieces: list[str] = []
    lines: list[Line] = []
    at = 0
    for raw in marked.split("\n"):
        clean = raw.replace(START, "").replace(END, "")
        pieces.append(clean)
        if clean.strip():
            lines.append(told(clean, at, linked_share(raw, clean)))
        at += len(clean) + 1
    text = "\n".join(pieces)
    return Lines(text, tuple(cut(text, lines, link_share)))


def linked_share(raw: str, clean: str) -> float:
    """Share of a line's letters and digits that stand in links; 1 if there are none."""
    if START not in raw:
        return 0.0 if SIGN.search(clean) else 1.0
    signs = len(SIGNS.sub("", clean))
    linked = sum(len(SIGNS.sub("", text)) for text in MARKED.findall(raw))
    return linked / signs if signs else 1.0


def told(line: str, at: int, share: float) -> Line:
    """What is known of a line that begins at a place."""
    is_prose = share < 0.5 and len(line) >= 60 and line.count(" ") >= 8
    return Line(at, at + len(line), share, bool(PAGER.fullmatch(line.strip()[:200])), is_prose)


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
