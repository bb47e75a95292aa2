"""LLaMA, and the decoder block that its successors share.

Rotary positions, RMS norms, SwiGLU, no biases. Mistral, Mixtral, Qwen, Gemma and OLMo change a
component or two: this file has what they share, theirs what they change.
Source: transformers 5.24, models/llama; LLaMA: Touvron et al. 2023, arXiv:2302.13971.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal

from groundup.core import ArtifactError, ConfigError
from groundup.kernels import AttentionPattern

from ..config import (
    AttentionConfig,
    FeedForwardConfig,
    ModelConfig,
    NormConfig,
    PositionConfig,
)
from .keys import CAUSAL, ROPE, AllowedValues, ConfigKeys, word_set
from .names import (
    LAYER_TYPES,
    StateDict,
    get_bool,
    get_float,
    get_int,
    parse_rope,
    rename_tensors,
    require_defaults,
    require_supported,
    to_rope_parameters,
)

FAMILY = "llama"
NAMES = (
    ("model.layers.{}.self_attn.", "layers.{}.attention."),
    ("model.layers.{}.mlp.", "layers.{}.feedforward."),
    ("model.layers.{}.input_layernorm.", "layers.{}.attention_norm."),
    ("model.layers.{}.post_attention_layernorm.", "layers.{}.feedforward_norm."),
    ("model.embed_tokens.", "embed_tokens."),
    ("model.norm.", "norm."),
)
ROTARY_BUFFERS = re.compile(r".*\.rotary_emb\.inv_freq$")
"""Buffers of rotary frequencies in files from before 2023-07; they follow from config.json."""
MAX_LAYERS = 2**16
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
KEYS = ConfigKeys(
    SHARED_KEYS | word_set("attention_bias mlp_bias"),
    UNUSED_FEATURES | {"activation": ("swiglu",), "rope_interleaved": (False,)},
    word_set("is_llama_config max_sequence_length"),
)


def from_hf_config(values: dict[str, Any]) -> ModelConfig:
    """Convert a Hugging Face config.json to a ModelConfig.

    Raises ArtifactError naming the key that is missing or has an unsupported value.
    """
    require_supported(values, {"hidden_act": ("silu",)})
    has_bias = get_bool(values, "mlp_bias", False)
    config = decoder_from_hf_config(values, FAMILY, bias=get_attention_bias(values))
    feedforward = config.feedforward.model_copy(update={"bias": has_bias})
    return config.model_copy(update={"feedforward": feedforward})


def to_hf_config(config: ModelConfig) -> dict[str, Any]:
    """Convert a ModelConfig to a Hugging Face config.json.

    Raises ConfigError naming the field that LLaMA cannot express.
    """
    check_heads_divide_width(config, FAMILY)
    values = decoder_to_hf_config(config, FAMILY, "LlamaForCausalLM")
    values |= {
        "hidden_act": "silu",
        "attention_bias": config.attention.bias == "all",
        "mlp_bias": config.feedforward.bias,
    }
    require_defaults(config, from_hf_config(values), FAMILY)
    return values


def from_hf_state_dict(state: StateDict, config: ModelConfig) -> StateDict:
    """Rename Hugging Face tensors to groundup's names."""
    return rename_tensors(drop_rotary_buffers(state), NAMES)


def to_hf_state_dict(state: StateDict, config: ModelConfig) -> StateDict:
    """Rename groundup's tensors to Hugging Face names."""
    return rename_tensors(state, NAMES, to_hf=True)


