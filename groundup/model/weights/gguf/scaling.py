"""Scaled rotary positions in metadata and tensors of llama.cpp's.

Linear and YaRN scaling are metadata. For Llama 3's the file has a tensor of divisors of the
frequencies, from which the scaling's parameters are recovered; LongRoPE's factors are two tensors.
Source: ggml-org/llama.cpp, convert_hf_to_gguf.py, src/llama-model.cpp and src/llama-context.cpp.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from groundup.core import ArtifactError, ConfigError

from ...configuration.config import ModelConfig
from ...configuration.positions import RopeScaling
from ...positions import attention_factor, rope_frequencies

LOW, HIGH = 1.0, 4.0
"""Bounds of Llama 3's ramp, in turns over the original length, in all its models."""
LLAMA3_LENGTH = 8192
YARN_LOW, YARN_HIGH = 1.0, 32.0
FREQUENCIES, SHORT, LONG = (
    "rope_freqs.weight", "rope_factors_short.weight", "rope_factors_long.weight",
)  # fmt: skip
"""Divisors of the rotary frequencies; in groundup they are part of the configuration."""
Divisors = Float[np.ndarray, " half"]
Factors = Mapping[str, Divisors]
"""By these names."""
KEYS = frozenset("""
    rope.scale_linear rope.scaling.type rope.scaling.factor rope.scaling.original_context_length
    rope.scaling.attn_factor rope.scaling.yarn_beta_slow rope.scaling.yarn_beta_fast
    """.split())  # fmt: skip
"""Metadata keys that are read."""
LOG = "rope.scaling.yarn_log_multiplier"
"""A tenth of the factor by which YaRN scales the scores of latent attention."""


def read_scaling(
    fields: Mapping[str, Any], factors: Factors, width: int, *, truncate: bool = True
) -> dict[str, Any] | None:
    """The rope_scaling of config.json from the architecture's metadata; None: there is none.

    factors   the file's tensors of divisors
    width     number of rotated features
    truncate  whether the bounds of YaRN's ramp are rounded, which metadata do not say
    """
    base, length = fields.get("rope.freq_base", 10_000.0), fields["context_length"]
    if FREQUENCIES in factors:
        return scaling_from_divisors(factors[FREQUENCIES], width, base, length)
    if SHORT in factors or LONG in factors:
        return _read_longrope(fields, factors)
    kind = fields.get("rope.scaling.type", "linear" if "rope.scale_linear" in fields else "none")
    if kind == "none":
        return None
    factor = fields.get("rope.scaling.factor", fields.get("rope.scale_linear"))
    values = {"rope_type": kind, "factor": factor}
    if kind == "yarn":
        length = fields.get("rope.scaling.original_context_length", length)
        values["original_max_position_embeddings"] = length
        values["beta_slow"] = fields.get("rope.scaling.yarn_beta_slow", YARN_LOW)
        values["beta_fast"] = fields.get("rope.scaling.yarn_beta_fast", YARN_HIGH)
        values |= {} if truncate else {"truncate": False}
        if log := fields.get(LOG):
            values |= {"mscale": round(10 * log, 6), "mscale_all_dim": round(10 * log, 6)}
        if (size := fields.get("rope.scaling.attn_factor", 1.0)) != 1.0:
            values["attention_factor"] = _shorten(size * (0.1 * math.log(factor) + 1))
    return values


def _shorten(number: float) -> float:
    """The shortest decimal of a number as float32."""
    return float(str(np.float32(number)))


def in_float32(scaling: RopeScaling) -> RopeScaling:
    """A scaling whose factors are those that a file gives back."""
    factors = {name: tuple(map(_shorten, getattr(scaling, name))) for name in ("short", "long")}
    return scaling.model_copy(update=factors)


