"""BERT, with or without its masked-LM head, as the `architectures` of config.json say.

Without the head the model is an encoder that returns hidden states. Pooler and classifiers are
heads (weights/heads.py) and are dropped here. Old files call a norm's weights gamma and beta, and
some prefix every name with `bert.`.
Source: transformers 5.24, models/bert; BERT: arXiv:1810.04805.
"""

import re
from typing import Any, NamedTuple

from ..config import (
    Activation,
    AttentionConfig,
    EmbeddingConfig,
    FeedForwardConfig,
    ModelConfig,
    NormConfig,
    OutputConfig,
    PositionConfig,
)
from .keys import Allowed, Keys, words
from .llama import layers_of
from .names import (
    Pairs,
    State,
    activation,
    answered,
    architectures,
    counted,
    head_width,
    measured,
    only,
    renamed,
    their_activation,
    unsaid,
    without,
)

PARTS = (
    ("attention.self.query.", "attention.q_proj."),
    ("attention.self.key.", "attention.k_proj."),
    ("attention.self.value.", "attention.v_proj."),
    ("attention.output.dense.", "attention.o_proj."),
    ("attention.output.LayerNorm.", "attention_out_norm."),
    ("intermediate.dense.", "feedforward.up_proj."),
    ("output.dense.", "feedforward.down_proj."),
    ("output.LayerNorm.", "feedforward_out_norm."),
)
ENCODER = (
    ("embeddings.word_embeddings.", "embed_tokens."),
    ("embeddings.position_embeddings.", "embed_positions."),
    ("embeddings.token_type_embeddings.", "embed_types."),
    ("embeddings.LayerNorm.", "embed_norm."),
    *(("encoder.layer.{}." + a, "layers.{}." + b) for a, b in PARTS),
)
LEFT_OUT = r"pooler\.|cls\.seq_relationship\.|embeddings\.(position_ids|token_type_ids)$"
"""Heads of other tasks, and position buffers of older files."""

ONLY = {
    "position_embedding_type": ("absolute", None),
    "is_decoder": (False, None),
    "add_cross_attention": (False, None),
}


SHARED = words("""
    hidden_act hidden_size intermediate_size layer_norm_eps max_position_embeddings
    num_attention_heads num_hidden_layers position_embedding_type tie_word_embeddings
    type_vocab_size vocab_size
    """)  # fmt: skip
BOTH_WAYS: Allowed = {"is_causal": (False, None)}
IDLE = words("""
    directionality pooler_fc_size pooler_num_attention_heads pooler_num_fc_layers
    pooler_size_per_head pooler_type
    """)  # fmt: skip
KEYS = Keys(SHARED, BOTH_WAYS, IDLE)


class Words(NamedTuple):
    """The names of a BERT-like family's classes and masked-LM head."""

    family: str
    """Its model_type, and the prefix of its encoder's tensors in a model with a head."""
    title: str
    """Prefix of its class names."""
    transform: Pairs
    """The dense layer and norm of the masked-LM head."""
    bias: str
    decoder: str

    @property
    def head(self) -> Pairs:
        """Names of the masked-LM head's tensors."""
        return (*self.transform, (self.bias, "lm_bias"), (self.decoder + ".", "lm_head."))


WORDS = Words(
    "bert",
    "Bert",
    (
        ("cls.predictions.transform.dense.", "transform.dense."),
        ("cls.predictions.transform.LayerNorm.", "transform.norm."),
    ),
    bias="cls.predictions.bias",
    decoder="cls.predictions.decoder",
)


def read(values: dict[str, Any]) -> ModelConfig:
    """Convert a Hugging Face config.json to a ModelConfig.

    Raises ArtifactError naming the key that is missing or has an unsupported value.
    """
    return read_encoder(values, "bert", activation(values, "hidden_act", "gelu"))


