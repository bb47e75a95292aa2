"""Spam: pages made for machines that rank, by what their words give away.

Six signals, each a share or rate that anyone can check: one word again and again, phrases again and
again, links, words of selling, text that packs too well or hardly at all, capitals. Each rises from
0 at a low mark to 1 at a high one; together they are one minus the product of what each leaves.
Scored and logged always; a page is dropped only above a limit of yours. Made for languages that
part words by spaces. Knows nothing of the page's site or links to it.
"""

import re
import zlib
from collections import Counter
from typing import NamedTuple

from groundup.core import Config

from ..record import PASS, Record, Ruling

WORD = re.compile(r"[^\W\d_]{2,40}")
LINK = re.compile(r"https?://|www\.|\[url|href\s*=", re.IGNORECASE)
CAPITALS = re.compile(r"\b[A-Z]{4,}\b")
FUNCTION_WORDS = frozenset(
    "the a an and or of to in on at for with by from as is are was were be been this "
    "that these those "
    "it its he she they we you i not no if then than but so do does did has have had "
    "will would can "
    "could may might which who what when where how all any each more most other some such only own "
    "le la les de des du un une et ou est que qui dans pour par sur pas der die das "
    "und oder ist ein "
    "eine von zu mit den dem el los las y en es por con para una il lo gli di da che "
    "per non sono".split()
)
SELLING = frozenset(
    "buy cheap cheapest discount discounts coupon coupons sale offer offers deal "
    "deals price prices "
    "free shipping order online store shop casino casinos poker slots slot jackpot "
    "betting gambling "
    "bonus bonuses viagra cialis pharmacy pills payday loan loans mortgage refinance "
    "insurance quotes "
    "seo backlinks backlink replica replicas outlet rolex vuitton escort escorts "
    "dating singles webcam "
    "bitcoin crypto forex investment profit guaranteed guarantee winner prize "
    "lottery cash earn income "
    "click unlimited instant approval essay essays dissertation weight loss "
    "supplement keto garcinia "
    "testosterone enlargement hosting vpn torrent crack keygen serial download".split()
)
SAMPLE_CHARACTERS = 100_000


class SpamConfig(Config):
    """Low and high marks of each signal, and the limit."""

    most: float | None = None
    """Score above which a page is dropped; none scores only. Source: a policy of yours."""
    fewest_words: int = 50
    """Shorter pages are not scored: shares of few words say nothing. Source: Gopher's least."""
    keyword: tuple[float, float] = (0.22, 0.4)
    """Share of the most frequent word among words that are no function words. Source: 99th
    percentile of 1,000 manual pages (web_labels.py) at the low mark, own judgement at the high."""
    phrases: tuple[float, float] = (0.39, 0.7)
    """Share of runs of four words that stood before. Source: as `keyword`."""
    links: tuple[float, float] = (0.085, 0.2)
    """Addresses a word. Source: 99th percentile of mails that are no spam, the half for tuning."""
    selling: tuple[float, float] = (0.01, 0.05)
    """Share of words that sell. Source: tuned on that half, SpamAssassin's corpus."""
    packing: tuple[float, float] = (0.18, 0.08)
    """Size after zlib by size before, from the mark downward. Source: 1st percentile of manuals;
    data_and_retrieval 5.1 at the other mark."""
    noise: tuple[float, float] = (0.8, 0.95)
    """The same, upward: text of chance. Source: data_and_retrieval 5.1."""
    capitals: tuple[float, float] = (0.03, 0.15)
    """Share of words all in capitals. Source: as `selling`."""
    weights: tuple[float, float, float, float, float, float, float] = (
        0.6, 0.6, 0.5, 0.9, 0.7, 0.6, 0.5,
    )  # fmt: skip
    """How far each signal alone may lift the score, in the order above. Source: as `selling`."""


class Signals(NamedTuple):
    """What a text shows."""

    keyword: float
    phrases: float
    links: float
    selling: float
    packing: float
    noise: float
    capitals: float


class Spam:
    """web.spam: scores a page; drops it above a limit."""

    def __init__(self, config: SpamConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> Ruling:
        """Rule: `spam_score` and the signals that lifted it."""
        text = record.text[:SAMPLE_CHARACTERS]
        words = WORD.findall(text)
        if len(words) < self.config.fewest_words:
            return PASS
        found = signals(text, words)
        config = self.config
        marks = (
            config.keyword, config.phrases, config.links, config.selling, config.packing,
            config.noise, config.capitals,
        )  # fmt: skip
        rest, said = 1.0, {}
        for name, value, (low, high), weight in zip(
            Signals._fields, found, marks, config.weights, strict=True
        ):
            lift = min(1.0, max(0.0, (value - low) / (high - low)))
            rest *= 1 - weight * lift
            if lift:
                said[f"spam_{name}"] = round(value, 4)
        score = round(1 - rest, 4)
        if config.most is not None and score > config.most:
            return Ruling("spam", score, ", ".join(f"{k[5:]} {v}" for k, v in said.items()))
        return Ruling(metadata={"spam_score": score, **said})


def signals(text: str, words: list[str]) -> Signals:
    """The signals of a text of at least one word."""
    lower = [word.lower() for word in words]
    content = Counter(word for word in lower if word not in FUNCTION_WORDS)
    top = content.most_common(1)[0][1] / content.total() if content else 1.0
    runs = Counter(zip(lower, lower[1:], lower[2:], lower[3:], strict=False))
    again = 1 - len(runs) / max(1, runs.total())
    selling = sum(times for word, times in content.items() if word in SELLING)
    size = text.encode("utf-8", "replace")
    packed = len(zlib.compress(size, 6)) / len(size)
    return Signals(
        top,
        again,
        sum(1 for _ in LINK.finditer(text)) / len(words),
        selling / len(words),
        packed,
        packed if len(size) > 1000 else 0.0,
        sum(1 for _ in CAPITALS.finditer(text)) / len(words),
    )
