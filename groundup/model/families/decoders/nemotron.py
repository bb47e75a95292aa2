"""Nemotron: squared ReLU, zero-centred layer norms, half of the features rotated.

Source: transformers 5.24, models/nemotron; Parmar et al. 2024, arXiv:2402.16819; squared ReLU: So
et al. 2021, arXiv:2109.08668.
"""

from .outline import ATTENTION_BIAS, MLP_BIAS, Key, Outline

NEMOTRON = Outline(
    "nemotron", "NemotronForCausalLM",
    (
        Key("hidden_act", "feedforward.activation", "relu2"),
        Key("norm_eps", "norm.eps", 1e-5), ATTENTION_BIAS, MLP_BIAS,
    ),
    {"norm.kind": "layer", "norm.zero_centred": True, "feedforward.gated": False},
    rotated=0.5,
).family()  # fmt: skip
