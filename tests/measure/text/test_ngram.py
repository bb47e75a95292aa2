"""BLEU, chrF and diversity at their edges; that they equal their peers: test_agreement.py."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import ConfigError, DataError, Reason
from groundup.measure.stats.sums import corpus_score
from groundup.measure.text.ngram import Bleu, Chrf, _split_punctuation, distinct_ngrams, self_bleu

words = st.lists(st.sampled_from("the cat sat on a mat".split()), max_size=9).map(" ".join)
anything = words | st.text(st.characters() | st.sampled_from("ab .é\u0301"), max_size=20)
BLEUS = [
    Bleu(smoothing=smoothing, effective_order=effective, tokeniser=tokeniser, lowercase=lower)
    for smoothing in ("none", "floor", "add-k", "exp")
    for effective in (False, True)
    for tokeniser, lower in (("13a", False), ("char", True))
]


CHRFS = [
    Chrf(word_order=words, smoothing=smoothing, whitespace=space, lowercase=lower)
    for words in (0, 2)
    for smoothing in (False, True)
    for space, lower in ((False, False), (True, True))
]


@given(anything, st.lists(anything, min_size=1, max_size=3), st.sampled_from([*BLEUS, *CHRFS]))
def test_a_score_is_a_number_from_0_to_100_or_a_reason(answer, references, measure):
    found = measure.sentence(answer, references)
    if isinstance(found, Reason):
        assert found.code == "empty_reference"
        assert isinstance(measure, Chrf) or not all(measure.tokens(text) for text in references)
    else:
        assert 0 <= found <= 100 + 1e-9 and math.isfinite(found)


@given(words.filter(bool), anything.filter(str.strip))
def test_an_equal_text_scores_100_however_short(sentence, text):
    assert Bleu().sentence(sentence, [sentence]) == pytest.approx(100)
    assert Chrf().sentence(text, [text]) == pytest.approx(100)


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
    assert len({measure.signature for measure in [*BLEUS, *CHRFS]}) == len(BLEUS) + len(CHRFS)
    floors = [Bleu(smoothing="floor", smoothing_value=value) for value in (0.2, None)]
    assert floors[0].signature != floors[1].signature


def test_wrong_settings_and_bare_references_are_errors():
    for wrong in ({"order": 0}, {"smoothing": "exponential"}, {"smoothing_value": -1.0}):
        with pytest.raises(ConfigError):
            Bleu(**wrong)
    with pytest.raises(ConfigError, match="tokeniser"):
        Bleu(tokenizer="13a")
    with pytest.raises(DataError, match="list of references"):
        Bleu().sentence("a", "a")
    assert Bleu().sentence("a", []).code == "no_reference"


@pytest.mark.parametrize(
    ("measure", "wrong"),
    [
        (Bleu, {"order": 100_000}), (Bleu, {"smoothing_value": 1e300}), (Chrf, {"beta": 1e200}),
        (Chrf, {"character_order": 1000}), (Chrf, {"word_order": 1000}),
    ],
)  # fmt: skip
def test_settings_without_an_end_are_refused(measure, wrong):
    with pytest.raises(ConfigError, match="less than or equal"):
        measure(**wrong)


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


def test_chrf_at_its_edges():
    assert Chrf().sentence("", ["a"]) == 0
    assert Chrf().sentence("a", [" "]).code == "empty_reference"
    assert Chrf().sentence("a", []).code == "no_reference"
    assert _split_punctuation("a . (b) !") == ["a", ".", "(b", ")", "!"]
    with pytest.raises(ConfigError):
        Chrf(character_order=0)


texts = st.lists(
    st.lists(st.sampled_from("a b c d".split()), min_size=1, max_size=7).map(" ".join),
    min_size=2,
    max_size=5,
)


@given(texts)
def test_self_bleu_is_the_mean_of_each_beside_the_others(answers):
    bleu = Bleu()
    each = [bleu.sentence(a, answers[:i] + answers[i + 1 :]) for i, a in enumerate(answers)]
    assert self_bleu(answers) == pytest.approx(sum(each) / len(each))


def test_the_same_again_and_again_is_no_diversity():
    assert self_bleu(["the cat sat here"] * 3) == pytest.approx(100)
    assert distinct_ngrams(["a b"] * 10) == 0.1 and distinct_ngrams(["a b c d"]) == 1
    assert distinct_ngrams(["A b", "a B"], 1) == 0.5


def test_edges_are_reasons():
    assert self_bleu(["a"]).code == "too_few_candidates"
    assert isinstance(self_bleu(["", ""]), Reason)
    assert distinct_ngrams([]).code == distinct_ngrams(["one", ""]).code == "short_candidate"
