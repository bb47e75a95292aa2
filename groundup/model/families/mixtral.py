"""Mixtral, Qwen 3 MoE, and the tensors of every family whose feed-forwards are experts.

Files hold three matrices for every expert (Mixtral's w1 is gate_proj, w3 up_proj, w2 down_proj), or
stack the experts and fuse gate and up, as Transformers 5 does in memory; there some transpose the
matrices and interleave gate and up. groundup stacks the three separately.
Source: transformers 5.24, models/mixtral and qwen3_moe; Jiang et al. 2024, arXiv:2401.04088; Qwen
Team 2025, arXiv:2505.09388.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

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
    write_window,
)
from .keys import ROTARY_BUFFERS, Family, word_set
from .llama import NAMES as LLAMA_NAMES
from .llama import to_layer_types
from .names import NamePairs, StateDict, drop_tensors, get_bool, get_int, rename_tensors

OURS = "layers.{}.experts."
MLP_NAMES = (
    ("model.layers.{}.mlp.gate.", OURS + "router."),
    ("model.layers.{}.mlp.experts.", OURS),
)
NAMES = (
    ("model.layers.{}.block_sparse_moe.gate.", OURS + "router."),
    ("model.layers.{}.block_sparse_moe.experts.", OURS),
    *MLP_NAMES,
    *LLAMA_NAMES,
)
PARTS = ("gate_proj", "up_proj", "down_proj")
ONE_EXPERT = re.compile(r"(layers\.\d+\.experts\.)(\d+)\.(\w+)\.weight$")
STACKED = re.compile(r"(layers\.\d+\.experts\.)(gate_up_proj|down_proj)(_bias)?$")


class ExpertFiles(NamedTuple):
    """How the files of a family hold experts."""

    names: NamePairs
    parts: Mapping[str, str] = dict(zip(PARTS, PARTS, strict=True))
    """Names of an expert's matrices there."""
    is_stacked: bool = False
    """Whether they are stacked, gate and up in one."""
    transposed: bool = False
    """Whether stacked matrices are (inputs, outputs)."""
    interleaved: bool = False
    """Whether gate and up alternate in fused ones."""


def with_experts(family: Family, files: ExpertFiles) -> Family:
    """A family whose tensors are read and written with these experts."""
    return family._replace(
        from_hf_state_dict=lambda state, config: read_experts(state, config, files),
        to_hf_state_dict=lambda state, config: write_experts(state, files),
        supports_packed=False,
    )


def read_experts(state: StateDict, config: ModelConfig, files: ExpertFiles) -> StateDict:
    """Rename Hugging Face's tensors, and stack or split the experts'.

    Raises ArtifactError naming an expert that is missing or misshapen.
    """
    others: StateDict = {}
    experts: dict[str, dict[int, Tensor]] = {}
    parts = {theirs: part for part, theirs in files.parts.items()}
    for name, tensor in rename_tensors(drop_tensors(state, ROTARY_BUFFERS), files.names).items():
        if (match := ONE_EXPERT.match(name)) and match[3] in parts:
            experts.setdefault(match[1] + parts[match[3]], {})[int(match[2])] = tensor
        elif (match := STACKED.match(name)) and tensor.ndim >= 2:
            others |= _split_stacked(match[1], match[2], match[3] is not None, tensor, files)
        else:
            others[name] = tensor
    part = config.feedforward.experts
    count = 0 if part is None else part.count
    return others | {name: _stack_experts(name, each, count) for name, each in experts.items()}


def _split_stacked(
    prefix: str, kind: str, is_bias: bool, tensor: Tensor, files: ExpertFiles
) -> StateDict:
    """Split a stacked tensor that fuses gate and up; transpose it if the files do."""
    tensor = tensor.mT.contiguous() if files.transposed and not is_bias else tensor
    ending = "bias" if is_bias else "proj"
    if kind == "down_proj":
        return {f"{prefix}down_{ending}": tensor}
    halves = (tensor[:, ::2], tensor[:, 1::2]) if files.interleaved else tensor.chunk(2, dim=1)
    names = (f"{prefix}{each}_{ending}" for each in ("gate", "up"))
    return {name: half.contiguous() for name, half in zip(names, halves, strict=True)}


def _stack_experts(name: str, experts: dict[int, Tensor], count: int) -> Tensor:
    """Stack the experts' matrices; raises ArtifactError if one is missing or misshapen."""
    missing = sorted(set(range(max(count, max(experts) + 1))) - experts.keys())
    if missing or len({tensor.shape for tensor in experts.values()}) > 1:
        fault = f"lack expert {missing[0]}" if missing else "have different shapes"
        raise ArtifactError(f"The experts' matrices of {name} {fault}; copy the model again.")
    return torch.stack([experts[i] for i in range(len(experts))])


def write_experts(state: StateDict, files: ExpertFiles) -> StateDict:
    """Hugging Face's tensors; the inverse of `read_experts`."""
    result: StateDict = {}
    for name, tensor in state.items():
        prefix, _, part = name.rpartition(".")
        if not prefix.endswith(".experts") or part == "correction":
            result[name] = tensor
        elif files.is_stacked:
            result |= _fuse_stacked(prefix, part, state, files)
        else:
            for i, expert in enumerate(tensor):
                result[f"{prefix}.{i}.{files.parts[part]}.weight"] = expert.contiguous()
    return rename_tensors(result, files.names, to_hf=True)


