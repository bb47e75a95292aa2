"""Mixtral's names: a Mistral whose feed-forwards are experts.

Published files, and those that Transformers saves, hold three matrices for every expert: w1 is the
gate, w3 the way up, w2 the way down. In memory Transformers 5 stacks experts and joins gate and up;
such files open too. We stack all three, apart.
Source: transformers 5.24, models/mixtral; Jiang et al. 2024, arXiv:2401.04088.
"""

import re
from typing import Any

import torch

from groundup.core import ArtifactError, ConfigError

from ..config import ExpertsConfig, ModelConfig
from . import llama
from .keys import Keys, words
from .llama import PLAIN, SHARED, decoder_of, layer_types, values_of, without_frequencies
from .mistral import window_of
from .names import State, counted, only, renamed, unsaid

FAMILY = "mixtral"
KEYS = Keys(
    SHARED | words("layer_types num_experts_per_tok num_local_experts sliding_window"), PLAIN,
    words("max_sequence_length"), {"num_experts": "num_local_experts"},
)  # fmt: skip
DEFAULTS: dict[str, Any] = {
    "num_key_value_heads": 8, "num_local_experts": 8, "num_experts_per_tok": 2,
}  # fmt: skip
NAMES = (
    ("model.layers.{}.block_sparse_moe.gate.", "layers.{}.experts.router."),
    *llama.NAMES,
)
PARTS = {"w1": "gate_proj", "w3": "up_proj", "w2": "down_proj"}
EXPERT = re.compile(
    r"model\.layers\.(\d+)\.(?:block_sparse_moe|mlp)\.experts\.(\d+)\.(w[123])\.weight$"
)
STACKED = re.compile(r"model\.layers\.(\d+)\.mlp\.experts\.(gate_up_proj|down_proj)$")
ROUTER = re.compile(r"(model\.layers\.\d+)\.mlp\.gate\.")


def read(values: dict[str, Any]) -> ModelConfig:
    """Our configuration of a config.json.

    Raises ArtifactError naming the key that is missing or that asks for what we do not compute.
    """
    values = DEFAULTS | values
    only(values, {"hidden_act": ("silu",)})
    patterns = window_of(values, FAMILY)
    config = decoder_of(values, FAMILY, patterns=patterns, eps=1e-5, base=1_000_000.0)
    experts = ExpertsConfig(
        count=counted(values, "num_local_experts", FAMILY),
        chosen=counted(values, "num_experts_per_tok", FAMILY),
    )
    feedforward = config.feedforward.model_copy(update={"experts": experts})
    return config.model_copy(update={"feedforward": feedforward})


def write(config: ModelConfig) -> dict[str, Any]:
    """The config.json of our configuration.

    Raises ConfigError naming what a Mixtral cannot be.
    """
    experts = config.feedforward.experts
    if experts is None:
        raise ConfigError(f"FeedForwardConfig.experts=None cannot be written as {FAMILY}.")
    values = values_of(config, FAMILY, "MixtralForCausalLM")
    values |= {
        "hidden_act": "silu",
        "sliding_window": layer_types(config, FAMILY)[1],
        "num_local_experts": experts.count,
        "num_experts_per_tok": experts.chosen,
    }
    unsaid(config, read(values), FAMILY)
    return values


def ours(state: State, config: ModelConfig) -> State:
    """Our names of their tensors, experts stacked: (E, F, D) and (E, D, F)."""
    plain: State = {}
    experts: dict[str, dict[int, torch.Tensor]] = {}
    for name, tensor in without_frequencies(state).items():
        if found := EXPERT.match(name):
            place = f"layers.{found[1]}.experts.{PARTS[found[3]]}"
            experts.setdefault(place, {})[int(found[2])] = tensor
        elif found := STACKED.match(name):
            plain |= apart(f"layers.{found[1]}.experts.", found[2], tensor)
        else:
            plain[ROUTER.sub(r"\1.block_sparse_moe.gate.", name)] = tensor
    return renamed(plain, NAMES) | {name: stacked(name, them) for name, them in experts.items()}


def apart(place: str, kind: str, tensor: torch.Tensor) -> State:
    """A stacked tensor of Transformers 5; gate and up are halves of one."""
    if kind == "down_proj":
        return {f"{place}down_proj": tensor}
    gate, up = tensor.chunk(2, dim=1)
    return {f"{place}gate_proj": gate, f"{place}up_proj": up}


def stacked(name: str, experts: dict[int, torch.Tensor]) -> torch.Tensor:
    """One tensor of all experts' matrices.

    Raises ArtifactError if one is missing or of another shape.
    """
    missing = sorted(set(range(max(experts) + 1)) - experts.keys())
    if missing or len({tensor.shape for tensor in experts.values()}) > 1:
        told = f"lack expert {missing[0]}" if missing else "are of several shapes"
        raise ArtifactError(f"The experts' matrices of {name} {told}; copy the model again.")
    return torch.stack([experts[i] for i in range(len(experts))])


def theirs(state: State, config: ModelConfig) -> State:
    """Their names of our tensors, one matrix an expert as published files have them."""
    words, found = {ours: theirs for theirs, ours in PARTS.items()}, {}
    for name, tensor in renamed(state, NAMES, to_theirs=True).items():
        place, _, part = name.rpartition(".")
        if not place.endswith(".experts") or part not in words:
            found[name] = tensor
            continue
        layer = place.split(".")[1]
        begin = f"model.layers.{layer}.block_sparse_moe.experts"
        for i, each in enumerate(tensor):
            found[f"{begin}.{i}.{words[part]}.weight"] = each.contiguous()
    return found
