"""Any file that has text, as a record to quote, by the readers and steps that `prepare` uses.

HTML, PDF, EPUB, office files, notebooks, LaTeX, JATS, DocBook and mails are read by kind; every
other file of text is read as it is: CSV, YAML, logs, code of any language. Archives are opened if
asked.
Each record maps to the bytes of its file, or of the part that has its text (the message of a
mailbox, the chapters of an EPUB, the slides of a .pptx), so that every quote can be checked.

Menus, tables of contents and indexes of books are found by their lines: links alone, or page
numbers at the ends; footers of pages by their tags. They stay in the text and are listed in the
record's metadata, and no passage is made of them. What is not read is returned with the reason,
hidden files and folders too.
"""

import csv
import hashlib
import os
import re
import tempfile
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import Field

from groundup.core import Config, DataError, MissingExtra, shown_path

from ..document import PAGES, WITHOUT_TEXT, Record, heading_spans
from ..markup import read_html
from ..record import ExtractedText, StepResult, apply_result
from ..structure.contents import contents_blocks, index_sections, paragraph_ranges
from .files import (
    ARCHIVE_SUFFIXES,
    MBOX_SUFFIXES,
    ReadMarkup,
    ReadMarkupConfig,
    kind_of_file,
    make_record,
)
from .reader import (
    SKIPPED,
    FileReader,
    InputSplit,
    Refused,
    Rejected,
    open_split,
    printable_path,
    read_all,
    resolve_path,
    suffix_of,
    walk_files,
)

NAVIGATION, TABLES, ROWS, LONG_ROWS = "navigation", "tables", "rows", "long_rows"
"""Keys of a record's metadata: ranges of its text. Of tables and, with ROWS, of all the text each
line is a row, but for LONG_ROWS, which have several."""
ITEMS = "items"
"""Key of a record's metadata: where the items of lists begin, which have no mark in the text."""
TABLE_SUFFIXES = (".csv", ".tsv")
ROW_SUFFIXES = (*TABLE_SUFFIXES, ".log", ".jsonl")
PAGED_KINDS = ("pdf", "xlsx")
SHEET_KINDS = ("ods", "xlsx")
MAIL_SUFFIXES = (".eml", *MBOX_SUFFIXES)
MEDIA_SUFFIXES = frozenset(
    ".png .jpg .jpeg .gif .bmp .ico .tif .tiff .webp .psd .mp3 .ogg .wav .flac .mp4 .mkv .avi .mov "
    ".webm .ttf .otf .woff .woff2 .eot .so .o .a .exe .dll .pyc .class .jar .whl .db .sqlite .bin "
    ".iso .img .deb .rpm .apk .dmg .safetensors .gguf .npy .npz .pt .parquet .mo .xls .ppt "
    ".doc".split()
)
"""Files without text, or of formats that are not read; their bytes are not looked at."""
QUOTED_ROW = re.compile(r'^(?=\S)(?:(?<![^,;\t\n])"(?:[^"]|""){0,4000}+"|[^\r\n])++', re.MULTILINE)
"""A row of CSV, whose cells in quotation marks may have several lines; few have 4,000 signs."""
LINE_TEXT = re.compile(r"\t*\S[^\r\n]*")
PIPE_TABLE = re.compile(
    r"^[ \t]*\|?[^\n|]+\|[^\n]*\n[ \t]*\|?[ \t]*:?-+:?[ \t]*\|[-: \t|]*\n(?:[^\n]*\|[^\n]*\n?)*",
    re.MULTILINE,
)
"""A table of Markdown, its head first."""
PROSE_SUFFIXES = frozenset((".txt", ".text", ".md", ".markdown", ".rst", ".adoc", ".org"))
EMPTY_CELL = re.compile(r"(?i)(?:[\s–—-]|&nbsp;)*|\s*(?:\?+|n[./]a\.?|tb[ad]|unknown|unbekannt)\s*")
MAX_NAMED = 8
"""Pages that a reject lists."""
MIN_LINK_SHARE = 0.8


def rows_of_tables(record: Record, start: int, end: int) -> list[tuple[int, int]]:
    """The rows of tables in a range of a record's text, in order; all lines of a log are rows."""
    text, known = record.text, record.metadata
    long = [
        (max(a, start), min(b, end)) for a, b in known.get(LONG_ROWS, ()) if a < end and start < b
    ]
    tables = known.get(TABLES) or ([(0, len(text))] if ROWS in known else [])
    spans = ((max(a, start), min(b, end)) for a, b in tables if a < end and start < b)
    lines = (line.span() for span in spans for line in LINE_TEXT.finditer(text, *span))
    return sorted({*long, *(line for line in lines if not is_inside_row(line[0] + 1, long))})


