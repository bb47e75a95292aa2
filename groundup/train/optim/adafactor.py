"""Adafactor: AdamW without a mean, whose mean square is kept as one number a row and a column.

The mean square of a matrix is taken to be the product of what its rows and its columns have, so a
matrix of R x C needs R + C numbers. The update is made no longer than an RMS of `update_clip`.

    V ≈ r cᵀ / mean(r)        u = g / sqrt(V)        w -= rate · u / max(1, RMS(u) / clip)

Source: Shazeer & Stern 2018, arXiv:1804.04235. Departs: the rate is absolute by default, as in
most later use; `scale_by_size` and `relative_step` give the paper's. No momentum. A sharded
matrix's means are those of the whole.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from .config import OptimConfig, StateDtype
from .sharded import aligned, local, settled, whole
from .states import kept_bytes

FLOOR = 1e-30
"""Added to squares, so that a gradient of zeros divides nothing by zero."""
LEAST_SIZE = 1e-3
"""RMS that a weight is taken to have at least under `scale_by_size`: it can leave zero."""


class Adafactor:
    """Adafactor over some weights; its states are float32."""

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
        """Move the weights that have a gradient."""
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
        """The gradient over the root of its mean square; the newest square counts for `new`."""
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
    """Mean along an axis of the whole tensor, whose shares may differ in length."""
    return settled(tensor.sum(axis, keepdim=keepdim)) / tensor.shape[axis]


def rms(tensor: Tensor) -> Tensor:
    """Root of the mean square of the whole tensor, a plain number."""
    return (whole(tensor.detach().square().sum()) / tensor.numel()).sqrt()


def adafactor_bytes(weight: Tensor, config: OptimConfig, state: StateDtype) -> int:
    """Bytes that Adafactor keeps of a whole weight: 4 (R + C) of a matrix."""
    if weight.ndim < 2:
        return kept_bytes(weight, "float32", config.state_block)
    count = weight.numel()
    return weight.element_size() * (count // weight.shape[-1] + count // weight.shape[-2])
