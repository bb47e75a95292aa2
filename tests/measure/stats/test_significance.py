"""A test finds what is there and cries wolf as rarely as it says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import ConfigError, DataError, Reason
from groundup.measure.stats.significance import (
    _p_value,
    _random_subset_sums,
    adjust_p_values,
    mcnemar_test,
    permutation_test,
    sign_flip_test,
)
from tests.checking import unchecked


def test_mcnemar_counts_only_where_the_two_differ():
    few = mcnemar_test([1] * 8 + [0] * 2, [0] * 8 + [1] * 2)
    many = mcnemar_test([1] * 8 + [0] * 2 + [1] * 90, [0] * 8 + [1] * 2 + [1] * 90)
    assert few.p == many.p and many.difference == pytest.approx(0.06)
    exact = mcnemar_test([1] * 8 + [0] * 2, [0] * 8 + [1] * 2, method="exact")
    assert exact.p == pytest.approx(2 * (1 + 10 + 45) / 1024)
    assert few.p == pytest.approx(exact.p - 45 / 1024)


def test_as_many_gained_as_lost_is_no_difference_at_all():
    assert mcnemar_test([1, 0], [0, 1]).p == mcnemar_test([1, 0], [0, 1], method="exact").p == 1


def test_mid_p_is_near_its_level_and_the_exact_test_below():
    random, found = np.random.default_rng(4), {"mid-p": 0, "exact": 0}
    for _ in range(2000):
        a, b = random.random((2, 100)) < 0.7
        for method in found:
            test = mcnemar_test(a, b, method=method)
            found[method] += not isinstance(test, Reason) and test.p <= 0.05
    assert 0.03 < found["mid-p"] / 2000 < 0.065
    assert found["exact"] < found["mid-p"]


def test_flipping_groups_respects_what_depends_on_each_other():
    random, alone, together = np.random.default_rng(5), 0, 0
    groups = np.repeat(np.arange(12), 10)
    for _ in range(200):
        a = random.normal(size=12)[groups] + 0.3 * random.normal(size=120)
        alone += sign_flip_test(a, np.zeros(120), repeats=500).p <= 0.05
        together += sign_flip_test(a, np.zeros(120), groups.tolist()).p <= 0.05
    assert together / 200 < 0.1 < 0.3 < alone / 200


def test_drawn_permutations_agree_with_all_of_them():
    a, b = [3.0, 5.0, 1.0, 9.0, 4.0, 7.0, 6.0, 2.0], [1.0, 2.0, 2.0, 4.0, 5.0, 3.0, 1.0, 2.0]
    exact = sign_flip_test(a, b)
    assert exact.method == "sign_flip|exact"
    drawn = sign_flip_test(a * 3, b * 3, ["a b c d e f g h".split()[i % 8] for i in range(24)])
    assert drawn.p == exact.p  # eight groups, each three times the item
    many = sign_flip_test(a * 3, b * 3)
    assert many.method == "sign_flip|10000 draws" and 0 < many.p < exact.p
    exact, dealt = permutation_test(a, b), permutation_test(a * 2, b * 2)
    assert (exact.method, dealt.method) == ("permutation|exact", "permutation|10000 draws")
    assert dealt.p < exact.p < 0.2


def test_a_drawn_p_is_never_zero():
    assert sign_flip_test([1.0] * 60, [0.0] * 60).p > 0
    assert permutation_test([1.0] * 60 + [1.1], [0.0] * 60, alternative="greater").p > 0


def test_one_sided_tests_look_to_one_side():
    up = sign_flip_test([2.0, 3.0, 4.0, 6.0], [1.0, 1.0, 1.0, 1.0], alternative="greater")
    down = sign_flip_test([2.0, 3.0, 4.0, 6.0], [1.0, 1.0, 1.0, 1.0], alternative="less")
    assert (up.p, down.p) == (1 / 16, 1.0)


def test_whole_groups_are_dealt():
    found = permutation_test([1.0, 1.0, 1.0, 1.0], [0.0, 0.0], ["a", "a", "b", "b"], ["c", "d"])
    assert found.p == pytest.approx(2 / 6) and found.n == 6


def test_nothing_to_test_is_a_reason():
    assert mcnemar_test([1, 0], [1, 0]).code == "no_difference"
    assert sign_flip_test([1.0, 2.0], [1.0, 2.0]).code == "no_difference"
    assert permutation_test([1.0], [1.0, 1.0]).code == "no_difference"


def test_bad_input_is_refused():
    with pytest.raises(DataError, match="0 or 1"):
        mcnemar_test([2, 1], [1, 0])
    with pytest.raises(DataError, match="b must be 2 numbers"):
        mcnemar_test([1, 0], [1])
    with pytest.raises(DataError, match="b must be 2 numbers"):
        sign_flip_test([1.0, 2.0], [1.0])
    with pytest.raises(DataError, match="is nan"):
        permutation_test([1.0, float("nan")], [1.0])
    with pytest.raises(DataError, match="got none"):
        sign_flip_test([], [])
    with pytest.raises(DataError, match="got none"):
        permutation_test([1.0], [])
    with pytest.raises(DataError, match="got none"):
        mcnemar_test([], [])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_adjusting_keeps_the_order_and_never_lowers(values):
    raw = np.array(values)
    bonferroni, holm, hochberg = (
        np.array(adjust_p_values(values, method))
        for method in ("bonferroni", "holm", "benjamini-hochberg")
    )
    assert (raw <= hochberg + 1e-12).all() and (hochberg <= holm + 1e-12).all()
    assert (holm <= bonferroni + 1e-12).all() and (bonferroni <= 1).all()
    order = np.argsort(raw, kind="stable")
    for found in (bonferroni, holm, hochberg):
        assert (np.diff(found[order]) >= -1e-12).all()


def test_adjusting_needs_p_values():
    for values in ([], [1.2], [-0.1]):
        with pytest.raises(DataError, match="between 0 and 1"):
            adjust_p_values(values)


def test_drawn_halves_are_fair_and_come_in_pieces(monkeypatch):
    monkeypatch.setattr("groundup.measure.stats.significance.DRAWS_AT_ONCE", 100)
    found = np.concatenate(list(_random_subset_sums(np.array([1.0, 10.0, 100.0] * 7), 999, 0)))
    assert len(found) == 999
    # Each of 21 sums is in a half of the draws: mean 777 / 2, deviation √(7 * 10101) / 2.
    assert found.mean() == pytest.approx(388.5, abs=4 * 133 / 999**0.5)
    assert found.std() == pytest.approx(133, rel=0.1)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (
            lambda: sign_flip_test([1, 2], [0, 0], alternative="higher"),
            "alternative='higher' is unknown",
        ),
        (lambda: permutation_test([1], [0], alternative="less "), "did you mean `less`"),
        (lambda: mcnemar_test([1], [0], method="midp"), "did you mean `mid-p`"),
        (lambda: adjust_p_values([0.1], "holms"), "did you mean `holm`"),
        (lambda: sign_flip_test([1, 2], [0, 0], repeats=0), "repeats=0 must be 1"),
        (lambda: permutation_test([1, 2], [0, 0], seed=-1), "seed=-1 must be 0"),
    ],
)
def test_unknown_words_and_draws_are_refused(call, told):
    with unchecked(), pytest.raises(ConfigError, match=told):
        call()


def test_a_drawn_p_is_at_most_one_and_counts_the_outcome_that_was_seen():
    worst = sign_flip_test([0.0] * 60, [1.0] * 60, alternative="greater")
    assert worst.p == 1.0 and worst.method.endswith("draws")
    assert sign_flip_test([1.0] * 60, [0.0] * 60, repeats=99, alternative="greater").p == 1 / 100


def test_sums_that_rounding_alone_parts_are_equally_extreme():
    found = np.array([0.3, 0.1 + 0.2, -0.3, -(0.1 + 0.2)])
    assert _p_value(found, 0.1 + 0.2, "greater", True, 1.0) == 0.5
    assert _p_value(found, -0.3, "less", True, 1.0) == 0.5
