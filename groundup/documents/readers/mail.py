"""Mail: one record per message, from mbox files, Maildir folders and single .eml files.

The text is the plain part (HTML only if there is none), including quotes and signatures. Headers
about sender, date and reply become metadata for threading. Unencoded bodies are mapped exactly,
quoted-printable line by line, base64 as a unit. Threads, quotes and signatures are handled by the
steps for conversations. Source of the formats: RFC 5322, RFC 2045–2047, RFC 4155 (mbox).
"""

import quopri
import re
from collections.abc import Iterator
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesParser
from email.utils import parsedate_to_datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

from ..document import Record, TextSpan
from ..markup import read_html
from .archives import UNPACK_ERRORS, open_decompressed
from .encodings import (
    DecodedText,
    SourceMapBuilder,
    decode,
    split_keeping_newlines,
    text_charset,
)
from .files import MBOX_SUFFIXES
from .reader import (
    FileReader,
    InputSplit,
    ReaderConfig,
    Refused,
    Rejected,
    read_all,
    split_unless_packed,
    suffix_of,
    text_record,
)

FROM_LINE = re.compile(rb"From [^\n]{0,300}\d\d:\d\d[^\n]{0,100}\n?\Z")
FROM_LINE_AFTER_BLANK = re.compile(rb"\n\r?\n(From [^\n]{0,300}\d\d:\d\d[^\n]{0,100}\n)")
BLANK_LINE = re.compile(rb"\n\r?\n")
ANGLE_BRACKETED = re.compile(r"<([^<>\s]{1,500})>")
CHUNK_BYTES = 2**20
MAX_BOUNDARY_LINES = 20_000
"""Maximum lines of a message that may be MIME boundaries: 200,000 of them took 25 s."""
HEADERS = {"title": "Subject", "from": "From", "list": "List-Id"}


class MailConfig(ReaderConfig):
    """How messages are read."""

    max_bytes: int = 32 * 2**20
    """Maximum bytes of a message, attachments included. Own choice: servers accept 25 MB."""
    max_header_bytes: int = 256 * 2**10
    """Maximum bytes of a message's headers. Own choice: servers accept some ten KiB."""


class _StoredMessage(NamedTuple):
    """A message as stored in its file."""

    offset: int
    data: bytes
    """Empty if it is too large."""
    size: int


class Mail(FileReader):
    """The reader `mail`."""

    def __init__(self, config: MailConfig) -> None:
        self.config = config

    def split(self, root: Path, file_split: InputSplit) -> list[InputSplit]:
        """Byte ranges of an mbox; a file with one message is one split, and others are none."""
        if _is_mbox(file_split.path):
            return split_unless_packed(file_split, self.config.part_bytes)
        folder = PurePosixPath(file_split.path).parent.name  # cur and new are a Maildir's
        is_message = suffix_of(file_split.path) == ".eml" or folder in ("cur", "new")
        is_message = is_message or Path(root).is_file()
        return [file_split] if is_message else []

    def records(
        self, file: IO[bytes], input_split: InputSplit, source: str
    ) -> Iterator[Record | Rejected]:
        """Yield the messages that begin in the range."""
        if not _is_mbox(input_split.path):
            data = read_all(file, self.config.max_bytes)
            yield self.make_record(data, input_split.path, source)
            return
        try:
            with open_decompressed(file, input_split.path) as mbox:
                for stored in _iterate_mbox(mbox, input_split, self.config.max_bytes):
                    path = f"{input_split.path}#{stored.offset}"
                    if not stored.data:
                        yield Rejected(path, "too large", f"{stored.size} bytes")
                    else:
                        yield self.make_record(stored.data, path, source)
        except UNPACK_ERRORS as error:
            raise Refused("broken archive", str(error)[:200]) from None

    def make_record(self, data: bytes, path: str, source: str) -> Record | Rejected:
        """The record of a message."""
        end = BLANK_LINE.search(data, 0, self.config.max_header_bytes)
        if end is None and len(data) > self.config.max_header_bytes:
            return Rejected(path, "headers too long", f"{self.config.max_header_bytes} bytes")
        if data.count(b"\n--") + data.count(b"\r--") > MAX_BOUNDARY_LINES:
            return Rejected(
                path, "too many parts", f"more than {MAX_BOUNDARY_LINES} lines begin with --"
            )
        try:
            message = BytesParser().parsebytes(data)
            body = _extract_body(message, data, self.config.repair)
            metadata = _message_metadata(message) | body.counts
        except Refused as refused:
            return refused.reject(path)
        except (RecursionError, ValueError, LookupError, TypeError, AttributeError) as error:
            problem = f"{type(error).__name__}: {error}"[
                :200
            ]  # the parser may fail on hostile structure
            return Rejected(path, "broken message", problem)
        if not metadata.get("from") and not metadata.get("message_id") and end is None:
            return Rejected(path, "no message", "it has no headers")
        map = body.builder.build()
        turn = TextSpan("turn", 0, len(map.text), str(metadata.get("from", "")))
        return text_record(source, path, "conversation", map, metadata, (turn,))


