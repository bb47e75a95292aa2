"""Mistral: LLaMA with a sliding window in every layer or in none.

Source: transformers 5.24, models/mistral; Jiang et al. 2023, arXiv:2310.06825.
"""

from collections.abc import Mapping
from typing import Any

from groundup.core import ArtifactError
from groundup.kernels import AttentionPattern

from ..config import ModelConfig
from . import llama
from .keys import ConfigKeys, word_set
from .llama import (
    SHARED_KEYS,
    UNUSED_FEATURES,
    WINDOW,
    decoder_from_hf_config,
    decoder_to_hf_config,
    to_layer_types,
)
from .names import get_int, require_defaults, require_supported

FAMILY = "mistral"
KEYS = ConfigKeys(
    SHARED_KEYS | word_set("layer_types sliding_window"),
    UNUSED_FEATURES,
    word_set("max_sequence_length"),
)
DEFAULTS: dict[str, Any] = {"num_key_value_heads": 8, "sliding_window": 4096}


def from_hf_config(values: dict[str, Any]) -> ModelConfig:
    """Convert a Hugging Face config.json to a ModelConfig.

    Raises ArtifactError naming the key that is missing or has an unsupported value.
    """
    values = DEFAULTS | values
    require_supported(values, {"hidden_act": ("silu",)})
    return decoder_from_hf_config(values, FAMILY, patterns=parse_sliding_window(values, FAMILY))


def parse_sliding_window(values: Mapping[str, Any], family: str) -> tuple[AttentionPattern, ...]:
    """The pattern of all layers; a `sliding_window` of null means full attention.

    Raises ArtifactError if `layer_types` differs between layers, which Transformers ignores
    here.
    """
    is_window = values.get("sliding_window") is not None
    types = values.get("layer_types")
    if types is not None and any((kind == WINDOW) != is_window for kind in types):
        raise ArtifactError(
            f"config.json has layer_types={str(types)[:60]} with sliding_window="
            f"{values.get('sliding_window')!r}; all layers of {family} have the same type."
        )
    if not is_window:
        return (AttentionPattern(),)
    return (AttentionPattern("window", get_int(values, "sliding_window", family)),)


def to_hf_config(config: ModelConfig) -> dict[str, Any]:
    """Convert a ModelConfig to a Hugging Face config.json.

    Raises ConfigError naming the field that Mistral cannot express.
    """
    values = decoder_to_hf_config(config, FAMILY, "MistralForCausalLM") | {"hidden_act": "silu"}
    values["sliding_window"] = to_layer_types(config, FAMILY)[1]
    require_defaults(config, from_hf_config(values), FAMILY)
    return values


from_hf_state_dict, to_hf_state_dict = llama.from_hf_state_dict, llama.to_hf_state_dict
