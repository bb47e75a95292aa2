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
from .keys import ConfigKeys, validate_keys
from .names import StateDict


class Family(NamedTuple):
    """How to read and write the files of one Hugging Face model_type."""

    keys: ConfigKeys
    """Keys of its config.json."""
    from_hf_config: Callable[[dict[str, Any]], ModelConfig]
    """Raises ArtifactError for unsupported values."""
    to_hf_config: Callable[[ModelConfig], dict[str, Any]]
    """Raises ConfigError for what the family cannot express."""
    from_hf_state_dict: Callable[[StateDict, ModelConfig], StateDict]
    """Hugging Face tensors to groundup's names and layout."""
    to_hf_state_dict: Callable[[StateDict, ModelConfig], StateDict]
    """The inverse."""
    supports_int8: bool = True
    """Whether its files can hold packed int8 weights; fused, transposed or stacked ones cannot."""


FAMILIES: dict[str, Family] = {
    "qwen3": Family(
        qwen3.KEYS,
        qwen3.from_hf_config,
        qwen3.to_hf_config,
        qwen3.from_hf_state_dict,
        qwen3.to_hf_state_dict,
    ),
    "llama": Family(
        llama.KEYS,
        llama.from_hf_config,
        llama.to_hf_config,
        llama.from_hf_state_dict,
        llama.to_hf_state_dict,
    ),
    "mistral": Family(
        mistral.KEYS,
        mistral.from_hf_config,
        mistral.to_hf_config,
        mistral.from_hf_state_dict,
        mistral.to_hf_state_dict,
    ),
    "mixtral": Family(
        mixtral.KEYS,
        mixtral.from_hf_config,
        mixtral.to_hf_config,
        mixtral.from_hf_state_dict,
        mixtral.to_hf_state_dict,
        supports_int8=False,
    ),
    "qwen2": Family(
        qwen2.KEYS,
        qwen2.from_hf_config,
        qwen2.to_hf_config,
        qwen2.from_hf_state_dict,
        qwen2.to_hf_state_dict,
    ),
    "gemma3_text": Family(
        gemma3.KEYS,
        gemma3.from_hf_config,
        gemma3.to_hf_config,
        gemma3.from_hf_state_dict,
        gemma3.to_hf_state_dict,
    ),
    "gemma3": Family(
        gemma3.MULTIMODAL_KEYS,
        gemma3.from_hf_config,
        gemma3.to_hf_config,
        gemma3.from_hf_state_dict,
        gemma3.to_hf_state_dict,
    ),
    "olmo2": Family(
        olmo2.KEYS,
        olmo2.from_hf_config,
        olmo2.to_hf_config,
        olmo2.from_hf_state_dict,
        olmo2.to_hf_state_dict,
    ),
    "t5": Family(
        t5.KEYS, t5.from_hf_config, t5.to_hf_config, t5.from_hf_state_dict, t5.to_hf_state_dict
    ),
    "bart": Family(
        bart.KEYS,
        bart.from_hf_config,
        bart.to_hf_config,
        bart.from_hf_state_dict,
        bart.to_hf_state_dict,
    ),
    "switch_transformers": Family(
        switch.KEYS,
        switch.from_hf_config,
        switch.to_hf_config,
        switch.from_hf_state_dict,
        switch.to_hf_state_dict,
    ),
    "bert": Family(
        bert.KEYS,
        bert.from_hf_config,
        bert.to_hf_config,
        bert.from_hf_state_dict,
        bert.to_hf_state_dict,
    ),
    "roberta": Family(
        roberta.KEYS,
        roberta.from_hf_config,
        roberta.to_hf_config,
        roberta.from_hf_state_dict,
        roberta.to_hf_state_dict,
    ),
    "modernbert": Family(
        modernbert.KEYS,
        modernbert.from_hf_config,
        modernbert.to_hf_config,
        modernbert.from_hf_state_dict,
        modernbert.to_hf_state_dict,
        supports_int8=False,
    ),
    "gpt2": Family(
        gpt2.KEYS,
        gpt2.from_hf_config,
        gpt2.to_hf_config,
        gpt2.from_hf_state_dict,
        gpt2.to_hf_state_dict,
        supports_int8=False,
    ),
    "openai-gpt": Family(
        gpt1.KEYS,
        gpt1.from_hf_config,
        gpt1.to_hf_config,
        gpt1.from_hf_state_dict,
        gpt1.to_hf_state_dict,
        supports_int8=False,
    ),
    "groundup": Family(
        own.KEYS, own.from_hf_config, own.to_hf_config, own.from_hf_state_dict, own.to_hf_state_dict
    ),
}
"""By model_type, in the order in which `choose_family` tries them."""


def get_family(config: dict[str, Any], where: str) -> Family:
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
    family = get_family(values, where)
    try:
        return family.from_hf_config(validate_keys(values, family.keys, str(values["model_type"])))
    except ConfigError as error:
        raise ArtifactError(f"{where}: {error}") from None
    except (AttributeError, KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise ArtifactError(
            f"{where} has a value that is invalid for {values['model_type']} "
            f"({type(error).__name__}: {error}); copy or make the model again."
        ) from None


def choose_family(config: ModelConfig, *, packed: bool = False) -> Family:
    """The family to write a model of this configuration as.

    packed  whether the model has int8 weights
    """
    for family in FAMILIES.values():
        try:
            if (family.supports_int8 or not packed) and family.from_hf_config(
                family.to_hf_config(config)
            ) == config:
                return family
        except (ConfigError, ArtifactError):
            continue
    raise AssertionError("our own family writes every configuration")
