"""Books: the chapters of EPUB files in spine order, and the pages of PDF files.

An EPUB is a zip of XHTML files with a list of their reading order. The limits of archives.py apply,
and chapters are looked up among the member names, so no path escapes. XML is parsed without
entities, network access or deep nesting. The map is to the bytes of the chapter or, for a complete
book, of its concatenated chapters. Source: EPUB 3.3, W3C Recommendation, §§ 4 and 5.

A PDF contains drawing instructions, not text, so no character has bytes of its own: every character
maps to the complete file, and pages are given by spans, with form feeds in between. Work is limited
by counts (pages, characters); only a file that keeps the parser busy for minutes is stopped by the
processor time that it took. Running heads and hyphens are handled by the steps for books. Parser:
PDFium (pypdfium2), in a process of its own: see books/pdf_pages.py.
"""

import contextlib
import hashlib
import importlib.util
import io
import json
import os
import posixpath
import subprocess
import threading
import weakref
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import unquote

from groundup.core import MissingExtra, child

from ..document import WITHOUT_TEXT, Record, Segment, SourceMap, TextSpan, heading_spans
from ..markup import read_html
from ..record import ExtractedText
from .archives import UNPACK_ERRORS, ArchiveConfig, checked_entries, read_entry
from .encodings import SourceMapBuilder
from .reader import (
    FileReader,
    InputSplit,
    ReaderConfig,
    Refused,
    Rejected,
    read_all,
    text_record,
)

MAX_PACKAGE_BYTES = 4 * 2**20
"""Maximum bytes of the package file; a large book's has some hundred KiB. Own choice."""
DUBLIN_CORE = {"title": "title", "creator": "author", "language": "language", "rights": "rights",
               "date": "date", "publisher": "publisher", "identifier": "identifier"}  # fmt: skip

RIGHTS_PROPERTIES = {"dcterms:rights", "dcterms:license", "dcterms:accessRights", "cc:license"}
"""Names of rights statements in an EPUB 3 `meta` or `link`."""


class EpubConfig(ArchiveConfig):
    """How books are read."""

    max_total_bytes: int = 512 * 2**20
    """Maximum unpacked bytes of all members, images included. Own choice."""
    whole: bool = True
    """One record per book with `chapter` spans; otherwise one per chapter."""


class _Chapter(NamedTuple):
    """A file of the spine."""

    name: str
    data: bytes


class Epub(FileReader):
    """The reader `epub`."""

    ENDINGS = (".epub",)

    def __init__(self, config: EpubConfig) -> None:
        self.config = config

    def records(
        self, file: IO[bytes], input_split: InputSplit, source: str
    ) -> Iterator[Record | Rejected]:
        """Yield a book, or its chapters, and a reject for each chapter that cannot be read."""
        config = self.config
        metadata, chapters = _open_book(read_all(file, config.max_total_bytes), config)
        readable = []
        for number, chapter in enumerate(chapters, 1):
            path = f"{input_split.path}#{number}-{getattr(chapter, 'name', '')}"
            if isinstance(chapter, Refused):
                yield chapter.reject(path)
            elif config.whole:
                readable.append(chapter)
            else:
                yield self._chapter_record(chapter, path, source, metadata | {"chapter": number})
        if config.whole:
            joined = _join_chapters(readable)
            yield text_record(source, input_split.path, "epub", joined.map, metadata, joined.spans)

    def _chapter_record(
        self, chapter: _Chapter, path: str, source: str, metadata: dict[str, Any]
    ) -> Record | Rejected:
        try:
            joined = _join_chapters([chapter])
        except Refused as refused:
            return refused.reject(path)
        return text_record(source, path, "epub", joined.map, metadata, joined.spans)


def read_book(data: bytes, max_bytes: int) -> tuple[ExtractedText, dict[str, Any]]:
    """Text and metadata of a book, its chapters joined."""
    metadata, chapters = _open_book(data, EpubConfig(max_total_bytes=max(max_bytes, 1)))
    readable = [chapter for chapter in chapters if isinstance(chapter, _Chapter)]
    lost = len(chapters) - len(readable)
    return _join_chapters(readable), metadata | ({"chapters_lost": lost} if lost else {})


def _join_chapters(chapters: list[_Chapter]) -> ExtractedText:
    """Join chapters with blank lines; byte offsets count through all of them."""
    pieces, spans, shift, lines = SourceMapBuilder(), [], 0, 0
    for chapter in chapters:
        page = read_html(chapter.data, repair=True)
        if page.map.text.strip():
            if pieces.length:
                pieces.append_inserted("\n\n")
            start = pieces.length
            pieces.append_slice(page.map, 0, len(page.map.text), shift, lines)
            title = page.metadata.get("title", "")
            spans.append(TextSpan("chapter", start, pieces.length, title))
            items = (TextSpan("item", *item) for item in page.items)
            spans += [
                span._replace(start=span.start + start, end=span.end + start)
                for span in (*heading_spans(page.headings), *items)
            ]
        shift += len(chapter.data)
        lines += chapter.data.count(b"\n")
    return ExtractedText(pieces.build(), tuple(spans))


