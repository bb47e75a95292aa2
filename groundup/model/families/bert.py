"""BERT and RoBERTa, with or without its masked-LM head, as the `architectures` of config.json say.

Without the head the model is an encoder that returns hidden states. Pooler and classifiers are
heads (weights/heads.py) and are dropped here. Old files call a norm's weights gamma and beta, and
some prefix every name with `bert.`.
RoBERTa has another masked-LM head, and positions that start after the padding id.
Source: transformers 5.24, models/bert and models/roberta; arXiv:1810.04805, arXiv:1907.11692.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from groundup.core import ArtifactError

from ..config import (
    Activation,
    EmbeddingConfig,
    FeedForwardConfig,
    ModelConfig,
    NormConfig,
    OutputConfig,
    PositionConfig,
)
from .keys import AllowedValues, ConfigKeys, Family, word_set
from .llama import get_layers
from .names import (
    NamePairs,
    StateDict,
    drop_tensors,
    get_activation,
    get_architectures,
    get_bool,
    get_float,
    get_int,
    hf_activation,
    multi_head_attention,
    rename_tensors,
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
BERT_KEYS = ConfigKeys(SHARED_KEYS, BIDIRECTIONAL, UNUSED_KEYS)


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


def _bert_from_hf_config(values: dict[str, Any]) -> ModelConfig:
    return _encoder_from_hf_config(values, "bert", get_activation(values, "hidden_act", "gelu"))


def _encoder_from_hf_config(
    values: dict[str, Any], family: str, transform: Activation, *, offset: int = 0
) -> ModelConfig:
    """The configuration that BERT and RoBERTa share.

    transform  activation of the masked-LM head
    offset     unused position embeddings before the first
    """
    require_supported(values, SUPPORTED_VALUES)
    width, heads = (get_int(values, k, family) for k in ("hidden_size", "num_attention_heads"))
    is_masked, eps = has_mlm_head(values), get_float(values, "layer_norm_eps") or 1e-12
    output = OutputConfig(transform="dense", activation=transform, bias=True)
    return ModelConfig(
        kind="encoder",
        vocab_size=get_int(values, "vocab_size", family),
        width=width,
        layers=get_layers(values, family),
        context_length=get_int(values, "max_position_embeddings", family) - offset,
        attention=multi_head_attention(width, heads),
        feedforward=FeedForwardConfig(
            width=get_int(values, "intermediate_size", family),
            activation=get_activation(values, "hidden_act", "gelu"),
            gated=False,
            bias=True,
        ),
        position=PositionConfig(kind="learned", offset=offset),
        norm=NormConfig(kind="layer", eps=eps, place="post"),
        embedding=EmbeddingConfig(norm=True, types=get_int(values, "type_vocab_size", family, 2)),
        output=output if is_masked else OutputConfig(logits=False),
        tied_embeddings=not is_masked or get_bool(values, "tie_word_embeddings", True),
    )


def has_mlm_head(values: dict[str, Any]) -> bool:
    """Whether a config.json is of a model with a masked-LM head; the oldest files omit the class.

    >>> has_mlm_head({"architectures": ["BertModel"]})
    False
    """
    classes = get_architectures(values) or ["BertForMaskedLM"]
    return any(name.endswith(("ForMaskedLM", "ForPreTraining")) for name in classes)


def _encoder_to_hf_config(config: ModelConfig, names: BertNames) -> dict[str, Any]:
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


def _encoder_from_hf_state_dict(
    state: StateDict, config: ModelConfig, names: BertNames
) -> StateDict:
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


def _encoder_to_hf_state_dict(state: StateDict, config: ModelConfig, names: BertNames) -> StateDict:
    is_masked = config.output.transform == "dense"
    prefix = f"{names.family}." if is_masked else ""
    encoder = tuple((prefix + a, b) for a, b in ENCODER_NAMES)
    result = rename_tensors(state, (*encoder, *names.head), to_hf=True)
    if is_masked and not config.tied_embeddings:  # then only the decoder's own bias is read
        result[f"{names.decoder}.bias"] = result[names.bias].clone()
    return result


ROBERTA_NAMES = BertNames(
    "roberta",
    "Roberta",
    (("lm_head.dense.", "transform.dense."), ("lm_head.layer_norm.", "transform.norm.")),
    bias="lm_head.bias",
    decoder="lm_head.decoder",
)
ROBERTA_KEYS = ConfigKeys(SHARED_KEYS | word_set("pad_token_id"), BIDIRECTIONAL, UNUSED_KEYS)
DEFAULT_PADDING = 1
"""Default pad_token_id; positions up to it are unused, so they start at 2 in published models."""


def _roberta_from_hf_config(values: dict[str, Any]) -> ModelConfig:
    padding = values.get("pad_token_id", DEFAULT_PADDING)
    rows = values.get("max_position_embeddings")
    if type(padding) is not int or padding < 0:
        what = f"config.json has pad_token_id={padding!r}"
        raise ArtifactError(f"{what}; roberta needs an id, after which its positions start.")
    if isinstance(rows, int) and rows <= padding + 1:
        what = f"config.json has max_position_embeddings={rows}, of which pad_token_id={padding}"
        raise ArtifactError(f"{what} leaves no position for a token.")
    return _encoder_from_hf_config(values, "roberta", "gelu", offset=padding + 1)


def _roberta_to_hf_config(config: ModelConfig) -> dict[str, Any]:
    padding = max(0, config.position.offset - 1)
    return _encoder_to_hf_config(config, ROBERTA_NAMES) | {"pad_token_id": padding}


def _bert_family(
    keys: ConfigKeys,
    from_hf_config: Callable[[dict[str, Any]], ModelConfig],
    write_config: Callable[[ModelConfig], dict[str, Any]],
    names: BertNames,
) -> Family:
    return Family(
        names.family, keys, from_hf_config, write_config,
        lambda state, config: _encoder_from_hf_state_dict(state, config, names),
        lambda state, config: _encoder_to_hf_state_dict(state, config, names),
    )  # fmt: skip


BERT = _bert_family(
    BERT_KEYS, _bert_from_hf_config, lambda config: _encoder_to_hf_config(config, BERT_NAMES),
    BERT_NAMES,
)  # fmt: skip
ROBERTA = _bert_family(ROBERTA_KEYS, _roberta_from_hf_config, _roberta_to_hf_config, ROBERTA_NAMES)
