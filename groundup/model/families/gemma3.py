"""Gemma 3: the text model, alone or inside the multimodal one.

Norms before and after each sublayer, with zero-centred weights; embeddings scaled by sqrt(width);
five layers of six have a window and a smaller rotary base. Of a multimodal `gemma3` the text model
is opened: its output for text is the same.
Source: transformers 5.24, models/gemma3; Gemma Team 2025, arXiv:2503.19786.
"""

import re
from collections.abc import Mapping
from typing import Any

from groundup.core import ArtifactError

from ..config import EmbeddingConfig, ModelConfig, OutputConfig, PositionConfig
from .keys import CAUSAL, Keys, checked, words
from .llama import (
    FULL,
    SHARED,
    WINDOW,
    bias_of,
    check_whole_heads,
    decoder_of,
    layer_types,
    layers_of,
    patterns_of,
    values_of,
    without_frequencies,
)
from .names import State, answered, counted, layer_rope_of, measured, only, renamed, unsaid

FAMILY = "gemma3_text"
DEFAULTS: dict[str, Any] = {
    "vocab_size": 262_208, "hidden_size": 2304, "intermediate_size": 9216,
    "num_hidden_layers": 26, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256,
    "max_position_embeddings": 131_072, "query_pre_attn_scalar": 256, "sliding_window": 4096,
    "sliding_window_pattern": 6,
}  # fmt: skip
"""Defaults that published multimodal files omit."""
NAMES = (
    ("model.layers.{}.self_attn.", "layers.{}.attention."),
    ("model.layers.{}.mlp.", "layers.{}.feedforward."),
    ("model.layers.{}.input_layernorm.", "layers.{}.attention_norm."),
    ("model.layers.{}.post_attention_layernorm.", "layers.{}.attention_out_norm."),
    ("model.layers.{}.pre_feedforward_layernorm.", "layers.{}.feedforward_norm."),
    ("model.layers.{}.post_feedforward_layernorm.", "layers.{}.feedforward_out_norm."),
    ("model.embed_tokens.", "embed_tokens."),
    ("model.norm.", "norm."),
)
PICTURES = re.compile(r"(model\.)?(vision_tower|multi_modal_projector)\.")
TEXT = re.compile(r"(?:model\.language_model\.|language_model\.model\.)")
KEYS = Keys(
    SHARED - {"hidden_act", "original_max_position_embeddings"} | words("""
    attention_bias attn_logit_softcapping final_logit_softcapping hidden_activation layer_types
    query_pre_attn_scalar rope_local_base_freq sliding_window sliding_window_pattern
    use_bidirectional_attention
    """),
    CAUSAL | {"mlp_bias": (False, None)}, words("_sliding_window_pattern"),
)  # fmt: skip
WITH_PICTURES = Keys(
    words("text_config tie_word_embeddings"), CAUSAL, words("""
    boi_token_id boi_token_index eoi_token_id eoi_token_index image_token_id image_token_index
    mm_tokens_per_image vision_config
    """),
)  # fmt: skip
"""Keys of the multimodal config.json, which holds the text model's."""
ONLY = {
    "hidden_activation": ("gelu_pytorch_tanh",),
    "attn_logit_softcapping": (None,),
    "use_bidirectional_attention": (False, None),
}
"""Transformers reads attn_logit_softcapping but never applies it, so it must be null."""


def read(values: dict[str, Any]) -> ModelConfig:
    """Convert a Hugging Face config.json, or the text part of a multimodal one, to a ModelConfig.

    Raises ArtifactError naming the key that is missing or has an unsupported value.
    """
    values = DEFAULTS | text_of(values)
    only(values, ONLY)
    values["layer_types"] = values.get("layer_types") or every_sixth(values)
    config = decoder_of(
        values | {"rope_parameters": None, "rope_scaling": None}, FAMILY, bias=bias_of(values),
        qk_norm="head", patterns=patterns_of(values, FAMILY), tied=True,
    )  # fmt: skip
    scalar = counted(values, "query_pre_attn_scalar", FAMILY)
    scale = None if scalar == config.attention.head_dim else scalar**-0.5
    parts = {
        "attention": config.attention.model_copy(update={"scale": scale}),
        "feedforward": config.feedforward.model_copy(update={"activation": "gelu_tanh"}),
        "position": position_of(values),
        "norm": config.norm.model_copy(update={"place": "sandwich", "zero_centred": True}),
        "embedding": EmbeddingConfig(scale=config.width**0.5),
        "output": OutputConfig(softcap=measured(values, "final_logit_softcapping", None)),
    }
    return config.model_copy(update=parts)


