"""Words: an English frequency table, a book's own vocabulary, and a letter model.

The table is shipped with the package (benchmarks/documents/book_words.py makes it); the book's own
words also serve other languages. The letter model is estimated from the table: trigrams weighted
by word frequency.
"""

import lzma
import math
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple

WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
"""A word: letters, with apostrophes inside."""
LINE_BREAK_HYPHEN = re.compile(r"(?<![^\W\d_])([^\W\d_]+)[-‐¬\u00ad][ \t]*[\n\f]\s*([^\W\d_]+)")
HYPHENATED = re.compile(r"(?<!\w)[^\W\d_]+(?:[-‐][^\W\d_]+)+")
SUFFIXES = ("s", "es", "ed", "d", "ing", "ly", "er", "ers", "ness", "able", "al", "ally", "ment")
ALPHABET = 27


class LetterModel(NamedTuple):
    """Letter trigram model: log-probabilities, in nats, of a letter given the two before it."""

    logprobs: dict[str, float]
    unseen_logprob: float

    def mean_logprob(self, word: str) -> float:
        """Mean log-probability per letter of the word, its end included.

        >>> letter_model().mean_logprob("reading") > letter_model().mean_logprob("rcadiug")
        True
        """
        padded = f"  {word.lower()} "
        threes = [padded[at : at + 3] for at in range(len(padded) - 2)]
        return sum(self.logprobs.get(t, self.unseen_logprob) for t in threes) / len(threes)


@cache
def english_words() -> dict[str, int]:
    """English words and their log2 frequency class, 0 if only listed.

    >>> english_words()["the"] > english_words()["zebra"], "tbe" in english_words()
    (True, False)
    """
    packed = Path(__file__).with_name("words.txt.xz").read_bytes()
    words, word = {}, ""
    for line in lzma.decompress(packed).decode("ascii").split("\n"):
        word = word[: ord(line[0]) - 97] + line[1:-1]
        words[word] = ord(line[-1]) - 65
    return words


@cache
def letter_model() -> LetterModel:
    """Letter model of the table: trigrams with add-one smoothing over 27 symbols."""
    counts: Counter[str] = Counter()
    before: Counter[str] = Counter()
    for word, size in english_words().items():
        padded, weight = f"  {word} ", 1 + size
        for at in range(len(padded) - 2):
            counts[padded[at : at + 3]] += weight
            before[padded[at : at + 2]] += weight
    logs = {
        three: math.log((n + 1) / (before[three[:2]] + ALPHABET)) for three, n in counts.items()
    }
    return LetterModel(logs, math.log(1 / (2 * ALPHABET * ALPHABET)))


class BookVocabulary(NamedTuple):
    """Counts of the words of one book, lower case."""

    words: Counter[str]
    """Words that are complete on their line; words broken at a line end are not counted."""
    hyphenated: Counter[str]
    """Words with a hyphen inside a line."""


def count_vocabulary(text: str) -> BookVocabulary:
    """The book's own words, without those broken over two lines."""
    lowered = LINE_BREAK_HYPHEN.sub("\n", text).lower()
    return BookVocabulary(Counter(WORD.findall(lowered)), Counter(HYPHENATED.findall(lowered)))


def is_english_word(word: str) -> bool:
    """Whether the table has a word, with or without an English ending.

    >>> is_english_word("books"), is_english_word("l'eau"), is_english_word("it's")
    (True, False, True)
    """
    word = word.lower().replace("’", "'")
    for ending in ("'s", "n't", "'ll", "'ve", "'re", "'d", "'m"):
        word = word.removesuffix(ending)
    table = english_words()
    if word in table:
        return True
    stems = {word.removesuffix(suffix) for suffix in SUFFIXES} - {word}
    return any(len(stem) >= 4 and (stem in table or f"{stem}e" in table) for stem in stems)
