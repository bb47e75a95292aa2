"""Files: a kind by suffix, and the record that the bytes become.

Text is decoded, with its outline. HTML, PDF, EPUB and office files stay bytes: a later step
selects the text: `web.main_text`, or `documents.read` here, which takes all of it. All readers
(folders, archives, repositories, crawls) use this file. The reader `folder` by default guesses
charsets; `read_bytes` repairs nothing. Every file that is not read is reported.
"""

import hashlib
import re
from collections.abc import Iterator
from fnmatch import translate
from pathlib import PurePosixPath
from typing import IO, Any

from groundup.core import Config, DataError

from ..document import Record, heading_spans
from ..markup import Markup, read_html
from ..record import ExtractedText, StepResult
from ..structure.outline import markdown_headings, python_headings, rst_headings
from .encodings import DecodedText, decode
from .reader import (
    FileReader,
    InputSplit,
    ReaderConfig,
    Refused,
    Rejected,
    data_record,
    read_all,
    suffix_of,
    text_record,
)

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
ARCHIVE_SUFFIXES = (*TAR_SUFFIXES, ".zip", ".gz", ".bz2", ".xz")
MBOX_SUFFIXES = (".mbox", ".mbx", ".mbox.gz", ".mbox.bz2", ".mbox.xz")
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
        "docbook": ".dbk .docbook",
        "pdf": ".pdf",
        "epub": ".epub",
        "docx": ".docx",
        "odt": ".odt",
        "pptx": ".pptx",
        "odp": ".odp",
        "ods": ".ods",
        "xlsx": ".xlsx",
        "rtf": ".rtf",
        "code": ".c .h .cc .cpp .cxx .hpp .hh .cs .java .kt .scala .go .rs .swift .m .mm .js .mjs "
        ".jsx .ts .tsx .vue .rb .php .pl .pm .lua .r .jl .hs .ml .mli .ex .exs .erl .clj .lisp .el "
        ".scm .f .f90 .f95 .for .pas .d .nim .zig .dart .sh .bash .zsh .fish .ps1 .sql .css .scss "
        ".less .cmake .mk .proto .tcl .vb .asm .s .sv .vhd .vhdl .json .yaml .yml .toml .ini .cfg "
        ".xml .csv",
    }.items()
    for ending in endings.split()
}
HEADING_READERS = {
    "markdown": markdown_headings, "python": python_headings, "rst": rst_headings,
}  # fmt: skip
CODE_FILE_NAMES = frozenset({"makefile", "dockerfile", "cmakelists.txt", "rakefile", "gemfile"})
OFFICE_KINDS = frozenset({"docx", "odt", "pptx", "odp", "ods"})
BYTE_KINDS = frozenset({"html", "pdf", "epub", "xlsx", "rtf"}) | OFFICE_KINDS
JATS_START = re.compile(
    rb"<!DOCTYPE\s+article\b|<article\b[^>]{0,1000}(?:dtd-version|article-type)"
)
DOCBOOK_START = re.compile(
    rb"<!DOCTYPE\s+\w+\s[^<>]*DocBook|xmlns(?::\w+)?\s*=\s*[\"']http://docbook\.org/ns/docbook[\"']"
    rb"|\A(?:<[?!][^<>]*>\s*)*<(?:refentry|sect1|refsect1)\b"
    rb"|\A(?:<[?!][^<>]*>\s*)*<(?:article|book|chapter|section|part|set|appendix|preface)\b"
    rb"(?=.*<(?:sim)?para\b)",
    re.DOTALL | re.IGNORECASE,
)
"""A type, a namespace, or an element that only DocBook has, in the first bytes of a file."""


