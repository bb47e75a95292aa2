"""Qwen 2: LLaMA with biases of queries, keys and values, and windows in upper layers.

Source: transformers 5.24, models/qwen2; Yang et al. 2024, arXiv:2407.10671.
"""

from collections.abc import Mapping
from typing import Any

from groundup.core import ArtifactError
from groundup.kernels import AttentionPattern

from ..config import ModelConfig
from . import llama
from .keys import ConfigKeys, word_set
from .llama import (
    FULL,
    SHARED_KEYS,
    UNUSED_FEATURES,
    WINDOW,
    decoder_from_hf_config,
    decoder_to_hf_config,
    get_layers,
    parse_layer_types,
    to_layer_types,
)
from .names import get_bool, require_defaults, require_supported

FAMILY = "qwen2"
WINDOW_KEYS = word_set("layer_types max_window_layers sliding_window use_sliding_window")
KEYS = ConfigKeys(
    SHARED_KEYS | WINDOW_KEYS, UNUSED_FEATURES | {"attention_bias": (True,), "use_mrope": (False,)},
)  # fmt: skip
DEFAULTS: dict[str, Any] = {"num_key_value_heads": 32}
WINDOW_DEFAULTS: dict[str, Any] = {"sliding_window": 4096, "max_window_layers": 28}


def from_hf_config(values: dict[str, Any]) -> ModelConfig:
    """Convert a Hugging Face config.json to a ModelConfig.

    Raises ArtifactError naming the key that is missing or has an unsupported value.
    """
    values = DEFAULTS | values
    require_supported(values, {"hidden_act": ("silu",)})
    return decoder_from_hf_config(
        values, FAMILY, bias="qkv", patterns=parse_upper_windows(values, FAMILY)
    )


def parse_upper_windows(values: Mapping[str, Any], family: str) -> tuple[AttentionPattern, ...]:
    """Attention patterns from `layer_types`, or windows from layer `max_window_layers` on.

    Raises ArtifactError for windows without a size.
    """
    if not get_bool(values, "use_sliding_window", False):
        if WINDOW in (values.get("layer_types") or ()):
            raise ArtifactError(
                f"config.json has {WINDOW!r} in layer_types without use_sliding_window; set it to "
                "true, or all layer_types to 'full_attention'."
            )
        return parse_layer_types(dict(values) | {"sliding_window": None}, family)
    values = WINDOW_DEFAULTS | dict(values)
    if values.get("layer_types") is not None or values["sliding_window"] is None:
        return parse_layer_types(values, family)
    first, layers = values["max_window_layers"], get_layers(values, family)
    if isinstance(first, bool) or not isinstance(first, int) or first < 0:
        raise ArtifactError(f"config.json has max_window_layers={first!r}; expected 0 or more.")
    types = [WINDOW if layer >= first else FULL for layer in range(layers)]
    return parse_layer_types(values | {"layer_types": types}, family)


def to_window_keys(config: ModelConfig, family: str) -> dict[str, Any]:
    """The config.json keys of windows, for old and new versions of Transformers.

    Raises ConfigError for patterns that they cannot express.
    """
    types, window = to_layer_types(config, family)
    return {
        "use_sliding_window": window is not None,
        "sliding_window": window,
        "max_window_layers": (types + [WINDOW]).index(WINDOW),
        "layer_types": types,
    }


def to_hf_config(config: ModelConfig) -> dict[str, Any]:
    """Convert a ModelConfig to a Hugging Face config.json.

    Raises ConfigError naming the field that Qwen 2 cannot express.
    """
    values = decoder_to_hf_config(config, FAMILY, "Qwen2ForCausalLM") | {"hidden_act": "silu"}
    values |= to_window_keys(config, FAMILY)
    require_defaults(config, from_hf_config(values), FAMILY)
    return values


from_hf_state_dict, to_hf_state_dict = llama.from_hf_state_dict, llama.to_hf_state_dict
