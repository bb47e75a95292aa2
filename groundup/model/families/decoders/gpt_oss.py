"""GPT-OSS: sinks in every attention, windows in every other layer, experts with clamped gates.

Published files hold the experts in MXFP4: blocks of 32 numbers of 4 bits with a power of two each.
They are read as numbers, and written as such.
Source: transformers 5.24, models/gpt_oss and integrations/mxfp4; OpenAI 2025, arXiv:2508.10925;
MXFP4: Open Compute Project 2023, OCP Microscaling Formats, version 1.0, section 5.
"""

import re
from typing import Any

import torch
from torch import Tensor

from groundup.core import ArtifactError

from ...config import ExpertsConfig, ModelConfig
from ..llama import NAMES as LLAMA_NAMES
from ..mixtral import MLP_NAMES, OURS, ExpertFiles, read_counts, require_experts, with_experts
from ..names import StateDict, get_float
from .outline import (
    BIAS,
    SILU,
    WINDOW_KEYS,
    Key,
    Outline,
    Values,
    decoder_family,
    read_layer_windows,
    rms_eps,
    write_layer_windows,
)

NAME = "gpt_oss"
NAMES = (
    ("model.layers.{}.self_attn.sinks", "layers.{}.attention.sinks"),
    ("model.layers.{}.mlp.router.", OURS + "router."),
    *MLP_NAMES[1:],
    *LLAMA_NAMES,
)
YARN: dict[str, Any] = {
    "rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": False,
    "original_max_position_embeddings": 4096,
}  # fmt: skip
"""Where config.json has no rotary parameters."""
FP4 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""The numbers of 3 bits; the fourth is the sign."""
BLOCK, SCALE_BIAS = 32, 127
BLOCKS = re.compile(r"(model\.layers\.\d+\.mlp\.experts\.\w+)_(blocks|scales)$")


def _read(values: Values) -> Values:
    experts = ExpertsConfig(
        **read_counts(values, NAME, 128, 4), bias=True,
        limit=get_float(values, "swiglu_limit", 7.0), gain=get_float(values, "swiglu_alpha", 1.702),
    )  # fmt: skip
    return {"feedforward.experts": experts, "attention.patterns": read_layer_windows(values, 2)}


def _write(config: ModelConfig) -> Values:
    experts = require_experts(config, NAME)
    return write_layer_windows(config) | {
        "num_local_experts": experts.count, "num_experts_per_tok": experts.chosen,
        "swiglu_limit": experts.limit, "swiglu_alpha": experts.gain,
    }  # fmt: skip


def unpack_mxfp4(blocks: Tensor, scales: Tensor, name: str) -> Tensor:
    """The numbers of packed matrices, (E, inputs, outputs) in bfloat16.

    blocks  (E, outputs, inputs / 32, 16) bytes of two numbers, the first in the lower bits
    scales  (E, outputs, inputs / 32) exponents of two, plus 127

    Raises ArtifactError for another block size or another type.
    >>> unpack_mxfp4(torch.full((1, 1, 1, 16), 0xA2).byte(), torch.tensor([[[128]]]).byte(), "x")[
    ...     0, :3, 0].tolist()
    [2.0, -2.0, 2.0]
    """
    size, kinds = 2 * blocks.shape[-1] if blocks.ndim else 0, {blocks.dtype, scales.dtype}
    if size != BLOCK or blocks.shape[:-1] != scales.shape or kinds != {torch.uint8}:
        has = f"blocks {tuple(blocks.shape)} with scales {tuple(scales.shape)}"
        raise ArtifactError(f"{name} has {has}, {size} numbers a scale; groundup reads MXFP4 of "
                            f"uint8, with a scale for every {BLOCK} numbers.")  # fmt: skip
    table = torch.tensor([*FP4, *(-each for each in FP4)], dtype=torch.bfloat16)
    numbers = table[torch.stack([blocks & 15, blocks >> 4], dim=-1).flatten(-2).int()]
    exponents = scales.int() - SCALE_BIAS
    return torch.ldexp(numbers, exponents[..., None]).flatten(-2).mT.contiguous()


def unpack_experts(state: StateDict) -> StateDict:
    """A state whose experts are numbers; ArtifactError for blocks without scales or the reverse."""
    packed: dict[str, dict[str, Tensor]] = {}
    result: StateDict = {}
    for name, tensor in state.items():
        if match := BLOCKS.match(name):
            packed.setdefault(match[1], {})[match[2]] = tensor
        else:
            result[name] = tensor
    for name, both in packed.items():
        if len(both) < 2:
            raise ArtifactError(f"{name} has {next(iter(both))} alone; MXFP4 needs blocks and "
                                "scales: copy the model again.")  # fmt: skip
        result[name] = unpack_mxfp4(both["blocks"], both["scales"], name)
    return result


_DENSE = with_experts(
    decoder_family(
        Outline(
            NAME, "GptOssForCausalLM",
            (SILU, rms_eps(1e-5), Key("attention_bias", "attention.bias", True, BIAS)),
            {"attention.sinks": True},
            {"num_key_value_heads": 8, "head_dim": 64, "sliding_window": 128},
            base=150_000.0, read_more=_read, write_more=_write,
            more_keys=WINDOW_KEYS | {"num_local_experts", "num_experts_per_tok", "swiglu_alpha",
                                     "swiglu_limit"},
            ignored=frozenset(("experts_per_token", "initial_context_length")),
            aliases={"num_experts": "num_local_experts"},
        )
    ),
    ExpertFiles(NAMES, is_stacked=True, transposed=True, interleaved=True),
)  # fmt: skip


def _from_hf_config(values: Values) -> ModelConfig:
    if not values.get("rope_parameters") and not values.get("rope_scaling"):
        values = values | {"rope_parameters": YARN}
    return _DENSE.from_hf_config(values)


GPT_OSS = _DENSE._replace(
    from_hf_config=_from_hf_config,
    from_hf_state_dict=lambda state, config: _DENSE.from_hf_state_dict(
        unpack_experts(state), config
    ),
)
