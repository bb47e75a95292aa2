"""Documents: what does a folder of files say, and where exactly does it say it?"""

from .document import Document, DocumentKind, Heading, Segment, SourceMap, make_document

__all__ = ["Document", "DocumentKind", "Heading", "Segment", "SourceMap", "make_document"]
