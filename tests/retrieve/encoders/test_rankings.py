"""Negatives are of other documents and clearly below the own passage; measures are by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.retrieve.encoders.pairs import PairSplit, TextPair
from groundup.retrieve.encoders.rankings import (
    PassageTable,
    choose_negatives,
    collect_passages,
    fuse_rankings,
    held_out_search,
    rank_by_vectors,
    rank_by_words,
)

TABLE = PassageTable(list("abcdef"), ["1", "1", "2", "3", "4", "5"], [0])


def test_a_candidate_near_the_own_score_may_be_an_answer_and_is_left_out():
    ranked = [(2, 12.0), (0, 10.0), (3, 9.6), (4, 9.5), (5, 3.0)]
    assert choose_negatives(TABLE, [ranked], 2, 0.95, seed=0) == [[4, 5]]
    assert choose_negatives(TABLE, [ranked], 2, 0.97, seed=0) == [[3, 4]]
    assert choose_negatives(TABLE, [ranked], 2, 2.0, seed=0) == [[2, 3]]


def test_passages_of_the_same_document_are_no_negatives():
    ranked = [(0, 10.0), (1, 5.0), (2, 4.0)]
    assert choose_negatives(TABLE, [ranked], 1, 0.95, seed=0) == [[2]]


def test_a_query_whose_passage_is_not_among_the_first_gets_random_negatives():
    ranked = [(2, 12.0), (3, 11.0)]
    drawn = {choose_negatives(TABLE, [ranked], 1, 0.95, seed)[0][0] for seed in range(30)}
    assert drawn == {2, 3, 4, 5}


@given(st.integers(0, 8), st.integers(0, 5))
def test_there_are_as_many_negatives_as_wanted(count, seed):
    chosen = choose_negatives(TABLE, [[(0, 1.0)]], count, 0.95, seed)[0]
    assert len(chosen) == count
    assert not {0, 1} & set(chosen[:4])
    assert chosen == choose_negatives(TABLE, [[(0, 1.0)]], count, 0.95, seed)[0]


def test_words_rank_the_text_that_has_them_first():
    texts = ["A kettle boils water.", "Bridges cross rivers.", "Lanterns light harbours."]
    rankings = rank_by_words(["which bridge crosses the river", "harbour"], texts)
    assert [one[0][0] for one in rankings] == [1, 2]


def test_vectors_rank_by_inner_product_and_ties_by_index():
    passages = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    assert rank_by_vectors(np.array([[0.6, 0.8]]), passages) == [[(1, 0.8), (2, 0.8), (0, 0.6)]]


def test_equal_passages_are_one():
    pairs = [TextPair("title", "x", "one", "1"), TextPair("cloze", "y", "two", "2"),
             TextPair("cloze", "z", "one", "1")]  # fmt: skip
    assert collect_passages(pairs) == PassageTable(["one", "two"], ["1", "2"], [0, 1, 0])


def test_a_querys_relevant_passages_are_those_of_all_pairs_with_its_words():
    held_out = [TextPair("title", "notes", "one", "1"), TextPair("title", "notes", "two", "2"),
                TextPair("cloze", "said", "two", "2")]  # fmt: skip
    search = held_out_search(PairSplit([TextPair("title", "other", "three", "3")], held_out))
    assert search.queries == ["notes", "said"]
    assert search.texts == ["one", "two", "three"]
    assert search.relevant == [{0, 1}, {1}]
    scores = search.scores([[(0, 3.0), (2, 2.0), (1, 1.0)], [(2, 1.0), (0, 0.5)]])
    assert scores["recall@1"] == 0.25
    assert scores["recall@10"] == 0.5
    ideal = 1 + 1 / np.log2(3)
    assert scores["ndcg@10"] == pytest.approx((1 + 1 / 2) / ideal / 2, abs=1e-4)


def test_fusion_adds_reciprocal_ranks():
    fused = fuse_rankings([(3, 0.9), (4, 0.8)], [(4, 20.0), (5, 1.0)])
    assert [index for index, _ in fused] == [4, 3, 5]
    assert dict(fused)[4] == pytest.approx(1 / 62 + 1 / 61)
