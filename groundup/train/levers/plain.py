"""torch's AdamW one weight after the other: what the fused step of `optim/` is measured against."""

from collections.abc import Iterable

import torch
from torch import nn

from ..optim.clip import clip
from ..optim.config import OptimConfig
from ..optim.optimizer import Optimizer
from ..parallel.mesh import ALONE, Mesh


class PlainAdamW(Optimizer):
    """What the loop asks of an optimizer, done plainly; it shares no state with its class."""

    def __init__(self, parameters: Iterable[tuple[str, nn.Parameter]], config: OptimConfig) -> None:
        self.plain, self.config = [weight for _, weight in parameters], config
        betas = (config.beta1, config.beta2)
        self.adamw = torch.optim.AdamW(
            self.plain, config.learning_rate, betas, config.epsilon, config.weight_decay,
            foreach=False, fused=False,
        )  # fmt: skip

    def zero_grad(self) -> None:
        """Forget the gradients."""
        self.adamw.zero_grad()

    def clip(self, scale: float = 1.0, mesh: Mesh = ALONE) -> float:
        """Divide the gradients by `scale` and clip them; return their norm before clipping."""
        return clip(self.plain, self.config.clip, scale=scale, mesh=mesh)

    def step(self, multiplier: float) -> None:
        """Move the weights by their gradients."""
        for group in self.adamw.param_groups:
            group["lr"] = self.config.learning_rate * multiplier
        self.adamw.step()
