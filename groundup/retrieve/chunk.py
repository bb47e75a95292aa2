"""Splits a document into passages that follow its structure and are slices of its text.

A passage never crosses a heading, a class or a function. Within a section it packs complete
paragraphs and code blocks up to `max_characters`; only a longer block is split, at a sentence or a
line. Every visible character of the text is in exactly one passage, so everything in a file can be
found and quoted.
"""

import ast
import bisect
import re
import warnings
from collections.abc import Iterator
from typing import NamedTuple

from groundup.core import Config, Passage
from groundup.documents import Document, Heading

from .sentences import is_label, split_sentences, split_text_lines, text_blocks

VISIBLE = re.compile(r"\S")


class ChunkConfig(Config):
    """How large passages are."""

    max_characters: int = 1200
    """Maximum characters of a passage."""
    min_characters: int = 200
    """A section shorter than this is merged with its parent's text if it fits."""


class TitledSection(NamedTuple):
    """A range of text under one path of titles."""

    start: int
    end: int
    headings: tuple[str, ...]


def chunk_document(document: Document, config: ChunkConfig | None = None) -> list[Passage]:
    """Split a document into passages, in the order of its text.

    Each passage is `document.text[start:end]`, at most `max_characters` long, without white space
    at its ends. A document without visible text has none.
    """
    config = config or ChunkConfig()
    passages: list[Passage] = []
    for section in _split_sections(document):
        for start, end in _pack_blocks(document.text, section, config.max_characters):
            passages.append(_make_passage(document, start, end, section.headings))
    # Definitions keep their own passages, whose titles contain their names.
    return passages if document.kind == "python" else _merge_short(document, passages, config)


def _make_passage(document: Document, start: int, end: int, headings: tuple[str, ...]) -> Passage:
    """Create the passage of a slice."""
    name = f"{document.id}:{start}-{end}"
    return Passage(name, document.id, document.path, start, end, document.text[start:end], headings)


def _merge_short(document: Document, passages: list[Passage], config: ChunkConfig) -> list[Passage]:
    """Merge a short passage with its parent's or previous sibling's, if both together are short."""
    merged: list[Passage] = []
    for passage in passages:
        last = merged[-1] if merged else None
        size = passage.end - last.start if last else 0
        if (
            last is not None
            and size <= config.min_characters
            and passage.headings[: len(last.headings)] == last.headings
        ):
            merged[-1] = _make_passage(document, last.start, passage.end, last.headings)
        else:
            merged.append(passage)
    return merged


def _split_sections(document: Document) -> Iterator[TitledSection]:
    """Yield the document's sections in order; together they cover the text."""
    if document.kind == "python":
        tree = _parse_python(document.text)
        if tree is not None:
            starts = [line.start for line in split_text_lines(document.text)] + [len(document.text)]
            module = (_dotted_module_name(document.path),)
            yield from _code_sections(tree.body, 0, len(document.text), module, starts)
            return
    path: list[tuple[int, str]] = []
    title = _heading_text(document.metadata.get("title") or "")
    start = 0
    for heading in document.headings or _underlined_headings(document):
        begin = _line_start(document.text, heading.start)
        if begin > start:
            yield TitledSection(start, begin, _title_path(title, path))
        start = max(start, begin)
        path = [entry for entry in path if entry[0] < heading.level]
        path.append((heading.level, _heading_text(document.text[heading.start : heading.end])))
    yield TitledSection(start, len(document.text), _title_path(title, path))


def _underlined_headings(document: Document) -> list[Heading]:
    """Titles of a plain text: lines underlined with punctuation, as in reStructuredText.

    Their level is the order in which the kinds of underline first occur.
    """
    if document.kind != "text":
        return []
    headings, order = [], []
    for block in text_blocks(document.text):
        if block.kind == "heading":
            mark = document.text[block.end - 1]
            if mark not in order:
                order.append(mark)
            headings.append(Heading(order.index(mark) + 1, block.start, block.end))
    return headings


def _title_path(title: str, path: list[tuple[int, str]]) -> tuple[str, ...]:
    """The document's title and the headings below it, each once."""
    names = ([title] if title else []) + [name for _, name in path if name]
    return tuple(dict.fromkeys(names))


