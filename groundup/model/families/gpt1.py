"""GPT-1: GPT-2's layout with post-norms, no final norm, and other keys.

Its `gelu` is the tanh approximation. Its feed-forward is always four times as wide as the model.
Source: transformers 5.24, models/openai; GPT-1: Radford et al. 2018.
"""

from typing import Any

from groundup.core import ArtifactError

from ..config import Activation, ModelConfig
from .gpt2 import (
    ALIASES,
    LAYER_NAMES,
    SHARED_KEYS,
    UNUSED_KEYS,
    gpt_from_hf_config,
    gpt_from_hf_state_dict,
    gpt_to_hf_config,
    gpt_to_hf_state_dict,
)
from .keys import CAUSAL, ConfigKeys, word_set
from .names import StateDict, require_defaults

NAMES = (
    *LAYER_NAMES,
    ("h.{}.ln_1.", "layers.{}.attention_out_norm."),
    ("h.{}.ln_2.", "layers.{}.feedforward_out_norm."),
    ("tokens_embed.", "embed_tokens."),
    ("positions_embed.", "embed_positions."),
)

KEYS = ConfigKeys(
    SHARED_KEYS | word_set("afn"),
    CAUSAL,
    UNUSED_KEYS | word_set("n_special predict_special_tokens"),
    ALIASES,
)

ACTIVATIONS: dict[str, Activation] = {
    "gelu": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
"""Values of `afn`."""


def from_hf_config(values: dict[str, Any]) -> ModelConfig:
    """Convert a Hugging Face config.json to a ModelConfig.

    Raises ArtifactError naming the key that is missing or has an unsupported value.
    """
    inner = values.get("afn", "gelu")
    if inner not in ACTIVATIONS:
        raise ArtifactError(
            f"config.json has afn={inner!r}; openai-gpt supports {', '.join(ACTIVATIONS)}."
        )
    return gpt_from_hf_config(values, "openai-gpt", ACTIVATIONS[inner])


def to_hf_config(config: ModelConfig) -> dict[str, Any]:
    """Convert a ModelConfig to a Hugging Face config.json.

    Raises ConfigError naming the field that GPT-1 cannot express.
    """
    inner = config.feedforward.activation
    values = {
        "architectures": ["OpenAIGPTLMHeadModel"],
        "model_type": "openai-gpt",
        **gpt_to_hf_config(config),
        "afn": "gelu" if inner == "gelu_tanh" else inner,
    }
    require_defaults(config, from_hf_config(values), "openai-gpt")
    return values


def from_hf_state_dict(state: StateDict, config: ModelConfig) -> StateDict:
    """Rename Hugging Face tensors to groundup's names; transpose and split matrices."""
    return gpt_from_hf_state_dict(state, NAMES)


def to_hf_state_dict(state: StateDict, config: ModelConfig) -> StateDict:
    """Rename groundup's tensors to Hugging Face names; fuse and transpose matrices."""
    return gpt_to_hf_state_dict(state, NAMES)
