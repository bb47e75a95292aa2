"""GPT-NeoX and Pythia: parallel blocks with two norms, a quarter of the features rotated.

Files fuse queries, keys and values head by head.
Source: transformers 5.24, models/gpt_neox; Black et al. 2022, arXiv:2204.06745; Biderman et al.
2023, arXiv:2304.01373.
"""

from ..names import QKV, get_bool
from .outline import BIAS, Key, Outline, Values

LAYER = "gpt_neox.layers.{}."
NAMES = (
    (LAYER + "attention.query_key_value.", "layers.{}.attention.qkv_proj."),
    (LAYER + "attention.dense.", "layers.{}.attention.o_proj."),
    (LAYER + "mlp.dense_h_to_4h.", "layers.{}.feedforward.up_proj."),
    (LAYER + "mlp.dense_4h_to_h.", "layers.{}.feedforward.down_proj."),
    (LAYER + "input_layernorm.", "layers.{}.attention_norm."),
    (LAYER + "post_attention_layernorm.", "layers.{}.feedforward_norm."),
    ("gpt_neox.embed_in.", "embed_tokens."),
    ("gpt_neox.final_layer_norm.", "norm."),
    ("embed_out.", "lm_head."),
)
DROPPED = r".*\.attention\.(bias|masked_bias|rotary_emb\.inv_freq)$"
"""Buffers of older files: the causal mask, its fill value, and rotary frequencies."""


def _read(values: Values) -> Values:
    is_parallel = get_bool(values, "use_parallel_residual", True)
    return {"parallel": is_parallel, "parallel_norms": 2 if is_parallel else 1}


GPT_NEOX = Outline(
    "gpt_neox", "GPTNeoXForCausalLM",
    (
        Key("hidden_act", "feedforward.activation", "gelu"),
        Key("layer_norm_eps", "norm.eps", 1e-5),
        Key("attention_bias", "attention.bias", True, BIAS),
    ),
    {"norm.kind": "layer", "feedforward.gated": False, "feedforward.bias": True},
    rotated=0.25, names=NAMES, is_divided=True, read_more=_read,
    renamed={"rotary_emb_base": "rope_theta", "rotary_pct": "partial_rotary_factor"},
    absent=frozenset(("head_dim", "num_key_value_heads")),
    write_more=lambda config: {"use_parallel_residual": config.parallel},
    more_keys=frozenset(("use_parallel_residual",)), ignored=frozenset(("hidden_dropout",)),
    dropped=DROPPED, fused={".attention.qkv_proj.": QKV}, by_head=True,
).family()  # fmt: skip
