"""RoBERTa's names: BERT's, with another masked head and places that begin after the padding's.

The table of positions has rows for the padding id and all before it that no token uses, so places
count from `pad_token_id + 1`: 2 in what is published. A saved model says so by its pad_token_id.
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
"""Where config.json does not say it."""


def read(values: dict[str, Any]) -> ModelConfig:
    """Our configuration of a config.json.

    Raises ArtifactError naming the key that is missing or that asks for what we do not compute.
    """
    padding = values.get("pad_token_id", PADDING)
    rows = values.get("max_position_embeddings")
    if type(padding) is not int or padding < 0:
        raise ArtifactError(
            f"config.json has pad_token_id={padding!r}; a roberta needs an id, after which its "
            "places begin."
        )
    if isinstance(rows, int) and rows <= padding + 1:
        raise ArtifactError(
            f"config.json has max_position_embeddings={rows}, of which pad_token_id={padding} "
            "leaves no place to a token."
        )
    return read_encoder(values, "roberta", "gelu", offset=padding + 1)


def write(config: ModelConfig) -> dict[str, Any]:
    """The config.json of our configuration.

    Raises ConfigError naming what a RoBERTa cannot be.
    """
    padding = max(0, config.position.offset - 1)
    values = write_encoder(config, WORDS) | {"pad_token_id": padding}
    unsaid(config, read(values), "roberta")
    return values


def ours(state: State, config: ModelConfig) -> State:
    """Our names of their tensors."""
    return encoder_ours(state, config, WORDS)


def theirs(state: State, config: ModelConfig) -> State:
    """Their names of our tensors."""
    return encoder_theirs(state, config, WORDS)
