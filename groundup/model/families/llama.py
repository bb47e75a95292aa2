"""LLaMA, its kin, and the decoder block that they share.

Rotary positions, RMS norms, SwiGLU, no biases. Mistral has a sliding window in every layer or in
none; Qwen 2 biases of queries, keys and values, and windows in upper layers; Qwen 3 norms of each
head's queries and keys (groundup's default model is written as this family); OLMo 2 norms after
each sublayer, and of all queries and keys together. Mixtral and Gemma are in files of their own.
Source: transformers 5.24, models/llama, mistral, qwen2, qwen3, olmo2; LLaMA: arXiv:2302.13971;
Mistral: arXiv:2310.06825; Qwen2: arXiv:2407.10671; Qwen3: arXiv:2505.09388; OLMo 2:
arXiv:2501.00656.
"""

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from groundup.core import ArtifactError, ConfigError
from groundup.kernels import AttentionPattern

from ..config import AttentionConfig, FeedForwardConfig, ModelConfig, NormConfig, PositionConfig
from .keys import CAUSAL, ROPE, AllowedValues, ConfigKeys, renaming_family, word_set
from .names import (
    LAYER_TYPES,
    get_bool,
    get_float,
    get_int,
    get_rotated,
    parse_rope,
    require_supported,
    to_rope_parameters,
)

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
FULL, WINDOW = LAYER_TYPES

SHARED_KEYS = word_set(ROPE, """
    head_dim hidden_act hidden_size intermediate_size max_position_embeddings num_attention_heads
    num_hidden_layers num_key_value_heads original_max_position_embeddings rms_norm_eps
    tie_word_embeddings vocab_size
    """)  # fmt: skip
"""Keys that every decoder of this kind reads."""
UNUSED_FEATURES: AllowedValues = CAUSAL | {
    "attention_bias": (False, None), "mlp_bias": (False, None), "sliding_window": (None,),
}  # fmt: skip
"""Features that some of these families lack but their files mention."""


def decoder_from_hf_config(
    values: Mapping[str, Any], family: str, *, bias: Literal["none", "qkv", "all"] = "none",
    qk_norm: Literal["none", "head", "all"] = "none",
    patterns: tuple[AttentionPattern, ...] = (AttentionPattern(),), eps: float = 1e-6,
    base: float = 10_000.0, tied: bool = False,
) -> ModelConfig:  # fmt: skip
    """The configuration of a LLaMA-like decoder; families change the rest in a copy.

    eps, base, tied  defaults where config.json does not set them

    Raises ArtifactError naming a missing or invalid key, ConfigError for inconsistent sizes.
    """
    require_supported(values, {"hidden_act": ("silu",)})
    config = plain_decoder(values, family, base=base, tied=tied)
    attention = {"qk_norm": qk_norm, "bias": bias, "patterns": patterns}
    norm = NormConfig(eps=get_float(values, "rms_norm_eps", eps))
    attention = config.attention.model_copy(update=attention)
    return config.model_copy(update={"attention": attention, "norm": norm})