def _heading_text(text: str) -> str:
    """A heading on one line, without hashes, underlines and permalink signs."""
    first = re.sub(r"\n\s*([=\-~^*+#\"'`:.])\1{2,}\s*$", "", text.strip())
    return " ".join(re.sub(r"^#{1,6}\s+|\s+#+$|\s*[¶#]$", "", first).split())


def _line_start(text: str, at: int) -> int:
    """Start of the line that contains `at`."""
    return max(text.rfind("\n", 0, at), text.rfind("\r", 0, at)) + 1


def _pack_blocks(text: str, section: TitledSection, limit: int) -> Iterator[tuple[int, int]]:
    """Yield slices of a section with as many complete blocks as fit.

    A block that only names what follows (a signature, a defined word) stays with what follows.
    """
    pending: list[tuple[int, int]] = []
    for block in _split_blocks(text, section, limit):
        if pending and block[1] - pending[0][0] > limit:
            count = len(pending)
            while count > 1 and is_label(text[slice(*pending[count - 1])]):
                count -= 1
            if block[1] - pending[min(count, len(pending) - 1)][0] > limit:
                count = len(pending)
            yield pending[0][0], pending[count - 1][1]
            pending = pending[count:]
        pending.append(block)
    if pending:
        yield pending[0][0], pending[-1][1]


def _split_blocks(text: str, section: TitledSection, limit: int) -> Iterator[tuple[int, int]]:
    """Yield the blocks of a section; those above the limit are split."""
    inside = text[section.start : section.end]
    for block in text_blocks(inside):
        first, last = section.start + block.start, section.start + block.end
        if last - first <= limit:
            yield first, last
        else:
            yield from _split_long_block(text, first, last, limit)


def _split_long_block(text: str, start: int, end: int, limit: int) -> Iterator[tuple[int, int]]:
    """Split a long block after the last sentence, line or word that fits, or else at the limit."""
    ends = sorted(
        {start + part.end for part in split_sentences(text[start:end])}
        | {start + line.end for line in split_text_lines(text[start:end])}
    )
    while end - start > limit:
        index = bisect.bisect_right(ends, start + limit) - 1
        stop = ends[index] if index >= 0 and ends[index] > start + limit // 4 else 0
        stop = stop or max(text.rfind(" ", start + limit // 4, start + limit), 0) or start + limit
        kept = text[start:stop].rstrip()
        if kept:
            yield start, start + len(kept)
        visible = VISIBLE.search(text, stop, end)
        start = visible.start() if visible else end
    if start < end:
        yield start, end


Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def _parse_python(text: str) -> ast.Module | None:
    """Parse Python source; None if it is invalid for this Python version."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _code_sections(
    body: list[ast.stmt], start: int, end: int, path: tuple[str, ...], starts: list[int]
) -> Iterator[TitledSection]:
    """Yield a section per definition: its head with the docstring, then its body.

    `starts` has the start of every line, and the length of the text last.
    """
    if body and _is_docstring(body[0]):
        stop = min(end, starts[min(body[0].end_lineno or 1, len(starts) - 1)])
        yield TitledSection(start, stop, path)
        start = stop
    for node in body:
        if not isinstance(node, Definition):
            continue
        first = min([node.lineno, *(item.lineno for item in node.decorator_list)])
        begin = min(end, max(start, starts[first - 1]))
        stop = max(begin, min(end, starts[min(node.end_lineno or first, len(starts) - 1)]))
        if start < begin:
            yield TitledSection(start, begin, path)
        yield from _code_sections(node.body, begin, stop, (*path, node.name), starts)
        start = stop
    if start < end:
        yield TitledSection(start, end, path)


def _is_docstring(node: ast.stmt) -> bool:
    """Whether a statement is a bare string."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _dotted_module_name(path: str) -> str:
    """Dotted name of a module's file.

    >>> _dotted_module_name("json/decoder.py"), _dotted_module_name("json/__init__.py")
    ('json.decoder', 'json')
    """
    parts = path.removesuffix(".py").removesuffix(".pyi").split("/")
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
