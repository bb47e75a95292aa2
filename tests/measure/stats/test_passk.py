"""pass@k is the share of sets of k answers that hold a right one."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import DataError, Reason
from groundup.measure.stats.passk import pass_at_k, pass_rate


@given(st.lists(st.booleans(), min_size=1, max_size=9), st.data())
def test_it_is_the_share_of_sets(answers, data):
    k = data.draw(st.integers(1, len(answers)))
    sets = list(combinations(answers, k))
    expected = sum(any(one) for one in sets) / len(sets)
    assert pass_at_k(len(answers), sum(answers), k) == pytest.approx(expected)


def test_it_stays_exact_for_many_answers():
    assert pass_at_k(10_000, 1, 100) == pytest.approx(0.01)
    assert pass_at_k(10_000, 9_950, 100) == 1.0


def test_more_than_there_are_is_undefined():
    found = pass_at_k(5, 5, 10)
    assert isinstance(found, Reason) and found.code == "too_few_answers"
    found = pass_rate([10, 5], [1, 1], 10)
    assert isinstance(found, Reason) and found.message.startswith("Problem 1: pass@10 needs 10")


def test_the_rate_stays_a_rate_and_needs_two_problems():
    found = pass_rate([10] * 5, [10, 10, 10, 10, 5], 5)
    assert found.estimate == pytest.approx(0.9992063, abs=1e-6) and found.high == 1.0
    assert pass_rate([10], [5], 1).code == "too_few_groups"
    assert pass_rate([10, 10], [5, 6], 1, ["a", "a"]).code == "too_few_groups"
    assert pass_rate([], [], 1).code == "too_few_groups"


@pytest.mark.parametrize(("answers", "right", "k"), [(5, 6, 1), (5, -1, 1), (5, 1, 0), (-1, 0, 1)])
def test_impossible_counts_are_refused(answers, right, k):
    with pytest.raises(DataError, match="right answers between"):
        pass_at_k(answers, right, k)


def test_mismatched_lengths_are_refused():
    with pytest.raises(DataError, match="2 problems need as many counts; got 1"):
        pass_rate([5, 5], [1], 1)
