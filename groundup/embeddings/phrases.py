"""Phrases: words that occur together more often than by chance are joined into one.

    new york times  ->  new_york times  ->  new_york_times     one pass, two passes

    original    (n_ab - min_count) · N / (n_a · n_b)               N: distinct words and pairs
    npmi        ln(p_ab / (p_a · p_b)) / -ln p_ab                  from -1 to 1; 1: always together

Pairs with a score above the threshold are joined from left to right without overlap. Pairs are
counted in memory, 16 bytes per distinct pair.
Source: Mikolov et al. 2013, arXiv:1310.4546, §4; N as gensim counts it (word2phrase.c takes the
words of the text). NPMI: Bouma 2009.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from groundup.core import Config

from .text import TokenizedText, WordVocabulary, id_blocks, read_ids

PHRASE_SEPARATOR = "_"


class PhrasesConfig(Config):
    """Which neighbours become one word; gensim's defaults."""

    passes: int = Field(default=0, ge=0, le=4)
    """0 joins nothing, 1 makes pairs, 2 up to four words."""
    score: Literal["original", "npmi"] = "original"
    """How a pair is scored; see the module docstring."""
    threshold: float = 10.0
    """Exclusive lower bound of the score; for npmi about 0.5."""
    min_count: int = Field(default=5, ge=1)
    """Rarer pairs are not joined; the original score also subtracts it."""


def join_phrases(
    text: TokenizedText, vocabulary: WordVocabulary, config: PhrasesConfig, folder: Path
) -> tuple[TokenizedText, WordVocabulary]:
    """Join the phrases of a text; new words are appended to the vocabulary."""
    for number in range(config.passes):
        pass_folder = folder / f"pass-{number}"
        pass_folder.mkdir(exist_ok=True)
        joined = _select_pairs(*_count_pairs(text, len(vocabulary.words)), vocabulary, config)
        text, vocabulary = _write_joined_text(text, vocabulary, joined, pass_folder)
    return text, vocabulary


def _pair_keys(ids: np.ndarray, ends: np.ndarray, size: int) -> np.ndarray:
    """The key `a * size + b` of every word and its successor; -1 across a sentence's end."""
    keys = ids[:-1].astype(np.int64) * size + ids[1:]
    keys[ends[:-1] - 1] = -1
    return keys


def _count_pairs(text: TokenizedText, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Keys of the distinct neighbouring pairs, ascending, and their counts."""
    keys, counts = np.zeros(0, np.int64), np.zeros(0, np.int64)
    for ids, ends in id_blocks(text):
        pairs = _pair_keys(ids, ends, size)
        new, times = np.unique(pairs[pairs >= 0], return_counts=True)
        keys, inverse = np.unique(np.concatenate([keys, new]), return_inverse=True)
        counts = np.bincount(inverse, np.concatenate([counts, times]), len(keys)).astype(np.int64)
    return keys, counts


def _phrase_scores(
    pair: np.ndarray, first: np.ndarray, second: np.ndarray, config: PhrasesConfig,
    *, distinct: int, words: int,
) -> np.ndarray:  # fmt: skip
    """Scores of pairs from the counts of the pair and of its words.

    distinct  different words and pairs of the text
    words     all words of the text

    >>> counts = [np.array([float(n)]) for n in (10, 20, 25)]
    >>> _phrase_scores(*counts, PhrasesConfig(), distinct=1000, words=9000)
    array([10.])
    """
    if config.score == "original":
        return (pair - config.min_count) * distinct / (first * second)
    share = pair / words
    with np.errstate(divide="ignore", invalid="ignore"):
        npmi = np.log(share / (first / words * (second / words))) / -np.log(share)
    return np.where(pair < config.min_count, -np.inf, npmi)


def _select_pairs(
    keys: np.ndarray, counts: np.ndarray, vocabulary: WordVocabulary, config: PhrasesConfig
) -> np.ndarray:
    """Keys of the pairs to join, ascending."""
    size = len(vocabulary.words)
    n = vocabulary.counts.astype(np.float64)
    score = _phrase_scores(
        counts.astype(np.float64), n[keys // size], n[keys % size], config,
        distinct=size + len(keys), words=int(n.sum()),
    )  # fmt: skip
    return keys[(score > config.threshold) & (counts >= config.min_count)]


def _write_joined_text(
    text: TokenizedText, vocabulary: WordVocabulary, joined: np.ndarray, folder: Path
) -> tuple[TokenizedText, WordVocabulary]:
    """Write the text with pairs joined, and recount its words."""
    size, done = len(vocabulary.words), 0
    counts = np.zeros(size + len(joined), np.int64)
    with open(folder / "ids", "wb") as id_file, open(folder / "ends", "wb") as end_file:
        for ids, ends in _join_blocks(text, joined, size):
            counts += np.bincount(ids, minlength=len(counts))
            ids.tofile(id_file)
            (ends + done).tofile(end_file)
            done += len(ids)
    words = vocabulary.words
    names = [
        f"{words[key // size]}{PHRASE_SEPARATOR}{words[key % size]}" for key in joined.tolist()
    ]
    return read_ids(folder), WordVocabulary([*words, *names], counts)


def _join_blocks(
    text: TokenizedText, joined: np.ndarray, size: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each block's ids and ends with its pairs joined."""
    if not len(joined):
        yield from id_blocks(text)
        return
    for ids, ends in id_blocks(text):
        keys = _pair_keys(ids, ends, size)
        index = np.minimum(np.searchsorted(joined, keys), len(joined) - 1)
        is_joined = _drop_overlaps(joined[index] == keys)
        ids[:-1][is_joined] = size + index[is_joined]
        is_kept = np.ones(len(ids), bool)
        is_kept[1:][is_joined] = False
        yield ids[is_kept], np.cumsum(is_kept)[ends - 1].astype(np.int64)


def _drop_overlaps(fits: np.ndarray) -> np.ndarray:
    """Of consecutive overlapping pairs keep the first, the third and so on.

    >>> _drop_overlaps(np.array([True, True, True, False, True])).astype(int)
    array([1, 0, 1, 0, 1])
    """
    index = np.arange(len(fits))
    last_miss = np.maximum.accumulate(np.where(fits, -1, index))
    return fits & ((index - last_miss) % 2 == 1)