MINIFIED_SUFFIXES = frozenset((".js", ".mjs", ".css"))
MINIFIED_LINE = 1000
"""Mean bytes of a line from which such a file is made for machines, as search indexes are."""


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
    if suffix == ".xml" and DOCBOOK_START.search(start):
        return "docbook"
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
    mean = len(data) // (1 + data.count(b"\n"))
    if suffix_of(path) in MINIFIED_SUFFIXES and min(mean, len(data) // 5) > MINIFIED_LINE:
        return Rejected(path, "minified", f"lines of {mean:,} bytes in the mean")
    try:
        page = _outlined(kind, decode(data, metadata.get("charset", ""), repair, kind))
    except Refused as refused:
        return refused.reject(path)
    stated = {} if kind == "python" else page.metadata
    if page.charset != "utf-8":
        stated |= {"charset": page.charset}
    if page.replaced:
        stated |= {"replaced_bytes": page.replaced}
    metadata.pop("charset", None)
    spans = heading_spans(page.headings)
    return text_record(source, path, kind, page.map, stated | metadata, spans)


def _outlined(kind: str, read: DecodedText) -> Markup:
    """A decoded text with its headings, and as title the first of level 1."""
    text = read.map.text
    headings = tuple(HEADING_READERS[kind](text)) if kind in HEADING_READERS else ()
    title = next((text[h.start : h.end] for h in headings if h.level == 1), "")
    metadata = {"title": title} if title else {}
    return Markup(read.map, headings, metadata, read.charset, read.replaced)


class ReadMarkupConfig(Config):
    """How `documents.read` extracts text."""

    repair: bool = True
    """Guess a charset that is not declared; otherwise what is neither UTF-8 nor in the charset that
    it declares is dropped."""
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
            from .books import read_pdf

            return read_pdf(record.data, self.config.max_pages, self.config.max_bytes)
        if record.kind == "epub":
            from .books import read_book

            return read_book(record.data, self.config.max_bytes)
        if record.kind in OFFICE_KINDS:
            from .office import read_office

            return read_office(record.data, record.kind, self.config.max_bytes)
        if record.kind == "xlsx":
            from .office import read_workbook

            return read_workbook(record.data, self.config.max_bytes)
        if record.kind == "rtf":
            from .office import read_rtf

            return read_rtf(record.data)
        declared = str(record.metadata.get("charset", ""))
        if record.kind == "html":
            page = read_html(record.data, declared, self.config.repair)
        else:
            read = decode(record.data, declared, self.config.repair, record.kind)
            page = _outlined(record.kind, read)
        metadata = {} if record.kind == "python" else page.metadata
        made = ExtractedText(page.map, heading_spans(page.headings))
        return made, metadata | {"charset": page.charset}


class FolderConfig(ReaderConfig):
    """Which files of a folder are records."""

    kinds: tuple[str, ...] = ()
    """Kinds to read, such as html or rst; others are rejected. Empty: all known kinds."""
    endings: dict[str, str] = {}
    """Additional suffixes and their kinds, such as `.log` = text."""
    skip: tuple[str, ...] = ()
    """Glob patterns of paths to skip, such as `*/genindex.html`; `*` also matches `/`."""


class Folder(FileReader):
    """The reader `folder`: one record per file, by suffix."""

    def __init__(self, config: FolderConfig) -> None:
        self.config = config
        self.kind_by_suffix = KIND_BY_SUFFIX | {
            key.lower(): kind for key, kind in config.endings.items()
        }
        self.skip = re.compile("|".join(map(translate, config.skip))) if config.skip else None

    def records(
        self, file: IO[bytes], input_split: InputSplit, source: str
    ) -> Iterator[Record | Rejected]:
        """Yield the record of a file."""
        path, config, suffix = input_split.path, self.config, suffix_of(input_split.path)
        if self.skip and self.skip.match(path):
            raise Refused("skipped by its path")
        if suffix and suffix not in self.kind_by_suffix and not path.lower().endswith("makefile"):
            raise Refused("another kind of file", f"its ending is {suffix}")
        data = read_all(file, config.max_bytes)
        kind = kind_of_file(path, data, self.kind_by_suffix)
        if not kind or (config.kinds and kind not in config.kinds):
            raise Refused("another kind of file", f"it is {kind}, its ending {suffix}")
        yield make_record(source, path, kind, data, {}, config.repair)


def read_bytes(data: bytes, path: str) -> Record:
    """Make a record of a file's bytes; the suffix of `path` determines the kind.

    For text, Markdown and Python, the text is the decoded bytes without a byte order mark and with
    unchanged line ends. Raises DataError if the bytes are binary or not UTF-8.

    >>> note = read_bytes("# Tea\\r\\nA cup’s worth".encode(), "notes/tea.md")
    >>> note.kind, note.quote(7, 14)
    ('markdown', Quote(path='notes/tea.md', start=7, end=16, text='A cup’s', line=2, page=0))
    """
    read = _read_file(data, path)
    if isinstance(read, Rejected):
        details = f" ({read.details})" if read.details else ""
        raise DataError(f"{path} is {read.reason}{details}; give text in UTF-8.")
    return read


def _read_file(data: bytes, path: str) -> Record | Rejected:
    """The record of a file to quote; its id changes when the file is edited."""
    kind = kind_of_file(path, data)
    kind = kind if kind in ("markdown", "html", "python") else "text"
    try:
        page = read_html(data) if kind == "html" else _outlined(kind, decode(data, repair=False))
    except Refused as refused:
        return refused.reject(path)
    sha256 = hashlib.sha256(data).hexdigest()
    identity = hashlib.sha256(f"{path}\0{sha256}".encode()).hexdigest()[:16]
    metadata, spans = page.metadata | {"sha256": sha256}, heading_spans(page.headings)
    return Record(identity, "", path, kind, page.map.text, page.map, spans, metadata)
