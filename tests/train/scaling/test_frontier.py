"""Each approach finds the size that the truth says is best."""

import numpy as np
import pytest

from groundup.train.scaling.bootstrap import BootstrappedLaw
from groundup.train.scaling.frontier import (
    Frontier,
    _log_slope,
    _optimal_allocation,
    envelope_frontier,
    isoflop_frontier,
    parametric_frontier,
)
from groundup.train.scaling.laws import LossPoints, ScalingLaw
from groundup.train.scaling.sweep import LossCurve, SweepRun
from tests.train.scaling.ladders import TRUTH

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
    law = ScalingLaw("parametric", (0.0, 0.0), tuple(map(float, theta)))
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
