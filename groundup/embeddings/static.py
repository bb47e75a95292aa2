"""A text's vector as the mean of its words' static vectors: no model runs, so it is the fast one.

    vector of a text = mean of a / (a + p(word)) x vector(word)  -  the same of all text

Rare words count more than frequent ones, and what all texts share is taken out. Words come from a
vectors artifact (word2vec, GloVe), with their counts, or from a directory of Sentence Transformers'
StaticEmbedding (model2vec), whose tokens all weigh the same and whose mean is left as it is.
Source: Arora et al. 2017, "A simple but tough-to-beat baseline for sentence embeddings".
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from groundup.core import ArtifactError

from .files import WORDS, load_vectors
from .text import TextConfig, tokenized_sentences
from .vectors import Vectors

RARITY = 1e-3
"""`a` of the weights: the share of all words at which a word's weight is a half."""
MODULES, TYPE = "modules.json", "StaticEmbedding"
TABLES = ("embedding.weight", "embeddings")
"""Names of the table in such a directory, of Sentence Transformers and of model2vec."""


class StaticEncoder:
    """Embeds texts by their words; its `embed` is that of the LanguageModel contract."""

    def __init__(self, rows_of: Callable[[str], Sequence[int]], table: np.ndarray) -> None:
        """Take the table (V, width) and what gives the rows of a text."""
        self.rows_of, self.table, self.common = rows_of, table, np.zeros(table.shape[1], np.float32)
        self.prompt = ""

    @classmethod
    def of_words(cls, vectors: Vectors) -> "StaticEncoder":
        """The encoder of words with their vectors; without counts all weigh the same."""
        if vectors.counts is None:
            shares = np.zeros(len(vectors))
        else:
            shares = vectors.counts / max(1, vectors.counts.sum())
        weights = (RARITY / (RARITY + shares)).astype(np.float32)
        encoder = cls(lambda text: _word_rows(vectors, text), vectors.matrix * weights[:, None])
        encoder.common = (shares[:, None] * encoder.table).sum(0).astype(np.float32)
        return encoder

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """One vector per text, float32 (texts, width); zeros for a text without a known word."""
        vectors = np.zeros((len(texts), self.table.shape[1]), np.float32)
        for row, text in enumerate(texts):
            if len(rows := self.rows_of(self.prompt + text)):
                vectors[row] = self.table[rows].mean(0) - self.common
        return vectors


def _word_rows(vectors: Vectors, text: str) -> list[int]:
    words = (word for each in tokenized_sentences([text], TextConfig(lower=False)) for word in each)
    known = vectors.casefolded
    rows = (vectors.ids.get(word, known.get(word.casefold())) for word in words)
    return [row for row in rows if row is not None]


def is_static_encoder(path: Path) -> bool:
    """Whether a directory is one that `load_static_encoder` opens."""
    file = path / MODULES
    return (path / WORDS).is_file() or file.is_file() and TYPE.encode() in file.read_bytes()


def load_static_encoder(path: Path) -> StaticEncoder:
    """Open a vectors artifact, or a directory of Sentence Transformers' StaticEmbedding.

    Raises ArtifactError if files are missing or damaged.
    """
    if (path / WORDS).is_file():
        return StaticEncoder.of_words(load_vectors(path))
    from groundup.tokenizer import load_tokenizer

    try:
        modules = json.loads((path / MODULES).read_bytes())
        folder = path / next(each["path"] for each in modules if each["type"].endswith(TYPE))
        if not folder.resolve().is_relative_to(path.resolve()):
            raise ValueError(f"{folder} is outside")
        tables = load_file(folder / "model.safetensors")
        table = next(tables[name] for name in TABLES if name in tables).astype(np.float32)
        if table.ndim != 2 or not np.isfinite(table).all():
            raise ValueError(f"a table of shape {table.shape}, or with numbers that are not finite")
    except (OSError, SafetensorError, StopIteration, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path} holds no static vectors ({error!r}).") from None
    tokenizer = load_tokenizer(folder)
    if tokenizer.vocab_size > len(table):
        raise ArtifactError(
            f"{folder} has {len(table)} vectors for {tokenizer.vocab_size} tokens; it is damaged."
        )
    return StaticEncoder(tokenizer.encode, table)
