"""Mistral: LLaMA with a sliding window in every layer or in none.

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
    """Convert a Hugging Face config.json to a ModelConfig.

    Raises ArtifactError naming the key that is missing or has an unsupported value.
    """
    values = DEFAULTS | values
    only(values, {"hidden_act": ("silu",)})
    return decoder_of(values, FAMILY, patterns=window_of(values, FAMILY))


def window_of(values: Mapping[str, Any], family: str) -> tuple[Pattern, ...]:
    """The pattern of all layers; a `sliding_window` of null means full attention.

    Raises ArtifactError if `layer_types` differs between layers, which Transformers ignores here.
    """
    is_window = values.get("sliding_window") is not None
    types = values.get("layer_types")
    if types is not None and any((kind == WINDOW) != is_window for kind in types):
        raise ArtifactError(
            f"config.json has layer_types={str(types)[:60]} with sliding_window="
            f"{values.get('sliding_window')!r}; all layers of {family} have the same type."
        )
    if not is_window:
        return (Pattern(),)
    return (Pattern("window", counted(values, "sliding_window", family)),)


def write(config: ModelConfig) -> dict[str, Any]:
    """Convert a ModelConfig to a Hugging Face config.json.

    Raises ConfigError naming the field that Mistral cannot express.
    """
    values = values_of(config, FAMILY, "MistralForCausalLM") | {"hidden_act": "silu"}
    values["sliding_window"] = layer_types(config, FAMILY)[1]
    unsaid(config, read(values), FAMILY)
    return values


ours, theirs = llama.ours, llama.theirs
