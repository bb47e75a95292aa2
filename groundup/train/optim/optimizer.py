"""The optimizer: groups of weights, each moved in its own way, behind one object.

Knows names and tensors, but no models: kinds follow from names. Its state is plain named tensors,
`PART.WEIGHT`, that lie as the weights do; a checkpoint needs nothing else.
"""

from collections.abc import Container, Iterable, Mapping
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from groundup.core import ConfigError

from ..parallel.mesh import ALONE, Mesh
from .adafactor import Adafactor, adafactor_bytes
from .adamw import AdamW, adamw_bytes
from .clip import clip
from .config import OptimConfig
from .groups import Group, groups, label
from .muon import Muon, muon_bytes
from .sgd import SGD, sgd_bytes
from .sharded import copy, local


class Method(Protocol):
    """One optimizer over the weights of a group."""

    def state(self) -> dict[str, Tensor]:
        """Every tensor of the state under a flat name, without copying."""
        ...

    def step(self, number: int, rate: float) -> None:
        """Move the weights; `number` counts the steps with this one."""
        ...


METHODS = {"adamw": AdamW, "muon": Muon, "adafactor": Adafactor, "sgd": SGD}
BYTES = {"adamw": adamw_bytes, "muon": muon_bytes, "adafactor": adafactor_bytes, "sgd": sgd_bytes}


class Part(NamedTuple):
    """A group at work."""

    label: str
    group: Group
    weights: dict[str, nn.Parameter]
    method: Method


class Optimizer:
    """What moves a model's weights; its state is plain named tensors."""

    def __init__(
        self,
        parameters: Iterable[tuple[str, nn.Parameter]],
        config: OptimConfig,
        *,
        names: Container[str] | None = None,
    ) -> None:
        """Sort trainable parameters into groups.

        names  of the whole model's weights, where these are a share of them (a pipeline's)

        Raises ConfigError if nothing is trainable, and for rules that cannot be (see `groups`).
        """
        self.config, self.steps = config, 0
        self.weights = {name: p for name, p in parameters if p.requires_grad}
        if not self.weights:
            raise ConfigError("The model has no trainable parameter; expected at least one.")
        self.parts = [
            Part(label(group, own.items()), group, own,
                 METHODS[group.optimizer](own, config, group.decay, group.state))
            for group, own in groups(self.weights, config, names=names).items()
        ]  # fmt: skip
        self.norms: dict[str, float] = {}
        """Gradient norm of each group before clipping, at the last step; if `group_norms`."""

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for weight in self.weights.values():
            weight.grad = None

    @torch.no_grad()
    def clip(self, scale: float = 1.0, mesh: Mesh = ALONE) -> float:
        """Divide the gradients by `scale` and clip them; return their norm before clipping.

        Numbers are cut to `clip_value` first, and count as cut.
        """
        if self.config.clip_value:
            gradients = [local(w.grad) for w in self.weights.values() if w.grad is not None]
            most = self.config.clip_value * scale
            torch._foreach_clamp_max_(gradients, most)
            torch._foreach_clamp_min_(gradients, -most)
        if self.config.group_norms:
            self.norms = {
                part.label: clip(list(part.weights.values()), 0.0, mesh=mesh) / scale
                for part in self.parts
            }
        return clip(list(self.weights.values()), self.config.clip, scale=scale, mesh=mesh)

    @torch.no_grad()
    def step(self, multiplier: float) -> None:
        """Move the weights by their gradients, at so large a share of the peak rates."""
        self.steps += 1
        for part in self.parts:
            part.method.step(self.steps, part.group.rate * multiplier)

    def state(self) -> dict[str, Tensor]:
        """Every tensor of the state under a flat name, without copying."""
        found = {"steps": torch.tensor(self.steps)}
        for part in self.parts:
            found |= part.method.state()
        return found

    @torch.no_grad()
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over a state, of whole tensors or of such as lie as the weights do.

        Raises ConfigError if it belongs to other weights, or was kept in another way.
        """
        own = self.state()
        if own.keys() != state.keys():
            odd = sorted(own.keys() ^ state.keys())[:3]
            raise ConfigError(f"The optimizer state is of another model: {', '.join(odd)} differ.")
        for name, tensor in state.items():
            if (tensor.shape, tensor.dtype) != (own[name].shape, own[name].dtype):
                raise ConfigError(
                    f"The optimizer state's {name} is {tuple(tensor.shape)} {tensor.dtype}; "
                    f"expected {tuple(own[name].shape)} {own[name].dtype}. Set optim as it was."
                )
        for name, tensor in state.items():
            copy(own[name], tensor)
        self.steps = int(state["steps"])


def state_bytes(parameters: Iterable[tuple[str, nn.Parameter]], config: OptimConfig) -> int:
    """Bytes of all states of a whole model, by formula; its parameters may be on `meta`.

    AdamW    2 states      Muon, SGD with momentum  1      Adafactor  4 (R + C) of a matrix
    """
    weights = {name: p for name, p in parameters if p.requires_grad}
    return sum(
        BYTES[group.optimizer](weight, config, group.state)
        for group, own in groups(weights, config).items()
        for weight in own.values()
    )
