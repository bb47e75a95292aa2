"""Qwen 2: LLaMA with biases of queries, keys and values, and windows in upper layers.

Source: transformers 5.24, models/qwen2; Yang et al. 2024, arXiv:2407.10671.
"""

from collections.abc import Mapping
from typing import Any

from groundup.core import ArtifactError
from groundup.kernels import Pattern

from ..config import ModelConfig
from . import llama
from .keys import Keys, words
from .llama import (
    FULL,
    PLAIN,
    SHARED,
    WINDOW,
    decoder_of,
    layer_types,
    layers_of,
    patterns_of,
    values_of,
)
from .names import answered, only, unsaid

FAMILY = "qwen2"
WINDOWS = words("layer_types max_window_layers sliding_window use_sliding_window")
KEYS = Keys(
    SHARED | WINDOWS, PLAIN | {"attention_bias": (True,), "use_mrope": (False,)},
)  # fmt: skip
DEFAULTS: dict[str, Any] = {"num_key_value_heads": 32}
WINDOW_DEFAULTS: dict[str, Any] = {"sliding_window": 4096, "max_window_layers": 28}


def read(values: dict[str, Any]) -> ModelConfig:
    """Convert a Hugging Face config.json to a ModelConfig.

    Raises ArtifactError naming the key that is missing or has an unsupported value.
    """
    values = DEFAULTS | values
    only(values, {"hidden_act": ("silu",)})
    return decoder_of(values, FAMILY, bias="qkv", patterns=upper_windows_of(values, FAMILY))


def upper_windows_of(values: Mapping[str, Any], family: str) -> tuple[Pattern, ...]:
    """Attention patterns from `layer_types`, or windows from layer `max_window_layers` on.

    Raises ArtifactError for windows without a size.
    """
    if not answered(values, "use_sliding_window", False):
        if WINDOW in (values.get("layer_types") or ()):
            raise ArtifactError(
                f"config.json has {WINDOW!r} in layer_types without use_sliding_window; set it to "
                "true, or all layer_types to 'full_attention'."
            )
        return patterns_of(dict(values) | {"sliding_window": None}, family)
    values = WINDOW_DEFAULTS | dict(values)
    if values.get("layer_types") is not None or values["sliding_window"] is None:
        return patterns_of(values, family)
    first, layers = values["max_window_layers"], layers_of(values, family)
    if isinstance(first, bool) or not isinstance(first, int) or first < 0:
        raise ArtifactError(f"config.json has max_window_layers={first!r}; expected 0 or more.")
    types = [WINDOW if layer >= first else FULL for layer in range(layers)]
    return patterns_of(values | {"layer_types": types}, family)


def window_values(config: ModelConfig, family: str) -> dict[str, Any]:
    """The config.json keys of windows, for old and new versions of Transformers.

    Raises ConfigError for patterns that they cannot express.
    """
    types, window = layer_types(config, family)
    return {
        "use_sliding_window": window is not None,
        "sliding_window": window,
        "max_window_layers": (types + [WINDOW]).index(WINDOW),
        "layer_types": types,
    }


def write(config: ModelConfig) -> dict[str, Any]:
    """Convert a ModelConfig to a Hugging Face config.json.

    Raises ConfigError naming the field that Qwen 2 cannot express.
    """
    values = values_of(config, FAMILY, "Qwen2ForCausalLM") | {"hidden_act": "silu"}
    values |= window_values(config, FAMILY)
    unsaid(config, read(values), FAMILY)
    return values


ours, theirs = llama.ours, llama.theirs
