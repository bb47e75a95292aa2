"""Text as sentences of words, stored as one flat array of ids on disk.

    "The cat sat. A cat!"  ->  [the cat sat] [a cat]  ->  ids 0 1 2 3 1, ends 3 5

A corpus is read once: ids are assigned in the order of first appearance and written to disk. Once
all words are counted, they are renumbered by frequency and rare words are dropped. Memory holds the
vocabulary and one block. Dropped words widen the window of those around them, as in gensim and
GloVe's own tool. Knows nothing of vectors.

Phrases: words that occur together more often than by chance are joined into one.

    new york times  ->  new_york times  ->  new_york_times     one pass, two passes

    original    (n_ab - min_count) · N / (n_a · n_b)               N: distinct words and pairs
    npmi        ln(p_ab / (p_a · p_b)) / -ln p_ab                  from -1 to 1; 1: always together

Pairs with a score above the threshold are joined from left to right without overlap. Pairs are
counted in memory, 16 bytes per distinct pair.
Source: Mikolov et al. 2013, arXiv:1310.4546, §4; N as gensim counts it (word2phrase.c takes the
words of the text). NPMI: Bouma 2009.
"""

import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field

from groundup.core import Artifact, Config, DataError, atomic_replace

MAX_SENTENCE_WORDS = 10_000
"""Words; longer sentences are split, as in gensim and word2vec.c."""
BLOCK_IDS = 1 << 22
"""Ids in memory at a time."""
READ_BYTES = 1 << 20

WORD = re.compile(r"[^\W\d_]+(?:['’\-][^\W\d_]+)*")
SENTENCE_END = re.compile(r"[.!?]+[\"'”’)\]]*\s+|\n\s*\n")


class TextConfig(Config):
    """What counts as a word and where a sentence ends."""

    words: Literal["letters", "spaces"] = "letters"
    """letters: runs of letters with inner apostrophes and hyphens; sentences end at . ! ? and at
    empty lines. spaces: pre-tokenized text, one sentence per line (gensim's LineSentence)."""
    lower: bool = True
    """Whether to lower-case the text."""
    split: str = "train"
    """Split of a corpus artifact to read."""


class TokenizedText(NamedTuple):
    """Concatenated sentences."""

    ids: np.ndarray
    """(words of the text,) int32."""
    ends: np.ndarray
    """(sentences,) int64: one past each sentence's last word."""


class WordVocabulary(NamedTuple):
    """Distinct words with their counts; a word's index is its id."""

    words: list[str]
    counts: np.ndarray
    """(V,) int64."""


class _IdAssigner(dict[str, int]):
    """Assigns the next id to a new word on lookup."""

    def __missing__(self, word: str) -> int:
        self[word] = id = len(self)
        return id


def read_source_texts(source: Artifact | Sequence[Path], config: TextConfig) -> Iterator[str]:
    """Yield the texts of a corpus, or of UTF-8 files in chunks of lines of about a megabyte.

    Raises DataError for a file that cannot be read as UTF-8.
    """
    if isinstance(source, Artifact):
        from groundup.corpus import read_split  # a question by static vectors needs none

        yield from (document.text for document in read_split(source, config.split))
        return
    for path in source:
        try:
            with open(path, encoding="utf-8") as file:
                while lines := file.readlines(READ_BYTES):
                    yield "".join(lines)
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path} cannot be read as UTF-8 text ({error}).") from None


def tokenized_sentences(texts: Iterable[str], config: TextConfig) -> Iterator[list[str]]:
    """Yield the sentences of texts as lists of words; empty ones are skipped.

    >>> list(tokenized_sentences(["The cat's here. It sat!"], TextConfig()))
    [['the', "cat's", 'here'], ['it', 'sat']]
    """
    for text in texts:
        text = text.lower() if config.lower else text
        for part in text.splitlines() if config.words == "spaces" else SENTENCE_END.split(text):
            words = part.split() if config.words == "spaces" else WORD.findall(part)
            for start in range(0, len(words), MAX_SENTENCE_WORDS):
                yield words[start : start + MAX_SENTENCE_WORDS]


