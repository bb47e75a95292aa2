"""Documents: what does a folder of files say, and where exactly does it say it?"""

from .document import Document, DocumentKind, Heading, Segment, SourceMap, make_document
from .markup import Markup, read_html
from .outline import markdown_headings, python_headings
from .readers import KINDS, Rejected, fingerprint_folder, read_bytes, read_folder

__all__ = [
    "KINDS",
    "Document",
    "DocumentKind",
    "Heading",
    "Markup",
    "Rejected",
    "Segment",
    "SourceMap",
    "fingerprint_folder",
    "make_document",
    "markdown_headings",
    "python_headings",
    "read_bytes",
    "read_folder",
    "read_html",
]
