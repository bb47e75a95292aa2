"""OCR damage: a score for each page of a scanned book.

The score is the weighted share of words that look misread: one confusion away from a known word,
improbable spelling, punctuation or digits inside, a space inserted, and others (WEIGHTS). Pages
with too many unreadable words are dropped; nothing is repaired. English only: a book in another
language keeps its text and gets no score.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from groundup.core import Config

from ..record import PASS, Record, StepResult, TextEdit
from .damage import STRIPPED_EDGES, DamageDetector, apply_confusions
from .pages import BookPage, find_pages
from .words import count_vocabulary, english_words, is_english_word

LINE_END_HYPHENATION = re.compile(r"[-‐¬\u00ad][ \t]*\n\s*")
UNREADABLE_SIGNS = ("confused", "garbled", "mixed", "holed")
"""Signs of a word that is unreadable."""
WEIGHTS = {
    "confused": 1.0, "strange neighbours": 0.55, "holed": 0.47, "split": 0.26,
    "near the book's": 0.24, "mixed": 0.15, "leader": 0.15, "doubled": 0.12, "rival": 0.12,
    "dust": 0.11, "garbled": 0.09, "lettered number": 0.07,
}  # fmt: skip
"""Weight of each sign. Source: benchmarks/documents/book_ocr_weights.py, a logistic model."""
CLEAN_WORDS = 100
"""Clean words added to every page, because one sign on a short page is weak evidence. Source: own,
set on the development works of benchmarks/documents/book_ocr_weights.py."""
LEADER_MARKS = ("·", "..", ",", ".'", "`.")


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


class PageDamage(NamedTuple):
    """Damage of one page."""

    page: BookPage
    score: float
    """Weighted signs of damage per word."""
    unreadable_share: float
    """Share of unreadable words."""
    words: int


class DamageSigns(NamedTuple):
    """Counts of damage signs on a page."""

    counts: Counter[str]
    words: int


class BookTokens:
    """Tokenised pages with the counts of words, tokens and bigrams of the book."""

    def __init__(self, word_counts: Counter[str], pages: Sequence[str]) -> None:
        self.tokens = [LINE_END_HYPHENATION.sub("", page).split() for page in pages]
        tokens = Counter(token for page in self.tokens for token in page)
        bare = {token: token.strip(STRIPPED_EDGES).lower() for token in tokens}
        self.stripped = [[bare[token] for token in page] for page in self.tokens]
        self.word_counts = Counter(word for page in self.stripped for word in page)
        self.bigram_counts = Counter(pair for page in self.stripped for pair in pairwise(page))
        self.detector = DamageDetector(word_counts, tokens)

    def signs_by_page(self) -> Iterator[DamageSigns]:
        """Yield the signs of each page; each distinct word, token and bigram is classified once."""
        rivals = {
            word: candidates
            for word in self.word_counts
            if word and (candidates := self.frequent_rivals(word))
        }
        split = {pair for pair in self.bigram_counts if all(pair) and self.is_split_word(*pair)}
        marks = {token for token in self.detector.token_counts if _is_punctuation_mark(token)}
        for tokens, bare in zip(self.tokens, self.stripped, strict=True):
            counts: Counter[str] = Counter()
            words = 0
            for token, times in Counter(tokens).items():
                words += times * (self.detector.classify(token) != "none")
                for sign in self.detector.damage_signs(token):
                    counts[sign] += times
            around = zip(["", *bare], bare, [*bare[1:], ""], strict=False)
            counts["strange neighbours"] = sum(
                self.has_strange_neighbors(word, before, after, rivals[word])
                for before, word, after in around
                if word in rivals
            )
            counts["split"] = sum(pair in split for pair in pairwise(bare))
            counts["leader"] = sum(
                _is_misread_leader_dot(before, token, after)
                for before, token, after in zip(tokens, tokens[1:], tokens[2:], strict=False)
                if token in marks
            )
            yield DamageSigns(counts, words)

    def frequent_rivals(self, word: str) -> list[str]:
        """Words one confusion away that the book uses eight times as often."""
        if not word.isascii() or len(word) >= 12:
            return []
        least = 8 * max(self.word_counts[word], 1)
        return [
            candidate
            for candidate in set(apply_confusions(word))
            if candidate.isalpha() and self.word_counts[candidate] >= least
        ]

    def has_strange_neighbors(
        self, word: str, before: str, after: str, rivals: Sequence[str]
    ) -> bool:
        """Whether the neighbours of a word usually occur with one of its rivals instead."""
        if max(self.bigram_counts[before, word], self.bigram_counts[word, after]) > 1:
            return False
        return any(
            max(self.bigram_counts[before, rival], self.bigram_counts[rival, after]) >= 3
            for rival in rivals
        )

    def is_split_word(self, a: str, b: str) -> bool:
        """Whether two neighbours are one English word with a space inserted, as in `w ith`."""
        joined = a + b
        if (
            english_words().get(joined, 0) < 5
            or self.detector.word_counts[a] >= 3 + self.detector.word_counts[joined]
        ):
            return False
        if len(a) == 1 or len(b) == 1:
            return True
        is_word = is_english_word(a) and is_english_word(b)
        return not is_word and not (self.detector.is_known(a) and self.detector.is_known(b))


def _is_punctuation_mark(token: str) -> bool:
    """Whether a token is one to three punctuation characters other than a dot."""
    return token != "." and len(token) <= 3 and not any(map(str.isalnum, token))


def _is_misread_leader_dot(before: str, token: str, after: str) -> bool:
    """Whether a mark replaces a dot in a dot leader."""
    dots = (before == ".") + (after == ".")
    return dots == 2 or dots == 1 and token in LEADER_MARKS


def _score_page(page: BookPage, signs: DamageSigns) -> PageDamage:
    """Weighted signs per word, and the share of unreadable words."""
    weight = sum(WEIGHTS.get(sign, 0.0) * n for sign, n in signs.counts.items())
    damaged = sum(signs.counts[sign] for sign in UNREADABLE_SIGNS)
    score = weight / (signs.words + CLEAN_WORDS)
    return PageDamage(page, score, damaged / max(signs.words, 1), signs.words)


class Ocr:
    """Scores the pages of a scan and drops those beyond repair."""

    def __init__(self, config: OcrConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> StepResult:
        """Score all pages against the book's own vocabulary."""
        own = count_vocabulary(record.text).words
        total = sum(own.values())
        if not total:
            return PASS
        english_share = sum(n for word, n in own.items() if is_english_word(word)) / total
        if english_share < self.config.english_share:
            return StepResult(metadata={"ocr_english_share": round(english_share, 3)})
        pages = self.pages_or_pieces(record)
        book = BookTokens(own, [record.text[page.start : page.end] for page in pages])
        scores = [
            _score_page(page, signs)
            for page, signs in zip(pages, book.signs_by_page(), strict=True)
        ]
        words = sum(page.words for page in scores) or 1
        overall = sum(page.score * page.words for page in scores) / words
        edits: list[TextEdit] = []
        for page in scores:
            if page.unreadable_share >= self.config.beyond_repair and page.words >= 20:
                edits.append(TextEdit(page.page.start, page.page.end, "page beyond repair", "\n"))
        return StepResult(
            edits=tuple(edits),
            metadata={
                "ocr_score": round(overall, 4),
                "ocr_pages": [round(page.score, 3) for page in scores],
                "ocr_damaged_pages": sum(page.score >= self.config.damaged for page in scores),
                "ocr_english_share": round(english_share, 3),
            },
        )

    def pages_or_pieces(self, record: Record) -> list[BookPage]:
        """The pages; without any, pieces of similar size that end with a line."""
        paged = find_pages(record)
        if paged.source != "none":
            return list(paged.pages)
        pieces, start, text = [], 0, record.text
        while start < len(text):
            end = text.find("\n", start + self.config.page_characters) + 1 or len(text)
            pieces.append(BookPage(start, end))
            start = end
        return pieces
