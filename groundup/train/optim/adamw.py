"""AdamW: the mean gradient divided by the root of its mean square.

    m = β1 m + (1 - β1) g        v = β2 v + (1 - β2) g²
    w = (1 - rate·decay) w - rate · (m / (1 - β1^t)) / (sqrt(v / (1 - β2^t)) + ε)

Source: Loshchilov & Hutter 2019, arXiv:1711.05101. States may be kept in bfloat16 or eight bits:
then a weight is updated by a C++ loop in one pass, or by the definition, some rows at a time, from
states read as float32.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from groundup.core import device
from groundup.kernels import Factors, fits, move_states

from .config import OptimConfig, StateDtype
from .sharded import aligned, local
from .states import Kept, kept_bytes, parts_of


class Move(NamedTuple):
    """Scalars of one AdamW step."""

    rate: float
    number: int
    """Step number, from 1."""
    decay: float
    beta1: float
    beta2: float
    epsilon: float

    def factors(self) -> Factors:
        """The derived factors for the native kernel."""
        return Factors(
            1 - self.rate * self.decay, 1 - self.beta1, self.beta2, 1 - self.beta2,
            math.sqrt(1 - self.beta2**self.number), self.epsilon,
            -self.rate / (1 - self.beta1**self.number),
        )  # fmt: skip


class AdamW:
    """AdamW over some weights."""

    def __init__(
        self, weights: Mapping[str, Tensor], config: OptimConfig, decay: float, state: StateDtype
    ) -> None:
        self.weights, self.config, self.decay = weights, config, decay
        self.mean = Kept("mean", weights, state, config)
        self.square = Kept("square", weights, state, config, signed=False)

    def state(self) -> dict[str, Tensor]:
        """Every tensor of the state under a flat name."""
        return self.mean.state() | self.square.state()

    def step(self, number: int, rate: float) -> None:
        """Update the weights that have a gradient."""
        config = self.config
        move = Move(rate, number, self.decay, config.beta1, config.beta2, config.epsilon)
        moved = [name for name, weight in self.weights.items() if weight.grad is not None]
        exact = [name for name in moved if self.mean.is_exact(name)]
        if exact:
            lists = [self._tensors(name) for name in exact]
            weights, gradients, mean, square = map(list, zip(*lists, strict=True))
            adamw(weights, gradients, mean, square, move)
        for name in moved:
            if not self.mean.is_exact(name):
                self._by_rows(name, move)

    def _tensors(self, name: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """This process's shards of a weight, its gradient and its states."""
        weight = self.weights[name]
        assert weight.grad is not None, "only weights with a gradient are updated"
        gradient = local(aligned(weight.grad, weight))
        return local(weight), gradient, self.mean.read(name), self.square.read(name)

    def _by_rows(self, name: str, move: Move) -> None:
        """Update a weight with low-precision states: natively in one pass if possible."""
        weight = self.weights[name]
        assert weight.grad is not None, "only weights with a gradient are updated"
        own, gradient = local(weight), local(aligned(weight.grad, weight))
        states = (self.mean, self.square)
        if is_fused() and all(fits(local(s.values[name]), own, gradient) for s in states):
            mean, square = (state.stored(name, number=move.number) for state in states)
            move_states(own, gradient, mean, square, move.factors())
            return
        for rows in parts_of(weight):
            mean, square = self.mean.read(name, rows), self.square.read(name, rows)
            adamw([own[rows]], [gradient[rows]], [mean], [square], move)
            self.mean.write(name, mean, move.number, rows)
            self.square.write(name, square, move.number, rows)


def adamw(
    weights: list[Tensor],
    gradients: list[Tensor],
    mean: list[Tensor],
    square: list[Tensor],
    move: Move,
) -> None:
    """Update weights and states in place, with torch's fused kernel where available.

    On a CPU that takes about half the time: one pass over each tensor instead of eight.
    """
    lists = [weights, gradients, mean, square]
    dtype = weights[0].dtype
    is_uniform = all(t.is_floating_point() and t.dtype == dtype for ts in lists for t in ts)
    if not (is_uniform and is_fused()):
        return adamw_plain(weights, gradients, mean, square, move)
    count = torch.tensor(float(move.number), device=weights[0].device)
    torch._fused_adamw_(
        weights, gradients, mean, square, [], [count] * len(weights), lr=move.rate,
        beta1=move.beta1, beta2=move.beta2, weight_decay=move.decay, eps=move.epsilon,
        amsgrad=False, maximize=False,
    )  # fmt: skip
    return None


def is_fused() -> bool:
    """Whether torch's fused kernel is used; GROUNDUP_ADAMW=plain disables it."""
    return device.switch("GROUNDUP_ADAMW", "fused", "plain") != "plain"


def adamw_plain(
    weights: list[Tensor],
    gradients: list[Tensor],
    mean: list[Tensor],
    square: list[Tensor],
    move: Move,
) -> None:
    """Reference implementation as a loop over lists."""
    torch._foreach_lerp_(mean, gradients, 1 - move.beta1)
    torch._foreach_mul_(square, move.beta2)
    torch._foreach_addcmul_(square, gradients, gradients, 1 - move.beta2)
    root = torch._foreach_sqrt(square)
    torch._foreach_div_(root, math.sqrt(1 - move.beta2**move.number))
    torch._foreach_add_(root, move.epsilon)
    if move.decay:
        torch._foreach_mul_(weights, 1 - move.rate * move.decay)
    torch._foreach_addcdiv_(weights, mean, root, -move.rate / (1 - move.beta1**move.number))


def adamw_bytes(weight: Tensor, config: OptimConfig, state: StateDtype) -> int:
    """Bytes of AdamW's states of an unsharded weight."""
    return 2 * kept_bytes(weight, state, config.state_block)
