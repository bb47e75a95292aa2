"""Granite: LLaMA with factors of embeddings, scores, residual updates and logits.

Source: transformers 5.24, models/granite; Granite Team 2024, Granite 3.0 Language Models.
"""

from .outline import ATTENTION_BIAS, MLP_BIAS, SILU, Key, Outline, rms_eps

GRANITE_KEYS = (
    SILU, rms_eps(),
    Key("attention_multiplier", "attention.scale", 1.0),
    Key("embedding_multiplier", "embedding.scale", 1.0),
    Key("residual_multiplier", "residual_scale", 1.0),
    Key("logits_scaling", "output.scale", 1.0, inverse=True),
)  # fmt: skip
GRANITE = Outline(
    "granite", "GraniteForCausalLM", (*GRANITE_KEYS, ATTENTION_BIAS, MLP_BIAS)
).family()