def is_inside_row(at: int, rows: Sequence[tuple[int, int]]) -> bool:
    """Whether a place is inside one of the rows, which are in order, not at its start or end."""
    index = bisect_left(rows, at, key=lambda row: row[0]) - 1
    return index >= 0 and at < rows[index][1]


def named_cells(head: str, row: str) -> list[tuple[str, str]]:
    """Each column's name and the row's cell in it, but for empty ones; [] if they do not fit."""
    mark = next((mark for mark in "\t|" if mark in head), "\t")
    mark = next((mark for mark in ";," if mark in head and mark in row), mark)
    names, cells = _split_cells(head, mark), _split_cells(row, mark)
    cells += [""] * (len(names) - len(cells))
    if len(names) != len(cells) or "\n" in row:
        return []
    pairs = zip(names, cells, strict=True)
    return [(name, cell) for name, cell in pairs if not EMPTY_CELL.fullmatch(cell)]


def _split_cells(line: str, mark: str) -> list[str]:
    if mark not in ";,":
        return line.split(mark)
    try:
        return next(csv.reader([line], delimiter=mark))
    except csv.Error:  # a line end outside quotes, or a cell too long for the parser
        return line.split(mark)


class ReadConfig(Config):
    """Which files of a folder are read."""

    archives: bool = False
    """Read the files in zip and tar archives and single compressed files too."""
    max_bytes: int = Field(default=64 * 2**20, ge=1)
    """Maximum bytes of a file."""
    skip: tuple[str, ...] = ()
    """Glob patterns of paths that are left out, such as `drafts/*`; `*` also matches `/`."""


def plan_folder(root: Path, config: ReadConfig) -> Iterator[tuple[str, Rejected | None]]:
    """Yield every path below a folder in order; with the reason if it is left out unread.

    Raises DataError if `root` is not a folder.
    """
    if not Path(root).is_dir():
        kind = "a file" if Path(root).exists() else "missing"
        raise DataError(f"Expected a folder of documents; {root} is {kind}.")
    for path, skipped in sorted(walk_files(os.fspath(root))):
        shown = printable_path(path)
        try:
            if skipped:
                raise Refused(skipped, SKIPPED[skipped])
            _refuse_unread(root, path, config)
            yield shown, None
        except Refused as refused:
            yield shown, refused.reject(shown)


def _refuse_unread(root: Path, path: str, config: ReadConfig) -> None:
    """Raise Refused for a file whose bytes are not looked at."""
    if any(fnmatchcase(path, pattern) for pattern in config.skip):
        raise Refused("skipped by its path")
    resolve_path(root, path)
    if suffix_of(path) in MEDIA_SUFFIXES:
        raise Refused("another kind of file", f"its ending is {suffix_of(path)}")
    if _kind_of_path(path) == "archive" and not config.archives:
        raise Refused("archive", "read with --set read.archives=true")


def _kind_of_path(path: str) -> str:
    """`mail` or `archive` by a file's ending, which other readers read; otherwise empty."""
    if path.lower().endswith(MAIL_SUFFIXES):
        return "mail"
    return "archive" if path.lower().endswith(ARCHIVE_SUFFIXES) else ""


def read_folder(
    root: Path | str,
    config: ReadConfig | None = None,
    *,
    suffixes: Collection[str] | None = None,
    fingerprints: Mapping[str, str] | None = None,
) -> Iterator[Record | Rejected]:
    """Yield the records of every file under `root`, or why it is left out, in path order.

    suffixes: read only files with these; fingerprints: what `fingerprint_folder` returned

    Raises DataError if `root` is not a folder, and for a file that differs from its fingerprint.
    """
    config, missing = config or ReadConfig(), dict(fingerprints or {})
    for path, data in _read_files(Path(root), config, suffixes):
        if fingerprints is not None and missing.pop(path, "") != _fingerprint(data):
            missing = {path: ""}
            break
        yield from (data,) if isinstance(data, Rejected) else read_data(path, data, config)
    for path in missing:
        raise DataError(f"{path} changed while it was read; wait until it is final and run again.")


