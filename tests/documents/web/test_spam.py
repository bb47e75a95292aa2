# ruff: noqa: E501 — samples stand as they are read
"""Spam: what is stuffed scores high, prose scores nothing, and only a policy drops."""

import random

import pytest

from groundup.documents import PASS, Record
from groundup.documents.web.spam import Spam, SpamConfig

PROSE = """The kettle was old when my grandmother bought it, and nobody knew who had made it. It leaked at
the spout, whistled a tone too low, and took its time; yet every morning it stood on the stove before
anyone was awake. When at last it broke, my uncle soldered a patch of copper on its side, and for ten
more years it went on as before. We drank what it gave us without a thought, as children do."""
STUFFED = (
    "Cheap kettles! Buy cheap kettles online, best price kettles, kettles discount kettles sale. "
    * 8
)


def score(text: str) -> float:
    return Spam(SpamConfig())(Record("1", "s", "p", "html", text)).metadata.get("spam_score", 0.0)


def test_stuffed_pages_score_high_and_prose_does_not():
    assert score(STUFFED) > 0.9 and score(PROSE) < 0.1


def test_links_and_noise_count():
    assert score(PROSE + " http://a.example/x" * 12) > score(PROSE)
    letters = random.Random(1)
    noise = " ".join(
        "".join(letters.choices("abcdefghijklmnopqrstuvwxyz", k=7)) for _ in range(600)
    )
    assert score(noise) < score(STUFFED)


def test_a_page_goes_only_above_a_limit():
    ruling = Spam(SpamConfig(most=0.9))(Record("1", "s", "p", "html", STUFFED))
    assert ruling.reason == "spam" and ruling.value > 0.9 and "keyword" in ruling.details
    assert not Spam(SpamConfig(most=0.9))(Record("1", "s", "p", "html", PROSE)).reason


@pytest.mark.parametrize(
    "text", ["", "few words", "\0" * 99, "\ud800 " * 99, "a" * 1_000_000, "1 " * 9000]
)
def test_hostile_texts(text):
    ruling = Spam(SpamConfig())(Record("1", "s", "p", "html", text))
    assert ruling == PASS or 0 <= ruling.metadata["spam_score"] <= 1
