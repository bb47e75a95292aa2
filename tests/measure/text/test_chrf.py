"""chrF behaves at its edges; that it equals sacrebleu is shown in test_agreement.py."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import ConfigError, Reason
from groundup.measure.text.chrf import Chrf, _split_punctuation

anything = st.text(st.characters(), max_size=20) | st.text("ab .é\u0301", max_size=20)
SETTINGS = [
    Chrf(word_order=words, smoothing=smoothing, whitespace=space, lowercase=lower)
    for words in (0, 2)
    for smoothing in (False, True)
    for space, lower in ((False, False), (True, True))
]


@given(anything, st.lists(anything, min_size=1, max_size=3), st.sampled_from(SETTINGS))
def test_a_score_is_a_number_from_0_to_100_or_a_reason(answer, references, chrf):
    found = chrf.sentence(answer, references)
    if isinstance(found, Reason):
        assert found.code == "empty_reference"
    else:
        assert 0 <= found <= 100 + 1e-9 and math.isfinite(found)


@given(anything.filter(str.strip))
def test_an_equal_text_scores_100_however_short(text):
    assert Chrf().sentence(text, [text]) == pytest.approx(100)


def test_white_space_and_case_count_only_if_asked():
    assert Chrf().sentence("ab cd", ["abcd"]) == pytest.approx(100)
    assert Chrf(whitespace=True).sentence("ab cd", ["abcd"]) < 100
    assert Chrf().sentence("AB", ["ab"]) == 0
    assert Chrf(lowercase=True).sentence("AB", ["ab"]) == pytest.approx(100)


def test_recall_weighs_more_than_precision():
    assert Chrf().sentence("abcdef", ["abc"]) > Chrf().sentence("abc", ["abcdef"])
    assert Chrf(beta=0.5).sentence("abcdef", ["abc"]) < Chrf(beta=0.5).sentence("abc", ["abcdef"])


def test_the_best_reference_counts():
    assert Chrf().sentence("cat", ["dog", "cat"]) == pytest.approx(100)


def test_edges():
    assert Chrf().sentence("", ["a"]) == 0
    assert Chrf().sentence("a", [" "]).code == "empty_reference"
    assert Chrf().sentence("a", []).code == "no_reference"
    assert _split_punctuation("a . (b) !") == ["a", ".", "(b", ")", "!"]
    assert len({chrf.signature for chrf in SETTINGS}) == len(SETTINGS)
    with pytest.raises(ConfigError):
        Chrf(character_order=0)


@pytest.mark.parametrize(
    "wrong", [{"beta": 1e200}, {"character_order": 1000}, {"word_order": 1000}]
)
def test_settings_without_an_end_are_refused(wrong):
    with pytest.raises(ConfigError, match="less than or equal"):
        Chrf(**wrong)
