"""The fast distance is the textbook's distance, and distance behaves as one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.measure.text import edit
from groundup.measure.text.edit import (
    edit_similarity,
    levenshtein,
    normalise,
    reference_levenshtein,
    token_overlap,
    words,
)

short = st.text(max_size=12)


@given(short, short)
def test_fast_equals_reference(a, b):
    assert levenshtein(a, b) == reference_levenshtein(a, b)


@given(st.lists(short, max_size=6), st.lists(short, max_size=6))
def test_fast_equals_reference_on_words(a, b):
    assert levenshtein(a, b) == reference_levenshtein(a, b)


@given(short, short, short)
def test_distance_is_a_metric(a, b, c):
    there = reference_levenshtein(a, b)
    assert there == reference_levenshtein(b, a)
    assert (there == 0) == (a == b)
    assert there <= reference_levenshtein(a, c) + reference_levenshtein(c, b)


def test_without_rapidfuzz_the_reference_serves(monkeypatch):
    monkeypatch.setattr(edit, "rapidfuzz", None)
    assert levenshtein("intention", "execution") == 5


@given(short, short)
def test_similarity_lies_between_zero_and_one(a, b):
    for unit in ("characters", "graphemes", "words"):
        found = edit_similarity(a, b, unit)
        assert 0 <= found <= 1 and found == edit_similarity(b, a, unit)
        assert edit_similarity(a, a, unit) == 1


def test_units_count_what_they_say():
    assert edit_similarity("e\u0301a", "xa", "characters") == pytest.approx(1 / 3)
    assert edit_similarity("e\u0301a", "xa", "graphemes") == 1 / 2
    assert edit_similarity("one two three", "one 2 three", "words") == pytest.approx(2 / 3)
    assert edit_similarity("", "abc") == 0


@given(st.text())
def test_normalise_twice_is_once_on_spaces_and_case(value):
    once = normalise(value)
    assert once == once.strip() and "  " not in once


def test_normalise_keeps_what_carries_meaning():
    assert normalise("Straße\t A") == normalise("STRASSE a")
    assert normalise("x[0]") != normalise("x(0)")


@given(short, short)
def test_overlap_is_symmetric(a, b):
    assert token_overlap(a, b) == token_overlap(b, a)
    assert 0 <= token_overlap(a, b) <= 1


def test_overlap_counts_words_as_often_as_both_have_them():
    assert token_overlap("a a a", "a") == 0.5
    assert token_overlap("a b", "c d") == 0
    assert token_overlap("…", "!") == 1 and token_overlap("…", "a") == 0
    assert words("naïve_x2 + 名前") == ["naïve_x2", "名前"]