def assign_ids(
    tokenized: Iterable[Sequence[str]], folder: Path
) -> tuple[TokenizedText, WordVocabulary]:
    """Assign ids in the order of first appearance, write them, and count the words.

    Raises DataError if there is no word.
    """
    numbering, counts = _IdAssigner(), np.zeros(0, np.int64)
    block, ends, done = array("i"), array("q"), 0
    with open(folder / "ids", "wb") as id_file, open(folder / "ends", "wb") as end_file:

        def flush() -> None:
            nonlocal counts, done
            new = np.bincount(np.frombuffer(block, np.int32), minlength=len(numbering))
            counts = new + np.pad(counts, (0, len(new) - len(counts)))
            block.tofile(id_file)
            ends.tofile(end_file)
            done += len(block)
            del block[:], ends[:]

        for words in tokenized:
            block.extend(map(numbering.__getitem__, words))
            ends.append(done + len(block))
            if len(block) >= BLOCK_IDS:
                flush()
        if block:
            flush()
    if not numbering:
        raise DataError("The text holds no word; give a corpus or files with words in them.")
    return read_ids(folder), WordVocabulary(list(numbering), counts)


def read_ids(folder: Path) -> TokenizedText:
    """Map the files that `assign_ids` and `_renumber` write."""
    if (folder / "ids").stat().st_size == 0:
        return TokenizedText(np.zeros(0, np.int32), np.zeros(0, np.int64))
    ids = np.memmap(folder / "ids", np.int32, "r")
    return TokenizedText(ids, np.memmap(folder / "ends", np.int64, "r"))


def id_blocks(text: TokenizedText) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the sentences in blocks: ids, and ends relative to the block's first word."""
    first, start = 0, 0
    while first < len(text.ends):
        last = max(int(np.searchsorted(text.ends, start + BLOCK_IDS, "right")), first + 1)
        stop = int(text.ends[last - 1])
        yield np.array(text.ids[start:stop]), text.ends[first:last] - start
        first, start = last, stop


def _renumber(text: TokenizedText, new: np.ndarray, folder: Path) -> TokenizedText:
    """Write the text with ids mapped to `new[id]`; drop negative ids and empty sentences."""
    done = 0
    with atomic_replace(folder / "ids") as id_path, atomic_replace(folder / "ends") as end_path:
        with open(id_path, "wb") as id_file, open(end_path, "wb") as end_file:
            for ids, ends in id_blocks(text):
                mapped = new[ids]
                is_kept = mapped >= 0
                mapped[is_kept].astype(np.int32).tofile(id_file)
                before = np.concatenate([[0], np.cumsum(is_kept)])[ends]
                before = before[np.diff(before, prepend=0) > 0]
                (before + done).astype(np.int64).tofile(end_file)
                done += int(is_kept.sum())
    return read_ids(folder)


def renumber_by_frequency(
    text: TokenizedText, vocabulary: WordVocabulary, min_count: int, folder: Path
) -> tuple[TokenizedText, WordVocabulary]:
    """Renumber the text and vocabulary by descending frequency, without rare words.

    Ties keep the order of first appearance. Raises DataError if too few words remain.
    """
    order = np.argsort(-vocabulary.counts, kind="stable")
    order = order[vocabulary.counts[order] >= max(min_count, 1)]
    if len(order) < 2:
        most = int(vocabulary.counts.max())
        what = f"{len(order)} of {len(vocabulary.words):,} words occur min_count={min_count} times"
        more = f"or more (the most frequent {most} times)"
        raise DataError(f"{what} {more}; give more text or lower min_count.")
    new = np.full(len(vocabulary.words), -1, np.int64)
    new[order] = np.arange(len(order))
    frequent = WordVocabulary([vocabulary.words[id] for id in order], vocabulary.counts[order])
    return _renumber(text, new, folder), frequent


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
    pairs = ((words[key // size], words[key % size]) for key in joined.tolist())
    names = [f"{first}{PHRASE_SEPARATOR}{second}" for first, second in pairs]
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
