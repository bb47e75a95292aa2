"""LLaMA, and the decoder block that its successors share.

Rotary positions, RMS norms, SwiGLU, no biases. Mistral, Mixtral, Qwen, Gemma and OLMo change a
component or two: this file has what they share, theirs what they change.
Source: transformers 5.24, models/llama; LLaMA: Touvron et al. 2023, arXiv:2302.13971.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal

from groundup.core import ArtifactError, ConfigError
from groundup.kernels import Pattern

from ..config import (
    AttentionConfig,
    FeedForwardConfig,
    ModelConfig,
    NormConfig,
    PositionConfig,
)
from .keys import CAUSAL, ROPE, Allowed, Keys, words
from .names import (
    LAYER_TYPES,
    State,
    answered,
    counted,
    measured,
    only,
    renamed,
    rope_of,
    rope_parameters,
    unsaid,
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
FREQUENCIES = re.compile(r".*\.rotary_emb\.inv_freq$")
"""Buffers of rotary frequencies in files from before 2023-07; they follow from config.json."""
MOST_LAYERS = 2**16
FULL, WINDOW = LAYER_TYPES

SHARED = words(ROPE, """
    head_dim hidden_act hidden_size intermediate_size max_position_embeddings num_attention_heads
    num_hidden_layers num_key_value_heads original_max_position_embeddings rms_norm_eps
    tie_word_embeddings vocab_size
    """)  # fmt: skip
"""Keys that every decoder of this kind reads."""
PLAIN: Allowed = CAUSAL | {
    "attention_bias": (False, None), "mlp_bias": (False, None), "sliding_window": (None,),
}  # fmt: skip
"""Features that some of these families lack but their files mention."""
KEYS = Keys(
    SHARED | words("attention_bias mlp_bias"),
    PLAIN | {"activation": ("swiglu",), "rope_interleaved": (False,)},
    words("is_llama_config max_sequence_length"),
)


def read(values: dict[str, Any]) -> ModelConfig:
    """Convert a Hugging Face config.json to a ModelConfig.

    Raises ArtifactError naming the key that is missing or has an unsupported value.
    """
    only(values, {"hidden_act": ("silu",)})
    has_bias = answered(values, "mlp_bias", False)
    config = decoder_of(values, FAMILY, bias=bias_of(values))
    feedforward = config.feedforward.model_copy(update={"bias": has_bias})
    return config.model_copy(update={"feedforward": feedforward})


def write(config: ModelConfig) -> dict[str, Any]:
    """Convert a ModelConfig to a Hugging Face config.json.

    Raises ConfigError naming the field that LLaMA cannot express.
    """
    check_whole_heads(config, FAMILY)
    values = values_of(config, FAMILY, "LlamaForCausalLM")
    values |= {
        "hidden_act": "silu",
        "attention_bias": config.attention.bias == "all",
        "mlp_bias": config.feedforward.bias,
    }
    unsaid(config, read(values), FAMILY)
    return values


def ours(state: State, config: ModelConfig) -> State:
    """Rename Hugging Face tensors to groundup's names."""
    return renamed(without_frequencies(state), NAMES)


def theirs(state: State, config: ModelConfig) -> State:
    """Rename groundup's tensors to Hugging Face names."""
    return renamed(state, NAMES, to_theirs=True)


