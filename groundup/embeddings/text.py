"""Text as sentences of words, stored as one flat array of ids on disk.

    "The cat sat. A cat!"  ->  [the cat sat] [a cat]  ->  ids 0 1 2 3 1, ends 3 5

A corpus is read once: ids are assigned in the order of first appearance and written to disk. Once
all words are counted, they are renumbered by frequency and rare words are dropped. Memory holds the
vocabulary and one block. Dropped words widen the window of those around them, as in gensim and
GloVe's own tool. Knows nothing of vectors.
"""

import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from groundup.core import Artifact, Config, DataError, atomic_replace
from groundup.corpus import read_split

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
        last = int(np.searchsorted(text.ends, start + BLOCK_IDS, "right"))
        last = max(last, first + 1)
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
        raise DataError(
            f"{len(order)} of {len(vocabulary.words):,} words occur min_count={min_count} times "
            f"or more (the most frequent {most} times); give more text or lower min_count."
        )
    new = np.full(len(vocabulary.words), -1, np.int64)
    new[order] = np.arange(len(order))
    frequent = WordVocabulary([vocabulary.words[id] for id in order], vocabulary.counts[order])
    return _renumber(text, new, folder), frequent
