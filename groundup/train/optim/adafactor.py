"""Adafactor: AdamW without a mean, with a mean square factored into rows and columns.

The mean square of a matrix is approximated by the product of its row and column means, so an R x C
matrix needs R + C numbers. The update's RMS is limited to `update_clip`.

    V ≈ r cᵀ / mean(r)        u = g / sqrt(V)        w -= rate · u / max(1, RMS(u) / clip)

Source: Shazeer & Stern 2018, arXiv:1804.04235. Departs: the rate is absolute by default, as in
most later use; `scale_by_size` and `relative_step` give the paper's. No momentum. A sharded
matrix's means are those of the complete matrix.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from .config import OptimConfig, StateDtype
from .sharded import aligned, local, settled, whole
from .states import kept_bytes

FLOOR = 1e-30
"""Added to squares to avoid dividing by zero."""
LEAST_SIZE = 1e-3
"""Least RMS of a weight under `scale_by_size`, so that zero weights can move."""


class Adafactor:
    """Adafactor for some weights; its states are float32."""

    def __init__(
        self, weights: Mapping[str, Tensor], config: OptimConfig, decay: float, state: StateDtype
    ) -> None:
        self.weights, self.config, self.decay = weights, config, decay
        self.square = {n: torch.zeros_like(w) for n, w in weights.items() if w.ndim < 2}
        factored = {n: w.detach() for n, w in weights.items() if w.ndim >= 2}
        self.rows = {n: torch.zeros_like(mean(w, -1)) for n, w in factored.items()}
        self.columns = {n: torch.zeros_like(mean(w, -2)) for n, w in factored.items()}

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
                gradient = aligned(weight.grad, weight)
                update = self._update(name, gradient, number**-self.config.factor_power)
                size = rms(weight).clamp(min=LEAST_SIZE) if self.config.scale_by_size else 1.0
                shrink = (rms(update) / self.config.update_clip).clamp(min=1.0)
                own = local(weight)
                if self.decay:
                    own.mul_(1 - rate * self.decay)
                own.sub_(local(update) * (rate * size / shrink))

    def _update(self, name: str, gradient: Tensor, new: float) -> Tensor:
        """The normalised gradient, from updated states; `new` is the newest square's weight."""
        squares = gradient.square() + FLOOR
        if name in self.square:
            local(self.square[name]).lerp_(local(squares), new)
            return gradient * self.square[name].rsqrt()
        rows, columns = self.rows[name], self.columns[name]
        local(rows).lerp_(local(mean(squares, -1)), new)
        local(columns).lerp_(local(mean(squares, -2)), new)
        shares = rows / mean(rows, -1, keepdim=True)
        return gradient * shares.rsqrt()[..., None] * columns.rsqrt()[..., None, :]


def mean(tensor: Tensor, axis: int, keepdim: bool = False) -> Tensor:
    """Mean along an axis of the complete tensor; its shards may differ in length."""
    return settled(tensor.sum(axis, keepdim=keepdim)) / tensor.shape[axis]


def rms(tensor: Tensor) -> Tensor:
    """Root mean square of the complete tensor, a plain scalar."""
    return (whole(tensor.detach().square().sum()) / tensor.numel()).sqrt()


def adafactor_bytes(weight: Tensor, config: OptimConfig, state: StateDtype) -> int:
    """Bytes of Adafactor's states of an unsharded weight: 4 (R + C) of a matrix."""
    if weight.ndim < 2:
        return kept_bytes(weight, "float32", config.state_block)
    count = weight.numel()
    return weight.element_size() * (count // weight.shape[-1] + count // weight.shape[-2])