def decoder_from_hf_config(
    values: Mapping[str, Any],
    family: str,
    *,
    bias: Literal["none", "qkv", "all"] = "none",
    qk_norm: Literal["none", "head", "all"] = "none",
    patterns: tuple[AttentionPattern, ...] = (AttentionPattern(),),
    eps: float = 1e-6,
    base: float = 10_000.0,
    tied: bool = False,
) -> ModelConfig:
    """The configuration of a LLaMA-like decoder; families change the rest in a copy.

    eps, base, tied  defaults where config.json does not set them

    Raises ArtifactError naming a missing or invalid key, ConfigError for inconsistent sizes.
    """
    width = get_int(values, "hidden_size", family)
    heads = get_int(values, "num_attention_heads", family)
    theta, scaling = parse_rope(values, base)
    attention = AttentionConfig(
        heads=heads,
        kv_heads=get_int(values, "num_key_value_heads", family, heads),
        head_dim=get_int(values, "head_dim", family, max(1, width // heads)),
        qk_norm=qk_norm,
        bias=bias,
        patterns=patterns,
    )
    return ModelConfig(
        vocab_size=get_int(values, "vocab_size", family),
        width=width,
        layers=get_layers(values, family),
        context_length=get_int(values, "max_position_embeddings", family),
        attention=attention,
        feedforward=FeedForwardConfig(width=get_int(values, "intermediate_size", family)),
        position=PositionConfig(base=theta, scaling=scaling),
        norm=NormConfig(eps=get_float(values, "rms_norm_eps", eps)),
        tied_embeddings=get_bool(values, "tie_word_embeddings", tied),
    )


def decoder_to_hf_config(config: ModelConfig, family: str, architecture: str) -> dict[str, Any]:
    """The config.json keys that every LLaMA-like family writes, for Transformers 4 and 5.

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
    }


def get_attention_bias(values: Mapping[str, Any]) -> Literal["none", "all"]:
    """Which attention projections have biases: all or none."""
    return "all" if get_bool(values, "attention_bias", False) else "none"


def get_layers(values: Mapping[str, Any], family: str) -> int:
    """Number of layers, at most MAX_LAYERS, so that they can be listed."""
    return get_int(values, "num_hidden_layers", family, maximum=MAX_LAYERS)


def parse_layer_types(values: Mapping[str, Any], family: str) -> tuple[AttentionPattern, ...]:
    """The shortest cycle of attention patterns that reproduces `layer_types`.

    Raises ArtifactError for unsupported types, or if there is not one for each layer.

    >>> parse_layer_types({"layer_types": ["sliding_attention", "full_attention"] * 2,
    ...     "num_hidden_layers": 4, "sliding_window": 8}, "qwen2")[0]
    AttentionPattern(kind='window', window=8, stride=0, tokens=0)
    """
    types, layers = values.get("layer_types"), get_layers(values, family)
    if types is None:
        return (AttentionPattern(),)
    is_list = isinstance(types, list) and len(types) == layers
    if not is_list or not all(kind in (FULL, WINDOW) for kind in types):
        raise ArtifactError(
            f"config.json has layer_types={str(types)[:60]}; expected {layers} values, one per "
            f"layer, each {FULL!r} or {WINDOW!r}."
        )
    window = AttentionPattern()
    if WINDOW in types:
        window = AttentionPattern("window", get_int(values, "sliding_window", family))
    return _shortest_cycle(
        tuple(window if kind == WINDOW else AttentionPattern() for kind in types)
    )


def _shortest_cycle(patterns: tuple[AttentionPattern, ...]) -> tuple[AttentionPattern, ...]:
    """The shortest prefix whose repetition gives all patterns.

    >>> far, near = AttentionPattern(), AttentionPattern("window", 4)
    >>> len(_shortest_cycle((near, near, far, near, near)))
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
        raise ConfigError(
            f"AttentionConfig.patterns={config.attention.patterns!r} cannot be written as "
            f"{family}, which has full attention and windows of one size."
        )
    types = [WINDOW if pattern.kind == "window" else FULL for pattern in patterns]
    return types, windows.pop() if windows else None


def check_heads_divide_width(config: ModelConfig, family: str) -> None:
    """Raise ConfigError if Transformers would reject the width."""
    if config.width % config.attention.heads:
        raise ConfigError(
            f"ModelConfig.width={config.width} cannot be written as {family}, which needs a "
            f"multiple of heads={config.attention.heads}."
        )


def drop_rotary_buffers(state: StateDict) -> StateDict:
    """Drop the rotary frequency buffers of old files."""
    return {name: tensor for name, tensor in state.items() if not ROTARY_BUFFERS.match(name)}