def text_of(values: dict[str, Any]) -> dict[str, Any]:
    """The text model's values of a config.json.

    Raises ArtifactError if there are none, or if they cap the logits.
    """
    if values.get("model_type") != "gemma3":
        return values
    text = values.get("text_config")
    if not isinstance(text, dict):
        raise ArtifactError(f"config.json has text_config={text!r}; gemma3 needs an object.")
    only(text, {"final_logit_softcapping": (None,)})  # Transformers would not apply it here
    text = checked({"model_type": FAMILY} | text, KEYS, FAMILY)
    return text | {"tie_word_embeddings": answered(values, "tie_word_embeddings", True)}


def every_sixth(values: Mapping[str, Any]) -> list[str]:
    """Layer types where config.json does not list them: the last of every cycle is full."""
    cycle = counted(values, "sliding_window_pattern", FAMILY)
    return [WINDOW if (i + 1) % cycle else FULL for i in range(layers_of(values, FAMILY))]


def position_of(values: Mapping[str, Any]) -> PositionConfig:
    """Rotary positions of window layers and of the others.

    Raises ArtifactError for a scaling in window layers, which is unsupported.
    """
    local_base = measured(values, "rope_local_base_freq", 10_000.0)
    base, scaling = layer_rope_of(values, FULL, measured(values, "rope_theta", 1_000_000.0))
    window_base, window_scaling = layer_rope_of(values, WINDOW, local_base, scaled=False)
    if window_scaling.kind != "none":
        raise ArtifactError(
            f"config.json has rope_type {window_scaling.kind!r} in layers with a window; groundup "
            "supports default there."
        )
    return PositionConfig(base=base, scaling=scaling, window_base=window_base)


def write(config: ModelConfig) -> dict[str, Any]:
    """Convert a ModelConfig to a Hugging Face config.json, for Transformers 4.50 and later.

    Raises ConfigError naming the field that Gemma 3 cannot express.
    """
    check_whole_heads(config, FAMILY)
    types, window = layer_types(config, FAMILY)
    window_base, scale = config.position.window_base, config.attention.scale
    values = values_of(config, FAMILY, "Gemma3ForCausalLM")
    values |= {
        "hidden_activation": "gelu_pytorch_tanh",
        "attention_bias": config.attention.bias == "all",
        "query_pre_attn_scalar": round(scale**-2) if scale else config.attention.head_dim,
        "layer_types": types,
        "sliding_window": window or 4096,
        "final_logit_softcapping": config.output.softcap,
        "attn_logit_softcapping": None,
        "rope_local_base_freq": window_base,
        "rope_parameters": {
            FULL: values["rope_parameters"],
            WINDOW: {"rope_type": "default", "rope_theta": window_base},
        },
    }
    unsaid(config, read(values), FAMILY)
    return values


def ours(state: State, config: ModelConfig) -> State:
    """Rename Hugging Face tensors to groundup's names; drop the vision tower's."""
    text = {name: tensor for name, tensor in state.items() if not PICTURES.match(name)}
    text = {TEXT.sub("model.", name): tensor for name, tensor in text.items()}
    head = text.pop("language_model.lm_head.weight", None)
    text |= {} if head is None else {"lm_head.weight": head}
    return renamed(without_frequencies(text), NAMES)


def theirs(state: State, config: ModelConfig) -> State:
    """Rename groundup's tensors to Hugging Face names."""
    return renamed(state, NAMES, to_theirs=True)
