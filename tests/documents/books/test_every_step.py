"""Whatever comes in, every step answers in time, with edits that can be carried out."""

from importlib import import_module

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.documents import PASS, STEPS, Record, SourceMap, Step, TextSpan, apply_result

NAMES = sorted(name for name in STEPS if name.startswith("books."))
MANY = 200_000
WORDS = [a + b for a in "aeious" for b in "bcdfghklmnprst"]
HOSTILE = {
    "letters": "a" * MANY,
    "tags": "<" * MANY,
    "hyphens": "a-" * (MANY // 8),
    "breaks": "a-\n" * (MANY // 100),
    "dots": "." * MANY,
    "leaders": ". " * (MANY // 2) + "x",
    "spaces": " " * MANY,
    "lines": "\n" * (MANY // 4),
    "feeds": "\f" * 30_000,
    "pages": "1\n\f" * 8_000,
    "lost heads": ("THE LONG BOOK 1\nx\n\f" + "THE LQNG\nBOOK\n\f") * 1_000,
    "strange words": "".join(f" the t{a}e{b}s" for a in WORDS for b in WORDS),
    "stars": "*" * MANY,
    "digits": "1" * MANY,
    "numbers": "1 " * (MANY // 16),
    "one line": "The quick brown fox. " * 40_000,
    "nothing": "",
    "nul": "a\0b\n\0\0\f\0" * 100,
    "surrogates": "a\ud800-\n\udfffb\f" * 50,
    "copyright": "copyright (c) 1 " * 2_000,
}


def step(name: str) -> Step:
    module, _, cls = STEPS[name].partition(":")
    kind = getattr(import_module(module), cls)
    return kind(getattr(import_module(module), f"{cls}Config")())


def plain(text: str, spans: tuple[TextSpan, ...] = ()) -> Record:
    return Record("1", "s", "p", "text", text, SourceMap.identity(text), spans)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", sorted(HOSTILE))
def test_hostile_texts_cost_no_more_than_others(name, kind):
    text = HOSTILE[kind]
    if kind == "surrogates":
        step(name)(Record("1", "s", "p", "text", text))
    else:
        record = plain(text)
        ruling = step(name)(record)
        if not ruling.reason:
            assert len(apply_result(record, ruling).text) <= len(text) + len(ruling.edits)


LINES = st.sampled_from(
    [
        "", "", "\f", "12", "Chapter 3", "CONTENTS", "A line of text that goes on for a good while",
        "and ends with a hyph-", "enated word.", "  2 A note at the bottom", "the word2 has one",
        "1 One", "xiv", "tbe rnodem", "© 1999 by A. B.", "ISBN 0-306-40615-2", "Title ..... 12",
        "term, 12, 14", "*** START OF THE PROJECT GUTENBERG EBOOK X ***", "\u00adsoft\u00ad", "¶",
    ]
)  # fmt: skip


@given(st.lists(LINES, max_size=60).map("\n".join), st.booleans())
def test_every_ruling_can_be_carried_out_and_only_takes_away(text, has_pages):
    third = len(text) // 3
    ends = (0, third, 2 * third, len(text))
    pages = [TextSpan("page", a, b) for a, b in zip(ends, ends[1:], strict=False) if a < b]
    record = plain(text, tuple(pages) if has_pages else ())
    for name in NAMES:
        ruling = step(name)(record)
        assert step(name)(record) == ruling
        if not ruling.reason:
            after = apply_result(record, ruling)
            assert len(after.text) <= len(record.text) + 4 * len(ruling.edits)
            record = after


@pytest.mark.parametrize("name", NAMES)
def test_prose_without_pages_loses_nothing(name):
    prose = "It was the best of times, it was the worst of times.\n\nIt was spring.\n\n" * 2
    ruling = step(name)(plain(prose))
    assert ruling == PASS or not ruling.edits
