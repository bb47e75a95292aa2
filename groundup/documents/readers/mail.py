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
from typing import Any, NamedTuple

from ..markup import charset_named
from ..record import Record, Span
from .encodings import Decoded, Pieces, decode, lines_of
from .jsonl import BROKEN, unpacked
from .kinds import read_page
from .reader import (
    Part,
    ReaderConfig,
    Refused,
    Rejected,
    open_part,
    plan_files,
    printable,
    read_all,
    split,
    suffix_of,
    text_record,
)

BOXES = (".mbox", ".mbx", ".mbox.gz", ".mbox.bz2", ".mbox.xz")
SEPARATOR = re.compile(rb"From [^\n]{0,300}\d\d:\d\d[^\n]{0,100}\n?\Z")
BEGIN = re.compile(rb"\n\r?\n(From [^\n]{0,300}\d\d:\d\d[^\n]{0,100}\n)")
BLANK = re.compile(rb"\n\r?\n")
NAMES = re.compile(r"<([^<>\s]{1,500})>")
CHUNK = 2**20
MOST_PARTS = 20_000
"""Maximum lines of a message that may be MIME boundaries: 200,000 of them took 25 s."""
HEADERS = {"title": "Subject", "from": "From", "list": "List-Id"}


class MailConfig(ReaderConfig):
    """How messages are read."""

    max_bytes: int = 32 * 2**20
    """Maximum bytes of a message, attachments included. Own choice: servers accept 25 MB."""
    max_header_bytes: int = 256 * 2**10
    """Maximum bytes of a message's headers. Own choice: servers accept some ten KiB."""


class Stored(NamedTuple):
    """A message as stored in its file."""

    offset: int
    data: bytes
    """Empty if it is too large."""
    size: int


class Mail:
    """The reader `mail`."""

    def __init__(self, config: MailConfig) -> None:
        self.config = config

    def plan(self, root: Path) -> list[Part]:
        """Byte ranges of every mbox, and one split for every single-message file."""
        splits = []
        for file_split in plan_files(root):
            if is_box(file_split.path):
                packed = suffix_of(file_split.path) in (".gz", ".bz2", ".xz")
                splits += [file_split] if packed else split(file_split, self.config.part_bytes)
            elif is_message(file_split.path) or Path(root).is_file():
                splits.append(file_split)
        return splits

    def read(self, root: Path, part: Part, source: str) -> Iterator[Record | Rejected]:
        """Yield the messages that begin in the range."""
        try:
            if not is_box(part.path):
                data = read_all(root, part.path, self.config.max_bytes)
                yield self.record(data, part.path, source)
                return
            with open_part(root, part.path) as raw, unpacked(raw, part.path) as file:
                for stored in messages(file, part, self.config.max_bytes):
                    path = f"{part.path}#{stored.offset}"
                    if not stored.data:
                        yield Rejected(path, "too large", f"{stored.size} bytes")
                    else:
                        yield self.record(stored.data, path, source)
        except Refused as refused:
            yield refused.reject(printable(part.path))
        except BROKEN as error:
            yield Rejected(printable(part.path), "broken archive", str(error)[:200])

    def record(self, data: bytes, path: str, source: str) -> Record | Rejected:
        """The record of a message."""
        end = BLANK.search(data, 0, self.config.max_header_bytes)
        if end is None and len(data) > self.config.max_header_bytes:
            return Rejected(path, "headers too long", f"{self.config.max_header_bytes} bytes")
        if data.count(b"\n--") + data.count(b"\r--") > MOST_PARTS:
            return Rejected(path, "too many parts", f"more than {MOST_PARTS} lines begin with --")
        try:
            message = BytesParser().parsebytes(data)
            body = body_of(message, data, self.config.repair)
            metadata = about(message) | body.counts
        except Refused as refused:
            return refused.reject(path)
        except (RecursionError, ValueError, LookupError, TypeError, AttributeError) as error:
            problem = f"{type(error).__name__}: {error}"[
                :200
            ]  # the parser may fail on hostile structure
            return Rejected(path, "broken message", problem)
        if not metadata.get("from") and not metadata.get("message_id") and end is None:
            return Rejected(path, "no message", "it has no headers")
        map = body.pieces.map()
        turn = Span("turn", 0, len(map.text), str(metadata.get("from", "")))
        return text_record(source, path, "conversation", map, metadata, (turn,))


class Body(NamedTuple):
    """The text of a message."""

    pieces: Pieces
    counts: dict[str, int]


def is_box(path: str) -> bool:
    """Whether a file is an mbox."""
    return path.lower().endswith(BOXES)


def is_message(path: str) -> bool:
    """Whether a file is a single message: .eml, or in the folders of a Maildir."""
    return suffix_of(path) == ".eml" or PurePosixPath(path).parent.name in ("cur", "new")


