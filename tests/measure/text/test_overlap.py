"""Equality and token F1 hang on a named normalisation, and behave at the edges."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.measure.text.overlap import is_equal, precision_recall_f1, token_f1_score

short = st.text(max_size=12)


@given(short, short, st.sampled_from(["none", "plain", "squad"]))
def test_overlap_is_symmetric(a, b, normalisation):
    assert token_f1_score(a, b, normalisation) == token_f1_score(b, a, normalisation)
    assert 0 <= token_f1_score(a, b, normalisation) <= 1
    assert token_f1_score(a, a, normalisation) == 1 and is_equal(a, a, normalisation)


def test_overlap_counts_words_as_often_as_both_have_them():
    assert token_f1_score("a a a", "a") == 0.5
    assert token_f1_score("a b", "c d") == 0
    assert token_f1_score("…", "!") == 1 and token_f1_score("…", "a") == 0


def test_normalisations_differ_where_they_say():
    assert not is_equal("The U.S.", "us") and is_equal("The U.S.", "us", "squad")
    assert is_equal("x [0]", "x  [0]") and not is_equal("x [0]", "x  [0]", "none")
    assert token_f1_score("A cat", "the cat", "squad") == 1
    assert token_f1_score("A cat", "the cat", "plain") == 0.5
    assert token_f1_score("Cat", "cat", "none") == 0


def test_nothing_shared_is_zero_and_never_divides_by_it():
    assert precision_recall_f1(0, 0, 0) == (0, 0, 0)
    assert precision_recall_f1(1, 2, 4) == (0.5, 0.25, pytest.approx(1 / 3))
