"""Retrieve: find the passages of my documents that answer a question, with exact positions."""

from .answers.answer import answer_question, ask
from .answers.session import Session, ask_questions
from .answers.shown import answer_to_json, answer_to_text
from .chunks.chunk import ChunkConfig, chunk_document
from .index import IndexConfig, explain_reading, index, index_or_explain
from .lexical import LexicalIndex
from .search import OpenIndex, open_index
from .verification import (
    QuoteProblem,
    TextCheck,
    Verification,
    check_claim,
    check_text,
    verify,
    verify_quotes,
)
from .wording.claimed import match_question

__all__ = [
    "ChunkConfig",
    "IndexConfig",
    "LexicalIndex",
    "OpenIndex",
    "QuoteProblem",
    "Session",
    "TextCheck",
    "Verification",
    "answer_question",
    "answer_to_json",
    "answer_to_text",
    "ask",
    "ask_questions",
    "check_claim",
    "check_text",
    "chunk_document",
    "explain_reading",
    "index",
    "index_or_explain",
    "match_question",
    "open_index",
    "verify",
    "verify_quotes",
]
