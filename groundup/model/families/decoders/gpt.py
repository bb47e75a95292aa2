"""GPT-1 and GPT-2: transposed matrices (Conv1D), and queries, keys and values fused into one.

Published files of GPT-2 omit the prefix `transformer.` and hold the causal mask. GPT-1 has
post-norms, no final norm and other keys; its `gelu` is the tanh approximation, and its feed-forward
is always four times as wide as the model.
Source: transformers 5.24, models/gpt2 and models/openai; Radford et al. 2018 and 2019.
"""

from ..keys import ROPE, word_set
from ..names import QKV
from .outline import Key, Outline

LAYER_NAMES = (
    ("h.{}.attn.c_attn.", "layers.{}.attention.qkv_proj."),
    ("h.{}.attn.c_proj.", "layers.{}.attention.o_proj."),
    ("h.{}.mlp.c_fc.", "layers.{}.feedforward.up_proj."),
    ("h.{}.mlp.c_proj.", "layers.{}.feedforward.down_proj."),
)
SIZES = {
    "n_embd": "hidden_size", "n_positions": "max_position_embeddings",
    "n_head": "num_attention_heads", "n_layer": "num_hidden_layers",
}  # fmt: skip
"""Its names of keys; files may have the others too."""
ALIASES = {usual: own for own, usual in SIZES.items()}
ABSENT = ROPE | word_set("""
    attention_dropout head_dim num_key_value_heads original_max_position_embeddings use_cache
    """)  # fmt: skip
UNUSED_KEYS = word_set("""
    n_ctx summary_activation summary_first_dropout summary_proj_to_labels summary_type
    summary_use_proj
    """)  # fmt: skip
LAYER_NORM_EPSILON = Key("layer_norm_epsilon", "norm.eps", 1e-5)
FIELDS = {
    "position.kind": "learned", "norm.kind": "layer", "attention.bias": "all",
    "feedforward.gated": False, "feedforward.bias": True,
}  # fmt: skip
GPT2_OUTLINE = Outline(
    "gpt2", "GPT2LMHeadModel",
    (
        LAYER_NORM_EPSILON, Key("activation_function", "feedforward.activation", "gelu_new"),
        Key("scale_attn_weights", "attention.scale", True, {True: None, False: 1.0}),
    ),
    FIELDS, tied=True, inner=4, renamed=SIZES | {"n_inner": "intermediate_size"},
    absent=ABSENT, aliases=ALIASES,
    names=(
        *LAYER_NAMES,
        ("h.{}.ln_1.", "layers.{}.attention_norm."),
        ("h.{}.ln_2.", "layers.{}.feedforward_norm."),
        ("wte.", "embed_tokens."),
        ("wpe.", "embed_positions."),
        ("ln_f.", "norm."),
    ),
    fixed={"scale_attn_by_inverse_layer_idx": (False, None)},
    ignored=UNUSED_KEYS | {"reorder_and_upcast_attn"},
    dropped=r"h\.\d+\.attn\.(bias|masked_bias)$|position_ids$",  # buffers of older files
    prefix="transformer.", transposed=r"\.(attention|feedforward)\.\w+\.weight",
    fused={".attention.qkv_proj.": QKV},
)  # fmt: skip
GPT2 = GPT2_OUTLINE.family()
AFN = Key("afn", "feedforward.activation", "gelu", {
    "gelu": "gelu_tanh", "relu": "relu", "silu": "silu", "swish": "silu",
})  # fmt: skip
GPT1 = GPT2_OUTLINE._replace(
    name="openai-gpt", architecture="OpenAIGPTLMHeadModel", keys=(LAYER_NORM_EPSILON, AFN),
    always=FIELDS | {"norm.place": "post"}, renamed=SIZES, absent=ABSENT | {"intermediate_size"},
    names=(
        *LAYER_NAMES,
        ("h.{}.ln_1.", "layers.{}.attention_out_norm."),
        ("h.{}.ln_2.", "layers.{}.feedforward_out_norm."),
        ("tokens_embed.", "embed_tokens."),
        ("positions_embed.", "embed_positions."),
    ),
    fixed={}, ignored=UNUSED_KEYS | word_set("n_special predict_special_tokens"),
).family()  # fmt: skip
