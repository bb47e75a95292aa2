"""Documents: the text of files, and the bytes that each part of it came from."""

from .code.language import detect_code_language
from .document import Heading, Record, Segment, SourceMap, TextSpan, record_id
from .licences.expressions import is_licence_allowed, join_expressions
from .licences.texts import licence_of
from .markup import Markup, read_html
from .outline import markdown_headings, python_headings, rst_headings
from .patterns import join_lines, read_patterns
from .readers.encodings import DecodedText, SourceMapBuilder, decode
from .readers.files import DOCUMENT_KIND_BY_SUFFIX, fingerprint_folder, read_bytes, read_folder
from .readers.reader import (
    NOT_DOCUMENT_REASONS,
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
    BatchResult,
    ExtractedText,
    NamedStep,
    Removal,
    Step,
    StepResult,
    TextEdit,
    apply_result,
    canonical_json,
    from_batch,
    record_schema,
    removal_schema,
    removals_to_batch,
    run_steps,
    to_batch,
)
from .steps import DERIVERS, READERS, REMOVED, STEPS, import_object, reader_target, step_target

__all__ = [
    "DERIVERS",
    "DOCUMENT_KIND_BY_SUFFIX",
    "NOT_DOCUMENT_REASONS",
    "PASS",
    "READERS",
    "REMOVED",
    "STEPS",
    "UNREAD_LICENCE_KEYS",
    "BatchResult",
    "DecodedText",
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
    "apply_result",
    "canonical_json",
    "decode",
    "detect_code_language",
    "find_licences",
    "fingerprint_folder",
    "from_batch",
    "import_object",
    "is_licence_allowed",
    "join_expressions",
    "join_lines",
    "licence_of",
    "markdown_headings",
    "printable_path",
    "python_headings",
    "read_bytes",
    "read_folder",
    "read_html",
    "read_patterns",
    "reader_target",
    "record_id",
    "record_schema",
    "removal_schema",
    "removals_to_batch",
    "rst_headings",
    "run_steps",
    "step_target",
    "to_batch",
]
