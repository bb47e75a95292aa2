"""Kinds: a file's kind by its suffix, and the record or text that its bytes become.

Text is decoded, with its outline. HTML, PDF and EPUB stay bytes, because a later step selects the
text: `web.main_text`, or `documents.read` here, which takes all of it. All readers (folders,
archives, repositories, crawls) use this file.
"""

import hashlib
import re
from pathlib import PurePosixPath
from typing import Any

from groundup.core import Config

from ..document import Heading
from ..markup import CHARSET, HtmlExtractor, Markup
from ..outline import markdown_headings, python_headings, rst_headings
from ..record import ExtractedText, Record, StepResult, TextSpan
from .encodings import DecodedText, compose_maps, decode
from .reader import Refused, Rejected, data_record, suffix_of, text_record

KIND_BY_SUFFIX: dict[str, str] = {
    ending: kind
    for kind, endings in {
        "text": ".txt .text .adoc .org",
        "markdown": ".md .markdown",
        "rst": ".rst .rest",
        "html": ".html .htm .xhtml",
        "python": ".py .pyi",
        "notebook": ".ipynb",
        "latex": ".tex .ltx",
        "jats": ".nxml",
        "pdf": ".pdf",
        "epub": ".epub",
        "code": ".c .h .cc .cpp .cxx .hpp .hh .cs .java .kt .scala .go .rs .swift .m .mm .js .mjs "
        ".jsx .ts .tsx .vue .rb .php .pl .pm .lua .r .jl .hs .ml .mli .ex .exs .erl .clj .lisp .el "
        ".scm .f .f90 .f95 .for .pas .d .nim .zig .dart .sh .bash .zsh .fish .ps1 .sql .css .scss "
        ".less .cmake .mk .proto .tcl .vb .asm .s .sv .vhd .vhdl .json .yaml .yml .toml .ini .cfg "
        ".xml .csv",
    }.items()
    for ending in endings.split()
}
CODE_FILE_NAMES = frozenset({"makefile", "dockerfile", "cmakelists.txt", "rakefile", "gemfile"})
BYTE_KINDS = frozenset({"html", "pdf", "epub"})
JATS_START = re.compile(
    rb"<!DOCTYPE\s+article\b|<article\b[^>]{0,1000}(?:dtd-version|article-type)"
)
CODING_COMMENT = re.compile(rb"[ \t\f]*#[^\n]{0,200}?coding[:=][ \t]*([-\w.]{1,40})")


def kind_of_file(path: str, data: bytes, known: dict[str, str] = KIND_BY_SUFFIX) -> str:
    """Kind of a record by its file's suffix, then by its first bytes; empty if unknown.

    >>> kind_of_file("a.rst", b""), kind_of_file("page", b"<html>"), kind_of_file("x.bin", b"")
    ('rst', 'html', '')
    """
    suffix = suffix_of(path)
    kind = known.get(suffix, "")
    if PurePosixPath(path).name.lower() in CODE_FILE_NAMES:
        return "code"
    start = data[:4096].removeprefix(b"\xef\xbb\xbf").lstrip()
    if kind in ("", "text") and start[:15].lower().startswith((b"<!doctype html", b"<html")):
        return "html"
    if suffix == ".xml" and JATS_START.search(start):
        return "jats"
    if not suffix and not kind:
        return "pdf" if start.startswith(b"%PDF-") else "text"
    return kind


def make_record(
    source: str, path: str, kind: str, data: bytes, metadata: dict[str, Any], repair: bool = True
) -> Record | Rejected:
    """The record of a file's bytes; `metadata` may contain the `charset` declared by a server."""
    metadata = metadata | {"sha256": hashlib.sha256(data).hexdigest()}
    if not data:
        return Rejected(path, "empty", "0 bytes")
    if kind in BYTE_KINDS:
        return data_record(source, path, kind, data, metadata)
    try:
        read = decode(data, metadata.get("charset", "") or _declared_charset(kind, data), repair)
    except Refused as refused:
        return refused.reject(path)
    spans, title = _heading_outline(kind, read.map.text)
    extracted = {
        "title": title,
        "charset": _noteworthy_charset(read),
        "replaced_bytes": read.replaced,
    }
    extracted = {key: value for key, value in extracted.items() if value}
    metadata.pop("charset", None)
    return text_record(source, path, kind, read.map, extracted | metadata, spans)


