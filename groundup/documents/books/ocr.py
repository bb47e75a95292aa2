"""OCR: how damaged is a page, and which of its words can be put right beyond doubt?

The score of a page is the share of its words that look damaged: unknown and one confusion away from
a known word, spelt like no language, with signs or digits inside, or single letters. Beyond a limit
a page goes. On damaged pages alone, a word is repaired if one answer is certain; clean pages are
never touched. Judges English; elsewhere it says that it cannot and rests.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from groundup.core import Config

from ..record import PASS, Edit, Record, Ruling
from .damage import Reader
from .pages import Page, pages_of
from .words import WORD, is_english, vocabulary

TOKEN = re.compile(r"\S+")
BROKEN = re.compile(r"[-‐¬\u00ad][ \t]*\n\s*")
HYPHENS = ("-", "‐", "¬", "\u00ad")
WEIGHTS = {"confused": 1.0, "garbled": 1.0, "mixed": 1.0, "near": 0.7, "lone": 0.5}
"""How much a look counts in the score. Source: own; unknown words are mostly names."""
STRIPPED = "\"'“”‘’«»„.,;:!?—–-…()"


class OcrConfig(Config):
    """From which score on pages are repaired and dropped."""

    damaged: float = 0.01
    """Score from which a page's words are repaired. Source: benchmarks/books.py."""
    beyond_repair: float = 0.4
    """Score from which a page goes. Source: own; two of five words are lost."""
    certainty: float = 0.99
    """Share of the weight of all answers that the best must have. Source: the issue, 99 % right."""
    least_letters: int = 4
    """Letters of a word at least for it to be repaired. Source: own; short words have many
    neighbours."""
    english_share: float = 0.5
    """Share of known English words below which the book is not judged. Source: own; damaged English
    keeps more, other languages have less."""
    page_characters: int = 2_000
    """Characters of a page where none are marked. Source: own judgement: a page of print."""


class PageScore(NamedTuple):
    """How a page looks."""

    page: Page
    score: float
    words: int


class Ocr:
    """Scores pages, drops those beyond repair and repairs what is certain on damaged ones."""

    def __init__(self, config: OcrConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> Ruling:
        """Judge all pages with the book's own words in mind."""
        own = vocabulary(record.text).words
        total = sum(own.values())
        if not total:
            return PASS
        english = sum(n for word, n in own.items() if is_english(word)) / total
        if english < self.config.english_share:
            return Ruling(metadata={"ocr_english_share": round(english, 3)})
        reader = Reader(own)
        scores = [self.score(record.text, page, reader) for page in self.pages(record)]
        words = sum(one.words for one in scores) or 1
        overall = sum(one.score * one.words for one in scores) / words
        edits: list[Edit] = []
        for one in scores:
            if one.score >= self.config.beyond_repair and one.words >= 20:
                edits.append(Edit(one.page.start, one.page.end, "page beyond repair", "\n"))
            elif one.score >= self.config.damaged:
                edits += self.repairs(record.text, one.page, reader)
        return Ruling(
            edits=tuple(edits),
            metadata={
                "ocr_score": round(overall, 4),
                "ocr_pages": [round(one.score, 3) for one in scores],
                "ocr_english_share": round(english, 3),
            },
        )

    def pages(self, record: Record) -> list[Page]:
        """The pages, or pieces of about the same size that end with a line."""
        found = pages_of(record)
        if found.source != "none":
            return list(found.pages)
        pieces, start, text = [], 0, record.text
        while start < len(text):
            end = text.find("\n", start + self.config.page_characters) + 1 or len(text)
            pieces.append(Page(start, end))
            start = end
        return pieces

    def score(self, text: str, page: Page, reader: Reader) -> PageScore:
        """Share of a page's words that look damaged."""
        tokens = BROKEN.sub("", text[page.start : page.end]).split()
        looks = Counter(map(reader.looks, tokens))
        words = sum(looks.values()) - looks["none"]
        damage = sum(WEIGHTS.get(look, 0.0) * n for look, n in looks.items())
        return PageScore(page, damage / words if words else 0.0, words)

    def repairs(self, text: str, page: Page, reader: Reader) -> Iterator[Edit]:
        """Yield an edit for every word of a page whose answer is certain."""
        for match in TOKEN.finditer(text, page.start, page.end):
            token = match.group()
            if reader.looks(token) != "confused":
                continue
            core = token.strip(STRIPPED)
            low = core.lower()
            if len(low) < self.config.least_letters:
                continue
            if is_broken(text, match.start(), match.end()) or not is_repairable(core):
                continue
            answer = reader.answer(low)
            uses = reader.own[low]
            if answer.certainty < self.config.certainty or reader.own[answer.word] < 20 * (
                uses - 1
            ):
                continue
            if core[:1].isupper() and not begins_sentence(text, match.start()):
                continue  # a name, perhaps
            start = match.start() + token.index(core)
            yield Edit(start, start + len(core), "misread word", cased(answer.word, core))


def is_repairable(core: str) -> bool:
    """Whether a word is small, capital or begins with a capital, and has only our letters.

    A digit in front hides whether a capital stood there, and accents speak for another language.
    """
    plain = core in (core.lower(), core.upper(), core.lower().capitalize())
    return plain and core[0].isalpha() and (core.isascii() or core[0] in "ﬁﬂ")


def is_broken(text: str, start: int, end: int) -> bool:
    """Whether a token is half of a word broken over two lines."""
    before = text[max(0, start - 60) : start].rstrip()
    turned = "\n" in text[len(before) + max(0, start - 60) : start]
    return text[end - 1 : end] in HYPHENS or turned and before[-1:] in HYPHENS


def begins_sentence(text: str, start: int) -> bool:
    """Whether a word is the first of its sentence or line's block."""
    before = text[max(0, start - 3) : start].strip()
    return not before or before[-1] in '.!?"“:'


def cased(word: str, like: str) -> str:
    """A word in the case of another.

    >>> cased("modern", "Modem"), cased("the", "TBE"), cased("loom", "l00m")
    ('Modern', 'THE', 'loom')
    """
    capitals = WORD.findall(like) and like.upper() == like and sum(map(str.isalpha, like)) > 1
    if capitals:
        return word.upper()
    return word.capitalize() if like[:1].isupper() else word
