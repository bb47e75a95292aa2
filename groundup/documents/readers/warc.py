"""Web archives: the pages of WARC files and the texts of WET files, one record each.

A compressed archive is split at byte ranges; a record belongs to the range in which its gzip member
begins. After a damaged or truncated member reading continues with the next one, so a bad record
affects only itself. Pages stay bytes with the charset that their server declared; everything else
(another status or content type) is rejected. Source of the format: ISO 28500 (WARC 1.1); FastWARC
parses it.
"""

import os
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from groundup.core import MissingExtra

from ..document import Record
from .encodings import decode
from .files import make_record
from .reader import (
    FileReader,
    InputSplit,
    ReaderConfig,
    Refused,
    Rejected,
    data_record,
    open_split,
    split_by_bytes,
    suffix_of,
    text_record,
)

GZIP_MEMBER = re.compile(rb"\x1f\x8b\x08[\x00-\x1f]")
WARC_START = re.compile(rb"WARC/[01]\.\d")
UNCOMPRESSED_START = re.compile(rb"(?:\r?\n){2}(WARC/[01]\.\d\r?\n)")
WINDOW_BYTES = 2**20
MAX_HEADER_BYTES = 64 * 2**10
HTTP_STATUS = re.compile(rb"HTTP/\d(?:\.\d)?[ \t]+(\d{3})[^\n]{0,1000}\n")
HEADERS_END = re.compile(rb"(?<=\n)\r?\n")
DAMAGE_REASONS = ("broken archive", "cut off")
CONTENT_LENGTH = re.compile(rb"(?i)\nContent-Length:[ \t]*(\d{1,15})[ \t]*\r?\n")


class WarcConfig(ReaderConfig):
    """Which records of an archive are read."""

    max_bytes: int = 5 * 2**20
    """Maximum bytes of an unpacked page. Own choice: crawls truncate pages at 1 MiB (Common Crawl)
    to some MB."""
    statuses: tuple[int, int] = (200, 299)
    """First and last HTTP status that counts as success. Source: RFC 9110, section 15.3."""
    types: tuple[str, ...] = ("text/html", "application/xhtml+xml")
    """Content types that are read; text/plain and application/pdf can be added."""


class _ResponseBody(NamedTuple):
    """A server's response body."""

    data: bytes
    type: str
    charset: str


