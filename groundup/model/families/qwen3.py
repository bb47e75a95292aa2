"""Qwen 3: LLaMA with norms of each head's queries and keys.

groundup's default model is written as this family.
Source: transformers 5.24, models/qwen3; Qwen3: arXiv:2505.09388.
"""

from typing import Any

from ..config import ModelConfig
from . import llama
from .keys import ConfigKeys, word_set
from .llama import (
    SHARED_KEYS,
    UNUSED_FEATURES,
    decoder_from_hf_config,
    decoder_to_hf_config,
    get_attention_bias,
)
from .names import require_defaults, require_supported
from .qwen2 import WINDOW_KEYS, parse_upper_windows, to_window_keys

FAMILY = "qwen3"
KEYS = ConfigKeys(SHARED_KEYS | WINDOW_KEYS | word_set("attention_bias"), UNUSED_FEATURES)
DEFAULTS: dict[str, Any] = {"num_key_value_heads": 32, "head_dim": 128}


def from_hf_config(values: dict[str, Any]) -> ModelConfig:
    """Convert a Hugging Face config.json to a ModelConfig.

    Raises ArtifactError naming the key that is missing or has an unsupported value.
    """
    values = DEFAULTS | values
    require_supported(values, {"hidden_act": ("silu",)})
    patterns = parse_upper_windows(values, FAMILY)
    return decoder_from_hf_config(
        values, FAMILY, bias=get_attention_bias(values), qk_norm="head", patterns=patterns
    )


def to_hf_config(config: ModelConfig) -> dict[str, Any]:
    """Convert a ModelConfig to a Hugging Face config.json, for Transformers 4.51 and later.

    Raises ConfigError naming the field that Qwen3 cannot express.
    """
    values = decoder_to_hf_config(config, FAMILY, "Qwen3ForCausalLM") | {"hidden_act": "silu"}
    values["attention_bias"] = config.attention.bias == "all"
    values |= to_window_keys(config, FAMILY)
    require_defaults(config, from_hf_config(values), FAMILY)
    return values


from_hf_state_dict, to_hf_state_dict = llama.from_hf_state_dict, llama.to_hf_state_dict
