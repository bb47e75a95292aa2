"""Documents: the text of files, and the bytes that each part of it came from."""

from .batch import (
    BatchResult,
    NamedStep,
    Removal,
    canonical_json,
    from_batch,
    import_pyarrow,
    record_schema,
    removal_schema,
    removals_to_batch,
    run_steps,
    to_batch,
)
from .code.expressions import is_licence_allowed, join_expressions
from .code.language import detect_code_language
from .code.licences import licence_of
from .conversations.threads import ThreadMessage, ThreadPosition, build_threads, extract_message
from .document import Document, DocumentKind, Heading, Segment, SourceMap, make_document
from .markup import Markup, read_html
from .outline import markdown_headings, python_headings, rst_headings
from .readers.encodings import DecodedText, SourceMapBuilder, decode
from .readers.files import DOCUMENT_KIND_BY_SUFFIX, fingerprint_folder, read_bytes, read_folder
from .readers.reader import (
    NOT_DOCUMENT_REASONS,
    READERS,
    UNREAD_LICENCE_KEYS,
    InputSplit,
    Reader,
    ReaderConfig,
    Rejected,
    find_licences,
    printable_path,
)
from .record import (
    PASS,
    ExtractedText,
    Record,
    Step,
    StepResult,
    TextEdit,
    TextSpan,
    apply_result,
    record_id,
)
from .steps import REMOVED, STEPS

__all__ = [
    "DOCUMENT_KIND_BY_SUFFIX",
    "NOT_DOCUMENT_REASONS",
    "PASS",
    "READERS",
    "REMOVED",
    "STEPS",
    "UNREAD_LICENCE_KEYS",
    "BatchResult",
    "DecodedText",
    "Document",
    "DocumentKind",
    "ExtractedText",
    "Heading",
    "InputSplit",
    "Markup",
    "NamedStep",
    "Reader",
    "ReaderConfig",
    "Record",
    "Rejected",
    "Removal",
    "Segment",
    "SourceMap",
    "SourceMapBuilder",
    "Step",
    "StepResult",
    "TextEdit",
    "TextSpan",
    "ThreadMessage",
    "ThreadPosition",
    "apply_result",
    "build_threads",
    "canonical_json",
    "decode",
    "detect_code_language",
    "extract_message",
    "find_licences",
    "fingerprint_folder",
    "from_batch",
    "import_pyarrow",
    "is_licence_allowed",
    "join_expressions",
    "licence_of",
    "make_document",
    "markdown_headings",
    "printable_path",
    "python_headings",
    "read_bytes",
    "read_folder",
    "read_html",
    "record_id",
    "record_schema",
    "removal_schema",
    "removals_to_batch",
    "rst_headings",
    "run_steps",
    "to_batch",
]
