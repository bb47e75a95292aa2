"""Word embeddings: static vectors trained on text, and contextual vectors from a model."""

from .contextual import Occurrence, cosines, occurrences
from .files import load_vectors, read_word2vec, save_vectors, write_word2vec
from .glove.cooccurrence import cooccurrences
from .glove.glove import Glove, GloveConfig, glove
from .phrases import PhrasesConfig, join_phrases
from .picture import STYLE, pca, scatter, tsne
from .similarity import (
    Analogies,
    Correlation,
    Rated,
    Section,
    answer_analogies,
    correlation,
    read_analogies,
    read_ratings,
    table_rows,
)
from .text import Ids, TextConfig, Vocabulary, by_frequency, number_words, sentences
from .train import VectorsConfig, train_vectors
from .vectors import Neighbour, Vectors
from .word2vec import Word2VecConfig, word2vec

__all__ = [
    "STYLE",
    "Analogies",
    "Correlation",
    "Glove",
    "GloveConfig",
    "Ids",
    "Neighbour",
    "Occurrence",
    "PhrasesConfig",
    "Rated",
    "Section",
    "TextConfig",
    "Vectors",
    "VectorsConfig",
    "Vocabulary",
    "Word2VecConfig",
    "answer_analogies",
    "by_frequency",
    "cooccurrences",
    "correlation",
    "cosines",
    "glove",
    "join_phrases",
    "load_vectors",
    "number_words",
    "occurrences",
    "pca",
    "read_analogies",
    "read_ratings",
    "read_word2vec",
    "save_vectors",
    "scatter",
    "sentences",
    "table_rows",
    "train_vectors",
    "tsne",
    "word2vec",
    "write_word2vec",
]
