"""The fast distance is the textbook's distance, and distances behave as such."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import DataError
from groundup.measure.text import edit
from groundup.measure.text.edit import (
    _bitwise_levenshtein,
    _jaro,
    _reference_levenshtein,
    _reference_osa,
    edit_similarity,
    hamming,
    indel,
    indel_similarity,
    jaro_winkler,
    levenshtein,
    osa,
    subsequence_length,
)

letters = st.text("abc", max_size=14)
unicode = st.text(st.characters(), max_size=14) | st.text(
    "ae\u0301👩\u200d🚒\ud800\udfff", max_size=14
)
short = letters | unicode
several = st.lists(st.text(max_size=3), max_size=8)


def common_by_table(a, b) -> int:
    """Longest common subsequence by the textbook's table."""
    above = [0] * (len(b) + 1)
    for left in a:
        row = [0]
        for j, right in enumerate(b):
            row.append(above[j] + 1 if left == right else max(above[j + 1], row[j]))
        above = row
    return above[-1]


@given(short, short)
def test_fast_equals_reference(a, b):
    expected = _reference_levenshtein(a, b)
    assert levenshtein(a, b) == _bitwise_levenshtein(a, b) == expected


@given(several, several)
def test_fast_equals_reference_on_words(a, b):
    expected = _reference_levenshtein(a, b)
    assert levenshtein(a, b) == _bitwise_levenshtein(a, b) == expected
    assert osa(a, b) == _reference_osa(a, b) <= expected
    assert subsequence_length(a, b) == common_by_table(a, b)


@given(short, short)
def test_swapped_neighbours_cost_one(a, b):
    assert osa(a, b) == _reference_osa(a, b) <= _reference_levenshtein(a, b)
    assert osa(a + "xy" + b, a + "yx" + b) == 1


@given(short, short)
def test_common_subsequence_is_the_tables(a, b):
    assert subsequence_length(a, b) == common_by_table(a, b)
    assert indel(a, b) == len(a) + len(b) - 2 * common_by_table(a, b)


@given(short, short, short)
def test_distance_is_a_metric(a, b, c):
    there = _reference_levenshtein(a, b)
    assert there == _reference_levenshtein(b, a)
    assert (there == 0) == (a == b)
    assert there <= _reference_levenshtein(a, c) + _reference_levenshtein(c, b)


def test_without_rapidfuzz_own_code_serves(monkeypatch):
    monkeypatch.setattr(edit, "rapidfuzz", None)
    monkeypatch.setattr(edit, "rapidfuzz_osa", None)
    assert levenshtein("intention", "execution") == 5
    assert osa("form", "from") == 1


def test_long_texts_need_no_table():
    a, b = "ab" * 20_000, "ba" * 20_000
    assert _bitwise_levenshtein(a[:6000], b[:6000]) == 2
    assert levenshtein(a, b) == 2


@given(short, short)
def test_similarity_lies_between_zero_and_one(a, b):
    for unit in ("characters", "graphemes", "words", "spaced"):
        for similarity in (edit_similarity, indel_similarity):
            found = similarity(a, b, unit)
            assert 0 <= found <= 1 and found == similarity(b, a, unit)
            assert similarity(a, a, unit) == 1


@given(short, short)
def test_jaro_lies_between_zero_and_one(a, b):
    assert 0 <= _jaro(a, b) <= jaro_winkler(a, b) <= 1
    assert _jaro(a, a) == 1


def test_jaro_winkler_on_published_examples():
    assert _jaro("dixon", "dicksonx") == pytest.approx(0.7667, abs=1e-4)
    assert jaro_winkler("dixon", "dicksonx") == pytest.approx(0.8133, abs=1e-4)
    assert jaro_winkler("dwayne", "duane") == pytest.approx(0.84, abs=1e-4)
    assert _jaro("", "") == 1 and _jaro("", "a") == 0 and _jaro("ab", "xy") == 0


def test_units_count_what_they_say():
    assert edit_similarity("e\u0301a", "xa", "characters") == pytest.approx(1 / 3)
    assert edit_similarity("e\u0301a", "xa", "graphemes") == 1 / 2
    assert edit_similarity("one two three", "one 2 three", "words") == pytest.approx(2 / 3)
    assert edit_similarity("", "abc") == 0


def test_hamming_needs_equal_lengths():
    assert hamming("1011101", "1001001") == 2 and hamming("", "") == 0
    with pytest.raises(DataError, match="equal lengths; got 1 and 2"):
        hamming("a", "ab")