def messages(file: Any, part: Part, max_bytes: int) -> Iterator[Stored]:
    """Yield the messages of an mbox whose `From ` line begins in a range.

    Such a line counts at the beginning or after an empty line, and only with a time of day.
    """
    at = first_message(file, part.start) if part.start else 0
    limit = part.end if suffix_of(part.path) in (".mbox", ".mbx") else 1 << 62
    lines: list[bytes] = []
    begin = size = 0
    blank = True
    while True:
        line = file.readline(CHUNK)
        if not line or (blank and SEPARATOR.match(line)):
            if size:
                yield Stored(begin, b"".join(lines), size)
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


def first_message(file: Any, start: int) -> int:
    """Seek to the first `From ` line at or after `start`, or to the end; returns the offset."""
    at = max(start - 3, 0)
    while True:
        file.seek(at)
        window = file.read(CHUNK)
        for match in BEGIN.finditer(window):
            if at + match.start(1) >= start:
                file.seek(at + match.start(1))
                return at + match.start(1)
        if len(window) < CHUNK:
            return file.seek(0, 2)
        at += CHUNK - 512


def body_of(message: Message, data: bytes, repair: bool) -> Body:
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
    pieces, lost, cursor = Pieces(), 0, 0
    for part in plain_parts or html_parts:
        try:
            cursor = add_part(pieces, part, data, cursor, repair)
        except Refused:
            lost += 1
    counts = {"attachments": attached, "parts_lost": lost}
    return Body(pieces, {name: count for name, count in counts.items() if count})


def add_part(pieces: Pieces, part: Message, data: bytes, cursor: int, repair: bool) -> int:
    """Append a part's text; returns its end offset in the message. Refused if it is not text."""
    coded = str(part.get("Content-Transfer-Encoding", "")).strip().lower()
    content = part.get_payload(decode=True)
    if not isinstance(content, bytes) or not content.strip():
        return cursor
    raw = content
    if coded in ("quoted-printable", "base64", "x-uuencode", "uuencode", "uue", "x-uue"):
        raw = str(part.get_payload()).encode("ascii", "replace")
    start = data.find(raw, cursor)
    stop = start + len(raw)
    if start < 0:
        start, stop = cursor, len(data)
        raw = b""
    charset = str(part.get_content_charset() or "")
    if part.get_content_subtype() == "html":
        page, _ = read_page(content, charset, repair)
        read = Decoded(page.map, charset)
    else:
        read = decode(content, charset, repair)
    if pieces.length:
        pieces.put("\n\n")
    line = data.count(b"\n", 0, start)
    if raw == content:
        pieces.take(read.map, 0, len(read.map.text), start, line)
    elif not (coded == "quoted-printable" and add_quoted(pieces, read.map.text, raw, start, line)):
        pieces.add(read.map.text, start, stop, line + 1, exact=False)
    return stop


def add_quoted(pieces: Pieces, text: str, raw: bytes, start: int, line: int) -> bool:
    """Append quoted-printable text line by line; False if its lines and those of `raw` differ."""
    groups = re.findall(rb"(?:[^\n]*=\r?\n)*[^\n]*(?:\n|\Z)", raw)
    groups = [group for group in groups if group]
    lines = lines_of(text)
    decoded = [quopri.decodestring(group) for group in groups]
    if len(groups) != len(lines) or any(line_bytes.count(b"\n") > 1 for line_bytes in decoded):
        return False
    for group, text_line in zip(groups, lines, strict=True):
        line += 1
        exact = group.isascii() and group.decode("ascii") == text_line
        pieces.add(text_line, start, start + len(group), line, exact)
        start += len(group)
        line += group.count(b"\n") - 1 if group.endswith(b"\n") else group.count(b"\n")
    return True


def about(message: Message) -> dict[str, Any]:
    """Sender, date, subject and references of a message."""
    metadata: dict[str, Any] = {"format": "mail"}
    for name, header in HEADERS.items():
        if text := header_text(message.get(header)):
            metadata[name] = text
    if when := header_text(message.get("Date")):
        metadata["date"] = iso_date(when)
    for name, header in (("message_id", "Message-ID"), ("in_reply_to", "In-Reply-To")):
        if names := NAMES.findall(header_text(message.get(header))):
            metadata[name] = names[0]
    if names := NAMES.findall(header_text(message.get("References"), 50_000)):
        metadata["references"] = names[:200]
    return metadata


def header_text(value: Any, limit: int = 4_000) -> str:
    """A decoded header; empty if it is missing."""
    if value is None:
        return ""
    text = str(value)[:limit]
    try:
        pairs = [(part, name and charset_named(name)) for part, name in decode_header(text)]
        if all(
            name != "" for _, name in pairs
        ):  # otherwise the charset is unknown, perhaps a codec that must not run
            text = str(make_header(pairs))
    except (LookupError, ValueError):  # unknown charset or broken base64: left unchanged
        text = text.encode("utf-8", "replace").decode()
    return " ".join(text.encode("utf-8", "replace").decode().replace("\0", "").split())


def iso_date(text: str) -> str:
    """A date header as ISO 8601, or unchanged if it cannot be parsed."""
    try:
        return parsedate_to_datetime(text).isoformat()
    except (ValueError, TypeError, IndexError, OverflowError):
        return text[:100]
