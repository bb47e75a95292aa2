"""ModernBERT: an encoder with rotary positions, gated feed-forwards and local attention.

Window layers attend to `local_attention // 2` tokens on each side and have their own rotary base.
Queries, keys and values are fused, and so are gate and up projections. As in BERT, `architectures`
say whether there is a masked-LM head.
Source: transformers 5.24, models/modernbert; ModernBERT: arXiv:2412.13663.
"""

from collections.abc import Mapping
from typing import Any

from ..configuration.config import (
    EmbeddingConfig,
    FeedForwardConfig,
    ModelConfig,
    NormConfig,
    OutputConfig,
)
from ..configuration.positions import PositionConfig
from .decoder_keys import (
    FULL,
    WINDOW,
    get_attention_bias,
    get_layers,
    parse_layer_types,
    to_layer_types,
)
from .encoders.outline import BIDIRECTIONAL, has_mlm_head
from .keys import ConfigKeys, Family, word_set
from .names import (
    QKV,
    StateDict,
    drop_tensors,
    extended_context,
    fuse_parts,
    get_activation,
    get_bool,
    get_float,
    get_int,
    hf_activation,
    multi_head_attention,
    parse_layer_rope,
    parse_window_base,
    rename_tensors,
    split_fused,
    to_rope_parameters,
    written_context,
)

FAMILY = "modernbert"
KEYS = ConfigKeys(
    word_set("""
    attention_bias classifier_activation classifier_bias classifier_pooling decoder_bias
    global_attn_every_n_layers global_rope_theta hidden_activation hidden_size intermediate_size
    layer_types local_attention local_rope_theta max_position_embeddings mlp_bias norm_bias norm_eps
    num_attention_heads num_hidden_layers partial_rotary_factor rope_parameters rope_scaling
    sliding_window tie_word_embeddings vocab_size
    """),
    BIDIRECTIONAL | {"causal_mask": (False,)},
    word_set("""
    compile deterministic_flash_attn layer_norm_eps reference_compile repad_logits_with_grad
    sparse_pred_ignore_index sparse_prediction
    """),
)
FUSED_QKV, FUSED_GATE_UP = ".attention.qkv_proj.", ".feedforward.gate_up_proj."
GATE_UP = (".feedforward.gate_proj.", ".feedforward.up_proj.")
LAYER_NAMES = (
    ("attn.Wqkv.", "attention.qkv_proj."),
    ("attn.Wo.", "attention.o_proj."),
    ("attn_norm.", "attention_norm."),
    ("mlp.Wi.", "feedforward.gate_up_proj."),
    ("mlp.Wo.", "feedforward.down_proj."),
    ("mlp_norm.", "feedforward_norm."),
)
ENCODER_NAMES = (
    ("embeddings.tok_embeddings.", "embed_tokens."),
    ("embeddings.norm.", "embed_norm."),
    ("final_norm.", "norm."),
    *(("layers.{}." + a, "layers.{}." + b) for a, b in LAYER_NAMES),
)
HEAD_NAMES = (
    ("head.dense.", "transform.dense."),
    ("head.norm.", "transform.norm."),
    ("decoder.bias", "lm_bias"),
    ("decoder.", "lm_head."),
)
DEFAULT_BASES = {FULL: 160_000.0, WINDOW: 10_000.0}
"""Default rotary bases."""
LEGACY_BASE_KEYS = {FULL: "global_rope_theta", WINDOW: "local_rope_theta"}
"""Their keys in older files."""
DEFAULT_CYCLE = 3
"""Default global_attn_every_n_layers."""


def _from_hf_config(values: dict[str, Any]) -> ModelConfig:
    width, heads = (get_int(values, k, FAMILY) for k in ("hidden_size", "num_attention_heads"))
    is_masked, has_bias = has_mlm_head(values), get_bool(values, "norm_bias", False)
    patterns = parse_layer_types(dict(values) | _parse_windows(values), FAMILY)
    length = get_int(values, "max_position_embeddings", FAMILY)
    position = _parse_position(values, has_windows=any(p.kind == "window" for p in patterns))
    return ModelConfig(
        kind="encoder",
        vocab_size=get_int(values, "vocab_size", FAMILY),
        width=width,
        layers=get_layers(values, FAMILY),
        context_length=extended_context(length, position.scaling),
        attention=multi_head_attention(width, heads, get_attention_bias(values), patterns),
        feedforward=FeedForwardConfig(
            width=get_int(values, "intermediate_size", FAMILY),
            activation=get_activation(values, "hidden_activation", "gelu"),
            bias=get_bool(values, "mlp_bias", False),
        ),
        position=position,
        norm=NormConfig(kind="layer", eps=get_float(values, "norm_eps") or 1e-5, bias=has_bias),
        embedding=EmbeddingConfig(norm=True),
        output=_parse_mlm_output(values) if is_masked else OutputConfig(logits=False),
        tied_embeddings=not is_masked or get_bool(values, "tie_word_embeddings", True),
    )


