"""groundup's own model files, for models that no Transformers class can express.

config.json holds the ModelConfig as it is, and tensors keep groundup's names. Examples are
Transformer-XL positions, or Longformer's patterns in a decoder. Only groundup opens such files.
"""

from typing import Any

from pydantic import ValidationError

from groundup.core import ArtifactError, ConfigError

from ..config import ModelConfig
from .keys import Keys, words
from .names import State

KEY = "groundup"
KEYS = Keys(words(KEY, "groundup_head"))


def read(values: dict[str, Any]) -> ModelConfig:
    """The ModelConfig of a config.json; raises ArtifactError if it is incomplete or invalid."""
    try:
        return ModelConfig(**values[KEY])
    except (KeyError, TypeError, ValidationError, ConfigError) as error:
        raise ArtifactError(f"config.json has no valid {KEY!r} configuration ({error}).") from None


def write(config: ModelConfig) -> dict[str, Any]:
    """The config.json of a configuration."""
    return {"architectures": ["Groundup"], "model_type": "groundup", KEY: config.model_dump()}


def ours(state: State, config: ModelConfig) -> State:
    """Return the tensors unchanged."""
    return dict(state)


theirs = ours
