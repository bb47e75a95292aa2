"""SGD, with optional (Nesterov) momentum.

    b = μ b + g        w = (1 - rate·decay) w - rate · (b, or g + μ b with Nesterov)

Source: Sutskever et al. 2013, "On the importance of initialization and momentum in deep learning",
in torch's form. Departs from torch: the decay is decoupled, as AdamW's.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from .config import OptimConfig, StateDtype
from .sharded import local_tensor, place_gradient
from .states import OptimizerState, row_chunks, stored_state_bytes


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


def sgd_bytes(weight: Tensor, config: OptimConfig, state: StateDtype) -> int:
    """Bytes of SGD's state of an unsharded weight."""
    return stored_state_bytes(weight, state, config.state_block) if config.momentum else 0
