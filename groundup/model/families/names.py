"""Tables of words between a peer's files and ours: names of tensors and keys of config.json.

A pair is the beginning of a name, theirs and ours, `{}` standing for a layer's number. Each table
reads both ways, so what opens can be written again.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from groundup.core import ArtifactError, ConfigError

from ..config import Activation, RopeScaling

Pairs = tuple[tuple[str, str], ...]
State = dict[str, Tensor]
Default = TypeVar("Default", float, None)

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


def counted(
    values: Mapping[str, Any], key: str, family: str, default: int | None = None, *,
    least: int = 1, most: int = 2**31,
) -> int:  # fmt: skip
    """A size of config.json: a whole number from `least` on.

    default  where the key is absent or null; None: the family needs it

    Raises ArtifactError naming the key if it is missing or no such number.

    >>> counted({"hidden_size": 64}, "hidden_size", "llama")
    64
    """
    value = needed(values, key, family) if default is None else values.get(key)
    value = default if value is None else value
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ArtifactError(
            f"config.json has {key}={value!r}; expected a whole number from {least} to {most}."
        )
    return value


def measured(values: Mapping[str, Any], key: str, default: Default = None) -> float | Default:
    """A positive number of config.json; `default` where the key is absent or null.

    Raises ArtifactError naming the key if it is anything else.
    """
    value = values.get(key)
    if value is None:
        return default
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 < value < math.inf:
        raise ArtifactError(f"config.json has {key}={value!r}; expected a number above 0.")
    return float(value)


def answered(values: Mapping[str, Any], key: str, default: bool) -> bool:
    """A yes or no of config.json; `default` where the key is absent or null.

    Raises ArtifactError naming the key if it is anything else.
    """
    value = values.get(key)
    value = default if value is None else value
    if not isinstance(value, bool):
        raise ArtifactError(f"config.json has {key}={value!r}; expected true or false.")
    return value


def architectures(values: Mapping[str, Any]) -> list[str]:
    """The peer's classes that a config.json names; none where it says nothing.

    Raises ArtifactError for anything but a list of names.
    """
    found = values.get("architectures")
    found = [] if found is None else found
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise ArtifactError(
            f"config.json has architectures={str(found)[:60]!r}; expected a list of names, such as "
            '["BertModel"].'
        )
    return found


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


LAYER_TYPES = ("full_attention", "sliding_attention")
ROPE_KEYS = frozenset("""
    attention_factor beta_fast beta_slow factor finetuned high_freq_factor low_freq_factor mscale
    mscale_all_dim original_max_position_embeddings partial_rotary_factor rope_theta rope_type
    truncate type
    """.split())  # fmt: skip
"""What may stand in rope_parameters; each type reads a part of it."""


def rope_of(values: Mapping[str, Any], base: float = 10_000.0) -> tuple[float, RopeScaling]:
    """Base and scaling of rotary positions, from files of any version of Transformers.

    A scaling that does not say the length of the training before it means the context's, as there.

    Raises ArtifactError for a scaling that we do not compute, or whose numbers are none.
    """
    rope = rope_object(values, "rope_scaling") or rope_object(values, "rope_parameters")
    only(values, {"partial_rotary_factor": (1.0, None)})
    only(rope, {"partial_rotary_factor": (1.0, None)})
    if unknown := sorted(rope.keys() - ROPE_KEYS):
        raise ArtifactError(
            f"config.json has rotary positions with {unknown[0]}={str(rope[unknown[0]])[:60]!r}; "
            f"groundup reads {', '.join(sorted(ROPE_KEYS))}."
        )
    kind = rope.get("rope_type", rope.get("type", "default"))
    theta = measured(rope, "rope_theta", measured(values, "rope_theta", base))
    if kind == "default":
        return theta, RopeScaling()
    if kind not in tuple(SCALING_OF):
        raise ArtifactError(
            f"config.json has rope_type {kind!r}; groundup computes default, "
            f"{', '.join(SCALING_OF)}."
        )
    return theta, SCALING_OF[kind](values, rope)


def layer_rope_of(
    values: Mapping[str, Any], kind: str, base: float, *, scaled: bool = True
) -> tuple[float, RopeScaling]:
    """Base and scaling in layers of one type, where `rope_parameters` has an object a type.

    kind    the layers' type
    base    where the type's own object does not say it
    scaled  whether `rope_scaling` of older files changes these layers; its words come last

    Raises ArtifactError as `rope_of` does, and for a YaRN that Transformers would compute otherwise
    than the object says.
    """
    nested = rope_object(values, "rope_parameters")
    if unknown := sorted(nested.keys() - LAYER_TYPES):
        raise ArtifactError(
            f"config.json has rope_parameters with {unknown[0]}={str(nested[unknown[0]])[:60]!r}; "
            f"expected an object for each of {', '.join(LAYER_TYPES)}."
        )
    own = dict(rope_object(nested, kind) or {"rope_type": "default"})
    if scaled:
        own |= rope_object(values, "rope_scaling")
    only(own, {"truncate": (True,)})  # Transformers looks for it a level higher
    whole = dict(values) | {"rope_parameters": own, "rope_scaling": None, "rope_theta": base}
    return rope_of(whole, base)


def rope_object(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """What a config.json says of rotary positions under a key; empty where it says nothing.

    Raises ArtifactError if that is no object.
    """
    rope = values.get(key) or {}
    if not isinstance(rope, Mapping):
        raise ArtifactError(f"config.json has {key}={rope!r}; expected an object.")
    return rope


def stretch(rope: Mapping[str, Any], key: str) -> float:
    """A number of a scaling, which cannot do without it."""
    needed(rope, key, f"rope scaling of type {rope.get('rope_type', rope.get('type'))}")
    return measured(rope, key, 1.0)


def linear_of(values: Mapping[str, Any], rope: Mapping[str, Any]) -> RopeScaling:
    """All angles by one factor."""
    return RopeScaling(kind="linear", factor=stretch(rope, "factor"))


def llama3_of(values: Mapping[str, Any], rope: Mapping[str, Any]) -> RopeScaling:
    """By wavelength in three bands."""
    return RopeScaling(
        kind="llama3", factor=stretch(rope, "factor"), low=stretch(rope, "low_freq_factor"),
        high=stretch(rope, "high_freq_factor"), original_length=original_length(values, rope),
    )  # fmt: skip


def yarn_of(values: Mapping[str, Any], rope: Mapping[str, Any]) -> RopeScaling:
    """By wavelength with a ramp; some files say its magnitude as a ratio of two."""
    only(rope, {"truncate": (True, False)})
    original = original_length(values, rope)
    longest = counted(values, "max_position_embeddings", "yarn rope scaling", original)
    factor = measured(rope, "factor", longest / original)
    attention = measured(rope, "attention_factor", None)
    over, under = (
        measured(rope, key, None) if rope.get(key) != 0 else None
        for key in ("mscale", "mscale_all_dim")
    )
    if attention is None and over and under:
        log = 0.1 * math.log(max(1.0, factor))
        attention = (over * log + 1) / (under * log + 1)
    return RopeScaling(
        kind="yarn", factor=factor, original_length=original, attention=attention,
        low=measured(rope, "beta_slow", 1.0), high=measured(rope, "beta_fast", 32.0),
        truncate=answered(rope, "truncate", True),
    )  # fmt: skip


SCALING_OF = {"linear": linear_of, "llama3": llama3_of, "yarn": yarn_of}


def original_length(values: Mapping[str, Any], rope: Mapping[str, Any]) -> int:
    """Context of the training before a scaling, tokens; where nothing says it, the context."""
    key = "original_max_position_embeddings"
    said = values if values.get(key) is not None else rope
    if said.get(key) is None:
        said, key = values, "max_position_embeddings"
    return counted(said, key, "rope scaling")


def rope_parameters(base: float, scaling: RopeScaling, family: str) -> dict[str, Any]:
    """The rope_parameters of a config.json; undoes `rope_of`.

    Raises ConfigError for what no file can say: NTK's scaling, for which the larger base does, and
    an original length that is left to follow from the context.
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
    if not scaling.original_length:
        raise ConfigError(
            f"PositionConfig.scaling.original_length=0 cannot be written as {family}; set it to "
            "the context of the training before it."
        )
    values["original_max_position_embeddings"] = scaling.original_length
    if scaling.kind == "llama3":
        return values | {"low_freq_factor": scaling.low, "high_freq_factor": scaling.high}
    values |= {"beta_slow": scaling.low, "beta_fast": scaling.high, "truncate": scaling.truncate}
    return values if scaling.attention is None else values | {"attention_factor": scaling.attention}


def head_width(width: int, heads: int) -> int:
    """Features of one head where heads share the model's width.

    Raises ArtifactError if they do not divide it.
    """
    if width % heads:
        raise ArtifactError(
            f"config.json has {heads} heads of a width of {width}, which they do not divide."
        )
    return width // heads


def without(state: Mapping[str, Tensor], names: str) -> State:
    """The tensors whose name does not match `names` (a regular expression) from its beginning."""
    pattern = re.compile(names)
    return {name: tensor for name, tensor in state.items() if not pattern.match(name)}
