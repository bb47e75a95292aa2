"""Source files: limits on lines, letters and comments, the licence header, and generated code.

The header is the comments on copyright or licence before any code. It moves to the metadata under
`header`, so the corpus does not repeat it a million times and the record still has it. Knows
nothing of which licence a header states (see licences/texts.py).

Generated files are recognised by names and paths (lock files, dependencies, output of parsers) or
by how they begin (generated.txt, mostly GitHub linguist's rules). A marker counts only in a comment
near the top, so code that searches for such markers is kept.
"""

import re
from pathlib import Path, PurePosixPath

from groundup.core import Config

from ..patterns import compile_patterns
from ..record import PASS, Record, StepResult, TextEdit
from .language import CommentOrString, code_language_of, find_comments, language_tables

NOT_ALPHANUMERIC = re.compile(r"[\W_]+")
DIGITS = re.compile(r"\d+")
# Languages with long lines of prose or data; the limits on lines do not apply (StarCoder2).
PROSE_LANGUAGES = frozenset(
    {"markdown", "html", "text", "latex", "restructuredtext", "notebook", "xml", "json"}
)


class CodeQualityConfig(Config):
    """Limits for a source file."""

    max_line: int = 1000
    """Characters of the longest line. Source: The Stack, StarCoder (arXiv:2305.06161)."""
    max_mean_line: float = 100.0
    """Characters of the mean line. Source: The Stack, StarCoder."""
    min_alphanumeric_share: float = 0.25
    """Minimum share of letters and digits. Source: The Stack, StarCoder."""
    min_alphabetic_share: float = 0.25
    """Minimum share of letters. Source: StarCoder2 (arXiv:2402.19173)."""
    max_lines: int = 100_000
    """Source: StarCoder2."""
    min_characters: int = 10
    """Shorter files are dropped. Source: own."""


