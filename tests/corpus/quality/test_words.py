# ruff: noqa: E501 — samples stand as they are read
"""English words are spaCy's, sentences its sentencizer's; repetition is that of plain loops."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.corpus.quality.words import (
    MAX_CHUNK_CHARACTERS,
    WordSpans,
    count_repeated,
    count_sentences,
    duplicate_ngram_characters,
    split_words,
    top_ngram_characters,
)

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


WORD_LISTS = st.lists(st.sampled_from(["a", "ab", "b", "ba", "é", "👍"]), min_size=1, max_size=40)


def plain_repeated(words: list[str], n: int) -> int:
    unique, repeated, at = set(), 0, 0
    while at < len(words) - n + 1:
        joined = "".join(words[at : at + n])
        if joined in unique:
            repeated += len(joined)
            at += n
        else:
            unique.add(joined)
            at += 1
    return repeated


def plain_top(words: list[str], n: int) -> int:
    grams = [" ".join(words[k : k + n]) for k in range(len(words) - n + 1)]
    top = Counter(grams).most_common(1)
    return len(top[0][0]) * top[0][1] if top else 0


@given(WORD_LISTS, st.integers(1, 6))
def test_counts_are_those_of_plain_loops(words, n):
    spans = WordSpans(words)
    assert duplicate_ngram_characters(spans, n, -1) == plain_repeated(words, n)
    assert top_ngram_characters(spans, n, -1) == plain_top(words, n)


@given(WORD_LISTS, st.integers(1, 6), st.floats(0, 60))
def test_a_bound_never_says_less_than_the_count(words, n, enough):
    spans = WordSpans(words)
    for count, plain in (
        (duplicate_ngram_characters, plain_repeated),
        (top_ngram_characters, plain_top),
    ):
        told = count(spans, n, enough)
        assert (told > enough) == (plain(words, n) > enough)


@given(st.lists(st.text(max_size=3), max_size=20))
def test_duplicates_are_all_but_the_first(items):
    again = count_repeated(items)
    assert again.count == len(items) - len(set(items))
    assert again.characters == sum(map(len, items)) - sum(map(len, set(items)))
