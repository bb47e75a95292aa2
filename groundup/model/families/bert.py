"""BERT's names: its config.json and its tensors, to ours and back.

config.json says by its architectures whether there is a masked head; without one it is an encoder
whose last states are what is used. Pooler and classes are heads (weights/heads.py), and none of the
encoder or of the masked model: they are left out here. Old files call a norm's weights gamma and
beta, and some begin every name with `bert.`.
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
"""Heads of other tasks, and buffers of older files that count from 0."""

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
    """How a peer like BERT names what stands around its encoder."""

    family: str
    """Its model_type, and how names of its encoder begin beside a head."""
    title: str
    """How names of its classes begin."""
    transform: Pairs
    """The dense layer and norm of the masked head."""
    bias: str
    decoder: str

    @property
    def head(self) -> Pairs:
        """The masked head."""
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
    """Our configuration of a config.json.

    Raises ArtifactError naming the key that is missing or that asks for what we do not compute.
    """
    return read_encoder(values, "bert", activation(values, "hidden_act", "gelu"))


def read_encoder(
    values: dict[str, Any], family: str, transform: Activation, *, offset: int = 0
) -> ModelConfig:
    """What BERT and RoBERTa have alike.

    transform  activation of the masked head
    offset     rows of the table of positions before the first
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
    """Whether a config.json is of a model that fills in masked tokens; the oldest do not say.

    >>> has_masked_head({"architectures": ["BertModel"]})
    False
    """
    classes = architectures(values) or ["BertForMaskedLM"]
    return any(name.endswith(("ForMaskedLM", "ForPreTraining")) for name in classes)


def masked_output(transform: Activation) -> OutputConfig:
    """A masked head with an activation."""
    return OutputConfig(transform="dense", activation=transform, bias=True)


def write(config: ModelConfig) -> dict[str, Any]:
    """The config.json of our configuration.

    Raises ConfigError naming what a BERT cannot be.
    """
    values = write_encoder(config, WORDS)
    unsaid(config, read(values), "bert")
    return values


def write_encoder(config: ModelConfig, words: Words) -> dict[str, Any]:
    """What BERT and RoBERTa have alike."""
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
    """Our names of their tensors."""
    return encoder_ours(state, config, WORDS)


def encoder_ours(state: State, config: ModelConfig, words: Words) -> State:
    """Our names of the tensors of a peer like BERT."""
    plain = {modern(name.removeprefix(f"{words.family}.")): t for name, t in state.items()}
    kept = without(plain, LEFT_OUT)
    if config.output.transform == "none":
        kept = without(kept, "|".join(re.escape(theirs) for theirs, _ in words.head))
    in_use = kept.pop(f"{words.decoder}.bias", None)  # the other one is its copy, or unused
    if in_use is not None:
        kept[words.bias] = in_use
    return renamed(kept, (*ENCODER, *words.head))


def modern(name: str) -> str:
    """A norm's weight under its present name.

    >>> modern("embeddings.LayerNorm.gamma")
    'embeddings.LayerNorm.weight'
    """
    return re.sub(r"Norm\.gamma$", "Norm.weight", re.sub(r"Norm\.beta$", "Norm.bias", name))


def theirs(state: State, config: ModelConfig) -> State:
    """Their names of our tensors."""
    return encoder_theirs(state, config, WORDS)


def encoder_theirs(state: State, config: ModelConfig, words: Words) -> State:
    """Names of our tensors as a peer like BERT has them."""
    is_masked = config.output.transform == "dense"
    begin = f"{words.family}." if is_masked else ""
    encoder = tuple((begin + a, b) for a, b in ENCODER)
    found = renamed(state, (*encoder, *words.head), to_theirs=True)
    if is_masked and not config.tied_embeddings:  # then only the decoder's own bias is read
        found[f"{words.decoder}.bias"] = found[words.bias].clone()
    return found
