"""Helpers that convert tensor names and config.json values between Hugging Face and groundup.

Tensors are renamed by pairs of name prefixes, (Hugging Face, groundup), in which `{}` stands for a
layer's number. A table of pairs works in both directions. Some files fuse tensors or transpose
them: GPT-2 both (Conv1D), ModernBERT fuses queries, keys and values, and gate and up projections.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from groundup.core import ArtifactError, ConfigError

from ..configuration.config import Activation, AttentionConfig, ModelConfig
from ..configuration.positions import RopeScaling

NamePairs = tuple[tuple[str, str], ...]
StateDict = dict[str, Tensor]
Default = TypeVar("Default", float, None)

ACTIVATIONS: dict[str, Activation] = {
    "relu": "relu", "relu2": "relu2", "gelu": "gelu", "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh", "gelu_fast": "gelu_tanh", "silu": "silu", "swish": "silu",
}  # fmt: skip
"""Hugging Face's names of activations, and groundup's."""


def rename_tensors(
    state: Mapping[str, Tensor], pairs: NamePairs, *, to_hf: bool = False
) -> StateDict:
    """Rename tensors by prefix; names that match no pair stay as they are.

    >>> import torch
    >>> pairs = (("model.layers.{}.self_attn.", "layers.{}.attention."),)
    >>> list(rename_tensors({"model.layers.7.self_attn.q_proj.weight": torch.ones(1)}, pairs))
    ['layers.7.attention.q_proj.weight']
    """
    rules = [(prefix_pattern(b), a) if to_hf else (prefix_pattern(a), b) for a, b in pairs]

    def renamed(name: str) -> str:
        for pattern, other in rules:
            if match := pattern.match(name):
                return other.format(*match.groups()) + name[match.end() :]
        return name

    return {renamed(name): tensor for name, tensor in state.items()}


def prefix_pattern(begin: str) -> re.Pattern[str]:
    """The pattern of names with this prefix."""
    return re.compile("^" + re.escape(begin).replace(r"\{\}", r"(\d+)"))


def map_tensors(state: StateDict, ending: str, edit: Callable[[Tensor], Tensor]) -> StateDict:
    """Apply `edit` to every tensor whose name ends with `ending` (a regular expression)."""
    pattern = re.compile(ending + "$")
    return {name: edit(t) if pattern.search(name) else t for name, t in state.items()}


def merge_tied_embeddings(state: StateDict, table: str, copies: Iterable[str]) -> StateDict:
    """Keep one copy of an embedding that files may store under several names.

    Raises ArtifactError if the copies differ.
    """
    state = dict(state)
    for name in copies:
        copy = state.pop(name, None)
        if copy is not None and not torch.equal(copy, state.setdefault(table, copy)):
            raise ArtifactError(f"{name} differs from {table}; groundup supports one embedding.")
    return state


def _get_required(values: Mapping[str, Any], key: str, family: str) -> Any:
    if values.get(key) is None:
        raise ArtifactError(f"config.json has no {key}, which {family} requires.")
    return values[key]


def get_int(
    values: Mapping[str, Any], key: str, family: str, default: int | None = None, *,
    minimum: int = 1, maximum: int = 2**31,
) -> int:  # fmt: skip
    """An integer of config.json, at least `minimum`.

    default  used if the key is absent or null; None: the key is required

    Raises ArtifactError naming the key if it is missing or invalid.

    >>> get_int({"hidden_size": 64}, "hidden_size", "llama")
    64
    """
    value = _get_required(values, key, family) if default is None else values.get(key)
    value = default if value is None else value
    if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
        expected = f"expected an integer from {minimum} to {maximum}"
        raise ArtifactError(f"config.json has {key}={value!r}; {expected}.")
    return value


def get_float(values: Mapping[str, Any], key: str, default: Default = None) -> float | Default:
    """A positive number of config.json; `default` if the key is absent or null.

    Raises ArtifactError naming the key if the value is anything else.
    """
    value = values.get(key)
    if value is None:
        return default
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 < value < math.inf:
        raise ArtifactError(f"config.json has {key}={value!r}; expected a number above 0.")
    return float(value)


def get_bool(values: Mapping[str, Any], key: str, default: bool) -> bool:
    """A bool of config.json; `default` if the key is absent.

    Null is false, as in Transformers, so where true is the default it is refused: few mean it.

    Raises ArtifactError naming the key if the value is anything else.
    """
    value = values.get(key, default)
    value = False if value is None and not default else value
    if not isinstance(value, bool):
        raise ArtifactError(f"config.json has {key}={value!r}; expected true or false.")
    return value


def get_list(values: Mapping[str, Any], key: str) -> list[Any]:
    """A list of config.json, empty if the key is absent or null; ArtifactError if it is none."""
    value = values.get(key)
    value = [] if value is None else value
    if not isinstance(value, list):
        raise ArtifactError(f"config.json has {key}={value!r}; expected a list.")
    return value


def get_architectures(values: Mapping[str, Any]) -> list[str]:
    """The class names that a config.json lists, if any.

    Raises ArtifactError for anything but a list of strings.
    """
    names = values.get("architectures")
    names = [] if names is None else names
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        expected = 'expected a list of names, such as ["BertModel"]'
        raise ArtifactError(f"config.json has architectures={str(names)[:60]!r}; {expected}.")
    return names


def require_supported(values: Mapping[str, Any], allowed: Mapping[str, tuple[Any, ...]]) -> None:
    """Raise ArtifactError for unsupported values of config.json.

    allowed  the supported values of each key; the first is the default of an absent key
    """
    for key, good in allowed.items():
        if values.get(key, good[0]) not in good:
            what = f"config.json has {key}={values[key]!r}"
            raise ArtifactError(f"{what}; groundup supports {key}={good[0]!r}.")


def get_activation(values: Mapping[str, Any], key: str, default: str) -> Activation:
    """groundup's name of an activation; raises ArtifactError if it is unsupported."""
    name = values.get(key, default)
    if name not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise ArtifactError(f"config.json has {key}={name!r}; groundup supports {known}.")
    return ACTIVATIONS[name]


