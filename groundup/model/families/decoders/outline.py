"""A family of decoders as a table: which key of config.json is which field of the configuration.

Sizes and rotary positions have the same keys in every family. What else differs is a key with a
default (`Key`), or the same in all models of the family (`Outline.always`); few families need a
function besides. The table is read in both directions, and its keys are those that the family
knows: any other is refused.
"""

from collections.abc import Callable, Mapping
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple

from groundup.core import ArtifactError, ConfigError
from groundup.kernels import AttentionPattern

from ...configuration.config import ModelConfig
from ..decoder_keys import (
    FULL,
    MAX_LAYERS,
    NAMES,
    SHARED_KEYS,
    SIZES,
    UNUSED_FEATURES,
    WINDOW,
    get_layers,
    parse_layer_types,
    to_layer_types,
    with_fields,
)
from ..experts import ExpertFiles, read_experts, write_experts
from ..keys import ROTARY_BUFFERS, AllowedValues, ConfigKeys, Family
from ..names import (
    ACTIVATIONS,
    QKV,
    QKV_ROWS,
    NamePairs,
    StateDict,
    drop_tensors,
    extended_context,
    fuse_parts,
    get_activation,
    get_bool,
    get_float,
    get_int,
    get_rotated,
    group_by_head,
    group_by_kind,
    hf_activation,
    map_tensors,
    parse_layer_rope,
    parse_rope,
    parse_window_base,
    rename_tensors,
    split_fused,
    to_rope_parameters,
    transpose_matrix,
    written_context,
)

Values = dict[str, Any]
WIDTH, INNER = "hidden_size", "intermediate_size"


class Key(NamedTuple):
    """A key of config.json that sets a field."""

    name: str
    field: str
    """Path of the field, such as `attention.scale`."""
    default: Any
    """Of Transformers' class; its type is the value's: bool, int, float, or str for an activation;
    `int` itself: an integer that must be there."""
    choices: Mapping[Any, Any] = {}
    """The field for each value of the key, if they differ."""
    optional: bool = False
    """Whether null is a value of its own: no such limit, false, or an integer of 0."""
    inverse: bool = False
    """Whether the key is one over the field."""
    minimum: int = 1
    """Of an integer."""

    def read(self, values: Mapping[str, Any]) -> Any:
        """The field's value; raises ArtifactError for a value that the key cannot have."""
        is_none = self.optional and self.name in values
        if isinstance(self.default, bool):
            value = get_bool(values, self.name, self.default and not is_none)
            return self.choices[value] if self.choices else value
        if self.choices:
            if (value := values.get(self.name, self.default)) not in tuple(self.choices):
                known = f"{values['model_type']} supports {', '.join(self.choices)}"
                raise ArtifactError(f"config.json has {self.name}={value!r}; {known}.")
            return self.choices[value]
        if isinstance(self.default, str):
            return get_activation(values, self.name, self.default)
        if self.default is int or isinstance(self.default, int):
            family = str(values.get("model_type"))
            default: Any = 0 if is_none else None if self.default is int else self.default
            return get_int(values, self.name, family, default, minimum=self.minimum)
        number = get_float(values, self.name, None if is_none else self.default)
        return 1 / number if self.inverse and number is not None else number

    def write(self, config: ModelConfig) -> Any:
        """The key's value; one that reads as another field if none reads as this one."""
        value: Any = attrgetter(self.field)(config)
        if self.choices:
            return next((key for key, each in self.choices.items() if each == value), self.default)
        if isinstance(self.default, str):
            return self.default if ACTIVATIONS[self.default] == value else hf_activation(value)
        if self.optional and isinstance(self.default, int):
            return value or None
        return 1 / value if self.inverse else value


SILU = Key("hidden_act", "feedforward.activation", "silu", {"silu": "silu", "swish": "silu"})
BIAS = {False: "none", True: "all"}
QKV_BIAS = {False: "none", True: "qkv"}
ATTENTION_BIAS = Key("attention_bias", "attention.bias", False, BIAS)
MLP_BIAS = Key("mlp_bias", "feedforward.bias", False)


