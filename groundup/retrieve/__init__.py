"""Retrieve: find the passages of my documents that answer a question, with exact positions."""

from .answer import answer_question, answer_to_json, answer_to_text, ask
from .chunk import ChunkConfig, chunk_document
from .index import IndexConfig, index, index_documents
from .lexical import LexicalIndex
from .search import OpenIndex, open_index
from .sentences import Sentence, split_sentences
from .verify import QuoteProblem, verify_quotes

__all__ = [
    "ChunkConfig",
    "IndexConfig",
    "LexicalIndex",
    "OpenIndex",
    "QuoteProblem",
    "Sentence",
    "answer_question",
    "answer_to_json",
    "answer_to_text",
    "ask",
    "chunk_document",
    "index",
    "index_documents",
    "open_index",
    "split_sentences",
    "verify_quotes",
]
