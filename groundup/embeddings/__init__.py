"""Word embeddings: static vectors trained on text, and contextual vectors from a model."""

from typing import TYPE_CHECKING, Any

from .bert import BertEncoder, open_bert_encoder
from .files import load_vectors, read_word2vec, save_vectors, write_word2vec
from .glove import GloveConfig, cooccurrences, glove
from .plotting import STYLE, pca, scatter_plot, tsne
from .similarity import (
    Analogies,
    AnalogySection,
    Correlation,
    RatedPair,
    answer_analogies,
    rating_correlation,
    read_analogies,
    read_ratings,
    table_rows,
)
from .static import StaticEncoder, is_static_encoder, load_static_encoder
from .text import (
    PhrasesConfig,
    TextConfig,
    TokenizedText,
    WordVocabulary,
    assign_ids,
    join_phrases,
    renumber_by_frequency,
    tokenized_sentences,
)
from .train import VectorsConfig, train_vectors
from .vectors import Neighbour, Vectors
from .word2vec import Word2VecConfig, word2vec

if TYPE_CHECKING:
    from .contextual import Occurrence, cosines, occurrences

_LATER = ("Occurrence", "cosines", "occurrences")
"""Names whose file imports torch, which static vectors need not."""


def __getattr__(name: str) -> Any:
    """Import a name when it is first used."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import contextual

    return getattr(contextual, name)


__all__ = [
    "STYLE",
    "Analogies",
    "AnalogySection",
    "BertEncoder",
    "Correlation",
    "GloveConfig",
    "Neighbour",
    "Occurrence",
    "PhrasesConfig",
    "RatedPair",
    "StaticEncoder",
    "TextConfig",
    "TokenizedText",
    "Vectors",
    "VectorsConfig",
    "Word2VecConfig",
    "WordVocabulary",
    "answer_analogies",
    "assign_ids",
    "cooccurrences",
    "cosines",
    "glove",
    "is_static_encoder",
    "join_phrases",
    "load_static_encoder",
    "load_vectors",
    "occurrences",
    "open_bert_encoder",
    "pca",
    "rating_correlation",
    "read_analogies",
    "read_ratings",
    "read_word2vec",
    "renumber_by_frequency",
    "save_vectors",
    "scatter_plot",
    "table_rows",
    "tokenized_sentences",
    "train_vectors",
    "tsne",
    "word2vec",
    "write_word2vec",
]
