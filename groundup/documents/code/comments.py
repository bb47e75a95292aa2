"""Comments: their share of a file, and the licence header, which moves to the metadata.

The header is the comments on copyright or licence before any code. It moves to the metadata under
`header`, so the corpus does not repeat it a million times and the record still has it. Files with
almost no comments, or almost nothing else, are dropped by the share. Knows nothing of which licence
a header states (see licences.py).
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
# Languages in which most files have no comments.
MARKUP = frozenset({
    "css", "html", "ini", "json", "markdown", "protobuf", "svg", "toml", "vue", "xml", "yaml",
    "diff", "gettext", "go-module", "latex",
})  # fmt: skip


class CommentsConfig(Config):
    """Limits on the share of comments, and whether headers are moved."""

    min_share: float = 0.01
    """Of characters that are not white space. Source: StarCoder (arXiv:2305.06161), appendix."""
    max_share: float = 0.80
    """Source: StarCoder, appendix."""
    min_characters: int = 500
    """Shorter files are not dropped by their share. Source: own."""
    drop: bool = True
    """Drop files outside the limits; otherwise only record the share."""
    headers: bool = True
    """Move licence headers to the metadata."""


class Comments:
    """Step `code.comments`: checks the share of comments, moves the licence header."""

    def __init__(self, config: CommentsConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> Ruling:
        """Process one record."""
        language, text = named_language(record), record.text
        all_comments = comments(text, language)
        header = header_of(text, all_comments) if self.config.headers else ()
        if not tables().syntax.get(language):
            return Ruling()
        moved = {(edit.start, edit.end) for edit in header}
        rest = [c for c in all_comments if not any(s <= c.start < e for s, e in moved)]
        size = filled(text) - sum(filled(text[start:end]) for start, end in moved)
        share = sum(filled(text[c.start : c.end]) for c in rest) / max(1, size)
        metadata = {"comment_share": round(share, 4)}
        if self.config.drop and size >= self.config.min_characters:
            if share > self.config.max_share:
                return Ruling("code: mostly comments", share, metadata=metadata)
            if share < self.config.min_share and not header and language not in MARKUP:
                return Ruling("code: no comments", share, metadata=metadata)
        return Ruling(edits=header, metadata=metadata)


def header_of(text: str, comments: list[Piece]) -> tuple[Edit, ...]:
    """The edits that move a file's licence header to the metadata.

    Consecutive line comments without an empty line between them are one block; each block before
    the first code is moved if it mentions copyright or licence.
    """
    edits, at = [], 0
    for start, end in blocks(text, comments):
        if text[at:start].strip() or start > HEADER_CHARACTERS:
            break
        at = end
        if LEGAL.search(text, start, end):
            stop = end + len(text[end : end + 100]) - len(text[end : end + 100].lstrip(" \t\r"))
            stop += text.startswith("\n", stop)
            edits.append(Edit(start, stop, "code: licence header", aside="header"))
    return tuple(edits)


def blocks(text: str, comments: list[Piece]) -> list[tuple[int, int]]:
    """Comments before `HEADER_CHARACTERS`, with those on consecutive lines merged."""
    merged: list[tuple[int, int]] = []
    for comment in comments:
        if comment.start > HEADER_CHARACTERS:
            break
        start = comment.start
        if start == 0 and KEPT_FIRST.match(text):
            merged.append((start, comment.end))  # a line for the interpreter is its own block
            continue
        between = text[merged[-1][1] : start] if merged else "x"
        first = text[merged[-1][0] : merged[-1][0] + 2] if merged else ""
        joins = not between.strip() and between.count("\n") <= 1 and not first.startswith("#!")
        if joins and not KEPT_FIRST.match(text[merged[-1][0] : merged[-1][1]]):
            merged[-1] = (merged[-1][0], comment.end)
        else:
            merged.append((start, comment.end))
    return merged


def filled(text: str) -> int:
    """Number of characters that are not white space."""
    return len(text) - sum(map(text.count, " \t\r\n"))
