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
from .keys import CAUSAL, ROTARY_BUFFERS, ConfigKeys, Family, validate_keys, word_set
from .llama import (
    FULL,
    SHARED_KEYS,
    WINDOW,
    check_heads_divide_width,
    decoder_from_hf_config,
    decoder_to_hf_config,
    get_attention_bias,
    get_layers,
    parse_layer_types,
    to_layer_types,
)
from .names import (
    StateDict,
    drop_tensors,
    get_bool,
    get_float,
    get_int,
    parse_layer_rope,
    parse_window_base,
    rename_tensors,
    require_supported,
)

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
VISION_TENSORS = re.compile(r"(model\.)?(vision_tower|multi_modal_projector)\.")
TEXT_PREFIX = re.compile(r"(?:model\.language_model\.|language_model\.model\.)")
KEYS = ConfigKeys(
    SHARED_KEYS - {"hidden_act", "original_max_position_embeddings"} | word_set("""
    attention_bias attn_logit_softcapping final_logit_softcapping hidden_activation layer_types
    query_pre_attn_scalar rope_local_base_freq sliding_window sliding_window_pattern
    use_bidirectional_attention
    """),
    CAUSAL | {"mlp_bias": (False, None)}, word_set("_sliding_window_pattern"),
)  # fmt: skip
MULTIMODAL_KEYS = ConfigKeys(
    word_set("text_config tie_word_embeddings"), CAUSAL, word_set("""
    boi_token_id boi_token_index eoi_token_id eoi_token_index image_token_id image_token_index
    mm_tokens_per_image vision_config
    """),
)  # fmt: skip
"""Keys of the multimodal config.json, which holds the text model's."""
SUPPORTED_VALUES = {
    "hidden_activation": ("gelu_pytorch_tanh",),
    "attn_logit_softcapping": (None,),
    "use_bidirectional_attention": (False, None),
}
"""Transformers reads attn_logit_softcapping but never applies it, so it must be null."""


def _from_hf_config(values: dict[str, Any]) -> ModelConfig:
    """Convert a Hugging Face config.json, or the text part of a multimodal one, to a ModelConfig.

    Raises ArtifactError naming the key that is missing or has an unsupported value.
    """
    values = DEFAULTS | _get_text_config(values)
    require_supported(values, SUPPORTED_VALUES)
    values["layer_types"] = values.get("layer_types") or _default_layer_types(values)
    config = decoder_from_hf_config(
        values | {"rope_parameters": None, "rope_scaling": None},
        FAMILY,
        bias=get_attention_bias(values),
        qk_norm="head",
        patterns=parse_layer_types(values, FAMILY),
        tied=True,
    )
    scalar = get_int(values, "query_pre_attn_scalar", FAMILY)
    scale = None if scalar == config.attention.head_dim else scalar**-0.5
    parts = {
        "attention": config.attention.model_copy(update={"scale": scale}),
        "feedforward": config.feedforward.model_copy(update={"activation": "gelu_tanh"}),
        "position": _parse_position(values),
        "norm": config.norm.model_copy(update={"place": "sandwich", "zero_centred": True}),
        "embedding": EmbeddingConfig(scale=config.width**0.5),
        "output": OutputConfig(softcap=get_float(values, "final_logit_softcapping", None)),
    }
    return config.model_copy(update=parts)


def _get_text_config(values: dict[str, Any]) -> dict[str, Any]:
    """The text model's values of a config.json.

    Raises ArtifactError if there are none, or if they cap the logits.
    """
    if values.get("model_type") != "gemma3":
        return values
    text = values.get("text_config")
    if not isinstance(text, dict):
        raise ArtifactError(f"config.json has text_config={text!r}; gemma3 needs an object.")
    # Transformers would not apply it here.
    require_supported(text, {"final_logit_softcapping": (None,)})
    text = validate_keys({"model_type": FAMILY} | text, KEYS, FAMILY)
    return text | {"tie_word_embeddings": get_bool(values, "tie_word_embeddings", True)}


def _default_layer_types(values: Mapping[str, Any]) -> list[str]:
    """Layer types where config.json does not list them: the last of every cycle is full."""
    cycle = get_int(values, "sliding_window_pattern", FAMILY)
    return [WINDOW if (i + 1) % cycle else FULL for i in range(get_layers(values, FAMILY))]


def _parse_position(values: Mapping[str, Any]) -> PositionConfig:
    local_base = get_float(values, "rope_local_base_freq", 10_000.0)
    base, scaling = parse_layer_rope(values, FULL, get_float(values, "rope_theta", 1_000_000.0))
    window_base = parse_window_base(values, local_base, scaled=False)
    return PositionConfig(base=base, scaling=scaling, window_base=window_base)


def _to_hf_config(config: ModelConfig) -> dict[str, Any]:
    check_heads_divide_width(config, FAMILY)
    types, window = to_layer_types(config, FAMILY)
    window_base, scale = config.position.window_base, config.attention.scale
    values = decoder_to_hf_config(config, FAMILY, "Gemma3ForCausalLM")
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
    return values


def _from_hf_state_dict(state: StateDict, config: ModelConfig) -> StateDict:
    text = {name: tensor for name, tensor in state.items() if not VISION_TENSORS.match(name)}
    text = {TEXT_PREFIX.sub("model.", name): tensor for name, tensor in text.items()}
    head = text.pop("language_model.lm_head.weight", None)
    text |= {} if head is None else {"lm_head.weight": head}
    return rename_tensors(drop_tensors(text, ROTARY_BUFFERS), NAMES)


def _to_hf_state_dict(state: StateDict, config: ModelConfig) -> StateDict:
    return rename_tensors(state, NAMES, to_hf=True)


GEMMA3_TEXT = Family(
    "gemma3_text", KEYS, _from_hf_config, _to_hf_config, _from_hf_state_dict, _to_hf_state_dict
)
GEMMA3 = GEMMA3_TEXT._replace(name="gemma3", keys=MULTIMODAL_KEYS)
