"""Qwen3's names: its config.json and its tensors, to ours and back.

Our model computes exactly what Qwen3 does (Transformers' Qwen3ForCausalLM), so this is a table of
words. Variants that it does not compute (biases, sliding windows, stretched positions) are errors.
Source: transformers 5.24, models/qwen3; Qwen3: arXiv:2505.09388.
"""

from typing import Any

from groundup.core import ArtifactError, ConfigError

from ..config import (
    AttentionConfig,
    FeedForwardConfig,
    ModelConfig,
    NormConfig,
    PositionConfig,
)

RENAMES = (
    ("model.embed_tokens.", "embed_tokens."),
    ("model.layers.", "layers."),
    ("model.norm.", "norm."),
    (".self_attn.", ".attention."),
    (".mlp.", ".feedforward."),
    (".input_layernorm.", ".attention_norm."),
    (".post_attention_layernorm.", ".feedforward_norm."),
)
"""Parts of names, theirs and ours; none is part of another."""

ONLY = {
    "hidden_act": ("silu",),
    "attention_bias": (False, None),
    "use_sliding_window": (False, None),
}
"""Values of config.json that we compute; an absent key has the first."""


def ours(name: str) -> str:
    """Our name of a tensor.

    >>> ours("model.layers.0.self_attn.q_proj.weight")
    'layers.0.attention.q_proj.weight'
    """
    for theirs_, ours_ in RENAMES:
        name = name.replace(theirs_, ours_)
    return name


def theirs(name: str) -> str:
    """Qwen3's name of a tensor.

    >>> theirs("norm.weight"), theirs("layers.0.feedforward_norm.weight")
    ('model.norm.weight', 'model.layers.0.post_attention_layernorm.weight')
    """
    for theirs_, ours_ in RENAMES:
        if ours_.startswith(".") or name.startswith(ours_):
            name = name.replace(ours_, theirs_)
    return name


def read(values: dict[str, Any]) -> ModelConfig:
    """Our configuration of a config.json.

    Raises ArtifactError naming the key that is missing or that asks for what we do not compute.
    """
    for key, allowed in ONLY.items():
        if values.get(key, allowed[0]) not in allowed:
            raise ArtifactError(
                f"config.json has {key}={values[key]!r}; groundup computes {key}={allowed[0]!r}."
            )
    rope = values.get("rope_parameters") or values.get("rope_scaling") or {}
    if rope.get("rope_type", rope.get("type", "default")) != "default":
        raise ArtifactError(
            f"config.json has rope_type {rope.get('rope_type', rope.get('type'))!r}; groundup "
            "computes plain rotary positions (rope_type 'default')."
        )
    try:
        width, heads = values["hidden_size"], values["num_attention_heads"]
        return ModelConfig(
            vocab_size=values["vocab_size"],
            width=width,
            layers=values["num_hidden_layers"],
            context_length=values["max_position_embeddings"],
            attention=AttentionConfig(
                heads=heads,
                kv_heads=values.get("num_key_value_heads") or heads,
                head_dim=values.get("head_dim") or width // heads,
            ),
            feedforward=FeedForwardConfig(width=values["intermediate_size"]),
            position=PositionConfig(
                base=rope.get("rope_theta", values.get("rope_theta", 10_000.0))
            ),
            norm=NormConfig(eps=values.get("rms_norm_eps", 1e-6)),
            tied_embeddings=values.get("tie_word_embeddings", False),
        )
    except KeyError as missing:
        raise ArtifactError(f"config.json has no {missing.args[0]}; a qwen3 needs it.") from None


def write(config: ModelConfig) -> dict[str, Any]:
    """The config.json of our configuration, for Transformers 4.51 and later.

    Raises ConfigError if the model has no norm of queries and keys: every Qwen3 has one.
    """
    if not config.attention.qk_norm:
        raise ConfigError(
            "attention.qk_norm=false cannot be saved: model files are Qwen3's, which always has "
            "the norm; train with attention.qk_norm=true."
        )
    base = config.position.base
    return {
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
        "rope_theta": base,
        "rope_parameters": {"rope_type": "default", "rope_theta": base},
        "tie_word_embeddings": config.tied_embeddings,
        "use_cache": True,
    }
