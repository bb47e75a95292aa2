"""Clipping cuts the whole gradient's length and keeps its direction."""

import pytest
import torch
from torch import nn

from groundup.train.optim.clip import clip_grad_norm


def with_gradients() -> list[nn.Parameter]:
    made = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1)), nn.Parameter(torch.ones(3))]
    made[0].grad, made[1].grad = torch.tensor([2.0, 6.0]), torch.tensor([9.0])
    return made


@pytest.mark.parametrize(("largest", "left"), [(0.0, 11.0), (1.1, 1.1), (20.0, 11.0)])
def test_the_norm_before_is_told_and_the_one_after_at_most_the_largest(largest, left):
    parameters = with_gradients()
    assert clip_grad_norm(parameters, largest) == pytest.approx(11.0)
    norm = torch.cat([p.grad for p in parameters if p.grad is not None]).norm()
    assert float(norm) == pytest.approx(left, rel=1e-5)


def test_a_scale_is_divided_out_first():
    parameters = with_gradients()
    assert clip_grad_norm(parameters, 0.0, scale=2.0) == pytest.approx(5.5)
