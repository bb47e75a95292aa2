"""PDF: the text of each page, with a span per page and form feeds in between.

A PDF contains drawing instructions, not text, so no character has bytes of its own: every character
maps to the complete file, and pages are given by spans. Work is limited by counts (pages, drawing
instructions, characters), never by time, so results are the same on every machine. Running heads
and hyphens are handled by the steps for books. Parser: pypdf.
"""

import hashlib
import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from groundup.core import MissingExtra

from ..document import Segment, SourceMap
from ..record import ExtractedText, Record, TextSpan
from .reader import (
    InputSplit,
    ReaderConfig,
    Refused,
    Rejected,
    plan_files,
    printable_path,
    read_file_bytes,
    text_record,
)

MAX_OPERATIONS = 500_000
"""Maximum drawing instructions of a page; a page dense with text has some thousand. Own choice."""

FORM_OPERATIONS = 100
"""Instructions that drawing a form counts as: forms may draw forms, twice each, thirty deep."""


class PdfLimits(NamedTuple):
    """Limits on reading one file."""

    pages: int = 10_000
    characters: int = 64 * 2**20


DEFAULT_LIMITS = PdfLimits()


class PdfConfig(ReaderConfig):
    """Limits on reading one file."""

    max_pages: int = 10_000
    """Maximum pages of a file. Own choice: ten times a long book."""


class Pdf:
    """The reader `pdf`: one record per file, with `page` spans."""

    def __init__(self, config: PdfConfig) -> None:
        self.config = config

    def plan(self, root: Path) -> list[InputSplit]:
        """Return one split per file."""
        return plan_files(root, (".pdf",))

    def read(self, root: Path, input_split: InputSplit, source: str) -> Iterator[Record | Rejected]:
        """Yield the record of a file."""
        limits = PdfLimits(self.config.max_pages, self.config.max_bytes)
        try:
            data = read_file_bytes(root, input_split.path, self.config.max_bytes)
            if not data:
                raise Refused("empty", "0 bytes")
            extracted, metadata = read_pdf(data, limits)
        except Refused as refused:
            yield refused.reject(printable_path(input_split.path))
        else:
            metadata |= {"sha256": hashlib.sha256(data).hexdigest()}
            yield text_record(
                source, input_split.path, "pdf", extracted.map, metadata, extracted.spans
            )


class PageTooLong(Exception):
    """Raised inside pypdf to stop a page that takes too long."""


def read_pdf(
    data: bytes, limits: PdfLimits = DEFAULT_LIMITS
) -> tuple[ExtractedText, dict[str, Any]]:
    """Text of a PDF with `page` spans, and its metadata.

    A page that cannot be read is empty and listed under `pages_failed`. Raises Refused if the file
    is encrypted, broken or exceeds the limits.
    """
    reader = _open_pdf(data)
    texts, failed = [], []
    length = 0
    for number, page in enumerate(_list_pages(reader, limits.pages), 1):
        try:
            text = _page_text(page)
        except Exception:  # too long, or broken: pypdf only notices when an object is used
            failed.append(number)
            text = ""
        length += len(text) + 1
        if length > limits.characters:
            raise Refused("too large", f"more than {limits.characters} characters of text")
        texts.append(text)
    if failed and not any(texts):
        raise Refused("broken file", f"none of {len(texts)} pages can be read")
    metadata = (
        _document_metadata(reader)
        | {"pages": len(texts)}
        | ({"pages_failed": failed} if failed else {})
    )
    return _join_pages(texts, len(data)), metadata


def _open_pdf(data: bytes) -> Any:
    """Open a file with pypdf; Refused if it is encrypted or broken."""
    try:
        import pypdf
    except ImportError:
        raise MissingExtra("pypdf", "corpus") from None
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it warns about every error it tolerates
    try:
        reader = pypdf.PdfReader(io.BytesIO(data), strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            raise Refused("encrypted", "it needs a password")
        return reader
    except Refused:
        raise
    except (Exception, RecursionError) as error:
        name = type(error).__name__
        if name in ("DependencyError", "FileNotDecryptedError"):
            raise Refused("encrypted", str(error)[:200]) from None
        raise Refused("broken file", f"{name}: {error}"[:200]) from None


def _list_pages(reader: Any, limit: int) -> list[Any]:
    """The pages of a file; Refused if they cannot be listed or are too many."""
    try:
        count = len(reader.pages)
        if count > limit:
            raise Refused("too many pages", f"{count}; {limit} at most")
        return [reader.pages[number] for number in range(count)]
    except Refused:
        raise
    except (Exception, RecursionError) as error:
        raise Refused("broken file", f"{type(error).__name__}: {error}"[:200]) from None


def _page_text(page: Any) -> str:
    """Text of one page; Stopped if drawing it takes too long."""
    done = 0

    def count(operator: bytes, *_: Any) -> None:
        nonlocal done
        done += FORM_OPERATIONS if operator == b"Do" else 1
        if done > MAX_OPERATIONS:
            raise PageTooLong

    text = page.extract_text(visitor_operand_before=count)
    if done > MAX_OPERATIONS:  # pypdf tolerates exceptions inside a form
        raise PageTooLong
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "")


def _join_pages(texts: list[str], size: int) -> ExtractedText:
    """Join pages with form feeds, each mapped to the complete file."""
    shown = [text.replace("\f", "\n") for text in texts]
    spans, start = [], 0
    for number, text in enumerate(shown, 1):
        spans.append(TextSpan("page", start, start + len(text), str(number)))
        start += len(text) + 1
    joined = "\f".join(shown)
    segments = (Segment(0, len(joined), 0, size, 1, False),) if joined else ()
    return ExtractedText(SourceMap(joined, segments), tuple(spans))


def _document_metadata(reader: Any) -> dict[str, Any]:
    """Title, author and date from the file's metadata, as far as they can be read."""
    metadata = {}
    try:
        information = reader.metadata or {}
        for key, name in (("/Title", "title"), ("/Author", "author"), ("/CreationDate", "date")):
            value = information.get(key)
            if isinstance(value, str) and value.strip():
                metadata[name] = value.strip()[:1_000].replace("\0", "")
    except Exception:  # metadata of a broken file is dispensable
        return metadata
    return metadata