def plain_decoder(
    values: Mapping[str, Any], family: str, *, base: float, tied: bool,
    rotated: float | None = None,
) -> ModelConfig:  # fmt: skip
    """A decoder of the sizes and rotary positions that the config.json of every family has.

    base, tied   defaults where config.json does not set them
    rotated      and of the share of rotated features; None: the family rotates all

    Raises ArtifactError and ConfigError as `decoder_from_hf_config` does.
    """
    width, heads = (get_int(values, k, family) for k in ("hidden_size", "num_attention_heads"))
    theta, scaling = parse_rope(values, base, partial=rotated is not None)
    share = 1.0 if rotated is None else get_rotated(values, rotated)
    attention = AttentionConfig(
        heads=heads,
        kv_heads=get_int(values, "num_key_value_heads", family, heads),
        head_dim=get_int(values, "head_dim", family, max(1, width // heads)),
        qk_norm="none",
    )
    return ModelConfig(
        vocab_size=get_int(values, "vocab_size", family),
        width=width,
        layers=get_layers(values, family),
        context_length=get_int(values, "max_position_embeddings", family),
        attention=attention,
        feedforward=FeedForwardConfig(width=get_int(values, "intermediate_size", family)),
        position=PositionConfig(base=theta, scaling=scaling, rotated=share),
        tied_embeddings=get_bool(values, "tie_word_embeddings", tied),
    )


def decoder_to_hf_config(
    config: ModelConfig, family: str, architecture: str, more: Mapping[str, Any] = {}
) -> dict[str, Any]:
    """The config.json keys that every LLaMA-like family writes, and more, for Transformers 4 and 5.

    Raises ConfigError for a rotary scaling that the format cannot express.
    """
    position = config.position
    rope = to_rope_parameters(position.base, position.scaling, family)
    scaling = {name: value for name, value in rope.items() if name != "rope_theta"}
    return {
        "architectures": [architecture],
        "model_type": family,
        "vocab_size": config.vocab_size,
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "max_position_embeddings": config.context_length,
        "num_attention_heads": config.attention.heads,
        "num_key_value_heads": config.attention.kv_heads,
        "head_dim": config.attention.head_dim,
        "intermediate_size": config.feedforward.width,
        "attention_dropout": 0.0,
        "rms_norm_eps": config.norm.eps,
        "rope_parameters": rope,
        "rope_theta": position.base,
        "rope_scaling": None if position.scaling.kind == "none" else scaling,
        "tie_word_embeddings": config.tied_embeddings,
        "use_cache": True,
        **more,
    }


def get_attention_bias(values: Mapping[str, Any]) -> Literal["none", "all"]:
    """Which attention projections have biases: all or none."""
    return "all" if get_bool(values, "attention_bias", False) else "none"


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


def check_heads_divide_width(config: ModelConfig, family: str) -> None:
    """Raise ConfigError if Transformers would reject the width."""
    if config.width % config.attention.heads:
        what = f"ModelConfig.width={config.width} cannot be written as {family}"
        raise ConfigError(f"{what}, which needs a multiple of heads={config.attention.heads}.")


LLAMA_KEYS = ConfigKeys(
    SHARED_KEYS | word_set("attention_bias mlp_bias"),
    UNUSED_FEATURES | {"activation": ("swiglu",), "rope_interleaved": (False,)},
    word_set("is_llama_config max_sequence_length"),
)


def _llama_from_hf_config(values: dict[str, Any]) -> ModelConfig:
    has_bias = get_bool(values, "mlp_bias", False)
    config = decoder_from_hf_config(values, "llama", bias=get_attention_bias(values))
    feedforward = config.feedforward.model_copy(update={"bias": has_bias})
    return config.model_copy(update={"feedforward": feedforward})


def _llama_to_hf_config(config: ModelConfig) -> dict[str, Any]:
    check_heads_divide_width(config, "llama")
    more = {"attention_bias": config.attention.bias == "all", "mlp_bias": config.feedforward.bias}
    more |= {"hidden_act": "silu"}
    return decoder_to_hf_config(config, "llama", "LlamaForCausalLM", more)


MISTRAL_KEYS = ConfigKeys(
    SHARED_KEYS | word_set("layer_types sliding_window"),
    UNUSED_FEATURES,
    word_set("max_sequence_length"),
)
MISTRAL_DEFAULTS: dict[str, Any] = {"num_key_value_heads": 8, "sliding_window": 4096}


def _mistral_from_hf_config(values: dict[str, Any]) -> ModelConfig:
    values = MISTRAL_DEFAULTS | values
    patterns = parse_sliding_window(values, "mistral")
    return decoder_from_hf_config(values, "mistral", patterns=patterns)


def parse_sliding_window(values: Mapping[str, Any], family: str) -> tuple[AttentionPattern, ...]:
    """The pattern of all layers; a `sliding_window` of null means full attention.

    Raises ArtifactError if `layer_types` differs between layers, which Transformers ignores
    here.
    """
    is_window = values.get("sliding_window") is not None
    types = values.get("layer_types")
    if types is not None and any((kind == WINDOW) != is_window for kind in types):
        what = f"layer_types={str(types)[:60]} with sliding_window={values.get('sliding_window')!r}"
        raise ArtifactError(f"config.json has {what}; all layers of {family} have the same type.")
    if not is_window:
        return (AttentionPattern(),)
    return (AttentionPattern("window", get_int(values, "sliding_window", family)),)


def _mistral_to_hf_config(config: ModelConfig) -> dict[str, Any]:
    more = {"hidden_act": "silu", "sliding_window": to_layer_types(config, "mistral")[1]}
    return decoder_to_hf_config(config, "mistral", "MistralForCausalLM", more)


WINDOW_KEYS = word_set("layer_types max_window_layers sliding_window use_sliding_window")
QWEN2_KEYS = ConfigKeys(
    SHARED_KEYS | WINDOW_KEYS, UNUSED_FEATURES | {"attention_bias": (True,), "use_mrope": (False,)},
)  # fmt: skip
QWEN2_DEFAULTS: dict[str, Any] = {"num_key_value_heads": 32}
WINDOW_DEFAULTS: dict[str, Any] = {"sliding_window": 4096, "max_window_layers": 28}


def _qwen2_from_hf_config(values: dict[str, Any]) -> ModelConfig:
    values = QWEN2_DEFAULTS | values
    patterns = _parse_upper_windows(values, "qwen2")
    return decoder_from_hf_config(values, "qwen2", bias="qkv", patterns=patterns)


def _parse_upper_windows(values: Mapping[str, Any], family: str) -> tuple[AttentionPattern, ...]:
    """Attention patterns from `layer_types`, or windows from layer `max_window_layers` on.

    Raises ArtifactError for windows without a size.
    """
    if not get_bool(values, "use_sliding_window", False):
        if WINDOW in (values.get("layer_types") or ()):
            what = f"config.json has {WINDOW!r} in layer_types without use_sliding_window"
            raise ArtifactError(f"{what}; set it to true, or all layer_types to {FULL!r}.")
        return parse_layer_types(dict(values) | {"sliding_window": None}, family)
    values = WINDOW_DEFAULTS | dict(values)
    if values.get("layer_types") is not None or values["sliding_window"] is None:
        return parse_layer_types(values, family)
    first, layers = values["max_window_layers"], get_layers(values, family)
    if isinstance(first, bool) or not isinstance(first, int) or first < 0:
        raise ArtifactError(f"config.json has max_window_layers={first!r}; expected 0 or more.")
    types = [WINDOW if layer >= first else FULL for layer in range(layers)]
    return parse_layer_types(values | {"layer_types": types}, family)


def _to_window_keys(config: ModelConfig, family: str) -> dict[str, Any]:
    """The config.json keys of windows, for old and new versions of Transformers."""
    types, window = to_layer_types(config, family)
    return {
        "use_sliding_window": window is not None,
        "sliding_window": window,
        "max_window_layers": (types + [WINDOW]).index(WINDOW),
        "layer_types": types,
    }


def _qwen2_to_hf_config(config: ModelConfig) -> dict[str, Any]:
    more = {"hidden_act": "silu", **_to_window_keys(config, "qwen2")}
    return decoder_to_hf_config(config, "qwen2", "Qwen2ForCausalLM", more)


QWEN3_KEYS = ConfigKeys(SHARED_KEYS | WINDOW_KEYS | word_set("attention_bias"), UNUSED_FEATURES)
QWEN3_DEFAULTS: dict[str, Any] = {"num_key_value_heads": 32, "head_dim": 128}


def _qwen3_from_hf_config(values: dict[str, Any]) -> ModelConfig:
    values = QWEN3_DEFAULTS | values
    parts = {"bias": get_attention_bias(values), "patterns": _parse_upper_windows(values, "qwen3")}
    return decoder_from_hf_config(values, "qwen3", qk_norm="head", **parts)


def _qwen3_to_hf_config(config: ModelConfig) -> dict[str, Any]:
    more = {"hidden_act": "silu", "attention_bias": config.attention.bias == "all"}
    more |= _to_window_keys(config, "qwen3")
    return decoder_to_hf_config(config, "qwen3", "Qwen3ForCausalLM", more)


OLMO2_KEYS = ConfigKeys(SHARED_KEYS | word_set("attention_bias"), UNUSED_FEATURES)
OLMO2_NAMES = (
    ("model.layers.{}.self_attn.", "layers.{}.attention."),
    ("model.layers.{}.mlp.", "layers.{}.feedforward."),
    ("model.layers.{}.post_attention_layernorm.", "layers.{}.attention_out_norm."),
    ("model.layers.{}.post_feedforward_layernorm.", "layers.{}.feedforward_out_norm."),
    ("model.embed_tokens.", "embed_tokens."),
    ("model.norm.", "norm."),
)


def _olmo2_from_hf_config(values: dict[str, Any]) -> ModelConfig:
    bias = get_attention_bias(values)
    config = decoder_from_hf_config(values, "olmo2", bias=bias, qk_norm="all", eps=1e-5)
    return config.model_copy(update={"norm": config.norm.model_copy(update={"place": "output"})})


def _olmo2_to_hf_config(config: ModelConfig) -> dict[str, Any]:
    more = {"hidden_act": "silu", "attention_bias": config.attention.bias == "all"}
    return decoder_to_hf_config(config, "olmo2", "Olmo2ForCausalLM", more)


LLAMA = renaming_family("llama", LLAMA_KEYS, _llama_from_hf_config, _llama_to_hf_config, NAMES)
MISTRAL = renaming_family(
    "mistral", MISTRAL_KEYS, _mistral_from_hf_config, _mistral_to_hf_config, NAMES
)
QWEN2 = renaming_family("qwen2", QWEN2_KEYS, _qwen2_from_hf_config, _qwen2_to_hf_config, NAMES)
QWEN3 = renaming_family("qwen3", QWEN3_KEYS, _qwen3_from_hf_config, _qwen3_to_hf_config, NAMES)
OLMO2 = renaming_family(
    "olmo2", OLMO2_KEYS, _olmo2_from_hf_config, _olmo2_to_hf_config, OLMO2_NAMES
)
