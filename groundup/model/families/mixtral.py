"""Mixtral and Qwen 3 MoE: Mistral and Qwen 3 with experts as feed-forwards.

Published files, and those that Transformers saves, hold three matrices for every expert: Mixtral's
w1 is gate_proj, w3 up_proj, w2 down_proj. In memory Transformers 5 stacks experts and fuses gate
and up; such files open too. groundup stacks the three separately.
Source: transformers 5.24, models/mixtral and qwen3_moe; Jiang et al. 2024, arXiv:2401.04088; Qwen
Team 2025, arXiv:2505.09388.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch

from groundup.core import ArtifactError, ConfigError

from ..config import ExpertsConfig, ModelConfig
from .decoders.outline import (
    ATTENTION_BIAS,
    SILU,
    Outline,
    Values,
    decoder_family,
    read_window,
    rms_eps,
)
from .keys import ROTARY_BUFFERS, ConfigKeys, Family, word_set
from .llama import NAMES as LLAMA_NAMES
from .llama import (
    SHARED_KEYS,
    UNUSED_FEATURES,
    decoder_from_hf_config,
    decoder_to_hf_config,
    parse_sliding_window,
    to_layer_types,
)
from .names import NamePairs, StateDict, drop_tensors, get_bool, get_int, rename_tensors

FAMILY = "mixtral"
KEYS = ConfigKeys(
    SHARED_KEYS | word_set("layer_types num_experts_per_tok num_local_experts sliding_window"),
    UNUSED_FEATURES,
    word_set("max_sequence_length"),
    {"num_experts": "num_local_experts"},
)
DEFAULTS: dict[str, Any] = {
    "num_key_value_heads": 8, "num_local_experts": 8, "num_experts_per_tok": 2,
}  # fmt: skip
NAMES = (
    ("model.layers.{}.block_sparse_moe.gate.", "layers.{}.experts.router."),
    ("model.layers.{}.mlp.gate.", "layers.{}.experts.router."),
    *LLAMA_NAMES,
)
EXPERT_NAMES = {"w1": "gate_proj", "w3": "up_proj", "w2": "down_proj"}
EXPERT = re.compile(r"model\.layers\.(\d+)\.(?:block_sparse_moe|mlp)\.experts\.(\d+)"
                    r"\.(w[123]|gate_proj|up_proj|down_proj)\.weight$")  # fmt: skip
STACKED = re.compile(r"model\.layers\.(\d+)\.mlp\.experts\.(gate_up_proj|down_proj)$")


def _from_hf_config(values: dict[str, Any]) -> ModelConfig:
    values = DEFAULTS | values
    patterns = parse_sliding_window(values, FAMILY)
    config = decoder_from_hf_config(values, FAMILY, patterns=patterns, eps=1e-5, base=1_000_000.0)
    experts = ExpertsConfig(
        count=get_int(values, "num_local_experts", FAMILY),
        chosen=get_int(values, "num_experts_per_tok", FAMILY),
    )
    feedforward = config.feedforward.model_copy(update={"experts": experts})
    return config.model_copy(update={"feedforward": feedforward})


def _to_hf_config(config: ModelConfig) -> dict[str, Any]:
    experts = config.feedforward.experts
    if experts is None:
        raise ConfigError(f"FeedForwardConfig.experts=None cannot be written as {FAMILY}.")
    values = decoder_to_hf_config(config, FAMILY, "MixtralForCausalLM")
    values |= {
        "hidden_act": "silu",
        "sliding_window": to_layer_types(config, FAMILY)[1],
        "num_local_experts": experts.count,
        "num_experts_per_tok": experts.chosen,
    }
    return values


def _from_hf_state_dict(state: StateDict, config: ModelConfig) -> StateDict:
    others: StateDict = {}
    experts: dict[str, dict[int, torch.Tensor]] = {}
    for name, tensor in drop_tensors(state, ROTARY_BUFFERS).items():
        if match := EXPERT.match(name):
            target = f"layers.{match[1]}.experts.{EXPERT_NAMES.get(match[3], match[3])}"
            experts.setdefault(target, {})[int(match[2])] = tensor
        elif match := STACKED.match(name):
            others |= _split_stacked(f"layers.{match[1]}.experts.", match[2], tensor)
        else:
            others[name] = tensor
    return rename_tensors(others, NAMES) | {
        name: _stack_experts(name, each) for name, each in experts.items()
    }


def _split_stacked(prefix: str, kind: str, tensor: torch.Tensor) -> StateDict:
    """Split a stacked tensor of Transformers 5, which fuses gate and up."""
    if kind == "down_proj":
        return {f"{prefix}down_proj": tensor}
    gate, up = tensor.chunk(2, dim=1)
    return {f"{prefix}gate_proj": gate, f"{prefix}up_proj": up}


def _stack_experts(name: str, experts: dict[int, torch.Tensor]) -> torch.Tensor:
    """Stack the experts' matrices; raises ArtifactError if one is missing or misshapen."""
    missing = sorted(set(range(max(experts) + 1)) - experts.keys())
    if missing or len({tensor.shape for tensor in experts.values()}) > 1:
        fault = f"lack expert {missing[0]}" if missing else "have different shapes"
        raise ArtifactError(f"The experts' matrices of {name} {fault}; copy the model again.")
    return torch.stack([experts[i] for i in range(len(experts))])


