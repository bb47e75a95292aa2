"""Damaged words: how they look and what they were."""

from collections import Counter

import pytest

from groundup.documents.books.damage import DamageDetector, _confusion_table, apply_confusions


@pytest.mark.parametrize(
    ("token", "looks"),
    [
        ("which", "right"), ("wbich", "confused"), ("rnodern", "confused"), ("tlie", "confused"),
        ("xqkzvj", "garbled"), ("foo(bar)", "none"), ("12", "none"), ("–", "none"), ("", "none"),
        ("well-known", "right"), ("w", "none"), ("NATO", "none"), ("s0me1hing", "none"),
    ],
)  # fmt: skip
def test_looks(token, looks):
    assert DamageDetector(Counter()).classify(token) == looks


def test_a_book_vouches_for_its_words_but_not_for_what_comes_back_misread():
    own = Counter({"frobnitz": 3, "tbe": 5, "the": 400})
    reader = DamageDetector(own)
    assert reader.classify("frobnitz") == "right" and reader.classify("tbe") == "confused"


def test_confusions_go_both_ways_where_shapes_do():
    table = _confusion_table()
    assert "m" in table["rn"] and "rn" in table["m"]
    assert "modern" in set(apply_confusions("rnodern"))


@pytest.mark.parametrize(
    ("token", "sign"),
    [
        ("wbich", "confused"), ("comman|d", "holed"), ("di5played", "holed"), ("iss", "doubled"),
        ("13.1.1.2S", "lettered number"), ("page·", "dust"), ("tool", ""), ("3D", ""), ("x86", ""),
    ],
)  # fmt: skip
def test_signs(token, sign):
    assert DamageDetector(Counter()).damage_signs(token) == ((sign,) if sign else ())


def test_what_the_book_uses_often_is_no_sign():
    assert DamageDetector(Counter(), Counter({"a|b": 3, "12l": 4})).damage_signs("12l") == ()
    own = Counter({"frobnitz": 9, "frobnits": 1})
    assert DamageDetector(own).damage_signs("frobnits") == ("near the book's",)
