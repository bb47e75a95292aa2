"""Is a file sound? Parse errors, unbalanced brackets, merge markers, names that nothing defines.

Python is parsed and its scopes are asked which names nobody binds; JSON, TOML and XML are parsed;
elsewhere brackets are balanced outside comments and strings. All is scored in the metadata, and
nothing is dropped unless the pipeline says so: unsound code can still teach. Python's `ast` and
`symtable` do it, so what only a newer Python reads is not judged, and that is said. pyflakes finds
more, most of it style (unused imports, format strings).
"""

import ast
import builtins
import json
import re
import symtable
import sys
import tomllib
import warnings
from collections.abc import Iterator
from typing import NamedTuple
from xml.parsers import expat

from groundup.core import Config

from ..record import Record, Ruling
from .language import named_language
from .lexing import pieces, without

CONFLICT = re.compile(
    r"(?<![^\n\r])(?:<{7}(?: [^\n\r]*)?|={7}|>{7}(?: [^\n\r]*)?)(?![^\n\r])"
)  # a line may end as Unix, Windows or old Macs end it
BRACKETS = re.compile(r"[()\[\]{}]")
OPENS = {")": "(", "]": "[", "}": "{"}
# Names that a module or a tool gives and no code binds.
GIVEN = frozenset(dir(builtins)) | {
    "__file__", "__name__", "__doc__", "__path__", "__package__", "__spec__", "__loader__",
    "__builtins__", "__annotations__", "__debug__", "__class__", "WindowsError", "reveal_type",
    "get_ipython", "display", "__module__", "__qualname__", "__classdict__",
}  # fmt: skip
# Where a shell's `case` or a template leaves some open, balance says nothing.
BALANCED = frozenset({
    "javascript", "typescript", "java", "c", "c++", "c#", "go", "rust", "kotlin", "scala", "swift",
    "css", "php", "lua", "r", "dart", "protobuf", "julia", "emacs-lisp", "common-lisp", "scheme",
})  # fmt: skip
MAX_PARSED = 2_000_000
PRINT = re.compile(
    r"^[ \t]*(?:print[ \t]+[\"'\w]|exec[ \t]+[\"'\w]|raise \w+,|except \w+[ \t]*,[ \t]*[a-z_]\w*:)",
    re.MULTILINE,
)
# What Python has learnt since 3.11: an interpreter older than that refuses the line.
NEWER = (
    ((3, 12), "type parameters", r"\s*(?:type\s+\w+\s*[\[=]|(?:async\s+def|def|class)\s+\w+\s*\[)"),
    ((3, 14), "template strings", r".*\b(?:[rR]?[tT]|[tT][rR])[\"']"),
    ((3, 14), "except without parentheses",
     r"\s*except\*?\s+[\w.]+(?:\s*,\s*(?:\w+\.)*[A-Z]\w*)+\s*,?\s*:"),
    ((3, 15), "lazy imports", r"\s*lazy\s+(?:import|from)\s"),
)  # fmt: skip
# A field of an f-string, by its quote, which holds that quote, a backslash, a comment or a newline.
FIELDS = {
    quote: (
        re.compile(rf"\{{[^{{}}{quote}\\#]*\}}"),  # those that any Python reads
        re.compile(
            rf"\b(?:[rR]?[fF]|[fF][rR]){quote}(?:[^{{{quote}\\]|\\.|\{{\{{)*"
            rf"\{{(?:[^}}{quote}]*(?:{quote}|$)|[^}}]*[\\#])"
        ),
    )
    for quote in "\"'"
}


class SyntaxConfig(Config):
    """What becomes of unsound files."""

    drop_conflicts: bool = False
    """Drop files with a merge's markers. Source: a decision of the pipeline's owner."""
    drop_unparsed: bool = False
    """Drop files that their language's parser refuses."""
    max_undefined: int = -1
    """Drop Python files with more names that nothing defines; -1 drops none. Source: own
    judgement."""
    max_unbalanced: float = 1.0
    """Drop files with a larger share of unbalanced brackets; 1 drops none. Source: for a parser's
    error nodes, DeepSeek-Coder and others use .01."""


class Checked(NamedTuple):
    """What a parser says."""

    error: str = ""
    """Empty if the file parses."""
    undefined: tuple[str, ...] = ()
    newer: str = ""
    """What only a newer Python than this one reads: the file was not judged."""


