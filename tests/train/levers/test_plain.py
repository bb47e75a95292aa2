"""The plain AdamW moves weights as the optimizer of training does."""

import torch
from torch import nn
from torch.testing import assert_close

from groundup.train import OptimConfig, Optimizer
from groundup.train.levers.plain import PlainAdamW


def test_it_makes_the_steps_of_the_optimizer():
    config = OptimConfig(matrices="adamw", learning_rate=0.01, weight_decay=0.0)
    ends = []
    for kind in (Optimizer, PlainAdamW):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
        optimizer = kind(model.named_parameters(), config)
        for number in range(5):
            model(torch.randn(4, 6)).square().sum().backward()
            norm = optimizer.clip()
            optimizer.step(1 / (1 + number))
            optimizer.zero_grad()
            assert norm > 0
        ends.append([p.detach() for p in model.parameters()])
    for one, other in zip(*ends, strict=True):
        assert_close(one, other, atol=1e-5, rtol=1e-4)
