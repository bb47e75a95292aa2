"""The stage that trains vectors: from a corpus or text files to a vectors artifact.

    text -> ids -> join phrases -> drop rare words -> word2vec or GloVe -> vectors

Intermediate files are in the draft's scratch folder.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from groundup.core import Artifact, Config, ConfigError, Draft, digest, hash_file, produce, record
from groundup.core import device as machine

from .files import save_vectors
from .glove import GloveConfig, glove
from .glove import glove_library as glove_loops
from .text import (
    PhrasesConfig,
    TextConfig,
    assign_ids,
    join_phrases,
    read_source_texts,
    renumber_by_frequency,
    tokenized_sentences,
)
from .vectors import Vectors
from .word2vec import Word2VecConfig, word2vec
from .word2vec import word2vec_library as word2vec_loops


class VectorsConfig(Config):
    """How word vectors are trained."""

    method: Literal["word2vec", "glove"] = "word2vec"
    """word2vec trains on the text in several epochs; GloVe fits co-occurrence counts."""
    text: TextConfig = TextConfig()
    """Word and sentence splitting."""
    phrases: PhrasesConfig = PhrasesConfig()
    """Phrase detection."""
    min_count: int = Field(default=5, ge=1)
    """[min_count] Rarer words get no vector."""
    word2vec: Word2VecConfig = Word2VecConfig()
    """Used if the method is word2vec."""
    glove: GloveConfig = GloveConfig()
    """Used if the method is glove."""
    seed: int = Field(default=1, ge=0)
    """[seed] Of initial vectors and sampling."""
    threads: int = Field(default=0, ge=0)
    """[workers] 0: all cores. Threads write without locks, so only 1 is reproducible."""
    source_digest: str = ""
    """Hash of the source files; set by the stage."""


def train_vectors(
    config: VectorsConfig, out: Path, *, corpus: Artifact | None = None, text: Sequence[Path] = ()
) -> Artifact:
    """Train word vectors by word2vec or GloVe.

    corpus  a corpus artifact to read
    text    UTF-8 files to read instead; name several by repeating the flag

    Raises ConfigError unless exactly one of them is given, and DataError if too few words remain.
    """
    if (corpus is None) == (not text):
        raise ConfigError("Give either --corpus DIR or --text FILE to train vectors on.")
    source = corpus if corpus is not None else [Path(path) for path in text]
    if not isinstance(source, Artifact):
        if missing := [str(path) for path in source if not path.is_file()]:
            raise ConfigError(f"There is no file {missing[0]}; --text takes files of text.")
        hashes = [hash_file(path) for path in source]
        config = config.model_copy(update={"source_digest": digest(hashes)})
    return produce(
        out, kind="vectors", stage="vectors", version=1, config=config,
        parents={"corpus": corpus} if corpus is not None else {},
        write=lambda draft: _train_and_write(draft, source, config),
    )  # fmt: skip


def _train_and_write(
    draft: Draft, source: Artifact | Sequence[Path], config: VectorsConfig
) -> None:
    folders = [draft.scratch / name for name in ("text", "phrases", "kept", "cells")]
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    raw, phrased, kept, cells = folders
    sentences = tokenized_sentences(read_source_texts(source, config.text), config.text)
    text, vocabulary = assign_ids(sentences, raw)
    total = int(vocabulary.counts.sum())
    text, vocabulary = join_phrases(text, vocabulary, config.phrases, phrased)
    joined = total - int(vocabulary.counts.sum())
    text, vocabulary = renumber_by_frequency(text, vocabulary, config.min_count, kept)
    size = len(vocabulary.words)
    record.log(f"{total:,} words; {size:,} distinct ones occur at least {config.min_count} times")
    draft.numbers |= {
        "text_words": total, "trained_words": len(text.ids), "joined_words": joined, "words": size,
        "native": (glove_loops if config.method == "glove" else word2vec_loops)() is not None,
        "threads": config.threads or machine.available_cores(),
    }  # fmt: skip
    how = {"seed": config.seed, "threads": config.threads}
    if config.method == "glove":
        matrix, losses = glove(text, size, config.glove, cells, **how)
        draft.numbers["losses"] = losses
    else:
        matrix = word2vec(text, vocabulary.counts, config.word2vec, **how)
    save_vectors(Vectors(vocabulary.words, matrix, vocabulary.counts), draft)
