"""GLM 4: norms before and after each sublayer, half of the features rotated as neighbours.

Source: transformers 5.24, models/glm4; Team GLM 2024, arXiv:2406.12793.
"""

from ..names import GATE_UP
from .outline import QKV_BIAS, SILU, Key, Outline, rms_eps

LAYER = "model.layers.{}."
NAMES = (
    (LAYER + "self_attn.", "layers.{}.attention."),
    (LAYER + "mlp.", "layers.{}.feedforward."),
    (LAYER + "input_layernorm.", "layers.{}.attention_norm."),
    (LAYER + "post_self_attn_layernorm.", "layers.{}.attention_out_norm."),
    (LAYER + "post_attention_layernorm.", "layers.{}.feedforward_norm."),
    (LAYER + "post_mlp_layernorm.", "layers.{}.feedforward_out_norm."),
    ("model.embed_tokens.", "embed_tokens."),
    ("model.norm.", "norm."),
)
GLM4 = Outline(
    "glm4", "Glm4ForCausalLM",
    (
        SILU, rms_eps(1.5625e-07),
        Key("attention_bias", "attention.bias", True, QKV_BIAS),
    ),
    {"norm.place": "sandwich", "position.interleaved": True},
    defaults={"num_key_value_heads": 2, "head_dim": 128}, rotated=0.5, names=NAMES,
    fused={".feedforward.gate_up_proj.": GATE_UP},
).family()  # fmt: skip
