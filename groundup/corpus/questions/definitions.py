"""Definitions: the entries of a Python file, its public functions and classes.

The text is parsed, never imported or run. An entry's body is its docstring as written in the file;
docstrings with escapes are skipped, because their text differs from the file's. Fields such as
`:param x:` and items of an `Args:` section become entries of parameters.
"""

import ast
import re
import warnings
from collections.abc import Iterator
from typing import NamedTuple

from groundup.documents import Document

from .blocks import LineBlock, is_prose_block, split_line_blocks
from .entries import DocumentedEntry
from .names import path_module_name
from .plain import PlainText, strip_markup

LINE_END = re.compile(r"\r\n|\r|\n")
OPENING = re.compile(r"[rRuU]{0,2}(\"\"\"|'''|\"|')")
KEYWORD = re.compile(r"(?:async\s+)?(?:def|class)\s+")
FIELD = re.compile(r"(?<!\S):(?:param|raises?|returns?)\b[^:\n]*:[ \t]+(?=\S)")
RESULT = re.compile(r"(?:Returns|Raises):$")
ARGUMENTS = re.compile(r"(?:Args|Arguments|Parameters|Keyword Args|Attributes):$")
ARGUMENT = re.compile(
    r"(?!Return|Raise|Yield|Note|Example)\*{0,2}\w+(?: \([\w\[\], .|]+\))?:\s+(?=[A-Z`])"
)
INDENTED = re.compile(r"^([ \t]+)(?=\S)", re.MULTILINE)

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class QualifiedDefinition(NamedTuple):
    """A definition with its whole name."""

    name: str
    node: Definition


def python_entries(document: Document) -> Iterator[DocumentedEntry]:
    """Yield public functions and classes with docstrings, and their parameters, in order."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in documents are irrelevant here
            module = ast.parse(document.text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    lines = [0, *(end.end() for end in LINE_END.finditer(document.text))]
    for name, node in _public_definitions(module, path_module_name(document.path)):
        span = _docstring_range(document.text, lines, node)
        if span:
            yield from _definition_entries(document, QualifiedDefinition(name, node), lines, span)


def _public_definitions(
    node: ast.Module | ast.ClassDef, outer: str
) -> Iterator[QualifiedDefinition]:
    """Yield definitions whose names do not begin with an underscore, classes' own ones too."""
    for child in node.body:
        if isinstance(child, Definition) and not child.name.startswith(("_", "test")):
            yield QualifiedDefinition(f"{outer}.{child.name}", child)
            if isinstance(child, ast.ClassDef):
                yield from _public_definitions(child, f"{outer}.{child.name}")


def _docstring_range(text: str, lines: list[int], node: Definition) -> tuple[int, int] | None:
    """Characters of a docstring without its quotes; None if there is none or it has escapes."""
    if ast.get_docstring(node, clean=False) is None:
        return None
    value = node.body[0].value  # type: ignore[attr-defined]
    start, end = (
        _character_offset(text, lines, value.lineno, value.col_offset),
        _character_offset(text, lines, value.end_lineno, value.end_col_offset),
    )
    opening = OPENING.match(text, start)
    if opening is None or ("\\" in text[start:end] and "r" not in opening[0].lower()):
        return None
    return opening.end(), end - len(opening[1])


def _character_offset(text: str, lines: list[int], line: int, column: int) -> int:
    """Character at a line, counted from 1, and a column in UTF-8 bytes."""
    start = lines[line - 1]
    if text[start : start + column].isascii():
        return start + column
    return start + len(text[start : start + column].encode()[:column].decode(errors="ignore"))


def _definition_entries(
    document: Document, named: QualifiedDefinition, lines: list[int], span: tuple[int, int]
) -> Iterator[DocumentedEntry]:
    """Yield a definition's entry, then those of the parameters that its docstring explains."""
    text, node = document.text, named.node
    body: list[PlainText] = []
    parameters: list[DocumentedEntry] = []
    for block in split_line_blocks(text, *span):
        if not FIELD.match(block.lines[0]) and (
            is_prose_block(block, "python") or RESULT.match(block.lines[0])
        ):
            body.append(strip_markup(text, block.start, block.end, kind="python"))
        for head, said in (*_docstring_fields(text, block), *_args_items(text, block)):
            name = head.text.split("(")[0].rstrip(": ").split()[-1].lstrip("*")
            if head.text.startswith((":raise", ":return")):
                body.append(
                    strip_markup(text, head.positions[0], said.positions[-1], kind="python")
                )
            else:
                parameters.append(
                    DocumentedEntry(name, "parameter", head, (said,), owner=named.name)
                )
    is_class = isinstance(node, ast.ClassDef)
    keyword = KEYWORD.match(text, _character_offset(text, lines, node.lineno, node.col_offset))
    start = text.index(node.name, keyword.end() if keyword else 0)
    first = node.body[0]
    end = text.rfind(":", start, _character_offset(text, lines, first.lineno, first.col_offset))
    head = strip_markup(text, start, start + len(node.name) if is_class else end, kind="html")
    yield DocumentedEntry(named.name, "class" if is_class else "function", head, tuple(body))
    yield from parameters


def _docstring_fields(text: str, block: LineBlock) -> Iterator[tuple[PlainText, PlainText]]:
    """Yield head and text of each field, such as `:param path:` or `:raises ValueError:`."""
    found = list(FIELD.finditer(text, block.start, block.end))
    ends = [*(field.start() for field in found[1:]), block.end]
    for field, end in zip(found, ends, strict=False):
        yield (
            strip_markup(text, *field.span(), kind="html"),
            strip_markup(text, field.end(), end, kind="python"),
        )


def _args_items(text: str, block: LineBlock) -> Iterator[tuple[PlainText, PlainText]]:
    """Yield head and text of each parameter of an `Args:` section."""
    if len(block.lines) < 2 or not ARGUMENTS.match(block.lines[0]):
        return
    lines = list(INDENTED.finditer(text, text.index("\n", block.start), block.end))
    least = min((len(line[1]) for line in lines), default=0)
    tops = [line.end() for line in lines if len(line[1]) == least]
    for start, end in zip(tops, [*tops[1:], block.end], strict=False):
        if item := ARGUMENT.match(text, start, end):
            yield (
                strip_markup(text, *item.span(), kind="html"),
                strip_markup(text, item.end(), end, kind="python"),
            )
