"""OCR damage: a score for each page of a scanned book.

OCR reads `rn` for `m`, `l` for `1`, `c` for `e`. A word is suspicious if one such confusion turns
it from an unknown word into a frequent one, or into one that usually has these neighbours; other
signs are improbable spelling and digits or punctuation inside. The score is the weighted share of
such words (WEIGHTS). Pages with too many unreadable words are dropped; nothing is repaired.
English only: a book in another language keeps its text and gets no score.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

from groundup.core import Config

from ..patterns import compile_patterns, read_patterns
from ..record import PASS, Record, StepResult, TextEdit
from .pages import BookPage, find_pages
from .words import count_vocabulary, english_words, is_english_word, letter_model

_FILE = Path(__file__).with_name("ocr.toml")
RE = compile_patterns(_FILE)
BOOK_WEIGHT = 30  # Weight of one use in the book relative to one use in the word table's corpus
MIN_LOGPROB = -4.2
"""Mean log-probability per letter, in nats, below which a word is implausible in any language."""
MIN_LOG2_FREQUENCY = {2: 13, 3: 9}
"""Minimum log2 frequency of the word that a short token may be a misreading of, by length; 4 for
longer tokens. Source: own, set on R-intro and groff."""
OWN_TOKEN_USES = 3
"""Number of uses in the book from which a token counts as the author's own, however odd."""
WEIGHTS = {
    "confused": 1.0, "strange neighbours": 0.55, "holed": 0.47, "mixed": 0.15, "garbled": 0.09,
}  # fmt: skip
"""Weight of each sign. Source: benchmarks/documents/book_ocr_weights.py, a logistic model."""
CLEAN_WORDS = 100
"""Clean words added to every page, because one sign on a short page is weak evidence. Source: own,
set on the development works of benchmarks/documents/book_ocr_weights.py."""
STRIPPED = "\"'“”‘’«»„.,;:!?—–-…·()"

TokenClass = Literal["right", "confused", "garbled", "mixed", "holed", "unknown", "none"]


class OcrConfig(Config):
    """Thresholds of the damage score."""

    damaged: float = 0.004
    """Score from which a page counts as damaged. Source: benchmarks/documents/book_ocr_weights.py:
    2 % of clean pages are above, 89 % of those with noise in one word of fifty."""
    beyond_repair: float = 0.4
    """Share of unreadable words from which a page is dropped. Source: own; two of five."""
    english_share: float = 0.5
    """Minimum share of known English words for a book to be scored. Source: own; damaged English
    has more, other languages have less."""
    page_characters: int = 2_000
    """Size in characters of the pieces that are scored where no pages are marked. Source: own."""