def _open_book(
    data: bytes, config: ArchiveConfig
) -> tuple[dict[str, Any], list[_Chapter | Refused]]:
    """Metadata and chapters of a book; Refused if it cannot be read."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = {entry.filename: entry for entry in checked_entries(archive, config)}
            if "META-INF/encryption.xml" in entries:
                with archive.open("META-INF/encryption.xml") as file:
                    encryption = file.read(MAX_PACKAGE_BYTES)
                if b"html" in encryption.lower():  # not only fonts
                    raise Refused("encrypted", "its chapters are under digital rights management")
            package_file = _package_path(
                _read_member(archive, entries, "META-INF/container.xml", config)
            )
            package = _parse_xml(_read_member(archive, entries, package_file, config))
            names = _spine_members(package, posixpath.dirname(package_file))
            chapters = [_read_chapter(archive, entries, name, config) for name in names]
    except UNPACK_ERRORS as error:
        raise Refused("broken file", str(error)[:200]) from None
    if not chapters:
        raise Refused("no chapters", "its spine is empty")
    return _package_metadata(package), chapters


def _read_chapter(
    archive: zipfile.ZipFile, entries: dict[str, Any], name: str, config: ArchiveConfig
) -> _Chapter | Refused:
    """One file of the spine, or why it cannot be read."""
    try:
        return _Chapter(name, _read_member(archive, entries, name, config))
    except Refused as refused:
        return refused
    except UNPACK_ERRORS as error:
        return Refused("broken archive", str(error)[:200])


def _read_member(
    archive: zipfile.ZipFile, entries: dict[str, Any], name: str, config: ArchiveConfig
) -> bytes:
    """The bytes of a member by name; Refused if it does not exist."""
    if name not in entries:
        raise Refused("missing member", name[:200])
    return read_entry(archive, entries[name], config)


def _parse_xml(data: bytes) -> Any:
    """Parse XML without resolving entities; Refused if it is not well formed."""
    try:
        import lxml.etree as etree
    except ImportError:
        raise MissingExtra("lxml", "corpus") from None
    if len(data) > MAX_PACKAGE_BYTES:
        raise Refused("too large", f"a list of chapters of {len(data)} bytes")
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, huge_tree=False, load_dtd=False, recover=False
    )
    try:
        return etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise Refused("broken file", f"XML: {error}"[:200]) from None


def _package_path(container: bytes) -> str:
    """Path of the package file, from the container file."""
    for rootfile in _parse_xml(container).iter("{*}rootfile"):
        if path := rootfile.get("full-path"):
            return path
    raise Refused("broken file", "its container names no package")


def _spine_members(package: Any, folder: str) -> list[str]:
    """Member names of the chapters in reading order, without duplicates and other types."""
    items = {item.get("id"): item for item in package.iter("{*}item")}
    names = []
    for reference in package.iter("{*}itemref"):
        item = items.get(reference.get("idref"))
        if item is None or "html" not in (item.get("media-type") or "html"):
            continue
        target = unquote((item.get("href") or "").partition("#")[0])
        names.append(posixpath.normpath(posixpath.join(folder, target)))
    return list(dict.fromkeys(names))


def _package_metadata(package: Any) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    for tag, name in DUBLIN_CORE.items():
        values = [
            " ".join("".join(element.itertext()).split()) for element in package.iter("{*}" + tag)
        ]
        if values := [value[:2_000] for value in values if value]:
            metadata[name] = values[0] if len(values) == 1 else values
    terms = [
        (element.text or element.get("href") or "").strip()[:2_000]
        for element in package.iter("{*}meta", "{*}link")
        if {element.get("property"), element.get("rel")} & RIGHTS_PROPERTIES
    ]
    every = metadata.get("rights", [])
    every = list(dict.fromkeys([*(every if isinstance(every, list) else [every]), *terms]))
    if every := [element for element in every if element]:
        metadata["rights"] = every[0] if len(every) == 1 else every
    return metadata


MAX_SECONDS = 300
"""Maximum processor time of a file; PDFium reads some hundred pages a second. Own choice."""
PDF_CHILD = Path(__file__).parents[1] / "books" / "pdf_pages.py"


class PdfConfig(ReaderConfig):
    """Limits on reading one file."""

    max_pages: int = 10_000
    """Maximum pages of a file. Own choice: ten times a long book."""


class Pdf(FileReader):
    """The reader `pdf`: one record per file, with `page` spans."""

    ENDINGS = (".pdf",)

    def __init__(self, config: PdfConfig) -> None:
        self.config = config

    def records(
        self, file: IO[bytes], input_split: InputSplit, source: str
    ) -> Iterator[Record | Rejected]:
        """Yield the record of a file."""
        data = read_all(file, self.config.max_bytes)
        if not data:
            raise Refused("empty", "0 bytes")
        extracted, metadata = read_pdf(data, self.config.max_pages, self.config.max_bytes)
        metadata |= {"sha256": hashlib.sha256(data).hexdigest()}
        yield text_record(source, input_split.path, "pdf", extracted.map, metadata, extracted.spans)


def read_pdf(
    data: bytes, max_pages: int = 10_000, max_characters: int = 64 * 2**20
) -> tuple[ExtractedText, dict[str, Any]]:
    """Text of a PDF with `page` spans, and its metadata.

    A page that cannot be read is empty and listed under `pages_failed`, one that has pictures and
    no text under `pages_without_text`. Raises Refused if the file is encrypted, broken or exceeds
    the limits.
    """
    if importlib.util.find_spec("pypdfium2") is None:
        raise MissingExtra("pypdfium2", "corpus")
    head, *read = _pdf_lines(data, max_pages, max_characters) or [{}]
    if "pages" not in head:
        error = head.get("error", "its parser stopped")
        raise Refused("encrypted" if "password" in error.lower() else "broken file", error[:200])
    count = head["pages"]
    if count > max_pages:
        raise Refused("too many pages", f"{count}; {max_pages} at most")
    pages: list[str | None] = [page[0] if page else None for page in read]
    if sum(len(page or "") + 1 for page in pages) > max_characters:
        raise Refused("too large", f"more than {max_characters} characters of text")
    pages += [None] * (count - len(pages))  # the parser was stopped
    failed = [number for number, page in enumerate(pages, 1) if page is None]
    if failed and not any(pages):
        raise Refused("broken file", f"none of {count} pages can be read")
    pictures = [number for number, page in enumerate(read, 1) if page and page[1]]
    metadata = _document_metadata(head["stated"]) | {"pages": count}
    metadata |= {"pages_failed": failed} if failed else {}
    metadata |= {WITHOUT_TEXT: pictures} if pictures else {}
    return join_pages([_valid_text(page or "") for page in pages], len(data)), metadata


class _PdfChild:
    """A process that runs pdf_pages.py for one file after another."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.process = subprocess.Popen(
            child.python_command(str(PDF_CHILD)), env=child.python_environment(),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.files = 0
        self.end = weakref.finalize(self, _end_child, self.process, self.owner)

    def read(self, data: bytes, max_pages: int, max_characters: int) -> list[Any]:
        """The lines for a file, as far as the process wrote them before a limit ended it."""
        lines: list[Any] = []
        self.files += 1
        request = json.dumps([len(data), max_pages, max_characters, MAX_SECONDS])
        assert self.process.stdin and self.process.stdout
        try:
            self.process.stdin.write(request.encode() + b"\n" + data)
            self.process.stdin.flush()
            for line in self.process.stdout:
                if line == b"\n":
                    return lines
                if line.endswith(b"\n"):
                    lines.append(json.loads(line))
        except BrokenPipeError:  # it ended before it had read the file
            lines.clear()
        self.end()
        return lines


