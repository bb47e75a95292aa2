"""Any file that has text, as a record to quote, by the readers and steps that `prepare` uses.

HTML, PDF, EPUB, docx, odt, notebooks, LaTeX and mails are read by kind; every other file of text is
read as it is: CSV, YAML, logs, code of any language. Archives are opened if asked.
Each record maps to the bytes of its file, or of the part that has its text (the message of a
mailbox, the chapters of an EPUB, word/document.xml), so that every quote can be checked.

Menus, tables of contents and indexes of books are found by their lines: links alone, or page
numbers at the ends. They stay in the text and are listed in the record's metadata, and no passage
is made of them. What is not read is returned with the reason, hidden files and folders too.
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from groundup.core import Config, DataError, MissingExtra

from ..document import Record, heading_spans
from ..markup import read_html
from ..record import ExtractedText, StepResult, apply_result
from .archives import ARCHIVE_SUFFIXES, Archive, ArchiveConfig
from .books import read_book, read_pdf
from .files import KIND_BY_SUFFIX, kind_of_file, make_record
from .mail import Mail, MailConfig
from .office import read_office
from .reader import (
    SKIPPED_FOLDERS,
    FileReader,
    InputSplit,
    Refused,
    Rejected,
    open_split,
    plan_files,
    printable_path,
    read_all,
    resolve_path,
    suffix_of,
)

NAVIGATION, TABLES, PAGES = "navigation", "tables", "page_starts"
"""Keys of a record's metadata: ranges of its text; where its pages begin."""
KINDS = KIND_BY_SUFFIX | {
    ".docx": "docx", ".odt": "odt", ".eml": "mail", ".mbox": "mail", ".mbx": "mail",
}  # fmt: skip
MEDIA_SUFFIXES = frozenset(
    ".png .jpg .jpeg .gif .bmp .ico .tif .tiff .webp .psd .mp3 .ogg .wav .flac .mp4 .mkv .avi .mov "
    ".webm .ttf .otf .woff .woff2 .eot .so .o .a .exe .dll .pyc .class .jar .whl .db .sqlite .bin "
    ".iso .img .deb .rpm .apk .dmg .safetensors .gguf .npy .npz .pt .parquet .mo .xls .xlsx .ppt "
    ".pptx .doc .rtf .ods .odp".split()
)
"""Files without text, or of formats that are not read; their bytes are not looked at."""
BLANK_LINE = re.compile(r"\n[ \t]*\n\s*|\f\s*")
CONTENTS_LINE = re.compile(
    r".*(?:(?:\.\s?){3,}|…)\s*(?:\d{1,4}|[ivxlc]+)\s*"  # Introduction . . . . 12
    r"|.{2,80},\s*\d{1,4}(?:\s*[-–,]\s*\d{1,4})*\s*"  # cache, size of, 12, 45-47
)
PROSE_SUFFIXES = frozenset((".txt", ".text", ".md", ".markdown", ".rst", ".adoc", ".org"))
MIN_LINK_SHARE = 0.8
MIN_CONTENTS_LINES, MIN_CONTENTS_SHARE = 4, 0.6


class ReadConfig(Config):
    """Which files of a folder are read."""

    archives: bool = False
    """Read the files in zip and tar archives and single compressed files too."""
    max_bytes: int = 64 * 2**20
    """Maximum bytes of a file."""
    skip: tuple[str, ...] = ()
    """Glob patterns of paths that are left out, such as `drafts/*`."""


def plan_folder(root: Path, config: ReadConfig) -> Iterator[tuple[str, Rejected | None]]:
    """Yield every path below a folder in order; with the reason if it is left out unread.

    Raises DataError if `root` is not a folder.
    """
    if not Path(root).is_dir():
        kind = "a file" if Path(root).exists() else "missing"
        raise DataError(f"Expected a folder of documents; {root} is {kind}.")
    for path in sorted([*(split.path for split in plan_files(root)), *_hidden_paths(root)]):
        shown = printable_path(path)
        yield shown, _reason_unread(root, path, config)


