"""Laws and frontiers are found again, and intervals hold the truth as often as they say."""

import csv
import functools

import numpy as np
import pytest
from scipy import optimize

from groundup.core import DataError
from groundup.train.scaling.laws import (
    HUBER_DELTA,
    BootstrappedLaw,
    Frontier,
    LossPoints,
    ScalingLaw,
    _inflate_residuals,
    _log_slope,
    _optimal_allocation,
    bootstrap_law,
    bootstrap_quantiles,
    coefficients,
    envelope_frontier,
    fit_law,
    interval_to_json,
    isoflop_frontier,
    parametric_frontier,
    predict_loss,
    refit_law,
)
from groundup.train.scaling.sweep import LossCurve, SweepRun
from tests.train.scaling.ladders import TRUTH, law, synthetic

EPOCH = {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658}
"""Besiroglu et al. 2024, table 1, from the same points."""


def points(noise=0.0, seed=0) -> LossPoints:
    runs = synthetic(noise, seed)
    columns = ([run.computing for run in runs], [run.tokens for run in runs])
    return LossPoints(
        *(np.array(each, float) for each in columns), np.array([r.loss for r in runs])
    )


@functools.cache
def fitted(noise=0.0, seed=0) -> ScalingLaw:
    """The law of these points, fitted once for all tests: it takes a second."""
    return fit_law(points(noise, seed))


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
    assert fitted().coefficients() == pytest.approx(TRUTH, rel=1e-4)


def test_chinchilla_is_found_as_besiroglu_and_others_found_it(chinchilla):
    law = fit_law(chinchilla)
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
    law = fitted(0.005, seed=3)
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
    law = fitted(0.005)
    logs = np.log(np.stack([noisy.loss, points(0.005, seed=1).loss]))
    again = refit_law(law, noisy, logs)
    assert again[0] == pytest.approx(law.theta, abs=1e-4)
    other = coefficients(law.centre, again[1])
    assert other == pytest.approx(fitted(0.005, seed=1).coefficients(), rel=0.02)


def test_a_law_says_at_any_place_what_its_numbers_say():
    law = ScalingLaw((10.0, 12.0), (0.1, 0.2, 0.3, 0.4, 0.5))
    c = law.coefficients()
    by_hand = c["E"] + c["A"] / 1e6**0.4 + c["B"] / 1e7**0.5
    assert law.loss(1e6, 1e7) == pytest.approx(by_hand)


def test_too_few_runs_and_losses_that_are_none_are_told():
    few = LossPoints(*(column[:4] for column in points()))
    with pytest.raises(DataError, match="5 parameters, but there are only 4 runs"):
        fit_law(few)
    bad = points()
    bad.loss[2] = np.nan
    with pytest.raises(DataError, match="above 0"):
        fit_law(bad)


NOISE = 0.005
PLACE = (3.0e6, 1.0e7)
"""Weights and tokens of a run of four times the largest budget."""


def held(seeds: range, count: int) -> dict[str, float]:
    """Share of seeds whose interval holds the truth: exponents, the law, and a further run."""
    first = fitted(NOISE)
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
    shares = held(range(8), 30)
    assert min(shares["law"], shares["run"]) >= 0.75  # 3 of 8 miss in 6 of 1,000 draws
    assert min(shares.values()) >= 0.5


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_intervals_hold_the_truth_as_often_as_they_say():
    shares = held(range(1000, 1100), 150)
    print(shares)
    assert all(0.88 <= share <= 1 for share in shares.values()), shares  # 3 errors of 100 sweeps


def test_the_same_seed_draws_the_same_and_another_does_not():
    known = points(NOISE)
    found = fitted(NOISE)
    one, same, other = (bootstrap_law(found, known, 10, seed) for seed in (0, 0, 1))
    assert (one.thetas == same.thetas).all() and not (one.thetas == other.thetas).all()


def test_a_run_is_less_sure_than_the_law_and_more_resamples_do_not_change_that():
    known = points(NOISE)
    found = bootstrap_law(fitted(NOISE), known, 100)
    run, mean = predict_loss(found, *PLACE), predict_loss(found, *PLACE, of_run=False)
    assert run.low < mean.low < mean.estimate < mean.high < run.high
    assert run.estimate == mean.estimate and run.half_width > mean.half_width


def test_without_noise_the_interval_has_no_width():
    known = LossPoints(*points())
    found: BootstrappedLaw = bootstrap_law(fitted(), known, 10)
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


BUDGETS = np.array([1e13, 1e14, 1e15])


def grid(spread: float = 4.0) -> tuple[LossPoints, np.ndarray]:
    """Five sizes around the true optimum of each budget, C = 6 N D."""
    best = _optimal_allocation(TRUTH, BUDGETS / 6)[0]
    n = (best[:, None] * np.geomspace(1 / spread, spread, 5)).ravel()
    c = np.repeat(BUDGETS, 5)
    d = c / 6 / n
    t = TRUTH
    return LossPoints(n, d, t["E"] + t["A"] / n ** t["alpha"] + t["B"] / d ** t["beta"]), c


