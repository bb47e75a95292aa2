"""Retrieve: find the passages of my documents that answer a question, with exact positions."""

from .answer import answer_question, answer_to_json, answer_to_text, ask
from .chunks.chunk import ChunkConfig, chunk_document
from .index import IndexConfig, explain_reading, index, index_or_explain
from .lexical import LexicalIndex
from .search import OpenIndex, open_index
from .session import Session, ask_questions
from .verification import QuoteProblem, TextCheck, Verification, check_text, verify, verify_quotes

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
    "check_text",
    "chunk_document",
    "explain_reading",
    "index",
    "index_or_explain",
    "open_index",
    "verify",
    "verify_quotes",
]
