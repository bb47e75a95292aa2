"""Kinds: what a file is by its ending, and the record or text that its bytes make.

Text comes decoded, with its outline; HTML, PDF and EPUB stay bytes, because which part of a page is
its text is for a step to say: `web.main_text`, or `documents.read` here, which takes all of it.
Knows nothing of where the bytes lay: folders, archives, repositories and crawls all end here.
"""

import hashlib
import re
from pathlib import PurePosixPath
from typing import Any

from groundup.core import Config

from ..document import Heading
from ..markup import CHARSET, Extraction, Markup
from ..outline import markdown_headings, python_headings, rst_headings
from ..record import Made, Record, Ruling, Span
from .encodings import Decoded, decode, through
from .reader import Refused, Rejected, data_record, suffix_of, text_record

KIND_BY_ENDING: dict[str, str] = {
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
NAMED_CODE = frozenset({"makefile", "dockerfile", "cmakelists.txt", "rakefile", "gemfile"})
AS_BYTES = frozenset({"html", "pdf", "epub"})
JATS = re.compile(rb"<!DOCTYPE\s+article\b|<article\b[^>]{0,1000}(?:dtd-version|article-type)")
CODING = re.compile(rb"[ \t\f]*#[^\n]{0,200}?coding[:=][ \t]*([-\w.]{1,40})")


def kind_of_file(path: str, data: bytes, known: dict[str, str] = KIND_BY_ENDING) -> str:
    """Kind of a record by its file's ending, then by its first bytes; empty if neither tells.

    >>> kind_of_file("a.rst", b""), kind_of_file("page", b"<html>"), kind_of_file("x.bin", b"")
    ('rst', 'html', '')
    """
    suffix = suffix_of(path)
    kind = known.get(suffix, "")
    if PurePosixPath(path).name.lower() in NAMED_CODE:
        return "code"
    start = data[:4096].removeprefix(b"\xef\xbb\xbf").lstrip()
    if kind in ("", "text") and start[:15].lower().startswith((b"<!doctype html", b"<html")):
        return "html"
    if suffix == ".xml" and JATS.search(start):
        return "jats"
    if not suffix and not kind:
        return "pdf" if start.startswith(b"%PDF-") else "text"
    return kind


def make_record(
    source: str, path: str, kind: str, data: bytes, metadata: dict[str, Any], repair: bool = True
) -> Record | Rejected:
    """The record of a file's bytes; `metadata` may have the `charset` that a server declared."""
    metadata = metadata | {"sha256": hashlib.sha256(data).hexdigest()}
    if not data:
        return Rejected(path, "empty", "0 bytes")
    if kind in AS_BYTES:
        return data_record(source, path, kind, data, metadata)
    try:
        read = decode(data, metadata.get("charset", "") or declared_in(kind, data), repair)
    except Refused as refused:
        return refused.reject(path)
    spans, title = outline(kind, read.map.text)
    found = {"title": title, "charset": unless_plain(read), "replaced_bytes": read.replaced}
    found = {key: value for key, value in found.items() if value}
    metadata.pop("charset", None)
    return text_record(source, path, kind, read.map, found | metadata, spans)


def unless_plain(read: Decoded) -> str:
    """The charset, if it is worth a note."""
    return "" if read.charset == "utf-8" else read.charset


def declared_in(kind: str, data: bytes) -> str:
    """The charset that the bytes themselves declare, if they do."""
    if kind in ("html", "jats", "code"):
        found = CHARSET.search(data, 0, 1024)
        label = (found[1] or found[2]) if found else b""
        if label.lower().startswith((b"utf-16", b"utf-32")):
            return ""  # it was read as ASCII, so it is not
        return label.decode("ascii", "replace")
    if kind == "python":
        for line in data[:400].split(b"\n")[:2]:  # PEP 263
            if found := CODING.match(line):
                return found[1].decode("ascii")
    return ""


def outline(kind: str, text: str) -> tuple[tuple[Span, ...], str]:
    """Spans of the headings of a text, and its title."""
    makers = {
        "markdown": markdown_headings, "python": python_headings, "rst": rst_headings,
    }  # fmt: skip
    headings = makers[kind](text) if kind in makers else ()
    first = next((h for h in headings if h.level == 1), None) if kind != "python" else None
    return heading_spans(headings), text[first.start : first.end] if first else ""


def heading_spans(headings: "tuple[Heading, ...] | list[Heading]") -> tuple[Span, ...]:
    """Headings as spans whose value is the level."""
    return tuple(Span("heading", h.start, h.end, str(h.level)) for h in headings)


def read_page(data: bytes, declared: str = "", repair: bool = True) -> tuple[Markup, str]:
    """What an HTML file in any charset says, mapped to its own bytes, and the charset.

    >>> page, charset = read_page("<p>über".encode("utf-16"))
    >>> page.map.text, charset
    ('über', 'utf-16-le')
    """
    read = decode(data, declared or declared_in("html", data), repair)
    unicode = read.map.text.encode("utf-8")
    markup = Extraction(unicode).run()
    return markup._replace(map=through(markup.map, unicode, read.map)), read.charset


class ReadMarkupConfig(Config):
    """What `documents.read` makes of bytes."""

    repair: bool = True
    """Find out the charset of what is not UTF-8; otherwise such records are dropped."""
    max_bytes: int = 64 * 2**20
    """Bytes of the text of one record, and what an EPUB may unpack to. Own choice."""
    max_pages: int = 10_000
    """Pages of a PDF that are read. Own choice: ten times a long book."""


class ReadMarkup:
    """The step `documents.read`: text of a record's bytes by its kind, all of it."""

    def __init__(self, config: ReadMarkupConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> Ruling:
        """Make text where there is none yet."""
        if not record.data:
            return Ruling()
        try:
            made, metadata = self.make(record)
        except Refused as refused:
            return Ruling(reason=refused.reason, details=refused.details)
        if not made.map.text.strip():
            return Ruling(reason="no text in the markup", details=f"{len(record.data)} bytes")
        return Ruling(made=made, metadata=metadata)

    def make(self, record: Record) -> tuple[Made, dict[str, Any]]:
        """Text and what the bytes say about themselves."""
        if record.kind == "pdf":
            from .pdf import PdfLimits, read_pdf

            return read_pdf(record.data, PdfLimits(self.config.max_pages, self.config.max_bytes))
        if record.kind == "epub":
            from .epub import read_book

            return read_book(record.data, self.config.max_bytes)
        declared = str(record.metadata.get("charset", ""))
        if record.kind == "html":
            page, charset = read_page(record.data, declared, self.config.repair)
            metadata = {"charset": charset} | page.metadata
            return Made(page.map, heading_spans(page.headings)), metadata
        declared = declared or declared_in(record.kind, record.data)
        read = decode(record.data, declared, self.config.repair)
        spans, title = outline(record.kind, read.map.text)
        return Made(read.map, spans), {"charset": read.charset} | (
            {"title": title} if title else {}
        )
