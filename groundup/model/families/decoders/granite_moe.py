"""Granite's mixtures: Granite with experts as feed-forwards, stacked in files.

Source: transformers 5.24, models/granitemoe; Granite Team 2024, Granite 3.0 Language Models.
"""

from ...config import ExpertsConfig, ModelConfig
from ..llama import NAMES as LLAMA_NAMES
from ..mixtral import OURS, ExpertFiles, read_counts, require_experts, with_experts
from .granite import GRANITE_KEYS
from .outline import ATTENTION_BIAS, Outline, Values, decoder_family

NAME, MIXTURE = "granitemoe", "model.layers.{}.block_sparse_moe."
NAMES = (
    (MIXTURE + "router.layer.", OURS + "router."),
    (MIXTURE + "router.", OURS + "router."),
    (MIXTURE + "input_linear.weight", OURS + "gate_up_proj"),
    (MIXTURE + "output_linear.weight", OURS + "down_proj"),
    (MIXTURE + "experts.", OURS),
    *LLAMA_NAMES,
)


def _read(values: Values) -> Values:
    return {"feedforward.experts": ExpertsConfig(**read_counts(values, NAME, 8, 2))}


def _write(config: ModelConfig) -> Values:
    experts = require_experts(config, NAME)
    return {"num_local_experts": experts.count, "num_experts_per_tok": experts.chosen}


GRANITE_MOE = with_experts(
    decoder_family(
        Outline(
            NAME, "GraniteMoeForCausalLM", (*GRANITE_KEYS, ATTENTION_BIAS), read_more=_read,
            write_more=_write, more_keys=frozenset(("num_local_experts", "num_experts_per_tok")),
        )
    ),
    ExpertFiles(NAMES, is_stacked=True),
)  # fmt: skip