class Warc(FileReader):
    """The reader `warc`: .warc and .wet, plain or with one gzip member per record."""

    ENDINGS = (".warc", ".warc.gz", ".wet", ".wet.gz", ".warc.wet.gz")

    def __init__(self, config: WarcConfig) -> None:
        self.config = config

    def split(self, root: Path, file_split: InputSplit) -> list[InputSplit]:
        """Byte ranges of one archive."""
        part_bytes = self.config.part_bytes
        if file_split.bytes <= part_bytes:
            return [file_split]
        with open_split(root, file_split.path) as file:
            if suffix_of(file_split.path) == ".gz":
                has_members = _find_member(file, 1, file_split.bytes // 2 + part_bytes) is not None
                return split_by_bytes(file_split, part_bytes) if has_members else [file_split]
            cuts = _uncompressed_split_points(file, file_split.bytes, part_bytes)
        ranges = zip(cuts, cuts[1:], strict=False)
        return [InputSplit(file_split.path, start, end, end - start) for start, end in ranges]

    def records(
        self, file: IO[bytes], input_split: InputSplit, source: str
    ) -> Iterator[Record | Rejected]:
        """Yield what begins in the range, resuming after damage."""
        is_packed = suffix_of(input_split.path) == ".gz"
        find, end_of = (
            (_find_member, _member_end) if is_packed else (_find_uncompressed, _record_end)
        )
        size = os.fstat(file.fileno()).st_size
        at, result = find(file, input_split.start, input_split.end), None
        if at != input_split.start == 0 and input_split.end:
            yield Rejected(
                input_split.path, "not an archive", "it does not begin with a WARC record"
            )
        while at is not None:
            count, broken = 0, ""  # records that begin at `at`
            file.seek(at)
            try:
                for position, record in _with_positions(_warc_iterator(file)):
                    if record.stream_pos >= input_split.end and input_split.end < size:
                        return
                    count = count + 1 if record.stream_pos == at else 1
                    at = record.stream_pos
                    result = self._read_record(record, f"{input_split.path}#{position}", source)
                    if result is not None:
                        yield result
            except OSError as error:
                broken = str(error)[:200]
            end = end_of(file, at) if count else None
            if not count:
                yield Rejected(
                    f"{input_split.path}#{at}", "broken archive", broken or "ends within"
                )
            elif isinstance(result, Rejected) and result.reason in DAMAGE_REASONS:
                end = None  # its length cannot be trusted
            elif end is None and broken:  # inside a member of which some records were read
                yield Rejected(f"{input_split.path}#{at}.{count}", "broken archive", broken)
            elif end is not None and (lost := _unread_remainder(file, end, input_split)):
                yield lost._replace(details=broken or lost.details)
            at = find(file, (end or at) + 1, input_split.end)

    def _read_record(self, record: Any, path: str, source: str) -> Record | Rejected | None:
        """The record of a WARC record, if its type has content."""
        type = record.headers.get("WARC-Type", "").lower()
        try:
            if type == "conversion":
                return self._conversion_record(record, path, source)
            if type in ("response", "resource"):
                return self._page_record(record, path, source)
        except Refused as refused:
            return refused.reject(path)
        return None

    def _conversion_record(self, record: Any, path: str, source: str) -> Record | Rejected:
        """The text that the archive's producer extracted from a page."""
        data = self._payload(record)
        read = decode(data, "utf-8", self.config.repair)
        language = record.headers.get("WARC-Identified-Content-Language")
        metadata = _warc_metadata(record) | {
            "language": language,
            "replaced_bytes": read.replaced or None,
        }
        return text_record(source, path, "text", read.map, metadata)

    def _page_record(self, record: Any, path: str, source: str) -> Record | Rejected:
        """A page as sent by its server; Refused if it is none."""
        body = self._response_body(record)
        if body.type not in self.config.types:
            raise Refused("another kind of content", body.type or "no content type")
        metadata = _warc_metadata(record) | {"charset": body.charset}
        if body.type.startswith("text/plain"):
            return make_record(source, path, "text", body.data, metadata, self.config.repair)
        kind = "pdf" if body.type == "application/pdf" else "html"
        return data_record(source, path, kind, body.data, metadata)

    def _response_body(self, record: Any) -> _ResponseBody:
        """The body of a response or resource, with transfer and content encoding removed."""
        if not record.is_http:
            label = record.headers.get("Content-Type", "")
            return _ResponseBody(self._payload(record), *_parse_content_type(label))
        head, data = _split_http(self._payload(record, MAX_HEADER_BYTES))
        type, charset = _parse_content_type(head.get("content-type", ""))
        first, last = self.config.statuses
        if not first <= int(head["status"]) <= last:
            raise Refused("not delivered", f"status {head['status']}")
        if type not in self.config.types:
            return _ResponseBody(b"", type, charset)
        if "chunked" in head.get("transfer-encoding", "").lower():
            data = _decode_chunked(data)
        packed = head.get("content-encoding", "").strip().lower()
        return _ResponseBody(_decode_content(data, packed, self.config.max_bytes), type, charset)

    def _payload(self, record: Any, extra: int = 0) -> bytes:
        """The bytes of a WARC record; Refused if they are too many or truncated."""
        limit, length = self.config.max_bytes + extra, record.content_length
        if length > limit:
            raise Refused("too large", f"{length} bytes; {limit} at most")
        try:
            data = record.reader.read(length)
        except OSError as error:
            raise Refused("broken archive", str(error)[:200]) from None
        if len(data) < length or "Content-Length" not in record.headers:
            raise Refused("cut off", f"{len(data)} of {length} bytes are there")
        return data


def _split_http(block: bytes) -> tuple[dict[str, str], bytes]:
    """Headers (with `status`) and body of an HTTP response; Refused if it is none.

    >>> _split_http(b"HTTP/1.1 200 OK\\r\\nContent-Type: text/html\\r\\n\\r\\n<p>")
    ({'status': '200', 'content-type': 'text/html'}, b'<p>')
    """
    status = HTTP_STATUS.match(block)
    if status is None:
        raise Refused("not HTTP", "no status line")
    end = HEADERS_END.search(block, 0, MAX_HEADER_BYTES)
    stop = end.start() if end else min(len(block), MAX_HEADER_BYTES)
    headers = {"status": status[1].decode("ascii")}
    for line in block[status.end() : stop].split(b"\n"):
        name, colon, value = line.decode("latin-1").partition(":")
        if colon:
            headers.setdefault(name.strip().lower(), value.strip())
    return headers, block[end.end() :] if end else b""


def _with_positions(records: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """Yield records with their position: byte offset of the gzip member, and an index within it."""
    last, count = -1, 0
    for record in records:
        count = count + 1 if record.stream_pos == last else 0
        last = record.stream_pos
        yield f"{last}.{count}" if count else f"{last}", record


def _warc_iterator(file: Any) -> Any:
    try:
        from fastwarc.warc import ArchiveIterator
    except ImportError:
        raise MissingExtra("fastwarc", "corpus") from None
    return ArchiveIterator(file, parse_http=False)


def _warc_metadata(record: Any) -> dict[str, Any]:
    headers = record.headers
    return {
        "url": headers.get("WARC-Target-URI"),
        "date": headers.get("WARC-Date"),
        "warc_id": headers.get("WARC-Record-ID"),
        "warc_truncated": headers.get("WARC-Truncated"),
    }


def _parse_content_type(label: str) -> tuple[str, str]:
    """Type and charset of a Content-Type header.

    >>> _parse_content_type('Text/HTML; Charset="ISO-8859-1"')
    ('text/html', 'ISO-8859-1')
    """
    type, _, rest = label.partition(";")
    charset = re.search(r"(?i)charset\s*=\s*[\"']?\s*([\w.:-]{1,40})", rest)
    return type.strip().lower(), charset[1] if charset else ""


def _decode_chunked(data: bytes) -> bytes:
    """Decode chunked transfer encoding; unchanged if there are no chunks."""
    pieces, at = [], 0
    while at < len(data):
        stop = data.find(b"\n", at, at + 1024)
        try:
            size = int(data[at:stop].split(b";")[0].strip() or b"x", 16) if stop >= 0 else -1
        except ValueError:
            size = -1
        if size < 0:
            return data if not pieces else b"".join(pieces)
        if size == 0:
            break
        pieces.append(data[stop + 1 : stop + 1 + size])
        at = stop + 1 + size
        at += 2 if data[at : at + 2] == b"\r\n" else 1
    return b"".join(pieces)


def _decode_content(data: bytes, packed: str, max_bytes: int) -> bytes:
    """Remove the Content-Encoding; many archives store unpacked bodies with the old header."""
    if packed in ("gzip", "x-gzip") and data.startswith(b"\x1f\x8b"):
        return _inflate(data, 31, max_bytes)
    if packed == "deflate" and data[:1] == b"\x78":
        return _inflate(data, 15, max_bytes)
    if packed in ("br", "zstd") and not data[:512].lstrip().startswith(b"<"):
        raise Refused("another compression", packed)
    return data


def _inflate(data: bytes, window: int, max_bytes: int) -> bytes:
    """Decompress at most `max_bytes`; Refused if there is more or the data is broken."""
    unpacker = zlib.decompressobj(window)
    try:
        unpacked_data = unpacker.decompress(data, max_bytes + 1)
    except zlib.error as error:
        raise Refused("broken compression", str(error)) from None
    if len(unpacked_data) > max_bytes:
        raise Refused("too large", f"{len(data)} bytes unpack to more than {max_bytes}")
    if not unpacker.eof:
        raise Refused("cut off", "the compressed page ends within")
    return unpacked_data


def _find_member(file: Any, start: int, end: int) -> int | None:
    """Offset of the first gzip member in [start, end) that contains a WARC record."""
    while start < end:
        file.seek(start)
        window = file.read(WINDOW_BYTES)
        for match in GZIP_MEMBER.finditer(window):
            at = start + match.start()
            if at >= end:
                return None
            if _begins_record(file, at):
                return at
        if len(window) < WINDOW_BYTES:
            return None
        start += WINDOW_BYTES - 3
    return None


def _member_end(file: Any, at: int) -> int | None:
    """End offset of the gzip member at `at`; None if it is damaged or truncated."""
    unpacker = zlib.decompressobj(31)
    file.seek(at)
    while not unpacker.eof:
        packed = unpacker.unconsumed_tail or file.read(WINDOW_BYTES)
        try:
            unpacker.decompress(packed, WINDOW_BYTES)
        except zlib.error:
            return None
        if not packed:
            return None
    return file.tell() - len(unpacker.unused_data)


def _record_end(file: Any, at: int) -> int | None:
    """End offset of the record at `at` in an uncompressed archive, from its Content-Length."""
    file.seek(at)
    head = file.read(MAX_HEADER_BYTES)
    stop = re.search(rb"\r?\n\r?\n", head)
    length_match = CONTENT_LENGTH.search(head, 0, stop.end()) if stop else None
    if not WARC_START.match(head) or stop is None or length_match is None:
        return None
    at += stop.end() + int(length_match[1])
    file.seek(at)
    rest = file.read(4)
    return at + len(rest) - len(rest.lstrip(b"\r\n"))


def _unread_remainder(file: Any, end: int, input_split: InputSplit) -> Rejected | None:
    """The reject for data after the last record that was read, padding ignored.

    A truncation within the first bytes of a member leaves nothing to unpack, so no parser reports
    it.
    """
    size = os.fstat(file.fileno()).st_size
    file.seek(end)
    rest = file.read(WINDOW_BYTES)
    if not rest.strip(b"\0\r\n ") and end + len(rest) >= size:
        return None
    if input_split.end <= end and _begins_record(file, end):
        return None  # the reader of the next range reports it
    begins = rest.startswith((b"\x1f", b"WARC"[: len(rest)]))
    reason = "cut off" if begins else "broken archive"
    return Rejected(
        f"{input_split.path}#{end}", reason, f"no record begins here, {size - end} bytes left"
    )


def _begins_record(file: Any, at: int) -> bool:
    """Whether the gzip member at this offset decompresses to the beginning of a WARC record."""
    file.seek(at)
    try:
        head = zlib.decompressobj(31).decompress(file.read(4096), 64)
    except zlib.error:
        return False
    return WARC_START.match(head) is not None


def _find_uncompressed(file: Any, start: int, end: int) -> int | None:
    """Offset of the first record of an uncompressed archive in a range."""
    if start == 0:
        file.seek(0)
        if WARC_START.match(file.read(16)):
            return 0
    at = max(start - 4, 0)
    while at < end:
        file.seek(at)
        window = file.read(WINDOW_BYTES)
        for match in UNCOMPRESSED_START.finditer(window):
            if start <= at + match.start(1) < end:
                return at + match.start(1)
        if len(window) < WINDOW_BYTES:
            return None
        at += WINDOW_BYTES - 32
    return None


def _uncompressed_split_points(file: Any, size: int, part_bytes: int) -> list[int]:
    """Split points of an uncompressed archive, found by walking from record to record.

    Searching for record headers would be unsafe: a page may contain one as text.
    """
    cuts, at = [0], 0
    while at < size and (end := _record_end(file, at)) is not None:
        at = end
        if at - cuts[-1] >= part_bytes and at < size:
            cuts.append(at)
    return [*cuts, size]
