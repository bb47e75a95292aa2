"""Rotary positions: rotate each pair of features by an angle proportional to the position.

After rotation the dot product of a query at t and a key at s depends only on t - s. Beyond the
trained context length angles appear that the model has not seen; scaling maps them back: all by one
factor (linear), slow pairs more than fast ones (NTK, by a larger base), or by the number of turns
within the original length (YaRN, Llama 3). Knows nothing of heads, caches or models; see
attention.py for use.
Source: Su et al. 2021, arXiv:2104.09864, with LLaMA's half-split layout; linear: Chen et al. 2023,
arXiv:2306.15595; YaRN and NTK: Peng et al. 2023, arXiv:2309.00071; Llama 3: arXiv:2407.21783.
"""

import functools
import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundup.core import ConfigError

from ..config import RopeScaling


class Rotation(NamedTuple):
    """Cosines and sines of every position's angles: computed once per pass, used by all layers."""

    cos: Float[Tensor, "B 1 T half"]
    sin: Float[Tensor, "B 1 T half"]


def rope_frequencies(
    head_dim: int,
    base: float = 10_000.0,
    scaling: RopeScaling | None = None,
    context_length: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, " half"]:
    """Radians per token of each feature pair: base^(-2i / head_dim), then scaled.

    context_length  tokens; determines the scaling's original length if that is 0

    Raises ConfigError if head_dim is odd.
    """
    if head_dim % 2:
        raise ConfigError(
            f"head_dim={head_dim} must be even for rotary positions; try {head_dim + 1}."
        )
    pairs = torch.arange(0, head_dim, 2, dtype=dtype) / head_dim
    if scaling is None or scaling.kind == "none":
        return base**-pairs
    if scaling.kind == "ntk":  # a base that slows the slowest pair down by the factor
        return (base * scaling.factor ** (head_dim / (head_dim - 2))) ** -pairs
    unscaled = base**-pairs
    slow = unscaled / scaling.factor
    if scaling.kind == "linear":
        return slow
    original = scaling.original_length or context_length / scaling.factor
    if scaling.kind == "llama3":
        turns = original * unscaled / (2 * math.pi)
        share = ((turns - scaling.low) / (scaling.high - scaling.low)).clamp(0, 1)
    else:
        share = 1 - _yarn_ramp(head_dim, base, scaling, original, dtype)
    return unscaled * share + slow * (1 - share)


@functools.lru_cache(maxsize=64)
def cached_frequencies(
    head_dim: int, base: float, scaling: RopeScaling, context_length: int,
    dtype: torch.dtype, device: torch.device,
) -> Float[Tensor, " half"]:  # fmt: skip
    """`rope_frequencies` on a device, cached for all models.

    Not a buffer of the model, as `model.to(dtype)` would round it.
    """
    with torch.inference_mode(mode=False):  # so that passes with gradients can use it
        return rope_frequencies(head_dim, base, scaling, context_length, dtype).to(device)


def _yarn_ramp(
    head_dim: int, base: float, scaling: RopeScaling, original: float, dtype: torch.dtype
) -> Float[Tensor, " half"]:
    """0 for pairs with more than `high` turns over the original length, 1 for fewer than `low`."""

    def pair(turns: float) -> float:
        """The (fractional) index of the pair with this number of turns."""
        return head_dim * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(base))

    first, last = pair(scaling.high), pair(scaling.low)
    if scaling.truncate:
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, head_dim - 1)
    span = last - first or 0.001  # may be negative, as in Transformers
    return ((torch.arange(head_dim // 2, dtype=dtype) - first) / span).clamp(0, 1)


def attention_factor(scaling: RopeScaling) -> float:
    """Factor of rotated queries and keys: YaRN's correction for the softmax of longer contexts."""
    if scaling.attention is not None:
        return scaling.attention
    is_yarn = scaling.kind == "yarn" and scaling.factor > 1
    return 0.1 * math.log(scaling.factor) + 1 if is_yarn else 1.0


def compute_rotation(
    positions: Int[Tensor, "B T"], radians: Float[Tensor, " half"], factor: float = 1.0
) -> Rotation:
    """The rotation of these positions; a leading size of 1 broadcasts over the batch.

    radians  (half,)  per token, see `rope_frequencies`
    factor            of the rotated features, see `attention_factor`
    """
    angles = (positions[..., None] * radians.to(positions.device))[
        :, None
    ]  # (B, 1, T, head_dim / 2)
    return Rotation(angles.cos() * factor, angles.sin() * factor)


def rotate(x: Float[Tensor, "B H T K"], by: Rotation) -> Float[Tensor, "B H T K"]:
    """Rotate x by its positions' angles.

    >>> x = torch.tensor([[[[1.0, 0.0]]]])
    >>> quarter = torch.full((1, 1, 1, 1), torch.pi / 2)
    >>> rotate(x, Rotation(quarter.cos(), quarter.sin())).round() + 0.0
    tensor([[[[0., 1.]]]])
    """
    a, b = x.chunk(2, dim=-1)
    rotated = torch.cat([a * by.cos - b * by.sin, a * by.sin + b * by.cos], dim=-1)
    return rotated.to(x.dtype)
