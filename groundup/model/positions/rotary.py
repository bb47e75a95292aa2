"""Rotary positions: turn each pair of features by an angle that grows with the position.

After rotation the dot product of a query at t and a key at s depends on t - s alone, so attention
sees distance rather than place. Beyond the length of training, angles that no one has seen appear;
the scalings bring them back: all by one factor (linear), slow pairs more than fast ones (NTK, by a
larger base), or by how often a pair turned within the old length (YaRN, Llama 3). Knows nothing of
heads, caches or models; see attention.py for use.
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
    """Cosines and sines of every position's angles: made once a pass, used by all layers."""

    cos: Float[Tensor, "B 1 T half"]
    sin: Float[Tensor, "B 1 T half"]


def frequencies(
    head_dim: int,
    base: float = 10_000.0,
    scaling: RopeScaling | None = None,
    context_length: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, " half"]:
    """Radians that each feature pair turns by a token: base^(-2i / head_dim), then scaled.

    context_length  tokens; gives the scaling's original length where it does not say

    Raises ConfigError if head_dim is odd.
    """
    if head_dim % 2:
        raise ConfigError(
            f"head_dim={head_dim} must be even for rotary positions; try {head_dim + 1}."
        )
    pairs = torch.arange(0, head_dim, 2, dtype=dtype) / head_dim
    if scaling is None or scaling.kind == "none":
        return base**-pairs
    if scaling.kind == "ntk":  # a base at which the slowest pair is stretched by the factor
        return (base * scaling.factor ** (head_dim / (head_dim - 2))) ** -pairs
    plain = base**-pairs
    slow = plain / scaling.factor
    if scaling.kind == "linear":
        return slow
    original = scaling.original_length or context_length / scaling.factor
    if scaling.kind == "llama3":
        turns = original * plain / (2 * math.pi)
        kept = ((turns - scaling.low) / (scaling.high - scaling.low)).clamp(0, 1)
    else:
        kept = 1 - yarn_ramp(head_dim, base, scaling, original, dtype)
    return plain * kept + slow * (1 - kept)


@functools.lru_cache(maxsize=64)
def kept_frequencies(
    head_dim: int, base: float, scaling: RopeScaling, context_length: int,
    dtype: torch.dtype, place: torch.device,
) -> Float[Tensor, " half"]:  # fmt: skip
    """`frequencies` on a device, made once: all passes of all models share them.

    No buffer of the model, which `model.to(dtype)` would round.
    """
    with torch.inference_mode(mode=False):  # for passes with gradients too
        return frequencies(head_dim, base, scaling, context_length, dtype).to(place)


def yarn_ramp(
    head_dim: int, base: float, scaling: RopeScaling, original: float, dtype: torch.dtype
) -> Float[Tensor, " half"]:
    """0 for pairs that turn more than `high` times within the original length, 1 below `low`."""

    def pair(turns: float) -> float:
        """The pair, not a whole number, that turns so often."""
        return head_dim * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(base))

    first, last = pair(scaling.high), pair(scaling.low)
    if scaling.truncate:
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, head_dim - 1)
    span = last - first or 0.001  # Transformers lets a ramp that ends before it begins fall
    return ((torch.arange(head_dim // 2, dtype=dtype) - first) / span).clamp(0, 1)


def magnitude(scaling: RopeScaling) -> float:
    """Factor of rotated queries and keys: YaRN's remedy for flatter softmaxes of longer rows."""
    if scaling.attention is not None:
        return scaling.attention
    is_yarn = scaling.kind == "yarn" and scaling.factor > 1
    return 0.1 * math.log(scaling.factor) + 1 if is_yarn else 1.0


def rotation(
    positions: Int[Tensor, "B T"], by: Float[Tensor, " half"], size: float = 1.0
) -> Rotation:
    """The rotation of these positions; a leading size of 1 serves every row of a batch.

    by    (half,)  radians a token, see `frequencies`
    size           factor of the rotated features, see `magnitude`
    """
    angles = (positions[..., None] * by.to(positions.device))[:, None]  # (B, 1, T, head_dim / 2)
    return Rotation(angles.cos() * size, angles.sin() * size)


def rotate(x: Float[Tensor, "B H T K"], by: Rotation) -> Float[Tensor, "B H T K"]:
    """Turn x by its positions' angles; a rotation, so norms stay as they are.

    >>> x = torch.tensor([[[[1.0, 0.0]]]])
    >>> quarter = torch.full((1, 1, 1, 1), torch.pi / 2)
    >>> rotate(x, Rotation(quarter.cos(), quarter.sin())).round() + 0.0
    tensor([[[[0., 1.]]]])
    """
    a, b = x.chunk(2, dim=-1)
    turned = torch.cat([a * by.cos - b * by.sin, a * by.sin + b * by.cos], dim=-1)
    return turned.to(x.dtype)
