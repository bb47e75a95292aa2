"""Sinusoids: the paper's numbers, in halves."""

import math

import torch
from torch.testing import assert_close

from groundup.model.positions.absolute import sinusoids


def test_every_value_is_the_papers():
    found = sinusoids(torch.tensor([[3, 700]]), 8, torch.float64)
    for place, row in zip((3, 700), found[0].tolist(), strict=True):
        for i in range(4):
            angle = place / 10_000 ** (2 * i / 8)
            assert math.isclose(row[i], math.sin(angle), abs_tol=1e-12)
            assert math.isclose(row[4 + i], math.cos(angle), abs_tol=1e-12)


def test_a_shift_is_a_rotation_so_products_depend_on_distance_alone():
    table = sinusoids(torch.arange(50), 16, torch.float64)
    products = table @ table.T
    assert_close(products[3, 10], products[33, 40])
    assert_close(products[:-1, :-1], products[1:, 1:])