def read_encoder(
    values: dict[str, Any], family: str, transform: Activation, *, offset: int = 0
) -> ModelConfig:
    """The configuration that BERT and RoBERTa share.

    transform  activation of the masked-LM head
    offset     unused position embeddings before the first
    """
    only(values, ONLY)
    width, heads = (counted(values, k, family) for k in ("hidden_size", "num_attention_heads"))
    is_masked = has_masked_head(values)
    return ModelConfig(
        kind="encoder",
        vocab_size=counted(values, "vocab_size", family),
        width=width,
        layers=layers_of(values, family),
        context_length=counted(values, "max_position_embeddings", family) - offset,
        attention=AttentionConfig(
            heads=heads,
            kv_heads=heads,
            head_dim=head_width(width, heads),
            qk_norm="none",
            bias="all",
        ),
        feedforward=FeedForwardConfig(
            width=counted(values, "intermediate_size", family),
            activation=activation(values, "hidden_act", "gelu"),
            gated=False,
            bias=True,
        ),
        position=PositionConfig(kind="learned", offset=offset),
        norm=NormConfig(
            kind="layer", eps=measured(values, "layer_norm_eps") or 1e-12, place="post"
        ),
        embedding=EmbeddingConfig(norm=True, types=counted(values, "type_vocab_size", family, 2)),
        output=masked_output(transform) if is_masked else OutputConfig(logits=False),
        tied_embeddings=not is_masked or answered(values, "tie_word_embeddings", True),
    )


def has_masked_head(values: dict[str, Any]) -> bool:
    """Whether a config.json is of a model with a masked-LM head; the oldest files omit the class.

    >>> has_masked_head({"architectures": ["BertModel"]})
    False
    """
    classes = architectures(values) or ["BertForMaskedLM"]
    return any(name.endswith(("ForMaskedLM", "ForPreTraining")) for name in classes)


def masked_output(transform: Activation) -> OutputConfig:
    return OutputConfig(transform="dense", activation=transform, bias=True)


def write(config: ModelConfig) -> dict[str, Any]:
    """Convert a ModelConfig to a Hugging Face config.json.

    Raises ConfigError naming the field that BERT cannot express.
    """
    values = write_encoder(config, WORDS)
    unsaid(config, read(values), "bert")
    return values


def write_encoder(config: ModelConfig, words: Words) -> dict[str, Any]:
    """The config.json keys that BERT and RoBERTa share."""
    kind = "ForMaskedLM" if config.output.transform == "dense" else "Model"
    return {
        "architectures": [words.title + kind],
        "model_type": words.family,
        "vocab_size": config.vocab_size,
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "max_position_embeddings": config.context_length + config.position.offset,
        "num_attention_heads": config.attention.heads,
        "intermediate_size": config.feedforward.width,
        "hidden_act": their_activation(config.feedforward.activation),
        "type_vocab_size": max(1, config.embedding.types),
        "layer_norm_eps": config.norm.eps,
        "tie_word_embeddings": config.tied_embeddings,
    }


def ours(state: State, config: ModelConfig) -> State:
    """Rename Hugging Face tensors to groundup's names."""
    return encoder_ours(state, config, WORDS)


def encoder_ours(state: State, config: ModelConfig, words: Words) -> State:
    """Rename the Hugging Face tensors of a BERT-like family to groundup's names."""
    state = {modern(name.removeprefix(f"{words.family}.")): t for name, t in state.items()}
    state = without(state, LEFT_OUT)
    if config.output.transform == "none":
        state = without(state, "|".join(re.escape(hf_name) for hf_name, _ in words.head))
    bias = state.pop(f"{words.decoder}.bias", None)  # the other one is its copy, or unused
    if bias is not None:
        state[words.bias] = bias
    return renamed(state, (*ENCODER, *words.head))


def modern(name: str) -> str:
    """The present name of a norm's weight.

    >>> modern("embeddings.LayerNorm.gamma")
    'embeddings.LayerNorm.weight'
    """
    return re.sub(r"Norm\.gamma$", "Norm.weight", re.sub(r"Norm\.beta$", "Norm.bias", name))


def theirs(state: State, config: ModelConfig) -> State:
    """Rename groundup's tensors to Hugging Face names."""
    return encoder_theirs(state, config, WORDS)


def encoder_theirs(state: State, config: ModelConfig, words: Words) -> State:
    """Rename groundup's tensors to the Hugging Face names of a BERT-like family."""
    is_masked = config.output.transform == "dense"
    prefix = f"{words.family}." if is_masked else ""
    encoder = tuple((prefix + a, b) for a, b in ENCODER)
    result = renamed(state, (*encoder, *words.head), to_theirs=True)
    if is_masked and not config.tied_embeddings:  # then only the decoder's own bias is read
        result[f"{words.decoder}.bias"] = result[words.bias].clone()
    return result
