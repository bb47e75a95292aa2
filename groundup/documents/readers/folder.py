"""Folders: files in, documents or records out; every file that is not read is reported.

A file's kind follows from its suffix, or from its first bytes if the suffix is unknown.
`read_folder` yields documents for quoting and never repairs text: a file that is not UTF-8 is
rejected with the offset of the first bad byte. The reader `folder` yields records for a corpus and
by default detects charsets.
"""

import hashlib
import re
from collections.abc import Collection, Iterator
from fnmatch import translate
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from groundup.core import DataError

from ..document import Document, DocumentKind, SourceMap, make_document
from ..markup import read_html
from ..outline import markdown_headings, python_headings
from ..record import Record
from .kinds import KIND_BY_SUFFIX, kind_of_file, make_record
from .reader import (
    InputSplit,
    ReaderConfig,
    Refused,
    Rejected,
    plan_files,
    printable_path,
    read_file_bytes,
    resolve_path,
    suffix_of,
)

DOCUMENT_KIND_BY_SUFFIX: dict[str, DocumentKind] = {
    "": "text", ".txt": "text", ".text": "text", ".rst": "text", ".adoc": "text", ".org": "text",
    ".md": "markdown", ".markdown": "markdown",
    ".html": "html", ".htm": "html", ".xhtml": "html",
    ".py": "python", ".pyi": "python",
}  # fmt: skip
MAX_BYTES = 64 * 2**20
UTF8_MARK = b"\xef\xbb\xbf"
OTHER_BYTE_ORDER_MARKS = {
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
    b"\x00\x00\xfe\xff": "UTF-32",
}


class RawFile(NamedTuple):
    """A file as stored in the folder."""

    path: str
    data: bytes


class FolderConfig(ReaderConfig):
    """Which files of a folder are records."""

    kinds: tuple[str, ...] = ()
    """Kinds to read, such as html or rst; others are rejected. Empty: all known kinds."""
    endings: dict[str, str] = {}
    """Additional suffixes and their kinds, such as `.log` = text."""
    skip: tuple[str, ...] = ()
    """Glob patterns of paths to skip, such as `*/genindex.html`; `*` also matches `/`."""


class Folder:
    """The reader `folder`: one record per file, by suffix."""

    def __init__(self, config: FolderConfig) -> None:
        self.config = config
        self.kind_by_suffix = KIND_BY_SUFFIX | {
            key.lower(): kind for key, kind in config.endings.items()
        }
        self.skip = re.compile("|".join(map(translate, config.skip))) if config.skip else None

    def plan(self, root: Path) -> list[InputSplit]:
        """Return one split per visible file."""
        return plan_files(root)

    def read(self, root: Path, input_split: InputSplit, source: str) -> Iterator[Record | Rejected]:
        """Yield the record of a file, or a reject."""
        config = self.config
        suffix = suffix_of(input_split.path)
        try:
            resolve_path(root, input_split.path)
            if self.skip and self.skip.match(input_split.path):
                raise Refused("skipped by its path")
            if (
                suffix
                and suffix not in self.kind_by_suffix
                and not input_split.path.lower().endswith("makefile")
            ):
                raise Refused("another kind of file", f"its ending is {suffix}")
            data = read_file_bytes(root, input_split.path, config.max_bytes)
            kind = kind_of_file(input_split.path, data, self.kind_by_suffix)
            if not kind or (config.kinds and kind not in config.kinds):
                raise Refused("another kind of file", f"it is {kind}, its ending {suffix}")
        except Refused as refused:
            yield refused.reject(printable_path(input_split.path))
        else:
            yield make_record(source, input_split.path, kind, data, {}, config.repair)


def read_folder(
    root: Path | str, *, suffixes: Collection[str] | None = None, max_bytes: int = MAX_BYTES
) -> Iterator[Document | Rejected]:
    """Yield every file under `root` as a document or a reject, in path order.

    Paths are relative to `root`, with forward slashes. Hidden files and folders, `__pycache__` and
    `node_modules` are skipped. Rejected are: suffixes not in `suffixes` (by default those of
    KINDS), links, and files that are unreadable, larger than `max_bytes`, empty, binary or not
    UTF-8.

    Raises DataError if `root` is not a folder.
    """
    for raw in _read_files(root, suffixes, max_bytes):
        if isinstance(raw, Rejected):
            yield raw
            continue
        document = _make_document(raw.data, raw.path)
        if isinstance(document, Document) and not document.text.strip():
            reason = "no text in the markup" if document.kind == "html" and raw.data else "empty"
            yield Rejected(raw.path, reason, f"{len(raw.data)} bytes")
        else:
            yield document