def _hidden_paths(root: Path) -> Iterator[str]:
    """Yield the hidden files and folders below a folder, and those that tools fill."""
    for folder, names, files in os.walk(root):
        hidden = [name for name in names if name.startswith(".") or name in SKIPPED_FOLDERS]
        for name in [*hidden, *(name for name in files if name.startswith("."))]:
            yield os.path.relpath(os.path.join(folder, name), root).replace(os.sep, "/")
        names[:] = sorted(set(names) - set(hidden))


def _reason_unread(root: Path, path: str, config: ReadConfig) -> Rejected | None:
    name, suffix = PurePosixPath(path).name, suffix_of(path)
    if name.startswith(".") or name in SKIPPED_FOLDERS:
        return Rejected(path, "hidden", "names that begin with a dot, and folders of tools")
    if any(PurePosixPath(path).match(pattern) for pattern in config.skip):
        return Rejected(path, "skipped by its path")
    try:
        resolve_path(root, path)
    except Refused as refused:
        return refused.reject(printable_path(path))
    if suffix in MEDIA_SUFFIXES:
        return Rejected(path, "another kind of file", f"its ending is {suffix}")
    if is_archive(path) and not config.archives:
        return Rejected(path, "archive", "read with --set read.archives=true")
    return None


def is_archive(path: str) -> bool:
    """Whether a file is an archive or compressed, by its ending."""
    return path.lower().endswith(ARCHIVE_SUFFIXES) and not path.lower().endswith(".mbox.gz")


def file_bytes(root: Path, path: str, max_bytes: int) -> bytes | Rejected:
    """The bytes of a file below a folder, or why they cannot be read."""
    try:
        with open_split(root, path) as file:
            return read_all(file, max_bytes)
    except Refused as refused:
        return refused.reject(path)


def read_data(
    path: str, data: bytes, config: ReadConfig | None = None
) -> Iterator[Record | Rejected]:
    """Yield the records of a file's bytes: several of a mailbox or an archive.

    The path decides how they are read; that of a member is `path#name`.
    """
    config = config or ReadConfig()
    if not data.strip():
        yield Rejected(path, "empty", f"{len(data)} bytes")
        return
    kind = kind_of_file(path, data, KINDS) or "text"
    try:
        if is_archive(path):
            yield from _read_archive(path, data, config)
        elif kind == "mail":
            for record in _read_parts(Mail(MailConfig()), path, data):
                yield _finish(record, data, path) if isinstance(record, Record) else record
        else:
            yield _finish(_read_kind(path, kind, data, config), data, path)
    except MissingExtra as missing:
        yield Rejected(path, "needs a package", str(missing))
    except Refused as refused:
        yield refused.reject(path)


def _read_parts(reader: FileReader, path: str, data: bytes) -> Iterator[Record | Rejected]:
    """Yield what a reader of files finds in some bytes."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        yield from reader.records(file, InputSplit(path, 0, len(data), len(data)), "")


def _read_archive(path: str, data: bytes, config: ReadConfig) -> Iterator[Record | Rejected]:
    """Yield the records of an archive's members; archives within it are not opened."""
    archive = Archive(ArchiveConfig(max_bytes=config.max_bytes))
    for member in _read_parts(archive, path, data):
        if not isinstance(member, Record) or not member.data:
            yield _finish(member, data, path) if isinstance(member, Record) else member
            continue
        try:
            read = _read_kind(member.path, member.kind, member.data, config)
            yield _finish(read, data, path)
        except Refused as refused:
            yield refused.reject(member.path)


