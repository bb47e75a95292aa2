"""Documents: what does a folder of files say, and where exactly does it say it?"""

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
from .conversations.threads import Message, message_of, threads
from .document import Document, DocumentKind, Heading, Segment, SourceMap, make_document
from .markup import Markup, read_html
from .outline import markdown_headings, python_headings, rst_headings
from .readers.encodings import Decoded, Pieces, decode
from .readers.folder import KINDS, fingerprint_folder, read_bytes, read_folder
from .readers.reader import READERS, Part, Reader, ReaderConfig, Rejected
from .record import PASS, Edit, Made, Record, Ruling, Span, Step, follow, record_id
from .steps import STEPS

__all__ = [
    "KINDS",
    "PASS",
    "READERS",
    "STEPS",
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
    "arrow",
    "decode",
    "fingerprint_folder",
    "follow",
    "from_batch",
    "judge",
    "make_document",
    "markdown_headings",
    "message_of",
    "plain_json",
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