def rms_eps(default: float = 1e-6) -> Key:
    """The key of an RMS norm's epsilon."""
    return Key("rms_norm_eps", "norm.eps", default)


class Outline(NamedTuple):
    """What tells a family of decoders from others."""

    name: str
    """The model_type."""
    architecture: str
    """Transformers' class."""
    keys: tuple[Key, ...]
    always: Mapping[str, Any] = {}
    """Fields, by path, that all models of the family have."""
    defaults: Mapping[str, Any] = {}
    """Of Transformers' class, of keys that every family reads."""
    base: float = 10_000.0
    """Default of the rotary base."""
    tied: bool = False
    """Default of tied embeddings."""
    rotated: float | None = None
    """Default of the share of rotated features; None: all are."""
    inner: int | None = None
    """Default of the feed-forward's width, in widths of the model."""
    is_divided: bool = False
    """Whether Transformers opens only files whose heads divide the width."""
    has_layer_ropes: bool = False
    """Whether rotary parameters are by layer type, which `read_more` reads."""
    renamed: Mapping[str, str] = {}
    """Its own names of keys that every family reads, and the others'."""
    absent: frozenset[str] = frozenset()
    """Keys that the others read or write, such as `head_dim` if heads divide the width."""
    names: NamePairs | Callable[[ModelConfig], NamePairs] = NAMES
    prepare: Callable[[Values], Values] = lambda values: values
    """What is read in place of the values of config.json."""
    read_more: Callable[[Values], Mapping[str, Any]] = lambda values: {}
    """Further fields, by path."""
    write_more: Callable[[ModelConfig], Values] = lambda config: {}
    """Their keys."""
    more_keys: frozenset[str] = frozenset()
    """The keys that `read_more` reads."""
    fixed: AllowedValues = {}
    """Keys of one supported value."""
    ignored: frozenset[str] = frozenset()
    """Keys that do not affect the logits."""
    aliases: Mapping[str, str] = {}
    """Other names of keys."""
    dropped: str = ROTARY_BUFFERS
    """Pattern of the names of unused tensors."""
    prefix: str = ""
    """Of all names in the files; some omit it."""
    transposed: str = ""
    """Pattern of the endings of groundup's names whose matrices the files transpose."""
    fused: Mapping[str, tuple[str, ...]] = {}
    """groundup's names of fused tensors, and of their parts."""
    by_head: bool = False
    """Whether fused queries, keys and values are ordered by key head."""
    experts: ExpertFiles | None = None
    """How the files hold experts, if they do."""

    def family(self) -> Family:
        """The family of this outline."""
        return Family(
            self.name, config_keys(self), partial(read_outline, self), partial(write_outline, self),
            partial(read_state, self), partial(write_state, self),
            supports_packed=not (self.transposed or self.experts),
        )  # fmt: skip


def config_keys(outline: Outline) -> ConfigKeys:
    """The keys of a family's config.json."""
    sizes = SHARED_KEYS - outline.absent.union(outline.renamed.values())
    used = sizes.union((key.name for key in outline.keys), outline.more_keys, outline.renamed)
    known = used | outline.absent
    unused = {key: each for key, each in UNUSED_FEATURES.items() if key not in known}
    return ConfigKeys(used, {**unused, **outline.fixed}, outline.ignored, outline.aliases)


