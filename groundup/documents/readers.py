"""Readers: a folder of files in, documents and rejects out, nothing lost in silence.

The kind of a file is decided by its ending, and by its first bytes where the ending says nothing.
Text is never repaired: a file that is not UTF-8 is set aside with the place of the first bad byte,
because a guess would put characters into quotes that the file does not have. HTML may declare a
single-byte charset. Knows nothing of corpora or passages.
"""

import hashlib
import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from groundup.core import DataError

from .document import Document, DocumentKind, SourceMap, make_document
from .markup import read_html
from .outline import markdown_headings, python_headings

KINDS: dict[str, DocumentKind] = {
    "": "text", ".txt": "text", ".text": "text", ".rst": "text", ".adoc": "text", ".org": "text",
    ".md": "markdown", ".markdown": "markdown",
    ".html": "html", ".htm": "html", ".xhtml": "html",
    ".py": "python", ".pyi": "python",
}  # fmt: skip
MAX_BYTES = 64 * 2**20
MARK = b"\xef\xbb\xbf"
OTHER_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"\x00\x00\xfe\xff": "UTF-32"}
SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules", "CVS"})


class Rejected(NamedTuple):
    """A file that was set aside."""

    path: str
    reason: str
    """Short and stable, such as `not UTF-8`; rejects are counted by it."""
    details: str = ""
    """What exactly was found, for a person."""


class Raw(NamedTuple):
    """A file as it lies in the folder."""

    path: str
    data: bytes


def read_folder(
    root: Path | str, *, suffixes: Collection[str] | None = None, max_bytes: int = MAX_BYTES
) -> Iterator[Document | Rejected]:
    """Yield every file under `root` as a document or a reject, in the order of paths.

    Paths are relative to `root`, with forward slashes. Hidden files and folders, `__pycache__` and
    `node_modules` are passed over. Rejected are: other endings than `suffixes` (by default those of
    KINDS), links, what cannot be read, is larger than `max_bytes`, empty, binary or not UTF-8.

    Raises DataError if `root` is not a folder.
    """
    for raw in read_files(root, suffixes, max_bytes):
        if isinstance(raw, Rejected):
            yield raw
            continue
        document = examine(raw.data, raw.path)
        if isinstance(document, Document) and not document.text.strip():
            reason = "no text in the markup" if document.kind == "html" and raw.data else "empty"
            yield Rejected(raw.path, reason, f"{len(raw.data)} bytes")
        else:
            yield document


def fingerprint_folder(
    root: Path | str, *, suffixes: Collection[str] | None = None, max_bytes: int = MAX_BYTES
) -> Iterator[tuple[str, str]]:
    """Yield path and sha256 (or the reason of rejection) of every file that `read_folder` sees."""
    for raw in read_files(root, suffixes, max_bytes):
        if isinstance(raw, Rejected):
            yield raw.path, raw.reason
        else:
            yield raw.path, hashlib.sha256(raw.data).hexdigest()


def read_bytes(data: bytes, path: str) -> Document:
    """The document that a file's bytes make; `path` gives the kind by its ending.

    For text, Markdown and Python, the text is the bytes decoded, a byte order mark left out and
    line ends as they are. Raises DataError if the bytes are binary or not UTF-8.

    >>> note = read_bytes("# Tea\\r\\nA cup’s worth".encode(), "notes/tea.md")
    >>> note.kind, note.quote(7, 14)
    ('markdown', Quote(path='notes/tea.md', start=7, end=16, text='A cup’s', line=2))
    """
    document = examine(data, path)
    if isinstance(document, Rejected):
        details = f" ({document.details})" if document.details else ""
        raise DataError(f"{path} is {document.reason}{details}; give text in UTF-8.")
    return document


def examine(data: bytes, path: str) -> Document | Rejected:
    """The document that a file's bytes make, or why they make none."""
    for mark, name in OTHER_MARKS.items():
        if data.startswith(mark):
            return Rejected(path, "not UTF-8", f"a byte order mark of {name}; convert it to UTF-8")
    if (at := data.find(b"\0")) >= 0:
        return Rejected(path, "binary", f"a zero byte at {at}")
    kind = kind_of(data, path)
    try:
        if kind == "html":
            markup = read_html(data)
            return make_document(data, path, kind, markup.map, markup.headings, markup.metadata)
        skip = len(MARK) if data.startswith(MARK) else 0
        text = data[skip:].decode("utf-8")
    except UnicodeDecodeError as error:
        at = error.start + (0 if kind == "html" else skip)
        found = f"byte 0x{data[at]:02x} at {at} is not {error.encoding}"
        return Rejected(path, "not UTF-8", f"{found}; convert the file to UTF-8")
    except DataError as error:
        return Rejected(path, "unsupported charset", str(error))
    return plain_document(data, path, kind, SourceMap.identity(text, skip))


