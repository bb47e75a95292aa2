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
from .keys import AllowedValues, ConfigKeys, word_set
from .llama import get_layers
from .names import (
    NamePairs,
    StateDict,
    drop_tensors,
    get_activation,
    get_architectures,
    get_bool,
    get_float,
    get_head_dim,
    get_int,
    hf_activation,
    rename_tensors,
    require_defaults,
    require_supported,
)

LAYER_NAMES = (
    ("attention.self.query.", "attention.q_proj."),
    ("attention.self.key.", "attention.k_proj."),
    ("attention.self.value.", "attention.v_proj."),
    ("attention.output.dense.", "attention.o_proj."),
    ("attention.output.LayerNorm.", "attention_out_norm."),
    ("intermediate.dense.", "feedforward.up_proj."),
    ("output.dense.", "feedforward.down_proj."),
    ("output.LayerNorm.", "feedforward_out_norm."),
)
ENCODER_NAMES = (
    ("embeddings.word_embeddings.", "embed_tokens."),
    ("embeddings.position_embeddings.", "embed_positions."),
    ("embeddings.token_type_embeddings.", "embed_types."),
    ("embeddings.LayerNorm.", "embed_norm."),
    *(("encoder.layer.{}." + a, "layers.{}." + b) for a, b in LAYER_NAMES),
)
DROPPED_TENSORS = r"pooler\.|cls\.seq_relationship\.|embeddings\.(position_ids|token_type_ids)$"
"""Heads of other tasks, and position buffers of older files."""

SUPPORTED_VALUES = {
    "position_embedding_type": ("absolute", None),
    "is_decoder": (False, None),
    "add_cross_attention": (False, None),
}


SHARED_KEYS = word_set("""
    hidden_act hidden_size intermediate_size layer_norm_eps max_position_embeddings
    num_attention_heads num_hidden_layers position_embedding_type tie_word_embeddings
    type_vocab_size vocab_size
    """)  # fmt: skip
BIDIRECTIONAL: AllowedValues = {"is_causal": (False, None)}
UNUSED_KEYS = word_set("""
    directionality pooler_fc_size pooler_num_attention_heads pooler_num_fc_layers
    pooler_size_per_head pooler_type
    """)  # fmt: skip
KEYS = ConfigKeys(SHARED_KEYS, BIDIRECTIONAL, UNUSED_KEYS)


class BertNames(NamedTuple):
    """The names of a BERT-like family's classes and masked-LM head."""

    family: str
    """Its model_type, and the prefix of its encoder's tensors in a model with a head."""
    class_prefix: str
    """Prefix of its class names."""
    transform: NamePairs
    """The dense layer and norm of the masked-LM head."""
    bias: str
    decoder: str

    @property
    def head(self) -> NamePairs:
        """Names of the masked-LM head's tensors."""
        return (*self.transform, (self.bias, "lm_bias"), (self.decoder + ".", "lm_head."))


BERT_NAMES = BertNames(
    "bert",
    "Bert",
    (
        ("cls.predictions.transform.dense.", "transform.dense."),
        ("cls.predictions.transform.LayerNorm.", "transform.norm."),
    ),
    bias="cls.predictions.bias",
    decoder="cls.predictions.decoder",
)


def from_hf_config(values: dict[str, Any]) -> ModelConfig:
    """Convert a Hugging Face config.json to a ModelConfig.

    Raises ArtifactError naming the key that is missing or has an unsupported value.
    """
    return encoder_from_hf_config(values, "bert", get_activation(values, "hidden_act", "gelu"))


def encoder_from_hf_config(
    values: dict[str, Any], family: str, transform: Activation, *, offset: int = 0
) -> ModelConfig:
    """The configuration that BERT and RoBERTa share.

    transform  activation of the masked-LM head
    offset     unused position embeddings before the first
    """
    require_supported(values, SUPPORTED_VALUES)
    width, heads = (get_int(values, k, family) for k in ("hidden_size", "num_attention_heads"))
    is_masked = has_mlm_head(values)
    return ModelConfig(
        kind="encoder",
        vocab_size=get_int(values, "vocab_size", family),
        width=width,
        layers=get_layers(values, family),
        context_length=get_int(values, "max_position_embeddings", family) - offset,
        attention=AttentionConfig(
            heads=heads,
            kv_heads=heads,
            head_dim=get_head_dim(width, heads),
            qk_norm="none",
            bias="all",
        ),
        feedforward=FeedForwardConfig(
            width=get_int(values, "intermediate_size", family),
            activation=get_activation(values, "hidden_act", "gelu"),
            gated=False,
            bias=True,
        ),
        position=PositionConfig(kind="learned", offset=offset),
        norm=NormConfig(
            kind="layer", eps=get_float(values, "layer_norm_eps") or 1e-12, place="post"
        ),
        embedding=EmbeddingConfig(norm=True, types=get_int(values, "type_vocab_size", family, 2)),
        output=_mlm_output(transform) if is_masked else OutputConfig(logits=False),
        tied_embeddings=not is_masked or get_bool(values, "tie_word_embeddings", True),
    )


