"""Muon: a matrix is updated by the orthogonal matrix nearest to its momentum.

All directions are learnt at the same speed. The nearest orthogonal matrix is approximated by
Newton-Schulz iterations. Matrices of one shape are stacked and orthogonalised together, because on
a CPU the calls cost more than the arithmetic. A sharded matrix's momentum stays sharded; it is
gathered and orthogonalised on every process, and each applies its own shard of the update.

Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"; scale by
shape as in Liu et al. 2025, arXiv:2502.16982.
"""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from groundup.core import ConfigError

from .config import OptimConfig, StateDtype
from .sharded import extract_shard, gather_shards, local_tensor, place_gradient
from .states import OptimizerState, stored_state_bytes


def _orthogonalise(matrices: Float[Tensor, "N R C"], iterations: int) -> Float[Tensor, "N R C"]:
    """Nearest matrices with singular values near 1, by Newton-Schulz iterations in bfloat16.

    Each iteration maps every singular value s to a*s + b*s^3 + c*s^5; the coefficients trade
    accuracy for speed: after 5 iterations singular values are between about 0.7 and 1.2; after 3
    the smallest are still small, and so is the update along their directions.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = (x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)).bfloat16()
    for _ in range(iterations):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
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
        """Update the momenta; return the Nesterov look-ahead."""
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
    """Group names of weights of equal shape, in order."""
    groups: dict[torch.Size, list[str]] = {}
    for name, weight in weights.items():
        groups.setdefault(weight.shape, []).append(name)
    return list(groups.values())


def muon_bytes(weight: Tensor, config: OptimConfig, state: StateDtype) -> int:
    """Bytes of Muon's state of an unsharded weight."""
    return stored_state_bytes(weight, state, config.state_block)
