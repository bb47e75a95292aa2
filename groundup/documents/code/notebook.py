"""Notebooks: the cells as text, each with a span; outputs and embedded images are removed.

The JSON is read token by token, so that every character of a cell's source maps to its bytes in the
.ipynb file; an escape such as \\n or \\u00e9 is one segment. Outputs are added to the text and
removed by edits, so that the log has them. Code is fenced as in Markdown, unless configured
otherwise.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from groundup.core import Config, DataError

from ..document import Segment, SourceMap
from ..record import ExtractedText, Record, StepResult, TextEdit, TextSpan

TOKEN = re.compile(
    rb'[ \t\r\n]*(?:("[^"\\]*(?:\\.[^"\\]*)*")|([{}\[\],:])|([^\s{}\[\],:"]+))', re.DOTALL
)
ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)", re.DOTALL
)
IMAGE = re.compile(
    r"!\[[^\]\n]{0,500}\]\(data:[^)\s]*\)|<img[^>]{0,500}?src=[\"']data:[^\"']*[\"'][^>]*>"
    r"|data:[\w/+.-]{1,80};base64,[A-Za-z0-9+/=]{64,}"
)
MAX_DEPTH = 1_000


class NotebookConfig(Config):
    """Settings of `code.notebook`."""

    fences: bool = True
    """Enclose code cells in fences with their language."""
    keep_raw: bool = False
    """Keep raw cells, which are meant for exporters. Source: own."""


class _JsonValue(NamedTuple):
    path: tuple[str | int, ...]
    start: int
    end: int


class Notebook:
    """Step `code.notebook`: extracts the text of a notebook."""

    def __init__(self, config: NotebookConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> StepResult:
        data = record.data or record.text.encode("utf-8", "surrogatepass")
        if not (record.kind == "notebook" or record.path.endswith(".ipynb")):
            return StepResult()
        try:
            notebook = json.loads(data.decode("utf-8-sig"))
            cells = _notebook_cells(notebook)
        except (ValueError, RecursionError, DataError) as error:
            return StepResult("notebook: not readable", details=str(error)[:200])
        language = _kernel_language(notebook)
        builder = _NotebookBuilder(data, self.config, language)
        values: dict[int, list[_JsonValue]] = {}
        for value in _find_cell_values(data):
            index = value.path[1] if value.path[0] == "cells" else value.path[3]
            values.setdefault(int(index), []).append(value)
        for number, cell in enumerate(cells):
            builder.add_cell(cell, values.get(number, []))
        text = "".join(builder.parts)
        if not text.strip():
            return StepResult("notebook: no cells")
        source = SourceMap(text, tuple(builder.segments))
        return StepResult(
            extracted=ExtractedText(source, tuple(builder.spans)),
            edits=tuple(sorted(builder.edits)),
            metadata={"notebook_language": language, "cells": len(cells)},
        )


class _NotebookBuilder:
    def __init__(self, data: bytes, config: NotebookConfig, language: str) -> None:
        self.data, self.config, self.language = data, config, language
        self.parts: list[str] = []
        self.segments: list[Segment] = []
        self.spans: list[TextSpan] = []
        self.edits: list[TextEdit] = []
        self.size, self.byte, self.line = 0, 0, 1

    def add_cell(self, cell: dict[str, Any], values: list[_JsonValue]) -> None:
        kind = str(cell.get("cell_type", ""))
        is_kept = kind in ("markdown", "heading") or kind == "code" or self.config.keep_raw
        for value in sorted(values, key=lambda v: v.start):
            key = next(part for part in reversed(value.path) if isinstance(part, str))
            raw = self.data[value.start : value.end].decode("utf-8")
            if key in ("source", "input"):
                self.add_source(cell, kind, value, is_kept)
            elif raw not in ("[]", "{}", "null"):
                start, what = self.size, "image" if key == "attachments" else "output"
                self.append_text(raw, value.start, value.end, True)
                self.edits.append(TextEdit(start, self.size, f"notebook: {what}"))

    def add_source(self, cell: dict[str, Any], kind: str, value: _JsonValue, is_kept: bool) -> None:
        literals = list(_string_ranges(self.data, value))
        text = "".join(json.loads(self.data[a:b]) for a, b in literals)
        if not text.strip():
            return
        language = _cell_language(cell, text, self.language)
        first = self.size
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
        fenced = kind == "code" and self.config.fences
        if fenced:
            self.insert_text(f"{fence}{language}\n", literals[0][0])
        start = self.size
        for literal in literals:
            self.add_literal(*literal)
        end = self.size
        self.insert_text("" if text.endswith("\n") else "\n", literals[-1][1])
        self.insert_text(f"{fence}\n\n" if fenced else "\n", literals[-1][1])
        if not is_kept:
            self.edits.append(TextEdit(first, self.size, f"notebook: {kind or 'unknown'} cell"))
            return
        label = f"code {language}".strip() if kind == "code" else kind
        self.spans.append(TextSpan("cell", start, end, label))
        for image in IMAGE.finditer(text):
            bounds = start + image.start(), start + image.end()
            self.edits.append(TextEdit(*bounds, "notebook: image"))

    def add_literal(self, start: int, end: int) -> None:
        raw = self.data[start + 1 : end - 1].decode("utf-8")
        at, byte = 0, start + 1
        for escape in [*ESCAPE.finditer(raw), None]:
            stop = escape.start() if escape else len(raw)
            run = raw[at:stop]
            self.append_text(run, byte, byte + len(run.encode("utf-8")), True)
            byte += len(run.encode("utf-8"))
            if escape:
                character = json.loads(f'"{escape[0]}"').encode("utf-16", "surrogatepass")
                shown, end_byte = character.decode("utf-16", "replace"), byte + len(escape[0])
                self.append_text(shown, byte, end_byte, False)
                byte, at = end_byte, escape.end()

    def insert_text(self, text: str, byte: int) -> None:
        self.append_text(text, max(byte, self.byte), max(byte, self.byte), False)

    def append_text(self, text: str, start: int, end: int, exact: bool) -> None:
        if not text:
            return
        if start > self.byte:
            self.line += self.data.count(b"\n", self.byte, start)
        self.byte = max(self.byte, start)
        size = self.size + len(text)
        self.segments.append(Segment(self.size, size, start, end, self.line, exact))
        self.parts.append(text)
        self.size = size


def _notebook_cells(notebook: Any) -> list[dict[str, Any]]:
    """The cells of a notebook of format 4, or of 3's first worksheet."""
    if isinstance(notebook, dict):
        cells = notebook.get("cells")
        if cells is None and isinstance(sheets := notebook.get("worksheets"), list) and sheets:
            cells = sheets[0].get("cells") if isinstance(sheets[0], dict) else None
        if isinstance(cells, list) and all(isinstance(cell, dict) for cell in cells):
            return cells
    raise DataError("no list of cells")