def _read_longrope(fields: Mapping[str, Any], factors: Factors) -> dict[str, Any]:
    """LongRoPE's scaling, whose attention factor is kept if it is not the usual one."""
    short, long = (
        tuple(_shorten(float(each)) for each in factors.get(name, ())) for name in (SHORT, LONG)
    )
    length = fields.get("rope.scaling.original_context_length", fields["context_length"])
    factor = max(1.0, fields["context_length"] / length)
    scaling = RopeScaling(
        kind="longrope", factor=factor, original_length=length, short=short, long=long
    )
    size = fields.get("rope.scaling.attn_factor", 1.0)
    values = {
        "rope_type": "longrope", "original_max_position_embeddings": length,
        "short_factor": list(short), "long_factor": list(long), "factor": factor,
    }  # fmt: skip
    is_usual = math.isclose(size, attention_factor(scaling), rel_tol=1e-6)
    return values if is_usual else values | {"attention_factor": size}


def write_scaling(config: ModelConfig) -> tuple[dict[str, Any], dict[str, Divisors]]:
    """The metadata of a scaling, without the architecture's prefix, and the tensors of divisors."""
    scaling, width, base = config.position.scaling, config.rotary_dim, config.position.base
    if scaling.kind == "none":
        return {}, {}
    if scaling.kind == "llama3":
        return {}, {FREQUENCIES: llama3_divisors(scaling, width, base)}
    original = {"rope.scaling.original_context_length": scaling.original_length}
    size = attention_factor(scaling)
    if scaling.kind == "longrope":
        names = ((SHORT, scaling.short), (LONG, scaling.long))
        tensors = {name: np.array(each, np.float32) for name, each in names}
        kind = {"rope.scaling.type": "longrope", "rope.scaling.attn_factor": size}
        return original | kind, tensors
    fields = {"rope.scaling.type": scaling.kind, "rope.scaling.factor": float(scaling.factor)}
    if scaling.kind == "yarn":
        fields |= original
        fields["rope.scaling.yarn_beta_slow"] = float(scaling.low)
        fields["rope.scaling.yarn_beta_fast"] = float(scaling.high)
        latent = config.attention.latent
        if scaling.attention is not None and not (latent and latent.mscale):
            usual = 0.1 * math.log(scaling.factor) + 1
            fields["rope.scaling.attn_factor"] = scaling.attention / usual
    elif scaling.kind != "linear":
        what = f"its positions are scaled by {scaling.kind}"
        raise ConfigError(f"{what}; llama.cpp has linear, YaRN, Llama 3's and LongRoPE")
    return fields, {}


def llama3_divisors(scaling: RopeScaling, width: int, base: float) -> Divisors:
    """What Llama 3's scaling divides the frequencies of so many rotated features by."""
    return (rope_frequencies(width, base) / rope_frequencies(width, base, scaling)).numpy()


def scaling_from_divisors(
    factors: Divisors, width: int, base: float, context_length: int
) -> dict[str, Any] | None:
    """The rope_scaling of config.json that gives these divisors; None: they are all one.

    Raises ArtifactError if no scaling of Llama 3 or 4 does, whose ramps differ.
    """
    if (factors == 1).all():
        return None
    factor = float(factors.max())
    shares = (factor, 1, 2, 4, 8, 16, 32) if 1 <= factor < math.inf else ()
    lengths = [LLAMA3_LENGTH] + [max(1, round(context_length / share)) for share in shares]
    for length, high in [(each, high) for high in (HIGH, LOW) for each in lengths if shares]:
        scaling = RopeScaling(
            kind="llama3", factor=factor, original_length=length, low=LOW, high=high
        )
        expected = llama3_divisors(scaling, width, base)
        if expected.shape == factors.shape and np.allclose(expected, factors, rtol=1e-4):
            return {
                "rope_type": "llama3", "factor": factor, "low_freq_factor": LOW,
                "high_freq_factor": high, "original_max_position_embeddings": length,
            }  # fmt: skip
    what = f"{FREQUENCIES} divides frequencies by 1 to {factor:g}, which is no Llama 3 scaling"
    raise ArtifactError(f"{what}; groundup supports Llama 3's scaling, linear, YaRN and LongRoPE.")
