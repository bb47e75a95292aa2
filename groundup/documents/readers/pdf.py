"""PDF: the text of each page, with a span for the page and a form feed between two.

A PDF has no text but drawing instructions, so no character has a byte of its own: the map leads
from every character to the whole file, and pages are told by their spans. Work is bounded by counts
(pages, drawing instructions, characters), never by a clock, so results are the same everywhere.
Knows nothing of running heads or hyphens; the steps for books do. pypdf parses.
"""

import hashlib
import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from groundup.core import MissingExtra

from ..document import Segment, SourceMap
from ..record import Made, Record, Span
from .reader import (
    Part,
    ReaderConfig,
    Refused,
    Rejected,
    plan_files,
    printable,
    read_all,
    text_record,
)

MAX_OPERATIONS = 500_000
"""Drawing instructions of a page; a page dense with text has some thousand. Own choice."""

FORM_OPERATIONS = 100
"""What drawing a form counts as: forms may draw forms, twice each, thirty deep."""


class PdfLimits(NamedTuple):
    """How much of a file is read."""

    pages: int = 10_000
    characters: int = 64 * 2**20


WHOLE = PdfLimits()


class PdfConfig(ReaderConfig):
    """How much of a file is read."""

    max_pages: int = 10_000
    """Pages of a file; longer ones are rejected. Own choice: ten times a long book."""


class Pdf:
    """The reader `pdf`: one record a file, with `page` spans."""

    def __init__(self, config: PdfConfig) -> None:
        self.config = config

    def plan(self, root: Path) -> list[Part]:
        """A part for every file."""
        return plan_files(root, (".pdf",))

    def read(self, root: Path, part: Part, source: str) -> Iterator[Record | Rejected]:
        """Yield the record of a file."""
        limits = PdfLimits(self.config.max_pages, self.config.max_bytes)
        try:
            data = read_all(root, part.path, self.config.max_bytes)
            if not data:
                raise Refused("empty", "0 bytes")
            made, metadata = read_pdf(data, limits)
        except Refused as refused:
            yield refused.reject(printable(part.path))
        else:
            metadata |= {"sha256": hashlib.sha256(data).hexdigest()}
            yield text_record(source, part.path, "pdf", made.map, metadata, made.spans)


class Stopped(Exception):
    """Raised inside pypdf when a page goes on for too long."""


def read_pdf(data: bytes, limits: PdfLimits = WHOLE) -> tuple[Made, dict[str, Any]]:
    """The text of a PDF with `page` spans, and what it says about itself.

    A page that cannot be read is left empty and listed under `pages_failed`. Raises Refused if the
    file is encrypted, broken or beyond the limits.
    """
    reader = opened(data)
    texts, failed = [], []
    length = 0
    for number, page in enumerate(pages_of(reader, limits.pages), 1):
        try:
            text = text_of(page)
        except Exception:  # too long, or broken: pypdf notices when it comes to use an object
            failed.append(number)
            text = ""
        length += len(text) + 1
        if length > limits.characters:
            raise Refused("too large", f"more than {limits.characters} characters of text")
        texts.append(text)
    if failed and not any(texts):
        raise Refused("broken file", f"none of {len(texts)} pages can be read")
    metadata = about(reader) | {"pages": len(texts)} | ({"pages_failed": failed} if failed else {})
    return put_together(texts, len(data)), metadata


def opened(data: bytes) -> Any:
    """pypdf's reader of a file; Refused if it is encrypted or cannot be opened."""
    try:
        import pypdf
    except ImportError:
        raise MissingExtra("pypdf", "corpus") from None
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it warns of each flaw it forgives
    try:
        reader = pypdf.PdfReader(io.BytesIO(data), strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            raise Refused("encrypted", "it opens with a password alone")
        return reader
    except Refused:
        raise
    except (Exception, RecursionError) as error:
        name = type(error).__name__
        if name in ("DependencyError", "FileNotDecryptedError"):
            raise Refused("encrypted", str(error)[:200]) from None
        raise Refused("broken file", f"{name}: {error}"[:200]) from None


def pages_of(reader: Any, limit: int) -> list[Any]:
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


def text_of(page: Any) -> str:
    """The text of one page; Stopped if its drawing goes on for too long."""
    done = 0

    def count(operator: bytes, *_: Any) -> None:
        nonlocal done
        done += FORM_OPERATIONS if operator == b"Do" else 1
        if done > MAX_OPERATIONS:
            raise Stopped

    text = page.extract_text(visitor_operand_before=count)
    if done > MAX_OPERATIONS:  # pypdf forgives what fails inside a form
        raise Stopped
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "")


def put_together(texts: list[str], size: int) -> Made:
    """Pages as one text, a form feed between two, each mapped to the whole file."""
    shown = [text.replace("\f", "\n") for text in texts]
    spans, start = [], 0
    for number, text in enumerate(shown, 1):
        spans.append(Span("page", start, start + len(text), str(number)))
        start += len(text) + 1
    whole = "\f".join(shown)
    segments = (Segment(0, len(whole), 0, size, 1, False),) if whole else ()
    return Made(SourceMap(whole, segments), tuple(spans))


def about(reader: Any) -> dict[str, Any]:
    """Title and author that a file claims, as far as they can be read."""
    found = {}
    try:
        said = reader.metadata or {}
        for key, name in (("/Title", "title"), ("/Author", "author"), ("/CreationDate", "date")):
            value = said.get(key)
            if isinstance(value, str) and value.strip():
                found[name] = value.strip()[:1_000].replace("\0", "")
    except Exception:  # what a broken file says about itself is no loss
        return found
    return found
