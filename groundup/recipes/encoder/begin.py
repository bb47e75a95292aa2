"""Vectors to begin with: word2vec over the ids that the encoder reads, a hundred times as fast.

Masked pre-training learns what a word is like from a sixth of its uses, through every layer;
skip-gram learns it from all of them by a few products. The encoder's embedding begins there.
Source: for tuning from word2vec: Kim 2014, arXiv:1408.5882.
"""

from pathlib import Path

import numpy as np
from pydantic import Field

from groundup.core import Artifact, Config, Draft, produce
from groundup.embeddings import TokenizedText, Vectors, Word2VecConfig, save_vectors, word2vec
from groundup.tokenizer import Shard


class BeginConfig(Config):
    """How the vectors are learnt."""

    word2vec: Word2VecConfig = Word2VecConfig(
        model="skip_gram", width=128, epochs=5, sample=1e-4, learning_rate=0.04
    )
    """Frequent ids are thinned out more than by gensim's default: most of them are no words."""
    seed: int = Field(default=1, ge=0)
    """Of the first vectors and of the order of the texts."""


def make_vectors(config: BeginConfig, tokens: Artifact, out: Path) -> Artifact:
    """Vectors of the ids of a shard, each named by its number; one thread, so the same twice."""
    return produce(
        out, kind="vectors", stage="encoder_vectors", version=1, config=config,
        parents={"tokens": tokens},
        write=lambda draft: _write_vectors(draft, config, Shard.open(tokens, "train")),
    )  # fmt: skip


def _write_vectors(draft: Draft, config: BeginConfig, shard: Shard) -> None:
    """The body of the stage; ids are numbered by frequency as word2vec wants them."""
    counts = np.bincount(shard.ids)
    order = np.argsort(-counts, kind="stable")
    order = order[counts[order] > 0]
    place = np.zeros(len(counts), np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    text = _shuffled(shard, config.seed)
    text = TokenizedText(place[text.ids], text.ends)
    matrix = word2vec(text, counts[order], config.word2vec, seed=config.seed, threads=1)
    save_vectors(Vectors([str(id) for id in order.tolist()], matrix, counts[order]), draft)
    draft.numbers |= {"ids": len(order), "tokens": len(shard)}


def _shuffled(shard: Shard, seed: int) -> TokenizedText:
    """The texts in another order: the last ones that word2vec reads move its vectors least."""
    ends = shard.ends.astype(np.int64)
    lengths = np.diff(ends, prepend=0)
    starts, chosen = ends - lengths, np.random.default_rng(seed).permutation(len(ends))
    ids = np.concatenate([shard.ids[starts[i] : ends[i]] for i in chosen.tolist()])
    return TokenizedText(ids, np.cumsum(lengths[chosen]))