def has_mlm_head(values: dict[str, Any]) -> bool:
    """Whether a config.json is of a model with a masked-LM head; the oldest files omit the class.

    >>> has_mlm_head({"architectures": ["BertModel"]})
    False
    """
    classes = get_architectures(values) or ["BertForMaskedLM"]
    return any(name.endswith(("ForMaskedLM", "ForPreTraining")) for name in classes)


def _mlm_output(transform: Activation) -> OutputConfig:
    return OutputConfig(transform="dense", activation=transform, bias=True)


def to_hf_config(config: ModelConfig) -> dict[str, Any]:
    """Convert a ModelConfig to a Hugging Face config.json.

    Raises ConfigError naming the field that BERT cannot express.
    """
    values = encoder_to_hf_config(config, BERT_NAMES)
    require_defaults(config, from_hf_config(values), "bert")
    return values


def encoder_to_hf_config(config: ModelConfig, names: BertNames) -> dict[str, Any]:
    """The config.json keys that BERT and RoBERTa share."""
    kind = "ForMaskedLM" if config.output.transform == "dense" else "Model"
    return {
        "architectures": [names.class_prefix + kind],
        "model_type": names.family,
        "vocab_size": config.vocab_size,
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "max_position_embeddings": config.context_length + config.position.offset,
        "num_attention_heads": config.attention.heads,
        "intermediate_size": config.feedforward.width,
        "hidden_act": hf_activation(config.feedforward.activation),
        "type_vocab_size": max(1, config.embedding.types),
        "layer_norm_eps": config.norm.eps,
        "tie_word_embeddings": config.tied_embeddings,
    }


def from_hf_state_dict(state: StateDict, config: ModelConfig) -> StateDict:
    """Rename Hugging Face tensors to groundup's names."""
    return encoder_from_hf_state_dict(state, config, BERT_NAMES)


def encoder_from_hf_state_dict(
    state: StateDict, config: ModelConfig, names: BertNames
) -> StateDict:
    """Rename the Hugging Face tensors of a BERT-like family to groundup's names."""
    state = {_modernise_name(name.removeprefix(f"{names.family}.")): t for name, t in state.items()}
    state = drop_tensors(state, DROPPED_TENSORS)
    if config.output.transform == "none":
        state = drop_tensors(state, "|".join(re.escape(hf_name) for hf_name, _ in names.head))
    bias = state.pop(f"{names.decoder}.bias", None)  # the other one is its copy, or unused
    if bias is not None:
        state[names.bias] = bias
    return rename_tensors(state, (*ENCODER_NAMES, *names.head))


def _modernise_name(name: str) -> str:
    """The present name of a norm's weight.

    >>> _modernise_name("embeddings.LayerNorm.gamma")
    'embeddings.LayerNorm.weight'
    """
    return re.sub(r"Norm\.gamma$", "Norm.weight", re.sub(r"Norm\.beta$", "Norm.bias", name))


def to_hf_state_dict(state: StateDict, config: ModelConfig) -> StateDict:
    """Rename groundup's tensors to Hugging Face names."""
    return encoder_to_hf_state_dict(state, config, BERT_NAMES)


def encoder_to_hf_state_dict(state: StateDict, config: ModelConfig, names: BertNames) -> StateDict:
    """Rename groundup's tensors to the Hugging Face names of a BERT-like family."""
    is_masked = config.output.transform == "dense"
    prefix = f"{names.family}." if is_masked else ""
    encoder = tuple((prefix + a, b) for a, b in ENCODER_NAMES)
    result = rename_tensors(state, (*encoder, *names.head), to_hf=True)
    if is_masked and not config.tied_embeddings:  # then only the decoder's own bias is read
        result[f"{names.decoder}.bias"] = result[names.bias].clone()
    return result
