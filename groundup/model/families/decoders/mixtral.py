"""Mixtral and Qwen 3 MoE: Mistral and Qwen 3 with experts as feed-forwards.

Source: transformers 5.24, models/mixtral and qwen3_moe; Jiang et al. 2024, arXiv:2401.04088; Qwen
Team 2025, arXiv:2505.09388.
"""

from ..decoder_keys import to_layer_types
from ..experts import NAMES, PARTS, ExpertFiles
from ..keys import word_set
from ..names import get_bool
from .outline import (
    ATTENTION_BIAS,
    SILU,
    WINDOW_KEYS,
    Key,
    Outline,
    expert_counts,
    read_window,
    rms_eps,
    write_window,
)

QWEN3_MOE = Outline(
    "qwen3_moe", "Qwen3MoeForCausalLM",
    (
        SILU, rms_eps(), ATTENTION_BIAS, *expert_counts(128, 8),
        Key("moe_intermediate_size", "feedforward.experts.width", 768),
        Key("decoder_sparse_step", "feedforward.experts.every", 1),
        Key("norm_topk_prob", "feedforward.experts.normalised", False),
    ),
    {"attention.qk_norm": "head"}, {"num_key_value_heads": 4, "sliding_window": 4096},
    read_more=lambda values: read_window(
        values if get_bool(values, "use_sliding_window", False)
        else values | {"sliding_window": None}
    ),
    write_more=lambda config: write_window(config) | {
        "mlp_only_layers": [], "num_experts": config.feedforward.experts.count,  # type: ignore[union-attr]
        "use_sliding_window": to_layer_types(config, "qwen3_moe")[1] is not None,
    },
    more_keys=WINDOW_KEYS | {"max_window_layers", "use_sliding_window"},
    fixed={"mlp_only_layers": ([], None)}, aliases={"num_experts": "num_local_experts"},
    names=NAMES[2:], experts=ExpertFiles(),
).family()  # fmt: skip
MIXTRAL = Outline(
    "mixtral", "MixtralForCausalLM", (SILU, rms_eps(1e-5), *expert_counts(int, int)),
    defaults={"num_key_value_heads": 8, "num_local_experts": 8, "num_experts_per_tok": 2},
    base=1_000_000.0, read_more=read_window,
    write_more=write_window, more_keys=WINDOW_KEYS,
    ignored=word_set("max_sequence_length"), aliases={"num_experts": "num_local_experts"},
    names=NAMES, experts=ExpertFiles(dict(zip(PARTS, ("w1", "w3", "w2"), strict=True))),
).family()  # fmt: skip
