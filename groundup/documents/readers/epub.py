"""EPUB: the chapters of a book in spine order, each read as HTML.

A book is a zip of XHTML files with a list of their reading order. The limits of archives.py apply,
and chapters are looked up among the member names, so no path escapes. XML is parsed without
entities, network access or deep nesting. The map is to the bytes of the chapter or, for a complete
book, of its concatenated chapters. Source: EPUB 3.3, W3C Recommendation, §§ 4 and 5.
"""

import io
import posixpath
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from groundup.core import MissingExtra

from ..record import ExtractedText, Record, TextSpan
from .archives import UNPACK_ERRORS, ArchiveConfig, checked_entries, read_entry
from .encodings import SourceMapBuilder
from .kinds import heading_spans, parse_html
from .reader import (
    InputSplit,
    Refused,
    Rejected,
    plan_files,
    printable_path,
    read_file_bytes,
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


class Chapter(NamedTuple):
    """A file of the spine."""

    name: str
    data: bytes


class Epub:
    """The reader `epub`."""

    def __init__(self, config: EpubConfig) -> None:
        self.config = config

    def plan(self, root: Path) -> list[InputSplit]:
        """Return one split per book."""
        return plan_files(root, (".epub",))

    def read(self, root: Path, input_split: InputSplit, source: str) -> Iterator[Record | Rejected]:
        """Yield a book, or its chapters, and a reject for each chapter that cannot be read."""
        config = self.config
        try:
            data = read_file_bytes(root, input_split.path, config.max_total_bytes)
            metadata, chapters = _open_book(data, config)
        except Refused as refused:
            yield refused.reject(printable_path(input_split.path))
            return
        readable = []
        for number, chapter in enumerate(chapters, 1):
            path = f"{input_split.path}#{number}-{getattr(chapter, 'name', '')}"
            if isinstance(chapter, Refused):
                yield chapter.reject(path)
            elif config.whole:
                readable.append(chapter)
            else:
                yield self.chapter_record(chapter, path, source, metadata | {"chapter": number})
        if config.whole:
            joined = _join_chapters(readable)
            yield text_record(source, input_split.path, "epub", joined.map, metadata, joined.spans)

    def chapter_record(
        self, chapter: Chapter, path: str, source: str, metadata: dict[str, Any]
    ) -> Record | Rejected:
        """The record of a chapter."""
        try:
            joined = _join_chapters([chapter])
        except Refused as refused:
            return refused.reject(path)
        return text_record(source, path, "epub", joined.map, metadata, joined.spans)


def read_book(data: bytes, max_bytes: int) -> tuple[ExtractedText, dict[str, Any]]:
    """Text and metadata of a book, its chapters joined."""
    metadata, chapters = _open_book(data, EpubConfig(max_total_bytes=max(max_bytes, 1)))
    readable = [chapter for chapter in chapters if isinstance(chapter, Chapter)]
    lost = len(chapters) - len(readable)
    return _join_chapters(readable), metadata | ({"chapters_lost": lost} if lost else {})


def _join_chapters(chapters: list[Chapter]) -> ExtractedText:
    """Join chapters with blank lines; byte offsets count through all of them."""
    pieces, spans, shift, lines = SourceMapBuilder(), [], 0, 0
    for chapter in chapters:
        page, _ = parse_html(chapter.data)
        if page.map.text.strip():
            if pieces.length:
                pieces.append_inserted("\n\n")
            start = pieces.length
            pieces.append_slice(page.map, 0, len(page.map.text), shift, lines)
            title = page.metadata.get("title", "")
            spans.append(TextSpan("chapter", start, pieces.length, title))
            spans += [
                span._replace(start=span.start + start, end=span.end + start)
                for span in heading_spans(page.headings)
            ]
        shift += len(chapter.data)
        lines += chapter.data.count(b"\n")
    return ExtractedText(pieces.build(), tuple(spans))


def _open_book(
    data: bytes, config: ArchiveConfig
) -> tuple[dict[str, Any], list[Chapter | Refused]]:
    """Metadata and chapters of a book; Refused if it cannot be read."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = {entry.filename: entry for entry in checked_entries(archive, config)}
            if "META-INF/encryption.xml" in entries and _has_drm(archive):
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


def _has_drm(archive: zipfile.ZipFile) -> bool:
    """Whether anything other than fonts is encrypted."""
    with archive.open("META-INF/encryption.xml") as file:
        encryption = file.read(MAX_PACKAGE_BYTES)
    return b"html" in encryption.lower()


def _read_chapter(
    archive: zipfile.ZipFile, entries: dict[str, Any], name: str, config: ArchiveConfig
) -> Chapter | Refused:
    """One file of the spine, or why it cannot be read."""
    try:
        return Chapter(name, _read_member(archive, entries, name, config))
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
    """Title, author, language, rights and more from the package metadata."""
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
