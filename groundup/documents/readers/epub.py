"""EPUB: the chapters of a book in the order of its spine, each read as HTML.

A book is a zip of XHTML files and one list of the order to read them in. The container's limits are
those of archives.py: nothing is unpacked that is too large, too many or shares bytes, and a chapter
is looked up among the members' names, so no path leads out. XML is parsed without entities, network
or depth. The map is to the bytes of the chapter or, for a whole book, of its chapters joined.
Source: EPUB 3.3, W3C Recommendation, §§ 4 and 5.
"""

import io
import posixpath
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from groundup.core import MissingExtra

from ..record import Made, Record, Span
from .archives import BROKEN, ArchiveConfig, checked_entries, read_entry
from .encodings import Pieces
from .kinds import heading_spans, read_page
from .reader import Part, Refused, Rejected, plan_files, printable, read_all, text_record

PACKAGE_BYTES = 4 * 2**20
"""Bytes of the list of chapters; a large book's has some hundred KiB. Own choice."""
DUBLIN_CORE = {"title": "title", "creator": "author", "language": "language", "rights": "rights",
               "date": "date", "publisher": "publisher", "identifier": "identifier"}  # fmt: skip

RIGHTS = {"dcterms:rights", "dcterms:license", "dcterms:accessRights", "cc:license"}
"""What EPUB 3 calls rights in a `meta` or `link`."""


class EpubConfig(ArchiveConfig):
    """How books are read."""

    max_total_bytes: int = 512 * 2**20
    """Bytes that all members together unpack to, pictures included. Own choice."""
    whole: bool = True
    """One record a book with `chapter` spans; otherwise one a chapter."""


class Chapter(NamedTuple):
    """A file of the spine."""

    name: str
    data: bytes


class Epub:
    """The reader `epub`."""

    def __init__(self, config: EpubConfig) -> None:
        self.config = config

    def plan(self, root: Path) -> list[Part]:
        """A part for every book."""
        return plan_files(root, (".epub",))

    def read(self, root: Path, part: Part, source: str) -> Iterator[Record | Rejected]:
        """Yield a book, or its chapters, and the chapters that cannot be read."""
        config = self.config
        try:
            data = read_all(root, part.path, config.max_total_bytes)
            metadata, chapters = open_book(data, config)
        except Refused as refused:
            yield refused.reject(printable(part.path))
            return
        good = []
        for number, chapter in enumerate(chapters, 1):
            path = f"{part.path}#{number}-{getattr(chapter, 'name', '')}"
            if isinstance(chapter, Refused):
                yield chapter.reject(path)
            elif config.whole:
                good.append(chapter)
            else:
                yield self.one(chapter, path, source, metadata | {"chapter": number})
        if config.whole:
            made = join_chapters(good)
            yield text_record(source, part.path, "epub", made.map, metadata, made.spans)

    def one(
        self, chapter: Chapter, path: str, source: str, metadata: dict[str, Any]
    ) -> Record | Rejected:
        """The record of a chapter."""
        try:
            made = join_chapters([chapter])
        except Refused as refused:
            return refused.reject(path)
        return text_record(source, path, "epub", made.map, metadata, made.spans)


def read_book(data: bytes, max_bytes: int) -> tuple[Made, dict[str, Any]]:
    """The text of a whole book, its chapters joined, and what it says about itself."""
    metadata, chapters = open_book(data, EpubConfig(max_total_bytes=max(max_bytes, 1)))
    good = [chapter for chapter in chapters if isinstance(chapter, Chapter)]
    lost = len(chapters) - len(good)
    return join_chapters(good), metadata | ({"chapters_lost": lost} if lost else {})


def join_chapters(chapters: list[Chapter]) -> Made:
    """Chapters as one text, a blank line between two; bytes count through all of them."""
    pieces, spans, shift, lines = Pieces(), [], 0, 0
    for chapter in chapters:
        page, _ = read_page(chapter.data)
        if page.map.text.strip():
            if pieces.length:
                pieces.put("\n\n")
            start = pieces.length
            pieces.take(page.map, 0, len(page.map.text), shift, lines)
            title = page.metadata.get("title", "")
            spans.append(Span("chapter", start, pieces.length, title))
            spans += [
                span._replace(start=span.start + start, end=span.end + start)
                for span in heading_spans(page.headings)
            ]
        shift += len(chapter.data)
        lines += chapter.data.count(b"\n")
    return Made(pieces.map(), tuple(spans))


