"""Batched BFGS: many small minimisation problems at once, one per row.

Scaling laws have three to six parameters and many local minima, so they are fitted from a grid of
starts, and again for every resample. Each row is an independent problem; rows only share calls.
With so few parameters the full inverse Hessian is kept, which L-BFGS approximates.
Source: Nocedal and Wright 2006, Numerical Optimization, algorithm 6.1 with backtracking.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

Objective = Callable[[Float[Tensor, "B P"]], Float[Tensor, " B"]]
"""A value for each row, which depends on that row only."""

MAX_HALVINGS = 25
MIN_RELATIVE_DECREASE = 1e-14
"""Expected decrease, relative to the value, below which rounding dominates."""
ARMIJO_FACTOR = 1e-4
"""Share of the linearly predicted decrease that a step must reach (Armijo's condition)."""


class Minima(NamedTuple):
    """Final state of each row."""

    points: Float[Tensor, "B P"]
    values: Float[Tensor, " B"]
    slopes: Float[Tensor, " B"]
    """Largest absolute component of the gradient; 0 at a smooth minimum."""


def minimise(
    objective: Objective,
    starts: Float[Tensor, "B P"],
    *,
    iterations: int = 300,
    tolerance: float = 1e-9,
) -> Minima:
    """Minimise from every start until the gradient is below `tolerance` or no step helps.

    >>> found = minimise(lambda x: ((x - 3) ** 2).sum(1), torch.zeros(2, 4))
    >>> found.points[0].tolist()
    [3.0, 3.0, 3.0, 3.0]
    """
    points = starts.double().clone()
    identity = torch.eye(points.shape[1], dtype=points.dtype).expand(len(points), -1, -1)
    inverse, is_new = identity.clone(), torch.ones(len(points), dtype=torch.bool)
    values, slopes = _values_and_gradients(objective, points)
    going = slopes.abs().amax(1) > tolerance
    for _ in range(iterations):
        if not going.any():
            break
        steps = -(inverse @ slopes[..., None])[..., 0]
        wrong = (steps * slopes).sum(1) >= 0
        steps[wrong], inverse[wrong], is_new[wrong] = -slopes[wrong], identity[wrong], True
        going &= (steps * slopes).sum(1).abs() > MIN_RELATIVE_DECREASE * values.abs()
        steps[~going] = 0
        steps = _backtrack(objective, points, values, slopes, steps)
        points = points + steps
        values, after = _values_and_gradients(objective, points)
        stuck = (steps == 0).all(1)
        going &= ~(stuck & is_new) & (after.abs().amax(1) > tolerance)
        inverse = _update_inverse_hessian(inverse, steps, after - slopes, is_new)
        inverse[stuck], is_new = identity[stuck], stuck
        slopes = after
    return Minima(points, values, slopes.abs().amax(1))


def _values_and_gradients(
    objective: Objective, points: Float[Tensor, "B P"]
) -> tuple[Float[Tensor, " B"], Float[Tensor, "B P"]]:
    """Values and gradients of all rows."""
    points = points.detach().requires_grad_()
    with torch.enable_grad():
        values = objective(points)
        (slopes,) = torch.autograd.grad(values.sum(), points)
    return values.detach(), slopes.nan_to_num()


def _backtrack(
    objective: Objective,
    points: Float[Tensor, "B P"],
    values: Float[Tensor, " B"],
    slopes: Float[Tensor, "B P"],
    steps: Float[Tensor, "B P"],
) -> Float[Tensor, "B P"]:
    """Backtracking: halve each row's step until the decrease suffices; 0 where none does."""
    promised = ARMIJO_FACTOR * (steps * slopes).sum(1)
    share, waits = torch.ones_like(values), (steps != 0).any(1)
    for _ in range(MAX_HALVINGS):
        with torch.no_grad():
            reached = objective(points + share[:, None] * steps)
        waits &= ~(reached <= values + share * promised)  # NaN is no decrease
        if not waits.any():
            break
        share[waits] /= 2
    share[waits] = 0
    return share[:, None] * steps


def _update_inverse_hessian(
    inverse: Float[Tensor, "B P P"],
    steps: Float[Tensor, "B P"],
    turns: Float[Tensor, "B P"],
    is_new: Tensor,
) -> Float[Tensor, "B P P"]:
    """BFGS update of the inverse Hessian; unchanged where the curvature condition fails."""
    met = (steps * turns).sum(1)
    sound = met > 1e-14 * steps.norm(dim=1) * turns.norm(dim=1)
    rho = torch.where(sound, 1 / met.where(sound, torch.ones_like(met)), 0)[:, None, None]
    size = (met / turns.square().sum(1).clamp(min=1e-300))[:, None, None]
    inverse = torch.where((sound & is_new)[:, None, None], size * inverse, inverse)
    left = torch.eye(steps.shape[1], dtype=steps.dtype) - rho * steps[:, :, None] * turns[:, None]
    return left @ inverse @ left.mT + rho * steps[:, :, None] * steps[:, None]
