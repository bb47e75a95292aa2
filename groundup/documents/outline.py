"""Outlines: where the titles of a Markdown or Python text are.

A passage is understood by the titles above it, so chunking needs them, as places in the text. For
Markdown they are headings; for Python the first line of the module's docstring and the names of
classes and functions, nested as they are in the code. HTML headings come from markup.py.
"""

import ast
import re
import warnings
from collections.abc import Iterator
from typing import cast

from .document import Heading

FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+|$)(.*)")
CLOSING_HASHES = re.compile(r"(?:^|[ \t]+)#+[ \t]*$")
SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*$")
PARAGRAPH = re.compile(r" {0,3}(?![-+*>] |\d+[.)] |\|)\S")
LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|$)")
DEFINITION = re.compile(r"[ \t]*(?:class|(?:async[ \t]+)?def)[ \t]+(\w+)")


def markdown_headings(text: str) -> tuple[Heading, ...]:
    """Headings of a Markdown text, `#` and underlined, those in fenced code left out.

    >>> markdown_headings("# One\\n```\\n# no\\n```\\nTwo\\n---\\n")
    (Heading(level=1, start=2, end=5), Heading(level=2, start=19, end=22))
    """
    headings: list[Heading] = []
    fence = ""
    above: tuple[int, str] | None = None  # the line before, if an underline makes it a title
    for start, line in lines(text):
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
            add(headings, len(title[1]), start + title.start(2), words)
        elif underline and above:
            add(headings, 1 if underline[1][0] == "=" else 2, *above)
        plain = not title and not underline and PARAGRAPH.match(line)
        above = (start, line) if plain else None
    return tuple(headings)


def python_headings(text: str) -> tuple[Heading, ...]:
    """Names of a Python text's classes and functions, and its docstring's first line on top.

    The docstring is level 1, what stands in the module level 2, and so on inwards. A text with a
    syntax error is read line by line, nested by indentation.

    >>> python_headings("class A:\\n    def b(self): ...\\n")
    (Heading(level=2, start=6, end=7), Heading(level=3, start=17, end=18))
    """
    headings: list[Heading] = []
    starts = [start for start, _ in lines(text)]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return indented_headings(text)
    title = (ast.get_docstring(module) or "").strip().split("\n")[0].strip()
    if title and (start := text.find(title)) >= 0:
        add(headings, 1, start, title)
    for level, line in definitions(module):
        found = DEFINITION.match(text, starts[line - 1])
        if found:
            headings.append(Heading(level, *found.span(1)))
    return tuple(headings)


def definitions(module: ast.Module) -> Iterator[tuple[int, int]]:
    """Yield level and line of every class and function, in the order of the text."""
    waiting: list[tuple[int, ast.AST]] = [(2, module)]
    while waiting:  # no recursion: code may be nested deeper than Python's stack
        level, node = waiting.pop()
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield level, node.lineno
            level += 1
        inner = [
            child
            for child in ast.iter_child_nodes(node)
            if isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case)
        ]
        waiting += [(level, cast(ast.AST, child)) for child in reversed(inner)]


def indented_headings(text: str) -> tuple[Heading, ...]:
    """Names after `class` and `def` at the beginning of lines, nested by indentation."""
    headings: list[Heading] = []
    outer: list[int] = []
    for start, line in lines(text):
        found = DEFINITION.match(line)
        if found:
            indent = len(line) - len(line.lstrip())
            while outer and outer[-1] >= indent:
                outer.pop()
            outer.append(indent)
            headings.append(Heading(1 + len(outer), start + found.start(1), start + found.end(1)))
    return tuple(headings)


def lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the place and the content of every line, its end left off."""
    for found in LINE.finditer(text):
        yield found.start(), found[0].rstrip("\r\n")


def add(headings: list[Heading], level: int, start: int, words: str) -> None:
    """Append a title without the white space around it, unless it is empty."""
    title = words.strip()
    if title:
        start += len(words) - len(words.lstrip())
        headings.append(Heading(level, start, start + len(title)))


RST_TITLE = re.compile(r"(?m)^(\S[^\n]*)\n([!-/:-@\[-`{-~])\2*[ \t]*$")


def rst_headings(text: str) -> list[Heading]:
    """Titles of reStructuredText; a level for each kind of line under (or over and under) them.

    >>> [(h.level, h.start) for h in rst_headings("Top\\n===\\n\\nPart\\n----\\nx\\n\\n")]
    [(1, 0), (2, 9)]
    """
    found: list[Heading] = []
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
        found.append(Heading(styles.index(style) + 1, start, start + len(words)))
    return found
