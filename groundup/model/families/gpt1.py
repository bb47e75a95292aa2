"""GPT-1's names: GPT-2's layout with norms after the sums, none at the end, and other words.

Its `gelu` is the approximation by tanh. Its feed-forwards are always four times as wide.
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
"""What `afn` means here."""


def read(values: dict[str, Any]) -> ModelConfig:
    """Our configuration of a config.json.

    Raises ArtifactError naming the key that is missing or that asks for what we do not compute.
    """
    inner = values.get("afn", "gelu")
    if inner not in ACTIVATIONS:
        raise ArtifactError(
            f"config.json has afn={inner!r}; an openai-gpt has {', '.join(ACTIVATIONS)}."
        )
    return read_gpt(values, "openai-gpt", ACTIVATIONS[inner])


def write(config: ModelConfig) -> dict[str, Any]:
    """The config.json of our configuration.

    Raises ConfigError naming what a GPT-1 cannot be.
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
    """Our names of their tensors, matrices turned and cut."""
    return gpt_ours(state, NAMES)


def theirs(state: State, config: ModelConfig) -> State:
    """Their names of our tensors, matrices joined and turned."""
    return gpt_theirs(state, NAMES)
