"""Cut a document into passages that follow its structure and are slices of its text.

A passage never crosses a heading, a class or a function; inside a section it packs whole
paragraphs and blocks of code up to `max_characters`, and only a block longer than that is cut, at
a sentence or a line. Every visible character of the text is in exactly one passage, so whatever
is in a file can be found and quoted.
"""

import ast
import bisect
import re
import warnings
from collections.abc import Iterator
from typing import NamedTuple

from groundup.core import Config, Passage
from groundup.documents import Document, Heading

from .sentences import blocks, is_label, lines, sentences

VISIBLE = re.compile(r"\S")


class ChunkConfig(Config):
    """How large passages are."""

    max_characters: int = 1200
    """Most characters of a passage."""
    min_characters: int = 200
    """A section shorter than this stays with its parent's text when that has room."""


class Section(NamedTuple):
    """A stretch of text under one path of titles."""

    start: int
    end: int
    headings: tuple[str, ...]


def chunk(document: Document, config: ChunkConfig | None = None) -> list[Passage]:
    """Cut a document into passages, in the order of its text.

    Each passage is `document.text[start:end]`, at most `max_characters` long, without white space
    at its ends. A document without visible text has none.
    """
    config = config or ChunkConfig()
    found: list[Passage] = []
    for section in sections(document):
        for start, end in pack(document.text, section, config.max_characters):
            found.append(as_passage(document, start, end, section.headings))
    # A definition keeps its own passage: its name is found by the titles.
    return found if document.kind == "python" else join_short(document, found, config)


def as_passage(document: Document, start: int, end: int, headings: tuple[str, ...]) -> Passage:
    """The passage of a slice."""
    name = f"{document.id}:{start}-{end}"
    return Passage(name, document.id, document.path, start, end, document.text[start:end], headings)


def join_short(document: Document, passages: list[Passage], config: ChunkConfig) -> list[Passage]:
    """Join a short passage to its parent's or elder sibling's, where both together are short."""
    joined: list[Passage] = []
    for passage in passages:
        last = joined[-1] if joined else None
        size = passage.end - last.start if last else 0
        if (
            last is not None
            and size <= config.min_characters
            and passage.headings[: len(last.headings)] == last.headings
        ):
            joined[-1] = as_passage(document, last.start, passage.end, last.headings)
        else:
            joined.append(passage)
    return joined


def sections(document: Document) -> Iterator[Section]:
    """Yield the document's sections in order; together they cover the text."""
    if document.kind == "python":
        tree = parse(document.text)
        if tree is not None:
            starts = [line.start for line in lines(document.text)] + [len(document.text)]
            module = (module_name(document.path),)
            yield from code_sections(tree.body, 0, len(document.text), module, starts)
            return
    path: list[tuple[int, str]] = []
    title = one_line(document.metadata.get("title") or "")
    start = 0
    for heading in document.headings or underlined(document):
        begin = line_start(document.text, heading.start)
        if begin > start:
            yield Section(start, begin, titles(title, path))
        start = max(start, begin)
        path = [entry for entry in path if entry[0] < heading.level]
        path.append((heading.level, one_line(document.text[heading.start : heading.end])))
    yield Section(start, len(document.text), titles(title, path))


def underlined(document: Document) -> list[Heading]:
    """Titles of a plain text: lines with a line of punctuation below, as reStructuredText has.

    Their level is the order in which the kinds of underline first come.
    """
    if document.kind != "text":
        return []
    found, order = [], []
    for block in blocks(document.text):
        if block.kind == "heading":
            mark = document.text[block.end - 1]
            if mark not in order:
                order.append(mark)
            found.append(Heading(order.index(mark) + 1, block.start, block.end))
    return found


def titles(title: str, path: list[tuple[int, str]]) -> tuple[str, ...]:
    """The document's title and the headings below it, each once."""
    names = ([title] if title else []) + [name for _, name in path if name]
    return tuple(dict.fromkeys(names))


