"""Mistral's names: LLaMA's, and a window in every layer or in none.

Source: transformers 5.24, models/mistral; Jiang et al. 2023, arXiv:2310.06825.
"""

from collections.abc import Mapping
from typing import Any

from groundup.core import ArtifactError
from groundup.kernels import Pattern

from ..config import ModelConfig
from . import llama
from .keys import Keys, words
from .llama import PLAIN, SHARED, WINDOW, decoder_of, layer_types, values_of
from .names import counted, only, unsaid

FAMILY = "mistral"
KEYS = Keys(SHARED | words("layer_types sliding_window"), PLAIN, words("max_sequence_length"))
DEFAULTS: dict[str, Any] = {"num_key_value_heads": 8, "sliding_window": 4096}


def read(values: dict[str, Any]) -> ModelConfig:
    """Our configuration of a config.json.

    Raises ArtifactError naming the key that is missing or that asks for what we do not compute.
    """
    values = DEFAULTS | values
    only(values, {"hidden_act": ("silu",)})
    return decoder_of(values, FAMILY, patterns=window_of(values, FAMILY))


def window_of(values: Mapping[str, Any], family: str) -> tuple[Pattern, ...]:
    """The pattern of all layers; a `sliding_window` of null means full attention.

    Raises ArtifactError if `layer_types` says that layers differ, which these families ignore.
    """
    is_window = values.get("sliding_window") is not None
    types = values.get("layer_types")
    if types is not None and any((kind == WINDOW) != is_window for kind in types):
        raise ArtifactError(
            f"config.json has layer_types={str(types)[:60]} beside sliding_window="
            f"{values.get('sliding_window')!r}; the layers of a {family} are alike."
        )
    if not is_window:
        return (Pattern(),)
    return (Pattern("window", counted(values, "sliding_window", family)),)


def write(config: ModelConfig) -> dict[str, Any]:
    """The config.json of our configuration.

    Raises ConfigError naming what a Mistral cannot be.
    """
    values = values_of(config, FAMILY, "MistralForCausalLM") | {"hidden_act": "silu"}
    values["sliding_window"] = layer_types(config, FAMILY)[1]
    unsaid(config, read(values), FAMILY)
    return values


ours, theirs = llama.ours, llama.theirs