def open_book(data: bytes, config: ArchiveConfig) -> tuple[dict[str, Any], list[Chapter | Refused]]:
    """What a book says about itself, and its chapters; Refused if it cannot be read."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = {entry.filename: entry for entry in checked_entries(archive, config)}
            if "META-INF/encryption.xml" in entries and is_locked(archive):
                raise Refused("encrypted", "its chapters are under digital rights management")
            place = package_path(member(archive, entries, "META-INF/container.xml", config))
            package = parse_xml(member(archive, entries, place, config))
            names = spine(package, posixpath.dirname(place))
            chapters = [chapter(archive, entries, name, config) for name in names]
    except BROKEN as error:
        raise Refused("broken file", str(error)[:200]) from None
    if not chapters:
        raise Refused("no chapters", "its spine is empty")
    return about(package), chapters


def is_locked(archive: zipfile.ZipFile) -> bool:
    """Whether more than fonts is encrypted."""
    with archive.open("META-INF/encryption.xml") as file:
        said = file.read(PACKAGE_BYTES)
    return b"html" in said.lower()


def chapter(
    archive: zipfile.ZipFile, entries: dict[str, Any], name: str, config: ArchiveConfig
) -> Chapter | Refused:
    """One file of the spine, or why it is not read."""
    try:
        return Chapter(name, member(archive, entries, name, config))
    except Refused as refused:
        return refused
    except BROKEN as error:
        return Refused("broken archive", str(error)[:200])


def member(
    archive: zipfile.ZipFile, entries: dict[str, Any], name: str, config: ArchiveConfig
) -> bytes:
    """The bytes of a member by its name; Refused if there is none."""
    if name not in entries:
        raise Refused("missing member", name[:200])
    return read_entry(archive, entries[name], config)


def parse_xml(data: bytes) -> Any:
    """The root of an XML file, its entities left alone; Refused if it is not well formed."""
    try:
        import lxml.etree as etree
    except ImportError:
        raise MissingExtra("lxml", "corpus") from None
    if len(data) > PACKAGE_BYTES:
        raise Refused("too large", f"a list of chapters of {len(data)} bytes")
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, huge_tree=False, load_dtd=False, recover=False
    )
    try:
        return etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise Refused("broken file", f"XML: {error}"[:200]) from None


def package_path(container: bytes) -> str:
    """Where the container says that the list of chapters is."""
    for one in parse_xml(container).iter("{*}rootfile"):
        if place := one.get("full-path"):
            return place
    raise Refused("broken file", "its container names no package")


def spine(package: Any, folder: str) -> list[str]:
    """Names of the chapters' members in reading order, each once; other kinds are left out."""
    items = {item.get("id"): item for item in package.iter("{*}item")}
    names = []
    for reference in package.iter("{*}itemref"):
        item = items.get(reference.get("idref"))
        if item is None or "html" not in (item.get("media-type") or "html"):
            continue
        target = unquote((item.get("href") or "").partition("#")[0])
        names.append(posixpath.normpath(posixpath.join(folder, target)))
    return list(dict.fromkeys(names))


def about(package: Any) -> dict[str, Any]:
    """Title, author, language, rights and more, as the book has them."""
    found: dict[str, Any] = {}
    for tag, name in DUBLIN_CORE.items():
        said = [" ".join("".join(one.itertext()).split()) for one in package.iter("{*}" + tag)]
        if said := [value[:2_000] for value in said if value]:
            found[name] = said[0] if len(said) == 1 else said
    terms = [
        (one.text or one.get("href") or "").strip()[:2_000]
        for one in package.iter("{*}meta", "{*}link")
        if {one.get("property"), one.get("rel")} & RIGHTS
    ]
    every = found.get("rights", [])
    every = list(dict.fromkeys([*(every if isinstance(every, list) else [every]), *terms]))
    if every := [one for one in every if one]:
        found["rights"] = every[0] if len(every) == 1 else every
    return found
