"""What a model states is held against what came true, beside what chance alone would show."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import ConfigError, DataError
from groundup.measure.stats.calibration import (
    brier_score,
    calibration_error,
    reliability,
    reliability_diagram,
)
from tests.checking import unchecked

FORECASTS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=1, max_size=60)


@given(FORECASTS, st.integers(1, 12), st.sampled_from(["width", "mass"]))
def test_the_parts_of_the_brier_score_add_up(forecasts, bins, by):
    stated, came = zip(*forecasts, strict=True)
    found = brier_score(list(stated), list(came), bins=bins, by=by)
    parts = found.reliability - found.resolution + found.uncertainty + found.within
    assert found.score == pytest.approx(parts, abs=1e-12)
    assert found.score == pytest.approx(np.mean((np.array(stated) - came) ** 2), abs=1e-12)


def test_distinct_probabilities_leave_nothing_within():
    found = brier_score([0.1, 0.1, 0.9, 0.9], [0, 0, 1, 0])
    assert found.within == pytest.approx(0)
    assert (found.reliability, found.resolution) == pytest.approx((0.085, 0.0625))


@given(FORECASTS, st.integers(1, 12), st.sampled_from(["width", "mass"]))
def test_every_prediction_lies_in_one_bin(forecasts, bins, by):
    stated, came = (list(side) for side in zip(*forecasts, strict=True))
    table = reliability(stated, came, bins=bins, by=by)
    assert sum(one.n for one in table) == len(stated)
    error = calibration_error(stated, came, bins=bins, by=by)
    expected = sum(one.n * abs(one.predicted - one.observed.estimate) for one in table) / len(
        stated
    )
    assert error.value == pytest.approx(expected, abs=1e-12)
    assert 0 < error.p <= 1


def test_an_edge_belongs_to_the_bin_below():
    table = reliability([0.0, 0.5, 0.500001, 1.0], [0, 1, 0, 1], bins=2)
    assert [(one.low, one.high, one.n) for one in table] == [(0.0, 0.5, 2), (0.5, 1.0, 2)]


def test_equal_mass_bins_hold_equally_many():
    stated = np.linspace(0, 1, 100) ** 3
    assert {one.n for one in reliability(stated, np.zeros(100), bins=10, by="mass")} == {10}


def test_a_calibrated_model_is_not_blamed_for_few_predictions():
    random, blamed = np.random.default_rng(17), 0
    for _ in range(100):
        stated = random.random(100)
        found = calibration_error(stated, (random.random(100) < stated).astype(float))
        blamed += found.p <= 0.05
        assert found.value > 0.03 and 0.05 < found.by_chance < 0.2  # though it is calibrated
    assert blamed <= 12


def test_a_boastful_model_is_found_out():
    random = np.random.default_rng(18)
    stated = 0.8 + 0.2 * random.random(300)
    found = calibration_error(stated, (random.random(300) < stated - 0.2).astype(float))
    assert found.value == pytest.approx(0.2, abs=0.07) and found.p < 0.01
    assert found.signature == "ece|bins:15|by:width"


def test_the_debiased_square_is_right_on_average():
    random, found = np.random.default_rng(19), []
    for _ in range(300):
        stated = random.choice([0.2, 0.6], 60)
        came = (random.random(60) < stated + 0.1).astype(float)
        found.append(calibration_error(stated, came).debiased_square)
    assert np.mean(found) == pytest.approx(0.01, abs=0.0015)


def test_the_picture_shows_every_bin_its_interval_and_the_diagonal():
    drawn = str(
        reliability_diagram("Calibration of answers", reliability([0.2, 0.3, 0.9], [0, 1, 1]))
    )
    for words in ("Calibration of answers", "calibrated", "observed", "stated probability", "band"):
        assert words in drawn


def test_one_prediction_and_certain_ones():
    assert calibration_error([1.0], [1]).value == 0
    assert calibration_error([1.0, 0.0], [0, 1]).value == 1
    assert brier_score([1.0], [0]).score == 1


@pytest.mark.parametrize("measure", [reliability, calibration_error, brier_score])
def test_bad_input_is_refused(measure):
    with pytest.raises(DataError, match="got none"):
        measure([], [])
    with pytest.raises(DataError, match="outcomes must be 2"):
        measure([0.1, 0.2], [1])
    with pytest.raises(DataError, match="is nan"):
        measure([float("nan")], [1])
    with pytest.raises(DataError, match="sigmoid"):
        measure([1.5], [1])
    with pytest.raises(DataError, match="0 or 1"):
        measure([0.5], [2])
    with pytest.raises(ConfigError, match="bins=0"):
        measure([0.5], [1], bins=0)


def test_unknown_bins_are_refused():
    with unchecked(), pytest.raises(ConfigError, match="by='size' is unknown"):
        reliability([0.5], [1], by="size")