def read_sizes(outline: Outline, values: Values, own: Mapping[str, str]) -> Values:
    """The fields, by path, of the sizes and rotary positions that every config.json has.

    own  the family's names of keys

    Raises ArtifactError naming a missing or invalid key.
    """

    def size(key: str, default: int | None = None) -> int:
        maximum = MAX_LAYERS if key == "num_hidden_layers" else 2**31
        return get_int(values, own.get(key, key), outline.name, default, maximum=maximum)

    width, heads, rotated = size(WIDTH), size("num_attention_heads"), outline.rotated
    defaults = {"num_key_value_heads": heads, "head_dim": max(1, width // heads)}
    flat = values | {"rope_parameters": None, "rope_scaling": None}
    rope = flat if outline.has_layer_ropes else values
    theta, scaling = parse_rope(rope, outline.base, partial=rotated is not None)
    sizes = {field: size(key, defaults.get(key)) for key, field in SIZES.items()}
    return sizes | {
        "context_length": extended_context(sizes["context_length"], scaling),
        "attention.qk_norm": "none",
        "position.base": theta,
        "position.scaling": scaling,
        "position.rotated": 1.0 if rotated is None else get_rotated(rope, rotated),
        "tied_embeddings": get_bool(values, "tie_word_embeddings", outline.tied),
    }


def read_outline(outline: Outline, values: Values) -> ModelConfig:
    """The configuration that a config.json describes.

    Raises ArtifactError naming a missing or invalid key, ConfigError for inconsistent sizes.
    """
    values = outline.prepare({**outline.defaults, **values})
    own = {usual: name for name, usual in outline.renamed.items()}
    further = {**outline.always, **{key.field: key.read(values) for key in outline.keys}}
    if outline.inner and values.get(inner := own.get(INNER, INNER)) is None:
        values[inner] = outline.inner * get_int(values, own.get(WIDTH, WIDTH), outline.name)
    values |= {usual: values[name] for usual, name in own.items() if name in values}
    fields = read_sizes(outline, values, own)
    if "head_dim" in outline.absent and fields["width"] % fields["attention.heads"]:
        what = f"width {fields['width']}, which {fields['attention.heads']} heads do not divide"
        raise ArtifactError(f"config.json has {what}.")
    return with_fields(ModelConfig(), {**fields, **further, **outline.read_more(values)})


def write_sizes(outline: Outline, config: ModelConfig) -> Values:
    """The keys of `read_sizes`, for Transformers 4 and 5.

    Raises ConfigError for a rotary scaling that the format cannot express.
    """
    position = config.position
    rope = to_rope_parameters(position.base, position.scaling, outline.name)
    scaling = {name: value for name, value in rope.items() if name != "rope_theta"}
    share = {} if outline.rotated is None else {"partial_rotary_factor": position.rotated}
    return {
        "architectures": [outline.architecture],
        "model_type": outline.name,
        **{key: attrgetter(field)(config) for key, field in SIZES.items()},
        "max_position_embeddings": written_context(config),
        "attention_dropout": 0.0,
        "rope_parameters": rope | share,
        "rope_theta": position.base,
        "rope_scaling": None if position.scaling.kind == "none" else scaling,
        "tie_word_embeddings": config.tied_embeddings,
        "use_cache": True,
        **share,
    }


def write_outline(outline: Outline, config: ModelConfig) -> Values:
    """The config.json of a configuration.

    Raises ConfigError for what the family's files cannot express.
    """
    if outline.is_divided and config.width % (heads := config.attention.heads):
        what = f"ModelConfig.width={config.width} cannot be written as {outline.name}"
        raise ConfigError(f"{what}, which needs a multiple of heads={heads}.")
    for part, name in ((config.attention, "latent"), (config.feedforward, "experts")):
        is_read = any(f".{name}." in key.field for key in outline.keys)
        if is_read and getattr(part, name) is None:
            what = f"{type(part).__name__}.{name}=None"
            raise ConfigError(f"{what} cannot be written as {outline.name}.")
    sizes, own = write_sizes(outline, config), {b: a for a, b in outline.renamed.items()}
    values = {own.get(key, key): size for key, size in sizes.items() if key not in outline.absent}
    values |= {key.name: key.write(config) for key in outline.keys}
    return values | outline.write_more(config)


def tensor_names(outline: Outline, config: ModelConfig) -> NamePairs:
    """The pairs of names of a configuration's tensors."""
    return outline.names(config) if callable(outline.names) else outline.names


def read_state(outline: Outline, state: StateDict, config: ModelConfig) -> StateDict:
    """Hugging Face tensors under groundup's names and in its layout."""
    part = config.attention
    sizes = [part.head_dim * heads for heads in (part.heads, part.kv_heads, part.kv_heads)]
    state = {name.removeprefix(outline.prefix): tensor for name, tensor in state.items()}
    state = rename_tensors(drop_tensors(state, outline.dropped), tensor_names(outline, config))
    if outline.transposed:
        state = map_tensors(state, outline.transposed, transpose_matrix)
    if outline.by_head:
        state = map_tensors(state, QKV_ROWS, lambda rows: group_by_kind(rows, part))
    for whole, parts in outline.fused.items():
        state = split_fused(state, whole, parts, sizes if parts is QKV else ())
    return read_experts(state, config, outline.experts) if outline.experts else state


def write_state(outline: Outline, state: StateDict, config: ModelConfig) -> StateDict:
    """The inverse of `read_state`."""
    for whole, parts in outline.fused.items():
        state = fuse_parts(state, whole, parts)
    if outline.by_head:
        state = map_tensors(state, QKV_ROWS, lambda rows: group_by_head(rows, config.attention))
    if outline.transposed:
        state = map_tensors(state, outline.transposed, transpose_matrix)
    state = write_experts(state, outline.experts) if outline.experts else state
    pairs = tuple((outline.prefix + a, b) for a, b in tensor_names(outline, config))
    return rename_tensors(state, pairs, to_hf=True)


def expert_counts(count: Any, chosen: Any, name: str = "num_local_experts") -> tuple[Key, Key]:
    """Keys of the numbers of experts and of those that serve a token; see `Key.default`."""
    path = "feedforward.experts."
    return Key(name, path + "count", count), Key("num_experts_per_tok", path + "chosen", chosen)


WINDOW_KEYS = frozenset(("layer_types", "sliding_window"))


def read_window(values: Values) -> Values:
    """The pattern of all layers: a window, or none where `sliding_window` is null.

    Raises ArtifactError if `layer_types` differs between layers, which Transformers ignores here.
    """
    family, types = str(values["model_type"]), values.get("layer_types")
    is_window = values.get("sliding_window") is not None
    if types is not None and any((kind == WINDOW) != is_window for kind in types):
        what = f"layer_types={str(types)[:60]} with sliding_window={values.get('sliding_window')!r}"
        raise ArtifactError(f"config.json has {what}; all layers of {family} have the same type.")
    size = get_int(values, "sliding_window", family) if is_window else 0
    return {"attention.patterns": (AttentionPattern("window" if is_window else "full", size),)}


def write_window(config: ModelConfig) -> Values:
    """The key of a window of all layers."""
    return {"sliding_window": to_layer_types(config, "this family")[1]}


def read_layer_windows(values: Values, cycle: int) -> tuple[AttentionPattern, ...]:
    """Patterns of `layer_types`, by default windows but in the last of every `cycle` layers."""
    layers = get_layers(values, "layer_types")
    if values.get("layer_types") is None:
        types = [WINDOW if (i + 1) % cycle else FULL for i in range(layers)]
        values = values | {"layer_types": types}
    return parse_layer_types(values, str(values["model_type"]))


def write_layer_windows(config: ModelConfig, usual: int | None = None) -> Values:
    """The keys of windows by layer.

    usual  a size where no layer has one, if Transformers asks for it nevertheless
    """
    types, window = to_layer_types(config, "this family")
    return {"layer_types": types, "sliding_window": window or usual}


def read_layer_ropes(values: Values, base: float, window_base: float) -> Values:
    """Fields of rotary positions by layer type, with defaults of both bases."""
    full, scaling = parse_layer_rope(values, FULL, get_float(values, "rope_theta", base))
    window = parse_window_base(values, window_base, scaled=False)
    length = get_int(values, "max_position_embeddings", str(values["model_type"]))
    return {
        "position.base": full, "position.scaling": scaling, "position.window_base": window,
        "context_length": extended_context(length, scaling),
    }  # fmt: skip


def write_layer_ropes(config: ModelConfig) -> Values:
    """The rotary parameters of each layer type."""
    part = config.position
    full = to_rope_parameters(part.base, part.scaling, "this family")
    window = {"rope_type": "default", "rope_theta": part.window_base or part.base}
    return {"rope_parameters": {FULL: full, WINDOW: window}}