class Ocr:
    """Scores the pages of a scan and drops those beyond repair."""

    def __init__(self, config: OcrConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> StepResult:
        own = count_vocabulary(record.text).words
        total = sum(own.values())
        if not total:
            return PASS
        english_share = sum(n for word, n in own.items() if is_english_word(word)) / total
        if english_share < self.config.english_share:
            return StepResult(metadata={"ocr_english_share": round(english_share, 3)})
        pages = self._pages_or_pieces(record)
        book = BookTokens(own, [record.text[page.start : page.end] for page in pages])
        signs = list(book.signs_by_page())
        scores = [page_signs.score() for page_signs in signs]
        weighted = sum(score * page.words for score, page in zip(scores, signs, strict=True))
        edits = tuple(
            TextEdit(page.start, page.end, "page beyond repair", "\n")
            for page, found in zip(pages, signs, strict=True)
            if found.words >= 20 and found.unreadable() >= self.config.beyond_repair * found.words
        )
        metadata = {
            "ocr_score": round(weighted / (sum(page.words for page in signs) or 1), 4),
            "ocr_pages": [round(score, 3) for score in scores],
            "ocr_damaged_pages": sum(score >= self.config.damaged for score in scores),
            "ocr_english_share": round(english_share, 3),
        }
        return StepResult(edits=edits, metadata=metadata)

    def _pages_or_pieces(self, record: Record) -> list[BookPage]:
        paged = find_pages(record)
        if paged.source != "none":
            return list(paged.pages)
        pieces, start, text = [], 0, record.text
        while start < len(text):
            end = text.find("\n", start + self.config.page_characters) + 1 or len(text)
            pieces.append(BookPage(start, end))
            start = end
        return pieces


class _DamageSigns(NamedTuple):
    counts: Counter[str]
    words: int

    def score(self) -> float:
        weight = sum(WEIGHTS[sign] * n for sign, n in self.counts.items())
        return weight / (self.words + CLEAN_WORDS)

    def unreadable(self) -> int:
        return sum(n for sign, n in self.counts.items() if sign != "strange neighbours")


class BookTokens:
    """The tokens of a book's pages, with the counts of its words, tokens and bigrams."""

    def __init__(self, vocabulary: Counter[str], pages: Sequence[str]) -> None:
        self.vocabulary = vocabulary
        """Words that are complete on their line."""
        self.tokens = [RE.line_end_hyphenation.sub("", page).split() for page in pages]
        self.token_counts = Counter(token for page in self.tokens for token in page)
        bare = {token: _strip_edges(token) for token in self.token_counts}
        self.stripped = [[bare[token] for token in page] for page in self.tokens]
        self.word_counts = Counter(word for page in self.stripped for word in page)
        self.bigram_counts = Counter(pair for page in self.stripped for pair in pairwise(page))

    def signs_by_page(self) -> Iterator[_DamageSigns]:
        """Yield the signs of each page; each distinct word and token is classified once."""
        classes = {token: self.classify(token) for token in self.token_counts}
        rivals = {word: found for word in self.word_counts if (found := self._rivals(word))}
        for tokens, bare in zip(self.tokens, self.stripped, strict=True):
            counts: Counter[str] = Counter()
            words = 0
            for token, times in Counter(tokens).items():
                words += times * (classes[token] != "none")
                if classes[token] in WEIGHTS:
                    counts[classes[token]] += times
            around = zip(["", *bare], bare, [*bare[1:], ""], strict=False)
            counts["strange neighbours"] = sum(
                self._has_strange_neighbors(word, before, after, rivals[word])
                for before, word, after in around
                if word in rivals
            )
            yield _DamageSigns(counts, words)

    def _rivals(self, word: str) -> list[str]:
        if not word.isascii() or not 0 < len(word) < 12:
            return []
        least = 8 * max(self.word_counts[word], 1)
        return [
            candidate
            for candidate in set(_apply_confusions(word))
            if candidate.isalpha() and self.word_counts[candidate] >= least
        ]

    def _has_strange_neighbors(
        self, word: str, before: str, after: str, rivals: Sequence[str]
    ) -> bool:
        if max(self.bigram_counts[before, word], self.bigram_counts[word, after]) > 1:
            return False
        return any(
            max(self.bigram_counts[before, rival], self.bigram_counts[rival, after]) >= 3
            for rival in rivals
        )

    def classify(self, token: str) -> TokenClass:
        """Class of a token; `none` for numbers, code and punctuation."""
        if len(token) > 40 or not any(map(str.isalpha, token)):
            return "none"
        core = token.strip(STRIPPED)
        low = core.lower()
        is_rare = self.token_counts[token] < OWN_TOKEN_USES
        if is_rare and _is_interrupted_word(_strip_edges(token)):
            return "holed"
        if "()" in token or token[0] in "./" or RE.code_marks.search(core):
            without_speck = RE.specks.sub("", low)
            is_speck = len(without_speck) > 2 and len(without_speck) + 1 == len(low)
            return "mixed" if is_speck and self.is_known(without_speck) else "none"
        if len(low) < 2:
            return "none"
        if self.is_known(low):
            return "right"
        if len(low) < 5 and core.isupper():
            return "none"  # an acronym
        frequent = 2 ** MIN_LOG2_FREQUENCY.get(len(low), 4)
        if any(
            self._frequency(candidate) >= frequent and self.is_known(candidate)
            for candidate in _apply_confusions(low)
        ):
            return "confused"
        if RE.punctuation_inside.search(core) or RE.letters_and_digits.match(core):
            return "mixed"
        if not (low.isascii() and low.isalpha()) or len(low) < 3:
            return "none"
        return "garbled" if letter_model().mean_logprob(low) < MIN_LOGPROB else "unknown"

    def is_known(self, low: str) -> bool:
        """Whether a word is in the English table or established by the book itself.

        The book's use does not count if a word one confusion away is twenty times as frequent: a
        repeated misreading is still a misreading.
        """
        if all(map(is_english_word, re.split(r"[-‐–—]", low))):
            return True
        uses = self.vocabulary[low]
        return uses >= 2 and all(
            self.vocabulary[candidate] < 20 * uses for candidate in _apply_confusions(low)
        )

    def _frequency(self, low: str) -> float:
        size = english_words().get(low)
        return (0 if size is None else 2.0**size) + BOOK_WEIGHT * self.vocabulary[low]


def _strip_edges(token: str) -> str:
    return token.strip(STRIPPED + "[]").lower()


def _is_interrupted_word(low: str) -> bool:
    if not 3 < len(low) < 25 or not RE.interrupted_word.match(low):
        return False
    without_marks = RE.mark_inside.sub("", low)
    if len(without_marks) > 3 and without_marks != low and is_english_word(without_marks):
        return True
    return any(
        candidate.isalpha() and english_words().get(candidate, 0) >= 2
        for candidate in _apply_confusions(low)
    )


@cache
def _confusion_table() -> dict[str, list[str]]:
    table: dict[str, list[str]] = {}
    for pair in read_patterns(_FILE)["confusions"].split():
        read, printed = pair.split(">")
        table.setdefault(read, []).append(printed)
    return table


def _apply_confusions(word: str) -> Iterator[str]:
    """Yield the words that become `word` by one confusion of the table.

    >>> "modern" in set(_apply_confusions("modem")), "modem" in set(_apply_confusions("the"))
    (True, False)
    """
    table = _confusion_table()
    for at in range(len(word)):
        for size in (1, 2):
            for printed in table.get(word[at : at + size], ()):
                yield word[:at] + printed + word[at + size :]