def planted() -> BootstrappedLaw:
    t = TRUTH
    theta = (np.log(t["E"]), np.log(t["A"]), np.log(t["B"]), t["alpha"], t["beta"])
    law = ScalingLaw((0.0, 0.0), tuple(map(float, theta)))
    return BootstrappedLaw(law, np.array([theta, theta]), np.zeros(1), np.zeros((0, 1)))


def test_the_optimum_beats_its_neighbours_and_spends_the_budget():
    n, d, loss = _optimal_allocation(TRUTH, np.array([1e13]))
    assert n * d == pytest.approx([1e13])
    for factor in (0.9, 1.1):
        m = n * factor
        t = TRUTH
        other = t["E"] + t["A"] / m ** t["alpha"] + t["B"] / (1e13 / m) ** t["beta"]
        assert other > loss


def test_parabolas_find_the_optimum_of_each_budget():
    points, budgets = grid()
    found = isoflop_frontier(points, budgets, np.log(points.loss)[None])
    n, d, loss = _optimal_allocation(TRUTH, BUDGETS / 6)
    assert found.parameters[0] == pytest.approx(n, rel=0.03)
    assert found.tokens[0] == pytest.approx(d, rel=0.03)
    assert found.loss[0] == pytest.approx(loss, rel=0.005)


def test_exponents_are_those_of_the_law():
    points, budgets = grid()
    a = TRUTH["beta"] / (TRUTH["alpha"] + TRUTH["beta"])
    for found in (
        isoflop_frontier(points, budgets, np.log(points.loss)[None]),
        parametric_frontier(planted(), BUDGETS, 6.0),
    ):
        of_weights, of_tokens = found.exponents()
        assert of_weights[0] == pytest.approx(a, abs=0.01)
        assert of_tokens[0] == pytest.approx(1 - a, abs=0.01)


def test_a_budget_whose_curve_has_no_lowest_place_near_its_sizes_has_none():
    points, budgets = grid()
    far = points._replace(
        loss=np.where(budgets == 1e14, 20 - np.log(points.parameters), points.loss)
    )
    found = isoflop_frontier(far, budgets, np.log(far.loss)[None])
    assert np.isnan(found.parameters[0]).tolist() == [False, True, False]
    assert np.isfinite(found.exponents()[0][0])


def test_two_sizes_make_no_parabola():
    points, budgets = grid()
    kept = np.arange(len(budgets)) != 0
    kept[:3] = False
    few = LossPoints(*(column[kept] for column in points))
    assert isoflop_frontier(few, budgets[kept], np.log(few.loss)[None]).flops.tolist() == [
        1e14,
        1e15,
    ]


def run(n: float, tokens: np.ndarray, budget: float) -> SweepRun:
    t = TRUTH
    loss = t["E"] + t["A"] / n ** t["alpha"] + t["B"] / tokens ** t["beta"]
    curve = LossCurve(tokens.tolist(), loss.tolist())
    return SweepRun("r", 1, 64, 0, int(n), 0, int(6 * n), budget, int(tokens[-1]), budget, loss[-1],
               1.0, 1.0, curve)  # fmt: skip


def test_the_envelope_of_curves_follows_the_optimum():
    sizes = np.geomspace(2e5, 2e7, 25)
    runs = [run(n, np.geomspace(1e13 / 6 / n, 1e15 / 6 / n, 60), 1e15) for n in sizes]
    found = envelope_frontier(runs, sizes, np.zeros((1, len(runs))))
    inner = (found.flops > 2e13) & (found.flops < 5e14)
    best = _optimal_allocation(TRUTH, found.flops[inner] / 6)[0]
    assert np.abs(np.log(found.parameters[0, inner] / best)).max() < 0.15  # half a step of sizes
    a = TRUTH["beta"] / (TRUTH["alpha"] + TRUTH["beta"])
    assert found.exponents()[0][0] == pytest.approx(a, abs=0.02)


def test_a_shifted_curve_moves_the_envelope():
    sizes = np.array([1e5, 1e6])
    runs = [run(n, np.geomspace(1e13 / 6 / n, 1e15 / 6 / n, 60), 1e15) for n in sizes]
    shifts = np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
    found = envelope_frontier(runs, sizes, shifts)
    assert (found.parameters[1] == 1e6).all() and (found.parameters[2] == 1e5).all()


def test_a_slope_needs_two_places():
    rows = np.array([[1.0, 10.0, np.nan], [1.0, np.nan, np.nan]])
    found = _log_slope(np.array([1.0, 10.0, 100.0]), rows)
    assert found[0] == pytest.approx(1) and np.isnan(found[1])
    assert isinstance(parametric_frontier(planted(), BUDGETS, 6.0), Frontier)
