"""What a document offers to ask about: its functions with docstrings, its titled sections.

Python is parsed, never imported or run. As an entry, a definition's body is its docstring as
written in the file; docstrings with escapes are skipped, because their text differs from the
file's. Fields such as `:param x:` and items of an `Args:` section become entries of parameters. For
conversations, functions are given with their docstrings taken out of the code.
"""

import ast
import re
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from groundup.documents import Record, module_name, parse_python

from .blocks import LineBlock, is_prose_block, split_line_blocks
from .entries import DocumentedEntry, page_entries
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


UNDERLINE = re.compile(r"([*=\-~^\"+#])\1{2,}")


class DocumentedFunction(NamedTuple):
    """A function, method or class that has a docstring."""

    module: str
    """Dotted name of its file, such as `json.decoder`."""
    qualname: str
    """Name inside the module, such as `JSONDecoder.decode`."""
    code: str
    """Its source without the docstring, dedented."""
    docstring: str
    kind: str
    """`class`, `method` or `function`."""

    @property
    def name(self) -> str:
        """Module and qualified name."""
        return f"{self.module}.{self.qualname}"

    @property
    def identifier(self) -> str:
        """Last part of the name."""
        return self.qualname.rpartition(".")[2]

    @property
    def summary(self) -> str:
        """The docstring's first paragraph on one line."""
        return " ".join(self.docstring.split("\n\n")[0].split())

    @property
    def is_public(self) -> bool:
        """Whether no part of the name begins with an underscore."""
        return not any(part.startswith("_") for part in self.name.split("."))


class DocumentSection(NamedTuple):
    """A title and the paragraphs under it."""

    module: str
    """The document that it stands in, dotted like a module."""
    title: str
    paragraphs: tuple[str, ...]


def python_entries(document: Record) -> Iterator[DocumentedEntry]:
    """Yield public functions and classes with docstrings, and their parameters, in order."""
    lines = [0, *(end.end() for end in LINE_END.finditer(document.text))]
    module = module_name(document.path)
    for name, node in _definitions(document):
        is_public = not any(part.startswith(("_", "test")) for part in name.split("."))
        if is_public and (span := _docstring_range(document.text, lines, node)):
            yield from _definition_entries(document, f"{module}.{name}", node, lines, span)


def document_entries(document: Record) -> Iterator[DocumentedEntry]:
    """Yield the entries of a document of any kind."""
    return python_entries(document) if document.kind == "python" else page_entries(document)


def documented_functions(document: Record) -> Iterator[DocumentedFunction]:
    """Yield every documented function, method and class in order; none if it does not parse."""
    lines, module = document.text.splitlines(keepends=True), module_name(document.path)
    seen: set[str] = set()
    for name, node in _definitions(document):
        docstring = ast.get_docstring(node)
        if docstring and len(node.body) > 1 and name not in seen:
            seen.add(name)
            kind = "method" if "." in name else "function"
            kind = "class" if isinstance(node, ast.ClassDef) else kind
            code = _without_docstring(lines, node)
            yield DocumentedFunction(module, name, code, docstring.strip(), kind)


def titled_sections(document: Record) -> Iterator[DocumentSection]:
    """Yield a text's titled sections, or a Python file's own docstring under its module's name."""
    module = module_name(document.path)
    if document.kind == "python":
        tree = parse_python(document.text)
        docstring = ast.get_docstring(tree) if tree else None
        if docstring:
            yield DocumentSection(module, f"the module {module}", _split_paragraphs(docstring))
        return
    titles = [(h.start, h.end) for h in document.headings] or _underlined_titles(document.text)
    ends = [*(start for start, _ in titles[1:]), len(document.text)]
    for (start, stop), end in zip(titles, ends, strict=False):
        title = " ".join(document.text[start:stop].split()).lstrip("# ")
        lines = document.text[stop:end].splitlines()
        body = "\n".join(line for line in lines if not UNDERLINE.fullmatch(line.strip()))
        if title and (under := _split_paragraphs(body)):
            yield DocumentSection(module, title, under)


def _underlined_titles(text: str) -> list[tuple[int, int]]:
    """Character ranges of lines that are underlined by about as many signs as they have letters.

    >>> _underlined_titles("Names\\n=====\\n\\nA name is bound.")
    [(0, 5)]
    """
    found, start = [], 0
    lines = text.splitlines(keepends=True)
    for line, following in pairwise([*lines, ""]):
        title, under = line.rstrip(), following.rstrip()
        is_underlined = UNDERLINE.fullmatch(under) and abs(len(under) - len(title)) <= 2
        if title and not title.startswith(" ") and is_underlined:
            found.append((start, start + len(title)))
        start += len(line)
    return found


def _split_paragraphs(text: str) -> tuple[str, ...]:
    """Split at blank lines; running text becomes one line, indented blocks stay as they are."""
    blocks = (block.strip("\n") for block in re.split(r"\n\s*\n", text))
    is_block = (" ", "\t")
    return tuple(b if b.startswith(is_block) else " ".join(b.split()) for b in blocks if b.strip())


def _definitions(document: Record) -> Iterator[tuple[str, Definition]]:
    """Yield (qualified name, node) of functions and classes, those inside functions left out."""

    def walk(node: ast.Module | ast.ClassDef, outer: str) -> Iterator[tuple[str, Definition]]:
        for child in node.body:
            if isinstance(child, Definition):
                yield outer + child.name, child
            if isinstance(child, ast.ClassDef):
                yield from walk(child, f"{outer}{child.name}.")

    module = parse_python(document.text)
    return walk(module, "") if module else iter(())


def _without_docstring(lines: list[str], node: Definition) -> str:
    """Source of a definition, decorators included, its docstring's lines left out."""
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    docstring = node.body[0]
    kept = lines[first - 1 : docstring.lineno - 1] + lines[docstring.end_lineno : node.end_lineno]
    return textwrap.dedent("".join(kept)).strip("\n")


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
    document: Record, owner: str, node: Definition, lines: list[int], span: tuple[int, int]
) -> Iterator[DocumentedEntry]:
    text = document.text
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
                parameters.append(DocumentedEntry(name, "parameter", head, (said,), owner=owner))
    is_class = isinstance(node, ast.ClassDef)
    keyword = KEYWORD.match(text, _character_offset(text, lines, node.lineno, node.col_offset))
    start = text.index(node.name, keyword.end() if keyword else 0)
    first = node.body[0]
    end = text.rfind(":", start, _character_offset(text, lines, first.lineno, first.col_offset))
    head = strip_markup(text, start, start + len(node.name) if is_class else end, kind="html")
    yield DocumentedEntry(owner, "class" if is_class else "function", head, tuple(body))
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
