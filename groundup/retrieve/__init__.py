"""Retrieve: find the passages of my documents that answer a question, with exact positions."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .answers.answer import answer_question, ask
from .answers.passages import mark_words, search_passages
from .answers.session import Session, ask_questions
from .answers.shown import answer_to_json, answer_to_text
from .chunks.chunk import ChunkConfig, chunk_document
from .index import IndexConfig, explain_reading, index, index_or_explain
from .lexical import LexicalIndex
from .search import OpenIndex, open_index
from .snapshots import current_snapshot
from .verification.quotes import QuoteProblem, Verification, verify, verify_quotes
from .verification.texts import TextCheck, check_claim, check_text, match_question

if TYPE_CHECKING:
    from .calibration.calibrate import CalibrationConfig, calibrate
    from .calibration.made import MadeQuestion, made_questions
    from .encoders.train import EncoderConfig, train_encoder
    from .models import ReaderChoice, RerankerChoice, TextEncoderConfig, load_text_encoder
    from .readers.scoring import PairScorer
    from .readers.train import SpanReaderConfig, train_reader
    from .readers.train_reranker import RerankerConfig, train_reranker
    from .verification.opinions import SecondOpinion, open_opinion

_LATER = {
    "CalibrationConfig": "calibration.calibrate", "calibrate": "calibration.calibrate",
    "made_questions": "calibration.made", "MadeQuestion": "calibration.made",
    "EncoderConfig": "encoders.train",
    "train_encoder": "encoders.train", "ReaderChoice": "models", "TextEncoderConfig": "models",
    "RerankerChoice": "models", "RerankerConfig": "readers.train_reranker",
    "train_reranker": "readers.train_reranker",
    "PairScorer": "readers.scoring", "SpanReaderConfig": "readers.train",
    "train_reader": "readers.train", "SecondOpinion": "verification.opinions",
    "open_opinion": "verification.opinions",
    "load_text_encoder": "models",
}  # fmt: skip
"""Where names are that import numpy or torch, which most questions need not."""


def __getattr__(name: str) -> Any:
    """Import a name when it is first used."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_LATER[name]}", __name__), name)


__all__ = [
    "CalibrationConfig",
    "ChunkConfig",
    "EncoderConfig",
    "IndexConfig",
    "LexicalIndex",
    "MadeQuestion",
    "OpenIndex",
    "PairScorer",
    "QuoteProblem",
    "ReaderChoice",
    "RerankerChoice",
    "RerankerConfig",
    "SecondOpinion",
    "Session",
    "SpanReaderConfig",
    "TextCheck",
    "TextEncoderConfig",
    "Verification",
    "answer_question",
    "answer_to_json",
    "answer_to_text",
    "ask",
    "ask_questions",
    "calibrate",
    "check_claim",
    "check_text",
    "chunk_document",
    "current_snapshot",
    "explain_reading",
    "index",
    "index_or_explain",
    "load_text_encoder",
    "made_questions",
    "mark_words",
    "match_question",
    "open_index",
    "open_opinion",
    "search_passages",
    "train_encoder",
    "train_reader",
    "train_reranker",
    "verify",
    "verify_quotes",
]
