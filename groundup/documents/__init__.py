"""Documents: the text of files, and the bytes that each part of it came from."""

from .batch import (
    Judged,
    Named,
    Removal,
    arrow,
    from_batch,
    judge,
    plain_json,
    removal_schema,
    removals_to_batch,
    schema,
    to_batch,
)
from .code.expressions import allowed, join_all
from .code.language import language_of
from .code.licences import licence_of
from .conversations.threads import Message, Place, message_of, threads
from .document import Document, DocumentKind, Heading, Segment, SourceMap, make_document
from .markup import Markup, read_html
from .outline import markdown_headings, python_headings, rst_headings
from .readers.encodings import Decoded, Pieces, decode
from .readers.folder import KINDS, fingerprint_folder, read_bytes, read_folder
from .readers.reader import (
    NO_DOCUMENTS,
    READERS,
    UNREAD,
    Part,
    Reader,
    ReaderConfig,
    Rejected,
    licences_in,
    printable,
)
from .record import PASS, Edit, Made, Record, Ruling, Span, Step, follow, record_id
from .steps import REMOVED, STEPS

__all__ = [
    "KINDS",
    "NO_DOCUMENTS",
    "PASS",
    "READERS",
    "REMOVED",
    "STEPS",
    "UNREAD",
    "Decoded",
    "Document",
    "DocumentKind",
    "Edit",
    "Heading",
    "Judged",
    "Made",
    "Markup",
    "Message",
    "Named",
    "Part",
    "Pieces",
    "Place",
    "Reader",
    "ReaderConfig",
    "Record",
    "Rejected",
    "Removal",
    "Ruling",
    "Segment",
    "SourceMap",
    "Span",
    "Step",
    "allowed",
    "arrow",
    "decode",
    "fingerprint_folder",
    "follow",
    "from_batch",
    "join_all",
    "judge",
    "language_of",
    "licence_of",
    "licences_in",
    "make_document",
    "markdown_headings",
    "message_of",
    "plain_json",
    "printable",
    "python_headings",
    "read_bytes",
    "read_folder",
    "read_html",
    "record_id",
    "removal_schema",
    "removals_to_batch",
    "rst_headings",
    "schema",
    "threads",
    "to_batch",
]
