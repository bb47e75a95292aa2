"""Comments: their share of a file, and the licence header moved out of the text.

The header is what stands before any code and speaks of copyright or licence; it is kept aside under
`header`, so the corpus does not hold it a million times and its words stay with the record. A file
that is nearly all comment, or has none, is judged by its share. Knows nothing of which licence a
header states (see licences.py).
"""

import re

from groundup.core import Config

from ..record import Edit, Record, Ruling
from .language import named_language, tables
from .lexing import Piece, comments

LEGAL = re.compile(
    r"copyright|\(c\)[ ]?(?:19|20)\d\d|©|licen[sc]e|SPDX-|all rights reserved|redistribut"
    r"|without warranty|public domain",
    re.IGNORECASE,
)
KEPT_FIRST = re.compile(r"#!|#[^\n]{0,80}coding[:=]|#[^\n]{0,20}-\*-|<\?")
HEADER_CHARACTERS = 20_000
# Languages in which a file without any comment is the rule.
MARKUP = frozenset({
    "css", "html", "ini", "json", "markdown", "protobuf", "svg", "toml", "vue", "xml", "yaml",
    "diff", "gettext", "go-module", "latex",
})  # fmt: skip


class CommentsConfig(Config):
    """Which share of comments a file may have, and whether headers go."""

    min_share: float = 0.01
    """Of characters that are not white space. Source: StarCoder (arXiv:2305.06161), appendix."""
    max_share: float = 0.80
    """Source: StarCoder, appendix."""
    min_characters: int = 500
    """Shorter files are not judged by their share. Source: own."""
    drop: bool = True
    """Drop files outside the shares; otherwise the share is only recorded."""
    headers: bool = True
    """Move licence headers to the metadata."""


class Comments:
    """Step: judges the share of comments and keeps the licence header aside."""

    def __init__(self, config: CommentsConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> Ruling:
        """Rule about one record."""
        language, text = named_language(record), record.text
        found = comments(text, language)
        header = header_of(text, found) if self.config.headers else ()
        if not tables().syntax.get(language):
            return Ruling()
        cut = {(edit.start, edit.end) for edit in header}
        rest = [piece for piece in found if not any(s <= piece.start < e for s, e in cut)]
        size = filled(text) - sum(filled(text[start:end]) for start, end in cut)
        share = sum(filled(text[p.start : p.end]) for p in rest) / max(1, size)
        metadata = {"comment_share": round(share, 4)}
        if self.config.drop and size >= self.config.min_characters:
            if share > self.config.max_share:
                return Ruling("code: mostly comments", share, metadata=metadata)
            if share < self.config.min_share and not header and language not in MARKUP:
                return Ruling("code: no comments", share, metadata=metadata)
        return Ruling(edits=header, metadata=metadata)


def header_of(text: str, found: list[Piece]) -> tuple[Edit, ...]:
    """The edits that move a file's licence header aside.

    Line comments that follow each other without an empty line are one block; each block before the
    first code goes if it speaks of copyright or licence.
    """
    edits, at = [], 0
    for start, end in blocks(text, found):
        if text[at:start].strip() or start > HEADER_CHARACTERS:
            break
        at = end
        if LEGAL.search(text, start, end):
            stop = end + len(text[end : end + 100]) - len(text[end : end + 100].lstrip(" \t\r"))
            stop += text.startswith("\n", stop)
            edits.append(Edit(start, stop, "code: licence header", aside="header"))
    return tuple(edits)


def blocks(text: str, found: list[Piece]) -> list[tuple[int, int]]:
    """Comments before `HEADER_CHARACTERS`, those on lines one after the other taken together."""
    merged: list[tuple[int, int]] = []
    for piece in found:
        if piece.start > HEADER_CHARACTERS:
            break
        start = piece.start
        if start == 0 and KEPT_FIRST.match(text):
            merged.append((start, piece.end))  # a line that the interpreter reads is a block alone
            continue
        between = text[merged[-1][1] : start] if merged else "x"
        first = text[merged[-1][0] : merged[-1][0] + 2] if merged else ""
        joins = not between.strip() and between.count("\n") <= 1 and not first.startswith("#!")
        if joins and not KEPT_FIRST.match(text[merged[-1][0] : merged[-1][1]]):
            merged[-1] = (merged[-1][0], piece.end)
        else:
            merged.append((start, piece.end))
    return merged


def filled(text: str) -> int:
    """Characters that are not white space."""
    return len(text) - sum(map(text.count, " \t\r\n"))
