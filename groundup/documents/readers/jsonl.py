"""JSON lines: one record per line, its text mapped to the bytes between the quotes.

String positions are recorded while a line is parsed, so an escape such as \\n or \\u00e9 maps to
the bytes that encode it. A file is split into byte ranges; a line belongs to the range in which it
begins, and its number is the byte offset of its beginning, whatever the ranges. Chats are read in
conversations.py.
"""

import io
import json
import re
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from json.decoder import scanstring  # pyright: ignore[reportAttributeAccessIssue]
from json.scanner import py_make_scanner  # pyright: ignore[reportAttributeAccessIssue]
from pathlib import Path
from typing import IO, Any, NamedTuple

from ..document import Record, SourceMap, record_id
from .archives import UNPACK_ERRORS, open_decompressed
from .encodings import SourceMapBuilder
from .reader import (
    COMPRESSED_SUFFIXES,
    FileReader,
    InputSplit,
    ReaderConfig,
    Refused,
    Rejected,
    data_record,
    select_with_licence,
    split_unless_packed,
    suffix_of,
    text_record,
)

JSONL_SUFFIXES = (
    ".jsonl", ".ndjson", ".jsonlines", ".jsonl.gz", ".jsonl.bz2", ".jsonl.xz", ".jsonl.zst",
    ".json.gz", ".json.zst", ".ndjson.gz", ".ndjson.zst",
)  # fmt: skip
ESCAPES = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u.{4}|\\.")
SHORT_ESCAPES = {"\\n": "\n", "\\t": "\t", "\\r": "\r", '\\"': '"', "\\\\": "\\", "\\/": "/"}
MAX_READ_BYTES = 2**20


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


class LocatedString(str):
    """A JSON string value that knows its position in the JSON text."""

    start: int
    """First character after the opening quote."""
    end: int
    """Index of the closing quote."""


class _JsonLine(NamedTuple):
    """A line of a file."""

    offset: int
    """Byte offset of its beginning, in the decompressed file."""
    data: bytes
    """Without the line break; empty if the line is too long."""
    size: int
    """Bytes, line break included."""


def _parse_located_string(text: str, at: int, strict: bool = True) -> tuple[LocatedString, int]:
    """Parse a JSON string after its opening quote; replaces json.scanner's function."""
    value, end = scanstring(text, at, strict)
    located = LocatedString(value)
    located.start, located.end = at, end - 1
    return located, end


def _reject_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def parse_located_json(text: str) -> Any:
    """Parse JSON and record the position of every string value; Refused if it is not JSON.

    >>> value = parse_located_json('{"text": "a\\\\nb"}')["text"]
    >>> str(value), value.start, value.end
    ('a\\nb', 10, 14)
    """
    decoder: Any = json.JSONDecoder(parse_constant=_reject_constant)
    decoder.parse_string = _parse_located_string
    decoder.scan_once = py_make_scanner(decoder)
    try:
        return decoder.decode(text)
    except RecursionError:
        raise Refused("nested too deeply", "more brackets than any record has") from None
    except ValueError as error:
        raise Refused("not JSON", str(error)[:200]) from None


def append_located(
    builder: SourceMapBuilder, text: str, value: LocatedString, byte: int = 0, line: int = 0
) -> int:
    """Append a parsed string, each escape mapped to its bytes; returns the end offset in bytes.

    `byte` is the offset of the string in the bytes that `text` was decoded from.
    """
    line = line or builder.next_line()
    raw = text[value.start : value.end]
    if len(raw) == len(value):  # an escape is longer than its character
        return builder.append_utf8(raw, byte, line)
    at = 0
    for escape in ESCAPES.finditer(raw):
        start, stop = escape.span()
        if start > at:
            byte = builder.append_utf8(raw[at:start], byte, line)
        code = raw[start:stop]
        character = SHORT_ESCAPES.get(code) or _unescape(code)
        size = stop - start  # escapes are ASCII
        builder.append(character, byte, byte + size, line, exact=False)
        byte, at = byte + size, stop
    return builder.append_utf8(raw[at:], byte, line) if at < len(raw) else byte


def _unescape(code: str) -> str:
    """The character that an escape encodes.

    >>> _unescape("\\\\u00e9"), _unescape("\\\\ud83d\\\\ude00")
    ('é', '😀')
    """
    return chr(int(code[2:], 16)) if len(code) == 6 else json.loads(f'"{code}"')


def _map_string(text: str, value: LocatedString) -> SourceMap:
    """The map from a parsed string to the bytes of its line."""
    pieces = SourceMapBuilder()
    before = text[: value.start]
    append_located(
        pieces, text, value, len(before) if before.isascii() else len(before.encode()), 1
    )
    return pieces.build()


