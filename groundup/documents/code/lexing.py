"""Comments and strings of a file, found by one linear pattern for each family of syntaxes.

Good enough to count, to tell a marker in a comment from the same words in a string, and to balance
brackets; not a parser. Chosen over pygments (one Python call a token and some patterns that
backtrack) because a corpus is lexed whole: a family is one alternation in which every branch, once
begun, takes characters until its end or the text's, so no text is read twice.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from .language import tables

DOUBLE = r'"[^"\\\n]*(?:\\[\s\S][^"\\\n]*)*"?'
SINGLE = r"'[^'\\\n]*(?:\\[\s\S][^'\\\n]*)*'?"
DOUBLE_LONG = r'"[^"\\]*(?:\\[\s\S][^"\\]*)*"?'
SINGLE_LONG = r"'[^'\\]*(?:\\[\s\S][^'\\]*)*'?"
BACKTICK = r"`[^`\\]*(?:\\[\s\S][^`\\]*)*`?"
CHARACTER = r"'(?:\\[^\n]{1,10}?|[^\\'\n])'"
BLOCK = r"/\*[\s\S]*?(?:\*/|\Z)"
LINE = r"//[^\n]*"
HASH = r"\#[^\n]*"
TRIPLE = r'"""[\s\S]*?(?:"""|\Z)|\'\'\'[\s\S]*?(?:\'\'\'|\Z)'
DOCSTRING = r'^[ \t]*(?:[rRuU]?)(?:"""[\s\S]*?(?:"""|\Z)|\'\'\'[\s\S]*?(?:\'\'\'|\Z))'
JS_PATTERN = (
    r"(?<=[(,=:\[!&|?{};\n])[ \t]*/(?![*/\s])[^/\\\n\[]*"
    r"(?:(?:\\.|\[[^\]\\\n]*(?:\\.[^\]\\\n]*)*\])[^/\\\n\[]*)*/?"
)

# Family: the branches that are comments, the branches that are strings.
FAMILIES = {
    "c": (f"{BLOCK}|{LINE}", f'R"\\([\\s\\S]*?(?:\\)"|\\Z)|{DOUBLE}|{CHARACTER}'),
    "go": (f"{BLOCK}|{LINE}", rf"{DOUBLE}|{CHARACTER}|`[^`]*`?"),
    "javascript": (f"{BLOCK}|{LINE}", rf"{DOUBLE}|{SINGLE}|{BACKTICK}|{JS_PATTERN}"),
    "rust": (f"{BLOCK}|{LINE}", rf'\br"[^"]*"?|\br#+"[\s\S]*?(?:"#|\Z)|{DOUBLE_LONG}|{CHARACTER}'),
    "php": (f"{BLOCK}|{LINE}|{HASH}", rf"{DOUBLE_LONG}|{SINGLE_LONG}"),
    "python": (f"{HASH}|{DOCSTRING}", rf"{TRIPLE}|{DOUBLE}|{SINGLE}"),
    "hash": (HASH, rf"{DOUBLE_LONG}|{SINGLE}"),
    "shell": (r"(?:^|(?<=[\s;]))\#[^\n]*", rf'\\.|{DOUBLE_LONG}|\'[^\']*\'?'),
    "ruby": (r"^=begin\b[\s\S]*?(?:^=end\b[^\n]*|\Z)|(?:^|(?<=\s))\#[^\n]*",
             rf"{DOUBLE_LONG}|{SINGLE_LONG}"),
    "perl": (r"^=[a-z]\w*\b[\s\S]*?(?:^=cut\b[^\n]*|\Z)|(?:^|(?<=[\s;]))\#[^\n]*",
             rf"{DOUBLE_LONG}|{SINGLE_LONG}"),
    "sql": (rf"--[^\n]*|{BLOCK}", r"'[^']*'?|\"[^\"\n]*\"?"),
    "lua": (r"--\[(=*)\[[\s\S]*?(?:\]\1\]|\Z)|--[^\n]*",
            rf"{DOUBLE}|{SINGLE}|\[\[[\s\S]*?(?:\]\]|\Z)"),
    "haskell": (r"\{-[\s\S]*?(?:-\}|\Z)|--[^\n]*", rf"{DOUBLE}|{CHARACTER}"),
    "lisp": (r";[^\n]*|\#\|[\s\S]*?(?:\|\#|\Z)", rf"[#?]\\.|{DOUBLE_LONG}"),
    "xml": (r"<!--[\s\S]*?(?:-->|\Z)", r"<!\[CDATA\[[\s\S]*?(?:\]\]>|\Z)"),
    "percent": (r"(?<!\\)%[^\n]*", r"\\\\"),
    "fortran": (r"![^\n]*|^[cC*][^\n]*", r"'[^'\n]*'?|\"[^\"\n]*\"?"),
    "basic": (r"'[^\n]*|^[ \t]*[Rr][Ee][Mm]\b[^\n]*", r'"[^"\n]*"?'),
    "ml": (r"\(\*[\s\S]*?(?:\*\)|\Z)", rf"{DOUBLE_LONG}|{CHARACTER}"),
    "pascal": (rf"\(\*[\s\S]*?(?:\*\)|\Z)|\{{[^}}]*\}}?|{LINE}", r"'[^'\n]*'?"),
    "powershell": (rf"<\#[\s\S]*?(?:\#>|\Z)|{HASH}", r"\"[^\"]*\"?|'[^']*'?"),
    "batch": (r"^[ \t]*@?(?:[Rr][Ee][Mm]\b|::)[^\n]*", r'"[^"\n]*"?'),
    "asm": (rf"{BLOCK}|[;#][^\n]*|{LINE}|^[ \t]*@[^\n]*", DOUBLE),
    "vim": (r'^[ \t]*"[^\n]*', rf"{DOUBLE}|{SINGLE}"),
    "ini": (r"^[ \t]*[#;!][^\n]*", r"\Z(?!\Z)"),
}  # fmt: skip


class Piece(NamedTuple):
    """A comment or a string literal, marks included."""

    is_comment: bool
    start: int
    end: int


@cache
def family_pattern(family: str) -> re.Pattern[str]:
    """One pattern of a family: `comment` or else a string."""
    comments, strings = FAMILIES[family]
    if "\\1" in comments:  # the group `comment` comes first
        comments = comments.replace("\\1", "\\2")
    return re.compile(f"(?P<comment>{comments})|{strings}", re.MULTILINE)


def pieces(text: str, language: str) -> Iterator[Piece]:
    """Yield the comments and strings of a file in order; none where the syntax is not known.

    >>> source = "x = '#no'  # yes"
    >>> [(p.is_comment, source[p.start : p.end]) for p in pieces(source, "python")]
    [(False, "'#no'"), (True, '# yes')]
    """
    family = tables().syntax.get(language, "")
    if not family:
        return
    for found in family_pattern(family).finditer(text):
        if found.end() > found.start():
            yield Piece(found["comment"] is not None, found.start(), found.end())


def comments(text: str, language: str) -> list[Piece]:
    """The comments of a file."""
    return [piece for piece in pieces(text, language) if piece.is_comment]


def without(text: str, taken: list[Piece]) -> str:
    """The text without these pieces, a space in the place of each."""
    kept, at = [], 0
    for piece in taken:
        kept.append(text[at : piece.start])
        at = piece.end
    return " ".join([*kept, text[at:]])
