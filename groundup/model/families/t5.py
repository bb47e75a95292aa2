"""T5: relative position buckets, RMS pre-norms, no biases, unscaled attention scores.

T5 1.0 ties its embeddings and scales the output; 1.1 and FLAN have gated feed-forwards, an untied
head and no scale. The context length is `n_positions` of older files, though buckets allow more.
Source: transformers 5.24, models/t5; T5: arXiv:1910.10683; gates: arXiv:2002.05202.
"""

import math
from typing import Any

from groundup.core import ArtifactError

from ..config import (
    Activation,
    AttentionConfig,
    FeedForwardConfig,
    ModelConfig,
    NormConfig,
    OutputConfig,
    PositionConfig,
)
from .keys import ConfigKeys, word_set
from .names import (
    ACTIVATIONS,
    NamePairs,
    StateDict,
    get_activation,
    get_bool,
    get_float,
    get_int,
    hf_activation,
    merge_tied_embeddings,
    rename_tensors,
    require_defaults,
    require_supported,
)

PROJECTIONS = (("q.", "q_proj."), ("k.", "k_proj."), ("v.", "v_proj."), ("o.", "o_proj."))
EMBEDDING_COPIES = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
UNUSED_TENSOR = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
"""A tensor in the oldest files that no version uses."""
SUPPORTED_VALUES = {"is_encoder_decoder": (True,), "is_decoder": (False, None)}
DEFAULT_CONTEXT = 512
SHARED_KEYS = word_set("""
    d_ff d_kv d_model dense_act_fn is_decoder is_encoder_decoder layer_norm_epsilon n_positions
    num_decoder_layers num_heads num_layers relative_attention_max_distance
    relative_attention_num_buckets tie_word_embeddings vocab_size
    """)  # fmt: skip
ALIASES = {
    "hidden_size": "d_model", "num_attention_heads": "num_heads", "num_hidden_layers": "num_layers",
}  # fmt: skip
KEYS = ConfigKeys(
    SHARED_KEYS | word_set("feed_forward_proj is_gated_act scale_decoder_outputs"),
    {"is_causal": (True,)}, aliases=ALIASES | {"head_dim": "d_kv"},
)  # fmt: skip


def attention_names() -> NamePairs:
    """Names of embeddings, norms and attention of both stacks."""
    pairs: list[tuple[str, str]] = []
    for stack, prefix in (("encoder", "encoder."), ("decoder", "")):
        block = stack + ".block.{}.layer."
        layer, last = prefix + "layers.{}.", 1 if prefix else 2
        distances = f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias."
        pairs.append((distances, f"{prefix}relative."))
        parts = [("0.SelfAttention.", "attention."), ("1.EncDecAttention.", "cross.")][:last]
        for part, name in parts:
            pairs += [(block + part + a, layer + name + b) for a, b in PROJECTIONS]
        norms = ("attention_norm.", "cross_norm.")[:last]
        pairs += [(block + f"{i}.layer_norm.", layer + name) for i, name in enumerate(norms)]
        pairs.append((block + f"{last}.layer_norm.", layer + "feedforward_norm."))
        pairs.append((f"{stack}.final_layer_norm.", f"{prefix}norm."))
    return (*pairs, ("shared.", "embed_tokens."))


def feedforward_names(part: str, *, gated: bool) -> NamePairs:
    """Names of the dense feed-forwards, which Hugging Face files call `part`."""
    up = (("wi_0.", "gate_proj."), ("wi_1.", "up_proj.")) if gated else (("wi.", "up_proj."),)
    return tuple(
        (f"{stack}.block.{{}}.layer.{last}.{part}.{a}", f"{prefix}layers.{{}}.feedforward.{b}")
        for stack, prefix, last in (("encoder", "encoder.", 1), ("decoder", "", 2))
        for a, b in (*up, ("wo.", "down_proj."))
    )


def _tensor_names(config: ModelConfig) -> NamePairs:
    """All names of T5."""
    gated = config.feedforward.gated
    return attention_names() + feedforward_names("DenseReluDense", gated=gated)


def from_hf_config(values: dict[str, Any]) -> ModelConfig:
    """Convert a Hugging Face config.json to a ModelConfig.

    Raises ArtifactError naming the key that is missing or has an unsupported value.
    """
    require_supported(values, SUPPORTED_VALUES)
    is_tied = get_bool(values, "tie_word_embeddings", True)
    is_scaled = get_bool(values, "scale_decoder_outputs", is_tied)
    # Transformers 5 writes tie_word_embeddings=true for every T5; the output scale is reliable.
    is_gated, inner = _parse_feed_forward_proj(values.get("feed_forward_proj", "relu"))
    if "dense_act_fn" in values:  # in Transformers it and is_gated_act take precedence
        inner = get_activation(values, "dense_act_fn", "relu")
    return t5_from_hf_config(
        values,
        FeedForwardConfig(
            width=get_int(values, "d_ff", "t5"),
            activation=inner,
            gated=get_bool(values, "is_gated_act", is_gated),
        ),  # fmt: skip
        is_tied=is_tied and is_scaled,
        is_scaled=is_scaled,
    )


