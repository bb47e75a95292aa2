"""Stretched rotary positions in GGUF, to the words of config.json and back.

Linear and YaRN scalings are metadata. Llama 3's is none: the file has a tensor of what each
frequency is divided by, and which scaling gave it has to be found.
Source: ggml-org/llama.cpp, convert_hf_to_gguf.py and src/llama-context.cpp.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from groundup.core import ArtifactError, ConfigError

from ...config import RopeScaling
from ...positions.rotary import frequencies

LOW, HIGH = 1.0, 4.0
"""Turns over the original length between which Llama 3's ramp lies, in all models of its kind."""
LLAMA3_LENGTH = 8192
YARN_LOW, YARN_HIGH = 1.0, 32.0

Factors = Float[np.ndarray, " half"]


def scaling_values(told: Mapping[str, Any], context_length: Any) -> dict[str, Any] | None:
    """What config.json says of a scaling that metadata describes; None: there is none.

    told  the architecture's metadata, without its name before the keys
    """
    kind = told.get("rope.scaling.type", "linear" if "rope.scale_linear" in told else "none")
    if kind == "none":
        return None
    factor = told.get("rope.scaling.factor", told.get("rope.scale_linear"))
    values = {"rope_type": kind, "factor": factor}
    if kind == "yarn":
        values["original_max_position_embeddings"] = told.get(
            "rope.scaling.original_context_length", context_length
        )
        values["beta_slow"] = told.get("rope.scaling.yarn_beta_slow", YARN_LOW)
        values["beta_fast"] = told.get("rope.scaling.yarn_beta_fast", YARN_HIGH)
        if (size := told.get("rope.scaling.attn_factor", 1.0)) != 1.0:
            values["attention_factor"] = size * (0.1 * math.log(factor) + 1)
    return values


def scaling_metadata(scaling: RopeScaling) -> dict[str, Any]:
    """The metadata of a scaling, without the architecture's name before the keys.

    Raises ConfigError for what metadata cannot say.
    """
    if scaling.kind in ("none", "llama3"):
        return {}
    told = {"rope.scaling.type": scaling.kind, "rope.scaling.factor": float(scaling.factor)}
    if scaling.kind == "yarn":
        if scaling.attention is not None or not scaling.truncate:
            raise ConfigError(
                "RopeScaling.attention and truncate=false cannot be written as GGUF; llama.cpp "
                "computes YaRN with attention=None and truncate=true."
            )
        told["rope.scaling.original_context_length"] = scaling.original_length
        told["rope.scaling.yarn_beta_slow"] = float(scaling.low)
        told["rope.scaling.yarn_beta_fast"] = float(scaling.high)
    return told


def factors_of(scaling: RopeScaling, head_dim: int, base: float) -> Factors:
    """What Llama 3's scaling divides each frequency by."""
    plain = frequencies(head_dim, base)
    return (plain / frequencies(head_dim, base, scaling)).numpy()


def llama3_values(
    factors: Factors, head_dim: int, base: float, context_length: int
) -> dict[str, Any] | None:
    """What config.json says of the scaling that gives these factors; None: they are all one.

    Raises ArtifactError if none of Llama 3's kind gives them.
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
        wanted = factors_of(scaling, head_dim, base)
        if wanted.shape == factors.shape and np.allclose(wanted, factors, rtol=1e-4):
            return {
                "rope_type": "llama3", "factor": factor, "low_freq_factor": LOW,
                "high_freq_factor": HIGH, "original_max_position_embeddings": length,
            }  # fmt: skip
    raise ArtifactError(
        f"rope_freqs.weight divides frequencies by 1 to {factor:g} in a way that no Llama 3 does; "
        "groundup computes Llama 3's scaling, linear and YaRN."
    )
