"""JSON lines: one record per line, its text mapped to the bytes between the quotes.

String positions are recorded while a line is parsed, so an escape such as \\n or \\u00e9 maps to
the bytes that encode it. A file is split into byte ranges; a line belongs to the range in which it
begins, and its number is the byte offset of its beginning, whatever the ranges. Chats are read in
conversations.py.
"""

import io
import json
import lzma
import re
import zlib
from codecs import BOM_UTF8
from collections.abc import Iterator
from dataclasses import replace
from json.decoder import scanstring  # pyright: ignore[reportAttributeAccessIssue]
from json.scanner import py_make_scanner  # pyright: ignore[reportAttributeAccessIssue]
from pathlib import Path
from typing import IO, Any, NamedTuple

from ..document import SourceMap
from ..record import Record, record_id
from .encodings import Pieces
from .reader import (
    Part,
    ReaderConfig,
    Refused,
    Rejected,
    data_record,
    open_part,
    plan_files,
    printable,
    split,
    suffix_of,
    text_record,
    with_licence,
)

ENDINGS = (".jsonl", ".ndjson", ".jsonlines", ".jsonl.gz", ".jsonl.bz2", ".jsonl.xz", ".jsonl.zst",
           ".json.gz", ".json.zst", ".ndjson.gz", ".ndjson.zst")  # fmt: skip
PACKED = (".gz", ".bz2", ".xz", ".zst")
ESCAPES = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u.{4}|\\.")
SHORT = {"\\n": "\n", "\\t": "\t", "\\r": "\r", '\\"': '"', "\\\\": "\\", "\\/": "/"}
CHUNK = 2**20
BROKEN = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError)
"""Exceptions that decompressing a damaged file may raise."""


class JsonLinesConfig(ReaderConfig):
    """Which keys of a line are a record."""

    text_key: str = "text"
    """Key of the text; dots address nested keys, as in `article.body`."""
    id_key: str = ""
    """Key whose value determines the record's id instead of its position in the file."""
    metadata_keys: tuple[str, ...] = (
        "url", "title", "author", "date", "language", "licence", "license", "source", "path",
    )  # fmt: skip
    """Keys stored as metadata where present. Licences are always read, as `licence`, from
    `license`, `spdx`, `metadata.license` and the like."""
    kind: str = "text"
    """Kind of the records; with html the text becomes the record's bytes."""
    surrogates: str = "reject"
    """What to do with a lone surrogate such as "\\ud800": `reject` the record, or `replace` it by
    U+FFFD."""


class Located(str):
    """A JSON string value that knows its position in the JSON text."""

    start: int
    """First character after the opening quote."""
    end: int
    """Index of the closing quote."""


class Line(NamedTuple):
    """A line of a file."""

    offset: int
    """Byte offset of its beginning, in the decompressed file."""
    data: bytes
    """Without the line break; empty if the line is too long."""
    size: int
    """Bytes, line break included."""


def located_string(text: str, at: int, strict: bool = True) -> tuple[Located, int]:
    """Parse a JSON string after its opening quote; replaces json.scanner's function."""
    value, end = scanstring(text, at, strict)
    located = Located(value)
    located.start, located.end = at, end - 1
    return located, end


def refuse_constant(name: str) -> None:
    """Reject NaN and infinities, which are not JSON."""
    raise ValueError(f"{name} is not JSON")


def located_json(text: str) -> Any:
    """Parse JSON and record the position of every string value; Refused if it is not JSON.

    >>> value = located_json('{"text": "a\\\\nb"}')["text"]
    >>> str(value), value.start, value.end
    ('a\\nb', 10, 14)
    """
    decoder: Any = json.JSONDecoder(parse_constant=refuse_constant)
    decoder.parse_string = located_string
    decoder.scan_once = py_make_scanner(decoder)
    try:
        return decoder.decode(text)
    except RecursionError:
        raise Refused("nested too deeply", "more brackets than any record has") from None
    except ValueError as error:
        raise Refused("not JSON", str(error)[:200]) from None


def add_located(pieces: Pieces, text: str, value: Located, byte: int = 0, line: int = 0) -> int:
    """Append a parsed string, each escape mapped to its bytes; returns the end offset in bytes.

    `byte` is the offset of the string in the bytes that `text` was decoded from.
    """
    line = line or pieces.next_line()
    raw = text[value.start : value.end]
    if len(raw) == len(value):  # an escape is longer than its character
        return pieces.run(raw, byte, line)
    at = 0
    for escape in ESCAPES.finditer(raw):
        start, stop = escape.span()
        if start > at:
            byte = pieces.run(raw[at:start], byte, line)
        code = raw[start:stop]
        character = SHORT.get(code) or unescaped(code)
        byte = pieces.whole(character, byte, stop - start, line)  # escapes are ASCII
        at = stop
    return pieces.run(raw[at:], byte, line) if at < len(raw) else byte


def unescaped(code: str) -> str:
    """The character that an escape encodes.

    >>> unescaped("\\\\u00e9"), unescaped("\\\\ud83d\\\\ude00")
    ('é', '😀')
    """
    return chr(int(code[2:], 16)) if len(code) == 6 else json.loads(f'"{code}"')


def map_of(text: str, value: Located) -> SourceMap:
    """The map from a parsed string to the bytes of its line."""
    pieces = Pieces()
    before = text[: value.start]
    add_located(pieces, text, value, len(before) if before.isascii() else len(before.encode()), 1)
    return pieces.map()


