"""Qwen3's names: its config.json and its tensors, to ours and back.

A LLaMA whose queries and keys are normed by head. Our default model is one, and is written so.
Source: transformers 5.24, models/qwen3; Qwen3: arXiv:2505.09388.
"""

from typing import Any

from ..config import (
    AttentionConfig,
    FeedForwardConfig,
    ModelConfig,
    NormConfig,
    PositionConfig,
)
from .names import State, needed, only, renamed, rope_of, rope_parameters, unsaid

NAMES = (
    ("model.layers.{}.self_attn.", "layers.{}.attention."),
    ("model.layers.{}.mlp.", "layers.{}.feedforward."),
    ("model.layers.{}.input_layernorm.", "layers.{}.attention_norm."),
    ("model.layers.{}.post_attention_layernorm.", "layers.{}.feedforward_norm."),
    ("model.embed_tokens.", "embed_tokens."),
    ("model.norm.", "norm."),
)

ONLY = {
    "hidden_act": ("silu",),
    "attention_bias": (False, None),
    "use_sliding_window": (False, None),
}


def read(values: dict[str, Any]) -> ModelConfig:
    """Our configuration of a config.json.

    Raises ArtifactError naming the key that is missing or that asks for what we do not compute.
    """
    only(values, ONLY)
    width, heads = (needed(values, k, "qwen3") for k in ("hidden_size", "num_attention_heads"))
    base, scaling = rope_of(values)
    return ModelConfig(
        vocab_size=needed(values, "vocab_size", "qwen3"),
        width=width,
        layers=needed(values, "num_hidden_layers", "qwen3"),
        context_length=needed(values, "max_position_embeddings", "qwen3"),
        attention=AttentionConfig(
            heads=heads,
            kv_heads=values.get("num_key_value_heads") or heads,
            head_dim=values.get("head_dim") or width // heads,
        ),
        feedforward=FeedForwardConfig(width=needed(values, "intermediate_size", "qwen3")),
        position=PositionConfig(base=base, scaling=scaling),
        norm=NormConfig(eps=values.get("rms_norm_eps", 1e-6)),
        tied_embeddings=values.get("tie_word_embeddings", False),
    )


def write(config: ModelConfig) -> dict[str, Any]:
    """The config.json of our configuration, for Transformers 4.51 and later.

    Raises ConfigError naming what a Qwen3 cannot be.
    """
    position = config.position
    values = {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "vocab_size": config.vocab_size,
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "max_position_embeddings": config.context_length,
        "num_attention_heads": config.attention.heads,
        "num_key_value_heads": config.attention.kv_heads,
        "head_dim": config.attention.head_dim,
        "intermediate_size": config.feedforward.width,
        "hidden_act": "silu",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "use_sliding_window": False,
        "rms_norm_eps": config.norm.eps,
        "rope_theta": position.base,
        "rope_parameters": rope_parameters(position.base, position.scaling, "qwen3"),
        "tie_word_embeddings": config.tied_embeddings,
        "use_cache": True,
    }
    unsaid(config, read(values), "qwen3")
    return values


def ours(state: State, config: ModelConfig) -> State:
    """Our names of their tensors."""
    return renamed(state, NAMES)


def theirs(state: State, config: ModelConfig) -> State:
    """Their names of our tensors."""
    return renamed(state, NAMES, to_theirs=True)
