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

from ..record import PASS, Edit, Record, Ruling
from .damage import EDGES, Reader, confused
from .pages import Page, pages_of
from .words import english, is_english, vocabulary

BROKEN = re.compile(r"[-‐¬\u00ad][ \t]*\n\s*")
DAMAGED = ("confused", "garbled", "mixed", "holed")
"""Signs of a word that is unreadable."""
WEIGHTS = {
    "confused": 1.0, "strange neighbours": 0.55, "holed": 0.47, "split": 0.26,
    "near the book's": 0.24, "mixed": 0.15, "leader": 0.15, "doubled": 0.12, "rival": 0.12,
    "dust": 0.11, "garbled": 0.09, "lettered number": 0.07,
}  # fmt: skip
"""Weight of each sign. Source: benchmarks/book_ocr_weights.py, a logistic model."""
CLEAN_WORDS = 100
"""Clean words added to every page, because one sign on a short page is weak evidence. Source: own,
set on the development works of benchmarks/book_ocr_weights.py."""
LEADER_MARKS = ("·", "..", ",", ".'", "`.")


class OcrConfig(Config):
    """Thresholds of the damage score."""

    damaged: float = 0.004
    """Score from which a page counts as damaged. Source: benchmarks/book_ocr_weights.py: 2 % of
    clean pages are above, 89 % of those with noise in one word of fifty."""
    beyond_repair: float = 0.4
    """Share of unreadable words from which a page is dropped. Source: own; two of five."""
    english_share: float = 0.5
    """Minimum share of known English words for a book to be scored. Source: own; damaged English
    has more, other languages have less."""
    page_characters: int = 2_000
    """Size in characters of the pieces that are scored where no pages are marked. Source: own."""


class PageScore(NamedTuple):
    """Damage of one page."""

    page: Page
    score: float
    """Weighted signs of damage per word."""
    damaged: float
    """Share of unreadable words."""
    words: int


class Signs(NamedTuple):
    """Counts of damage signs on a page."""

    counts: Counter[str]
    words: int


class Book:
    """Tokenised pages with the counts of words, tokens and bigrams of the book."""

    def __init__(self, own: Counter[str], pages: Sequence[str]) -> None:
        self.tokens = [BROKEN.sub("", page).split() for page in pages]
        tokens = Counter(token for page in self.tokens for token in page)
        bare = {token: token.strip(EDGES).lower() for token in tokens}
        self.bare = [[bare[token] for token in page] for page in self.tokens]
        self.uses = Counter(word for page in self.bare for word in page)
        self.pairs = Counter(pair for page in self.bare for pair in pairwise(page))
        self.reader = Reader(own, tokens)

    def signs(self) -> Iterator[Signs]:
        """Yield the signs of each page; each distinct word, token and bigram is classified once."""
        rivals = {
            word: candidates for word in self.uses if word and (candidates := self.rivals(word))
        }
        split = {pair for pair in self.pairs if all(pair) and self.is_split(*pair)}
        marks = {token for token in self.reader.tokens if is_mark(token)}
        for tokens, bare in zip(self.tokens, self.bare, strict=True):
            counts: Counter[str] = Counter()
            words = 0
            for token, times in Counter(tokens).items():
                words += times * (self.reader.looks(token) != "none")
                for sign in self.reader.signs(token):
                    counts[sign] += times
            around = zip(["", *bare], bare, [*bare[1:], ""], strict=False)
            counts["strange neighbours"] = sum(
                self.is_strange(word, before, after, rivals[word])
                for before, word, after in around
                if word in rivals
            )
            counts["split"] = sum(pair in split for pair in pairwise(bare))
            counts["leader"] = sum(
                is_leader(before, token, after)
                for before, token, after in zip(tokens, tokens[1:], tokens[2:], strict=False)
                if token in marks
            )
            yield Signs(counts, words)

    def rivals(self, word: str) -> list[str]:
        """Words one confusion away that the book uses eight times as often."""
        if not word.isascii() or len(word) >= 12:
            return []
        least = 8 * max(self.uses[word], 1)
        return [
            candidate
            for candidate in set(confused(word))
            if candidate.isalpha() and self.uses[candidate] >= least
        ]

    def is_strange(self, word: str, before: str, after: str, rivals: Sequence[str]) -> bool:
        """Whether the neighbours of a word usually occur with one of its rivals instead."""
        if max(self.pairs[before, word], self.pairs[word, after]) > 1:
            return False
        return any(
            max(self.pairs[before, rival], self.pairs[rival, after]) >= 3 for rival in rivals
        )

    def is_split(self, a: str, b: str) -> bool:
        """Whether two neighbours are one English word with a space inserted, as in `w ith`."""
        joined = a + b
        if english().get(joined, 0) < 5 or self.reader.own[a] >= 3 + self.reader.own[joined]:
            return False
        if len(a) == 1 or len(b) == 1:
            return True
        is_word = is_english(a) and is_english(b)
        return not is_word and not (self.reader.is_known(a) and self.reader.is_known(b))


def is_mark(token: str) -> bool:
    """Whether a token is one to three punctuation characters other than a dot."""
    return token != "." and len(token) <= 3 and not any(map(str.isalnum, token))


def is_leader(before: str, token: str, after: str) -> bool:
    """Whether a mark replaces a dot in a dot leader."""
    dots = (before == ".") + (after == ".")
    return dots == 2 or dots == 1 and token in LEADER_MARKS


def scored(page: Page, signs: Signs) -> PageScore:
    """Weighted signs per word, and the share of unreadable words."""
    weight = sum(WEIGHTS.get(sign, 0.0) * n for sign, n in signs.counts.items())
    damaged = sum(signs.counts[sign] for sign in DAMAGED)
    score = weight / (signs.words + CLEAN_WORDS)
    return PageScore(page, score, damaged / max(signs.words, 1), signs.words)


class Ocr:
    """Scores the pages of a scan and drops those beyond repair."""

    def __init__(self, config: OcrConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> Ruling:
        """Score all pages against the book's own vocabulary."""
        own = vocabulary(record.text).words
        total = sum(own.values())
        if not total:
            return PASS
        english_share = sum(n for word, n in own.items() if is_english(word)) / total
        if english_share < self.config.english_share:
            return Ruling(metadata={"ocr_english_share": round(english_share, 3)})
        pages = self.pages(record)
        book = Book(own, [record.text[page.start : page.end] for page in pages])
        scores = [scored(page, signs) for page, signs in zip(pages, book.signs(), strict=True)]
        words = sum(page.words for page in scores) or 1
        overall = sum(page.score * page.words for page in scores) / words
        edits: list[Edit] = []
        for page in scores:
            if page.damaged >= self.config.beyond_repair and page.words >= 20:
                edits.append(Edit(page.page.start, page.page.end, "page beyond repair", "\n"))
        return Ruling(
            edits=tuple(edits),
            metadata={
                "ocr_score": round(overall, 4),
                "ocr_pages": [round(page.score, 3) for page in scores],
                "ocr_damaged_pages": sum(page.score >= self.config.damaged for page in scores),
                "ocr_english_share": round(english_share, 3),
            },
        )

    def pages(self, record: Record) -> list[Page]:
        """The pages; without any, pieces of similar size that end with a line."""
        paged = pages_of(record)
        if paged.source != "none":
            return list(paged.pages)
        pieces, start, text = [], 0, record.text
        while start < len(text):
            end = text.find("\n", start + self.config.page_characters) + 1 or len(text)
            pieces.append(Page(start, end))
            start = end
        return pieces
