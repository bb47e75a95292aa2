"""StableLM: LLaMA with layer norms and a quarter of the features rotated.

StableLM 2 12B has parallel blocks too, but norms of its own for each head, which are refused.
Source: transformers 5.24, models/stablelm; Bellagente et al. 2024, arXiv:2402.17834.
"""

from .outline import QKV_BIAS, SILU, Key, Outline

STABLELM = Outline(
    "stablelm", "StableLmForCausalLM",
    (
        SILU, Key("layer_norm_eps", "norm.eps", 1e-5),
        Key("use_qkv_bias", "attention.bias", False, QKV_BIAS),
        Key("use_parallel_residual", "parallel", False),
    ),
    {"norm.kind": "layer"}, defaults={"num_key_value_heads": 32}, rotated=0.25,
    absent=frozenset(("head_dim",)), fixed={"qk_layernorm": (False, None)},
    ignored=frozenset(("hidden_dropout",)),
).family()  # fmt: skip