class _MessageBody(NamedTuple):
    """The text of a message."""

    builder: SourceMapBuilder
    counts: dict[str, int]


def _is_mbox(path: str) -> bool:
    return path.lower().endswith(MBOX_SUFFIXES)


def _iterate_mbox(file: Any, input_split: InputSplit, max_bytes: int) -> Iterator[_StoredMessage]:
    """Yield the messages of an mbox whose `From ` line begins in a range.

    Such a line counts at the beginning or after an empty line, and only with a time of day.
    """
    at = _seek_first_message(file, input_split.start) if input_split.start else 0
    limit = input_split.end if suffix_of(input_split.path) in (".mbox", ".mbx") else 1 << 62
    lines: list[bytes] = []
    begin = size = 0
    blank = True
    while True:
        line = file.readline(CHUNK_BYTES)
        if not line or (blank and FROM_LINE.match(line)):
            if size:
                yield _StoredMessage(begin, b"".join(lines), size)
            if not line or at >= limit:
                return
            lines, size, begin, blank = [], 0, at + len(line), False
            at += len(line)
            continue
        at, size = at + len(line), size + len(line)
        if size <= max_bytes:
            lines.append(line)
        else:
            lines = []
        blank = line in (b"\n", b"\r\n")


def _seek_first_message(file: Any, start: int) -> int:
    """Seek to the first `From ` line at or after `start`, or to the end; returns the offset."""
    at = max(start - 3, 0)
    while True:
        file.seek(at)
        window = file.read(CHUNK_BYTES)
        for match in FROM_LINE_AFTER_BLANK.finditer(window):
            if at + match.start(1) >= start:
                file.seek(at + match.start(1))
                return at + match.start(1)
        if len(window) < CHUNK_BYTES:
            return file.seek(0, 2)
        at += CHUNK_BYTES - 512


def _extract_body(message: Message, data: bytes, repair: bool) -> _MessageBody:
    """Join the plain parts of a message, or the HTML parts if there are none."""
    plain_parts, html_parts, attached = [], [], 0
    for part in message.walk():
        if part.is_multipart():
            continue
        if part.get_content_disposition() == "attachment" or part.get_content_maintype() != "text":
            attached += 1
        elif part.get_content_subtype() == "html":
            html_parts.append(part)
        else:
            plain_parts.append(part)
    pieces, lost, cursor = SourceMapBuilder(), 0, 0
    for part in plain_parts or html_parts:
        try:
            cursor = _append_part(pieces, part, data, cursor, repair)
        except Refused:
            lost += 1
    counts = {"attachments": attached, "parts_lost": lost}
    return _MessageBody(pieces, {name: count for name, count in counts.items() if count})


