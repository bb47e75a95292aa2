"""Bounds hold at every look at once."""

import numpy as np
import pytest
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
)


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