def _end_child(process: subprocess.Popen[bytes], owner: int) -> None:
    """End a process at once, unless this is a fork of the process that started it."""
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):
            pipe.close() if pipe else None
    if os.getpid() == owner:
        process.kill()
        process.wait()


def _pdf_lines(data: bytes, max_pages: int, max_characters: int) -> list[Any]:
    """What pdf_pages.py writes for a file; twice, if it ended after it had read others."""
    running = _pdf_child()
    lines = running.read(data, max_pages, max_characters)
    if not running.end.alive and running.files > 1:
        lines = _pdf_child().read(data, max_pages, max_characters)
    return lines


_CHILDREN = threading.local()


def _pdf_child() -> _PdfChild:
    """The process that reads PDFs for this thread; a new one if it has ended or was inherited."""
    running = getattr(_CHILDREN, "pdf", None)
    if running is None or running.owner != os.getpid() or not running.end.alive:
        running = _CHILDREN.pdf = _PdfChild()
    return running


def _valid_text(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def join_pages(texts: list[str], size: int) -> ExtractedText:
    """Join pages with form feeds, each with a span and mapped to the complete file of this size."""
    shown = [text.replace("\f", "\n") for text in texts]
    spans, start = [], 0
    for number, text in enumerate(shown, 1):
        spans.append(TextSpan("page", start, start + len(text), str(number)))
        start += len(text) + 1
    joined = "\f".join(shown)
    segments = (Segment(0, len(joined), 0, size, 1, False),) if joined else ()
    return ExtractedText(SourceMap(joined, segments), tuple(spans))


def _document_metadata(stated: dict[str, str]) -> dict[str, Any]:
    """Title, author and date from what the file says of itself."""
    names = (("Title", "title"), ("Author", "author"), ("CreationDate", "date"))
    values = {name: _valid_text(stated.get(key, "")).replace("\0", "") for key, name in names}
    return {name: value.strip()[:1_000] for name, value in values.items() if value.strip()}
