"""What a plan promises is what happens."""

import numpy as np
import pytest

from groundup.core import ConfigError, Reason
from groundup.measure.stats.interval import paired_difference
from groundup.measure.stats.power import (
    insufficient_data,
    power_of_mean,
    power_of_paired_rates,
    power_of_rates,
    required_sample_size,
)
from groundup.measure.stats.significance import mcnemar_test


def test_mcnemar_finds_as_often_as_planned():
    random, found, trials = np.random.default_rng(6), 0, 1500
    for _ in range(trials):
        kind = random.choice(3, size=150, p=[0.12, 0.04, 0.84])
        test = mcnemar_test(kind == 0, kind == 1)
        found += not isinstance(test, Reason) and test.p <= 0.05
    assert found / trials == pytest.approx(power_of_paired_rates(150, 0.12, 0.04), abs=0.035)


def test_without_a_difference_the_power_is_the_level():
    assert power_of_mean(100, 0.0, 1.0) == pytest.approx(0.05)
    assert power_of_rates(100, 0.5, 0.5) == pytest.approx(0.05)
    assert power_of_paired_rates(400, 0.1, 0.1) == pytest.approx(0.05, abs=0.005)
    assert power_of_paired_rates(400, 0.1, 0.1, mid_p=False) < 0.045


def test_an_interval_shows_that_ours_is_not_worse_as_often_as_planned():
    random, passed, trials = np.random.default_rng(7), 0, 400
    for _ in range(trials):
        difference = random.normal(0, 0.3, 200)
        passed += paired_difference(difference, np.zeros(200)).low > -0.05
    assert passed / trials == pytest.approx(power_of_mean(200, 0, 0.3, margin=0.05), abs=0.06)


def test_a_model_worse_by_the_margin_passes_on_one_side_of_the_level():
    assert power_of_mean(500, -0.05, 0.3, margin=0.05) == pytest.approx(0.025)
    assert power_of_rates(500, 0.75, 0.80, margin=0.05) == pytest.approx(0.025)


def test_more_items_find_more_and_the_number_needed_is_the_first_that_does():
    for plan in (
        lambda n: power_of_mean(n, 0.02, 0.2),
        lambda n: power_of_rates(n, 0.8, 0.85),
        lambda n: power_of_mean(n, 0.0, 0.2, margin=0.01),
    ):
        number = required_sample_size(plan)
        assert plan(number - 1) < 0.8 <= plan(number)


def test_what_no_number_finds_has_a_reason():
    found = required_sample_size(lambda n: power_of_mean(n, 0.0, 1.0))
    assert isinstance(found, Reason) and found.code == "never_enough"
    assert insufficient_data(10, lambda n: power_of_mean(n, 0.0, 1.0)).code == "never_enough"


def test_enough_items_need_no_sentence():
    assert insufficient_data(2000, lambda n: power_of_mean(n, 0.02, 0.3)) is None
    assert "n = 1,766" in insufficient_data(50, lambda n: power_of_mean(n, 0.02, 0.3)).message


def test_every_item_may_differ():
    assert power_of_paired_rates(30, 1.0, 0.0) == pytest.approx(1.0)
    assert power_of_paired_rates(4, 1.0, 0.0, mid_p=False) == 0


@pytest.mark.parametrize(
    "call",
    [
        lambda: power_of_mean(0, 0.1, 1.0),
        lambda: power_of_mean(10, 0.1, 0.0),
        lambda: power_of_mean(10, float("nan"), 1.0),
        lambda: power_of_mean(10, 0.1, float("nan")),
        lambda: required_sample_size(lambda n: 0.5, target=2),
        lambda: power_of_mean(10, 0.1, 1.0, sides=3),
        lambda: power_of_mean(10, 0.1, 1.0, margin=float("nan")),
        lambda: power_of_mean(10, 0.1, 1.0, level=5),
        lambda: power_of_rates(10, 1.0, 0.5),
        lambda: power_of_paired_rates(10, 0.0, 0.0),
        lambda: power_of_paired_rates(10, 0.7, 0.7),
        lambda: power_of_paired_rates(10, -0.1, 0.7),
    ],
)
def test_plans_that_cannot_be_are_refused(call):
    with pytest.raises(ConfigError):
        call()


def test_many_items_that_differ_are_taken_as_normal_without_a_step():
    below, above = (
        power_of_paired_rates(39_990, 0.13, 0.12),
        power_of_paired_rates(40_010, 0.13, 0.12),
    )
    assert above == pytest.approx(below, abs=0.001)
    assert power_of_paired_rates(10**8, 1.0, 0.0) == 1.0
    found = required_sample_size(lambda n: power_of_paired_rates(n, 0.2501, 0.25))
    # z² / difference² times the share that differs: 7.849 * 0.5001 / 1e-8, more than are tried
    assert isinstance(found, Reason) and found.code == "never_enough"
    assert required_sample_size(lambda n: power_of_paired_rates(n, 0.251, 0.25)) == pytest.approx(
        3.93e6, rel=0.01
    )


@pytest.mark.parametrize("wrong", [float("nan"), 2.0, -0.1])
def test_what_is_no_chance_is_no_power(wrong):
    for call in (required_sample_size, lambda power: insufficient_data(5, power)):
        with pytest.raises(ConfigError, match="must lie from 0 to 1"):
            call(lambda n: wrong)
