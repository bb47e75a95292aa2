"""RoBERTa: BERT with another masked-LM head and positions that start after the padding id.

Position embeddings up to `pad_token_id` are unused, so positions start at `pad_token_id + 1`: 2 in
published models.
Source: transformers 5.24, models/roberta; RoBERTa: arXiv:1907.11692.
"""

from typing import Any

from groundup.core import ArtifactError

from ..config import ModelConfig
from .bert import (
    BIDIRECTIONAL,
    SHARED_KEYS,
    UNUSED_KEYS,
    BertNames,
    encoder_from_hf_config,
    encoder_from_hf_state_dict,
    encoder_to_hf_config,
    encoder_to_hf_state_dict,
)
from .keys import ConfigKeys, word_set
from .names import StateDict, require_defaults

ROBERTA_NAMES = BertNames(
    "roberta",
    "Roberta",
    (("lm_head.dense.", "transform.dense."), ("lm_head.layer_norm.", "transform.norm.")),
    bias="lm_head.bias",
    decoder="lm_head.decoder",
)
KEYS = ConfigKeys(SHARED_KEYS | word_set("pad_token_id"), BIDIRECTIONAL, UNUSED_KEYS)
DEFAULT_PADDING = 1
"""Default pad_token_id."""


def from_hf_config(values: dict[str, Any]) -> ModelConfig:
    """Convert a Hugging Face config.json to a ModelConfig.

    Raises ArtifactError naming the key that is missing or has an unsupported value.
    """
    padding = values.get("pad_token_id", DEFAULT_PADDING)
    rows = values.get("max_position_embeddings")
    if type(padding) is not int or padding < 0:
        raise ArtifactError(
            f"config.json has pad_token_id={padding!r}; roberta needs an id, after which its "
            "positions start."
        )
    if isinstance(rows, int) and rows <= padding + 1:
        raise ArtifactError(
            f"config.json has max_position_embeddings={rows}, of which pad_token_id={padding} "
            "leaves no position for a token."
        )
    return encoder_from_hf_config(values, "roberta", "gelu", offset=padding + 1)


def to_hf_config(config: ModelConfig) -> dict[str, Any]:
    """Convert a ModelConfig to a Hugging Face config.json.

    Raises ConfigError naming the field that RoBERTa cannot express.
    """
    padding = max(0, config.position.offset - 1)
    values = encoder_to_hf_config(config, ROBERTA_NAMES) | {"pad_token_id": padding}
    require_defaults(config, from_hf_config(values), "roberta")
    return values


def from_hf_state_dict(state: StateDict, config: ModelConfig) -> StateDict:
    """Rename Hugging Face tensors to groundup's names."""
    return encoder_from_hf_state_dict(state, config, ROBERTA_NAMES)


def to_hf_state_dict(state: StateDict, config: ModelConfig) -> StateDict:
    """Rename groundup's tensors to Hugging Face names."""
    return encoder_to_hf_state_dict(state, config, ROBERTA_NAMES)
