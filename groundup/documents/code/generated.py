"""Generated code: files that a program wrote.

A marker counts only in a comment near the top, so code that searches for such markers is kept.
Lock files and parser output are recognised by their names.
"""

import re
from pathlib import Path, PurePosixPath

from groundup.core import Config

from ..record import PASS, Record, Ruling
from .language import named_language, tables
from .lexing import comments


def alternatives(kind: str) -> re.Pattern[str]:
    """All patterns of a kind in generated.txt as one pattern."""
    text = (Path(__file__).parent / "generated.txt").read_text(encoding="utf-8")
    rows = (line.partition("\t") for line in text.splitlines() if not line.startswith("#"))
    return re.compile("|".join(row[2] for row in rows if row[0] == kind), re.IGNORECASE)


GENERATED_NAMES = alternatives("name")
MARKER = alternatives("marker")
# Comments of a file of unknown syntax: lines that begin with one of these.
COMMENT_LINE = re.compile(
    r"^[ \t]*(?:[%#;*\"!]|//|--|/\*|<!--|\.\\\"|\{#|REM\b|dnl\b)[^\n]*", re.MULTILINE
)
# A marker is only mentioned if these words precede it in its sentence, or an opening quote.
MENTION = re.compile(
    r"\b(?:whether|if|when|unless|not|never|detect(?:s|ed|ing)?|checks?(?: for| that)|looks? for"
    r"|skips|skipping|ignores|ignoring|recogni[sz]es?|finds|matches|matching|markers?|such as|like"
    r"|e\.g\.)\b"
    r"|[\"'`“‘](?://|\#|/\*)?[ ]?$",
    re.IGNORECASE,
)
# A comment quoted in a docstring, and in a comment.
FOREIGN = (re.compile(r"(?://|#|/\*)[^\w\n]*$"), re.compile(r"[*#/;][ \t]+(?://|#)[^\w\n]*$"))
COMMENT_OPENS = re.compile(r"[rRuU]?(?:\"\"\"|''')?[/*#;%!<>\s-]*")
SENTENCE = re.compile(r"[.!?;](?=\s)|\n[ \t*/#;%!-]*\n")
TABLES = re.compile(
    r"\b(?:yy(?:table|defact|pact|pgoto|defgoto|translate|check)|yy_(?:accept|ec|meta|nxt|chk)"
    r"|_lr_(?:action|goto)_items|_lr_signature|serializedATN|peg\$(?:parse|SyntaxError))\b"
)


class GeneratedConfig(Config):
    """When a file counts as generated."""

    lines: int = 40
    """Lines from the top in which a marker counts. Source: Go requires it before the package
    clause, StarCoder2 reads 5 lines; licence headers of 30 lines push it down."""
    tables: int = 3
    """Occurrences of names of parser tables that make a file a parser's output. Source: own."""


class Generated:
    """Step `code.generated`: drops files that a program wrote."""

    def __init__(self, config: GeneratedConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> Ruling:
        """Process one record."""
        name = PurePosixPath(record.path).name.lower()
        if GENERATED_NAMES.fullmatch(name):
            return Ruling("code: generated", details=f"its name, {name}")
        if marker := self.marker(record):
            return Ruling("code: generated", details=f"marker: {marker}")
        if record.kind == "notebook" or record.kind == "markdown":
            return PASS
        if len(names := TABLES.findall(record.text[:100_000])) >= self.config.tables:
            return Ruling("code: generated", details=f"parser tables: {', '.join(names[:3])}")
        return PASS

    def marker(self, record: Record) -> str:
        """The marker in a comment near the top, or an empty string."""
        top = first_lines(record.text, self.config.lines)
        if not MARKER.search(top):
            return ""
        language = named_language(record)
        ranges = [(comment.start, comment.end) for comment in comments(top, language)]
        if not tables().syntax.get(language):
            ranges = [match.span() for match in COMMENT_LINE.finditer(top)]
        block = last = mentioned = 0
        for start, end in ranges:
            if top[last:start].strip() or "\n\n" in top[last:start]:
                block = start  # consecutive comment lines are one block
            last = end
            for match in MARKER.finditer(top, start, end):
                if is_mention(top, block, match):
                    # A mention extends to the end of its line.
                    mentioned = top.find("\n", match.end()) % (len(top) + 1)
                elif match.start() >= mentioned:
                    return " ".join(match[0].split())[:100]
        return ""


def is_mention(text: str, start: int, marker: re.Match[str]) -> bool:
    """Whether a marker in the comment from `start` is mentioned rather than used.

    >>> mention, use = "# Checks whether a file was automatically generated", "# @generated"
    >>> [is_mention(text, 0, MARKER.search(text)) for text in (mention, use)]
    [True, False]
    """
    at = marker.start() + len(marker[0]) - len(marker[0].lstrip(" \t/*#;%!-"))
    opens = COMMENT_OPENS.match(text, start, max(start, at))
    assert opens is not None
    before = text[max(opens.end(), at - 300) : at]
    foreign = FOREIGN[not opens[0].lstrip("rRuU").startswith(("'", '"'))]
    return bool(MENTION.search(SENTENCE.split(before)[-1]) or foreign.search(before))


def first_lines(text: str, lines: int) -> str:
    """The first lines of a text, of 300 characters on average at most."""
    return "\n".join(text[: lines * 300].split("\n", lines)[:lines])
