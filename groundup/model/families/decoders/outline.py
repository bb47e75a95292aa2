"""A family of decoders as a table: which key of config.json is which field of the configuration.

Sizes and rotary positions have the same keys in every family. What else differs is a key with a
default (`Key`), or the same in all models of the family (`Outline.always`); few families need a
function besides. The table is read in both directions, and its keys are those that the family
knows: any other is refused.
"""

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar

from groundup.core import ArtifactError, Config, ConfigError
from groundup.kernels import AttentionPattern

from ...config import ExpertsConfig, LatentConfig, ModelConfig
from ..keys import AllowedValues, ConfigKeys, Family, renaming_family
from ..llama import (
    FULL,
    NAMES,
    SHARED_KEYS,
    UNUSED_FEATURES,
    WINDOW,
    check_heads_divide_width,
    decoder_to_hf_config,
    get_layers,
    parse_layer_types,
    parse_sliding_window,
    plain_decoder,
    to_layer_types,
)
from ..names import (
    NamePairs,
    get_activation,
    get_bool,
    get_float,
    get_int,
    hf_activation,
    require_supported,
    to_rope_parameters,
)

Values = dict[str, Any]
AnyConfig = TypeVar("AnyConfig", bound=Config)
SIZES = SHARED_KEYS - {"hidden_act", "rms_norm_eps"}
"""Keys of sizes and rotary positions."""


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
            require_supported(values, {self.name: tuple(self.choices)})
            return self.choices[values.get(self.name, self.default)]
        if isinstance(self.default, str):
            return get_activation(values, self.name, self.default)
        if self.default is int or isinstance(self.default, int):
            family, default = str(values.get("model_type")), 0 if is_none else self.default
            default = None if default is int else default
            return get_int(values, self.name, family, default, minimum=self.minimum)
        number = get_float(values, self.name, None if is_none else self.default)
        return 1 / number if self.inverse and number is not None else number

    def write(self, config: ModelConfig) -> Any:
        """The key's value; one that reads as another field if none reads as this one."""
        value: Any = attrgetter(self.field)(config)
        if self.choices:
            return next((key for key, each in self.choices.items() if each == value), self.default)
        if isinstance(self.default, str):
            return hf_activation(value)
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
    has_layer_ropes: bool = False
    """Whether rotary parameters are by layer type, which `read_more` reads."""
    renamed: Mapping[str, str] = {}
    """Its own names of keys that every family reads, and the others'."""
    absent: frozenset[str] = frozenset()
    """Keys that every family reads but this one, such as `head_dim` if heads divide the width."""
    names: NamePairs = NAMES
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


OPTIONAL_PARTS: dict[str, type[Config]] = {"latent": LatentConfig, "experts": ExpertsConfig}


def with_fields(config: AnyConfig, fields: Mapping[str, Any]) -> AnyConfig:
    """A configuration with some fields changed, by path, and checked again.

    >>> with_fields(ModelConfig(), {"norm.place": "post", "layers": 3}).norm.place
    'post'
    """
    own = {path: value for path, value in fields.items() if "." not in path}
    parts: dict[str, dict[str, Any]] = {}
    for path in fields.keys() - own:
        part, _, name = path.partition(".")
        parts.setdefault(part, {})[name] = fields[path]
    for part, changes in parts.items():
        own[part] = with_fields(getattr(config, part) or OPTIONAL_PARTS[part](), changes)
    return type(config)(**(dict(config) | own))


def config_keys(outline: Outline) -> ConfigKeys:
    """The keys of a family's config.json."""
    sizes = SIZES - outline.absent.union(outline.renamed.values())
    used = sizes.union((key.name for key in outline.keys), outline.more_keys, outline.renamed)
    unused = {key: each for key, each in UNUSED_FEATURES.items() if key not in used}
    return ConfigKeys(used, {**unused, **outline.fixed}, outline.ignored, outline.aliases)


def read_outline(outline: Outline, values: Values) -> ModelConfig:
    """The configuration that a config.json describes.

    Raises ArtifactError naming a missing or invalid key, ConfigError for inconsistent sizes.
    """
    values = outline.prepare({**outline.defaults, **values})
    values |= {usual: values[own] for own, usual in outline.renamed.items() if own in values}
    flat = values | {"rope_parameters": None, "rope_scaling": None}
    config = plain_decoder(
        flat if outline.has_layer_ropes else values, outline.name, base=outline.base,
        tied=outline.tied, rotated=outline.rotated,
    )  # fmt: skip
    fields = {key.field: key.read(values) for key in outline.keys}
    return with_fields(config, {**outline.always, **fields, **outline.read_more(values)})


def write_outline(outline: Outline, config: ModelConfig) -> Values:
    """The config.json of a configuration.

    Raises ConfigError for what the family's files cannot express.
    """
    check_heads_divide_width(config, outline.name)
    for path in ("attention.latent", "feedforward.experts"):
        is_read = any(key.field.startswith(path) for key in outline.keys)
        if is_read and attrgetter(path)(config) is None:
            raise ConfigError(f"{path}=None cannot be written as {outline.name}.")
    values = decoder_to_hf_config(config, outline.name, outline.architecture)
    if outline.rotated is not None:
        share = {"partial_rotary_factor": config.position.rotated}
        values |= {"rope_parameters": values["rope_parameters"] | share, **share}
    values |= {own: values.pop(usual) for own, usual in outline.renamed.items()}
    values = {key: values[key] for key in values.keys() - outline.absent - {"rms_norm_eps"}}
    values |= {key.name: key.write(config) for key in outline.keys}
    return values | outline.write_more(config)


def decoder_family(
    outline: Outline, *, dropped: str = r".*\.rotary_emb\.inv_freq$",
    fused: Mapping[str, tuple[str, ...]] = {},
) -> Family:  # fmt: skip
    """A family of an outline; see `renaming_family`."""
    return renaming_family(
        outline.name, config_keys(outline), lambda values: read_outline(outline, values),
        lambda config: write_outline(outline, config), outline.names, dropped=dropped, fused=fused,
    )  # fmt: skip


WINDOW_KEYS = frozenset(("layer_types", "sliding_window"))


def read_window(values: Values) -> Values:
    """The pattern of all layers: a window, or none where `sliding_window` is null."""
    return {"attention.patterns": parse_sliding_window(values, str(values["model_type"]))}


def write_window(config: ModelConfig) -> Values:
    """The key of a window of all layers."""
    return {"sliding_window": to_layer_types(config, "this family")[1]}


def read_layer_windows(values: Values, cycle: int) -> tuple[AttentionPattern, ...]:
    """Patterns of `layer_types`, by default windows but in the last of every `cycle` layers."""
    layers = get_layers(values, "layer_types")
    if values.get("layer_types") is None:
        types = [WINDOW if (i + 1) % cycle else FULL for i in range(layers)]
        values = values | {"layer_types": types}
    if WINDOW in values["layer_types"] and values.get("sliding_window") is None:
        raise ArtifactError("config.json has layers with a window and sliding_window=None.")
    return parse_layer_types(values, str(values["model_type"]))


def write_layer_windows(config: ModelConfig) -> Values:
    """The keys of windows by layer."""
    types, window = to_layer_types(config, "this family")
    return {"layer_types": types, "sliding_window": window}


def write_layer_ropes(config: ModelConfig) -> Values:
    """The rotary parameters of each layer type."""
    part = config.position
    full = to_rope_parameters(part.base, part.scaling, "this family")
    window = {"rope_type": "default", "rope_theta": part.window_base or part.base}
    return {"rope_parameters": {FULL: full, WINDOW: window}}
