"""Gradients that the oracle of bitsandbytes and the tests of our optimizers both step over."""

import torch

STEPS, ROWS, COLUMNS = 10, 16, 256


def gradients(number: int, shape: tuple[int, ...]) -> torch.Tensor:
    """Of a step: rows differ in size by a factor of ten, as gradients do."""
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(number))
    return drawn * torch.logspace(-2, -1, shape[0]).view(-1, *[1] * (len(shape) - 1))
