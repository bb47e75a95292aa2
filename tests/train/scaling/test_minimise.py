"""Every row ends in its own minimum, where an outside optimizer ends too."""

import numpy as np
import torch
from scipy import optimize
from torch.testing import assert_close

from groundup.train.scaling.minimise import minimise


def valley(x):
    """Rosenbrock's function: a bent valley whose floor is nearly flat."""
    return (100 * (x[:, 1:] - x[:, :-1] ** 2) ** 2 + (1 - x[:, :-1]) ** 2).sum(1)


def test_the_bent_valley_is_followed_to_its_end():
    found = minimise(valley, torch.randn(20, 2, generator=torch.manual_seed(0)))
    assert_close(found.points, torch.ones(20, 2, dtype=torch.float64), atol=1e-6, rtol=0)
    assert found.slopes.max() < 1e-5


def test_rows_do_not_disturb_each_other():
    begin = torch.randn(8, 3, generator=torch.manual_seed(1))
    together, alone = minimise(valley, begin), minimise(valley, begin[3:4])
    assert_close(together.points[3:4], alone.points)


def test_a_step_into_nothing_is_shortened():
    found = minimise(lambda x: (x - x.log()).sum(1), torch.full((1, 2), 5.0))
    assert_close(found.points, torch.ones(1, 2, dtype=torch.float64), atol=1e-6, rtol=0)


def test_it_ends_where_scipy_ends_on_a_sum_of_absolute_values_bent_at_the_end():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((15, 3)), rng.standard_normal(15)

    def huber(x):
        away = (x @ torch.from_numpy(a).T - torch.from_numpy(b)).abs() / 1e-3
        return torch.where(away <= 1, away.square() / 2, away - 0.5).sum(1)

    def same(x):
        away = np.abs(a @ x - b) / 1e-3
        return np.where(away <= 1, away**2 / 2, away - 0.5).sum()

    options = {"maxiter": 10_000, "xatol": 1e-10, "fatol": 1e-10}
    outside = optimize.minimize(same, np.zeros(3), method="Nelder-Mead", options=options)
    found = minimise(huber, torch.zeros(1, 3))
    assert found.values[0] <= outside.fun * (1 + 1e-6)