def one_line(text: str) -> str:
    """A heading on one line, without its marks: hashes, underlines, a sign for a link."""
    first = re.sub(r"\n\s*([=\-~^*+#\"'`:.])\1{2,}\s*$", "", text.strip())
    return " ".join(re.sub(r"^#{1,6}\s+|\s+#+$|\s*[¶#]$", "", first).split())


def line_start(text: str, at: int) -> int:
    """First character of the line that `at` is on."""
    return max(text.rfind("\n", 0, at), text.rfind("\r", 0, at)) + 1


def pack(text: str, section: Section, limit: int) -> Iterator[tuple[int, int]]:
    """Yield slices of a section that hold as many whole blocks as fit.

    A block that only names what follows (a signature, a defined word) goes with what follows.
    """
    held: list[tuple[int, int]] = []
    for block in small_blocks(text, section, limit):
        if held and block[1] - held[0][0] > limit:
            keep = len(held)
            while keep > 1 and is_label(text[slice(*held[keep - 1])]):
                keep -= 1
            if block[1] - held[min(keep, len(held) - 1)][0] > limit:
                keep = len(held)
            yield held[0][0], held[keep - 1][1]
            held = held[keep:]
        held.append(block)
    if held:
        yield held[0][0], held[-1][1]


def small_blocks(text: str, section: Section, limit: int) -> Iterator[tuple[int, int]]:
    """Yield the blocks of a section; one above the limit in pieces."""
    inside = text[section.start : section.end]
    for block in blocks(inside):
        first, last = section.start + block.start, section.start + block.end
        if last - first <= limit:
            yield first, last
        else:
            yield from pieces(text, first, last, limit)


def pieces(text: str, start: int, end: int, limit: int) -> Iterator[tuple[int, int]]:
    """Cut a long block after the last sentence, line or word that fits, else at the limit."""
    ends = sorted(
        {start + part.end for part in sentences(text[start:end])}
        | {start + line.end for line in lines(text[start:end])}
    )
    while end - start > limit:
        at = bisect.bisect_right(ends, start + limit) - 1
        stop = ends[at] if at >= 0 and ends[at] > start + limit // 4 else 0
        stop = stop or max(text.rfind(" ", start + limit // 4, start + limit), 0) or start + limit
        kept = text[start:stop].rstrip()
        if kept:
            yield start, start + len(kept)
        visible = VISIBLE.search(text, stop, end)
        start = visible.start() if visible else end
    if start < end:
        yield start, end


Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def parse(text: str) -> ast.Module | None:
    """The syntax tree of Python source; None if it is no valid source for this Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def code_sections(
    body: list[ast.stmt], start: int, end: int, path: tuple[str, ...], starts: list[int]
) -> Iterator[Section]:
    """Yield a section per definition: its head with the docstring first, then its body.

    `starts` has the first character of every line, and the length of the text last.
    """
    if body and is_docstring(body[0]):
        stop = min(end, starts[min(body[0].end_lineno or 1, len(starts) - 1)])
        yield Section(start, stop, path)
        start = stop
    for node in body:
        if not isinstance(node, Definition):
            continue
        first = min([node.lineno, *(item.lineno for item in node.decorator_list)])
        begin = min(end, max(start, starts[first - 1]))
        stop = max(begin, min(end, starts[min(node.end_lineno or first, len(starts) - 1)]))
        if start < begin:
            yield Section(start, begin, path)
        yield from code_sections(node.body, begin, stop, (*path, node.name), starts)
        start = stop
    if start < end:
        yield Section(start, end, path)


def is_docstring(node: ast.stmt) -> bool:
    """Tell whether a statement is a bare string."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def module_name(path: str) -> str:
    """Dotted name of a module's file.

    >>> module_name("json/decoder.py"), module_name("json/__init__.py")
    ('json.decoder', 'json')
    """
    parts = path.removesuffix(".py").removesuffix(".pyi").split("/")
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
