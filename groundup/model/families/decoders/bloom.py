"""BLOOM: ALiBi, a norm of the embeddings beside the first layer's, biases everywhere.

The context length is `seq_length` of published files, though ALiBi allows more.
Source: transformers 5.24, models/bloom; BigScience 2022, arXiv:2211.05100.
"""

from ..keys import ROPE, word_set
from ..names import QKV
from .gpt import LAYER_NORM_EPSILON
from .outline import Outline

LAYER_NAMES = (
    ("h.{}.self_attention.query_key_value.", "layers.{}.attention.qkv_proj."),
    ("h.{}.self_attention.dense.", "layers.{}.attention.o_proj."),
    ("h.{}.mlp.dense_h_to_4h.", "layers.{}.feedforward.up_proj."),
    ("h.{}.mlp.dense_4h_to_h.", "layers.{}.feedforward.down_proj."),
)
NAMES = (
    *LAYER_NAMES,
    ("h.{}.input_layernorm.", "layers.{}.attention_norm."),
    ("h.{}.post_attention_layernorm.", "layers.{}.feedforward_norm."),
    ("word_embeddings_layernorm.", "embed_norm."),
    ("word_embeddings.", "embed_tokens."),
    ("ln_f.", "norm."),
)
BLOOM = Outline(
    "bloom", "BloomForCausalLM", (LAYER_NORM_EPSILON,),
    {
        "norm.kind": "layer", "attention.bias": "all", "position.kind": "alibi",
        "feedforward.gated": False, "feedforward.bias": True,
        "feedforward.activation": "gelu_tanh", "embedding.norm": True,
        "embedding.keeps_first_norm": True,
    },
    {"seq_length": 2048}, tied=True, inner=4, names=NAMES,
    renamed={"n_layer": "num_hidden_layers", "n_head": "num_attention_heads",
             "seq_length": "max_position_embeddings"},
    absent=ROPE | word_set("""
        head_dim intermediate_size num_key_value_heads original_max_position_embeddings
        """),
    fixed={"apply_residual_connection_post_layernorm": (False, None), "n_inner": (None,),
           "slow_but_exact": (False, None)},  # which omits biases where pretraining_tp > 1
    ignored=word_set("""
        attention_softmax_in_fp32 bias_dropout_fusion hidden_dropout masked_softmax_fusion
        offset_alibi skip_bias_add skip_bias_add_qkv
        """),
    aliases={"num_hidden_layers": "n_layer", "num_attention_heads": "n_head",
             "n_embed": "hidden_size"},
    prefix="transformer.", fused={".attention.qkv_proj.": QKV}, by_head=True,
).family()  # fmt: skip