def fingerprint_folder(
    root: Path | str, config: ReadConfig | None = None, *, suffixes: Collection[str] | None = None
) -> Iterator[tuple[str, str]]:
    """Yield path and sha256, or why it is left out, of every file that `read_folder` visits."""
    for path, data in _read_files(Path(root), config or ReadConfig(), suffixes):
        yield path, _fingerprint(data)


def _fingerprint(data: bytes | Rejected) -> str:
    return data.reason if isinstance(data, Rejected) else hashlib.sha256(data).hexdigest()


def _read_files(
    root: Path, config: ReadConfig, suffixes: Collection[str] | None
) -> Iterator[tuple[str, bytes | Rejected]]:
    accepted = None if suffixes is None else {suffix.lower() for suffix in suffixes}
    for path, reject in plan_folder(root, config):
        suffix = suffix_of(path)
        if not reject and accepted is not None and suffix not in accepted:
            reject = Rejected(path, "another kind of file", f"its ending is {suffix}")
        yield path, reject or file_bytes(root, path, config.max_bytes)


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
    kind = _kind_of_path(path) or kind_of_file(path, data) or "text"
    try:
        if kind == "archive":
            yield from _read_archive(path, data, config)
        elif kind == "mail":
            from .mail import Mail, MailConfig

            for record in _read_parts(Mail(MailConfig()), path, data):
                yield from _finish(record, data, path)
        else:
            yield from _finish(_read_kind(path, kind, data, config), data, path)
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
    from .archives import Archive, ArchiveConfig

    archive = Archive(ArchiveConfig(max_bytes=config.max_bytes), other="text")
    for member in _read_parts(archive, path, data):
        if not isinstance(member, Record) or not member.data:
            yield from _finish(member, data, path)
            continue
        try:
            read = _read_kind(member.path, member.kind, member.data, config)
            yield from _finish(read, data, path)
        except Refused as refused:
            yield refused.reject(member.path)


def _read_kind(path: str, kind: str, data: bytes, config: ReadConfig) -> Record:
    """The record of a file that is one document; Refused if it has no text."""
    if kind == "html":
        page = read_html(data, repair=True)
        footers = page.site_footers()
        menus = _link_blocks(page.map.text, page.links)
        menus = [each for each in menus if not any(a <= each[0] < b for a, b in footers)]
        metadata = page.metadata | _ranges(NAVIGATION, sorted(menus + footers))
        made = ExtractedText(page.map, heading_spans(page.headings))
        metadata |= _ranges(TABLES, page.tables) | _ranges(LONG_ROWS, page.long_rows())
        metadata |= {ITEMS: [start for start, _ in page.items]} if page.items else {}
        return _record(path, kind, made, metadata)
    record = make_record("", path, kind, data, {}, repair=True)
    if isinstance(record, Rejected):
        raise Refused(record.reason, record.details)
    if not record.data:
        return _apply_step(record)
    made, metadata = ReadMarkup(ReadMarkupConfig(max_bytes=config.max_bytes)).extract(record)
    if kind == "pdf" and not made.map.text.strip():
        raise Refused("no text", f"{metadata.get('pages', 0)} pages of pictures: a scan?")
    if kind in PAGED_KINDS:
        metadata[PAGES] = [span.start for span in made.spans if span.kind == "page"]
    if items := [span.start for span in made.spans if span.kind == "item"]:
        metadata[ITEMS] = items
    for key, name in ((TABLES, "table"), (LONG_ROWS, "row")):
        metadata |= _ranges(key, [(s.start, s.end) for s in made.spans if s.kind == name])
    return _record(path, kind, made, metadata)


def _apply_step(record: Record) -> Record:
    """A notebook's cells, the prose of LaTeX, all text of JATS or DocBook; else the plain text."""
    if record.kind == "notebook":
        from ..code.notebook import Notebook, NotebookConfig

        result = Notebook(NotebookConfig())(record)
    elif record.kind == "latex":
        from ..articles.latex import LatexConfig, LatexStep

        result = LatexStep(LatexConfig(footnotes="keep"))(record)._replace(edits=())
    elif record.kind in ("jats", "docbook"):
        from ..articles.xml import ArticleXml, ArticleXmlConfig

        result = ArticleXml(ArticleXmlConfig())(record)._replace(edits=())
    else:
        result = StepResult()
    return record if result.reason else apply_result(record, result)


def _record(path: str, kind: str, made: ExtractedText, metadata: dict[str, Any]) -> Record:
    text = made.map.text
    if not text.strip():
        raise Refused("no text", "its markup holds none")
    return Record("", "", path, kind, text, made.map, made.spans, dict(metadata))


