"""StarCoder 2: rotary positions with layer norms, biases and an ungated feed-forward.

Source: transformers 5.24, models/starcoder2; Lozhkov et al. 2024, arXiv:2402.19173.
"""

from ..decoder_keys import NAMES
from .outline import BIAS, Key, Outline, read_window, write_window

FEED = "layers.{}.feedforward."
STARCODER2 = Outline(
    "starcoder2", "Starcoder2ForCausalLM",
    (
        Key("hidden_act", "feedforward.activation", "gelu_pytorch_tanh"),
        Key("norm_epsilon", "norm.eps", 1e-5),
        Key("use_bias", "attention.bias", True, BIAS),
        Key("use_bias", "feedforward.bias", True),
    ),
    {"norm.kind": "layer", "feedforward.gated": False},
    defaults={"num_key_value_heads": 2}, tied=True,
    names=(("model.layers.{}.mlp.c_fc.", FEED + "up_proj."),
           ("model.layers.{}.mlp.c_proj.", FEED + "down_proj."), *NAMES),
    read_more=read_window, write_more=write_window, more_keys=frozenset(("sliding_window",)),
    fixed={"mlp_type": ("default",), "norm_type": ("layer_norm",),
           "scale_attn_weights": (True,)},
    ignored=frozenset(("attention_softmax_in_fp32", "layer_norm_epsilon", "residual_dropout",
                       "scale_attention_softmax_in_fp32")),
).family()  # fmt: skip
