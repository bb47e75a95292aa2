"""Comments and strings of a file, by one linear pattern per family of syntaxes.

Sufficient for counting, for distinguishing comments from strings, and for balancing brackets; not a
parser. Preferred to pygments (a Python call per token, and patterns that backtrack) because every
file of a corpus is lexed: a family is one alternation, each branch of which consumes characters up
to its end or the text's, so no text is read twice.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from .language import language_tables

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

# Family -> pattern of comments, pattern of strings.
SYNTAX_FAMILIES = {
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


class CommentOrString(NamedTuple):
    """A comment or a string literal, with its delimiters."""

    is_comment: bool
    start: int
    end: int


@cache
def _family_pattern(family: str) -> re.Pattern[str]:
    """The pattern of a family; the group `comment` matches comments."""
    comments, strings = SYNTAX_FAMILIES[family]
    if "\\1" in comments:  # the group `comment` comes first
        comments = comments.replace("\\1", "\\2")
    return re.compile(f"(?P<comment>{comments})|{strings}", re.MULTILINE)


def comments_and_strings(text: str, language: str) -> Iterator[CommentOrString]:
    """Yield the comments and strings of a file in order; none if the syntax is unknown.

    >>> source = "x = '#no'  # yes"
    >>> [(p.is_comment, source[p.start : p.end]) for p in comments_and_strings(source, "python")]
    [(False, "'#no'"), (True, '# yes')]
    """
    family = language_tables().syntax_families.get(language, "")
    if not family:
        return
    for match in _family_pattern(family).finditer(text):
        if match.end() > match.start():
            yield CommentOrString(match["comment"] is not None, match.start(), match.end())


def find_comments(text: str, language: str) -> list[CommentOrString]:
    """The comments of a file."""
    return [piece for piece in comments_and_strings(text, language) if piece.is_comment]


def blank_out(text: str, removed: list[CommentOrString]) -> str:
    """The text with each of these comments or strings replaced by a space."""
    kept, at = [], 0
    for piece in removed:
        kept.append(text[at : piece.start])
        at = piece.end
    return " ".join([*kept, text[at:]])
