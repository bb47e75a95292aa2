"""Generated code: files that a program wrote.

Lock files, dependencies and the output of parsers are recognised by their names and paths, other
files by how they begin (generated.txt, mostly GitHub linguist's rules). A marker counts only in a
comment near the top, so code that searches for such markers is kept.
"""

import re
from pathlib import Path, PurePosixPath

from groundup.core import Config

from ..record import PASS, Record, StepResult
from .language import code_language_of, find_comments, language_tables


def _join_alternatives(kind: str) -> re.Pattern[str]:
    text = (Path(__file__).parent / "generated.txt").read_text(encoding="utf-8")
    rows = (line.partition("\t") for line in text.splitlines() if not line.startswith("#"))
    return re.compile("|".join(row[2] for row in rows if row[0] == kind), re.IGNORECASE)


GENERATED_NAME, GENERATED_PATH, GENERATED_FILE, GENERATED_MARKER = map(
    _join_alternatives, ("name", "path", "file", "marker")
)
# Comments of a file of unknown syntax: lines that begin with one of these.
COMMENT_LINE = re.compile(
    r"^[ \t]*(?:[%#;*\"!]|//|--|/\*|<!--|\.\\\"|\{#|REM\b|dnl\b)[^\n]*", re.MULTILINE
)
# A marker is only mentioned if these words precede it in its sentence, or an opening quote.
MENTION_WORDS = re.compile(
    r"\b(?:whether|if|when|unless|not|never|detect(?:s|ed|ing)?|checks?(?: for| that)|looks? for"
    r"|skips|skipping|ignores|ignoring|recogni[sz]es?|finds|matches|matching|markers?|such as|like"
    r"|e\.g\.)\b"
    r"|[\"'`“‘](?://|\#|/\*)?[ ]?$",
    re.IGNORECASE,
)
# A comment quoted in a docstring, and in a comment.
QUOTED_COMMENT = (
    re.compile(r"(?://|#|/\*)[^\w\n]*$"),
    re.compile(r"[*#/;][ \t]+(?://|#)[^\w\n]*$"),
)
COMMENT_OPENS = re.compile(r"[rRuU]?(?:\"\"\"|''')?[/*#;%!<>\s-]*")
SENTENCE = re.compile(r"[.!?;](?=\s)|\n[ \t*/#;%!-]*\n")
PARSER_TABLE = re.compile(
    r"\b(?:yy(?:table|defact|pact|pgoto|defgoto|translate|check)|yy_(?:accept|ec|meta|nxt|chk)"
    r"|_lr_(?:action|goto)_items|_lr_signature|serializedATN|peg\$(?:parse|SyntaxError))\b"
)


class GeneratedFilterConfig(Config):
    """When a file counts as generated."""

    max_lines: int = 40
    """Lines from the top in which a marker counts. Source: Go requires it before the package
    clause, StarCoder2 reads 5 lines; licence headers of 30 lines push it down."""
    min_table_names: int = 3
    """Occurrences of names of parser tables that make a file a parser's output. Source: own."""


class GeneratedFilter:
    """Step `code.generated`: drops files that a program wrote."""

    def __init__(self, config: GeneratedFilterConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> StepResult:
        """Process one record."""
        name = PurePosixPath(record.path).name
        # Of 300 characters a line at most, on average.
        top = record.text[: self.config.max_lines * 300].split("\n", self.config.max_lines)
        top = "\n".join(top[: self.config.max_lines])
        if GENERATED_NAME.fullmatch(name) or GENERATED_PATH.search(record.path[-1_000:]):
            return StepResult("code: generated", details=f"its name, {name.lower()}")
        if GENERATED_FILE.match(f"{name}\n{top}"):
            return StepResult("code: generated", details="its first lines")
        if marker := _find_marker(top, record):
            return StepResult("code: generated", details=f"marker: {marker}")
        if record.kind == "notebook" or record.kind == "markdown":
            return PASS
        if len(names := PARSER_TABLE.findall(record.text[:100_000])) >= self.config.min_table_names:
            return StepResult("code: generated", details=f"parser tables: {', '.join(names[:3])}")
        return PASS


def _find_marker(top: str, record: Record) -> str:
    """The marker in a comment of a file's first lines, or an empty string."""
    if not GENERATED_MARKER.search(top):
        return ""
    language = code_language_of(record)
    ranges = [(comment.start, comment.end) for comment in find_comments(top, language)]
    if not language_tables().syntax_families.get(language):
        ranges = [match.span() for match in COMMENT_LINE.finditer(top)]
    block = last = mentioned = 0
    for start, end in ranges:
        if top[last:start].strip() or "\n\n" in top[last:start]:
            block = start  # consecutive comment lines are one block
        last = end
        for match in GENERATED_MARKER.finditer(top, start, end):
            if _is_mention(top, block, match):
                # A mention extends to the end of its line.
                mentioned = top.find("\n", match.end()) % (len(top) + 1)
            elif match.start() >= mentioned:
                return " ".join(match[0].split())[:100]
    return ""


def _is_mention(text: str, start: int, marker: re.Match[str]) -> bool:
    """Whether a marker in the comment from `start` is mentioned rather than used.

    >>> mention, use = "# Checks whether a file was automatically generated", "# @generated"
    >>> [_is_mention(text, 0, GENERATED_MARKER.search(text)) for text in (mention, use)]
    [True, False]
    """
    at = marker.start() + len(marker[0]) - len(marker[0].lstrip(" \t/*#;%!-"))
    opens = COMMENT_OPENS.match(text, start, max(start, at))
    assert opens is not None
    before = text[max(opens.end(), at - 300) : at]
    foreign = QUOTED_COMMENT[not opens[0].lstrip("rRuU").startswith(("'", '"'))]
    return bool(MENTION_WORDS.search(SENTENCE.split(before)[-1]) or foreign.search(before))
