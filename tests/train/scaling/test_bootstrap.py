"""Intervals hold the truth as often as they say."""

import numpy as np
import pytest

from groundup.train.scaling.bootstrap import (
    BootstrappedLaw,
    _inflate_residuals,
    bootstrap_law,
    bootstrap_quantiles,
    interval_to_json,
    predict_loss,
)
from groundup.train.scaling.laws import LossPoints, fit_law, refit_law
from tests.train.scaling.ladders import TRUTH, law, synthetic
from tests.train.scaling.test_laws import points

NOISE = 0.005
PLACE = (3.0e6, 1.0e7)
"""Weights and tokens of a run of four times the largest budget."""


def held(seeds: range, count: int) -> dict[str, float]:
    """Share of seeds whose interval holds the truth: exponents, the law, and a further run."""
    first = fit_law("parametric", points(NOISE))
    truth = float(law(*PLACE))
    rng = np.random.default_rng(7)
    hits: dict[str, list[bool]] = {"alpha": [], "beta": [], "law": [], "run": []}
    for seed in seeds:
        known: LossPoints = points(NOISE, seed)
        theta = refit_law(first, known, np.log(known.loss)[None])[0]
        found = bootstrap_law(first._replace(theta=tuple(theta.tolist())), known, count, seed)
        for name, column in (("alpha", 3), ("beta", 4)):
            interval = bootstrap_quantiles(theta[column], found.thetas[:, column])
            hits[name].append(interval.low <= TRUTH[name] <= interval.high)
        interval = predict_loss(found, *PLACE, of_run=False)
        hits["law"].append(interval.low <= truth <= interval.high)
        interval = predict_loss(found, *PLACE)
        run = truth * np.exp(NOISE * rng.standard_normal())
        hits["run"].append(interval.low <= run <= interval.high)
    return {name: float(np.mean(values)) for name, values in hits.items()}


def test_intervals_hold_the_truth_in_most_of_a_few_sweeps():
    shares = held(range(12), 60)
    assert min(shares["law"], shares["run"]) >= 0.75  # of 1,000 such dozens 2 have fewer at 95 %
    assert min(shares.values()) >= 0.5


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_intervals_hold_the_truth_as_often_as_they_say():
    shares = held(range(1000, 1100), 150)
    print(shares)
    assert all(0.88 <= share <= 1 for share in shares.values()), shares  # 3 errors of 100 sweeps


def test_the_same_seed_draws_the_same_and_another_does_not():
    known = points(NOISE)
    found = fit_law("parametric", known)
    one, same, other = (bootstrap_law(found, known, 60, seed) for seed in (0, 0, 1))
    assert (one.thetas == same.thetas).all() and not (one.thetas == other.thetas).all()


def test_a_run_is_less_sure_than_the_law_and_more_resamples_do_not_change_that():
    known = points(NOISE)
    found = bootstrap_law(fit_law("parametric", known), known, 200)
    run, mean = predict_loss(found, *PLACE), predict_loss(found, *PLACE, of_run=False)
    assert run.low < mean.low < mean.estimate < mean.high < run.high
    assert run.estimate == mean.estimate and run.half_width > mean.half_width


def test_without_noise_the_interval_has_no_width():
    known = LossPoints(*points())
    found: BootstrappedLaw = bootstrap_law(fit_law("parametric", known), known, 50)
    assert predict_loss(found, *PLACE).half_width < 1e-4


def test_residuals_are_stretched_by_what_the_law_used_up():
    assert _inflate_residuals(np.array([1.0, -1.0] * 4), 3) == pytest.approx([2.0, -2.0] * 4)


def test_what_is_no_number_is_left_out_and_told_as_nothing():
    draws = np.array([1.0, np.nan, 3.0])
    assert bootstrap_quantiles(2.0, draws) == (2.0, 1.0, 3.0)
    assert interval_to_json(bootstrap_quantiles(2.0, np.array([np.nan]))) == [2.0, None, None]
    assert interval_to_json(bootstrap_quantiles(2.0, np.array([np.inf, np.inf]))) == [
        2.0,
        None,
        None,
    ]


def test_seeds_of_the_ladder_differ():
    assert synthetic(NOISE, 1)[0].loss != synthetic(NOISE, 2)[0].loss