def _fuse_stacked(prefix: str, part: str, state: StateDict, files: ExpertFiles) -> StateDict:
    kind, ending = part.split("_")
    name, tensor = f"{prefix}.{part}", state[f"{prefix}.{part}"]
    if kind != "down":
        gate, up = (state[f"{prefix}.{each}_{ending}"] for each in ("gate", "up"))
        name, tensor = f"{prefix}.gate_up_proj", torch.cat([gate, up], dim=1)
        if files.interleaved:
            tensor = torch.stack([gate, up], dim=2).flatten(1, 2)
    name = name.removesuffix("_bias").removesuffix("_proj") + "_proj"
    tensor = tensor.mT if files.transposed and ending == "proj" else tensor
    return {name + ("_bias" if ending == "bias" else ""): tensor.contiguous()}


def read_counts(values: Values, family: str, count: int, chosen: int) -> dict[str, int]:
    """Numbers of experts and of those that serve a token, with their defaults."""
    return {
        "count": get_int(values, "num_local_experts", family, count),
        "chosen": get_int(values, "num_experts_per_tok", family, chosen),
    }


def require_experts(config: ModelConfig, family: str) -> ExpertsConfig:
    """A configuration's experts; ConfigError if it is dense."""
    if config.feedforward.experts is None:
        raise ConfigError(f"FeedForwardConfig.experts=None cannot be written as {family}.")
    return config.feedforward.experts


def _read_mixtral(values: Values) -> Values:
    experts = ExpertsConfig(**read_counts(values, "mixtral", 8, 2))
    return read_window(values) | {"feedforward.experts": experts}


def _write_mixtral(config: ModelConfig) -> Values:
    experts = require_experts(config, "mixtral")
    counts = {"num_local_experts": experts.count, "num_experts_per_tok": experts.chosen}
    return write_window(config) | counts


def _read_qwen3_moe(values: Values) -> Values:
    """Experts and windows; dense layers must be as wide as experts, as ours are."""
    family, step = "qwen3_moe", get_int(values, "decoder_sparse_step", "qwen3_moe", 1)
    width = get_int(values, "moe_intermediate_size", family, 768)
    if step > 1 and width != values["intermediate_size"]:
        what = f"moe_intermediate_size={width} and intermediate_size={values['intermediate_size']}"
        raise ArtifactError(f"config.json has {what} with decoder_sparse_step={step}; groundup "
                            "supports dense layers as wide as experts.")  # fmt: skip
    experts = ExpertsConfig(
        **read_counts(values, family, 128, 8), every=step,
        normalised=get_bool(values, "norm_topk_prob", False),
    )  # fmt: skip
    has_window = get_bool(values, "use_sliding_window", False)
    windows = values if has_window else values | {"sliding_window": None}
    return read_window(windows) | {"feedforward.width": width, "feedforward.experts": experts}


def _write_qwen3_moe(config: ModelConfig) -> Values:
    experts, window = require_experts(config, "qwen3_moe"), to_layer_types(config, "qwen3_moe")[1]
    return {
        "moe_intermediate_size": config.feedforward.width, "num_experts": experts.count,
        "num_local_experts": experts.count,
        "num_experts_per_tok": experts.chosen, "norm_topk_prob": experts.normalised,
        "decoder_sparse_step": experts.every, "mlp_only_layers": [],
        "use_sliding_window": window is not None, "sliding_window": window,
    }  # fmt: skip


QWEN3_MOE = with_experts(
    decoder_family(
        Outline(
            "qwen3_moe", "Qwen3MoeForCausalLM", (SILU, rms_eps(), ATTENTION_BIAS),
            {"attention.qk_norm": "head"}, {"num_key_value_heads": 4, "sliding_window": 4096},
            read_more=_read_qwen3_moe, write_more=_write_qwen3_moe,
            more_keys=word_set("""
                decoder_sparse_step layer_types max_window_layers moe_intermediate_size
                norm_topk_prob num_experts_per_tok num_local_experts sliding_window
                use_sliding_window
                """),
            fixed={"mlp_only_layers": ([], None)}, aliases={"num_experts": "num_local_experts"},
        )
    ),
    ExpertFiles(NAMES[2:]),
)  # fmt: skip
MIXTRAL = with_experts(
    decoder_family(
        Outline(
            "mixtral", "MixtralForCausalLM", (SILU, rms_eps(1e-5)),
            defaults={"num_key_value_heads": 8}, base=1_000_000.0,
            read_more=_read_mixtral, write_more=_write_mixtral,
            more_keys=word_set("""
                layer_types num_experts_per_tok num_local_experts sliding_window
                """),
            ignored=word_set("max_sequence_length"), aliases={"num_experts": "num_local_experts"},
        )
    ),
    ExpertFiles(NAMES, dict(zip(PARTS, ("w1", "w3", "w2"), strict=True))),
)  # fmt: skip
