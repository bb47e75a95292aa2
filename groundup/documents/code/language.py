"""The programming language of a file, and its comments and strings.

The language is decided by name, first line, then by distinctive content. Extensions, file names and
interpreters are listed in languages.txt, with the syntax family of comments and strings, whose
patterns are in languages.toml. An extension that several languages share is decided by a line that
only one of them has. Guesses
nothing: an undecided file has an empty language.

Comments and strings are found by one linear pattern per family of syntaxes: sufficient for counting
and for balancing brackets, not a parser. Preferred to pygments (a Python call per token, and
patterns that backtrack) because every file of a corpus is lexed: each branch of a family's pattern
consumes characters up to its end or the text's, so no text is read twice.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

from pydantic import model_validator

from groundup.core import Config

from ..patterns import read_patterns
from ..record import Record, StepResult

INSPECTED_CHARACTERS = 20_000
ASSIGNMENT = re.compile(r"\s*[\w.\[\]\"', ]+\s(?:=|\+=|-=|:=|::=|==|\|)\s\S")
CODE_LINE = re.compile(
    r"""\s*+(?:>>>|\.\.\.\s|\$\s|@\w|(?:import|from)\s+[\w.]+(?:\s+import\s.*|(?:\s+as\s+\w+)?,?.*)$
    |(?:def|class|async\s+def)\s+\w+.*[:(,]\s*$|(?:if|elif|else|for|while|try|except|finally|with)\b
    [^.]*:\s*(?:\#.*)?$|(?:return|raise|yield|assert|del|pass|break|continue|print)\b[^.!?]*[\w)\]}"']$
    |[\w.]+\([^)]*\)\s*$|[{}()\[\]]+[,;]?\s*$
    |\#\s|<\/?\w+[^>]*>\s*$|[\w-]+:\s*[\w/"'.\[-]+$|(?:sudo|apt|pip|git|cd)\s+\S)""",
    re.VERBOSE,
)
"""Lines of code that do not end in a semicolon or brace, besides assignments."""

SHEBANG = re.compile(r"#!\s*(?:\S*/)?(?:env\s+(?:-\S+\s+|\w+=\S*\s+)*)?(?:\S*/)?([A-Za-z]+)")
MODELINE = re.compile(
    r"-\*-\s*(?:mode:\s*)?([\w+#-]{1,30})[\s;][^\n]{0,200}?-\*-|\bvim?:[^\n]{0,99}?\bft=(\w+)"
)
MODES = {"sh": "bash", "shell-script": "bash", "cperl": "perl", "js2": "javascript", "cpp": "c++"}

_SYNTAX = read_patterns(Path(__file__).with_name("languages.toml"))
SYNTAX_FAMILIES: dict[str, list[str]] = _SYNTAX["families"]
"""Family -> pattern of comments, pattern of strings."""


class CodeLanguageConfig(Config):
    """Which languages to keep."""

    keep: tuple[str, ...] = ()
    """Names as in languages.txt; empty keeps all."""
    unknown: Literal["drop", "keep"] = "keep"
    """Files of unknown language; they are dropped if `keep` is set. `drop_unknown = true` is the
    old spelling of `drop`. Source: the pipeline's owner decides."""

    @model_validator(mode="before")
    @classmethod
    def accept_drop_unknown(cls, values: Any) -> Any:
        """Accept the old setting `drop_unknown`."""
        if isinstance(values, dict) and isinstance(old := values.get("drop_unknown"), bool):
            rest = {name: value for name, value in values.items() if name != "drop_unknown"}
            return {"unknown": "drop" if old else "keep"} | rest
        return values


class DetectedLanguage(NamedTuple):
    """A language, empty if unknown, and the evidence for it."""

    name: str
    by: Literal["name", "first line", "content", ""]


class _LanguageTables(NamedTuple):
    extensions: dict[str, str]
    file_names: dict[str, str]
    interpreters: dict[str, str]
    syntax_families: dict[str, str]


class CodeLanguage:
    """Step `code.language`: records the language of a file as `code_language`."""

    def __init__(self, config: CodeLanguageConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> StepResult:
        found = detect_code_language(record.path, record.text)
        if not found.name and self.config.unknown == "drop":
            return StepResult("code: unknown language")
        if self.config.keep and found.name not in self.config.keep:
            return StepResult("code: another language", details=found.name or "unknown")
        return StepResult(metadata={"code_language": found.name, "code_language_by": found.by})


@cache
def language_tables() -> _LanguageTables:
    """Read languages.txt."""
    result = _LanguageTables({}, {}, {}, {})
    text = (Path(__file__).parent / "languages.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        language, names, interpreters, syntax = line.split("|")
        result.syntax_families[language] = syntax
        for name in names.split():
            is_name = not name.startswith(".") or name in (".bashrc", ".profile", ".clang-format")
            (result.file_names if is_name else result.extensions).setdefault(name, language)
        result.interpreters.update(dict.fromkeys(interpreters.split(), language))
    return result


def detect_code_language(path: str, text: str) -> DetectedLanguage:
    """The language of a file.

    >>> detect_code_language("a/setup.PY", "").name
    'python'
    >>> detect_code_language("run", "#!/usr/bin/env python3\\n").name
    'python'
    >>> detect_code_language("list.h", "template <class T> struct List;").name
    'c++'
    """
    table, name = language_tables(), PurePosixPath(path).name.lower()
    ending = PurePosixPath(name).suffix
    start = text[:INSPECTED_CHARACTERS]
    if name in table.file_names:
        return DetectedLanguage(table.file_names[name], "name")
    for shared, pattern, language in _shared_extensions():
        if ending == shared and pattern.search(start):
            return DetectedLanguage(language, "content")
    if ending in table.extensions:
        return DetectedLanguage(table.extensions[ending], "name")
    stem = name.partition(".")[0]
    if stem in ("dockerfile", "makefile", "readme", "license", "licence", "copying", "changelog"):
        return DetectedLanguage(table.file_names[stem], "name")
    return _detect_by_content(start)


def _detect_by_content(start: str) -> DetectedLanguage:
    table = language_tables()
    if match := SHEBANG.match(start):
        interpreter = match[1].lower()
        if interpreter in table.interpreters:
            return DetectedLanguage(table.interpreters[interpreter], "first line")
    if match := MODELINE.search(start[:1_000]):
        mode = (match[1] or match[2]).lower()
        mode = MODES.get(mode, mode)
        if mode in table.syntax_families:
            return DetectedLanguage(mode, "first line")
    opening = start.lstrip()[:500]
    for pattern, language in _content_beginnings():
        if pattern.match(opening):
            return DetectedLanguage(language, "content")
    return DetectedLanguage("", "")


@cache
def _shared_extensions() -> tuple[tuple[str, re.Pattern[str], str], ...]:
    """Endings that several languages share: the ending, a line that only one has, its name."""
    return tuple(
        (ending, re.compile(pattern, re.MULTILINE), language)
        for ending, pattern, language in _SYNTAX["shared_extensions"]
    )


@cache
def _content_beginnings() -> tuple[tuple[re.Pattern[str], str], ...]:
    beginnings = _SYNTAX["content_beginnings"]
    return tuple((re.compile(pattern, re.IGNORECASE), language) for pattern, language in beginnings)


def code_language_of(record: Record) -> str:
    """The language that `code.language` recorded, else that of path and text."""
    language = record.metadata.get("code_language")
    is_known = isinstance(language, str)
    return language if is_known else detect_code_language(record.path, record.text).name


class CommentOrString(NamedTuple):
    """A comment or a string literal, with its delimiters."""

    is_comment: bool
    start: int
    end: int


@cache
def _family_pattern(family: str) -> re.Pattern[str]:
    comments, strings = SYNTAX_FAMILIES[family]
    comments = comments.replace("\\1", "\\2")  # the group `comment` comes first
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


def looks_like_code(line: str) -> bool:
    """Whether a line of a text looks like code rather than prose; most cost cheap checks alone.

    >>> [looks_like_code(line) for line in ("x = f(1)", "import os", "Import it.", "It is {")]
    [True, True, False, True]
    """
    end = line.rstrip()[-1:]
    if not end or end in ";{}":
        return bool(end)
    is_assignment = ("=" in line or "|" in line) and ASSIGNMENT.match(line)
    return bool(is_assignment or CODE_LINE.match(line))