def _append_part(
    builder: SourceMapBuilder, mime_part: Message, data: bytes, cursor: int, repair: bool
) -> int:
    """Append a part's text; returns its end offset in the message. Refused if it is not text."""
    coded = str(mime_part.get("Content-Transfer-Encoding", "")).strip().lower()
    content = mime_part.get_payload(decode=True)
    if not isinstance(content, bytes) or not content.strip():
        return cursor
    raw = content
    if coded in ("quoted-printable", "base64", "x-uuencode", "uuencode", "uue", "x-uue"):
        raw = str(mime_part.get_payload()).encode("ascii", "replace")
    start = data.find(raw, cursor)
    stop = start + len(raw)
    if start < 0:
        start, stop = cursor, len(data)
        raw = b""
    charset = str(mime_part.get_content_charset() or "")
    if mime_part.get_content_subtype() == "html":
        page = read_html(content, charset, repair)
        read = DecodedText(page.map, charset)
    else:
        read = decode(content, charset, repair)
    if builder.length:
        builder.append_inserted("\n\n")
    line = data.count(b"\n", 0, start)
    if raw == content:
        builder.append_slice(read.map, 0, len(read.map.text), start, line)
    elif not (
        coded == "quoted-printable"
        and _append_quoted_printable(builder, read.map.text, raw, start, line)
    ):
        builder.append(read.map.text, start, stop, line + 1, exact=False)
    return stop


def _append_quoted_printable(
    builder: SourceMapBuilder, text: str, raw: bytes, start: int, line: int
) -> bool:
    """Append quoted-printable text line by line; False if its lines and those of `raw` differ."""
    groups = re.findall(rb"(?:[^\n]*=\r?\n)*[^\n]*(?:\n|\Z)", raw)
    groups = [group for group in groups if group]
    lines = split_keeping_newlines(text)
    decoded = [quopri.decodestring(group) for group in groups]
    if len(groups) != len(lines) or any(line_bytes.count(b"\n") > 1 for line_bytes in decoded):
        return False
    for group, text_line in zip(groups, lines, strict=True):
        line += 1
        exact = group.isascii() and group.decode("ascii") == text_line
        builder.append(text_line, start, start + len(group), line, exact)
        start += len(group)
        line += group.count(b"\n") - 1 if group.endswith(b"\n") else group.count(b"\n")
    return True


def _message_metadata(message: Message) -> dict[str, Any]:
    metadata: dict[str, Any] = {"format": "mail"}
    for name, header in HEADERS.items():
        if text := _decode_header(message.get(header)):
            metadata[name] = text
    if when := _decode_header(message.get("Date")):
        metadata["date"] = _iso_date(when)
    for name, header in (("message_id", "Message-ID"), ("in_reply_to", "In-Reply-To")):
        if names := ANGLE_BRACKETED.findall(_decode_header(message.get(header))):
            metadata[name] = names[0]
    if names := ANGLE_BRACKETED.findall(_decode_header(message.get("References"), 50_000)):
        metadata["references"] = names[:200]
    return metadata


def _decode_header(value: Any, limit: int = 4_000) -> str:
    """A decoded header; empty if it is missing."""
    if value is None:
        return ""
    text = str(value)[:limit]
    try:
        pairs = [(part, name and text_charset(name)) for part, name in decode_header(text)]
        if all(
            name != "" for _, name in pairs
        ):  # otherwise the charset is unknown, perhaps a codec that must not run
            text = str(make_header(pairs))
    except (LookupError, ValueError):  # unknown charset or broken base64: left unchanged
        text = text.encode("utf-8", "replace").decode()
    return " ".join(text.encode("utf-8", "replace").decode().replace("\0", "").split())


def _iso_date(text: str) -> str:
    """A date header as ISO 8601, or unchanged if it cannot be parsed."""
    try:
        return parsedate_to_datetime(text).isoformat()
    except (ValueError, TypeError, IndexError, OverflowError):
        return text[:100]
