"""Agreement is 1 where raters agree, 0 by chance, and a reason where it is undefined."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import ConfigError, DataError, Reason
from groundup.measure.stats.agreement import (
    _count_inversions,
    _kendall_tau_b,
    _mean_ranks,
    _pearson_r,
    cohen_kappa,
    fleiss_kappa,
    kendall,
    krippendorff_alpha,
    pearson,
    spearman,
)
from tests.checking import unchecked

CORRELATIONS = [pearson, spearman, kendall]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40))
def test_inversions_are_counted_one_by_one(values):
    expected = sum(a > b for i, a in enumerate(values) for b in values[i + 1 :])
    assert _count_inversions(np.array(values)) == expected


def test_many_values_are_counted_fast_and_right():
    random = np.random.default_rng(13)
    a, b = random.integers(0, 3000, (2, 20_000)).astype(float)
    assert _kendall_tau_b(a, b) == pytest.approx(scipy.stats.kendalltau(a, b).statistic, abs=1e-12)
    assert _pearson_r(_mean_ranks(a), _mean_ranks(b)) == pytest.approx(
        scipy.stats.spearmanr(a, b).statistic, abs=1e-12
    )


@pytest.mark.parametrize("measure", CORRELATIONS)
def test_correlations_are_1_and_minus_1_at_the_ends(measure):
    values = [1.0, 2.0, 3.0, 5.0]
    assert measure(values, values).estimate == pytest.approx(1)
    assert measure(values, values[::-1]).estimate < -0.9
    assert measure([1e90, 2e90, 4e90], [1e-90, 2e-90, 4e-90]).estimate == pytest.approx(1)


def test_the_interval_holds_the_truth():
    random, hits = np.random.default_rng(14), 0
    for _ in range(60):
        a = random.normal(size=60)
        found = pearson(a, 0.6 * a + 0.8 * random.normal(size=60), repeats=100)
        hits += found.low <= 0.6 <= found.high
    assert hits >= 52


def test_grouped_items_make_it_less_sure():
    random = np.random.default_rng(15)
    a, groups = random.normal(size=20).repeat(10), np.arange(20).repeat(10).tolist()
    b = a + random.normal(size=20).repeat(10)
    alone, together = pearson(a, b), pearson(a, b, groups)
    assert together.high - together.low > 2 * (alone.high - alone.low)
    assert (alone.groups, together.groups) == (200, 20)


@pytest.mark.parametrize("measure", CORRELATIONS)
def test_a_constant_has_no_correlation(measure):
    assert measure([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]).code == "constant"
    assert measure([1.0, 2.0], [3.0, 3.0]).code == "constant"
    assert measure([1.0], [2.0]).code == "too_few_items"
    assert measure([], []).code == "too_few_items"
    assert measure([1.0, 2.0], [1.0, 2.0], ["a", "a"]).code == "too_few_groups"


@pytest.mark.parametrize("measure", CORRELATIONS)
def test_bad_columns_are_refused(measure):
    with pytest.raises(DataError, match="b must be 2 numbers"):
        measure([1.0, 2.0], [1.0])
    with pytest.raises(DataError, match="is nan"):
        measure([1.0, float("nan")], [1.0, 2.0])
    with pytest.raises(DataError, match="as many groups"):
        measure([1.0, 2.0], [1.0, 2.0], ["a"])


def test_raters_who_draw_lots_agree_no_more_than_chance():
    random = np.random.default_rng(16)
    labels = random.choice(list("abc"), (2000, 3), p=[0.7, 0.2, 0.1])
    a, b = labels[:, 0].tolist(), labels[:, 1].tolist()
    rows = labels.tolist()
    for found in (
        cohen_kappa(a, b, repeats=200),
        cohen_kappa(a, b, weights="quadratic", repeats=200),
        fleiss_kappa(rows, repeats=200),
        krippendorff_alpha(rows, repeats=200),
        krippendorff_alpha(rows, "ordinal", repeats=200),
    ):
        assert abs(found.estimate) < 0.05 and found.low < 0 < found.high


def test_raters_who_agree_have_1():
    rows = ["aa", "bb", "aa", "cc"]
    assert cohen_kappa("abac", "abac").estimate == 1
    assert fleiss_kappa(rows).estimate == pytest.approx(1)
    assert krippendorff_alpha(rows).estimate == pytest.approx(1)


def test_near_misses_cost_less_with_weights():
    good, fair, bad = "abcdabcd", "abcdbbcd", "abcddbcd"
    plain = [cohen_kappa(good, other).estimate for other in (fair, bad)]
    assert plain[0] == pytest.approx(plain[1], abs=0.02)
    for weights in ("linear", "quadratic"):
        near, far = (cohen_kappa(good, other, weights=weights).estimate for other in (fair, bad))
        assert near > far + 0.1


def test_the_order_of_labels_can_be_named():
    a = ["low", "high", "mid", "low", "mid"]
    b = ["mid", "high", "mid", "low", "high"]
    order = ["low", "mid", "high"]
    named = cohen_kappa(a, b, weights="linear", order=order)
    as_numbers = cohen_kappa(
        [order.index(x) for x in a], [order.index(x) for x in b], weights="linear"
    )
    assert named == as_numbers
    rows = [list(pair) for pair in zip(a, b, strict=True)]
    assert krippendorff_alpha(rows, "ordinal", order=order) != krippendorff_alpha(rows, "ordinal")
    for wrong, told in ((["low", "high"], "'mid'"), (["low", "mid", "mid", "high"], "twice")):
        with pytest.raises(DataError, match=f"every label once; got .*{told}"):
            cohen_kappa(a, b, weights="linear", order=wrong)
        with pytest.raises(DataError, match=f"every label once; got .*{told}"):
            krippendorff_alpha(rows, order=wrong)


def test_missing_ratings_are_left_out():
    full = [[1, 1], [2, 2], [1, 2], [2, 2]]
    holes = [[1, 1, None], [2, None, 2], [1, 2, None], [None, 2, 2], [1, None, None], [None] * 3]
    assert krippendorff_alpha(holes).estimate == pytest.approx(krippendorff_alpha(full).estimate)
    assert krippendorff_alpha(holes).n == 4
    groups = ["a", "b", "c", "d", "e", "f"]
    assert krippendorff_alpha(holes, groups=groups).groups == 4


def test_undefined_agreement_is_a_reason():
    for found in (
        cohen_kappa("aaa", "aaa"),
        fleiss_kappa(["aa", "aa"]),
        krippendorff_alpha([[1, 1], [1, 1]], "interval"),
    ):
        assert isinstance(found, Reason) and found.code == "constant"
    assert cohen_kappa([], []).code == "too_few_items"
    assert fleiss_kappa([]).code == "too_few_items"
    assert fleiss_kappa(["a", "b"]).code == "too_few_raters"
    assert krippendorff_alpha([[1, None], [2, None]]).code == "too_few_items"


def test_bad_ratings_are_refused():
    with pytest.raises(DataError, match="as many from the other rater"):
        cohen_kappa("ab", "a")
    with pytest.raises(DataError, match="use krippendorff_alpha"):
        fleiss_kappa(["ab", "a"])
    with pytest.raises(DataError, match="NaN"):
        krippendorff_alpha([[1.0, float("nan")], [1.0, 2.0]], "interval")
    with pytest.raises(DataError, match="missing"):
        fleiss_kappa([[None, 1], [1, 1]])
    with pytest.raises(DataError, match="missing"):
        cohen_kappa([None, "a"], ["a", "a"])
    with pytest.raises(DataError, match="several types have no order"):
        krippendorff_alpha([[1, "a"], [1, 1]], "ordinal")
    with pytest.raises(DataError, match="as many groups"):
        krippendorff_alpha([[1, 2], [1, 1]], groups=["a"])
    with pytest.raises(DataError, match="must be numbers; got 'b'"):
        krippendorff_alpha([["a", "b"], ["a", "a"]], "interval")


def test_unknown_words_are_refused():
    with unchecked():
        with pytest.raises(ConfigError, match="did you mean `quadratic`"):
            cohen_kappa("ab", "ab", weights="quadratics")
        with pytest.raises(ConfigError, match="did you mean `ordinal`"):
            krippendorff_alpha([[1, 1], [2, 2]], "ordinals")
        with pytest.raises(ConfigError, match="repeats=0"):
            cohen_kappa("ab", "ab", repeats=0)
