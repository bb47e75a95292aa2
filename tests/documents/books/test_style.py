"""Style: a window by another hand stands out; one hand does not; nothing is cut."""

import random

from groundup.documents import Record, SourceMap, Span
from groundup.documents.books.style import Style, StyleConfig


def plain(text: str, *spans: Span) -> Record:
    return Record("1", "s", "p", "text", text, SourceMap.identity(text), spans)


WORDS = "the of and to in that it was for with as his on be at by had not from but".split()


def written(hand: list[float], words: int, seed: int) -> str:
    rng = random.Random(seed)
    return " ".join(rng.choices([*WORDS, "noun", "verb"], [*hand, 8, 8], k=words))


ONE = [20 - n for n in range(20)]
OTHER = [1 + n for n in range(20)]


def test_another_hand_is_flagged_at_its_place():
    parts = [written(ONE, 2_000, seed) for seed in range(6)] + [written(OTHER, 2_000, 6)]
    parts += [written(ONE, 2_000, seed) for seed in range(7, 13)]
    ruling = Style(StyleConfig())(plain("\n".join(parts)))
    assert [span.kind for span in ruling.spans] == ["style"] and not ruling.edits
    start = len("\n".join(parts[:6])) + 1
    assert ruling.spans[0].start == start


def test_one_hand_is_not_flagged():
    flagged = [
        Style(StyleConfig())(plain(written(ONE, 24_000, seed))).metadata["style_flagged"]
        for seed in range(10)
    ]
    assert sum(flagged) <= 3, "of 120 windows"


def test_a_short_book_is_not_judged():
    assert not Style(StyleConfig())(plain(written(ONE, 9_000, 1))).metadata
