"""GPT-OSS: sinks in every attention, windows in every other layer, experts with clamped gates.

Published files hold the experts in MXFP4: blocks of 32 numbers of 4 bits with a power of two each.
They are read as numbers, and written as such.
Source: transformers 5.24, models/gpt_oss and integrations/mxfp4; OpenAI 2025, arXiv:2508.10925.
"""

import re
from typing import Any

from torch import Tensor

from groundup.core import ArtifactError, ShapeError
from groundup.kernels import unpack_mxfp4

from ..decoder_keys import NAMES as LLAMA_NAMES
from ..experts import MLP_NAMES, OURS, ExpertFiles
from ..names import StateDict
from .outline import (
    BIAS,
    SILU,
    WINDOW_KEYS,
    Key,
    Outline,
    Values,
    expert_counts,
    read_layer_windows,
    rms_eps,
    write_layer_windows,
)

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
BLOCKS = re.compile(r"(model\.layers\.\d+\.mlp\.experts\.\w+)_(blocks|scales)$")


def _prepare(values: Values) -> Values:
    has_rope = values.get("rope_parameters") is not None or values.get("rope_scaling")
    return values if has_rope else values | {"rope_parameters": YARN}


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
        try:
            result[name] = unpack_mxfp4(both["blocks"], both["scales"])
        except ShapeError as error:
            raise ArtifactError(f"{name}: {error}") from None
    return result


_NUMBERS = Outline(
    "gpt_oss", "GptOssForCausalLM",
    (
        SILU, rms_eps(1e-5), *expert_counts(128, 4),
        Key("attention_bias", "attention.bias", True, BIAS),
        Key("swiglu_limit", "feedforward.experts.limit", 7.0),
        Key("swiglu_alpha", "feedforward.experts.gain", 1.702),
    ),
    {"attention.sinks": True, "feedforward.experts.bias": True},
    {"num_key_value_heads": 8, "head_dim": 64, "sliding_window": 128},
    base=150_000.0, prepare=_prepare, more_keys=WINDOW_KEYS,
    read_more=lambda values: {"attention.patterns": read_layer_windows(values, 2)},
    write_more=lambda config: write_layer_windows(config, 128),
    ignored=frozenset(("experts_per_token", "initial_context_length")),
    aliases={"num_experts": "num_local_experts"},
    names=NAMES, experts=ExpertFiles(is_stacked=True, transposed=True, interleaved=True),
).family()  # fmt: skip
GPT_OSS = _NUMBERS._replace(
    from_hf_state_dict=lambda state, config: _NUMBERS.from_hf_state_dict(
        unpack_experts(state), config
    )
)
