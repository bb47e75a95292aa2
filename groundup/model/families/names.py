"""Tables of words between a peer's files and ours: names of tensors and keys of config.json.

A pair is the beginning of a name, theirs and ours, `{}` standing for a layer's number. Each table
reads both ways, so what opens can be written again.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from groundup.core import ArtifactError, ConfigError

from ..config import Activation, RopeScaling

Pairs = tuple[tuple[str, str], ...]
State = dict[str, Tensor]

ACTIVATIONS: dict[str, Activation] = {
    "relu": "relu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "silu": "silu",
    "swish": "silu",
}
"""Their names of activations and ours."""


def renamed(state: Mapping[str, Tensor], pairs: Pairs, *, to_theirs: bool = False) -> State:
    """The same tensors under the other side's names; names in no pair stay as they are.

    >>> import torch
    >>> pairs = (("model.layers.{}.self_attn.", "layers.{}.attention."),)
    >>> list(renamed({"model.layers.7.self_attn.q_proj.weight": torch.ones(1)}, pairs))
    ['layers.7.attention.q_proj.weight']
    """
    rules = [(rule(b), a) if to_theirs else (rule(a), b) for a, b in pairs]
    return {rename(name, rules): tensor for name, tensor in state.items()}


def rule(begin: str) -> re.Pattern[str]:
    """What names that begin so look like."""
    return re.compile("^" + re.escape(begin).replace(r"\{\}", r"(\d+)"))


def rename(name: str, rules: Iterable[tuple[re.Pattern[str], str]]) -> str:
    """A name with its beginning replaced by the first rule that fits."""
    for pattern, other in rules:
        if found := pattern.match(name):
            return other.format(*found.groups()) + name[found.end() :]
    return name


def edited(state: State, ending: str, edit: Callable[[Tensor], Tensor]) -> State:
    """The state with every tensor whose name matches `ending` (a regular expression) edited."""
    pattern = re.compile(ending + "$")
    return {name: edit(t) if pattern.search(name) else t for name, t in state.items()}


def one_table(state: State, table: str, copies: Iterable[str]) -> State:
    """The state with an embedding once, where files may hold it under several names.

    Raises ArtifactError if two of them differ.
    """
    state = dict(state)
    for name in copies:
        copy = state.pop(name, None)
        if copy is not None and not torch.equal(copy, state.setdefault(table, copy)):
            raise ArtifactError(
                f"{name} is not {table}; groundup computes one embedding for both sides."
            )
    return state


def needed(values: Mapping[str, Any], key: str, family: str) -> Any:
    """A value of config.json that a family cannot do without.

    Raises ArtifactError if it is missing.
    """
    if values.get(key) is None:
        raise ArtifactError(f"config.json has no {key}; a {family} needs it.")
    return values[key]


def only(values: Mapping[str, Any], allowed: Mapping[str, tuple[Any, ...]]) -> None:
    """Refuse values of config.json that ask for what we do not compute.

    allowed  the values of each key that we compute; an absent key has the first

    Raises ArtifactError naming the key.
    """
    for key, good in allowed.items():
        if values.get(key, good[0]) not in good:
            raise ArtifactError(
                f"config.json has {key}={values[key]!r}; groundup computes {key}={good[0]!r}."
            )


def activation(values: Mapping[str, Any], key: str, default: str) -> Activation:
    """Our name of an activation.

    Raises ArtifactError if we do not have it.
    """
    name = values.get(key, default)
    if name not in ACTIVATIONS:
        raise ArtifactError(
            f"config.json has {key}={name!r}; groundup computes {', '.join(ACTIVATIONS)}."
        )
    return ACTIVATIONS[name]


def their_activation(name: Activation, tanh: str = "gelu_pytorch_tanh") -> str:
    """Their name of an activation; `tanh` is what the family calls GELU's approximation."""
    return tanh if name == "gelu_tanh" else name


def unsaid(config: Any, expected: Any, family: str) -> None:
    """Refuse to write a configuration that a family's files cannot say.

    expected  what reading the written file would give

    Raises ConfigError naming the first value that would be lost.
    """
    for name in type(config).model_fields:
        ours, theirs = getattr(config, name), getattr(expected, name)
        if ours != theirs:
            if hasattr(type(ours), "model_fields") and type(ours) is type(theirs):
                unsaid(ours, theirs, family)
            raise ConfigError(
                f"{type(config).__name__}.{name}={ours!r} cannot be written as {family}, "
                f"which has {theirs!r}."
            )


def rope_of(values: Mapping[str, Any], base: float = 10_000.0) -> tuple[float, RopeScaling]:
    """Base and scaling of rotary positions, from files of any version of Transformers.

    Raises ArtifactError for a scaling that we do not compute.
    """
    rope = values.get("rope_parameters") or values.get("rope_scaling") or {}
    kind = rope.get("rope_type", rope.get("type", "default"))
    theta = rope.get("rope_theta", values.get("rope_theta")) or base
    if kind == "default":
        return theta, RopeScaling()
    if kind not in ("linear", "yarn", "llama3"):
        raise ArtifactError(
            f"config.json has rope_type {kind!r}; groundup computes default, linear, yarn and "
            "llama3."
        )
    original = rope.get("original_max_position_embeddings") or 0
    if kind == "linear":
        return theta, RopeScaling(kind="linear", factor=rope["factor"])
    if kind == "llama3":
        low, high = rope["low_freq_factor"], rope["high_freq_factor"]
        return theta, RopeScaling(
            kind="llama3", factor=rope["factor"], original_length=original, low=low, high=high
        )
    return theta, RopeScaling(
        kind="yarn", factor=rope["factor"], original_length=original,
        low=rope.get("beta_slow") or 1.0, high=rope.get("beta_fast") or 32.0,
        attention=rope.get("attention_factor"), truncate=rope.get("truncate", True),
    )  # fmt: skip


def rope_parameters(base: float, scaling: RopeScaling, family: str) -> dict[str, Any]:
    """The rope_parameters of a config.json; undoes `rope_of`.

    Raises ConfigError for NTK's scaling, which no file can say: give the larger base instead.
    """
    if scaling.kind == "ntk":
        raise ConfigError(
            f"PositionConfig.scaling.kind='ntk' cannot be written as {family}; set "
            "position.base to base * factor^(head_dim / (head_dim - 2)), which is the same."
        )
    if scaling.kind == "none":
        return {"rope_type": "default", "rope_theta": base}
    values: dict[str, Any] = {"rope_type": scaling.kind, "rope_theta": base}
    values["factor"] = scaling.factor
    if scaling.kind == "linear":
        return values
    if scaling.original_length:
        values["original_max_position_embeddings"] = scaling.original_length
    if scaling.kind == "llama3":
        return values | {"low_freq_factor": scaling.low, "high_freq_factor": scaling.high}
    values |= {"beta_slow": scaling.low, "beta_fast": scaling.high, "truncate": scaling.truncate}
    return values if scaling.attention is None else values | {"attention_factor": scaling.attention}
