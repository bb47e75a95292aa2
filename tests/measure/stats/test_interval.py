"""Intervals hold the truth as often as they say."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import ConfigError, DataError
from groundup.measure.stats.distribution import z_value
from groundup.measure.stats.interval import (
    Interval,
    bootstrap,
    difference_of_rates,
    expanded_tail,
    paired_difference,
    rate,
    ratio_of_sums,
    wilson_interval,
)
from tests.checking import unchecked


def holds(interval: Interval, truth: float) -> bool:
    return interval.low <= truth <= interval.high


def test_bootstrap_of_a_ratio_covers_at_200_documents():
    random, hits, trials = np.random.default_rng(1), 0, 800
    for trial in range(trials):
        size = random.lognormal(6, 0.6, 200)
        nats = size * random.gamma(16, 1 / 16, 200)  # the true ratio is 1
        hits += holds(bootstrap(nats, weights=size, repeats=400, seed=trial), 1.0)
    assert 0.93 <= hits / trials <= 0.97


def test_bootstrap_covers_with_dependence_inside_groups_and_few_of_them():
    random, hits, trials = np.random.default_rng(2), 0, 600
    groups = np.repeat(np.arange(20), 8)
    for trial in range(trials):
        values = random.normal(size=20)[groups] + random.normal(size=160)
        hits += holds(bootstrap(values, groups.tolist(), repeats=400, seed=trial), 0.0)
    assert 0.92 <= hits / trials <= 0.98


def test_ignoring_groups_would_be_too_sure():
    groups = np.repeat(np.arange(30), 10)
    values = np.random.default_rng(3).normal(size=30)[groups]
    alone, together = bootstrap(values), bootstrap(values, groups.tolist())
    assert together.high - together.low > 2.5 * (alone.high - alone.low)


def test_rate_covers_with_grouped_trials():
    random, hits, trials = np.random.default_rng(4), 0, 800
    groups = np.repeat(np.arange(60), 5).tolist()
    for _ in range(trials):
        chance = np.repeat(random.beta(2, 1, 60), 5)  # mean 2/3, alike inside a group
        hits += holds(rate(random.random(300) < chance, groups), 2 / 3)
    assert 0.93 <= hits / trials <= 0.97


def test_difference_of_rates_covers():
    random, hits, trials = np.random.default_rng(5), 0, 1000
    for _ in range(trials):
        hits += holds(difference_of_rates(random.random(80) < 0.9, random.random(120) < 0.2), 0.7)
    assert 0.93 <= hits / trials <= 0.975


def test_pairing_finds_what_two_intervals_hide():
    random = np.random.default_rng(6)
    hardness = random.normal(2.0, 1.0, 100)
    ours, baseline = hardness - 0.05, hardness + random.normal(0, 0.01, 100)
    assert paired_difference(baseline, ours).low > 0
    assert bootstrap(ours).high > bootstrap(baseline).low


@given(st.lists(st.floats(0.1, 9), min_size=2, max_size=30), st.floats(0.1, 5))
def test_estimates_lie_inside_and_scale(values, factor):
    one = bootstrap(values, repeats=200)
    assert one.low <= one.estimate + 1e-9 and one.estimate <= one.high + 1e-9
    scaled = bootstrap(np.array(values) * factor, repeats=200)
    assert scaled[:3] == pytest.approx([factor * bound for bound in one[:3]])


def test_ratio_is_of_sums_not_a_mean_of_ratios():
    found = ratio_of_sums([10.0, 1.0], [20.0, 1.0])
    assert found.estimate == 11 / 21
    assert (found.n, found.groups, found.confidence) == (2, 2, 0.95)


def test_paired_with_weights_is_the_difference_of_ratios():
    a, b, weights = np.array([3.0, 5, 9]), np.array([2.0, 5, 7]), np.array([1.0, 2, 4])
    found = paired_difference(a, b, weights=weights)
    assert found.estimate == pytest.approx(a.sum() / weights.sum() - b.sum() / weights.sum())


def test_same_seed_same_interval_and_order_of_groups_is_free():
    values = np.random.default_rng(7).normal(size=50)
    assert bootstrap(values, seed=3) == bootstrap(values, seed=3)
    assert bootstrap(values, seed=3) != bootstrap(values, seed=4)


def test_many_groups_are_drawn_in_pieces():
    values = np.random.default_rng(8).normal(size=3000)
    found = bootstrap(values, repeats=500)
    expected = scipy.stats.t.interval(0.95, 2999, values.mean(), scipy.stats.sem(values))
    assert (found.low, found.high) == pytest.approx(expected, abs=0.006)


@pytest.mark.parametrize("groups", [5, 10, 20, 200])
def test_percentiles_are_taken_at_students_level(groups):
    t = scipy.stats.t.ppf(0.975, groups - 1) * np.sqrt(groups / (groups - 1))
    assert -scipy.stats.norm.ppf(expanded_tail(0.95, groups)) == pytest.approx(t, rel=1e-9)


@pytest.mark.parametrize(("successes", "n"), [(0, 20), (3, 20), (19, 20), (20, 20)])
def test_wilson_agrees_with_scipy(successes, n):
    expected = scipy.stats.binomtest(successes, n).proportion_ci(method="wilson")
    assert wilson_interval(successes, n)[1:3] == pytest.approx(tuple(expected))


@given(st.lists(st.booleans(), min_size=1, max_size=20))
def test_rate_of_independent_trials_is_wilsons(values):
    assert rate(values)[:3] == pytest.approx(wilson_interval(sum(values), len(values))[:3])


def test_all_successes_do_not_make_certain():
    assert rate([1] * 6).low == wilson_interval(6, 6).low < 0.7
    assert rate([1] * 60, ["a", "b"] * 30).low == wilson_interval(2, 2).low
    assert difference_of_rates([1] * 5, [0] * 5).low < 0.5


def test_stretching_keeps_the_estimate_and_the_skew():
    wide = Interval(1.0, 0.9, 1.3, 0.95, 1000, 1000).widened(2 * 1.959964)
    assert (wide.estimate, wide.confidence) == (1.0, 0.95)
    assert (1.0 - wide.low) * 3 == pytest.approx(wide.high - 1.0)
    assert wide.low == pytest.approx(0.8, abs=0.003)
    few = Interval(1.0, 0.9, 1.3, 0.95, 1000, 10).widened(2 * 1.959964)
    assert few.low < 0.75  # ten groups know less of their own spread


def test_a_stretched_rate_is_wilsons_and_stays_a_share():
    found = wilson_interval(98, 100).widened(2.575829)
    assert found[1:3] == pytest.approx(wilson_interval(98, 100, confidence=0.99)[1:3])
    assert rate([1] * 30).widened(20.0).high == 1.0
    assert 0 <= rate([1, 1, 1, 0], ["a", "a", "b", "b"]).widened(20.0).low < 0.05


def test_skewed_values_are_followed_on_both_sides():
    random, above, below, trials = np.random.default_rng(9), 0, 0, 1000
    for _ in range(trials):
        found = bootstrap(random.exponential(size=200))
        above += found.low > 1
        below += found.high < 1
    assert 0.01 < above / trials < 0.035 and 0.015 < below / trials < 0.045


def test_values_that_hardly_vary_get_students_bounds():
    values = [0.0] * 29 + [1.0]
    found = bootstrap(values)
    expected = scipy.stats.t.interval(0.95, 29, np.mean(values), scipy.stats.sem(values))
    assert found[1:3] == pytest.approx(expected)
    two = bootstrap([1.0, 2.0])
    assert two[1:3] == pytest.approx(scipy.stats.t.interval(0.95, 1, 1.5, 0.5))


def test_equal_values_leave_no_doubt_however_they_are_rounded():
    assert bootstrap([0.1] * 7)[1:3] == pytest.approx((0.1, 0.1))
    same = paired_difference([0.3, 0.7, 0.9], [0.1, 0.5, 0.7])
    assert same.low == same.high == same.estimate


def test_bounds_are_cut_at_what_is_possible():
    values = [1.0, 1.0, 1.0, 0.9, 1.0, 0.2, 1.0, 0.8]
    assert bootstrap(values).high > 1 == bootstrap(values, limits=(0, 1)).high
    assert paired_difference(values, [0.0] * 8, limits=(-1, 1)).high == 1


@pytest.mark.parametrize("kind, call, message", [
    (DataError, lambda: bootstrap([]), "needs values; got none"),
    (DataError, lambda: bootstrap([1.0]), "at least 2 groups"),
    (DataError, lambda: bootstrap([1.0, 2.0], ["a", "a"]), "at least 2 groups"),
    (DataError, lambda: bootstrap([1.0, float("nan")]), r"values\[1\] is nan"),
    (DataError, lambda: bootstrap([1.0, 1e200]), r"values\[1\] is 1e\+200; give values up to"),
    (DataError, lambda: bootstrap([1.0, 2.0], ["a"]), "as many groups; got 1"),
    (DataError, lambda: bootstrap([1.0, 2.0], [["a"], ["b"]]), "names or numbers of groups"),
    (DataError, lambda: bootstrap([1.0, 2.0], weights=[1.0, -1.0]), r"weights\[1\] is below zero"),
    (DataError, lambda: bootstrap([1.0, 2.0, 3.0], weights=[1.0, 1.0, 0.0]), "no weight"),
    (DataError, lambda: bootstrap(np.array(["a", "b"])), "values must be numbers"),
    *((DataError, lambda values=values: bootstrap(values), r"values must be|values\[0\]")
      for values in ({0: 1.0, 1: 2.0}, [1j, 2j], np.array([1j, 2]), [None, 1], ["a", "b"])),
    (DataError, lambda: paired_difference([1.0, 2.0], [1.0]), "b must be 2 numbers"),
    (DataError, lambda: rate([0.5, 1.0]), "0 or 1"),
    (DataError, lambda: rate([]), "needs values"),
    (DataError, lambda: wilson_interval(3, 2), "3 of 2"),
    (DataError, lambda: wilson_interval(3, float("inf")), "finite n > 0"),
    *((ConfigError, lambda more=more: bootstrap([1.0, 2.0, 4.0], **more), told) for more, told in [
        ({"confidence": 95}, "confidence=95"),
        ({"limits": (float("nan"), 1)}, "limits="),
        ({"limits": (1, 0)}, "limits="),
        ({"repeats": 0}, "repeats=0"),
        ({"repeats": 1}, "repeats=1 must be 40 or more"),
        ({"repeats": 150, "confidence": 0.99}, "must be 200 or more"),
        ({"seed": -1}, "seed=-1"),
    ]),
])  # fmt: skip
def test_what_has_no_interval_says_why(kind, call, message):
    with unchecked(), pytest.raises(kind, match=message):
        call()


def test_values_outside_their_limits_are_refused():
    for values in ([1.5] * 50, [0.5, -0.1]):
        with pytest.raises(DataError, match=r"within the limits \(0, 1\); got"):
            bootstrap(values, limits=(0, 1))
    with pytest.raises(DataError, match="within the limits"):
        paired_difference([0.1, 0.5], [0.2, 0.3], limits=(0, 1))  # of the difference: (-1, 1)


def test_equal_values_with_limits_leave_room_for_what_was_not_seen():
    """The more equal values, the less room; a single other one does not close it."""
    widths = [
        paired_difference([1.0] * n, [1.0] * n, limits=(-1, 1)).high for n in (2, 20, 100, 1000)
    ]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] == 1.0 and widths[2] == pytest.approx(0.0362, abs=1e-3)
    assert (
        bootstrap([0.3, 0.3], limits=(0, 1)).low < 0.3 < bootstrap([0.3, 0.3], limits=(0, 1)).high
    )
    one = paired_difference([1.0] * 99 + [0.0], [1.0] * 100, limits=(-1, 1))
    assert one.low < -0.03
    without = paired_difference([1.0] * 20, [1.0] * 20)
    assert (without.low, without.high) == (0, 0)


def test_many_different_values_are_not_widened_by_their_limits():
    values = np.random.default_rng(1).random(300)
    assert bootstrap(values, limits=(0, 1))[:3] == bootstrap(values)[:3]
    assert bootstrap(values, limits=(-9, 9)).low < bootstrap(values).low  # one of 300 may be -9


def test_large_groups_that_are_rarely_hit_weigh_like_many():
    """One group of 100 beside 400 of one: what was not seen of the large one may be all of it."""
    groups = [*range(400), *[400] * 100]
    found = paired_difference([1.0] * 500, [1.0] * 500, groups, limits=(-1, 1))
    alone = paired_difference([1.0] * 500, [1.0] * 500, limits=(-1, 1))
    assert found.low < 3 * alone.low


def test_stretched_bounds_stay_within_the_limits():
    values = [0.1, 0.9, 0.4, 0.6, 0.2]
    found = bootstrap(values, limits=(0, 1)).widened(9.0)
    assert (found.low, found.high) == (0, 1) and bootstrap(values).widened(9.0).high > 1


def test_a_group_with_most_answers_moves_the_bounds_to_exact_ones():
    """By as much as it has of all; what it does, the share does in one step."""
    ones = [1.0] * 85 + [0.0] * 5 + [1.0] * 10
    large = rate(ones, ["a"] * 90 + [f"b{i}" for i in range(10)])
    plain = wilson_interval(large.estimate * large.trials, large.trials)
    assert large.low < plain.low and large.high > plain.high + 0.003


def test_room_for_the_unseen_is_stretched_as_the_chance_asks():
    """At half the tail it is what an interval of that confidence leaves."""
    found = paired_difference([1.0] * 400, [1.0] * 400, limits=(-1, 1))
    wide = paired_difference([1.0] * 400, [1.0] * 400, limits=(-1, 1), confidence=0.9875)
    stretched = found.widened(z_value(0.9875))
    assert stretched.low == pytest.approx(wide.low, rel=0.01)
    assert stretched.high == pytest.approx(wide.high, rel=0.01)
