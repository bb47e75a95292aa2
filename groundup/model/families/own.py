"""groundup's own model files, for models that no Transformers class can express.

config.json holds the ModelConfig as it is, and tensors keep groundup's names. Examples are
Transformer-XL positions, or Longformer's patterns in a decoder. Only groundup opens such files.
"""

from typing import Any

from pydantic import ValidationError

from groundup.core import ArtifactError, ConfigError

from ..config import ModelConfig
from .keys import ConfigKeys, word_set
from .names import StateDict

CONFIG_KEY = "groundup"
KEYS = ConfigKeys(word_set(CONFIG_KEY, "groundup_head"))


def from_hf_config(values: dict[str, Any]) -> ModelConfig:
    """The ModelConfig of a config.json; raises ArtifactError if it is incomplete or invalid."""
    try:
        return ModelConfig(**values[CONFIG_KEY])
    except (KeyError, TypeError, ValidationError, ConfigError) as error:
        raise ArtifactError(
            f"config.json has no valid {CONFIG_KEY!r} configuration ({error})."
        ) from None


def to_hf_config(config: ModelConfig) -> dict[str, Any]:
    """The config.json of a configuration."""
    return {
        "architectures": ["Groundup"],
        "model_type": "groundup",
        CONFIG_KEY: config.model_dump(),
    }


def from_hf_state_dict(state: StateDict, config: ModelConfig) -> StateDict:
    """Return the tensors unchanged."""
    return dict(state)


to_hf_state_dict = from_hf_state_dict