def t5_from_hf_config(
    values: dict[str, Any], feedforward: FeedForwardConfig, *, is_tied: bool, is_scaled: bool
) -> ModelConfig:
    """The configuration that T5 and Switch share."""
    sizes = ("d_model", "num_heads", "num_layers")
    width, heads, layers = (get_int(values, key, "t5") for key in sizes)
    return ModelConfig(
        kind="encoder_decoder",
        vocab_size=get_int(values, "vocab_size", "t5"),
        width=width,
        layers=get_int(values, "num_decoder_layers", "t5", layers),
        encoder_layers=layers,
        context_length=get_int(values, "n_positions", "t5", DEFAULT_CONTEXT),
        attention=AttentionConfig(
            heads=heads,
            kv_heads=heads,
            head_dim=get_int(values, "d_kv", "t5"),
            qk_norm="none",
            scale=1.0,
        ),
        feedforward=feedforward,
        position=PositionConfig(
            kind="buckets",
            buckets=get_int(values, "relative_attention_num_buckets", "t5", 32),
            max_distance=get_int(values, "relative_attention_max_distance", "t5", 128),
        ),
        norm=NormConfig(eps=get_float(values, "layer_norm_epsilon", 1e-6)),
        output=OutputConfig(scale=1 / math.sqrt(width) if is_scaled else 1.0),
        tied_embeddings=is_tied,
    )


def _parse_feed_forward_proj(name: Any) -> tuple[bool, Activation]:
    """Whether a `feed_forward_proj` is gated, and its activation.

    >>> _parse_feed_forward_proj("gated-gelu")
    (True, 'gelu_tanh')

    Raises ArtifactError if it is unsupported.
    """
    is_gated = str(name).startswith("gated-")
    activation = str(name).removeprefix("gated-")
    if name == "gated-gelu":  # in T5 1.1 it means the tanh approximation
        return True, "gelu_tanh"
    if activation not in ACTIVATIONS:
        raise ArtifactError(
            f"config.json has feed_forward_proj={name!r}; groundup supports "
            f"{', '.join(ACTIVATIONS)}, with or without the prefix `gated-`."
        )
    return is_gated, ACTIVATIONS[activation]


def to_hf_config(config: ModelConfig) -> dict[str, Any]:
    """Convert a ModelConfig to a Hugging Face config.json.

    Raises ConfigError naming the field that T5 cannot express.
    """
    feed = config.feedforward
    inner = hf_activation(feed.activation, "gelu" if feed.gated else "gelu_new")
    values = t5_to_hf_config(config) | {
        "architectures": ["T5ForConditionalGeneration"],
        "model_type": "t5",
        "feed_forward_proj": f"gated-{inner}" if feed.gated else inner,
        "scale_decoder_outputs": config.output.scale != 1.0,
    }
    require_defaults(config, from_hf_config(values), "t5")
    return values


def t5_to_hf_config(config: ModelConfig) -> dict[str, Any]:
    """The config.json keys that T5 and Switch share."""
    return {
        "is_encoder_decoder": True,
        "vocab_size": config.vocab_size,
        "d_model": config.width,
        "d_kv": config.attention.head_dim,
        "d_ff": config.feedforward.width,
        "num_heads": config.attention.heads,
        "num_layers": config.encoder_layers,
        "num_decoder_layers": config.layers,
        "n_positions": config.context_length,
        "relative_attention_num_buckets": config.position.buckets,
        "relative_attention_max_distance": config.position.max_distance,
        "layer_norm_epsilon": config.norm.eps,
        "dropout_rate": 0.0,
        "tie_word_embeddings": config.tied_embeddings,
        "use_cache": True,
    }


def from_hf_state_dict(state: StateDict, config: ModelConfig) -> StateDict:
    """Rename Hugging Face tensors to groundup's names; copy the embedding to a missing untied head.

    Raises ArtifactError if the stacks have different embeddings.
    """
    state = merge_tied_embeddings(state, "shared.weight", EMBEDDING_COPIES)
    state.pop(UNUSED_TENSOR, None)
    if not config.tied_embeddings and "shared.weight" in state:
        state.setdefault("lm_head.weight", state["shared.weight"].clone())
    return rename_tensors(state, _tensor_names(config))


def to_hf_state_dict(state: StateDict, config: ModelConfig) -> StateDict:
    """Rename groundup's tensors to Hugging Face names."""
    return rename_tensors(state, _tensor_names(config), to_hf=True)