def _parse_windows(values: Mapping[str, Any]) -> dict[str, Any]:
    """Layer types and window size, the token itself included, under the keys that decoders use.

    >>> _parse_windows({"num_hidden_layers": 2, "local_attention": 128})
    {'layer_types': ['full_attention', 'sliding_attention'], 'sliding_window': 65}
    """
    cycle = get_int(values, "global_attn_every_n_layers", FAMILY, DEFAULT_CYCLE)
    layers = range(get_layers(values, FAMILY))
    types = values.get("layer_types") or [WINDOW if i % cycle else FULL for i in layers]
    local = get_int(values, "local_attention", FAMILY, 128, minimum=0)
    if "sliding_window" in values:  # in Transformers it sets local_attention
        local = 2 * get_int(values, "sliding_window", FAMILY, minimum=0)
    return {"layer_types": types, "sliding_window": local // 2 + 1}


def _parse_position(values: Mapping[str, Any], *, has_windows: bool) -> PositionConfig:
    bases = {k: get_float(values, LEGACY_BASE_KEYS[k], base) for k, base in DEFAULT_BASES.items()}
    base, scaling = parse_layer_rope(values, FULL, bases[FULL])
    if not has_windows:
        return PositionConfig(base=base, scaling=scaling)
    window_base = parse_window_base(values, bases[WINDOW])
    is_own = window_base != base or scaling.kind != "none"
    return PositionConfig(base=base, scaling=scaling, window_base=window_base if is_own else None)


def _parse_mlm_output(values: Mapping[str, Any]) -> OutputConfig:
    return OutputConfig(
        transform="dense",
        activation=get_activation(values, "classifier_activation", "gelu"),
        dense_bias=get_bool(values, "classifier_bias", False),
        bias=get_bool(values, "decoder_bias", True),
    )


def _to_hf_config(config: ModelConfig) -> dict[str, Any]:
    types, window = to_layer_types(config, FAMILY)
    position, output = config.position, config.output
    window_base = position.base if position.window_base is None else position.window_base
    kind = "ForMaskedLM" if output.transform == "dense" else "Model"
    only_first = [WINDOW if i else FULL for i in range(len(config.attention.patterns))]
    is_regular = types == [only_first[i % len(only_first)] for i in range(config.layers)]
    values = {
        "architectures": ["ModernBert" + kind],
        "model_type": FAMILY,
        "vocab_size": config.vocab_size,
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "max_position_embeddings": written_context(config),
        "num_attention_heads": config.attention.heads,
        "intermediate_size": config.feedforward.width,
        "hidden_activation": hf_activation(config.feedforward.activation),
        "attention_bias": config.attention.bias == "all",
        "mlp_bias": config.feedforward.bias,
        "norm_bias": config.norm.bias,
        "norm_eps": config.norm.eps,
        "layer_types": types,
        "local_attention": 2 * (window - 1) if window else 128,
        LEGACY_BASE_KEYS[FULL]: position.base,
        LEGACY_BASE_KEYS[WINDOW]: window_base,
        "rope_parameters": {
            FULL: to_rope_parameters(position.base, position.scaling, FAMILY),
            WINDOW: {"rope_type": "default", "rope_theta": window_base},
        },
        "classifier_activation": hf_activation(output.activation),
        "classifier_bias": output.dense_bias,
        "decoder_bias": output.bias,
        "tie_word_embeddings": config.tied_embeddings,
    }
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


MODERNBERT = Family(
    FAMILY, KEYS, _from_hf_config, _to_hf_config, _from_hf_state_dict, _to_hf_state_dict,
    supports_packed=False,
)  # fmt: skip
