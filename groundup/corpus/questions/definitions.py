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

from .blocks import Block, blocks, is_prose
from .entries import Entry
from .names import module_name
from .plain import Plain, plain

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


class Named(NamedTuple):
    """A definition with its whole name."""

    name: str
    node: Definition


def python_entries(document: Document) -> Iterator[Entry]:
    """Yield public functions and classes with docstrings, and their parameters, in order."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in documents are irrelevant here
            module = ast.parse(document.text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    lines = [0, *(end.end() for end in LINE_END.finditer(document.text))]
    for name, node in public(module, module_name(document.path)):
        span = docstring_span(document.text, lines, node)
        if span:
            yield from entries_of(document, Named(name, node), lines, span)


def public(node: ast.Module | ast.ClassDef, outer: str) -> Iterator[Named]:
    """Yield definitions whose names do not begin with an underscore, classes' own ones too."""
    for child in node.body:
        if isinstance(child, Definition) and not child.name.startswith(("_", "test")):
            yield Named(f"{outer}.{child.name}", child)
            if isinstance(child, ast.ClassDef):
                yield from public(child, f"{outer}.{child.name}")


def docstring_span(text: str, lines: list[int], node: Definition) -> tuple[int, int] | None:
    """Characters of a docstring without its quotes; None if there is none or it has escapes."""
    if ast.get_docstring(node, clean=False) is None:
        return None
    value = node.body[0].value  # type: ignore[attr-defined]
    start, end = (
        place(text, lines, value.lineno, value.col_offset),
        place(text, lines, value.end_lineno, value.end_col_offset),
    )
    opening = OPENING.match(text, start)
    if opening is None or ("\\" in text[start:end] and "r" not in opening[0].lower()):
        return None
    return opening.end(), end - len(opening[1])


def place(text: str, lines: list[int], line: int, column: int) -> int:
    """Character at a line, counted from 1, and a column in UTF-8 bytes."""
    start = lines[line - 1]
    if text[start : start + column].isascii():
        return start + column
    return start + len(text[start : start + column].encode()[:column].decode(errors="ignore"))


def entries_of(
    document: Document, named: Named, lines: list[int], span: tuple[int, int]
) -> Iterator[Entry]:
    """Yield a definition's entry, then those of the parameters that its docstring explains."""
    text, node = document.text, named.node
    body: list[Plain] = []
    parameters: list[Entry] = []
    for block in blocks(text, *span):
        if not FIELD.match(block.lines[0]) and (
            is_prose(block, "python") or RESULT.match(block.lines[0])
        ):
            body.append(plain(text, block.start, block.end, kind="python"))
        for head, said in (*fields(text, block), *items(text, block)):
            name = head.text.split("(")[0].rstrip(": ").split()[-1].lstrip("*")
            if head.text.startswith((":raise", ":return")):
                body.append(plain(text, head.places[0], said.places[-1], kind="python"))
            else:
                parameters.append(Entry(name, "parameter", head, (said,), owner=named.name))
    is_class = isinstance(node, ast.ClassDef)
    keyword = KEYWORD.match(text, place(text, lines, node.lineno, node.col_offset))
    start = text.index(node.name, keyword.end() if keyword else 0)
    first = node.body[0]
    end = text.rfind(":", start, place(text, lines, first.lineno, first.col_offset))
    head = plain(text, start, start + len(node.name) if is_class else end, kind="html")
    yield Entry(named.name, "class" if is_class else "function", head, tuple(body))
    yield from parameters


def fields(text: str, block: Block) -> Iterator[tuple[Plain, Plain]]:
    """Yield head and text of each field, such as `:param path:` or `:raises ValueError:`."""
    found = list(FIELD.finditer(text, block.start, block.end))
    ends = [*(field.start() for field in found[1:]), block.end]
    for field, end in zip(found, ends, strict=False):
        yield plain(text, *field.span(), kind="html"), plain(text, field.end(), end, kind="python")


def items(text: str, block: Block) -> Iterator[tuple[Plain, Plain]]:
    """Yield head and text of each parameter of an `Args:` section."""
    if len(block.lines) < 2 or not ARGUMENTS.match(block.lines[0]):
        return
    lines = list(INDENTED.finditer(text, text.index("\n", block.start), block.end))
    least = min((len(line[1]) for line in lines), default=0)
    tops = [line.end() for line in lines if len(line[1]) == least]
    for start, end in zip(tops, [*tops[1:], block.end], strict=False):
        if item := ARGUMENT.match(text, start, end):
            yield (
                plain(text, *item.span(), kind="html"),
                plain(text, item.end(), end, kind="python"),
            )
