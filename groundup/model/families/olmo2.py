"""OLMo 2: LLaMA with norms after each sublayer, and of all queries and keys together.

Source: transformers 5.24, models/olmo2; OLMo Team 2024, arXiv:2501.00656.
"""

from typing import Any

from ..config import ModelConfig
from .keys import Keys, words
from .llama import PLAIN, SHARED, bias_of, decoder_of, values_of, without_frequencies
from .names import State, only, renamed, unsaid

FAMILY = "olmo2"
KEYS = Keys(SHARED | words("attention_bias"), PLAIN)
NAMES = (
    ("model.layers.{}.self_attn.", "layers.{}.attention."),
    ("model.layers.{}.mlp.", "layers.{}.feedforward."),
    ("model.layers.{}.post_attention_layernorm.", "layers.{}.attention_out_norm."),
    ("model.layers.{}.post_feedforward_layernorm.", "layers.{}.feedforward_out_norm."),
    ("model.embed_tokens.", "embed_tokens."),
    ("model.norm.", "norm."),
)


def read(values: dict[str, Any]) -> ModelConfig:
    """Convert a Hugging Face config.json to a ModelConfig.

    Raises ArtifactError naming the key that is missing or has an unsupported value.
    """
    only(values, {"hidden_act": ("silu",)})
    config = decoder_of(values, FAMILY, bias=bias_of(values), qk_norm="all", eps=1e-5)
    return config.model_copy(update={"norm": config.norm.model_copy(update={"place": "output"})})


def write(config: ModelConfig) -> dict[str, Any]:
    """Convert a ModelConfig to a Hugging Face config.json, for Transformers 4.47 and later.

    Raises ConfigError naming the field that OLMo 2 cannot express.
    """
    values = values_of(config, FAMILY, "Olmo2ForCausalLM") | {"hidden_act": "silu"}
    values["attention_bias"] = config.attention.bias == "all"
    unsaid(config, read(values), FAMILY)
    return values


def ours(state: State, config: ModelConfig) -> State:
    """Rename Hugging Face tensors to groundup's names."""
    return renamed(without_frequencies(state), NAMES)


def theirs(state: State, config: ModelConfig) -> State:
    """Rename groundup's tensors to Hugging Face names."""
    return renamed(state, NAMES, to_theirs=True)
