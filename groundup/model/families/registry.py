"""Model families by the `model_type` of their config.json.

A model is written as the first family that can express its configuration, or with the model_type
`groundup` if none can.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from groundup.core import ArtifactError, ConfigError

from ..config import ModelConfig
from . import (
    bart,
    bert,
    gemma3,
    gpt1,
    gpt2,
    llama,
    mistral,
    mixtral,
    modernbert,
    olmo2,
    own,
    qwen2,
    qwen3,
    roberta,
    switch,
    t5,
)
from .keys import Keys, checked
from .names import State


class Family(NamedTuple):
    """How to read and write the files of one Hugging Face model_type."""

    keys: Keys
    """Keys of its config.json."""
    read: Callable[[dict[str, Any]], ModelConfig]
    """Raises ArtifactError for unsupported values."""
    write: Callable[[ModelConfig], dict[str, Any]]
    """Raises ConfigError for what the family cannot express."""
    ours: Callable[[State, ModelConfig], State]
    """Hugging Face tensors to groundup's names and layout."""
    theirs: Callable[[State, ModelConfig], State]
    """The inverse."""
    packs: bool = True
    """Whether its files can hold packed int8 weights; fused, transposed or stacked ones cannot."""


FAMILIES: dict[str, Family] = {
    "qwen3": Family(qwen3.KEYS, qwen3.read, qwen3.write, qwen3.ours, qwen3.theirs),
    "llama": Family(llama.KEYS, llama.read, llama.write, llama.ours, llama.theirs),
    "mistral": Family(mistral.KEYS, mistral.read, mistral.write, mistral.ours, mistral.theirs),
    "mixtral": Family(
        mixtral.KEYS, mixtral.read, mixtral.write, mixtral.ours, mixtral.theirs, packs=False
    ),
    "qwen2": Family(qwen2.KEYS, qwen2.read, qwen2.write, qwen2.ours, qwen2.theirs),
    "gemma3_text": Family(gemma3.KEYS, gemma3.read, gemma3.write, gemma3.ours, gemma3.theirs),
    "gemma3": Family(gemma3.WITH_PICTURES, gemma3.read, gemma3.write, gemma3.ours, gemma3.theirs),
    "olmo2": Family(olmo2.KEYS, olmo2.read, olmo2.write, olmo2.ours, olmo2.theirs),
    "t5": Family(t5.KEYS, t5.read, t5.write, t5.ours, t5.theirs),
    "bart": Family(bart.KEYS, bart.read, bart.write, bart.ours, bart.theirs),
    "switch_transformers": Family(
        switch.KEYS, switch.read, switch.write, switch.ours, switch.theirs
    ),
    "bert": Family(bert.KEYS, bert.read, bert.write, bert.ours, bert.theirs),
    "roberta": Family(roberta.KEYS, roberta.read, roberta.write, roberta.ours, roberta.theirs),
    "modernbert": Family(
        modernbert.KEYS,
        modernbert.read,
        modernbert.write,
        modernbert.ours,
        modernbert.theirs,
        packs=False,
    ),
    "gpt2": Family(gpt2.KEYS, gpt2.read, gpt2.write, gpt2.ours, gpt2.theirs, packs=False),
    "openai-gpt": Family(gpt1.KEYS, gpt1.read, gpt1.write, gpt1.ours, gpt1.theirs, packs=False),
    "groundup": Family(own.KEYS, own.read, own.write, own.ours, own.theirs),
}
"""By model_type, in the order in which `family_for` tries them."""


def family_of(config: dict[str, Any], where: str) -> Family:
    """The family of a config.json; raises ArtifactError for an unsupported model_type.

    where  named in the error
    """
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in FAMILIES:
        raise ArtifactError(
            f"{where} has model_type {kind!r}; expected one of {', '.join(sorted(FAMILIES))}."
        )
    return FAMILIES[kind]


def read_config(values: dict[str, Any], where: str) -> ModelConfig:
    """Convert the values of a config.json to a ModelConfig.

    where  named in errors

    Raises ArtifactError for an unknown key, and for a missing, invalid or unsupported value.
    """
    family = family_of(values, where)
    try:
        return family.read(checked(values, family.keys, str(values["model_type"])))
    except ConfigError as error:
        raise ArtifactError(f"{where}: {error}") from None
    except (AttributeError, KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise ArtifactError(
            f"{where} has a value that is invalid for {values['model_type']} "
            f"({type(error).__name__}: {error}); copy or make the model again."
        ) from None


def family_for(config: ModelConfig, *, packed: bool = False) -> Family:
    """The family to write a model of this configuration as.

    packed  whether the model has int8 weights
    """
    for family in FAMILIES.values():
        try:
            if (family.packs or not packed) and family.read(family.write(config)) == config:
                return family
        except (ConfigError, ArtifactError):
            continue
    raise AssertionError("our own family writes every configuration")