class JsonLines(FileReader):
    """The reader `jsonl`: .jsonl and .ndjson, also compressed with gzip, bzip2, xz or zstd."""

    ENDINGS = JSONL_SUFFIXES

    def __init__(self, config: JsonLinesConfig) -> None:
        self.config = config

    def split(self, root: Path, file_split: InputSplit) -> list[InputSplit]:
        """Byte ranges of a file; a compressed one is one split."""
        return split_unless_packed(file_split, self.config.part_bytes)

    def records(
        self, file: IO[bytes], input_split: InputSplit, source: str
    ) -> Iterator[Record | Rejected]:
        """Yield the records of the lines that begin in the range."""
        limit = self.config.max_bytes
        yield from read_json_lines(file, input_split, limit, partial(self._read_line, source))

    def _read_line(self, source: str, text: str, path: str) -> Record | Rejected:
        """The record of one line; Refused if it has none."""
        config = self.config
        row = parse_located_json(text)
        value = _get_nested(row, config.text_key)
        if not isinstance(value, LocatedString):
            raise Refused("no text", f"{config.text_key} is {type(value).__name__}")
        values = {key: without_location(_get_nested(row, key)) for key in config.metadata_keys}
        metadata = select_with_licence(values, row)
        name = without_location(_get_nested(row, config.id_key)) if config.id_key else None
        metadata |= {"id": name} if name is not None else {}
        record = self.make_record(source, path, text, value, metadata)
        if name is None or isinstance(record, Rejected):
            return record
        return replace(record, id=record_id(source, ascii(name)))

    def make_record(
        self, source: str, path: str, text: str, value: LocatedString, metadata: dict[str, Any]
    ) -> Record | Rejected:
        """The record of a line's text."""
        if self.config.kind == "html":
            return data_record(source, path, "html", value.encode("utf-8", "replace"), metadata)
        map = _map_string(text, value)
        if self.config.surrogates == "replace" and not _is_encodable(map.text):
            replaced = re.sub("[\ud800-\udfff]", "\ufffd", map.text)
            map = SourceMap(replaced, tuple(s._replace(exact=False) for s in map.segments))
        return text_record(source, path, self.config.kind, map, metadata)


def _is_encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def decode_line(data: bytes) -> str:
    """Decode a line; Refused if it is not UTF-8."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = data[error.start]
        raise Refused("not UTF-8", f"byte 0x{byte:02x} at {error.start} of the line") from None


def _get_nested(row: Any, key: str) -> Any:
    """The value of a dotted key, or None; a key whose name contains dots is found, too."""
    if isinstance(row, dict) and key in row:
        return row[key]
    for name in key.split("."):
        row = row.get(name) if isinstance(row, dict) else None
    return row


def without_location(value: Any) -> Any:
    """A parsed value without string positions."""
    return str(value) if isinstance(value, LocatedString) else value


def read_json_lines(
    raw: IO[bytes],
    input_split: InputSplit,
    max_bytes: int,
    read_line: Callable[[str, str], Record | Rejected],
) -> Iterator[Record | Rejected]:
    """Yield what `read_line` makes of each line's text and path, and rejects."""
    for line in _iterate_lines(raw, input_split, max_bytes):
        if isinstance(line, Rejected):
            yield line
            continue
        path = f"{input_split.path}#{line.offset}"
        try:
            yield read_line(decode_line(line.data), path)
        except Refused as refused:
            yield refused.reject(path)


def _iterate_lines(
    raw: IO[bytes], input_split: InputSplit, max_bytes: int
) -> Iterator[_JsonLine | Rejected]:
    """Yield the lines that begin in a split's byte range, without blank ones.

    A line longer than `max_bytes` is skipped without being stored; a truncated compressed file
    yields what precedes the damage.
    """
    at = input_split.start
    try:
        with open_decompressed(raw, input_split.path) as file:
            if input_split.start:
                file.seek(input_split.start - 1)
                at = input_split.start - 1 + _skip_line(file)
            while at < input_split.end or suffix_of(input_split.path) in COMPRESSED_SUFFIXES:
                line = _read_line(file, at, max_bytes)
                if not line.size:
                    break
                if not at and line.data.startswith(BOM_UTF8):
                    line = _JsonLine(3, line.data[3:] or b" ", line.size)
                if not line.data:
                    reason = f"a line of {line.size} bytes"
                    yield Rejected(f"{input_split.path}#{at}", "too large", reason)
                elif line.data.strip():
                    yield line
                at += line.size
    except Refused:
        raise
    except UNPACK_ERRORS as error:
        yield Rejected(f"{input_split.path}#{at}", "broken archive", str(error)[:200])


def _read_line(file: io.BufferedIOBase, offset: int, max_bytes: int) -> _JsonLine:
    """Read the next line; one that is too long is counted but not stored."""
    data = file.readline(max_bytes + 2)
    if data.endswith(b"\n") or len(data) <= max_bytes:
        size = len(data)
        return _JsonLine(offset, data.rstrip(b"\r\n") or b" " * bool(size), size)
    return _JsonLine(offset, b"", len(data) + _skip_line(file))


def _skip_line(file: io.BufferedIOBase) -> int:
    """Skip to after the next newline; returns the number of bytes."""
    size = 0
    while chunk := file.readline(MAX_READ_BYTES):
        size += len(chunk)
        if chunk.endswith(b"\n"):
            break
    return size
