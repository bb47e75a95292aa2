"""Stems of Porter's own examples; that all of WordNet's equal NLTK's is in test_agreement.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.measure.text.stem import _letter_pattern, _stem_measure, porter_stem


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("caresses", "caress"), ("ponies", "poni"), ("ties", "tie"), ("cats", "cat"),
        ("feed", "feed"), ("agreed", "agre"), ("plastered", "plaster"), ("bled", "bled"),
        ("motoring", "motor"), ("sing", "sing"), ("conflated", "conflat"), ("hopping", "hop"),
        ("falling", "fall"), ("filing", "file"), ("happy", "happi"), ("enjoy", "enjoy"),
        ("conditional", "condit"), ("vietnamization", "vietnam"), ("hopefulness", "hope"),
        ("electricity", "electr"), ("adjustment", "adjust"), ("adoption", "adopt"),
        ("controlling", "control"), ("rate", "rate"), ("cease", "ceas"), ("skies", "sky"),
        ("dying", "die"), ("died", "die"), ("spied", "spi"),
        ("by", "by"), ("A", "a"), ("generally", "gener"), ("geology", "geolog"),
    ],
)  # fmt: skip
def test_endings_go_step_by_step(word, expected):
    assert porter_stem(word) == expected


@given(st.text(st.characters(), max_size=12) | st.text("aeioustyldng", max_size=12))
def test_any_text_has_a_stem_that_is_no_longer(word):
    assert len(porter_stem(word)) <= len(word.lower()) + 1
    assert porter_stem(word.upper().lower()) == porter_stem(word.lower()) or not word.isascii()


def test_measure_counts_vowels_followed_by_consonants():
    assert [_stem_measure(word) for word in ("tr", "y", "trees", "oaten", "")] == [0, 0, 1, 2, 0]
    assert _letter_pattern("yyyy") == "cvcv"


def test_a_long_run_of_y_is_no_trouble():
    assert porter_stem("y" * 3000).startswith("yyy")
