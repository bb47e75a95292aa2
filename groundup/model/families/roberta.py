"""RoBERTa: BERT with another masked-LM head and positions that start after the padding id.

Position embeddings up to `pad_token_id` are unused, so positions start at `pad_token_id + 1`: 2 in
published models.
Source: transformers 5.24, models/roberta; RoBERTa: arXiv:1907.11692.
"""

from typing import Any

from groundup.core import ArtifactError

from ..config import ModelConfig
from .bert import (
    BOTH_WAYS,
    IDLE,
    SHARED,
    Words,
    encoder_ours,
    encoder_theirs,
    read_encoder,
    write_encoder,
)
from .keys import Keys, words
from .names import State, unsaid

WORDS = Words(
    "roberta",
    "Roberta",
    (("lm_head.dense.", "transform.dense."), ("lm_head.layer_norm.", "transform.norm.")),
    bias="lm_head.bias",
    decoder="lm_head.decoder",
)
KEYS = Keys(SHARED | words("pad_token_id"), BOTH_WAYS, IDLE)
PADDING = 1
"""Default pad_token_id."""


def read(values: dict[str, Any]) -> ModelConfig:
    """Convert a Hugging Face config.json to a ModelConfig.

    Raises ArtifactError naming the key that is missing or has an unsupported value.
    """
    padding = values.get("pad_token_id", PADDING)
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
    return read_encoder(values, "roberta", "gelu", offset=padding + 1)


def write(config: ModelConfig) -> dict[str, Any]:
    """Convert a ModelConfig to a Hugging Face config.json.

    Raises ConfigError naming the field that RoBERTa cannot express.
    """
    padding = max(0, config.position.offset - 1)
    values = write_encoder(config, WORDS) | {"pad_token_id": padding}
    unsaid(config, read(values), "roberta")
    return values


def ours(state: State, config: ModelConfig) -> State:
    """Rename Hugging Face tensors to groundup's names."""
    return encoder_ours(state, config, WORDS)


def theirs(state: State, config: ModelConfig) -> State:
    """Rename groundup's tensors to Hugging Face names."""
    return encoder_theirs(state, config, WORDS)
