"""Retrieve: find the passages of my documents that answer a question, with exact positions."""

from .answer import answer, ask, to_json, to_text
from .chunk import ChunkConfig, chunk
from .index import IndexConfig, index, index_documents
from .lexical import LexicalIndex
from .search import OpenIndex, open_index
from .sentences import Sentence, sentences
from .verify import Problem, verify_quotes

__all__ = [
    "ChunkConfig",
    "IndexConfig",
    "LexicalIndex",
    "OpenIndex",
    "Problem",
    "Sentence",
    "answer",
    "ask",
    "chunk",
    "index",
    "index_documents",
    "open_index",
    "sentences",
    "to_json",
    "to_text",
    "verify_quotes",
]
