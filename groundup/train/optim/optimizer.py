"""The optimizer: groups of weights, each with its own algorithm, behind one object.

Knows names and tensors, but no models: kinds follow from names. A block's matrices use
`matrix_optimizer`, the rest `other_optimizer`; an untied input embedding has its own learning rate;
vectors do not decay. Configured rules override this by kind or name, and weights with equal
settings form one group. The state is plain named tensors, `PART.WEIGHT`, sharded as the weights
are, which is all that a checkpoint needs.
On a mesh a process may have a shard of a gradient. For clipping, squares are summed over the
dimensions that a gradient is sharded along, not over those along which it is replicated, and every
process gets the same bits, so that all clip by the same factor.
"""

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, distributed, nn
from torch.distributed.tensor import DTensor, Replicate

from groundup.core import ConfigError

from ..parallel.mesh import SINGLE_PROCESS, Mesh
from .config import OptimConfig, OptimizerName, RuleConfig, StateDtype, WeightKind
from .rules import SGD, Adafactor, AdamW, Muon
from .sharded import copy_into, local_tensor


class GroupSettings(NamedTuple):
    """Optimizer settings of a group of weights."""

    optimizer: OptimizerName
    learning_rate: float
    """Peak learning rate."""
    decay: float
    state: StateDtype
    rule_index: int | None
    """Index of the matching rule; None: the default."""


def group_parameters(
    weights: Mapping[str, nn.Parameter],
    config: OptimConfig,
    *,
    names: Container[str] | None = None,
) -> dict[GroupSettings, dict[str, nn.Parameter]]:
    """Group weights by their settings, in the order of their names.

    names  all names of the model, where `weights` are only a pipeline stage's, which a rule need
           not match

    Raises ConfigError if a rule matches no weight or has an invalid pattern, or all rates are zero.
    """
    grouped: dict[GroupSettings, dict[str, nn.Parameter]] = {}
    patterns = [_compile_names(rule) for rule in config.rules]
    for name, weight in weights.items():
        group = _settings_of(name, weight, names or weights, config, patterns)
        grouped.setdefault(group, {})[name] = weight
    for number, rule in enumerate(config.rules):
        if names is None and not any(
            _rule_matches(rule, patterns[number], n, w) for n, w in weights.items()
        ):
            raise ConfigError(
                f"optim.rules[{number}] ({_format_rule(rule)}) matches no weight; expected names "
                f"such as "
                f"{', '.join(list(weights)[:3])} and kinds matrix, expert, embedding, head, vector."
            )
    if names is None and grouped and not any(group.learning_rate for group in grouped):
        raise ConfigError(
            "Every learning rate is 0; set optim.learning_rate, or optim.muon_learning_rate for "
            "matrices."
        )
    return grouped


def _settings_of(
    name: str,
    weight: Tensor,
    names: Container[str],
    config: OptimConfig,
    patterns: list[re.Pattern[str]],
) -> GroupSettings:
    kind = _weight_kind(name, weight)
    pairs = enumerate(zip(config.rules, patterns, strict=True))
    index = next((i for i, (rule, own) in pairs if _rule_matches(rule, own, name, weight)), None)
    rule = RuleConfig() if index is None else config.rules[index]
    optimizer = rule.optimizer or (
        config.matrix_optimizer if kind == "matrix" else config.other_optimizer
    )
    rate = config.learning_rate
    if optimizer == "muon":
        rate = config.muon_learning_rate
    elif optimizer == "adamw" and _is_untied_embedding(name, names):
        rate = config.embedding_learning_rate
    decay = config.weight_decay if weight.ndim >= 2 else 0.0
    return GroupSettings(
        optimizer,
        rate if rule.learning_rate is None else rule.learning_rate,
        decay if rule.weight_decay is None else rule.weight_decay,
        rule.state or config.state,
        index,
    )


def _weight_kind(name: str, weight: Tensor) -> WeightKind:
    """A weight's kind, from its name and dimensions.

    >>> _weight_kind("layers.0.attention.q_proj.weight", nn.Linear(2, 3).weight)
    'matrix'
    """
    if weight.ndim < 2:
        return "vector"
    if "embed" in name:
        return "embedding"
    if "head" in name:
        return "head"
    return "matrix" if weight.ndim == 2 else "expert"


def _is_untied_embedding(name: str, names: Container[str]) -> bool:
    """Whether this is the input embedding of a model with untied output.

    >>> _is_untied_embedding("embed_tokens.weight", ["lm_head.weight"])
    True
    """
    prefix, separator, _ = name.partition("embed_tokens.")
    return bool(separator) and f"{prefix}lm_head.weight" in names


