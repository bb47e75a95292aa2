"""Convert rotary scaling between GGUF and config.json.

Linear and YaRN scaling are metadata. For Llama 3's the file has a tensor of divisors of the
frequencies, from which the scaling's parameters are recovered.
Source: ggml-org/llama.cpp, convert_hf_to_gguf.py and src/llama-context.cpp.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from groundup.core import ArtifactError, ConfigError

from ...config import RopeScaling
from ...positions.rotary import rope_frequencies

LOW, HIGH = 1.0, 4.0
"""Bounds of Llama 3's ramp, in turns over the original length, in all its models."""
LLAMA3_LENGTH = 8192
YARN_LOW, YARN_HIGH = 1.0, 32.0

Divisors = Float[np.ndarray, " half"]


def rope_scaling_from_metadata(
    fields: Mapping[str, Any], context_length: Any
) -> dict[str, Any] | None:
    """The rope_scaling of config.json from metadata; None: there is none.

    fields  the architecture's metadata, without the prefix of the keys
    """
    kind = fields.get("rope.scaling.type", "linear" if "rope.scale_linear" in fields else "none")
    if kind == "none":
        return None
    factor = fields.get("rope.scaling.factor", fields.get("rope.scale_linear"))
    values = {"rope_type": kind, "factor": factor}
    if kind == "yarn":
        values["original_max_position_embeddings"] = fields.get(
            "rope.scaling.original_context_length", context_length
        )
        values["beta_slow"] = fields.get("rope.scaling.yarn_beta_slow", YARN_LOW)
        values["beta_fast"] = fields.get("rope.scaling.yarn_beta_fast", YARN_HIGH)
        if (size := fields.get("rope.scaling.attn_factor", 1.0)) != 1.0:
            values["attention_factor"] = size * (0.1 * math.log(factor) + 1)
    return values


def rope_scaling_to_metadata(scaling: RopeScaling) -> dict[str, Any]:
    """The metadata of a scaling, without the architecture's prefix.

    Raises ConfigError for what metadata cannot express.
    """
    if scaling.kind in ("none", "llama3"):
        return {}
    fields = {"rope.scaling.type": scaling.kind, "rope.scaling.factor": float(scaling.factor)}
    if scaling.kind == "yarn":
        if scaling.attention is not None or not scaling.truncate:
            raise ConfigError(
                "RopeScaling.attention and truncate=false cannot be written as GGUF; llama.cpp "
                "computes YaRN with attention=None and truncate=true."
            )
        fields["rope.scaling.original_context_length"] = scaling.original_length
        fields["rope.scaling.yarn_beta_slow"] = float(scaling.low)
        fields["rope.scaling.yarn_beta_fast"] = float(scaling.high)
    return fields


def llama3_divisors(scaling: RopeScaling, head_dim: int, base: float) -> Divisors:
    """The divisor of each frequency under Llama 3's scaling."""
    return (rope_frequencies(head_dim, base) / rope_frequencies(head_dim, base, scaling)).numpy()


def rope_scaling_from_divisors(
    factors: Divisors, head_dim: int, base: float, context_length: int
) -> dict[str, Any] | None:
    """The rope_scaling of config.json that gives these divisors; None: they are all one.

    Raises ArtifactError if no Llama 3 scaling gives them.
    """
    if (factors == 1).all():
        return None
    factor = float(factors.max())
    shares = (factor, 1, 2, 4, 8, 16, 32) if 1 <= factor < math.inf else ()
    lengths = [max(1, round(context_length / share)) for share in shares]
    for length in [LLAMA3_LENGTH, *lengths] if shares else []:
        scaling = RopeScaling(
            kind="llama3", factor=factor, original_length=length, low=LOW, high=HIGH
        )
        expected = llama3_divisors(scaling, head_dim, base)
        if expected.shape == factors.shape and np.allclose(expected, factors, rtol=1e-4):
            return {
                "rope_type": "llama3", "factor": factor, "low_freq_factor": LOW,
                "high_freq_factor": HIGH, "original_max_position_embeddings": length,
            }  # fmt: skip
    raise ArtifactError(
        f"rope_freqs.weight divides frequencies by 1 to {factor:g}, which is no Llama 3 scaling; "
        "groundup supports Llama 3's scaling, linear and YaRN."
    )
