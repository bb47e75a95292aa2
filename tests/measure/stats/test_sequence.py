"""Bounds hold at every look at once, however many candidates come and whatever was seen."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import ConfigError, DataError
from groundup.measure.stats.interval import wilson_interval
from groundup.measure.stats.sequence import (
    MeanConfidenceSequence,
    RateConfidenceSequence,
    RunningMoments,
    _bet_sizes,
    _log_growth,
    _mixture_capital,
    reuse_standard_errors,
)
from tests.checking import unchecked


def test_looking_all_the_time_is_wrong_at_most_one_time_in_twenty():
    random, looks = np.random.default_rng(8), 400
    ones = (random.random((1500, looks)) < 0.3).astype(float)
    sums, n = ones.cumsum(axis=1), np.arange(1, looks + 1)
    out = _mixture_capital(sums, n, 0.3) >= np.log(20)
    assert out.any(axis=1).mean() <= 0.06
    fixed = np.abs(sums / n - 0.3) > 1.96 * np.sqrt(0.21 / n)
    assert fixed[:, 20:].any(axis=1).mean() > 0.25  # what looking at plain intervals would do


def test_bets_on_paired_differences_are_lost_as_rarely():
    random = np.random.default_rng(9)
    values = (random.choice([-1.0, 0.0, 1.0], (1500, 400), p=[0.05, 0.85, 0.1]) + 1) / 2
    sizes, _ = _bet_sizes(values, RunningMoments(0, np.zeros(1500), np.zeros(1500)), 0.95)
    for sign in (1, -1):
        capital = _log_growth(values, sizes, (0.05 + 1) / 2, sign).cumsum(axis=1)
        assert (capital >= np.log(40)).any(axis=1).mean() <= 0.035


def test_a_sequence_is_wider_than_an_interval_but_not_by_much():
    random = np.random.default_rng(10)
    ones = (random.random(2000) < 0.3).astype(float)
    found, fixed = RateConfidenceSequence().update(ones), wilson_interval(ones.sum(), 2000)
    assert 1.2 < (found.high - found.low) / (fixed.high - fixed.low) < 2


def test_values_that_vary_little_make_it_narrow():
    differences = [0, 0, 0, 0, 0, 0, 0, 1, 0, -1] * 100
    narrow = MeanConfidenceSequence(-1, 1).update(differences)
    wide = RateConfidenceSequence().update([(one + 1) / 2 for one in differences])
    assert narrow.high - narrow.low < 2 * (wide.high - wide.low) * 0.6


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.integers(1, 10))
def test_how_values_come_does_not_matter_for_bets(values, size):
    together, apart = MeanConfidenceSequence(0, 1), MeanConfidenceSequence(0, 1)
    whole = together.update(values)
    for start in range(0, len(values), size):
        parts = apart.update(values[start : start + size])
    assert parts[:3] == pytest.approx(whole[:3])


def test_bounds_never_widen_and_hold_the_mean():
    random, sequence, before = np.random.default_rng(11), RateConfidenceSequence(), (0.0, 1.0)
    for _ in range(50):
        found = sequence.update((random.random(20) < 0.8).astype(float))
        assert before[0] <= found.low <= found.estimate <= found.high <= before[1]
        before = (found.low, found.high)


def test_one_mean_is_out_when_its_capital_reached_the_limit():
    random = np.random.default_rng(12)
    values = random.random(300) ** 2
    sequence = MeanConfidenceSequence(0, 1)
    found = sequence.update(values)
    sizes, _ = _bet_sizes(values, RunningMoments(0, np.zeros(()), np.zeros(())), 0.95)
    for mean in sequence.grid[1:-1:37]:
        most = [_log_growth(values, sizes, mean, sign).cumsum().max() for sign in (1, -1)]
        assert (max(most) >= sequence.limit) == (mean <= found.low or mean >= found.high)


def test_constant_values_and_no_values():
    ones = RateConfidenceSequence().update([1] * 100)
    assert ones.high == 1 and 0.9 < ones.low < 1
    assert RateConfidenceSequence().update([])[:3] == (0.5, 0, 1)
    assert MeanConfidenceSequence(-1, 1).update([])[:3] == (0, -1, 1)
    zeros = MeanConfidenceSequence(-1, 1).update([0] * 500)
    assert zeros.low < 0 < zeros.high and zeros.high - zeros.low < 0.1


def test_what_lies_outside_the_range_is_refused():
    with pytest.raises(DataError, match=r"values\[1\] is 2, outside 0 to 1"):
        RateConfidenceSequence().update([1, 2])
    with pytest.raises(DataError, match="outside -1 to 1"):
        MeanConfidenceSequence(-1, 1).update([-1.5])
    with pytest.raises(DataError, match="is nan"):
        RateConfidenceSequence().update([float("nan")])
    for ends in ((1, 0), (0, float("inf")), (float("nan"), 1), (-1e308, 1e308)):
        with pytest.raises(ConfigError, match="range"):
            MeanConfidenceSequence(*ends)
    with pytest.raises(ConfigError, match="such as 0.95"):
        RateConfidenceSequence(1.0)


def test_the_first_look_is_the_usual_interval():
    for seen in ("scores", "verdicts"):
        assert reuse_standard_errors(1, 0.95, seen) == pytest.approx(1.959964, abs=1e-6)
        assert reuse_standard_errors(1, 0.99, seen) == pytest.approx(2.575829, abs=1e-6)


def test_the_levels_of_all_looks_add_up_to_the_level():
    spent = [scipy.stats.norm.sf(reuse_standard_errors(k, seen="verdicts")) for k in range(1, 2001)]
    assert sum(spent) == pytest.approx(0.05, abs=1e-4) and sum(spent) < 0.05


def test_more_looks_and_more_seen_ask_for_more():
    scores = [reuse_standard_errors(k) for k in range(1, 60)]
    verdicts = [reuse_standard_errors(k, seen="verdicts") for k in range(1, 60)]
    assert scores == sorted(scores) and verdicts == sorted(verdicts)
    assert all(s > v for s, v in zip(scores[1:], verdicts[1:], strict=True))


def test_the_best_use_of_scores_passes_as_often_as_stated_and_no_more():
    # The noise along what was seen has length r; of all directions the best one has cosine r / t.
    random, k = np.random.default_rng(3), 6
    t = reuse_standard_errors(k, 0.5)  # a level that shows in a simulation
    seen = np.sqrt((random.normal(size=(200_000, k - 1)) ** 2).sum(axis=1))
    cosine = np.minimum(1, seen / t)
    found = cosine * seen + np.sqrt(1 - cosine**2) * random.normal(size=len(seen))
    level = 0.5 / (k * (k + 1))
    assert (found > t * (1 - 1e-12)).mean() == pytest.approx(level, rel=0.1)
    for other in (0.0, 0.5, 1.0):
        found = other * seen + np.sqrt(1 - other**2) * random.normal(size=len(seen))
        assert (found > t).mean() <= level


def test_bad_questions():
    with pytest.raises(ConfigError, match="1 for the first"):
        reuse_standard_errors(0)
    with pytest.raises(ConfigError, match="0.95"):
        reuse_standard_errors(2, 1.0)


def test_what_was_seen_is_one_of_two():
    with unchecked(), pytest.raises(ConfigError, match="did you mean `scores`"):
        reuse_standard_errors(2, seen="score")
