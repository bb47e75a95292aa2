"""Ranking measures are right by hand, by trec_eval and, under ties, on average over all orders."""

import math
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.core import ConfigError, DataError, Reason
from groundup.measure.ranking import (
    average_precision,
    hit,
    mrr,
    ndcg,
    precision,
    r_precision,
    recall,
    score_rankings,
)
from tests.checking import unchecked

MEASURES = [
    recall(2), precision(3), hit(1), hit(3), mrr(), mrr(2), average_precision(),
    average_precision(3), ndcg(), ndcg(3, "exponential"), r_precision(),
]  # fmt: skip


def one(measure, ranked, grades, **settings) -> float:
    return score_rankings(measure, {"q": ranked}, {"q": grades}, **settings).values["q"]


def test_by_hand():
    ranked, grades = ["a", "b", "c", "d"], {"b": 1, "d": 3, "e": 1}
    assert one(recall(2), ranked, grades) == pytest.approx(1 / 3)
    assert one(precision(4), ranked, grades) == 2 / 4
    assert one(precision(10), ranked, grades) == 2 / 10
    assert (one(hit(1), ranked, grades), one(hit(2), ranked, grades)) == (0, 1)
    assert (one(mrr(), ranked, grades), one(mrr(1), ranked, grades)) == (1 / 2, 0)
    assert one(average_precision(), ranked, grades) == pytest.approx((1 / 2 + 2 / 4) / 3)
    assert one(r_precision(), ranked, grades) == pytest.approx(1 / 3)
    ideal = 3 + 1 / math.log2(3) + 1 / 2
    found = 1 / math.log2(3) + 3 / math.log2(5)
    assert one(ndcg(), ranked, grades) == pytest.approx(found / ideal)


def test_the_ideal_list_is_cut_too():
    assert one(ndcg(1), ["a", "b"], {"a": 1, "b": 1, "c": 1}) == 1


def test_higher_gains_weigh_the_best_more():
    ranked, grades = ["good", "best"], {"good": 1, "best": 3}
    assert one(ndcg(gain="exponential"), ranked, grades) < one(ndcg(), ranked, grades)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=6),
    st.sampled_from(MEASURES),
    st.integers(1, 2),
)
@settings(max_examples=150, deadline=None)
def test_ties_count_as_the_mean_over_all_orders(documents, measure, relevant_from):
    grades = {str(place): grade for place, (_, grade) in enumerate(documents)} | {"unseen": 2}
    scores = {str(place): float(score) for place, (score, _) in enumerate(documents)}
    orders = [
        order for order in permutations(scores)
        if all(scores[a] >= scores[b] for a, b in zip(order, order[1:], strict=False))
    ]  # fmt: skip
    each = [one(measure, order, grades, relevant_from=relevant_from) for order in orders]
    found = one(measure, scores, grades, ties="average", relevant_from=relevant_from)
    assert found == pytest.approx(sum(each) / len(each))


def test_a_model_that_scores_all_alike_gains_nothing_by_the_order_of_the_file():
    documents = {f"d{number}": 0.5 for number in range(100)}
    lucky = one(mrr(), documents, {"d0": 1})
    honest = one(mrr(), documents, {"d0": 1}, ties="average")
    assert lucky == 1 and honest == pytest.approx(sum(1 / i for i in range(1, 101)) / 100)


def test_the_tie_policies_differ_only_in_ties():
    scores, grades = {"a": 1.0, "b": 1.0, "c": 2.0}, {"b": 1}
    assert one(mrr(), scores, grades) == pytest.approx(1 / 3)
    assert one(mrr(), scores, grades, ties="trec") == 1 / 2
    assert one(mrr(), scores, grades, ties="average") == pytest.approx((1 / 2 + 1 / 3) / 2)


def test_queries_that_cannot_be_scored_are_counted_not_averaged():
    rankings = {"q": ["a"], "r": ["a"], "s": ["b"], "strange": ["a"]}
    relevance = {"q": {"a": 1}, "r": {"a": 0}, "s": {"a": 1}, "silent": {"a": 1}, "empty": {}}
    found = score_rankings(recall(1), rankings, relevance)
    assert found.values == {"q": 1, "s": 0, "silent": 0}
    assert found.reasons == {"no_relevant": 2, "not_judged": 1}
    assert found.signature == "recall@1|ties:stable|relevant:>=1"
    mean = found.mean()
    assert mean.estimate == pytest.approx(1 / 3) and 0 <= mean.low <= mean.high <= 1
    assert found.mean({"q": "x", "s": "x", "silent": "x"}).code == "too_few_queries"
    assert isinstance(score_rankings(mrr(), {}, {}).mean(), Reason)


def test_an_empty_ranking_found_nothing():
    assert one(ndcg(), [], {"a": 1}) == one(average_precision(), {}, {"a": 1}) == 0


def test_negative_grades_are_not_relevant():
    assert one(ndcg(), ["a", "b"], {"a": -2, "b": 1}) == pytest.approx(1 / math.log2(3))


def test_bad_input_is_refused():
    with pytest.raises(DataError, match="ranks the document 'a' twice"):
        one(mrr(), ["a", "b", "a"], {"a": 1})
    with pytest.raises(DataError, match="score of 'a' is nan"):
        one(mrr(), {"a": float("nan")}, {"a": 1})
    with pytest.raises(DataError, match="grade of 'a' is 5000"):
        one(ndcg(gain="exponential"), ["a"], {"a": 5000})
    with pytest.raises(ConfigError, match="relevant_from=0 must be 1 or more"):
        one(mrr(), ["a"], {"a": 1}, relevant_from=0)
    for make in (recall, precision, hit, mrr, average_precision, ndcg):
        with pytest.raises(ConfigError, match="looks at nothing"):
            make(0)


@pytest.mark.parametrize(
    ("error", "call"),
    [
        (ConfigError, lambda: one(mrr(), ["a"], {"a": 1}, ties="treck")),
        (ConfigError, lambda: ndcg(gain="exp")),
        (ConfigError, lambda: one(mrr(), ["a"], {"a": 1}, relevant_from=float("nan"))),
        (DataError, lambda: one(mrr(), ["a"], {"a": "1"})),
        (DataError, lambda: one(mrr(), ["a"], {"a": None})),
        (DataError, lambda: one(mrr(), {"a": "high"}, {"a": 1})),
        (DataError, lambda: one(mrr(), "abc", {"a": 1})),
    ],
)
def test_words_and_values_of_another_kind_are_refused(error, call):
    with unchecked(), pytest.raises(error):
        call()


def test_any_id_has_its_place_among_tied_ones():
    assert one(mrr(), {"\ud800": 1.0, "b": 1.0}, {"b": 1}, ties="trec") == 1 / 2


def test_a_query_without_a_group_is_named():
    found = score_rankings(mrr(), {"q": ["a"], "r": ["a"]}, {"q": {"a": 1}, "r": {"a": 1}})
    with pytest.raises(DataError, match="Query r has no group"):
        found.mean({"q": 1})
