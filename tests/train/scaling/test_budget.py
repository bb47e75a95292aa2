"""A budget buys the size that the truth says is best, in the time that was measured."""

import numpy as np
import pytest

from groundup.core import ConfigError
from groundup.train.scaling.budget import _interpolate_speed, budget_table
from groundup.train.scaling.frontier import _optimal_allocation
from groundup.train.scaling.sweep import read_sweep
from tests.train.scaling.ladders import TRUTH, law


@pytest.fixture(scope="module")
def made(planted):
    return planted.sweep, planted.fit.artifact


def test_larger_budgets_buy_larger_models_at_a_lower_loss(made):
    rows = budget_table([1e15, 1e14], fit=made[1]).rows
    assert [row.flops for row in rows] == pytest.approx([1e14, 1e15], rel=0.01)
    small, large = rows
    assert small.weights < large.weights and small.tokens < large.tokens
    assert small.loss.estimate > large.loss.estimate
    for row in rows:
        n, _, loss = _optimal_allocation(TRUTH, np.array([row.flops / 6.3]))
        assert float(law(row.weights, row.tokens)) < 1.01 * loss[0]  # as good as the true optimum
        assert row.weights == pytest.approx(n[0], rel=0.6)
        assert row.loss.low < float(law(row.weights, row.tokens)) < row.loss.high
        assert row.seconds == pytest.approx(row.flops / 1e11)
        assert row.training_bytes == 16 * row.parameters


def test_speed_lies_between_those_measured(made):
    told = read_sweep(made[0])
    runs = tuple(run._replace(flops_per_second=float(run.width)) for run in told.runs)
    told = told._replace(runs=runs)
    sizes = {run.width: run.computing for run in runs}
    assert _interpolate_speed(told, sizes[192]) == pytest.approx(192)
    assert 64 < _interpolate_speed(told, (sizes[64] + sizes[128]) // 2) < 128
    assert (_interpolate_speed(told, 1), _interpolate_speed(told, 10**12)) == (64, 320)


def test_it_is_told_as_a_table_and_as_json(made):
    found = budget_table([1e14], fit=made[1])
    assert len(str(found).splitlines()) == 2 and "MB" in str(found)
    assert found._asdict()["rows"][0]["loss"]["low"] < found.rows[0].loss.estimate


@pytest.mark.parametrize("budgets", [[], [0.0], [1e14, -1.0], [float("nan")], [float("inf")]])
def test_no_budget_is_no_table(made, budgets):
    with pytest.raises(ConfigError, match="above 0"):
        budget_table(budgets, fit=made[1])
