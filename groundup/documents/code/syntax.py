"""Syntax checks: parse errors, unbalanced brackets, merge markers, undefined names.

Python is parsed and its scopes are searched for undefined names; JSON, TOML and XML are parsed;
elsewhere brackets are balanced outside comments and strings. The results go to the metadata, and
nothing is dropped unless configured: incorrect code can still be useful. Python's own `ast` and
`symtable` are used, so syntax of a newer Python is reported and not checked. pyflakes finds more,
most of it style (unused imports, format strings).
"""

import ast
import builtins
import json
import re
import symtable
import sys
import tomllib
import warnings
from pathlib import Path
from typing import NamedTuple
from xml.parsers import expat

from groundup.core import Config

from ..patterns import compile_patterns, read_patterns
from ..record import Record, StepResult
from .language import blank_out, code_language_of, comments_and_strings

BRACKETS = re.compile(r"[()\[\]{}]")
OPENS = {")": "(", "]": "[", "}": "{"}
_FILE = Path(__file__).with_name("syntax.toml")
_LISTS, RE = read_patterns(_FILE), compile_patterns(_FILE)
PREDEFINED_NAMES = frozenset(dir(builtins)) | frozenset(_LISTS["predefined_names"])
BALANCED_LANGUAGES = frozenset(_LISTS["balanced_languages"])
MAX_PARSED_CHARACTERS = 2_000_000
# Syntax of newer Pythons, which an older interpreter rejects.
NEWER_SYNTAX = (
    ((3, 12), "type parameters", r"\s*(?:type\s+\w+\s*[\[=]|(?:async\s+def|def|class)\s+\w+\s*\[)"),
    ((3, 14), "template strings", r".*\b(?:[rR]?[tT]|[tT][rR])[\"']"),
    ((3, 14), "except without parentheses",
     r"\s*except\*?\s+[\w.]+(?:\s*,\s*(?:\w+\.)*[A-Z]\w*)+\s*,?\s*:"),
    ((3, 15), "lazy imports", r"\s*lazy\s+(?:import|from)\s"),
)  # fmt: skip
# By quote: fields of f-strings that any Python parses, and those that only 3.12 does (with that
# quote, a backslash, a comment or a newline inside).
F_STRING_FIELDS = {
    quote: (
        re.compile(rf"\{{[^{{}}{quote}\\#]*\}}"),
        re.compile(
            rf"\b(?:[rR]?[fF]|[fF][rR]){quote}(?:[^{{{quote}\\]|\\.|\{{\{{)*"
            rf"\{{(?:[^}}{quote}]*(?:{quote}|$)|[^}}]*[\\#])"
        ),
    )
    for quote in "\"'"
}


class SyntaxCheckConfig(Config):
    """Which files to drop."""

    drop_conflicts: bool = False
    """Drop files with merge conflict markers. Source: the pipeline's owner decides."""
    drop_unparsed: bool = False
    """Drop files that do not parse."""
    max_undefined: int = -1
    """Drop Python files with more undefined names; -1 drops none. Source: own judgement."""
    max_unbalanced: float = 1.0
    """Drop files with a larger share of unbalanced brackets; 1 drops none. Source: for a parser's
    error nodes, DeepSeek-Coder and others use .01."""


class _ParseResult(NamedTuple):
    error: str = ""  # Empty if the file parses
    undefined_names: tuple[str, ...] = ()
    newer_syntax: str = ""  # Syntax that only a newer Python parses; the file was not checked