def _kernel_language(notebook: dict[str, Any]) -> str:
    metadata = notebook.get("metadata")
    for name, key in (("language_info", "name"), ("kernelspec", "language")):
        part = metadata.get(name) if isinstance(metadata, dict) else None
        if isinstance(part, dict) and isinstance(part.get(key), str):
            return part[key].lower()
    return ""


def _cell_language(cell: dict[str, Any], text: str, language: str) -> str:
    """The language of a cell: by its magic, its own metadata or the notebook's."""
    magics = r"%%(bash|sh|javascript|js|html|latex|perl|ruby|sql|cython|R|writefile)\b"
    if magic := re.match(magics, text):
        return {"sh": "bash", "js": "javascript", "R": "r", "writefile": ""}.get(magic[1], magic[1])
    own = cell.get("language")
    return own if isinstance(own, str) and re.fullmatch(r"[\w+#-]{1,30}", own) else language


def _find_cell_values(data: bytes) -> Iterator[_JsonValue]:
    path: list[str | int] = []
    opened: list[tuple[bytes, int]] = []
    key, at = "", 3 if data.startswith(b"\xef\xbb\xbf") else 0
    open_value = None
    while match := TOKEN.match(data, at):
        start, at = match.start(match.lastindex or 0), match.end()
        token = match[match.lastindex or 0]
        is_key = bool(match[1]) and bool(opened) and opened[-1][0] == b"{" and not key
        if is_key:
            key, path[-1] = "seen", json.loads(token)
        elif token == b":":
            pass
        elif token == b",":
            key = ""
            if opened and opened[-1][0] == b"[":
                path[-1] = int(path[-1]) + 1
        elif token in (b"{", b"["):
            if open_value is None and _is_wanted(path):
                open_value = (len(path), start)
            opened.append((token, start))
            path.append(0 if token == b"[" else "")
            key = ""
            if len(opened) > MAX_DEPTH:
                raise DataError("nested too deep")
        elif token in (b"}", b"]"):
            opened.pop()
            path.pop()
            key = "seen"
            if open_value and open_value[0] == len(path):
                yield _JsonValue(tuple(path), open_value[1], at)
                open_value = None
        elif open_value is None and _is_wanted(path):
            yield _JsonValue(tuple(path), start, at)


def _is_wanted(path: list[str | int]) -> bool:
    inner = path[2:] if path[:1] == ["cells"] else path[4:] if path[:1] == ["worksheets"] else []
    return len(inner) == 1 and inner[0] in ("source", "input", "outputs", "attachments")


def _string_ranges(data: bytes, value: _JsonValue) -> Iterator[tuple[int, int]]:
    at = value.start
    while at < value.end and (match := TOKEN.match(data, at)):
        at = match.end()
        if match[1]:
            yield match.span(1)
