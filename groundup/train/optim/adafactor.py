"""Adafactor: AdamW without a mean, with a mean square factored into rows and columns.

The mean square of a matrix is approximated by the product of its row and column means, so an R x C
matrix needs R + C numbers. The update's RMS is limited to `update_clip`.

    V ≈ r cᵀ / mean(r)        u = g / sqrt(V)        w -= rate · u / max(1, RMS(u) / clip)

Source: Shazeer & Stern 2018, arXiv:1804.04235. Departs: the rate is absolute by default, as in
most later use; `scale_parameter` and `relative_step` give the paper's. No momentum. A sharded
matrix's means are those of the complete matrix.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from .config import OptimConfig, StateDtype
from .sharded import full_tensor, local_tensor, place_gradient, reduce_partial
from .states import stored_state_bytes

SQUARE_EPSILON = 1e-30
"""Added to squares to avoid dividing by zero."""
MIN_WEIGHT_RMS = 1e-3
"""Least RMS of a weight under `scale_parameter`, so that zero weights can move."""


class Adafactor:
    """Adafactor for some weights; its states are float32."""

    def __init__(
        self, weights: Mapping[str, Tensor], config: OptimConfig, decay: float, state: StateDtype
    ) -> None:
        self.weights, self.config, self.decay = weights, config, decay
        self.square = {n: torch.zeros_like(w) for n, w in weights.items() if w.ndim < 2}
        factored = {n: w.detach() for n, w in weights.items() if w.ndim >= 2}
        self.rows = {n: torch.zeros_like(_mean_along(w, -1)) for n, w in factored.items()}
        self.columns = {n: torch.zeros_like(_mean_along(w, -2)) for n, w in factored.items()}

    def state(self) -> dict[str, Tensor]:
        """Every tensor of the state under a flat name."""
        parts = {"square": self.square, "square_rows": self.rows, "square_columns": self.columns}
        return {f"{part}.{name}": t for part, named in parts.items() for name, t in named.items()}

    def step(self, number: int, rate: float) -> None:
        """Update the weights that have a gradient."""
        if self.config.relative_step:
            rate = min(rate, 1 / math.sqrt(number))
        for name, weight in self.weights.items():
            if weight.grad is not None:
                gradient = place_gradient(weight.grad, weight)
                update = self._update(name, gradient, number**-self.config.factor_power)
                size = rms(weight).clamp(min=MIN_WEIGHT_RMS) if self.config.scale_parameter else 1.0
                shrink = (rms(update) / self.config.update_clip).clamp(min=1.0)
                own = local_tensor(weight)
                if self.decay:
                    own.mul_(1 - rate * self.decay)
                own.sub_(local_tensor(update) * (rate * size / shrink))

    def _update(self, name: str, gradient: Tensor, new: float) -> Tensor:
        """The normalised gradient, from updated states; `new` is the newest square's weight."""
        squares = gradient.square() + SQUARE_EPSILON
        if name in self.square:
            local_tensor(self.square[name]).lerp_(local_tensor(squares), new)
            return gradient * self.square[name].rsqrt()
        rows, columns = self.rows[name], self.columns[name]
        local_tensor(rows).lerp_(local_tensor(_mean_along(squares, -1)), new)
        local_tensor(columns).lerp_(local_tensor(_mean_along(squares, -2)), new)
        shares = rows / _mean_along(rows, -1, keepdim=True)
        return gradient * shares.rsqrt()[..., None] * columns.rsqrt()[..., None, :]


def _mean_along(tensor: Tensor, axis: int, keepdim: bool = False) -> Tensor:
    """Mean along an axis of the complete tensor; its shards may differ in length."""
    return reduce_partial(tensor.sum(axis, keepdim=keepdim)) / tensor.shape[axis]


def rms(tensor: Tensor) -> Tensor:
    """Root mean square of the complete tensor, a plain scalar."""
    return (full_tensor(tensor.detach().square().sum()) / tensor.numel()).sqrt()


def adafactor_bytes(weight: Tensor, config: OptimConfig, state: StateDtype) -> int:
    """Bytes of Adafactor's states of an unsharded weight: 4 (R + C) of a matrix."""
    if weight.ndim < 2:
        return stored_state_bytes(weight, "float32", config.state_block)
    count = weight.numel()
    return weight.element_size() * (count // weight.shape[-1] + count // weight.shape[-2])