class SyntaxCheck:
    """Step `code.syntax`: records syntax errors, and drops files if configured."""

    def __init__(self, config: SyntaxCheckConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> StepResult:
        text, language, config = record.text, code_language_of(record), self.config
        conflicts = _merge_conflicts(text)
        metadata: dict[str, object] = {"merge_conflicts": conflicts}
        checked = _check_syntax(text, language)
        if checked is not None and checked.newer_syntax:
            metadata |= {"newer_syntax": checked.newer_syntax}
        elif checked is not None:
            metadata |= {"parses": not checked.error, "parse_error": checked.error}
            if language == "python" and not checked.error:
                metadata |= {"undefined_names": list(checked.undefined_names[:20])}
        share = _unbalanced_share(text, language)
        if share is not None:
            metadata["unbalanced_share"] = round(share, 4)
        if conflicts and config.drop_conflicts:
            return StepResult("code: merge conflict", conflicts, metadata=metadata)
        if checked and checked.error and config.drop_unparsed:
            return StepResult("code: does not parse", details=checked.error, metadata=metadata)
        if checked and 0 <= config.max_undefined < len(checked.undefined_names):
            names, count = ", ".join(checked.undefined_names[:10]), len(checked.undefined_names)
            return StepResult("code: undefined names", count, names, metadata=metadata)
        if share is not None and share > config.max_unbalanced:
            return StepResult("code: unbalanced brackets", share, metadata=metadata)
        return StepResult(metadata=metadata)


def _merge_conflicts(text: str) -> int:
    """Number of merge conflicts: three markers in order, since a single row of signs is none."""
    if "<<<<<<<" not in text or ">>>>>>>" not in text:
        return 0
    marks = "".join(match[0][0] for match in RE.conflict.finditer(text))
    return len(re.findall("<=>", marks))


def _check_syntax(text: str, language: str) -> _ParseResult | None:
    has_parser = language in ("python", "json", "toml", "xml", "svg")
    if not has_parser or len(text) > MAX_PARSED_CHARACTERS:
        return None
    try:
        if language == "python":
            return _ParseResult(undefined_names=tuple(_undefined_names(text)))
        if language == "json":
            json.loads(text, parse_constant=_reject_constant)
        elif language == "toml":
            tomllib.loads(text)
        else:
            _parse_xml(text)
    except (SyntaxError, ValueError, expat.ExpatError) as error:
        if isinstance(error, SyntaxError) and (newer := _newer_syntax(text, error)):
            return _ParseResult(newer_syntax=newer)
        old = language == "python" and RE.python_2_statement.search(text)
        return _ParseResult(f"{'Python 2: ' if old else ''}{error}"[:200])
    except (RecursionError, MemoryError):
        return _ParseResult("nested too deep")
    return _ParseResult()


def _newer_syntax(text: str, error: SyntaxError) -> str:
    """The newer Python syntax at a syntax error; empty if there is none."""
    lines = text.split("\n")
    number = error.lineno or 0
    line = lines[number - 1][:2_000] if 0 < number <= len(lines) else ""
    for since, name, written in NEWER_SYNTAX:
        if sys.version_info < since and re.match(written, line):
            return f"{name} (Python {since[0]}.{since[1]})"
    nested = any(new.search(plain.sub("", line)) for plain, new in F_STRING_FIELDS.values())
    return "f-strings (Python 3.12)" if nested and sys.version_info < (3, 12) else ""


def _reject_constant(name: str) -> None:
    """Raise ValueError: Python accepts NaN and Infinity, RFC 8259 does not."""
    raise ValueError(f"{name} is not JSON")


def _parse_xml(text: str) -> None:
    """Check well-formedness; a file that declares entities is rejected."""
    parser = expat.ParserCreate()
    parser.UseForeignDTD(False)

    def refuse(*declared: object) -> None:
        raise ValueError("declares entities")

    parser.EntityDeclHandler = refuse
    parser.Parse(text.encode("utf-8", "surrogatepass"), True)


def _undefined_names(text: str) -> list[str]:
    """Undefined names of a Python file, sorted."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(text)
        if any(isinstance(n, ast.ImportFrom) and n.names[0].name == "*" for n in ast.walk(tree)):
            return []
        top = symtable.symtable(text, "file", "exec")
    tables = [top]
    for table in tables:  # the list grows: all scopes, without recursion
        tables += table.get_children()
    symbols = [symbol for table in tables for symbol in table.get_symbols()]
    bound = {s.get_name() for s in symbols if s.is_declared_global()}
    bound |= {s.get_name() for s in top.get_symbols()
              if s.is_assigned() or s.is_imported() or s.is_namespace()}  # fmt: skip
    used = {s.get_name() for s in symbols if s.is_referenced() and s.is_global()} - bound
    used |= _undefined_annotation_names(tree, symbols)
    return sorted(used - PREDEFINED_NAMES - _guarded_names(tree))


def _undefined_annotation_names(tree: ast.AST, symbols: list[symtable.Symbol]) -> set[str]:
    """Undefined names in annotations that `from __future__` hides from symtable."""
    imports = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    futures = {a.name for n in imports if n.module == "__future__" for a in n.names}
    if "annotations" not in futures:
        return set()
    used: set[str] = set()
    for node in ast.walk(tree):
        notes = [getattr(node, name, None) for name in ("annotation", "returns")]
        for note in filter(None, notes):
            used |= {n.id for n in ast.walk(note) if isinstance(n, ast.Name)}
    bound = {s.get_name() for s in symbols if s.is_assigned() or s.is_imported()}
    return used - bound


def _guarded_names(tree: ast.AST) -> set[str]:
    """Names used under `except NameError`, which are not mistakes."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Try) and any(
            handler.type is None or "NameError" in ast.unparse(handler.type)
            for handler in node.handlers
        ):
            for inner in node.body:
                names |= {n.id for n in ast.walk(inner) if isinstance(n, ast.Name)}
    return names


def _unbalanced_share(text: str, language: str) -> float | None:
    """Share of brackets without a partner, outside comments and strings."""
    if language not in BALANCED_LANGUAGES:
        return None
    code = blank_out(text, list(comments_and_strings(text, language)))
    brackets, open, unmatched = BRACKETS.findall(code), [], 0
    for bracket in brackets:
        if bracket not in OPENS:
            open.append(bracket)
        elif open and open[-1] == OPENS[bracket]:
            open.pop()
        else:
            unmatched += 1
    return (unmatched + len(open)) / len(brackets) if brackets else 0.0