class Syntax:
    """Step: scores a file's soundness."""

    def __init__(self, config: SyntaxConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> Ruling:
        """Rule about one record."""
        text, language, config = record.text, named_language(record), self.config
        conflicts = merge_conflicts(text)
        metadata: dict[str, object] = {"merge_conflicts": conflicts}
        checked = check(text, language)
        if checked is not None and checked.newer:
            metadata |= {"newer_syntax": checked.newer}
        elif checked is not None:
            metadata |= {"parses": not checked.error, "parse_error": checked.error}
            if language == "python" and not checked.error:
                metadata |= {"undefined_names": list(checked.undefined[:20])}
        share = unbalanced(text, language)
        if share is not None:
            metadata["unbalanced_share"] = round(share, 4)
        if conflicts and config.drop_conflicts:
            return Ruling("code: merge conflict", conflicts, metadata=metadata)
        if checked and checked.error and config.drop_unparsed:
            return Ruling("code: does not parse", details=checked.error, metadata=metadata)
        if checked and 0 <= config.max_undefined < len(checked.undefined):
            names = ", ".join(checked.undefined[:10])
            return Ruling("code: undefined names", len(checked.undefined), names, metadata=metadata)
        if share is not None and share > config.max_unbalanced:
            return Ruling("code: unbalanced brackets", share, metadata=metadata)
        return Ruling(metadata=metadata)


def merge_conflicts(text: str) -> int:
    """How many conflicts a merge left: its three marks in order, for a lone row of signs is none.

    >>> merge_conflicts("<<<<<<< HEAD\\na\\n=======\\nb\\n>>>>>>> theirs\\n")
    1
    """
    if "<<<<<<<" not in text or ">>>>>>>" not in text:
        return 0
    marks = "".join(found[0][0] for found in CONFLICT.finditer(text))
    return len(re.findall("<=>", marks))


def check(text: str, language: str) -> Checked | None:
    """What the language's own parser says; None where there is none here."""
    if language not in ("python", "json", "toml", "xml", "svg") or len(text) > MAX_PARSED:
        return None
    try:
        if language == "python":
            return Checked(undefined=tuple(undefined_names(text)))
        if language == "json":
            json.loads(text, parse_constant=refuse_constant)
        elif language == "toml":
            tomllib.loads(text)
        else:
            parse_xml(text)
    except (SyntaxError, ValueError, expat.ExpatError) as error:
        if isinstance(error, SyntaxError) and (newer := newer_syntax(text, error)):
            return Checked(newer=newer)
        old = language == "python" and PRINT.search(text)
        return Checked(f"{'Python 2: ' if old else ''}{error}"[:200])
    except (RecursionError, MemoryError):
        return Checked("nested too deep")
    return Checked()


def newer_syntax(text: str, error: SyntaxError) -> str:
    """Which syntax newer than this interpreter's stands where it stopped reading; or nothing.

    >>> newer_syntax("x = 1", SyntaxError("", ("", 1, 1, "")))
    ''
    """
    lines = text.split("\n")
    number = error.lineno or 0
    line = lines[number - 1][:2_000] if 0 < number <= len(lines) else ""
    for since, name, written in NEWER:
        if sys.version_info < since and re.match(written, line):
            return f"{name} (Python {since[0]}.{since[1]})"
    nested = any(new.search(plain.sub("", line)) for plain, new in FIELDS.values())
    return "f-strings (Python 3.12)" if nested and sys.version_info < (3, 12) else ""


def refuse_constant(name: str) -> None:
    """Raise: Python reads NaN and Infinity, RFC 8259 knows neither."""
    raise ValueError(f"{name} is no JSON")


def parse_xml(text: str) -> None:
    """Parse without building anything; entities that are declared in the file are not expanded."""
    parser = expat.ParserCreate()
    parser.UseForeignDTD(False)

    def refuse(*declared: object) -> None:
        raise ValueError("declares entities")

    parser.EntityDeclHandler = refuse
    parser.Parse(text.encode("utf-8", "surrogatepass"), True)


def undefined_names(text: str) -> list[str]:
    """Names that a Python file uses and nobody binds, sorted.

    >>> undefined_names("import os\\ndef f(a):\\n    return a + os.sep + b")
    ['b']
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(text)
        if any(isinstance(n, ast.ImportFrom) and n.names[0].name == "*" for n in ast.walk(tree)):
            return []
        top = symtable.symtable(text, "file", "exec")
    tables = list(scopes(top))
    bound = {s.get_name() for s in top.get_symbols() if s.is_assigned() or s.is_imported()}
    for table in tables:
        bound |= {s.get_name() for s in table.get_symbols() if s.is_declared_global()}
        bound |= {s.get_name() for s in top.get_symbols() if s.is_namespace()}
    guarded = guarded_names(tree)
    missing = set()
    for table in tables:
        for symbol in table.get_symbols():
            name = symbol.get_name()
            if symbol.is_referenced() and symbol.is_global() and name not in bound:
                missing.add(name)
    return sorted((missing | unknown_annotations(tree, tables)) - GIVEN - guarded)


def unknown_annotations(tree: ast.AST, tables: list[symtable.SymbolTable]) -> set[str]:
    """Names that no scope binds, in annotations that `from __future__` keeps from symtable."""
    imports = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    futures = {a.name for n in imports if n.module == "__future__" for a in n.names}
    if "annotations" not in futures:
        return set()
    used: set[str] = set()
    for node in ast.walk(tree):
        notes = [getattr(node, name, None) for name in ("annotation", "returns")]
        for note in filter(None, notes):
            used |= {n.id for n in ast.walk(note) if isinstance(n, ast.Name)}
    symbols = (symbol for table in tables for symbol in table.get_symbols())
    bound = {s.get_name() for s in symbols if s.is_assigned() or s.is_imported()}
    return used - bound


def scopes(top: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    """Yield a scope and all inside it, without recursion."""
    waiting = [top]
    while waiting:
        table = waiting.pop()
        yield table
        waiting += table.get_children()


def guarded_names(tree: ast.AST) -> set[str]:
    """Names tried under `except NameError`, or deleted: their use is no mistake."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Try) and any(
            handler.type is None or "NameError" in ast.unparse(handler.type)
            for handler in node.handlers
        ):
            for inner in node.body:
                found |= {n.id for n in ast.walk(inner) if isinstance(n, ast.Name)}
    return found


def unbalanced(text: str, language: str) -> float | None:
    """Share of brackets without a partner, outside comments and strings.

    >>> unbalanced("f(a[0]) { /* ( */", "c")
    0.2
    """
    if language not in BALANCED:
        return None
    code = without(text, list(pieces(text, language)))
    found, open, lost = BRACKETS.findall(code), [], 0
    for bracket in found:
        if bracket not in OPENS:
            open.append(bracket)
        elif open and open[-1] == OPENS[bracket]:
            open.pop()
        else:
            lost += 1
    return (lost + len(open)) / len(found) if found else 0.0
