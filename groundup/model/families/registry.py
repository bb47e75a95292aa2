"""Families of models by the model_type of their files: how a peer names what we compute."""

from collections.abc import Callable
from typing import Any, NamedTuple

from groundup.core import ArtifactError

from ..config import ModelConfig
from . import qwen3


class Family(NamedTuple):
    """How a peer's files name what we name."""

    read: Callable[[dict[str, Any]], ModelConfig]
    """From config.json; raises ArtifactError for what we do not compute."""
    write: Callable[[ModelConfig], dict[str, Any]]
    """To config.json; raises ConfigError for what the peer does not compute."""
    ours: Callable[[str], str]
    """A tensor's name in the files to ours."""
    theirs: Callable[[str], str]
    """Our name to the one in the files."""


FAMILIES: dict[str, Family] = {
    "qwen3": Family(qwen3.read, qwen3.write, qwen3.ours, qwen3.theirs),
}
WRITTEN_AS = "qwen3"
"""The family whose names our own model files carry."""


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