def _finish(record: Record | Rejected, data: bytes, file: str) -> Iterator[Record | Rejected]:
    """Yield a record with the hash of its bytes, an id that changes with them, and its navigation.

    A reject follows for the pages of a PDF that are pictures.
    """
    if isinstance(record, Rejected):
        yield record
        return
    sha256 = hashlib.sha256(data).hexdigest()
    identity = hashlib.sha256(f"{record.path}\0{sha256}".encode()).hexdigest()[:16]
    metadata, suffix = record.metadata | {"sha256": sha256}, suffix_of(record.path)
    if file != record.path:
        metadata["file"] = file
    if suffix in ROW_SUFFIXES or record.kind in SHEET_KINDS:
        metadata[ROWS] = True
    if suffix in TABLE_SUFFIXES:
        metadata[TABLES] = [[0, len(record.text)]]
        rows = [row.span() for row in QUOTED_ROW.finditer(record.text) if "\n" in row[0]]
        metadata |= _ranges(LONG_ROWS, rows)
    if record.kind == "markdown":
        tables = [match.span() for match in PIPE_TABLE.finditer(record.text)]
        metadata |= _ranges(TABLES, tables)
    if record.kind == "latex":
        spans = [(span.start, span.end) for span in record.spans if span.kind == "table"]
        spans.sort(key=lambda span: (span[0], -span[1]))
        inner = zip(spans, [*spans[1:], (len(record.text), 0)], strict=False)
        metadata |= _ranges(TABLES, [span for span, later in inner if later[0] >= span[1]])
    if record.kind == "pdf" or suffix in PROSE_SUFFIXES:
        skipped = contents_blocks(record)
        if record.kind == "pdf":
            from ..books.heads import running_heads

            skipped = sorted(skipped + running_heads(record))
        metadata |= _ranges(NAVIGATION, skipped)
    elif record.kind in ("epub", "html"):
        skipped = [*metadata.get(NAVIGATION, ()), *index_sections(record)]
        metadata |= _ranges(NAVIGATION, sorted(map(tuple, skipped)))
    yield Record(identity, "", record.path, record.kind, record.text, record.map,
                 record.spans, metadata)  # fmt: skip
    if pages := metadata.get(WITHOUT_TEXT):
        named = ", ".join(map(str, pages[:MAX_NAMED])) + ", …" * (len(pages) > MAX_NAMED)
        details = f"{len(pages)} of {metadata['pages']} pages have pictures and no text: scans?"
        path = f"{record.path}#page{'s' * (len(pages) > 1)} {named}"
        yield Rejected(path, "pages without text", details)


def _ranges(key: str, ranges: Sequence[tuple[int, int]]) -> dict[str, Any]:
    return {key: [list(each) for each in ranges]} if ranges else {}


def _link_blocks(text: str, links: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Blocks that are links and little else: menus, lists of pages."""
    blocks, at = [], 0
    for start, end in paragraph_ranges(text):
        inside = count = 0
        while at < len(links) and links[at][0] < end:
            inside += len(text[max(links[at][0], start) : links[at][1]].strip())
            count += 1
            at += 1
        if count > 1 and inside >= MIN_LINK_SHARE * len("".join(text[start:end].split())):
            blocks.append((start, end))
    return blocks


def file_of(path: str, is_file: Callable[[str], bool]) -> str:
    """The file that a document's path names: all of it, else what stands before one of its `#`.

    >>> [file_of(path, {"in.mbox", "C", "C#.md"}.__contains__) for path in ("in.mbox#3", "C#.md")]
    ['in.mbox', 'C#.md']
    """
    ends = [len(path), *(match.start() for match in re.finditer("#", path))]
    return next((path[:end] for end in ends if is_file(path[:end])), path)


def left_out_lines(rejected: Iterable[Rejected]) -> list[str]:
    """What was left out, a line for each reason: number, endings and an example."""
    by_reason: dict[str, list[Rejected]] = {}
    for item in rejected:
        by_reason.setdefault(item.reason, []).append(item)
    lines = []
    for reason, items in sorted(by_reason.items(), key=lambda pair: -len(pair[1])):
        suffixes = (PurePosixPath(item.path).suffix.partition("#")[0] for item in items)
        endings = Counter(suffix or "no ending" for suffix in suffixes)
        shown = ", ".join(f"{count} {ending}" for ending, count in endings.most_common(5))
        example = shown_path(items[0].path)
        lines.append(f"Left out, {reason}: {len(items)} ({shown}), such as {example}")
    return lines
