"""Families of models by the model_type of their files: how a peer names what we compute.

A model is written under the first family whose files can say all of it, and under our own name,
`groundup`, where no peer's can.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from groundup.core import ArtifactError, ConfigError

from ..config import ModelConfig
from . import bart, own, qwen3, switch, t5
from .names import State


class Family(NamedTuple):
    """How a peer's files say what we compute."""

    read: Callable[[dict[str, Any]], ModelConfig]
    """From config.json; raises ArtifactError for what we do not compute."""
    write: Callable[[ModelConfig], dict[str, Any]]
    """To config.json; raises ConfigError for what the peer does not compute."""
    ours: Callable[[State, ModelConfig], State]
    """Tensors of the files, under our names and in our layout."""
    theirs: Callable[[State, ModelConfig], State]
    """Ours, under their names and in their layout."""


FAMILIES: dict[str, Family] = {
    "qwen3": Family(qwen3.read, qwen3.write, qwen3.ours, qwen3.theirs),
    "t5": Family(t5.read, t5.write, t5.ours, t5.theirs),
    "bart": Family(bart.read, bart.write, bart.ours, bart.theirs),
    "switch_transformers": Family(switch.read, switch.write, switch.ours, switch.theirs),
    "groundup": Family(own.read, own.write, own.ours, own.theirs),
}
"""By model_type, in the order in which they are tried for a model of ours."""


def family_of(config: dict[str, Any], where: str) -> Family:
    """The family of a config.json; `where` is named in the error.

    Raises ArtifactError if the model_type is none of ours.
    """
    kind = config.get("model_type")
    if kind not in FAMILIES:
        raise ArtifactError(
            f"{where} has model_type {kind!r}; groundup opens {', '.join(sorted(FAMILIES))}."
        )
    return FAMILIES[kind]


def family_for(config: ModelConfig) -> Family:
    """The family whose files a model of this configuration is written as."""
    for family in FAMILIES.values():
        try:
            if family.read(family.write(config)) == config:
                return family
        except (ConfigError, ArtifactError):
            continue
    raise AssertionError("our own family writes every configuration")
