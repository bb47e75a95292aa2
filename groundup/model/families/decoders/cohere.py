"""Command R: parallel blocks, layer norms without bias, neighbouring features rotated as pairs.

Command R+ has norms of its own for each head, which are refused.
Source: transformers 5.24, models/cohere; Cohere 2024, Command R.
"""

from .outline import ATTENTION_BIAS, SILU, Key, Outline

COHERE = Outline(
    "cohere", "CohereForCausalLM",
    (
        SILU, ATTENTION_BIAS, Key("layer_norm_eps", "norm.eps", 1e-5),
        Key("logit_scale", "output.scale", 0.0625),
    ),
    {
        "norm.kind": "layer", "norm.bias": False, "parallel": True,
        "position.interleaved": True,
    },
    base=500_000.0, tied=True, fixed={"use_qk_norm": (False, None)},
).family()  # fmt: skip