def hf_activation(name: Activation, tanh: str = "gelu_pytorch_tanh") -> str:
    """Hugging Face's name of an activation; `tanh` is the family's name of approximate GELU."""
    return tanh if name == "gelu_tanh" else name


def require_defaults(config: Any, expected: Any, family: str) -> None:
    """Raise ConfigError naming the first field that the written file would not preserve.

    Fields that the family's files cannot express must have the values that the family implies.

    expected  the configuration that reading the written file gives
    """
    for name in type(config).model_fields:
        value, implied = getattr(config, name), getattr(expected, name)
        if value != implied:
            if hasattr(type(value), "model_fields") and type(value) is type(implied):
                require_defaults(value, implied, family)
            what = f"{type(config).__name__}.{name}={value!r} cannot be written as {family}"
            raise ConfigError(f"{what}, which has {implied!r}.")


LAYER_TYPES = ("full_attention", "sliding_attention")
ROPE_KEYS = frozenset("""
    attention_factor beta_fast beta_slow factor finetuned high_freq_factor long_factor
    low_freq_factor mscale mscale_all_dim original_max_position_embeddings partial_rotary_factor
    rope_theta rope_type short_factor truncate type
    """.split())  # fmt: skip
"""Accepted keys of rope_parameters; each rope_type reads some of them."""


def parse_rope(
    values: Mapping[str, Any], base: float = 10_000.0, *, partial: bool = False
) -> tuple[float, RopeScaling]:
    """Base and scaling of rotary positions, from files of any version of Transformers.

    As in Transformers, the original length of a scaling defaults to the context length.

    partial  whether the family may rotate a share of the features, which `get_rotated` reads

    Raises ArtifactError for an unsupported scaling or invalid numbers.
    """
    rope = _get_rope_dict(values, "rope_scaling") or _get_rope_dict(values, "rope_parameters")
    for each in () if partial else (values, rope):
        require_supported(each, {"partial_rotary_factor": (1.0, None)})
    if unknown := sorted(rope.keys() - ROPE_KEYS):
        what = f"{unknown[0]}={str(rope[unknown[0]])[:60]!r}"
        known = ", ".join(sorted(ROPE_KEYS))
        raise ArtifactError(f"config.json has rotary positions with {what}; expected {known}.")
    kind = rope.get("rope_type", rope.get("type", "default"))
    theta = get_float(rope, "rope_theta", get_float(values, "rope_theta", base))
    if kind == "default":
        return theta, RopeScaling()
    if kind not in tuple(SCALING_PARSERS):
        known = ", ".join(("default", *SCALING_PARSERS))
        raise ArtifactError(f"config.json has rope_type {kind!r}; groundup supports {known}.")
    return theta, SCALING_PARSERS[kind](values, rope)


