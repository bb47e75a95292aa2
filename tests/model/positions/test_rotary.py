"""Rotary positions: only distance matters."""

import pytest
import torch
from torch.testing import assert_close

from groundup.core import ConfigError
from groundup.model.config import RopeScaling
from groundup.model.positions.rotary import compute_rotation, rope_frequencies, rotate


def at(x, position):
    return rotate(
        x, compute_rotation(torch.tensor([[position]]), rope_frequencies(64, dtype=torch.float64))
    )


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
    by = rope_frequencies(4, 100.0)
    both = rotate(x, compute_rotation(positions, by))
    for row in range(2):
        alone = rotate(x[row : row + 1], compute_rotation(positions[row : row + 1], by))
        assert torch.equal(both[row : row + 1], alone)


def test_an_odd_width_is_an_error():
    with pytest.raises(ConfigError, match="head_dim=5 must be even"):
        rope_frequencies(5)


def test_a_raised_base_stretches_the_slowest_pair_by_the_factor_and_the_fastest_not():
    plain = rope_frequencies(8, 100.0, dtype=torch.float64)
    scaled = rope_frequencies(8, 100.0, RopeScaling(kind="ntk", factor=4.0), dtype=torch.float64)
    assert scaled[0] == plain[0] and scaled[-1] == pytest.approx(float(plain[-1]) / 4)


@pytest.mark.parametrize("kind", ["llama3", "yarn"])
def test_the_original_length_is_the_context_by_the_factor_unless_it_is_given(kind):
    told = RopeScaling(kind=kind, factor=4.0, original_length=256)
    untold = RopeScaling(kind=kind, factor=4.0)
    wanted = rope_frequencies(16, 1000.0, told, 9999)
    assert torch.equal(rope_frequencies(16, 1000.0, untold, 1024), wanted)
    assert not torch.equal(rope_frequencies(16, 1000.0, untold, 4096), wanted)
