"""The optimizer: groups of weights, each with its own algorithm, behind one object.

Knows names and tensors, but no models: kinds follow from names. Its state is plain named tensors,
`PART.WEIGHT`, sharded as the weights are, which is all that a checkpoint needs.
"""

from collections.abc import Container, Iterable, Mapping
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from groundup.core import ConfigError

from ..parallel.mesh import SINGLE_PROCESS, Mesh
from .adafactor import Adafactor, adafactor_bytes
from .adamw import AdamW, adamw_bytes
from .clip import clip_grad_norm
from .config import OptimConfig
from .muon import Muon, muon_bytes
from .parameter_groups import GroupSettings, group_label, group_parameters
from .sgd import SGD, sgd_bytes
from .sharded import copy_into, local_tensor


class Algorithm(Protocol):
    """An optimizer algorithm for the weights of a group."""

    def state(self) -> dict[str, Tensor]:
        """Every tensor of the state under a flat name, without copying."""
        ...

    def step(self, number: int, rate: float) -> None:
        """Update the weights; `number` counts steps from 1."""
        ...


ALGORITHMS = {"adamw": AdamW, "muon": Muon, "adafactor": Adafactor, "sgd": SGD}
STATE_BYTES = {
    "adamw": adamw_bytes,
    "muon": muon_bytes,
    "adafactor": adafactor_bytes,
    "sgd": sgd_bytes,
}


class ParameterGroup(NamedTuple):
    """A group with its weights and algorithm."""

    label: str
    settings: GroupSettings
    weights: dict[str, nn.Parameter]
    algorithm: Algorithm


class Optimizer:
    """Updates a model's weights; its state is plain named tensors."""

    def __init__(
        self,
        parameters: Iterable[tuple[str, nn.Parameter]],
        config: OptimConfig,
        *,
        names: Container[str] | None = None,
    ) -> None:
        """Group the trainable parameters.

        names  all names of the model, where `parameters` are only a pipeline stage's

        Raises ConfigError if nothing is trainable, and for invalid rules (see `group_parameters`).
        """
        self.config, self.steps = config, 0
        self.weights = {name: p for name, p in parameters if p.requires_grad}
        if not self.weights:
            raise ConfigError("The model has no trainable parameter; expected at least one.")
        self.parameter_groups = [
            ParameterGroup(group_label(group, own.items()), group, own,
                 ALGORITHMS[group.optimizer](own, config, group.decay, group.state))
            for group, own in group_parameters(self.weights, config, names=names).items()
        ]  # fmt: skip
        self.norms: dict[str, float] = {}
        """Gradient norm of each group before clipping, at the last step; if `group_norms`."""

    def zero_grad(self) -> None:
        """Set all gradients to None."""
        for weight in self.weights.values():
            weight.grad = None

    @torch.no_grad()
    def clip_gradients(self, scale: float = 1.0, mesh: Mesh = SINGLE_PROCESS) -> float:
        """Divide the gradients by `scale` and clip them; return their norm before norm clipping.

        `clip_value` is applied first.
        """
        if self.config.clip_value:
            gradients = [local_tensor(w.grad) for w in self.weights.values() if w.grad is not None]
            most = self.config.clip_value * scale
            torch._foreach_clamp_max_(gradients, most)
            torch._foreach_clamp_min_(gradients, -most)
        if self.config.group_norms:
            self.norms = {
                part.label: clip_grad_norm(list(part.weights.values()), 0.0, mesh=mesh) / scale
                for part in self.parameter_groups
            }
        return clip_grad_norm(list(self.weights.values()), self.config.clip, scale=scale, mesh=mesh)

    @torch.no_grad()
    def step(self, lr_multiplier: float) -> None:
        """Update the weights; learning rates are the peak rates times `lr_multiplier`."""
        self.steps += 1
        for part in self.parameter_groups:
            part.algorithm.step(self.steps, part.settings.learning_rate * lr_multiplier)

    def state(self) -> dict[str, Tensor]:
        """Every tensor of the state under a flat name, without copying."""
        state = {"steps": torch.tensor(self.steps)}
        for part in self.parameter_groups:
            state |= part.algorithm.state()
        return state

    @torch.no_grad()
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore a state of complete tensors, or of tensors sharded as the weights are.

        Raises ConfigError if it belongs to other weights or was kept in another dtype.
        """
        own = self.state()
        if own.keys() != state.keys():
            odd = sorted(own.keys() ^ state.keys())[:3]
            raise ConfigError(f"The optimizer state is of another model: {', '.join(odd)} differ.")
        for name, tensor in state.items():
            if (tensor.shape, tensor.dtype) != (own[name].shape, own[name].dtype):
                raise ConfigError(
                    f"The optimizer state's {name} is {tuple(tensor.shape)} {tensor.dtype}; "
                    f"expected {tuple(own[name].shape)} {own[name].dtype}; use the same optim."
                )
        for name, tensor in state.items():
            copy_into(own[name], tensor)
        self.steps = int(state["steps"])


def optimizer_state_bytes(
    parameters: Iterable[tuple[str, nn.Parameter]], config: OptimConfig
) -> int:
    """Bytes of all states of an unsharded model, by formula; parameters may be on `meta`.

    AdamW    2 states      Muon, SGD with momentum  1      Adafactor  4 (R + C) of a matrix
    """
    weights = {name: p for name, p in parameters if p.requires_grad}
    return sum(
        STATE_BYTES[group.optimizer](weight, config, group.state)
        for group, own in group_parameters(weights, config).items()
        for weight in own.values()
    )
