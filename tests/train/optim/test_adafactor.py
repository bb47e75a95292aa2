"""Adafactor is torch's as in the paper, transformers' with an absolute rate."""

import json
from pathlib import Path

import torch
from torch import nn

from groundup.train import OptimConfig, Optimizer
from tests.oracles.bitsandbytes_gradients import STEPS, gradients
from tests.train.optim.moved import furthest, ours, theirs, weights

FIXTURE = Path(__file__).parents[2] / "fixtures" / "optim" / "adafactor.json"


def test_scaled_by_size_it_is_torch_s():
    mine, peers = weights(), weights()
    ours(mine, matrices="adafactor", others="adafactor", learning_rate=0.5, scale_parameter=True,
         relative_step=True)  # fmt: skip
    theirs(torch.optim.Adafactor(peers.values(), 0.5), peers)
    assert furthest(mine, peers) < 1e-5


def test_with_an_absolute_rate_it_is_transformers():
    pair = [nn.Parameter(torch.full((6, 4), 0.5)), nn.Parameter(torch.zeros(5))]
    config = OptimConfig(
        matrix_optimizer="adafactor", other_optimizer="adafactor", learning_rate=0.01
    )
    optimizer = Optimizer(zip("ab", pair, strict=True), config)
    for number in range(STEPS):
        for place, weight in enumerate(pair):
            weight.grad = gradients(100 * place + number, tuple(weight.shape))
        optimizer.step(1.0)
    for weight, expected in zip(pair, json.loads(FIXTURE.read_text()), strict=True):
        torch.testing.assert_close(weight.detach(), torch.tensor(expected), atol=1e-6, rtol=1e-5)


def test_a_matrix_costs_a_number_a_row_and_a_column():
    state = ours(weights(), 1, matrices="adafactor", others="adafactor").state()
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items() if "a.weight" in name}
    assert shapes == {"square_rows.a.weight": (16,), "square_columns.a.weight": (40,)}


def test_a_gradient_of_zeros_moves_nothing():
    weight = nn.Parameter(torch.ones(4, 3))
    config = OptimConfig(matrix_optimizer="adafactor", other_optimizer="adafactor")
    optimizer = Optimizer([("w", weight)], config)
    weight.grad = torch.zeros(4, 3)
    optimizer.step(1.0)
    assert torch.equal(weight.detach(), torch.ones(4, 3))