class CodeQuality:
    """Step `code.quality`: drops files outside the limits, and records the measures."""

    def __init__(self, config: CodeQualityConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> StepResult:
        text, config = record.text, self.config
        if len(text.strip()) < config.min_characters:
            return StepResult("code: too short", len(text))
        lines = text.split("\n")
        lengths = list(map(len, lines))
        longest, mean = max(lengths), len(text) / len(lines)
        alphanumeric = len(NOT_ALPHANUMERIC.sub("", text))
        letters = alphanumeric - sum(map(len, DIGITS.findall(text)))
        limits = (
            ("code: too many lines", len(lines), len(lines) > config.max_lines),
            ("code: line too long", longest, longest > config.max_line),
            ("code: lines long on average", mean, mean > config.max_mean_line),
            ("code: few letters and digits", alphanumeric / len(text),
             alphanumeric < config.min_alphanumeric_share * len(text)),
            ("code: few letters", letters / len(text),
             letters < config.min_alphabetic_share * len(text)),
        )  # fmt: skip
        prose = code_language_of(record) in PROSE_LANGUAGES
        for reason, value, is_over in limits:
            if is_over and not (prose and "line" in reason):
                return StepResult(reason, float(value))
        share = round(alphanumeric / len(text), 4)
        measured = {"lines": len(lines), "mean_line": round(mean, 2), "max_line": longest}
        return StepResult(metadata=measured | {"alphanumeric_share": share})


HEADER_CHARACTERS = 20_000
# Languages in which most files have no comments.
UNCOMMENTED_LANGUAGES = frozenset({
    "css", "html", "ini", "json", "markdown", "protobuf", "svg", "toml", "vue", "xml", "yaml",
    "diff", "gettext", "go-module", "latex",
})  # fmt: skip


class CommentFilterConfig(Config):
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


class CommentFilter:
    """Step `code.comments`: checks the share of comments, moves the licence header."""

    def __init__(self, config: CommentFilterConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> StepResult:
        language, text = code_language_of(record), record.text
        all_comments = find_comments(text, language)
        header = _licence_header_edits(text, all_comments) if self.config.headers else ()
        if not language_tables().syntax_families.get(language):
            return StepResult()
        moved = {(edit.start, edit.end) for edit in header}
        rest = [c for c in all_comments if not any(s <= c.start < e for s, e in moved)]
        size = _count_non_space(text) - sum(_count_non_space(text[s:e]) for s, e in moved)
        share = sum(_count_non_space(text[c.start : c.end]) for c in rest) / max(1, size)
        metadata = {"comment_share": round(share, 4)}
        if self.config.drop and size >= self.config.min_characters:
            if share > self.config.max_share:
                return StepResult("code: mostly comments", share, metadata=metadata)
            is_bare = share < self.config.min_share and not header
            if is_bare and language not in UNCOMMENTED_LANGUAGES:
                return StepResult("code: no comments", share, metadata=metadata)
        return StepResult(edits=header, metadata=metadata)


def _licence_header_edits(text: str, comments: list[CommentOrString]) -> tuple[TextEdit, ...]:
    """The edits that move a file's licence header to the metadata.

    Consecutive line comments without an empty line between them are one block; each block before
    the first code is moved if it mentions copyright or licence.
    """
    edits, at = [], 0
    for start, end in _comment_blocks(text, comments):
        if text[at:start].strip() or start > HEADER_CHARACTERS:
            break
        at = end
        if RE.legal.search(text, start, end):
            stop = end + len(text[end : end + 100]) - len(text[end : end + 100].lstrip(" \t\r"))
            stop += text.startswith("\n", stop)
            edits.append(TextEdit(start, stop, "code: licence header", metadata_key="header"))
    return tuple(edits)


def _comment_blocks(text: str, comments: list[CommentOrString]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for comment in comments:
        if comment.start > HEADER_CHARACTERS:
            break
        start = comment.start
        if start == 0 and RE.interpreter_line.match(text):
            merged.append((start, comment.end))  # a line for the interpreter is its own block
            continue
        between = text[merged[-1][1] : start] if merged else "x"
        first = text[merged[-1][0] : merged[-1][0] + 2] if merged else ""
        joins = not between.strip() and between.count("\n") <= 1 and not first.startswith("#!")
        if joins and not RE.interpreter_line.match(text[merged[-1][0] : merged[-1][1]]):
            merged[-1] = (merged[-1][0], comment.end)
        else:
            merged.append((start, comment.end))
    return merged


def _count_non_space(text: str) -> int:
    return len(text) - sum(map(text.count, " \t\r\n"))


def _join_alternatives(kind: str) -> re.Pattern[str]:
    text = (Path(__file__).parent / "generated.txt").read_text(encoding="utf-8")
    rows = (line.partition("\t") for line in text.splitlines() if not line.startswith("#"))
    return re.compile("|".join(row[2] for row in rows if row[0] == kind), re.IGNORECASE)


GENERATED_NAME, GENERATED_PATH, GENERATED_FILE, GENERATED_MARKER = map(
    _join_alternatives, ("name", "path", "file", "marker")
)
RE = compile_patterns(Path(__file__).with_name("quality.toml"))
# A comment quoted in a docstring, and in a comment.
QUOTED_COMMENT = (
    re.compile(r"(?://|#|/\*)[^\w\n]*$"),
    re.compile(r"[*#/;][ \t]+(?://|#)[^\w\n]*$"),
)
COMMENT_OPENS = re.compile(r"[rRuU]?(?:\"\"\"|''')?[/*#;%!<>\s-]*")


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
        if (
            len(names := RE.parser_table.findall(record.text[:100_000]))
            >= self.config.min_table_names
        ):
            return StepResult("code: generated", details=f"parser tables: {', '.join(names[:3])}")
        return PASS


def _find_marker(top: str, record: Record) -> str:
    if not GENERATED_MARKER.search(top):
        return ""
    language = code_language_of(record)
    ranges = [(comment.start, comment.end) for comment in find_comments(top, language)]
    if not language_tables().syntax_families.get(language):
        ranges = [match.span() for match in RE.comment_line.finditer(top)]
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
    return bool(RE.mention_words.search(RE.sentence.split(before)[-1]) or foreign.search(before))
