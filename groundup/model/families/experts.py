"""The tensors of families whose feed-forwards are experts.

Files hold three matrices for every expert (Mixtral's w1 is gate_proj, w3 up_proj, w2 down_proj), or
stack the experts and fuse gate and up, as Transformers 5 does in memory; there some transpose the
matrices and interleave gate and up. groundup stacks the three separately.
Source: transformers 5.24, models/mixtral, qwen3_moe, gpt_oss and deepseek_v3.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from groundup.core import ArtifactError

from ..configuration.config import ModelConfig
from .decoder_keys import NAMES as LLAMA_NAMES
from .names import StateDict

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

    parts: Mapping[str, str] = dict(zip(PARTS, PARTS, strict=True))
    """Names of an expert's matrices there."""
    is_stacked: bool = False
    """Whether they are stacked, gate and up in one."""
    transposed: bool = False
    """Whether stacked matrices are (inputs, outputs)."""
    interleaved: bool = False
    """Whether gate and up alternate in fused ones."""


def read_experts(state: StateDict, config: ModelConfig, files: ExpertFiles) -> StateDict:
    """Stack or split the experts of renamed tensors.

    Raises ArtifactError naming an expert that is missing or misshapen.
    """
    others: StateDict = {}
    experts: dict[str, dict[int, Tensor]] = {}
    parts = {theirs: part for part, theirs in files.parts.items()}
    for name, tensor in state.items():
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
    """The inverse of `read_experts`."""
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
    return result


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
