"""What documents offer to ask about: functions with docstrings, and titled sections of text.

A Python document gives its functions, methods and classes with their docstrings taken out of the
code; any other document gives its sections. Nothing is imported or run: code is parsed, not
trusted. Knows nothing of questions or conversations; see exchanges.py.
"""

import ast
import re
import textwrap
import warnings
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from groundup.corpus import path_module_name
from groundup.documents import Document

UNDERLINE = re.compile(r"([*=\-~^\"+#])\1{2,}")

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class DocumentedFunction(NamedTuple):
    """A function, method or class that has a docstring."""

    module: str
    """Dotted name of its file, such as `json.decoder`."""
    qualname: str
    """Name inside the module, such as `JSONDecoder.decode`."""
    code: str
    """Its source without the docstring, dedented."""
    docstring: str
    is_class: bool

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
        return _join_lines(self.docstring.split("\n\n")[0])

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


def documented_functions(document: Document) -> Iterator[DocumentedFunction]:
    """Yield every documented function, method and class in order; none if it does not parse."""
    tree = _parse_module(document.text)
    if tree is None:
        return
    lines, module = document.text.splitlines(keepends=True), path_module_name(document.path)
    seen: set[str] = set()
    for qualname, node in _walk_definitions(tree, ""):
        docstring = ast.get_docstring(node)
        if docstring and len(node.body) > 1 and qualname not in seen:
            seen.add(qualname)
            code, is_class = _without_docstring(lines, node), isinstance(node, ast.ClassDef)
            yield DocumentedFunction(module, qualname, code, docstring.strip(), is_class)


def _parse_module(text: str) -> ast.Module | None:
    """Parse Python source; None when it is not valid for this interpreter."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other people's invalid escapes are none of our business
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError):
            return None


def _walk_definitions(
    node: ast.Module | ast.ClassDef, outer: str
) -> Iterator[tuple[str, Definition]]:
    """Yield (qualified name, node) of functions and classes, those inside functions left out."""
    for child in node.body:
        if isinstance(child, Definition):
            yield outer + child.name, child
        if isinstance(child, ast.ClassDef):
            yield from _walk_definitions(child, f"{outer}{child.name}.")


def _without_docstring(lines: list[str], node: Definition) -> str:
    """Source of a definition, decorators included, its docstring's lines left out."""
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    docstring = node.body[0]
    kept = lines[first - 1 : docstring.lineno - 1] + lines[docstring.end_lineno : node.end_lineno]
    return textwrap.dedent("".join(kept)).strip("\n")


def titled_sections(document: Document) -> Iterator[DocumentSection]:
    """Yield a text's titled sections, or a Python file's own docstring under its module's name."""
    module = path_module_name(document.path)
    if document.kind == "python":
        tree = _parse_module(document.text)
        docstring = ast.get_docstring(tree) if tree else None
        if docstring:
            yield DocumentSection(module, f"the module {module}", _split_paragraphs(docstring))
        return
    titles = [(h.start, h.end) for h in document.headings] or _underlined_titles(document.text)
    ends = [*(start for start, _ in titles[1:]), len(document.text)]
    for (start, stop), end in zip(titles, ends, strict=False):
        title = _join_lines(document.text[start:stop]).lstrip("# ")
        body = [
            line
            for line in document.text[stop:end].splitlines()
            if not UNDERLINE.fullmatch(line.strip())
        ]
        if title and (under := _split_paragraphs("\n".join(body))):
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
    """Split at blank lines; running text goes on one line, indented blocks stay as they are."""
    blocks = (block.strip("\n") for block in re.split(r"\n\s*\n", text))
    return tuple(b if b.startswith((" ", "\t")) else _join_lines(b) for b in blocks if b.strip())


def _join_lines(text: str) -> str:
    """Join the lines of a paragraph."""
    return re.sub(r"\s+", " ", text).strip()


def clip_sentences(text: str, limit: int) -> str:
    """Shorten to whole sentences of at most `limit` characters; empty if not even one fits.

    >>> clip_sentences("Read a file. Then close it.", 20)
    'Read a file.'
    """
    if len(text) <= limit:
        return text
    ends = [m.end() for m in re.finditer(r"[.!?](?=\s)", text[: limit + 1])]
    return text[: ends[-1]] if ends and ends[-1] <= limit else ""
