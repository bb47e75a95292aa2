"""BART and mBART: BERT's blocks in an encoder and a decoder.

Biases, post-norms, learned positions of which the first two are unused, a norm of the embeddings,
and a bias for each token id added to the logits. mBART has pre-norms.
Source: transformers 5.24, models/bart and mbart; BART: arXiv:1910.13461; mBART: arXiv:2001.08210.
"""

import math

import torch

from groundup.core import ArtifactError

from ..configuration.config import ModelConfig
from .decoder_keys import DECODERS_ONLY
from .decoders.outline import Key, Outline, Values
from .keys import AllowedValues, Family, word_set
from .names import (
    NamePairs,
    StateDict,
    get_bool,
    get_int,
    merge_tied_embeddings,
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

PRE_NORMS: AllowedValues = {
    "normalize_before": (True, None), "add_final_layer_norm": (True, None),
}  # fmt: skip


def _read(values: Values) -> Values:
    require_supported(values, {"is_encoder_decoder": (True,)})
    for name in ("attention_heads", "ffn_dim"):
        _check_shared_size(values, name)
    is_scaled = get_bool(values, "scale_embedding", False)
    return {"embedding.scale": math.sqrt(values["d_model"]) if is_scaled else 1.0}


def _check_shared_size(values: Values, name: str) -> None:
    """Check a size that encoder and decoder must share; raises ArtifactError if they differ."""
    sides = ("encoder", "decoder")
    encoder, decoder = (get_int(values, f"{side}_{name}", "bart") for side in sides)
    if encoder != decoder:
        what = f"config.json has encoder_{name}={encoder} and decoder_{name}={decoder}"
        raise ArtifactError(f"{what}; groundup supports stacks of equal size.")


def _write(config: ModelConfig) -> Values:
    return {
        "is_encoder_decoder": True,
        "decoder_attention_heads": config.attention.heads,
        "decoder_ffn_dim": config.feedforward.width,
        "scale_embedding": config.embedding.scale != 1.0,
        **dict.fromkeys(("dropout", "activation_dropout"), 0.0),
        "forced_eos_token_id": None,
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
    if "final_logits_bias" not in result:  # the layers of an adapter
        return result
    result["final_logits_bias"] = result["final_logits_bias"][None]
    if not config.tied_embeddings:
        result |= {name: result["model.shared.weight"].clone() for name in EMBEDDING_COPIES}
    return result


def _family(name: str, class_prefix: str, always: Values, fixed: AllowedValues) -> Family:
    return Outline(
        name, f"{class_prefix}ForConditionalGeneration",
        (
            Key("encoder_layers", "encoder_layers", int),
            Key("activation_function", "feedforward.activation", "gelu"),
        ),
        {
            "kind": "encoder_decoder", "norm.kind": "layer", "norm.eps": 1e-5,
            "position.kind": "learned", "position.offset": 2, "attention.bias": "all",
            "feedforward.gated": False, "feedforward.bias": True, "embedding.norm": True,
            "output.bias": True, **always,
        },
        tied=True, read_more=_read, write_more=_write,
        renamed={
            "d_model": "hidden_size", "decoder_layers": "num_hidden_layers",
            "encoder_attention_heads": "num_attention_heads",
            "encoder_ffn_dim": "intermediate_size",
        },
        absent=DECODERS_ONLY,
        more_keys=word_set("""
            decoder_attention_heads decoder_ffn_dim is_encoder_decoder scale_embedding
            """),
        fixed={
            "add_bias_logits": (False,), "do_blenderbot_90_layernorm": (False,),
            "extra_pos_embeddings": (2,), "normalize_before": (False, None),
            "add_final_layer_norm": (False, None), "static_position_embeddings": (False, None),
            "normalize_embedding": (True, None), **fixed,
        },
        ignored=word_set(
            "replacing_rate save_step student_decoder_layers student_encoder_layers"),
        aliases={"hidden_size": "d_model", "num_attention_heads": "encoder_attention_heads",
                 "num_hidden_layers": "encoder_layers"},
    ).family()._replace(
        from_hf_state_dict=_from_hf_state_dict, to_hf_state_dict=_to_hf_state_dict
    )  # fmt: skip


BART = _family("bart", "Bart", {"norm.place": "post"}, {})
MBART = _family("mbart", "MBart", {"embedding.keeps_first_norm": True}, PRE_NORMS)
