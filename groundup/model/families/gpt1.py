"""GPT-1: GPT-2's layout with post-norms, no final norm, and other keys.

Its `gelu` is the tanh approximation. Its feed-forward is always four times as wide as the model.
Source: transformers 5.24, models/openai; GPT-1: Radford et al. 2018.
"""

from typing import Any

from groundup.core import ArtifactError

from ..config import Activation, ModelConfig
from .gpt2 import ALIASES, IDLE, PARTS, SHARED, gpt_ours, gpt_theirs, read_gpt, write_gpt
from .keys import CAUSAL, Keys, words
from .names import State, unsaid

NAMES = (
    *PARTS,
    ("h.{}.ln_1.", "layers.{}.attention_out_norm."),
    ("h.{}.ln_2.", "layers.{}.feedforward_out_norm."),
    ("tokens_embed.", "embed_tokens."),
    ("positions_embed.", "embed_positions."),
)

KEYS = Keys(
    SHARED | words("afn"), CAUSAL, IDLE | words("n_special predict_special_tokens"), ALIASES
)

ACTIVATIONS: dict[str, Activation] = {
    "gelu": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
"""Values of `afn`."""


def read(values: dict[str, Any]) -> ModelConfig:
    """Convert a Hugging Face config.json to a ModelConfig.

    Raises ArtifactError naming the key that is missing or has an unsupported value.
    """
    inner = values.get("afn", "gelu")
    if inner not in ACTIVATIONS:
        raise ArtifactError(
            f"config.json has afn={inner!r}; openai-gpt supports {', '.join(ACTIVATIONS)}."
        )
    return read_gpt(values, "openai-gpt", ACTIVATIONS[inner])


def write(config: ModelConfig) -> dict[str, Any]:
    """Convert a ModelConfig to a Hugging Face config.json.

    Raises ConfigError naming the field that GPT-1 cannot express.
    """
    inner = config.feedforward.activation
    values = {
        "architectures": ["OpenAIGPTLMHeadModel"],
        "model_type": "openai-gpt",
        **write_gpt(config),
        "afn": "gelu" if inner == "gelu_tanh" else inner,
    }
    unsaid(config, read(values), "openai-gpt")
    return values


def ours(state: State, config: ModelConfig) -> State:
    """Rename Hugging Face tensors to groundup's names; transpose and split matrices."""
    return gpt_ours(state, NAMES)


def theirs(state: State, config: ModelConfig) -> State:
    """Rename groundup's tensors to Hugging Face names; fuse and transpose matrices."""
    return gpt_theirs(state, NAMES)
