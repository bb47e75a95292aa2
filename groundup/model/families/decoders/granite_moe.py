"""Granite's mixtures: Granite with experts as feed-forwards, stacked in files.

Source: transformers 5.24, models/granitemoe; Granite Team 2024, Granite 3.0 Language Models.
"""

from ..decoder_keys import NAMES as LLAMA_NAMES
from ..experts import OURS, ExpertFiles
from .granite import GRANITE_KEYS
from .outline import ATTENTION_BIAS, Outline, expert_counts

MIXTURE = "model.layers.{}.block_sparse_moe."
NAMES = (
    (MIXTURE + "router.layer.", OURS + "router."),
    (MIXTURE + "router.", OURS + "router."),
    (MIXTURE + "input_linear.weight", OURS + "gate_up_proj"),
    (MIXTURE + "output_linear.weight", OURS + "down_proj"),
    (MIXTURE + "experts.", OURS),
    *LLAMA_NAMES,
)
KEYS = (*GRANITE_KEYS, ATTENTION_BIAS, *expert_counts(8, 2))
GRANITE_MOE = Outline(
    "granitemoe", "GraniteMoeForCausalLM", KEYS, names=NAMES, experts=ExpertFiles(is_stacked=True)
).family()