def _noteworthy_charset(read: DecodedText) -> str:
    """The charset unless it is UTF-8, for the metadata."""
    return "" if read.charset == "utf-8" else read.charset


def _declared_charset(kind: str, data: bytes) -> str:
    """The charset that the bytes themselves declare; empty if none."""
    if kind in ("html", "jats", "code"):
        match = CHARSET.search(data, 0, 1024)
        label = (match[1] or match[2]) if match else b""
        if label.lower().startswith((b"utf-16", b"utf-32")):
            return ""  # read as ASCII, so it cannot be UTF-16
        return label.decode("ascii", "replace")
    if kind == "python":
        for line in data[:400].split(b"\n")[:2]:  # PEP 263
            if match := CODING_COMMENT.match(line):
                return match[1].decode("ascii")
    return ""


def _heading_outline(kind: str, text: str) -> tuple[tuple[TextSpan, ...], str]:
    """Heading spans of a text, and its title."""
    makers = {
        "markdown": markdown_headings, "python": python_headings, "rst": rst_headings,
    }  # fmt: skip
    headings = makers[kind](text) if kind in makers else ()
    first = next((h for h in headings if h.level == 1), None) if kind != "python" else None
    return heading_spans(headings), text[first.start : first.end] if first else ""


def heading_spans(headings: "tuple[Heading, ...] | list[Heading]") -> tuple[TextSpan, ...]:
    """Headings as spans with the level as value."""
    return tuple(TextSpan("heading", h.start, h.end, str(h.level)) for h in headings)


def parse_html(data: bytes, declared: str = "", repair: bool = True) -> tuple[Markup, str]:
    """Parse HTML in any charset, mapped to its own bytes; also returns the charset.

    >>> page, charset = parse_html("<p>über".encode("utf-16"))
    >>> page.map.text, charset
    ('über', 'utf-16-le')
    """
    read = decode(data, declared or _declared_charset("html", data), repair)
    unicode = read.map.text.encode("utf-8")
    markup = HtmlExtractor(unicode).run()
    return markup._replace(map=compose_maps(markup.map, unicode, read.map)), read.charset


class ReadMarkupConfig(Config):
    """How `documents.read` extracts text."""

    repair: bool = True
    """Detect the charset of what is not UTF-8; otherwise such records are dropped."""
    max_bytes: int = 64 * 2**20
    """Maximum bytes of one record's text, and of an unpacked EPUB. Own choice."""
    max_pages: int = 10_000
    """Maximum pages of a PDF. Own choice: ten times a long book."""


class ReadMarkup:
    """The step `documents.read`: extract all text of a record's bytes, by its kind."""

    def __init__(self, config: ReadMarkupConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> StepResult:
        """Extract text if the record still has bytes."""
        if not record.data:
            return StepResult()
        try:
            made, metadata = self.extract(record)
        except Refused as refused:
            return StepResult(reason=refused.reason, details=refused.details)
        if not made.map.text.strip():
            return StepResult(reason="no text in the markup", details=f"{len(record.data)} bytes")
        return StepResult(extracted=made, metadata=metadata)

    def extract(self, record: Record) -> tuple[ExtractedText, dict[str, Any]]:
        """Text and metadata extracted from the bytes."""
        if record.kind == "pdf":
            from .pdf import PdfLimits, read_pdf

            return read_pdf(record.data, PdfLimits(self.config.max_pages, self.config.max_bytes))
        if record.kind == "epub":
            from .epub import read_book

            return read_book(record.data, self.config.max_bytes)
        declared = str(record.metadata.get("charset", ""))
        if record.kind == "html":
            page, charset = parse_html(record.data, declared, self.config.repair)
            metadata = {"charset": charset} | page.metadata
            return ExtractedText(page.map, heading_spans(page.headings)), metadata
        declared = declared or _declared_charset(record.kind, record.data)
        read = decode(record.data, declared, self.config.repair)
        spans, title = _heading_outline(record.kind, read.map.text)
        return ExtractedText(read.map, spans), {"charset": read.charset} | (
            {"title": title} if title else {}
        )
