"""GPT-1 and GPT-2: transposed matrices (Conv1D), and queries, keys and values fused into one.

Published files of GPT-2 omit the prefix `transformer.` and hold the causal mask. GPT-1 has
post-norms, no final norm and other keys; its `gelu` is the tanh approximation, and its feed-forward
is always four times as wide as the model.
Source: transformers 5.24, models/gpt2 and models/openai; Radford et al. 2018 and 2019.
"""

from typing import Any

from groundup.core import ArtifactError

from ..config import Activation, FeedForwardConfig, ModelConfig, NormConfig, PositionConfig
from .keys import CAUSAL, ConfigKeys, renaming_family, word_set
from .llama import MAX_LAYERS
from .names import (
    QKV,
    get_activation,
    get_bool,
    get_float,
    get_int,
    hf_activation,
    multi_head_attention,
    require_supported,
)

DROPPED_TENSORS = r"h\.\d+\.attn\.(bias|masked_bias)$|position_ids$"
"""Buffers of older files: the causal mask, its fill value, and position ids."""

LAYER_NAMES = (
    ("h.{}.attn.c_attn.", "layers.{}.attention.qkv_proj."),
    ("h.{}.attn.c_proj.", "layers.{}.attention.o_proj."),
    ("h.{}.mlp.c_fc.", "layers.{}.feedforward.up_proj."),
    ("h.{}.mlp.c_proj.", "layers.{}.feedforward.down_proj."),
)
GPT2_NAMES = (
    *LAYER_NAMES,
    ("h.{}.ln_1.", "layers.{}.attention_norm."),
    ("h.{}.ln_2.", "layers.{}.feedforward_norm."),
    ("wte.", "embed_tokens."),
    ("wpe.", "embed_positions."),
    ("ln_f.", "norm."),
)

SHARED_KEYS = word_set(
    "layer_norm_epsilon n_embd n_head n_layer n_positions tie_word_embeddings vocab_size"
)
UNUSED_KEYS = word_set("""
    n_ctx summary_activation summary_first_dropout summary_proj_to_labels summary_type
    summary_use_proj
    """)  # fmt: skip
ALIASES = {
    "hidden_size": "n_embd", "max_position_embeddings": "n_positions",
    "num_attention_heads": "n_head", "num_hidden_layers": "n_layer",
}  # fmt: skip
GPT2_KEYS = ConfigKeys(
    SHARED_KEYS | word_set("activation_function add_cross_attention n_inner scale_attn_weights"
                   " scale_attn_by_inverse_layer_idx"),
    CAUSAL, UNUSED_KEYS | word_set("reorder_and_upcast_attn"), ALIASES,
)  # fmt: skip
SUPPORTED_VALUES = {
    "scale_attn_by_inverse_layer_idx": (False, None),
    "add_cross_attention": (False, None),
}


def _gpt2_from_hf_config(values: dict[str, Any]) -> ModelConfig:
    require_supported(values, SUPPORTED_VALUES)
    inner = get_activation(values, "activation_function", "gelu_new")
    config = _gpt_from_hf_config(values, "gpt2", inner)
    width = get_int(values, "n_inner", "gpt2", config.feedforward.width)
    scale = None if get_bool(values, "scale_attn_weights", True) else 1.0
    parts = {
        "feedforward": config.feedforward.model_copy(update={"width": width}),
        "attention": config.attention.model_copy(update={"scale": scale}),
        "norm": config.norm.model_copy(update={"place": "pre"}),
    }
    return config.model_copy(update=parts)


def _gpt_from_hf_config(values: dict[str, Any], family: str, inner: Activation) -> ModelConfig:
    """The configuration that GPT-1 and GPT-2 share; the norms are GPT-1's post-norms."""
    width, heads = (get_int(values, key, family) for key in ("n_embd", "n_head"))
    eps = get_float(values, "layer_norm_epsilon") or 1e-5
    return ModelConfig(
        vocab_size=get_int(values, "vocab_size", family),
        width=width,
        layers=get_int(values, "n_layer", family, maximum=MAX_LAYERS),
        context_length=get_int(values, "n_positions", family),
        attention=multi_head_attention(width, heads),
        feedforward=FeedForwardConfig(width=4 * width, activation=inner, gated=False, bias=True),
        position=PositionConfig(kind="learned"),
        norm=NormConfig(kind="layer", eps=eps, place="post"),
        tied_embeddings=get_bool(values, "tie_word_embeddings", True),
    )


def _gpt2_to_hf_config(config: ModelConfig) -> dict[str, Any]:
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        **_gpt_to_hf_config(config),
        "n_inner": config.feedforward.width,
        "activation_function": hf_activation(config.feedforward.activation, "gelu_new"),
        "scale_attn_weights": config.attention.scale is None,
    }


def _gpt_to_hf_config(config: ModelConfig) -> dict[str, Any]:
    return {
        "vocab_size": config.vocab_size,
        "n_embd": config.width,
        "n_layer": config.layers,
        "n_positions": config.context_length,
        "n_head": config.attention.heads,
        "layer_norm_epsilon": config.norm.eps,
        "tie_word_embeddings": config.tied_embeddings,
    }


GPT1_NAMES = (
    *LAYER_NAMES,
    ("h.{}.ln_1.", "layers.{}.attention_out_norm."),
    ("h.{}.ln_2.", "layers.{}.feedforward_out_norm."),
    ("tokens_embed.", "embed_tokens."),
    ("positions_embed.", "embed_positions."),
)

GPT1_KEYS = ConfigKeys(
    SHARED_KEYS | word_set("afn"), CAUSAL,
    UNUSED_KEYS | word_set("n_special predict_special_tokens"), ALIASES,
)  # fmt: skip
GPT1_ACTIVATIONS: dict[str, Activation] = {
    "gelu": "gelu_tanh", "relu": "relu", "silu": "silu", "swish": "silu",
}  # fmt: skip
"""Values of `afn`."""


def _gpt1_from_hf_config(values: dict[str, Any]) -> ModelConfig:
    inner = values.get("afn", "gelu")
    if inner not in GPT1_ACTIVATIONS:
        known = ", ".join(GPT1_ACTIVATIONS)
        raise ArtifactError(f"config.json has afn={inner!r}; openai-gpt supports {known}.")
    return _gpt_from_hf_config(values, "openai-gpt", GPT1_ACTIVATIONS[inner])


def _gpt1_to_hf_config(config: ModelConfig) -> dict[str, Any]:
    inner = config.feedforward.activation
    return {
        "architectures": ["OpenAIGPTLMHeadModel"],
        "model_type": "openai-gpt",
        **_gpt_to_hf_config(config),
        "afn": "gelu" if inner == "gelu_tanh" else inner,
    }


STORAGE: dict[str, Any] = {
    "dropped": DROPPED_TENSORS,
    "prefix": "transformer.",
    "transposed": r"\.(attention|feedforward)\.\w+\.weight",
    "fused": {".attention.qkv_proj.": QKV},
}
GPT2 = renaming_family(
    "gpt2", GPT2_KEYS, _gpt2_from_hf_config, _gpt2_to_hf_config, GPT2_NAMES, **STORAGE
)
GPT1 = renaming_family(
    "openai-gpt", GPT1_KEYS, _gpt1_from_hf_config, _gpt1_to_hf_config, GPT1_NAMES, **STORAGE
)