def decoder_of(
    values: Mapping[str, Any],
    family: str,
    *,
    bias: Literal["none", "qkv", "all"] = "none",
    qk_norm: Literal["none", "head", "all"] = "none",
    patterns: tuple[Pattern, ...] = (Pattern(),),
    eps: float = 1e-6,
    base: float = 10_000.0,
    tied: bool = False,
) -> ModelConfig:
    """The configuration of a LLaMA-like decoder; families change the rest in a copy.

    eps, base, tied  defaults where config.json does not set them

    Raises ArtifactError naming a missing or invalid key, ConfigError for inconsistent sizes.
    """
    width = counted(values, "hidden_size", family)
    heads = counted(values, "num_attention_heads", family)
    theta, scaling = rope_of(values, base)
    attention = AttentionConfig(
        heads=heads,
        kv_heads=counted(values, "num_key_value_heads", family, heads),
        head_dim=counted(values, "head_dim", family, max(1, width // heads)),
        qk_norm=qk_norm,
        bias=bias,
        patterns=patterns,
    )
    return ModelConfig(
        vocab_size=counted(values, "vocab_size", family),
        width=width,
        layers=layers_of(values, family),
        context_length=counted(values, "max_position_embeddings", family),
        attention=attention,
        feedforward=FeedForwardConfig(width=counted(values, "intermediate_size", family)),
        position=PositionConfig(base=theta, scaling=scaling),
        norm=NormConfig(eps=measured(values, "rms_norm_eps", eps)),
        tied_embeddings=answered(values, "tie_word_embeddings", tied),
    )


def values_of(config: ModelConfig, family: str, architecture: str) -> dict[str, Any]:
    """The config.json keys that every LLaMA-like family writes, for Transformers 4 and 5.

    Raises ConfigError for a rotary scaling that the format cannot express.
    """
    position = config.position
    rope = rope_parameters(position.base, position.scaling, family)
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


def bias_of(values: Mapping[str, Any]) -> Literal["none", "all"]:
    """Which attention projections have biases: all or none."""
    return "all" if answered(values, "attention_bias", False) else "none"


def layers_of(values: Mapping[str, Any], family: str) -> int:
    """Number of layers, at most MOST_LAYERS, so that they can be listed."""
    return counted(values, "num_hidden_layers", family, most=MOST_LAYERS)


def patterns_of(values: Mapping[str, Any], family: str) -> tuple[Pattern, ...]:
    """The shortest cycle of attention patterns that reproduces `layer_types`.

    Raises ArtifactError for unsupported types, or if there is not one for each layer.

    >>> patterns_of({"layer_types": ["sliding_attention", "full_attention"] * 2,
    ...     "num_hidden_layers": 4, "sliding_window": 8}, "qwen2")[0]
    Pattern(kind='window', window=8, stride=0, tokens=0)
    """
    types, layers = values.get("layer_types"), layers_of(values, family)
    if types is None:
        return (Pattern(),)
    is_list = isinstance(types, list) and len(types) == layers
    if not is_list or not all(kind in (FULL, WINDOW) for kind in types):
        raise ArtifactError(
            f"config.json has layer_types={str(types)[:60]}; expected {layers} values, one per "
            f"layer, each {FULL!r} or {WINDOW!r}."
        )
    window = Pattern()
    if WINDOW in types:
        window = Pattern("window", counted(values, "sliding_window", family))
    return shortest_cycle(tuple(window if kind == WINDOW else Pattern() for kind in types))


def shortest_cycle(patterns: tuple[Pattern, ...]) -> tuple[Pattern, ...]:
    """The shortest prefix whose repetition gives all patterns.

    >>> far, near = Pattern(), Pattern("window", 4)
    >>> len(shortest_cycle((near, near, far, near, near)))
    3
    """
    for length in range(1, len(patterns)):
        if all(pattern == patterns[i % length] for i, pattern in enumerate(patterns)):
            return patterns[:length]
    return patterns


def layer_types(config: ModelConfig, family: str) -> tuple[list[str], int | None]:
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


def check_whole_heads(config: ModelConfig, family: str) -> None:
    """Raise ConfigError if Transformers would reject the width."""
    if config.width % config.attention.heads:
        raise ConfigError(
            f"ModelConfig.width={config.width} cannot be written as {family}, which needs a "
            f"multiple of heads={config.attention.heads}."
        )


def without_frequencies(state: State) -> State:
    """Drop the rotary frequency buffers of old files."""
    return {name: tensor for name, tensor in state.items() if not FREQUENCIES.match(name)}
