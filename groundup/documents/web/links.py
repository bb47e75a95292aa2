"""Lines of links, and the marks that show what a line was in the page.

Noncharacters pass through an extractor: the text of links and of code is enclosed in two of them in
the page, an element of chrome in the tree, so that the extracted text shows which letters are
links, code or chrome of a kind. Unicode reserves U+FDD0 to U+FDEF for such use inside a program: no
text may hold them. Lines that are links only are removed at the beginning of the page, up to its
first other line, and at its end; between them only pagers are removed, since a run may be a list
that belongs to the text. Marks of chrome and of code become edits and spans. Knows nothing of trees
or bytes.
"""

import re
from typing import NamedTuple

from ..record import TextEdit, TextSpan

LINK_START, LINK_END, CHROME_END = "\ufdd0", "\ufdd1", "\ufdd2"
CHROME_KINDS = (
    "navigation", "sidebar", "footer", "header", "advertisement", "notice", "comments", "controls",
    "heading link", "hidden", "links beside the text",
)  # fmt: skip
"""Kinds of chrome: the reasons of their edits."""
CHROME_START = {kind: chr(0xFDD3 + n) for n, kind in enumerate(CHROME_KINDS)}
KIND_BY_MARK = {mark: kind for kind, mark in CHROME_START.items()}
CODE_START, CODE_END, PRE_START, PRE_END = "\ufdec", "\ufded", "\ufdee", "\ufdef"
"""Around <code> and the like, and around <pre>, which may contain them."""
RANGE_MARK = re.compile("([\ufdd2-\ufdef])")  # Marks of chrome and of code
ANY_MARK = re.compile("[\ufdd0-\ufdef]")
LINK_TEXT = re.compile(f"{LINK_START}([^{LINK_START}{LINK_END}]*){LINK_END}")
"""A link's text between its marks."""
MARKED_TAG = re.compile(
    r"<a\b(?=[^>]{0,500}?\bhref\b)[^>]{0,5000}>|</a\s*>"
    r"|<(?P<pre>pre)\b[^>]{0,5000}>(?:\r?\n)?|<(?P<code>code|samp|kbd|tt)\b[^>]{0,5000}>"
    r"|</(?P<end>pre|code|samp|kbd|tt)\s*>",
    re.IGNORECASE,
)


def mark_tags(page: str) -> str:
    """Enclose the text of links in START and END, and code in its own marks."""
    return MARKED_TAG.sub(_add_mark, ANY_MARK.sub("", page))


def _add_mark(tag: re.Match[str]) -> str:
    if tag["pre"] or tag["code"]:
        return tag[0] + (PRE_START if tag["pre"] else CODE_START)
    if tag["end"]:
        return (PRE_END if tag["end"].lower() == "pre" else CODE_END) + tag[0]
    return LINK_END + tag[0] if tag[0][1] == "/" else tag[0] + LINK_START


NON_ALPHANUMERIC = re.compile(r"[\W_]+")
ALPHANUMERIC = re.compile(r"[^\W_]")
PAGER = re.compile(
    r"[\W_]*(?:(?:prev(?:ious)?|next|up|home|top|contents?|index|back|forward|first"
    r"|last|table of contents"
    r"|newer|older|skip to [a-z ]{3,20}|zurück|weiter|précédent|suivant|anterior"
    r"|siguiente|indietro|avanti)"
    r"(?: page| post| topic| chapter| section| article)?[\W_]*)+",
    re.IGNORECASE,
)
MAX_LINK_SHARE = 0.6
"""Share of a page's characters in lines of links above which they are its content."""


class CleanedText(NamedTuple):
    """Text of a page, the edits that remove its chrome, and its spans of code."""

    text: str
    edits: tuple[TextEdit, ...]
    code_spans: tuple[TextSpan, ...]


class _MeasuredLine(NamedTuple):
    start: int
    end: int
    link_share: float
    is_pager: bool


def clean_marked_text(marked: str, link_share: float) -> CleanedText:
    """Remove the marks from a text; list its chrome, pagers and lines of links at both ends.

    >>> marked = "\\ufdd0Home\\ufdd1 | \\ufdd0Up\\ufdd1\\nWhat this page says, in words."
    >>> text, edits, code = clean_marked_text(marked, 0.8)
    >>> text, [(edit.start, edit.end) for edit in edits]
    ('Home | Up\\nWhat this page says, in words.', [(0, 10)])
    """
    reading = _MarkedTextParser()
    for raw in marked.split("\n"):
        reading.read_line(raw)
    text, chrome = "\n".join(reading.pieces), reading.edits
    reading.end_code(len(text) if reading.is_pre else -1)
    if reading.depth:
        chrome.append(TextEdit(reading.chrome_start, len(text), reading.kind))
    chrome = [_widen_edit(text, edit) for edit in chrome]
    blank = len(text) - len(text.lstrip())
    if chrome and chrome[0].start == blank:
        chrome[0] = chrome[0]._replace(start=0)
    code = (span for span in reading.code_spans if text[span.start : span.end].strip())
    edits = _merge_edits(chrome, _link_edits(text, reading.lines, link_share))
    return CleanedText(text, edits, tuple(code))


