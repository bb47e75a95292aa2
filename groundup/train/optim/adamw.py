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
from groundup.kernels import AdamWFactors, adamw_update, fits_native_states

from .config import OptimConfig, StateDtype
from .sharded import local_tensor, place_gradient
from .states import OptimizerState, row_chunks, stored_state_bytes


class AdamWStep(NamedTuple):
    """Scalars of one AdamW step."""

    learning_rate: float
    number: int
    """Step number, from 1."""
    weight_decay: float
    beta1: float
    beta2: float
    epsilon: float

    def kernel_factors(self) -> AdamWFactors:
        """The derived factors for the native kernel."""
        return AdamWFactors(
            1 - self.learning_rate * self.weight_decay, 1 - self.beta1, self.beta2, 1 - self.beta2,
            math.sqrt(1 - self.beta2**self.number), self.epsilon,
            -self.learning_rate / (1 - self.beta1**self.number),
        )  # fmt: skip


class AdamW:
    """AdamW over some weights."""

    def __init__(
        self, weights: Mapping[str, Tensor], config: OptimConfig, decay: float, state: StateDtype
    ) -> None:
        self.weights, self.config, self.decay = weights, config, decay
        self.mean = OptimizerState("mean", weights, state, config)
        self.square = OptimizerState("square", weights, state, config, signed=False)

    def state(self) -> dict[str, Tensor]:
        """Every tensor of the state under a flat name."""
        return self.mean.state() | self.square.state()

    def step(self, number: int, rate: float) -> None:
        """Update the weights that have a gradient."""
        config = self.config
        move = AdamWStep(rate, number, self.decay, config.beta1, config.beta2, config.epsilon)
        moved = [name for name, weight in self.weights.items() if weight.grad is not None]
        exact = [name for name in moved if self.mean.is_exact(name)]
        if exact:
            lists = [self._tensors(name) for name in exact]
            weights, gradients, mean, square = map(list, zip(*lists, strict=True))
            _update_exact(weights, gradients, mean, square, move)
        for name in moved:
            if not self.mean.is_exact(name):
                self._update_low_precision(name, move)

    def _tensors(self, name: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """This process's shards of a weight, its gradient and its states."""
        weight = self.weights[name]
        assert weight.grad is not None, "only weights with a gradient are updated"
        gradient = local_tensor(place_gradient(weight.grad, weight))
        return local_tensor(weight), gradient, self.mean.read(name), self.square.read(name)

    def _update_low_precision(self, name: str, move: AdamWStep) -> None:
        """Update a weight with low-precision states: natively in one pass if possible."""
        weight = self.weights[name]
        assert weight.grad is not None, "only weights with a gradient are updated"
        own, gradient = local_tensor(weight), local_tensor(place_gradient(weight.grad, weight))
        states = (self.mean, self.square)
        if uses_fused_adamw() and all(
            fits_native_states(local_tensor(s.values[name]), own, gradient) for s in states
        ):
            mean, square = (state.stored_rows(name, number=move.number) for state in states)
            adamw_update(own, gradient, mean, square, move.kernel_factors())
            return
        for rows in row_chunks(weight):
            mean, square = self.mean.read(name, rows), self.square.read(name, rows)
            _update_exact([own[rows]], [gradient[rows]], [mean], [square], move)
            self.mean.write(name, mean, move.number, rows)
            self.square.write(name, square, move.number, rows)


def _update_exact(
    weights: list[Tensor],
    gradients: list[Tensor],
    mean: list[Tensor],
    square: list[Tensor],
    move: AdamWStep,
) -> None:
    """Update weights and states in place, with torch's fused kernel where available.

    On a CPU that takes about half the time: one pass over each tensor instead of eight.
    """
    lists = [weights, gradients, mean, square]
    dtype = weights[0].dtype
    is_uniform = all(t.is_floating_point() and t.dtype == dtype for ts in lists for t in ts)
    if not (is_uniform and uses_fused_adamw()):
        return _adamw_reference(weights, gradients, mean, square, move)
    count = torch.tensor(float(move.number), device=weights[0].device)
    torch._fused_adamw_(
        weights, gradients, mean, square, [], [count] * len(weights), lr=move.learning_rate,
        beta1=move.beta1, beta2=move.beta2, weight_decay=move.weight_decay, eps=move.epsilon,
        amsgrad=False, maximize=False,
    )  # fmt: skip
    return None


def uses_fused_adamw() -> bool:
    """Whether torch's fused kernel is used; GROUNDUP_ADAMW=plain disables it."""
    return device.env_choice("GROUNDUP_ADAMW", "fused", "plain") != "plain"


def _adamw_reference(
    weights: list[Tensor],
    gradients: list[Tensor],
    mean: list[Tensor],
    square: list[Tensor],
    move: AdamWStep,
) -> None:
    """Reference implementation as a loop over lists."""
    torch._foreach_lerp_(mean, gradients, 1 - move.beta1)
    torch._foreach_mul_(square, move.beta2)
    torch._foreach_addcmul_(square, gradients, gradients, 1 - move.beta2)
    root = torch._foreach_sqrt(square)
    torch._foreach_div_(root, math.sqrt(1 - move.beta2**move.number))
    torch._foreach_add_(root, move.epsilon)
    if move.weight_decay:
        torch._foreach_mul_(weights, 1 - move.learning_rate * move.weight_decay)
    torch._foreach_addcdiv_(
        weights, mean, root, -move.learning_rate / (1 - move.beta1**move.number)
    )


def adamw_bytes(weight: Tensor, config: OptimConfig, state: StateDtype) -> int:
    """Bytes of AdamW's states of an unsharded weight."""
    return 2 * stored_state_bytes(weight, state, config.state_block)
