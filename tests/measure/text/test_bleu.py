"""BLEU behaves at its edges; that it equals sacrebleu is shown in test_agreement.py."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import ConfigError, DataError, Reason
from groundup.measure.text.bleu import Bleu
from groundup.measure.text.corpus import corpus_score

words = st.lists(st.sampled_from("the cat sat on a mat".split()), max_size=9).map(" ".join)
anything = words | st.text(st.characters(), max_size=20)
SETTINGS = [
    Bleu(smoothing=smoothing, effective_order=effective, tokeniser=tokeniser, lowercase=lower)
    for smoothing in ("none", "floor", "add-k", "exp")
    for effective in (False, True)
    for tokeniser, lower in (("13a", False), ("char", True))
]


@given(anything, st.lists(anything, min_size=1, max_size=3), st.sampled_from(SETTINGS))
def test_a_score_is_a_number_from_0_to_100_or_a_reason(answer, references, bleu):
    found = bleu.sentence(answer, references)
    if isinstance(found, Reason):
        assert found.code == "empty_reference"
        assert not all(bleu.tokens(text) for text in references)
    else:
        assert 0 <= found <= 100 + 1e-9 and math.isfinite(found)


@given(words.filter(bool))
def test_an_equal_sentence_scores_100_however_short(text):
    assert Bleu().sentence(text, [text]) == pytest.approx(100)


def test_a_short_sentence_scores_0_only_without_effective_order():
    bleu = Bleu()
    assert bleu.from_counts(bleu.counts("yes", ["yes"])) == 0
    assert bleu.sentence("yes", ["yes"]) == pytest.approx(100)
    assert bleu.sentence("", ["yes"]) == 0


def test_counts_are_clipped_by_the_reference_that_has_most():
    counts = Bleu(order=1).counts("the the the the", ["the cat", "the the mat"])
    assert counts == (4, 3, 2, 4)


def test_the_nearest_reference_sets_the_length_the_shorter_of_two():
    bleu = Bleu(order=1)
    assert bleu.counts("a b c", ["a", "a b", "a b c d"])[1] == 2
    assert bleu.counts("a b c", ["a b c d", "a"])[1] == 4


def test_the_corpus_score_is_no_mean():
    answers, references = ["the cat", "a mat is here now"], [["the cat"], ["the mat was here now"]]
    bleu = Bleu(order=2)
    mean = sum(bleu.sentence(a, r) for a, r in zip(answers, references, strict=True)) / 2
    assert corpus_score(bleu, answers, references) != pytest.approx(mean)


def test_more_references_never_match_less():
    bleu = Bleu()
    one = bleu.counts("the cat sat", ["the dog sat"])
    two = bleu.counts("the cat sat", ["the dog sat", "the cat ran"])
    assert all(b >= a for a, b in zip(one[2:6], two[2:6], strict=True))


def test_signatures_tell_settings_apart():
    assert len({bleu.signature for bleu in SETTINGS}) == len(SETTINGS)
    assert (
        Bleu(smoothing="floor", smoothing_value=0.2).signature != Bleu(smoothing="floor").signature
    )


def test_wrong_settings_and_bare_references_are_errors():
    for wrong in ({"order": 0}, {"smoothing": "exponential"}, {"smoothing_value": -1.0}):
        with pytest.raises(ConfigError):
            Bleu(**wrong)
    with pytest.raises(ConfigError, match="tokeniser"):
        Bleu(tokenizer="13a")
    with pytest.raises(DataError, match="list of references"):
        Bleu().sentence("a", "a")
    assert Bleu().sentence("a", []).code == "no_reference"


@pytest.mark.parametrize("wrong", [{"order": 100_000}, {"smoothing_value": 1e300}])
def test_settings_without_an_end_are_refused(wrong):
    with pytest.raises(ConfigError, match="less than or equal"):
        Bleu(**wrong)