class JsonLines:
    """The reader `jsonl`: .jsonl and .ndjson, also compressed with gzip, bzip2, xz or zstd."""

    def __init__(self, config: JsonLinesConfig) -> None:
        self.config = config

    def plan(self, root: Path) -> list[Part]:
        """Byte ranges of every file; a compressed file is one split."""
        splits = []
        for file_split in plan_files(root, ENDINGS):
            packed = suffix_of(file_split.path) in PACKED
            splits += [file_split] if packed else split(file_split, self.config.part_bytes)
        return splits

    def read(self, root: Path, part: Part, source: str) -> Iterator[Record | Rejected]:
        """Yield the records of the lines that begin in the range."""
        for line in lines(root, part, self.config.max_bytes):
            if isinstance(line, Rejected):
                yield line
                continue
            path = f"{part.path}#{line.offset}"
            try:
                yield self.record(line, path, source)
            except Refused as refused:
                yield refused.reject(path)

    def record(self, line: Line, path: str, source: str) -> Record | Rejected:
        """The record of one line; Refused if it has none."""
        config = self.config
        text = unicode_line(line.data)
        row = located_json(text)
        value = look_up(row, config.text_key)
        if not isinstance(value, Located):
            raise Refused("no text", f"{config.text_key} is {type(value).__name__}")
        values = {key: plain(look_up(row, key)) for key in config.metadata_keys}
        metadata = with_licence(values, row)
        name = plain(look_up(row, config.id_key)) if config.id_key else None
        metadata |= {"id": name} if name is not None else {}
        record = self.make(source, path, text, value, metadata)
        if name is None or isinstance(record, Rejected):
            return record
        return replace(record, id=record_id(source, ascii(name)))

    def make(
        self, source: str, path: str, text: str, value: Located, metadata: dict[str, Any]
    ) -> Record | Rejected:
        """The record of a line's text."""
        if self.config.kind == "html":
            return data_record(source, path, "html", value.encode("utf-8", "replace"), metadata)
        map = map_of(text, value)
        if self.config.surrogates == "replace" and not encodable(map.text):
            replaced = re.sub("[\ud800-\udfff]", "\ufffd", map.text)
            map = SourceMap(replaced, tuple(s._replace(exact=False) for s in map.segments))
        return text_record(source, path, self.config.kind, map, metadata)


def encodable(text: str) -> bool:
    """Whether a text has no lone surrogates."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def unicode_line(data: bytes) -> str:
    """Decode a line; Refused if it is not UTF-8."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = data[error.start]
        raise Refused("not UTF-8", f"byte 0x{byte:02x} at {error.start} of the line") from None


def look_up(row: Any, key: str) -> Any:
    """The value of a dotted key, or None; a key whose name contains dots is found, too."""
    if isinstance(row, dict) and key in row:
        return row[key]
    for name in key.split("."):
        row = row.get(name) if isinstance(row, dict) else None
    return row


def plain(value: Any) -> Any:
    """A parsed value without string positions."""
    return str(value) if isinstance(value, Located) else value


def lines(root: Path, part: Part, max_bytes: int) -> Iterator[Line | Rejected]:
    """Yield the lines that begin in a split's byte range, without blank ones.

    A line longer than `max_bytes` is skipped without being stored; a truncated compressed file
    yields what precedes the damage.
    """
    at = part.start
    try:
        with open_part(root, part.path) as raw, unpacked(raw, part.path) as file:
            if part.start:
                file.seek(part.start - 1)
                at = part.start - 1 + skip_line(file)
            while at < part.end or suffix_of(part.path) in PACKED:
                line = next_line(file, at, max_bytes)
                if not line.size:
                    break
                if not at and line.data.startswith(BOM_UTF8):
                    line = Line(3, line.data[3:] or b" ", line.size)
                if not line.data:
                    reason = f"a line of {line.size} bytes"
                    yield Rejected(f"{part.path}#{at}", "too large", reason)
                elif line.data.strip():
                    yield line
                at += line.size
    except Refused as refused:
        yield refused.reject(printable(part.path))
    except BROKEN as error:
        yield Rejected(f"{part.path}#{at}", "broken archive", str(error)[:200])


def next_line(file: io.BufferedIOBase, offset: int, max_bytes: int) -> Line:
    """Read the next line; one that is too long is counted but not stored."""
    data = file.readline(max_bytes + 2)
    if data.endswith(b"\n") or len(data) <= max_bytes:
        size = len(data)
        return Line(offset, data.rstrip(b"\r\n") or b" " * bool(size), size)
    return Line(offset, b"", len(data) + skip_line(file))


def skip_line(file: io.BufferedIOBase) -> int:
    """Skip to after the next newline; returns the number of bytes."""
    size = 0
    while chunk := file.readline(CHUNK):
        size += len(chunk)
        if chunk.endswith(b"\n"):
            break
    return size


def unpacked(raw: IO[bytes], path: str) -> Any:
    """The file, decompressed while it is read if its suffix says so."""
    suffix = suffix_of(path)
    if suffix == ".gz":
        import gzip

        return gzip.GzipFile(fileobj=raw)
    if suffix == ".bz2":
        import bz2

        return bz2.BZ2File(raw)
    if suffix == ".xz":
        import lzma

        return lzma.LZMAFile(raw)
    if suffix == ".zst":
        from ..batch import arrow

        return io.BufferedReader(arrow().CompressedInputStream(raw, "zstd"), CHUNK)
    return raw
