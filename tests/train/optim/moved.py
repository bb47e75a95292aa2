"""Weights moved by optimizers over given gradients: what several tests compare."""

from typing import Any

import torch
from torch import Tensor, nn

from groundup.train import OptimConfig, Optimizer

SHAPES = {"a.weight": (16, 40), "a.bias": (16,), "experts.up_proj": (3, 8, 24)}


def weights(shapes: dict[str, tuple[int, ...]] = SHAPES, seed: int = 0) -> dict[str, nn.Parameter]:
    """Named weights, drawn."""
    drawn = torch.Generator().manual_seed(seed)
    return {n: nn.Parameter(torch.randn(s, generator=drawn) * 0.1) for n, s in shapes.items()}


def gradients(named: dict[str, nn.Parameter], number: int) -> dict[str, Tensor]:
    """Of a step; rows differ in size."""
    drawn = torch.Generator().manual_seed(100 + number)
    return {
        name: torch.randn(weight.shape, generator=drawn)
        * torch.rand(len(weight), generator=drawn).add(0.01).view(-1, *[1] * (weight.ndim - 1))
        for name, weight in named.items()
    }


def ours(named: dict[str, nn.Parameter], steps: int = 12, **settings: Any) -> Optimizer:
    """Move the weights by our optimizer."""
    optimizer = Optimizer(named.items(), OptimConfig(**settings))
    go(optimizer, named, 0, steps)
    return optimizer


def go(optimizer: Optimizer, named: dict[str, nn.Parameter], first: int, last: int) -> None:
    """Steps of our optimizer."""
    for number in range(first, last):
        for name, gradient in gradients(named, number).items():
            named[name].grad = gradient
        optimizer.step(1.0)


def theirs(
    optimizer: torch.optim.Optimizer, named: dict[str, nn.Parameter], steps: int = 12
) -> None:
    """Steps of a peer."""
    for number in range(steps):
        for name, gradient in gradients(named, number).items():
            named[name].grad = gradient
        optimizer.step()


def furthest(one: dict[str, nn.Parameter], other: dict[str, nn.Parameter]) -> float:
    """Largest difference of any number."""
    return max(float((one[name] - other[name]).detach().abs().max()) for name in one)
