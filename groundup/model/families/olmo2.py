"""OLMo 2: LLaMA with norms after each sublayer, and of all queries and keys together.

Source: transformers 5.24, models/olmo2; OLMo Team 2024, arXiv:2501.00656.
"""

from typing import Any

from ..config import ModelConfig
from .keys import ConfigKeys, word_set
from .llama import (
    SHARED_KEYS,
    UNUSED_FEATURES,
    decoder_from_hf_config,
    decoder_to_hf_config,
    drop_rotary_buffers,
    get_attention_bias,
)
from .names import StateDict, rename_tensors, require_defaults, require_supported

FAMILY = "olmo2"
KEYS = ConfigKeys(SHARED_KEYS | word_set("attention_bias"), UNUSED_FEATURES)
NAMES = (
    ("model.layers.{}.self_attn.", "layers.{}.attention."),
    ("model.layers.{}.mlp.", "layers.{}.feedforward."),
    ("model.layers.{}.post_attention_layernorm.", "layers.{}.attention_out_norm."),
    ("model.layers.{}.post_feedforward_layernorm.", "layers.{}.feedforward_out_norm."),
    ("model.embed_tokens.", "embed_tokens."),
    ("model.norm.", "norm."),
)


def from_hf_config(values: dict[str, Any]) -> ModelConfig:
    """Convert a Hugging Face config.json to a ModelConfig.

    Raises ArtifactError naming the key that is missing or has an unsupported value.
    """
    require_supported(values, {"hidden_act": ("silu",)})
    config = decoder_from_hf_config(
        values, FAMILY, bias=get_attention_bias(values), qk_norm="all", eps=1e-5
    )
    return config.model_copy(update={"norm": config.norm.model_copy(update={"place": "output"})})


def to_hf_config(config: ModelConfig) -> dict[str, Any]:
    """Convert a ModelConfig to a Hugging Face config.json, for Transformers 4.47 and later.

    Raises ConfigError naming the field that OLMo 2 cannot express.
    """
    values = decoder_to_hf_config(config, FAMILY, "Olmo2ForCausalLM") | {"hidden_act": "silu"}
    values["attention_bias"] = config.attention.bias == "all"
    require_defaults(config, from_hf_config(values), FAMILY)
    return values


def from_hf_state_dict(state: StateDict, config: ModelConfig) -> StateDict:
    """Rename Hugging Face tensors to groundup's names."""
    return rename_tensors(drop_rotary_buffers(state), NAMES)


def to_hf_state_dict(state: StateDict, config: ModelConfig) -> StateDict:
    """Rename groundup's tensors to Hugging Face names."""
    return rename_tensors(state, NAMES, to_hf=True)
