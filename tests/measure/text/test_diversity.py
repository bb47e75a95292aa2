"""Diversity counts what differs; leaving one text out equals scoring it beside the others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import Reason
from groundup.measure.text.bleu import Bleu
from groundup.measure.text.diversity import distinct_ngrams, self_bleu

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