def _write_state_dict(state: StateDict, names: NamePairs, hf_names: Mapping[str, str]) -> StateDict:
    """Hugging Face's tensors; the first of `names` is that of a router.

    hf_names  of the matrices of an expert
    """
    result, place = {}, names[0][0].removesuffix("gate.") + "experts"
    for name, tensor in rename_tensors(state, names, to_hf=True).items():
        module, _, part = name.rpartition(".")
        if not module.endswith(".experts") or part not in hf_names:
            result[name] = tensor
            continue
        prefix = place.format(module.split(".")[1])
        for i, expert in enumerate(tensor):
            result[f"{prefix}.{i}.{hf_names[part]}.weight"] = expert.contiguous()
    return result


def _to_hf_state_dict(state: StateDict, config: ModelConfig) -> StateDict:
    return _write_state_dict(state, NAMES, {name: hf for hf, name in EXPERT_NAMES.items()})


def _read_qwen3_moe(values: Values) -> Values:
    """Experts and windows; dense layers must be as wide as experts, as ours are."""
    family, step = "qwen3_moe", get_int(values, "decoder_sparse_step", "qwen3_moe", 1)
    width = get_int(values, "moe_intermediate_size", family, 768)
    if step > 1 and width != values["intermediate_size"]:
        what = f"moe_intermediate_size={width} and intermediate_size={values['intermediate_size']}"
        raise ArtifactError(f"config.json has {what} with decoder_sparse_step={step}; groundup "
                            "supports dense layers as wide as experts.")  # fmt: skip
    experts = ExpertsConfig(
        count=get_int(values, "num_local_experts", family, 128),
        chosen=get_int(values, "num_experts_per_tok", family, 8),
        every=step, normalised=get_bool(values, "norm_topk_prob", False),
    )  # fmt: skip
    has_window = get_bool(values, "use_sliding_window", False)
    windows = values if has_window else values | {"sliding_window": None}
    return read_window(windows) | {"feedforward.width": width, "feedforward.experts": experts}


def _write_qwen3_moe(config: ModelConfig) -> Values:
    experts, window = config.feedforward.experts, to_layer_types(config, "qwen3_moe")[1]
    if experts is None:
        raise ConfigError("FeedForwardConfig.experts=None cannot be written as qwen3_moe.")
    return {
        "moe_intermediate_size": config.feedforward.width, "num_experts": experts.count,
        "num_local_experts": experts.count,
        "num_experts_per_tok": experts.chosen, "norm_topk_prob": experts.normalised,
        "decoder_sparse_step": experts.every, "mlp_only_layers": [],
        "use_sliding_window": window is not None, "sliding_window": window,
    }  # fmt: skip


QWEN3_MOE = decoder_family(
    Outline(
        "qwen3_moe", "Qwen3MoeForCausalLM", (SILU, rms_eps(), ATTENTION_BIAS),
        {"attention.qk_norm": "head"}, {"num_key_value_heads": 4, "sliding_window": 4096},
        names=NAMES[1:], read_more=_read_qwen3_moe, write_more=_write_qwen3_moe,
        more_keys=word_set("""
            decoder_sparse_step layer_types max_window_layers moe_intermediate_size norm_topk_prob
            num_experts_per_tok num_local_experts sliding_window use_sliding_window
            """),
        fixed={"mlp_only_layers": ([], None)}, aliases={"num_experts": "num_local_experts"},
    )
)._replace(
    from_hf_state_dict=_from_hf_state_dict, supports_packed=False,
    to_hf_state_dict=lambda state, config: _write_state_dict(
        state, NAMES[1:], {name: name for name in EXPERT_NAMES.values()}),
)  # fmt: skip
MIXTRAL = Family(
    FAMILY, KEYS, _from_hf_config, _to_hf_config, _from_hf_state_dict, _to_hf_state_dict,
    supports_packed=False,
)  # fmt: skip