def parse_layer_rope(
    values: Mapping[str, Any], kind: str, base: float, *, scaled: bool = True
) -> tuple[float, RopeScaling]:
    """Base and scaling of one layer type, where `rope_parameters` has an object per type.

    kind    the layer type
    base    default where the type's own object does not set it
    scaled  whether `rope_scaling` of older files applies to these layers; it takes precedence

    Raises ArtifactError as `parse_rope` does, and for a YaRN that Transformers would not compute as
    the object says.
    """
    nested = _get_rope_dict(values, "rope_parameters")
    if unknown := sorted(nested.keys() - LAYER_TYPES):
        what = f"{unknown[0]}={str(nested[unknown[0]])[:60]!r}"
        expected = f"expected an object for each of {', '.join(LAYER_TYPES)}"
        raise ArtifactError(f"config.json has rope_parameters with {what}; {expected}.")
    own = dict(_get_rope_dict(nested, kind) or {"rope_type": "default"})
    if scaled:
        own |= _get_rope_dict(values, "rope_scaling")
    require_supported(own, {"truncate": (True,)})  # Transformers reads it one level higher
    flat = dict(values) | {"rope_parameters": own, "rope_scaling": None, "rope_theta": base}
    # An original length beside nested parameters is not read by Transformers, within them it is.
    return parse_rope(flat | {"original_max_position_embeddings": None}, base)


def parse_window_base(values: Mapping[str, Any], base: float, *, scaled: bool = True) -> float:
    """Base of rotary positions in window layers; ArtifactError for a scaling there.

    base  default where config.json does not set it
    """
    own, scaling = parse_layer_rope(values, LAYER_TYPES[1], base, scaled=scaled)
    if scaling.kind != "none":
        what = f"config.json has rope_type {scaling.kind!r} in layers with a window"
        raise ArtifactError(f"{what}; groundup supports default there.")
    return own