def _rule_matches(rule: RuleConfig, pattern: re.Pattern[str], name: str, weight: Tensor) -> bool:
    is_kind = not rule.kinds or _weight_kind(name, weight) in rule.kinds
    return is_kind and bool(pattern.search(name))


def _compile_names(rule: RuleConfig) -> re.Pattern[str]:
    try:
        return re.compile(rule.names)
    except re.error as error:
        raise ConfigError(
            f"names={rule.names!r} of a rule is not a regular expression: {error}."
        ) from None


def _format_rule(rule: RuleConfig) -> str:
    parts = [f"names={rule.names!r}"] if rule.names else []
    return ", ".join([*parts, *([f"kinds={list(rule.kinds)}"] if rule.kinds else [])]) or "all"


def group_label(group: GroupSettings, weights: Iterable[tuple[str, Tensor]]) -> str:
    """A group's name in metrics: optimizer, kinds, peak rate and rule.

    >>> settings = GroupSettings("muon", 0.02, 0.0, "float32", None)
    >>> group_label(settings, [("q_proj", nn.Linear(2, 2).weight)])
    'muon matrix at 0.02'
    """
    kinds = dict.fromkeys(_weight_kind(name, weight) for name, weight in weights)
    rule = "" if group.rule_index is None else f" rule {group.rule_index}"
    return f"{group.optimizer} {'+'.join(kinds)} at {group.learning_rate:g}{rule}"


@torch.no_grad()
def clip_grad_norm(
    parameters: Sequence[nn.Parameter],
    max_norm: float,
    *,
    scale: float = 1.0,
    mesh: Mesh = SINGLE_PROCESS,
) -> float:
    """Divide gradients by `scale` and clip them to a norm of `max_norm`; return the norm before.

    max_norm  0: no clipping
    mesh      processes with other shards of the gradients
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    own = [local_tensor(gradient) for gradient in gradients]
    if scale != 1.0:
        torch._foreach_div_(own, scale)
    norm = (
        nn.utils.get_total_norm(own) if mesh.device_mesh is None else _sharded_norm(gradients, mesh)
    )
    if max_norm and own:
        factor = torch.clamp(max_norm / (norm + 1e-6), max=1.0)
        torch._foreach_mul_(own, factor.to(own[0]))
    return float(norm)


def _sharded_norm(gradients: Sequence[Tensor], mesh: Mesh) -> Tensor:
    """Norm of gradients of which each process of a mesh has some, or shards.

    One sum of squares for each set of dimensions that gradients are sharded along; along each
    dimension, the sums of the sets that contain it are reduced. Along a pipeline all are.
    """
    sets = [frozenset(some) for count in range(len(mesh.dimensions) + 1)
            for some in combinations(mesh.dimensions, count)]  # fmt: skip
    shards: dict[frozenset[str], list[Tensor]] = {some: [] for some in sets}
    for gradient in gradients:
        along = _sharded_dimensions(gradient) | ({"pipeline"} & set(mesh.dimensions))
        shards[frozenset(along)].append(local_tensor(gradient))
    squares = mesh.collective_tensor([
        float(torch.stack(torch._foreach_norm(own)).double().square().sum()) if own else 0.0
        for own in shards.values()
    ])  # fmt: skip
    for dimension in mesh.dimensions:
        indices = [index for index, some in enumerate(sets) if dimension in some]
        sums = squares[indices]
        distributed.all_reduce(sums, group=mesh.submesh(dimension).get_group())
        squares[indices] = sums
    distributed.broadcast(squares, src=0)
    return squares.sum().sqrt()


def _sharded_dimensions(tensor: Tensor) -> set[str]:
    if not isinstance(tensor, DTensor):
        return set()
    named = zip(tensor.device_mesh.mesh_dim_names or (), tensor.placements, strict=True)
    return {part for name, where in named if not isinstance(where, Replicate)
            for part in name.split("_")}  # fmt: skip


class Algorithm(Protocol):
    """An optimizer algorithm for the weights of a group."""

    def state(self) -> dict[str, Tensor]:
        """Every tensor of the state under a flat name, without copying."""
        ...

    def step(self, number: int, rate: float) -> None:
        """Update the weights; `number` counts steps from 1."""
        ...


ALGORITHMS = {"adamw": AdamW, "muon": Muon, "adafactor": Adafactor, "sgd": SGD}


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
    """Bytes of all states of an unsharded model; they are made without memory."""
    meta = (
        (name, nn.Parameter(p.detach().to("meta"))) for name, p in parameters if p.requires_grad
    )
    states = Optimizer(meta, config).state()
    return sum(state.nbytes for name, state in states.items() if name != "steps")