class _MarkedTextParser:
    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.lines: list[_MeasuredLine] = []
        self.edits: list[TextEdit] = []
        self.offset = self.depth = self.chrome_start = 0
        self.kind = ""
        self.code_spans: list[TextSpan] = []
        self.code_start, self.is_pre = -1, False

    def read_line(self, raw: str) -> None:
        parts, clean = RANGE_MARK.split(raw), ANY_MARK.sub("", raw)
        is_line = len(parts) == 1 or clean.strip() not in ("", "•")
        outside, length = [], 0
        for number, part in enumerate(parts):
            if number % 2:
                self.handle_mark(part, self.offset + length)
            elif is_line:
                length += len(ANY_MARK.sub("", part))
                if not self.depth:
                    outside.append(part)
        if not is_line:
            return
        self.pieces.append(clean)
        own = "".join(outside)
        if own.strip(" •\t" + LINK_START + LINK_END):
            clean = ANY_MARK.sub("", own)
            is_pager = bool(PAGER.fullmatch(clean.strip()[:200]))
            share = _linked_share(own, clean)
            self.lines.append(_MeasuredLine(self.offset, self.offset + length, share, is_pager))
        self.offset += length + 1

    def handle_mark(self, mark: str, offset: int) -> None:
        """Begin or end chrome or code; chrome inside chrome is part of the outer."""
        if mark in (CODE_START, PRE_START):
            self.is_pre |= mark == PRE_START
            self.code_start = offset if self.code_start < 0 else self.code_start
        elif mark == PRE_END or (mark == CODE_END and not self.is_pre):
            self.end_code(offset)
        elif mark == CODE_END:
            pass
        elif mark == CHROME_END:
            self.depth = max(0, self.depth - 1)
            if not self.depth and self.chrome_start < offset:
                self.edits.append(TextEdit(self.chrome_start, offset, self.kind))
                self.chrome_start = offset
        else:
            if not self.depth:
                self.chrome_start, self.kind = offset, KIND_BY_MARK.get(mark, "navigation")
            self.depth += 1

    def end_code(self, offset: int) -> None:
        """End the code, if any has begun; an unclosed <code> is none."""
        if 0 <= self.code_start < offset:
            self.code_spans.append(TextSpan("code", self.code_start, offset))
        self.code_start, self.is_pre = -1, False


def _widen_edit(text: str, edit: TextEdit) -> TextEdit:
    start, end = min(edit.start, len(text)), min(edit.end, len(text))
    line = text.rfind("\n", 0, start) + 1
    if end == len(text) or text[end] in "\n \t" or text[end - 1] == "\n":
        while start > line and text[start - 1] in " \t•":
            start -= 1
    while start == line and end < len(text) and text[end] == "\n":
        end += 1
    return edit._replace(start=start, end=end)


def _merge_edits(chrome: list[TextEdit], links: list[TextEdit]) -> tuple[TextEdit, ...]:
    edits: list[TextEdit] = []
    for edit in sorted([*chrome, *links]):
        if edits and edit.start < edits[-1].end:
            if edit.end <= edits[-1].end:
                continue
            edit = edit._replace(start=edits[-1].end)
        if edit.start < edit.end:
            edits.append(edit)
    return tuple(edits)


def _linked_share(raw: str, clean: str) -> float:
    if LINK_START not in raw:
        return 0.0 if ALPHANUMERIC.search(clean) else 1.0
    signs = len(NON_ALPHANUMERIC.sub("", clean))
    linked = sum(len(NON_ALPHANUMERIC.sub("", text)) for text in LINK_TEXT.findall(raw))
    return linked / signs if signs else 1.0


def _link_edits(text: str, lines: list[_MeasuredLine], link_share: float) -> list[TextEdit]:
    linked = [line.link_share >= link_share or line.is_pager for line in lines]
    first = next((n for n, yes in enumerate(linked) if not yes), len(lines))
    last = next((n for n in range(len(lines) - 1, -1, -1) if not linked[n]), -1)
    if last < 0:
        return []  # a page of links only is a list of links on purpose
    pairs = zip(lines, linked, strict=True)
    linked_signs = sum(line.end - line.start for line, is_linked in pairs if is_linked)
    if linked_signs > MAX_LINK_SHARE * (lines[-1].end - lines[0].start):
        linked = [line.is_pager for line in lines]  # the links are the content
    edits = []
    run: list[int] = []
    for number in [*range(len(lines)), -1]:
        if number >= 0 and linked[number]:
            run.append(number)
            continue
        reason = ""
        if run and run[0] < first:
            reason = "links at the top"
        elif run and run[-1] > last:
            reason = "links at the end"
        elif all(lines[n].is_pager for n in run):
            reason = "menu"
        for n in run if reason else ():
            edits.append(TextEdit(lines[n].start, min(lines[n].end + 1, len(text)), reason))
        run = []
    return edits
