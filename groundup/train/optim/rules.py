"""The rules that move weights: AdamW, Adafactor, Muon and SGD.

    AdamW      m = β1 m + (1 - β1) g        v = β2 v + (1 - β2) g²
               w = (1 - rate·decay) w - rate · (m / (1 - β1^t)) / (sqrt(v / (1 - β2^t)) + ε)
    Adafactor  V ≈ r cᵀ / mean(r)       u = g / sqrt(V)     w -= rate · u / max(1, RMS(u) / clip)
    Muon       w -= rate · scale · the orthogonal matrix nearest to the momentum
    SGD        b = μ b + g        w = (1 - rate·decay) w - rate · (b, or g + μ b with Nesterov)

States may be kept in bfloat16 or eight bits: then a weight is updated by a C++ loop in one pass, or
by the definition, some rows at a time, from states read as float32.
Adafactor approximates the mean square of an R x C matrix by the product of its row and column
means, which needs R + C numbers. Departs: the rate is absolute by default, as in most later use;
`scale_parameter` and `relative_step` give the paper's. No momentum.
Muon approximates the nearest orthogonal matrix by Newton-Schulz iterations. Matrices of one shape
are stacked, because on a CPU the calls cost more than the arithmetic. A sharded momentum is
gathered and orthogonalised on every process, and each applies its own shard of the update.
SGD departs from torch: the decay is decoupled, as AdamW's.
Source: Loshchilov & Hutter 2019, arXiv:1711.05101; Shazeer & Stern 2018, arXiv:1804.04235; Jordan
et al. 2024, "Muon: an optimizer for hidden layers in neural networks", with the scale by shape of
Liu et al. 2025, arXiv:2502.16982; Sutskever et al. 2013, "On the importance of initialization and
momentum in deep learning".
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from groundup.core import ConfigError, device
from groundup.kernels import AdamWFactors, adamw_update, fits_native_states

from .config import OptimConfig, StateDtype
from .sharded import (
    extract_shard,
    full_tensor,
    gather_shards,
    local_tensor,
    place_gradient,
    reduce_partial,
)
from .states import OptimizerState, row_chunks


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


SQUARE_EPSILON = 1e-30
"""Added to squares to avoid dividing by zero."""
MIN_WEIGHT_RMS = 1e-3
"""Least RMS of a weight under `scale_parameter`, so that zero weights can move."""
SLOW_BFLOAT16 = device.instruction_sets() == ("avx2",)
"""With AVX2 alone a CPU multiplies bfloat16 10 to 90 times as slowly as the same in float32."""


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
    return reduce_partial(tensor.sum(axis, keepdim=keepdim)) / tensor.shape[axis]


def rms(tensor: Tensor) -> Tensor:
    """Root mean square of the complete tensor, a plain scalar."""
    return (full_tensor(tensor.detach().square().sum()) / tensor.numel()).sqrt()


def _orthogonalise(matrices: Float[Tensor, "N R C"], iterations: int) -> Float[Tensor, "N R C"]:
    """Nearest matrices with singular values near 1, by Newton-Schulz iterations in bfloat16.

    Each maps a singular value s to a*s + b*s^3 + c*s^5: 5 make all about 1, 3 leave some small.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrices.mT if (tall := matrices.shape[-2] > matrices.shape[-1]) else matrices
    x = (x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)).bfloat16()
    for _ in range(iterations):
        x = x.float() if SLOW_BFLOAT16 and x.device.type == "cpu" else x
        gram = (x @ x.mT).bfloat16().type_as(x)
        gram = torch.baddbmm(gram, gram, gram, beta=b, alpha=c).bfloat16().type_as(x)
        x = torch.baddbmm(x, gram, x, beta=a).bfloat16()
    return x.mT if tall else x


