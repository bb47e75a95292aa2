"""Rotary positions: only distance matters."""

import pytest
import torch
from torch.testing import assert_close

from groundup.core import ConfigError
from groundup.model.positions.rotary import frequencies, rotate, rotation


def at(x, position):
    return rotate(x, rotation(torch.tensor([[position]]), frequencies(64, dtype=torch.float64)))


def test_scores_depend_on_distance_alone():
    q, k = torch.randn(2, 1, 1, 1, 64, dtype=torch.float64)
    near = at(q, 5) @ at(k, 2).mT
    far = at(q, 905) @ at(k, 902).mT
    assert_close(near, far, atol=1e-12, rtol=0)


def test_a_rotation_keeps_norms_and_position_zero():
    q = torch.randn(2, 3, 1, 64, dtype=torch.float64)
    assert_close(at(q, 77).norm(dim=-1), q.norm(dim=-1))
    assert torch.equal(at(q, 0), q)


def test_every_row_may_have_its_own_positions():
    x = torch.randn(2, 1, 3, 4)
    positions = torch.tensor([[0, 1, 2], [5, 6, 7]])
    by = frequencies(4, 100.0)
    both = rotate(x, rotation(positions, by))
    for row in range(2):
        alone = rotate(x[row : row + 1], rotation(positions[row : row + 1], by))
        assert torch.equal(both[row : row + 1], alone)


def test_an_odd_width_is_an_error():
    with pytest.raises(ConfigError, match="head_dim=5 must be even"):
        frequencies(5)
