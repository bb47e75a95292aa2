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
from .keys import Keys, words
from .names import (
    ACTIVATIONS,
    Pairs,
    State,
    activation,
    answered,
    counted,
    measured,
    one_table,
    only,
    renamed,
    their_activation,
    unsaid,
)

PROJECTIONS = (("q.", "q_proj."), ("k.", "k_proj."), ("v.", "v_proj."), ("o.", "o_proj."))
COPIES = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
UNUSED = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
"""A tensor in the oldest files that no version uses."""
ONLY = {"is_encoder_decoder": (True,), "is_decoder": (False, None)}
CONTEXT = 512
SHARED = words("""
    d_ff d_kv d_model dense_act_fn is_decoder is_encoder_decoder layer_norm_epsilon n_positions
    num_decoder_layers num_heads num_layers relative_attention_max_distance
    relative_attention_num_buckets tie_word_embeddings vocab_size
    """)  # fmt: skip
ALIASES = {
    "hidden_size": "d_model", "num_attention_heads": "num_heads", "num_hidden_layers": "num_layers",
}  # fmt: skip
KEYS = Keys(
    SHARED | words("feed_forward_proj is_gated_act scale_decoder_outputs"),
    {"is_causal": (True,)}, aliases=ALIASES | {"head_dim": "d_kv"},
)  # fmt: skip


def attention_names() -> Pairs:
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


def feedforward_names(part: str, *, gated: bool) -> Pairs:
    """Names of the dense feed-forwards, which Hugging Face files call `part`."""
    up = (("wi_0.", "gate_proj."), ("wi_1.", "up_proj.")) if gated else (("wi.", "up_proj."),)
    return tuple(
        (f"{stack}.block.{{}}.layer.{last}.{part}.{a}", f"{prefix}layers.{{}}.feedforward.{b}")
        for stack, prefix, last in (("encoder", "encoder.", 1), ("decoder", "", 2))
        for a, b in (*up, ("wo.", "down_proj."))
    )


def names(config: ModelConfig) -> Pairs:
    """All names of T5."""
    gated = config.feedforward.gated
    return attention_names() + feedforward_names("DenseReluDense", gated=gated)


def read(values: dict[str, Any]) -> ModelConfig:
    """Convert a Hugging Face config.json to a ModelConfig.

    Raises ArtifactError naming the key that is missing or has an unsupported value.
    """
    only(values, ONLY)
    is_tied = answered(values, "tie_word_embeddings", True)
    is_scaled = answered(values, "scale_decoder_outputs", is_tied)
    # Transformers 5 writes tie_word_embeddings=true for every T5; the output scale is reliable.
    is_gated, inner = feedforward_of(values.get("feed_forward_proj", "relu"))
    if "dense_act_fn" in values:  # in Transformers it and is_gated_act take precedence
        inner = activation(values, "dense_act_fn", "relu")
    return shape(
        values,
        FeedForwardConfig(
            width=counted(values, "d_ff", "t5"),
            activation=inner,
            gated=answered(values, "is_gated_act", is_gated),
        ),  # fmt: skip
        is_tied=is_tied and is_scaled,
        is_scaled=is_scaled,
    )


def shape(
    values: dict[str, Any], feedforward: FeedForwardConfig, *, is_tied: bool, is_scaled: bool
) -> ModelConfig:
    """The configuration that T5 and Switch share."""
    sizes = ("d_model", "num_heads", "num_layers")
    width, heads, layers = (counted(values, key, "t5") for key in sizes)
    return ModelConfig(
        kind="encoder_decoder",
        vocab_size=counted(values, "vocab_size", "t5"),
        width=width,
        layers=counted(values, "num_decoder_layers", "t5", layers),
        encoder_layers=layers,
        context_length=counted(values, "n_positions", "t5", CONTEXT),
        attention=AttentionConfig(
            heads=heads,
            kv_heads=heads,
            head_dim=counted(values, "d_kv", "t5"),
            qk_norm="none",
            scale=1.0,
        ),
        feedforward=feedforward,
        position=PositionConfig(
            kind="buckets",
            buckets=counted(values, "relative_attention_num_buckets", "t5", 32),
            max_distance=counted(values, "relative_attention_max_distance", "t5", 128),
        ),
        norm=NormConfig(eps=measured(values, "layer_norm_epsilon", 1e-6)),
        output=OutputConfig(scale=1 / math.sqrt(width) if is_scaled else 1.0),
        tied_embeddings=is_tied,
    )


def feedforward_of(name: Any) -> tuple[bool, Activation]:
    """Whether a `feed_forward_proj` is gated, and its activation.

    >>> feedforward_of("gated-gelu")
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


def write(config: ModelConfig) -> dict[str, Any]:
    """Convert a ModelConfig to a Hugging Face config.json.

    Raises ConfigError naming the field that T5 cannot express.
    """
    feed = config.feedforward
    inner = their_activation(feed.activation, "gelu" if feed.gated else "gelu_new")
    values = written(config) | {
        "architectures": ["T5ForConditionalGeneration"],
        "model_type": "t5",
        "feed_forward_proj": f"gated-{inner}" if feed.gated else inner,
        "scale_decoder_outputs": config.output.scale != 1.0,
    }
    unsaid(config, read(values), "t5")
    return values


def written(config: ModelConfig) -> dict[str, Any]:
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


def ours(state: State, config: ModelConfig) -> State:
    """Rename Hugging Face tensors to groundup's names; copy the embedding to a missing untied head.

    Raises ArtifactError if the stacks have different embeddings.
    """
    state = one_table(state, "shared.weight", COPIES)
    state.pop(UNUSED, None)
    if not config.tied_embeddings and "shared.weight" in state:
        state.setdefault("lm_head.weight", state["shared.weight"].clone())
    return renamed(state, names(config))


def theirs(state: State, config: ModelConfig) -> State:
    """Rename groundup's tensors to Hugging Face names."""
    return renamed(state, names(config), to_theirs=True)