def _read_kind(path: str, kind: str, data: bytes, config: ReadConfig) -> Record:
    """The record of a file that is one document; Refused if it has no text."""
    if kind == "html":
        page = read_html(data, repair=True)
        metadata = page.metadata | _ranges(NAVIGATION, _link_blocks(page.map.text, page.links))
        made = ExtractedText(page.map, heading_spans(page.headings))
        return _record(path, kind, made, metadata | _ranges(TABLES, page.tables))
    if kind == "pdf":
        made, metadata = read_pdf(data)
        if not made.map.text.strip():
            raise Refused("no text", f"{metadata.get('pages', 0)} pages of pictures: a scan?")
        starts = [span.start for span in made.spans if span.kind == "page"]
        return _record(path, kind, made, metadata | {PAGES: starts})
    if kind == "epub":
        return _record(path, kind, *read_book(data, config.max_bytes))
    if kind in ("docx", "odt"):
        return _record(path, kind, *read_office(data, kind, config.max_bytes))
    record = make_record("", path, kind, data, {}, repair=True)
    if isinstance(record, Rejected):
        raise Refused(record.reason, record.details)
    return _apply_step(record)


def _apply_step(record: Record) -> Record:
    """A notebook's cells or the prose of LaTeX; the plain text where that fails."""
    if record.kind == "notebook":
        from ..code.notebook import Notebook, NotebookConfig

        result = Notebook(NotebookConfig())(record)
    elif record.kind == "latex":
        from ..articles.latex import LatexConfig, LatexStep

        result = LatexStep(LatexConfig())(record)
    else:
        result = StepResult()
    return record if result.reason else apply_result(record, result)


def _record(path: str, kind: str, made: ExtractedText, metadata: dict[str, Any]) -> Record:
    text = made.map.text
    if not text.strip():
        raise Refused("no text", "its markup holds none")
    return Record("", "", path, kind, text, made.map, made.spans, dict(metadata))


def _finish(record: Record, data: bytes, file: str) -> Record:
    """A record with the hash of its bytes, an id that changes with them, and its navigation."""
    sha256 = hashlib.sha256(data).hexdigest()
    identity = hashlib.sha256(f"{record.path}\0{sha256}".encode()).hexdigest()[:16]
    metadata = (
        record.metadata | {"sha256": sha256} | ({"file": file} if file != record.path else {})
    )
    if record.kind == "pdf" or suffix_of(record.path) in PROSE_SUFFIXES:
        metadata |= _ranges(NAVIGATION, _contents_blocks(record.text))
    return Record(identity, "", record.path, record.kind, record.text, record.map,
                  record.spans, metadata)  # fmt: skip


def _ranges(key: str, ranges: Sequence[tuple[int, int]]) -> dict[str, Any]:
    return {key: [list(each) for each in ranges]} if ranges else {}


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    """Yield the ranges of a text between its blank lines."""
    start = 0
    for gap in BLANK_LINE.finditer(text):
        if start < gap.start():
            yield start, gap.start()
        start = gap.end()
    if start < len(text):
        yield start, len(text)


def _link_blocks(text: str, links: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Blocks that are links and little else: menus, lists of pages."""
    blocks, at = [], 0
    for start, end in _blocks(text):
        inside = count = 0
        while at < len(links) and links[at][0] < end:
            inside += len(text[max(links[at][0], start) : links[at][1]].strip())
            count += 1
            at += 1
        if count > 1 and inside >= MIN_LINK_SHARE * len("".join(text[start:end].split())):
            blocks.append((start, end))
    return blocks


def _contents_blocks(text: str) -> list[tuple[int, int]]:
    """Blocks most of whose lines end in page numbers: tables of contents, indexes of books."""
    blocks = []
    for start, end in _blocks(text):
        lines = [line for line in text[start:end].splitlines() if line.strip()]
        if len(lines) >= MIN_CONTENTS_LINES:
            matched = sum(bool(CONTENTS_LINE.fullmatch(line)) for line in lines)
            if matched >= MIN_CONTENTS_SHARE * len(lines):
                blocks.append((start, end))
    return blocks
