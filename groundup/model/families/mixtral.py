"""Mixtral: Mistral with experts as feed-forwards.

Published files, and those that Transformers saves, hold three matrices for every expert: w1 is
gate_proj, w3 up_proj, w2 down_proj. In memory Transformers 5 stacks experts and fuses gate and up;
such files open too. groundup stacks the three separately.
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
    """Convert a Hugging Face config.json to a ModelConfig.

    Raises ArtifactError naming the key that is missing or has an unsupported value.
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
    """Convert a ModelConfig to a Hugging Face config.json.

    Raises ConfigError naming the field that Mixtral cannot express.
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
    """Rename Hugging Face tensors to groundup's names; stack experts: (E, F, D) and (E, D, F)."""
    others: State = {}
    experts: dict[str, dict[int, torch.Tensor]] = {}
    for name, tensor in without_frequencies(state).items():
        if match := EXPERT.match(name):
            target = f"layers.{match[1]}.experts.{PARTS[match[3]]}"
            experts.setdefault(target, {})[int(match[2])] = tensor
        elif match := STACKED.match(name):
            others |= apart(f"layers.{match[1]}.experts.", match[2], tensor)
        else:
            others[ROUTER.sub(r"\1.block_sparse_moe.gate.", name)] = tensor
    return renamed(others, NAMES) | {name: stacked(name, each) for name, each in experts.items()}


def apart(prefix: str, kind: str, tensor: torch.Tensor) -> State:
    """Split a stacked tensor of Transformers 5, which fuses gate and up."""
    if kind == "down_proj":
        return {f"{prefix}down_proj": tensor}
    gate, up = tensor.chunk(2, dim=1)
    return {f"{prefix}gate_proj": gate, f"{prefix}up_proj": up}


def stacked(name: str, experts: dict[int, torch.Tensor]) -> torch.Tensor:
    """Stack the experts' matrices; raises ArtifactError if one is missing or misshapen."""
    missing = sorted(set(range(max(experts) + 1)) - experts.keys())
    if missing or len({tensor.shape for tensor in experts.values()}) > 1:
        fault = f"lack expert {missing[0]}" if missing else "have different shapes"
        raise ArtifactError(f"The experts' matrices of {name} {fault}; copy the model again.")
    return torch.stack([experts[i] for i in range(len(experts))])


def theirs(state: State, config: ModelConfig) -> State:
    """Rename groundup's tensors to Hugging Face names, one matrix per expert, as published."""
    hf_names, result = {name: hf for hf, name in PARTS.items()}, {}
    for name, tensor in renamed(state, NAMES, to_theirs=True).items():
        module, _, part = name.rpartition(".")
        if not module.endswith(".experts") or part not in hf_names:
            result[name] = tensor
            continue
        prefix = f"model.layers.{module.split('.')[1]}.block_sparse_moe.experts"
        for i, expert in enumerate(tensor):
            result[f"{prefix}.{i}.{hf_names[part]}.weight"] = expert.contiguous()
    return result
