"""Qwen 3: LLaMA with norms of each head's queries and keys.

groundup's default model is written as this family.
Source: transformers 5.24, models/qwen3; Qwen3: arXiv:2505.09388.
"""

from typing import Any

from ..config import ModelConfig
from . import llama
from .keys import Keys, words
from .llama import PLAIN, SHARED, bias_of, decoder_of, values_of
from .names import only, unsaid
from .qwen2 import WINDOWS, upper_windows_of, window_values

FAMILY = "qwen3"
KEYS = Keys(SHARED | WINDOWS | words("attention_bias"), PLAIN)
DEFAULTS: dict[str, Any] = {"num_key_value_heads": 32, "head_dim": 128}


def read(values: dict[str, Any]) -> ModelConfig:
    """Convert a Hugging Face config.json to a ModelConfig.

    Raises ArtifactError naming the key that is missing or has an unsupported value.
    """
    values = DEFAULTS | values
    only(values, {"hidden_act": ("silu",)})
    patterns = upper_windows_of(values, FAMILY)
    return decoder_of(values, FAMILY, bias=bias_of(values), qk_norm="head", patterns=patterns)


def write(config: ModelConfig) -> dict[str, Any]:
    """Convert a ModelConfig to a Hugging Face config.json, for Transformers 4.51 and later.

    Raises ConfigError naming the field that Qwen3 cannot express.
    """
    values = values_of(config, FAMILY, "Qwen3ForCausalLM") | {"hidden_act": "silu"}
    values["attention_bias"] = config.attention.bias == "all"
    values |= window_values(config, FAMILY)
    unsaid(config, read(values), FAMILY)
    return values


ours, theirs = llama.ours, llama.theirs
