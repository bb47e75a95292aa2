"""BART and mBART: BERT's blocks in an encoder and a decoder.

Biases, post-norms, learned positions of which the first two are unused, a norm of the embeddings,
and a bias for each token id added to the logits. mBART has pre-norms.
Source: transformers 5.24, models/bart and mbart; BART: arXiv:1910.13461; mBART: arXiv:2001.08210.
"""

import math
from functools import partial
from typing import Any

import torch

from groundup.core import ArtifactError

from ..configuration.config import (
    EmbeddingConfig,
    FeedForwardConfig,
    ModelConfig,
    NormConfig,
    OutputConfig,
)
from ..configuration.positions import PositionConfig
from .keys import AllowedValues, ConfigKeys, Family, word_set
from .names import (
    NamePairs,
    StateDict,
    get_activation,
    get_bool,
    get_int,
    hf_activation,
    merge_tied_embeddings,
    multi_head_attention,
    rename_tensors,
    require_supported,
)

STACKS = (("model.encoder.", "encoder."), ("model.decoder.", ""))


def _tensor_names(config: ModelConfig) -> NamePairs:
    norm = "_norm." if config.norm.place == "pre" else "_out_norm."
    parts = (
        *((f"layers.{{}}.{part}_layer_norm.", f"layers.{{}}.{name}{norm}") for part, name in (
            ("self_attn", "attention"), ("encoder_attn", "cross"), ("final", "feedforward"))),
        ("layers.{}.fc1.", "layers.{}.feedforward.up_proj."),
        ("layers.{}.fc2.", "layers.{}.feedforward.down_proj."),
        ("layers.{}.self_attn.out_proj.", "layers.{}.attention.o_proj."),
        ("layers.{}.self_attn.", "layers.{}.attention."),
        ("layers.{}.encoder_attn.out_proj.", "layers.{}.cross.o_proj."),
        ("layers.{}.encoder_attn.", "layers.{}.cross."),
        ("embed_positions.", "embed_positions."),
        ("layernorm_embedding.", "embed_norm."),
        ("layer_norm.", "norm."),
    )  # fmt: skip
    pairs = ((stack + part, prefix + name) for stack, prefix in STACKS for part, name in parts)
    return (*pairs, ("model.shared.", "embed_tokens."), ("final_logits_bias", "lm_bias"))


EMBEDDING_COPIES = ("model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight")

KEYS = ConfigKeys(
    word_set("""
    activation_function d_model decoder_attention_heads decoder_ffn_dim decoder_layers
    encoder_attention_heads encoder_ffn_dim encoder_layers is_encoder_decoder
    max_position_embeddings scale_embedding tie_word_embeddings vocab_size
    """),
    {"add_bias_logits": (False,), "do_blenderbot_90_layernorm": (False,),
     "extra_pos_embeddings": (2,), "is_causal": (True,), "normalize_before": (False, None),
     "add_final_layer_norm": (False, None), "static_position_embeddings": (False, None),
     "normalize_embedding": (True, None)},
    word_set("replacing_rate save_step student_decoder_layers student_encoder_layers"),
    {"hidden_size": "d_model", "num_attention_heads": "encoder_attention_heads",
     "num_hidden_layers": "encoder_layers"},
)  # fmt: skip
PRE_NORMS: AllowedValues = {
    "normalize_before": (True, None), "add_final_layer_norm": (True, None),
}  # fmt: skip
OFFSET, EPS = 2, 1e-5


def _from_hf_config(values: dict[str, Any]) -> ModelConfig:
    require_supported(values, {"is_encoder_decoder": (True,)})
    is_pre = values.get("model_type") == "mbart"
    width, heads = get_int(values, "d_model", "bart"), _get_shared_size(values, "attention_heads")
    scale = math.sqrt(width) if get_bool(values, "scale_embedding", False) else 1.0
    return ModelConfig(
        kind="encoder_decoder",
        vocab_size=get_int(values, "vocab_size", "bart"),
        width=width,
        layers=get_int(values, "decoder_layers", "bart"),
        encoder_layers=get_int(values, "encoder_layers", "bart"),
        context_length=get_int(values, "max_position_embeddings", "bart"),
        attention=multi_head_attention(width, heads),
        feedforward=FeedForwardConfig(
            width=_get_shared_size(values, "ffn_dim"),
            activation=get_activation(values, "activation_function", "gelu"),
            gated=False,
            bias=True,
        ),
        position=PositionConfig(kind="learned", offset=OFFSET),
        norm=NormConfig(kind="layer", eps=EPS, place="pre" if is_pre else "post"),
        embedding=EmbeddingConfig(scale=scale, norm=True, keeps_first_norm=is_pre),
        output=OutputConfig(bias=True),
        tied_embeddings=get_bool(values, "tie_word_embeddings", True),
    )


def _get_shared_size(values: dict[str, Any], name: str) -> int:
    """A size that encoder and decoder must share; raises ArtifactError if they differ."""
    sides = ("encoder", "decoder")
    encoder, decoder = (get_int(values, f"{side}_{name}", "bart") for side in sides)
    if encoder != decoder:
        what = f"config.json has encoder_{name}={encoder} and decoder_{name}={decoder}"
        raise ArtifactError(f"{what}; groundup supports stacks of equal size.")
    return encoder


def _to_hf_config(config: ModelConfig, family: str) -> dict[str, Any]:
    heads, inner = config.attention.heads, config.feedforward.width
    return {
        "architectures": [f"{CLASSES[family]}ForConditionalGeneration"],
        "model_type": family,
        "is_encoder_decoder": True,
        "vocab_size": config.vocab_size,
        "d_model": config.width,
        "encoder_layers": config.encoder_layers,
        "decoder_layers": config.layers,
        "encoder_attention_heads": heads,
        "decoder_attention_heads": heads,
        "encoder_ffn_dim": inner,
        "decoder_ffn_dim": inner,
        "max_position_embeddings": config.context_length,
        "activation_function": hf_activation(config.feedforward.activation),
        "scale_embedding": config.embedding.scale != 1.0,
        **dict.fromkeys(("dropout", "attention_dropout", "activation_dropout"), 0.0),
        "forced_eos_token_id": None,
        "tie_word_embeddings": config.tied_embeddings,
        "use_cache": True,
    }


def _from_hf_state_dict(state: StateDict, config: ModelConfig) -> StateDict:
    """Rename Hugging Face tensors to groundup's names.

    Raises ArtifactError if the stacks have different embeddings.
    """
    state = merge_tied_embeddings(state, "model.shared.weight", EMBEDDING_COPIES)
    bias = state.pop("final_logits_bias", torch.zeros(config.vocab_size))
    return rename_tensors(state, _tensor_names(config)) | {"lm_bias": bias.flatten()}


def _to_hf_state_dict(state: StateDict, config: ModelConfig) -> StateDict:
    """Rename groundup's tensors to Hugging Face names.

    With an untied head Transformers 5 ties no embeddings, so both copies are written too.
    """
    result = rename_tensors(state, _tensor_names(config), to_hf=True)
    result["final_logits_bias"] = result["final_logits_bias"][None]
    if not config.tied_embeddings:
        result |= {name: result["model.shared.weight"].clone() for name in EMBEDDING_COPIES}
    return result


CLASSES = {"bart": "Bart", "mbart": "MBart"}
BART, MBART = (
    Family(
        name, KEYS._replace(fixed=KEYS.fixed | more), _from_hf_config,
        partial(_to_hf_config, family=name), _from_hf_state_dict, _to_hf_state_dict,
    )
    for name, more in (("bart", {}), ("mbart", PRE_NORMS))
)  # fmt: skip