def plain_document(data: bytes, path: str, kind: DocumentKind, map: SourceMap) -> Document:
    """A document whose text is its bytes decoded, with its outline."""
    if kind == "text":
        return make_document(data, path, kind, map)
    headings = markdown_headings(map.text) if kind == "markdown" else python_headings(map.text)
    first = next((h for h in headings if h.level == 1), None)
    title = map.text[first.start : first.end] if first else ""
    return make_document(data, path, kind, map, headings, {"title": title} if title else {})


def kind_of(data: bytes, path: str) -> DocumentKind:
    """Kind of a file by its ending; by its first bytes if the ending is not known.

    >>> kind_of(b"", "a.md"), kind_of(b"<!DOCTYPE html><p>", "page"), kind_of(b"x = 1", "b.cfg")
    ('markdown', 'html', 'text')
    """
    kind = KINDS.get(PurePosixPath(path).suffix.lower(), "text")
    start = data[:512].removeprefix(MARK).lstrip().lower()
    if kind == "text" and start.startswith((b"<!doctype html", b"<html")):
        return "html"
    return kind


def read_files(
    root: Path | str, suffixes: Collection[str] | None, max_bytes: int
) -> Iterator[Raw | Rejected]:
    """Yield the bytes of every file that is seen under `root`, in the order of paths."""
    root = Path(root)
    if not root.is_dir():
        kind = "a file" if root.exists() else "missing"
        raise DataError(f"Expected a folder of documents; {root} is {kind}.")
    accepted = {suffix.lower() for suffix in (KINDS if suffixes is None else suffixes)}
    entries = sorted(walk(os.fspath(root)), key=lambda e: e if isinstance(e, str) else e.path)
    for entry in entries:
        yield entry if isinstance(entry, Rejected) else read_file(root, entry, accepted, max_bytes)


def read_file(root: Path, path: str, accepted: set[str], max_bytes: int) -> Raw | Rejected:
    """The bytes of one file, or why it is not read."""
    if printable(path) != path:
        return Rejected(printable(path), "name not UTF-8", "rename the file")
    suffix = PurePosixPath(path).suffix
    if suffix.lower() not in accepted:
        return Rejected(path, "another kind of file", f"its ending is {suffix}")
    try:
        with open(root / path, "rb", opener=open_regular) as file:
            data = file.read(max_bytes + 1)
    except IsADirectoryError:
        return Rejected(path, "not a regular file")
    except OSError as error:
        return Rejected(path, "unreadable", error.strerror or str(error))
    if len(data) > max_bytes:
        return Rejected(path, "too large", f"more than {max_bytes} bytes")
    return Raw(path, data)


def printable(path: str) -> str:
    """The path with bytes that are not UTF-8 spelt out, as in caf\\xe9."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def open_regular(path: str, flags: int) -> int:
    """Open without waiting (a pipe would block) and refuse what is no regular file."""
    handle = os.open(path, flags | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise IsADirectoryError
    return handle


def walk(root: str) -> Iterator[str | Rejected]:
    """Yield the path of every visible file under `root`; links and closed folders as rejects."""
    home = os.path.realpath(root)
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            entries = list(os.scandir(os.path.join(root, folder)))
        except OSError as error:
            yield Rejected(printable(folder) or ".", "unreadable", error.strerror or str(error))
            continue
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.name.startswith(".") or entry.name in SKIPPED_FOLDERS:
                continue
            if entry.is_symlink():
                target = os.path.realpath(entry.path)
                inside = target == home or target.startswith(home + os.sep)
                yield Rejected(
                    printable(path), f"link {'inside' if inside else 'out of'} the folder"
                )
            elif entry.is_dir(follow_symlinks=False):
                folders.append(path)
            else:
                yield path
