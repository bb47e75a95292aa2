"""ModernBERT: an encoder with rotary positions, gated feed-forwards and local attention.

Window layers attend to `local_attention // 2` tokens on each side and have their own rotary base.
Queries, keys and values are fused, and so are gate and up projections. As in BERT, `architectures`
say whether there is a masked-LM head.
Source: transformers 5.24, models/modernbert; ModernBERT: arXiv:2412.13663.
"""

from collections.abc import Mapping
from typing import Any

from ..configuration.config import ModelConfig
from .decoder_keys import FULL, WINDOW, get_layers, parse_layer_types, to_layer_types
from .decoders.outline import ATTENTION_BIAS, MLP_BIAS, Key, Outline, Values, write_layer_ropes
from .encoders.outline import BIDIRECTIONAL, has_mlm_head
from .keys import word_set
from .names import (
    GATE_UP,
    QKV,
    StateDict,
    drop_tensors,
    extended_context,
    fuse_parts,
    get_float,
    get_int,
    parse_layer_rope,
    parse_window_base,
    rename_tensors,
    split_fused,
)

FAMILY = "modernbert"
FUSED_QKV, FUSED_GATE_UP = ".attention.qkv_proj.", ".feedforward.gate_up_proj."
LAYER_NAMES = (
    ("attn.Wqkv.", "attention.qkv_proj."), ("attn.Wo.", "attention.o_proj."),
    ("attn_norm.", "attention_norm."), ("mlp.Wi.", "feedforward.gate_up_proj."),
    ("mlp.Wo.", "feedforward.down_proj."), ("mlp_norm.", "feedforward_norm."),
)  # fmt: skip
ENCODER_NAMES = (
    ("embeddings.tok_embeddings.", "embed_tokens."), ("embeddings.norm.", "embed_norm."),
    ("final_norm.", "norm."),
    *(("layers.{}." + a, "layers.{}." + b) for a, b in LAYER_NAMES),
)  # fmt: skip
HEAD_NAMES = (
    ("head.dense.", "transform.dense."), ("head.norm.", "transform.norm."),
    ("decoder.bias", "lm_bias"), ("decoder.", "lm_head."),
)  # fmt: skip
NO_HEAD = {
    "output.activation": "gelu", "output.dense_bias": True, "output.bias": False,
    "output.logits": False, "tied_embeddings": True,
}  # fmt: skip


def _read(values: Values) -> Values:
    patterns = parse_layer_types(values | _parse_windows(values), FAMILY)
    has_windows = any(pattern.kind == "window" for pattern in patterns)
    fields = _parse_position(values, has_windows=has_windows) | {"attention.patterns": patterns}
    return fields | ({"output.transform": "dense"} if has_mlm_head(values) else NO_HEAD)


def _parse_windows(values: Mapping[str, Any]) -> dict[str, Any]:
    """Layer types and window size, the token itself included, under the keys that decoders use.

    >>> _parse_windows({"num_hidden_layers": 2, "local_attention": 128})
    {'layer_types': ['full_attention', 'sliding_attention'], 'sliding_window': 65}
    """
    cycle = get_int(values, "global_attn_every_n_layers", FAMILY, 3)
    layers = range(get_layers(values, FAMILY))
    types = values.get("layer_types") or [WINDOW if i % cycle else FULL for i in layers]
    local = get_int(values, "local_attention", FAMILY, 128, minimum=0)
    if "sliding_window" in values:  # in Transformers it sets local_attention
        local = 2 * get_int(values, "sliding_window", FAMILY, minimum=0)
    return {"layer_types": types, "sliding_window": local // 2 + 1}


def _parse_position(values: Values, *, has_windows: bool) -> Values:
    """Fields of rotary positions; older files have the bases as keys of their own."""
    usual = get_float(values, "local_rope_theta", 10_000.0)
    base = get_float(values, "global_rope_theta", 160_000.0)
    base, scaling = parse_layer_rope(values, FULL, base)
    window_base = parse_window_base(values, usual) if has_windows else base
    is_own = has_windows and (window_base != base or scaling.kind != "none")
    length = get_int(values, "max_position_embeddings", FAMILY)
    return {
        "position.base": base, "position.scaling": scaling,
        "position.window_base": window_base if is_own else None,
        "context_length": extended_context(length, scaling),
    }  # fmt: skip


def _write(config: ModelConfig) -> Values:
    types, window = to_layer_types(config, FAMILY)
    position = config.position
    kind = "ForMaskedLM" if config.output.transform == "dense" else "Model"
    only_first = [WINDOW if i else FULL for i in range(len(config.attention.patterns))]
    is_regular = types == [only_first[i % len(only_first)] for i in range(config.layers)]
    values = {
        "architectures": ["ModernBert" + kind], "layer_types": types,
        "local_attention": 2 * (window - 1) if window else 128,
        "global_rope_theta": position.base,
        "local_rope_theta": position.window_base or position.base, **write_layer_ropes(config),
    }  # fmt: skip
    if is_regular:  # older versions of Transformers can express nothing else
        values["global_attn_every_n_layers"] = len(only_first)
    return values


def _from_hf_state_dict(state: StateDict, config: ModelConfig) -> StateDict:
    state = {name.removeprefix("model."): tensor for name, tensor in state.items()}
    if config.output.transform == "none":
        state = drop_tensors(state, r"head\.|decoder\.")
    state = rename_tensors(state, (*ENCODER_NAMES, *HEAD_NAMES))
    return split_fused(split_fused(state, FUSED_QKV, QKV), FUSED_GATE_UP, GATE_UP)


def _to_hf_state_dict(state: StateDict, config: ModelConfig) -> StateDict:
    prefix = "model." if config.output.transform == "dense" else ""
    encoder = tuple((prefix + a, b) for a, b in ENCODER_NAMES)
    fused = fuse_parts(fuse_parts(state, FUSED_QKV, QKV), FUSED_GATE_UP, GATE_UP)
    return rename_tensors(fused, (*encoder, *HEAD_NAMES), to_hf=True)


MODERNBERT = Outline(
    FAMILY, "ModernBertModel",
    (
        Key("hidden_activation", "feedforward.activation", "gelu"),
        Key("norm_eps", "norm.eps", 1e-5), Key("norm_bias", "norm.bias", False),
        ATTENTION_BIAS, MLP_BIAS, Key("classifier_activation", "output.activation", "gelu"),
        Key("classifier_bias", "output.dense_bias", False),
        Key("decoder_bias", "output.bias", True),
    ),
    {"kind": "encoder", "norm.kind": "layer", "embedding.norm": True}, tied=True,
    has_layer_ropes=True, read_more=_read, write_more=_write,
    absent=word_set("""
        attention_dropout head_dim num_key_value_heads original_max_position_embeddings
        rope_scaling rope_theta use_cache
        """),
    more_keys=word_set("""
        classifier_pooling global_attn_every_n_layers global_rope_theta layer_types
        local_attention local_rope_theta rope_scaling sliding_window
        """),
    fixed=BIDIRECTIONAL | {"causal_mask": (False,)},
    ignored=word_set("""
        compile deterministic_flash_attn layer_norm_eps reference_compile
        repad_logits_with_grad sparse_pred_ignore_index sparse_prediction
        """),
).family()._replace(
    from_hf_state_dict=_from_hf_state_dict, to_hf_state_dict=_to_hf_state_dict,
    supports_packed=False,
)  # fmt: skip