class Muon:
    """Muon for matrices, or for stacks of matrices such as experts'."""

    def __init__(
        self, weights: Mapping[str, Tensor], config: OptimConfig, decay: float, state: StateDtype
    ) -> None:
        """Start with zero momentum; ConfigError for a weight that is not a matrix."""
        vectors = [name for name, weight in weights.items() if weight.ndim < 2]
        if vectors:
            raise ConfigError(
                f"Muon updates matrices, but {vectors[0]} has {weights[vectors[0]].ndim} dimensions"
                "; set kinds=['matrix'] or another optimizer in the rule."
            )
        self.weights, self.config, self.decay = weights, config, decay
        self.momentum = OptimizerState("momentum", weights, state, config)

    def state(self) -> dict[str, Tensor]:
        """Every tensor of the state under a flat name."""
        return self.momentum.state()

    def step(self, number: int, rate: float) -> None:
        """Update the matrices; without a gradient, the momentum still applies."""
        for names in _group_by_shape(self.weights):
            weights = [self.weights[name] for name in names]
            ahead = self._nesterov_momentum(names, number)
            matrices = torch.stack(
                [gather_shards(*pair) for pair in zip(ahead, weights, strict=True)]
            )
            steps = _orthogonalise(matrices.flatten(0, -3), self.config.newton_schulz_steps)
            rows, columns = weights[0].shape[-2:]
            scale = rate * math.sqrt(max(1.0, rows / columns))
            shares = [local_tensor(weight) for weight in weights]
            if self.decay:
                torch._foreach_mul_(shares, 1 - rate * self.decay)
            for own, weight, step in zip(shares, weights, steps.view_as(matrices), strict=True):
                own.add_(extract_shard(step, weight), alpha=-scale)

    def _nesterov_momentum(self, names: list[str], number: int) -> list[Tensor]:
        weights = [self.weights[name] for name in names]
        gradients = [
            torch.zeros_like(local_tensor(w))
            if w.grad is None
            else local_tensor(place_gradient(w.grad, w))
            for w in weights
        ]
        momenta = [self.momentum.read(name) for name in names]
        torch._foreach_lerp_(momenta, gradients, 1 - self.config.momentum)
        for name, momentum in zip(names, momenta, strict=True):
            self.momentum.write(name, momentum, number)
        return list(torch._foreach_lerp(gradients, momenta, self.config.momentum))


def _group_by_shape(weights: Mapping[str, Tensor]) -> list[list[str]]:
    groups: dict[torch.Size, list[str]] = {}
    for name, weight in weights.items():
        groups.setdefault(weight.shape, []).append(name)
    return list(groups.values())


class SGD:
    """SGD for some weights; without momentum it has no state."""

    def __init__(
        self, weights: Mapping[str, Tensor], config: OptimConfig, decay: float, state: StateDtype
    ) -> None:
        self.weights, self.config, self.decay = weights, config, decay
        self.momentum = OptimizerState(
            "momentum", weights if config.momentum else {}, state, config
        )

    def state(self) -> dict[str, Tensor]:
        """Every tensor of the state under a flat name."""
        return self.momentum.state()

    def step(self, number: int, rate: float) -> None:
        """Update the weights that have a gradient."""
        for name, weight in self.weights.items():
            if weight.grad is None:
                continue
            own, gradient = local_tensor(weight), local_tensor(place_gradient(weight.grad, weight))
            if self.decay:
                own.mul_(1 - rate * self.decay)
            if not self.config.momentum:
                own.add_(gradient, alpha=-rate)
            elif self.momentum.is_exact(name):
                own.add_(self._update_momentum(self.momentum.read(name), gradient), alpha=-rate)
            else:
                for rows in row_chunks(weight):
                    momentum = self.momentum.read(name, rows)
                    own[rows].add_(self._update_momentum(momentum, gradient[rows]), alpha=-rate)
                    self.momentum.write(name, momentum, number, rows)

    def _update_momentum(self, momentum: Tensor, gradient: Tensor) -> Tensor:
        """Update the momentum in place; return the direction of the step."""
        momentum.mul_(self.config.momentum).add_(gradient)
        if not self.config.nesterov:
            return momentum
        return torch.add(gradient, momentum, alpha=self.config.momentum)