def _get_rope_dict(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    rope = values.get(key) or {}
    if not isinstance(rope, Mapping):
        raise ArtifactError(f"config.json has {key}={rope!r}; expected an object.")
    return rope


def _get_scaling_float(rope: Mapping[str, Any], key: str) -> float:
    _get_required(rope, key, f"rope scaling of type {rope.get('rope_type', rope.get('type'))}")
    return get_float(rope, key, 1.0)


def _parse_linear(values: Mapping[str, Any], rope: Mapping[str, Any]) -> RopeScaling:
    return RopeScaling(kind="linear", factor=_get_scaling_float(rope, "factor"))


def _parse_llama3(values: Mapping[str, Any], rope: Mapping[str, Any]) -> RopeScaling:
    keys = ("factor", "low_freq_factor", "high_freq_factor")
    factor, low, high = (_get_scaling_float(rope, key) for key in keys)
    length = _get_original_length(values, rope)
    return RopeScaling(kind="llama3", factor=factor, original_length=length, low=low, high=high)


def _parse_yarn(values: Mapping[str, Any], rope: Mapping[str, Any]) -> RopeScaling:
    """YaRN; some files give its attention factor as the ratio of two scales."""
    require_supported(rope, {"truncate": (True, False)})
    original = _get_original_length(values, rope)
    longest = get_int(values, "max_position_embeddings", "yarn rope scaling", original)
    factor = get_float(rope, "factor", longest / original)
    attention = get_float(rope, "attention_factor", None)
    mscale, mscale_all_dim = (
        get_float(rope, key, None) if rope.get(key) != 0 else None
        for key in ("mscale", "mscale_all_dim")
    )
    if attention is None and mscale and mscale_all_dim:
        log = 0.1 * math.log(max(1.0, factor))
        attention = (mscale * log + 1) / (mscale_all_dim * log + 1)
    return RopeScaling(
        kind="yarn", factor=factor, original_length=original, attention=attention,
        low=get_float(rope, "beta_slow", 1.0), high=get_float(rope, "beta_fast", 32.0),
        truncate=get_bool(rope, "truncate", True),
    )  # fmt: skip


def _parse_longrope(values: Mapping[str, Any], rope: Mapping[str, Any]) -> RopeScaling:
    original = _get_original_length(values, rope)
    longest = get_int(values, "max_position_embeddings", "longrope scaling", original)
    return RopeScaling(
        kind="longrope", original_length=original,
        short=_get_divisors(rope, "short_factor"), long=_get_divisors(rope, "long_factor"),
        factor=max(1.0, get_float(rope, "factor", longest / original)),
        attention=get_float(rope, "attention_factor", None),
    )  # fmt: skip


def _parse_dynamic(values: Mapping[str, Any], rope: Mapping[str, Any]) -> RopeScaling:
    longest = get_int(values, "max_position_embeddings", "dynamic rope scaling")
    if (original := _get_original_length(values, rope)) != longest:
        what = f"config.json has original_max_position_embeddings={original} in dynamic scaling"
        raise ArtifactError(f"{what}; groundup supports max_position_embeddings={longest}.")
    factor = _get_scaling_float(rope, "factor")
    return RopeScaling(kind="dynamic", factor=factor, original_length=longest)


def extended_context(length: int, scaling: RopeScaling) -> int:
    """The context of a max_position_embeddings: dynamic scaling extends it by its factor.

    Transformers sets no limit.
    """
    return int(length * scaling.factor) if scaling.kind == "dynamic" else length


def written_context(config: ModelConfig) -> int:
    """The max_position_embeddings of a context; the inverse of `extended_context`."""
    scaling = config.position.scaling
    return scaling.original_length if scaling.kind == "dynamic" else config.context_length


def _get_divisors(rope: Mapping[str, Any], key: str) -> tuple[float, ...]:
    _get_required(rope, key, "longrope")
    return tuple(get_float({key: number}, key, 0.0) for number in get_list(rope, key))


SCALING_PARSERS = {
    "linear": _parse_linear, "llama3": _parse_llama3, "yarn": _parse_yarn,
    "longrope": _parse_longrope, "dynamic": _parse_dynamic,
}  # fmt: skip


def get_rotated(values: Mapping[str, Any], default: float) -> float:
    """Share of a head's features that are rotated, as Transformers finds it."""
    rope = _get_rope_dict(values, "rope_scaling") or _get_rope_dict(values, "rope_parameters")
    key = "partial_rotary_factor"
    return get_float(rope, key, get_float(values, key, default))


def _get_original_length(values: Mapping[str, Any], rope: Mapping[str, Any]) -> int:
    """Context length before the scaling, tokens; defaults to the context length."""
    key = "original_max_position_embeddings"
    source = values if values.get(key) is not None else rope
    if source.get(key) is None:
        source, key = values, "max_position_embeddings"
    return get_int(source, key, "rope scaling")


def to_rope_parameters(base: float, scaling: RopeScaling, family: str) -> dict[str, Any]:
    """The rope_parameters of a config.json; the inverse of `parse_rope`.

    Raises ConfigError for what the format cannot express: NTK scaling, which a larger base
    replaces, and an original length of 0, which would follow from the context.
    """
    if scaling.kind == "ntk":
        equivalent = "set position.base to base * factor^(head_dim / (head_dim - 2)) instead"
        raise ConfigError(
            f"PositionConfig.scaling.kind='ntk' cannot be written as {family}; {equivalent}."
        )
    if scaling.kind == "none":
        return {"rope_type": "default", "rope_theta": base}
    values: dict[str, Any] = {"rope_type": scaling.kind, "rope_theta": base}
    values["factor"] = scaling.factor
    if scaling.kind in ("linear", "dynamic"):
        return values
    if not scaling.original_length:
        what = f"PositionConfig.scaling.original_length=0 cannot be written as {family}"
        raise ConfigError(f"{what}; set it to the context length before the scaling.")
    values["original_max_position_embeddings"] = scaling.original_length
    if scaling.kind == "llama3":
        return values | {"low_freq_factor": scaling.low, "high_freq_factor": scaling.high}
    if scaling.kind == "longrope":
        values |= {"short_factor": list(scaling.short), "long_factor": list(scaling.long)}
    else:
        ends = {"beta_slow": scaling.low, "beta_fast": scaling.high}
        values |= ends | {"truncate": scaling.truncate}
    return values if scaling.attention is None else values | {"attention_factor": scaling.attention}


def drop_tensors(state: Mapping[str, Tensor], names: str) -> StateDict:
    """Drop the tensors whose name starts with a match of `names`, a regular expression."""
    pattern = re.compile(names)
    return {name: tensor for name, tensor in state.items() if not pattern.match(name)}


QKV = (".attention.q_proj.", ".attention.k_proj.", ".attention.v_proj.")
GATE_UP = (".feedforward.gate_proj.", ".feedforward.up_proj.")
"""In the order in which Hugging Face files fuse them."""


def split_fused(
    state: StateDict, fused: str, parts: Sequence[str], sizes: Sequence[int] = ()
) -> StateDict:
    """Split every tensor whose name contains `fused` into parts along its first dimension.

    sizes  of the parts; equal if they are not given or do not add up to the tensor's

    >>> split = split_fused({"a.qkv.weight": torch.arange(3)}, ".qkv.", (".q.", ".k.", ".v."))
    >>> {name: tensor.tolist() for name, tensor in split.items()}
    {'a.q.weight': [0], 'a.k.weight': [1], 'a.v.weight': [2]}
    """
    result: StateDict = {}
    for name, tensor in state.items():
        if fused in name and name.endswith(SHAPE):
            continue  # packed rows have as many, and say so themselves
        if fused in name and tensor.ndim:
            is_sized = sum(sizes) == len(tensor)
            chunks = tensor.split(list(sizes)) if is_sized else tensor.tensor_split(len(parts))
            result |= {name.replace(fused, p): t for p, t in zip(parts, chunks, strict=True)}
        else:
            result[name] = tensor
    return result


def fuse_parts(state: StateDict, fused: str, parts: Sequence[str]) -> StateDict:
    """Concatenate the parts of every fused tensor; the inverse of `split_fused`.

    >>> state = {"a.k.weight": torch.ones(1), "a.q.weight": torch.zeros(2)}
    >>> fuse_parts(state, ".qk.", (".q.", ".k."))
    {'a.qk.weight': tensor([0., 0., 1.])}
    """
    result: StateDict = {}
    for name, tensor in state.items():
        part = next((each for each in parts if each in name), None)
        if part is None:
            result[name] = tensor
        elif part == parts[0]:
            chunks = [state[name.replace(part, each)] for each in parts]
            whole = torch.cat(chunks)
            if name.endswith(SHAPE):  # rows and columns of each
                whole = torch.stack([whole[::2].sum(), whole[1]])
            result[name.replace(part, fused)] = whole
    return result


SHAPE = ".weight_shape"
"""Of packed integers: rows and columns."""
QKV_ROWS = r"\.attention\.qkv_proj\.(weight|bias|weight_packed|weight_scale)"


def group_by_kind(rows: Tensor, part: AttentionConfig) -> Tensor:
    """Order rows as queries, keys, values, if files have each key head's queries, key and value.

    >>> group_by_kind(torch.arange(6), AttentionConfig(heads=2, kv_heads=2, head_dim=1)).tolist()
    [0, 3, 1, 4, 2, 5]
    """
    shared, size = part.heads // part.kv_heads, part.kv_heads * part.head_dim
    if rows.ndim == 0 or len(rows) != (shared + 2) * size:
        return rows  # whoever compares the shapes refuses it by name
    kinds = rows.unflatten(0, (part.kv_heads, shared + 2, -1)).split([shared, 1, 1], dim=1)
    return torch.cat([kind.flatten(0, 2) for kind in kinds])


def group_by_head(rows: Tensor, part: AttentionConfig) -> Tensor:
    """The inverse of `group_by_kind`."""
    kinds = rows.split(
        [heads * part.head_dim for heads in (part.heads, part.kv_heads, part.kv_heads)]
    )
    by_head = [kind.unflatten(0, (part.kv_heads, -1, part.head_dim)) for kind in kinds]
    return torch.cat(by_head, dim=1).flatten(0, 2)


def transpose_matrix(tensor: Tensor) -> Tensor:
    """Transpose a matrix; return any other tensor unchanged."""
    return tensor.T.contiguous() if tensor.ndim == 2 else tensor
