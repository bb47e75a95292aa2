"""Our own files, for what no peer's can say: the configuration as it is, and our names.

Transformer-XL's distances or Longformer's patterns in a decoder have no peer's class. Such a
directory opens here alone.
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
    """The configuration of a config.json.

    Raises ArtifactError if it is not whole.
    """
    try:
        return ModelConfig(**values[KEY])
    except (KeyError, TypeError, ValidationError, ConfigError) as error:
        raise ArtifactError(f"config.json has no whole {KEY!r} configuration ({error}).") from None


def write(config: ModelConfig) -> dict[str, Any]:
    """The config.json of a configuration."""
    return {"architectures": ["Groundup"], "model_type": "groundup", KEY: config.model_dump()}


def ours(state: State, config: ModelConfig) -> State:
    """The tensors as they are."""
    return dict(state)


theirs = ours
