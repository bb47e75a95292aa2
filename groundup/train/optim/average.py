"""Exponential moving average of the weights, which is often the better model.

    mean += share · (weight - mean)        share = (1 - decay) / (1 - decay^t), or 1 - decay

The first share is bias-corrected as in Adam: at every step the mean is a weighted mean of all
weights so far, without a term from initialisation. Uncorrected, the first weights keep the factor
decay^t, as in torch's AveragedModel.
Source: Polyak & Juditsky 1992; the correction, Kingma & Ba 2015, arXiv:1412.6980, §3.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from groundup.core import ConfigError

from .sharded import copy_into, local_tensor


class WeightAverage:
    """Moving average of some weights, in float32, sharded as they are."""

    def __init__(
        self,
        parameters: Iterable[tuple[str, nn.Parameter]],
        decay: float,
        *,
        is_corrected: bool = True,
    ) -> None:
        """Start empty: the first update copies the weights.

        decay  share of the mean that each update keeps, in [0, 1)
        """
        if not 0 <= decay < 1:
            raise ConfigError(f"decay={decay} must be at least 0 and below 1.")
        self.weights = dict(parameters)
        self.decay, self.is_corrected, self.updates = decay, is_corrected, 0
        self.means = {
            name: torch.zeros_like(w, dtype=torch.float32, requires_grad=False)
            for name, w in self.weights.items()
        }

    @torch.no_grad()
    def update(self) -> None:
        """Add the current weights to the mean."""
        self.updates += 1
        share = 1 - self.decay
        if self.is_corrected:
            share /= 1 - self.decay**self.updates
        means = [local_tensor(mean) for mean in self.means.values()]
        weights = [local_tensor(weight).float() for weight in self.weights.values()]
        if self.updates == 1:
            torch._foreach_copy_(means, weights)
        else:
            torch._foreach_lerp_(means, weights, share)

    @contextmanager
    def swapped_in(self, model: nn.Module) -> Iterator[nn.Module]:
        """The model with the mean as its weights; restores the weights exactly on exit.

        Weights that are not averaged stay. Where processes have shards of weights that the model
        has replicated, only the shards change, and the caller synchronises before and after.
        Raises ConfigError before the first update.
        """
        if not self.updates:
            raise ConfigError("The weight average has no updates yet; call update() first.")
        own = {name: self.weights[name] for name, _ in model.named_parameters()
               if name in self.means}  # fmt: skip
        if not own:
            raise ConfigError("The weight average shares no weight name with the model.")
        saved = {name: local_tensor(p).clone() for name, p in own.items()}
        try:
            with torch.no_grad():
                for name, p in own.items():
                    local_tensor(p).copy_(local_tensor(self.means[name]))
            yield model
        finally:
            with torch.no_grad():
                for name, p in own.items():
                    local_tensor(p).copy_(saved[name])

    def state(self) -> dict[str, Tensor]:
        """Every tensor of the state under a flat name, without copying."""
        means = {f"average.{name}": mean for name, mean in self.means.items()}
        return {"updates": torch.tensor(self.updates), **means}

    @torch.no_grad()
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore a state; ConfigError if it is of other weights."""
        own = self.state()
        if own.keys() != state.keys():
            odd = sorted(own.keys() ^ state.keys())[:3]
            raise ConfigError(f"The weight average is of another model: {', '.join(odd)} differ.")
        for name, tensor in state.items():
            copy_into(own[name], tensor)
        self.updates = int(state["updates"])
