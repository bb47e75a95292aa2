"""Laws are found again: planted ones to the digit, Chinchilla's as others found it."""

import csv

import numpy as np
import pytest
from scipy import optimize

from groundup.core import DataError
from groundup.train.scaling.laws import (
    HUBER_DELTA,
    LossPoints,
    ScalingLaw,
    coefficients,
    fit_law,
    refit_law,
)
from tests.train.scaling.ladders import TRUTH, synthetic

EPOCH = {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658}
"""Besiroglu et al. 2024, table 1, from the same points."""


def points(noise=0.0, seed=0) -> LossPoints:
    runs = synthetic(noise, seed)
    columns = ([run.computing for run in runs], [run.tokens for run in runs])
    return LossPoints(
        *(np.array(each, float) for each in columns), np.array([r.loss for r in runs])
    )


@pytest.fixture(scope="module")
def chinchilla() -> LossPoints:
    from tests.conftest import ROOT

    with open(ROOT / "tests/fixtures/chinchilla/runs.csv", encoding="utf-8") as file:
        rows = [[float(cell) for cell in row.values()] for row in csv.DictReader(file)]
    n, flops, loss = np.array(sorted(rows, key=lambda row: row[2])[:-5]).T
    return LossPoints(n, flops / (6 * n), loss)


def misfit(theta, x, y, wanted) -> float:
    """The objective of Hoffmann et al., written once more."""
    e, a, b, alpha, beta = theta
    law = np.log(np.exp(e) + np.exp(a - alpha * x) + np.exp(b - beta * y))
    away = np.abs(law - wanted)
    return np.where(away <= HUBER_DELTA, away**2 / 2, HUBER_DELTA * (away - HUBER_DELTA / 2)).sum()


def test_a_planted_law_is_found_to_the_digit():
    assert fit_law("parametric", points()).coefficients() == pytest.approx(TRUTH, rel=1e-4)


def test_planted_laws_of_kaplan_are_found():
    n, d = (
        each.ravel() for each in np.meshgrid(np.geomspace(1e6, 1e8, 5), np.geomspace(1e7, 1e9, 4))
    )
    truth = {"Nc": 8.8e13, "Dc": 5.4e13, "alpha_N": 0.076, "alpha_D": 0.095}
    loss = ((truth["Nc"] / n) ** (0.076 / 0.095) + truth["Dc"] / d) ** 0.095
    assert fit_law("kaplan", LossPoints(n, d, loss)).coefficients() == pytest.approx(
        truth, rel=1e-3
    )
    floor = fit_law("kaplan_floor", LossPoints(n, d, loss + 1.5)).coefficients()
    assert floor == pytest.approx(truth | {"E": 1.5}, rel=1e-2)


@pytest.mark.parametrize("form, E", [("power", 0.0), ("power_floor", 1.7)])
def test_a_planted_power_of_compute_is_found(form, E):
    c = np.geomspace(1e12, 1e16, 6)
    found = fit_law(form, LossPoints(c, np.ones(6), E + (3e18 / c) ** 0.15)).coefficients()
    truth = {"xc": 3e18, "alpha": 0.15} | ({"E": E} if E else {})
    assert found == pytest.approx(truth, rel=1e-3)


def test_chinchilla_is_found_as_besiroglu_and_others_found_it(chinchilla):
    law = fit_law("parametric", chinchilla)
    found = law.coefficients()
    for name, near in (("E", 0.002), ("alpha", 0.005), ("beta", 0.005), ("A", 0.03), ("B", 0.04)):
        assert found[name] == pytest.approx(EPOCH[name], rel=near), name
    x, y = np.log(chinchilla.parameters), np.log(chinchilla.tokens)
    logs = np.log(chinchilla.loss)
    theirs = [np.log(EPOCH["E"]), np.log(EPOCH["A"]), np.log(EPOCH["B"]), 0.34781303, 0.36585412]
    ours = [np.log(found["E"]), np.log(found["A"]), np.log(found["B"]), *law.theta[3:]]
    assert misfit(ours, x, y, logs) <= misfit(theirs, x, y, logs)
    published = [np.log(1.69), np.log(406.4), np.log(410.7), 0.34, 0.28]
    assert misfit(ours, x, y, logs) < 0.5 * misfit(published, x, y, logs)


def test_no_start_of_scipy_ends_lower():
    noisy = points(0.005, seed=3)
    law = fit_law("parametric", noisy)
    x, y = np.log(noisy.parameters) - law.centre[0], np.log(noisy.tokens) - law.centre[1]
    logs = np.log(noisy.loss)
    rng = np.random.default_rng(0)
    begins = rng.uniform([-1, -1, -1, 0, 0], [1.5, 1.5, 1.5, 1, 1], (8, 5))
    options = {"ftol": 1e-15, "gtol": 1e-12}
    ends = [
        optimize.minimize(misfit, begin, (x, y, logs), method="L-BFGS-B", options=options).fun
        for begin in begins
    ]
    assert misfit(law.theta, x, y, logs) <= min(ends) * (1 + 1e-6)


def test_refitting_to_the_same_losses_changes_nothing_and_to_others_something():
    noisy = points(0.005)
    law = fit_law("parametric", noisy)
    logs = np.log(np.stack([noisy.loss, points(0.005, seed=1).loss]))
    again = refit_law(law, noisy, logs)
    assert again[0] == pytest.approx(law.theta, abs=1e-4)
    other = coefficients("parametric", law.centre, again[1])
    assert other == pytest.approx(
        fit_law("parametric", points(0.005, seed=1)).coefficients(), rel=0.02
    )


def test_a_law_says_at_any_place_what_its_numbers_say():
    law = ScalingLaw("parametric", (10.0, 12.0), (0.1, 0.2, 0.3, 0.4, 0.5))
    c = law.coefficients()
    by_hand = c["E"] + c["A"] / 1e6**0.4 + c["B"] / 1e7**0.5
    assert law.loss(1e6, 1e7) == pytest.approx(by_hand)


def test_too_few_runs_and_losses_that_are_none_are_told():
    few = LossPoints(*(column[:4] for column in points()))
    with pytest.raises(DataError, match="5 parameters, but there are only 4 runs"):
        fit_law("parametric", few)
    bad = points()
    bad.loss[2] = np.nan
    with pytest.raises(DataError, match="above 0"):
        fit_law("parametric", bad)
