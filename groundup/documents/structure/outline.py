"""Outlines: the headings of Markdown, reStructuredText and Python texts.

A passage is understood by the titles above it, so chunking needs their offsets. Markdown has
headings; Python has the first line of the module's docstring and the names of classes and
functions, nested as in the code. HTML headings come from markup.py.
"""

import ast
import re
import warnings
from collections.abc import Iterator
from typing import cast

from ..document import Heading

FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+|$)(.*)")
CLOSING_HASHES = re.compile(r"(?:^|[ \t]+)#+[ \t]*$")
SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*$")
PARAGRAPH = re.compile(r" {0,3}(?![-+*>] |\d+[.)] |\|)\S")
LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|$)")
SOURCE_ROOTS = ("lib", "src")
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
DEFINITION = re.compile(r"[ \t]*(?:class|(?:async[ \t]+)?def)[ \t]+(\w+)")


def markdown_headings(text: str) -> tuple[Heading, ...]:
    """Headings of a Markdown text, `#` and underlined, except those in fenced code.

    >>> markdown_headings("# One\\n```\\n# no\\n```\\nTwo\\n---\\n")
    (Heading(level=1, start=2, end=5), Heading(level=2, start=19, end=22))
    """
    headings: list[Heading] = []
    fence = ""
    above: tuple[int, str] | None = None  # the previous line, if an underline makes it a title
    for start, line in iter_lines(text):
        mark = FENCE.match(line)
        if fence:
            closes = mark and mark[1].startswith(fence) and not line[mark.end() :].strip()
            fence = "" if closes else fence
            continue
        if mark:
            fence, above = mark[1], None
            continue
        title, underline = ATX.match(line), SETEXT.match(line)
        if title:
            words = CLOSING_HASHES.sub("", title[2]).rstrip()
            _append_heading(headings, len(title[1]), start + title.start(2), words)
        elif underline and above:
            _append_heading(headings, 1 if underline[1][0] == "=" else 2, *above)
        plain = not title and not underline and PARAGRAPH.match(line)
        above = (start, line) if plain else None
    return tuple(headings)


def parse_python(text: str) -> ast.Module | None:
    """Parse Python source; None when it is not valid for this interpreter."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in documents are irrelevant here
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def python_headings(text: str) -> tuple[Heading, ...]:
    """Names of a Python text's classes and functions, after the first line of its docstring.

    The docstring has level 1, module-level definitions level 2, and so on. A text with a syntax
    error is read line by line, nested by indentation.

    >>> python_headings("class A:\\n    def b(self): ...\\n")
    (Heading(level=2, start=6, end=7), Heading(level=3, start=17, end=18))
    """
    headings: list[Heading] = []
    starts = [start for start, _ in iter_lines(text)]
    module = parse_python(text)
    if module is None:
        return _indented_headings(text)
    title = (ast.get_docstring(module) or "").strip().split("\n")[0].strip()
    if title and (start := text.find(title)) >= 0:
        _append_heading(headings, 1, start, title)
    for level, line in _iter_definitions(module):
        if match := DEFINITION.match(text, starts[line - 1]):
            headings.append(Heading(level, *match.span(1)))
    return tuple(headings)


def _iter_definitions(module: ast.Module) -> Iterator[tuple[int, int]]:
    """Yield level and line of every class and function, in text order."""
    stack: list[tuple[int, ast.AST]] = [(2, module)]
    while stack:  # no recursion: code may be nested deeper than Python's stack
        level, node = stack.pop()
        if isinstance(node, Definition):
            yield level, node.lineno
            level += 1
        inner = [
            child
            for child in ast.iter_child_nodes(node)
            if isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case)
        ]
        stack += [(level, cast(ast.AST, child)) for child in reversed(inner)]


def _indented_headings(text: str) -> tuple[Heading, ...]:
    headings: list[Heading] = []
    outer: list[int] = []
    for start, line in iter_lines(text):
        if match := DEFINITION.match(line):
            indent = len(line) - len(line.lstrip())
            while outer and outer[-1] >= indent:
                outer.pop()
            outer.append(indent)
            headings.append(Heading(1 + len(outer), start + match.start(1), start + match.end(1)))
    return tuple(headings)


def module_name(path: str) -> str:
    """Dotted name of a module by the path of its file.

    >>> module_name("lib/json/decoder.py"), module_name("lib/json/__init__.py")
    ('json.decoder', 'json')
    """
    parts = path.rpartition(".")[0].split("/") if "." in path else path.split("/")
    if len(parts) > 1 and parts[0].lower() in SOURCE_ROOTS:
        parts = parts[1:]
    if len(parts) > 1 and parts[-1] == "__init__":
        parts = parts[:-1]
    return ".".join(parts)


def iter_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the offset and the content of every line, without its line break."""
    for match in LINE.finditer(text):
        yield match.start(), match[0].rstrip("\r\n")


def _append_heading(headings: list[Heading], level: int, start: int, words: str) -> None:
    """Append a stripped title, unless it is empty."""
    title = words.strip()
    if title:
        start += len(words) - len(words.lstrip())
        headings.append(Heading(level, start, start + len(title)))


RST_TITLE = re.compile(r"(?m)^(\S[^\n]*)\n([!-/:-@\[-`{-~])\2*[ \t]*$")


def rst_headings(text: str) -> list[Heading]:
    """Titles of reStructuredText; each style of underline (or overline and underline) is a level.

    >>> [(h.level, h.start) for h in rst_headings("Top\\n===\\n\\nPart\\n----\\nx\\n\\n")]
    [(1, 0), (2, 9)]
    """
    headings: list[Heading] = []
    styles: list[str] = []
    for title in RST_TITLE.finditer(text):
        words, rule = title[1].rstrip(), text[title.end(1) + 1 : title.end()].rstrip()
        if len(rule) < max(len(words), 2) or not any(c.isalnum() for c in words):
            continue
        before = text.rfind("\n", 0, max(title.start() - 1, 0)) + 1
        over = title.start() > 0 and text[before : title.start() - 1].rstrip() == rule
        style = rule[0] * (2 if over else 1)
        if style not in styles:
            styles.append(style)
        start = title.start()
        headings.append(Heading(styles.index(style) + 1, start, start + len(words)))
    return headings
