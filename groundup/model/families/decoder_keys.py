"""What the files of decoders share: keys, sizes, rotary positions, and types of layers.

LLaMA and its kin have the same keys; older families have other names for some of them. A family is
a table of what else it has: see decoders/.
Source: transformers 5.24, models/llama; LLaMA: arXiv:2302.13971.
"""

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from groundup.core import ArtifactError, Config, ConfigError
from groundup.kernels import AttentionPattern

from ..configuration.config import ExpertsConfig, LatentConfig, ModelConfig
from .keys import CAUSAL, ROPE, AllowedValues, word_set
from .names import LAYER_TYPES, get_int

NAMES = (
    ("model.layers.{}.self_attn.", "layers.{}.attention."),
    ("model.layers.{}.mlp.", "layers.{}.feedforward."),
    ("model.layers.{}.input_layernorm.", "layers.{}.attention_norm."),
    ("model.layers.{}.post_attention_layernorm.", "layers.{}.feedforward_norm."),
    ("model.embed_tokens.", "embed_tokens."),
    ("model.norm.", "norm."),
)
MAX_LAYERS = 2**16
Each = TypeVar("Each")
AnyConfig = TypeVar("AnyConfig", bound=Config)
FULL, WINDOW = LAYER_TYPES

SIZES = {
    "vocab_size": "vocab_size", "hidden_size": "width", "num_hidden_layers": "layers",
    "max_position_embeddings": "context_length", "num_attention_heads": "attention.heads",
    "num_key_value_heads": "attention.kv_heads", "head_dim": "attention.head_dim",
    "intermediate_size": "feedforward.width",
}  # fmt: skip
"""Keys of sizes, and their fields."""
SHARED_KEYS = word_set(SIZES, ROPE, "original_max_position_embeddings tie_word_embeddings")
"""Keys that every decoder of this kind reads."""
UNUSED_FEATURES: AllowedValues = CAUSAL | {
    "attention_bias": (False, None), "mlp_bias": (False, None), "sliding_window": (None,),
}  # fmt: skip
"""Features that some of these families lack but their files mention."""
DECODERS_ONLY = ROPE | word_set("""
    attention_bias head_dim mlp_bias num_key_value_heads original_max_position_embeddings
    sliding_window
    """)  # fmt: skip
"""Keys that families with an encoder do not have."""


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


def get_layers(values: Mapping[str, Any], family: str) -> int:
    """Number of layers, at most MAX_LAYERS, so that they can be listed."""
    return get_int(values, "num_hidden_layers", family, maximum=MAX_LAYERS)


def parse_layer_types(
    values: Mapping[str, Any], family: str, local: str = WINDOW,
    kind: Literal["window", "block"] = "window", size: str = "sliding_window",
) -> tuple[AttentionPattern, ...]:  # fmt: skip
    """The shortest cycle of attention patterns that reproduces `layer_types`.

    local  the layer type that is not full, of a pattern of this kind; `size` is its window's key

    Raises ArtifactError for unsupported types, or if there is not one for each layer.

    >>> parse_layer_types({"layer_types": ["sliding_attention", "full_attention"] * 2,
    ...     "num_hidden_layers": 4, "sliding_window": 8}, "qwen2")[0]
    AttentionPattern(kind='window', window=8, stride=0, tokens=0)
    """
    types, layers = values.get("layer_types"), get_layers(values, family)
    if types is None:
        return (AttentionPattern(),)
    is_list = isinstance(types, list) and len(types) == layers
    if not is_list or not all(each in (FULL, local) for each in types):
        expected = f"expected {layers} values, one per layer, each {FULL!r} or {local!r}"
        raise ArtifactError(f"config.json has layer_types={str(types)[:60]}; {expected}.")
    by_type = {FULL: AttentionPattern()}
    if local in types:
        by_type[local] = AttentionPattern(kind, get_int(values, size, family))
    return shortest_cycle(tuple(by_type[each] for each in types))


def shortest_cycle(patterns: tuple[Each, ...]) -> tuple[Each, ...]:
    """The shortest prefix whose repetition gives all patterns.

    >>> far, near = AttentionPattern(), AttentionPattern("window", 4)
    >>> len(shortest_cycle((near, near, far, near, near)))
    3
    """
    for length in range(1, len(patterns)):
        if all(pattern == patterns[i % length] for i, pattern in enumerate(patterns)):
            return patterns[:length]
    return patterns


def to_layer_types(config: ModelConfig, family: str) -> tuple[list[str], int | None]:
    """The `layer_types` and `sliding_window` of the layers' attention patterns.

    Raises ConfigError unless all are full or windows of one size.
    """
    patterns = [config.pattern(layer) for layer in range(config.layers)]
    windows = {pattern.window for pattern in patterns if pattern.kind == "window"}
    others = {pattern.kind for pattern in patterns} - {"full", "window"}
    if others or len(windows) > 1:
        what = f"AttentionConfig.patterns={config.attention.patterns!r} cannot be written as"
        raise ConfigError(f"{what} {family}, which has full attention and windows of one size.")
    types = [WINDOW if pattern.kind == "window" else FULL for pattern in patterns]
    return types, windows.pop() if windows else None
