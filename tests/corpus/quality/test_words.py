# ruff: noqa: E501 — samples stand as they are read
"""English words are spaCy's; sentences are its sentencizer's (spot checks; the fixture has more)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.corpus.quality.words import MAX_CHUNK_CHARACTERS, count_sentences, split_words

# From spaCy 3.8.18: [t.text for t in spacy.blank("en")(text) if t.text.strip()]
WORDS = {
    "don't (e.g. this) U.S.A.!": ["do", "n't", "(", "e.g.", "this", ")", "U.S.A.", "!"],
    "10km a.m. well-known": ["10", "km", "a.m.", "well", "-", "known"],
    "see http://a.org/c?d=e, me@x.org": ["see", "http://a.org/c?d=e", ",", "me@x.org"],
    "$5.00 :-) ...": ["$", "5.00", ":-)", "..."],
}


@pytest.mark.parametrize("text", WORDS)
def test_words_are_spacys(text):
    assert split_words(text) == WORDS[text]


@given(st.text(max_size=200))
def test_words_hold_every_sign_but_white_space(text):
    assert "".join(split_words(text)) == "".join(text.split())


def test_a_chunk_that_is_no_word_is_not_cut():
    assert split_words("(" * (MAX_CHUNK_CHARACTERS + 1)) == ["(" * (MAX_CHUNK_CHARACTERS + 1)]
    assert len(split_words("a" * 1_000_000)) == 1


def test_white_space_after_an_end_begins_a_sentence_if_it_is_a_word():
    assert [count_sentences(s) for s in ("A bee. ", "A bee.  ", "A bee.\tc", "...", "A bee. Bee?! See")] == [
        1, 2, 2, 1, 3,
    ]  # fmt: skip
