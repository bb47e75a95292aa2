"""Decoders whose families are tables, as Transformers computes them: two odd shapes of each.

Run by `make oracles`. Writes tests/fixtures/decoders/<family>/<name>/ as decoders_llama.py does,
and `reopened_more.json`.
"""

import torch

from tests.oracles.decoders_llama import (
    FAR_TYPE,
    LINEAR,
    LLAMA3,
    NEAR,
    YARN,
    YARN_SAID,
    rope,
    size,
    write_anew,
)

PRESETS = (
    "OLMo", "OLMo 3", "SmolLM 3", "Phi 2", "Phi 4 mini", "Gemma", "Gemma 2", "Granite 3",
    "StarCoder 2", "StableLM 2", "Pythia", "Qwen 3 MoE", "Command R", "Nemotron 4", "GLM 4",
    "EXAONE 4",
)  # fmt: skip
LONG = rope(
    "longrope", short_factor=[1.0, 1.2, 1.5], long_factor=[1.5, 3.0, 6.0],
    original_max_position_embeddings=16, partial_rotary_factor=0.75,
)  # fmt: skip


def part(share: float, base: dict | None = None) -> dict:
    """Rotary positions of a share of the features."""
    return (base or rope()) | {"partial_rotary_factor": share}


def by_type(full: dict) -> dict:
    """Rotary positions of OLMo 3's layer types."""
    return {FAR_TYPE: full, NEAR: rope()}


def alike(*args: int, **more: object) -> dict:
    """GPT-NeoX's keys, which know no key heads."""
    width, heads, inner = args
    shape = size(width, heads, heads, inner, **more)
    del shape["num_key_value_heads"]
    return shape


SHAPES: dict[str, dict[str, dict]] = {
    "olmo": {
        "clipped_llama3": size(12, 6, 2, 10, rope_parameters=LLAMA3, clip_qkv=1.0),
        "biased_yarn": size(10, 5, 5, 8, rope_parameters=YARN, attention_bias=True),
    },
    "olmo3": {
        "cycle_yarn": size(12, 6, 2, 8, 4, sliding_window=5, rope_parameters=by_type(YARN)),
        "biased": size(8, 2, 1, 8, 3, sliding_window=4, layer_types=[NEAR, FAR_TYPE, NEAR],
                       attention_bias=True, rope_parameters=by_type(rope())),
    },
    "smollm3": {
        "every_fourth": size(12, 6, 2, 8, 4, rope_parameters=rope()),
        "windows_yarn": size(8, 2, 1, 8, 3, use_sliding_window=True, sliding_window=4,
                             no_rope_layers=[0, 1, 1], attention_bias=True, mlp_bias=True,
                             rope_parameters=YARN, tie_word_embeddings=True),
    },
    "phi3": {
        "longrope": size(16, 2, 1, 10, rope_parameters=LONG, original_max_position_embeddings=16),
        "windows_part": size(12, 3, 3, 8, sliding_window=5, rope_parameters=part(0.5)),
        "short": size(16, 2, 2, 10, original_max_position_embeddings=60, sliding_window=4,
                      rope_parameters=LONG | {"original_max_position_embeddings": 60},
                      tie_word_embeddings=True),
    },
    "phi": {
        "grouped": size(16, 2, 1, 10, rope_parameters=part(0.5)),
        "normed_yarn": size(12, 3, 3, 8, qk_layernorm=True, rope_parameters=part(0.5, YARN)),
    },
    "gemma": {
        "grouped": size(12, 6, 2, 8, head_dim=4, rope_parameters=rope(), tie_word_embeddings=True),
        "biased_linear": size(8, 2, 1, 8, head_dim=6, hidden_act="gelu", attention_bias=True,
                              rope_parameters=LINEAR),
    },
    "gemma2": {
        "capped": size(12, 6, 2, 8, head_dim=4, sliding_window=5, query_pre_attn_scalar=7,
                       rope_parameters=rope(), tie_word_embeddings=True),
        "biased_yarn": size(8, 2, 1, 8, 3, head_dim=6, sliding_window=4, attention_bias=True,
                            layer_types=[FAR_TYPE, NEAR, NEAR], final_logit_softcapping=None,
                            attn_logit_softcapping=2.0, rope_parameters=YARN),
    },
    "granite": {
        "factors": size(12, 6, 2, 8, embedding_multiplier=3.0, residual_multiplier=0.3,
                        attention_multiplier=0.2, logits_scaling=6.0, rope_parameters=rope()),
        "biased_yarn": size(8, 2, 1, 8, attention_bias=True, mlp_bias=True,
                            residual_multiplier=0.5, rope_parameters=YARN_SAID),
    },
    "starcoder2": {
        "windows": size(12, 6, 2, 8, rope_parameters=rope(), sliding_window=4),
        "unbiased_yarn": size(8, 2, 1, 8, use_bias=False, rope_parameters=YARN),
    },
    "stablelm": {
        "biased": size(16, 2, 1, 8, use_qkv_bias=True, rope_parameters=part(0.25)),
        "parallel_yarn": size(16, 2, 2, 8, use_parallel_residual=True,
                              rope_parameters=part(0.5, YARN)),
    },
    "gpt_neox": {
        "parallel": alike(16, 2, 8, rope_parameters=part(0.25)),
        "serial_linear": alike(12, 3, 8, use_parallel_residual=False, attention_bias=False,
                               rope_parameters=part(0.5, LINEAR)),
    },
    "qwen3_moe": {
        "two_of_four": size(12, 6, 2, 8, head_dim=4, moe_intermediate_size=6, num_experts=4,
                            num_experts_per_tok=2, rope_parameters=rope()),
        "normed_windows": size(8, 2, 1, 6, 3, head_dim=6, moe_intermediate_size=6, num_experts=3,
                               num_experts_per_tok=2, norm_topk_prob=True, sliding_window=4,
                               use_sliding_window=True, attention_bias=True, rope_parameters=YARN,
                               decoder_sparse_step=2),
    },
    "cohere": {
        "grouped": size(12, 6, 2, 8, logit_scale=0.3, rope_parameters=rope(),
                        tie_word_embeddings=True),
        "biased_linear": size(8, 2, 1, 8, attention_bias=True, rope_parameters=LINEAR),
    },
    "nemotron": {
        "part": size(12, 3, 1, 8, head_dim=6, rope_parameters=part(0.7)),
        "biased_linear": size(8, 2, 1, 8, attention_bias=True, mlp_bias=True,
                              rope_parameters=part(0.5, LINEAR)),
    },
    "glm4": {
        "part": size(12, 3, 1, 8, head_dim=8, rope_parameters=part(0.5)),
        "whole_linear": size(8, 2, 1, 8, head_dim=4, attention_bias=False,
                             rope_parameters=part(1.0, LINEAR)),
    },
    "exaone4": {
        "hybrid": size(12, 6, 2, 8, 5, sliding_window=4, rope_parameters=rope()),
        "full_yarn": size(8, 2, 1, 8, 3, head_dim=6, sliding_window=None,
                          layer_types=[FAR_TYPE] * 3, rope_parameters=YARN),
    },
}  # fmt: skip


def main() -> None:
    """Write every fixture anew."""
    torch.manual_seed(1)
    write_anew(SHAPES, PRESETS, "reopened_more.json")


if __name__ == "__main__":
    main()