def fingerprint_folder(
    root: Path | str, *, suffixes: Collection[str] | None = None, max_bytes: int = MAX_BYTES
) -> Iterator[tuple[str, str]]:
    """Yield path and sha256 (or reason of rejection) of every file that `read_folder` visits."""
    for raw in _read_files(root, suffixes, max_bytes):
        if isinstance(raw, Rejected):
            yield raw.path, raw.reason
        else:
            yield raw.path, hashlib.sha256(raw.data).hexdigest()


def read_bytes(data: bytes, path: str) -> Document:
    """Make a document of a file's bytes; the suffix of `path` determines the kind.

    For text, Markdown and Python, the text is the decoded bytes without a byte order mark and with
    unchanged line ends. Raises DataError if the bytes are binary or not UTF-8.

    >>> note = read_bytes("# Tea\\r\\nA cup’s worth".encode(), "notes/tea.md")
    >>> note.kind, note.quote(7, 14)
    ('markdown', Quote(path='notes/tea.md', start=7, end=16, text='A cup’s', line=2))
    """
    document = _make_document(data, path)
    if isinstance(document, Rejected):
        details = f" ({document.details})" if document.details else ""
        raise DataError(f"{path} is {document.reason}{details}; give text in UTF-8.")
    return document


def _make_document(data: bytes, path: str) -> Document | Rejected:
    """Make a document of a file's bytes, or a reject."""
    for mark, name in OTHER_BYTE_ORDER_MARKS.items():
        if data.startswith(mark):
            return Rejected(path, "not UTF-8", f"a byte order mark of {name}; convert it to UTF-8")
    if (at := data.find(b"\0")) >= 0:
        return Rejected(path, "binary", f"a zero byte at {at}")
    kind = _document_kind(data, path)
    try:
        if kind == "html":
            markup = read_html(data)
            return make_document(data, path, kind, markup.map, markup.headings, markup.metadata)
        skip = len(UTF8_MARK) if data.startswith(UTF8_MARK) else 0
        text = data[skip:].decode("utf-8")
    except UnicodeDecodeError as error:
        at = error.start + (0 if kind == "html" else skip)
        problem = f"byte 0x{data[at]:02x} at {at} is not {error.encoding}"
        return Rejected(path, "not UTF-8", f"{problem}; convert the file to UTF-8")
    except DataError as error:
        return Rejected(path, "unsupported charset", str(error))
    return _make_text_document(data, path, kind, SourceMap.identity(text, skip))


def _make_text_document(data: bytes, path: str, kind: DocumentKind, map: SourceMap) -> Document:
    """A document whose text is the decoded bytes, with its outline."""
    if kind == "text":
        return make_document(data, path, kind, map)
    headings = markdown_headings(map.text) if kind == "markdown" else python_headings(map.text)
    first = next((h for h in headings if h.level == 1), None)
    title = map.text[first.start : first.end] if first else ""
    return make_document(data, path, kind, map, headings, {"title": title} if title else {})


def _document_kind(data: bytes, path: str) -> DocumentKind:
    """Kind of a file by its suffix, or by its first bytes if the suffix is unknown.

    >>> _document_kind(b"", "a.md"), _document_kind(b"<!DOCTYPE html><p>", "page")
    ('markdown', 'html')
    """
    kind = DOCUMENT_KIND_BY_SUFFIX.get(PurePosixPath(path).suffix.lower(), "text")
    start = data[:512].removeprefix(UTF8_MARK).lstrip().lower()
    if kind == "text" and start.startswith((b"<!doctype html", b"<html")):
        return "html"
    return kind


def _read_files(
    root: Path | str, suffixes: Collection[str] | None, max_bytes: int
) -> Iterator[RawFile | Rejected]:
    """Yield the bytes of every visited file, in path order."""
    root = Path(root)
    if not root.is_dir():
        kind = "a file" if root.exists() else "missing"
        raise DataError(f"Expected a folder of documents; {root} is {kind}.")
    accepted = {
        suffix.lower() for suffix in (DOCUMENT_KIND_BY_SUFFIX if suffixes is None else suffixes)
    }
    for file_split in plan_files(root):
        yield _read_accepted_file(root, file_split.path, accepted, max_bytes)


def _read_accepted_file(
    root: Path, path: str, accepted: set[str], max_bytes: int
) -> RawFile | Rejected:
    """The bytes of one file, or a reject."""
    suffix = PurePosixPath(path).suffix
    try:
        resolve_path(root, path)
        if suffix.lower() not in accepted:
            raise Refused("another kind of file", f"its ending is {suffix}")
        return RawFile(path, read_file_bytes(root, path, max_bytes))
    except Refused as refused:
        return refused.reject(printable_path(path))
