"""Rotary positions: turn each pair of features by an angle that grows with the position.

After rotation the dot product of a query at t and a key at s depends on t - s alone, so attention
sees distance rather than place. Knows nothing of heads, caches or models; see attention.py for use.
Source: Su et al. 2021, arXiv:2104.09864; the half-split layout is LLaMA's, not the paper's pairs.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundup.core import ConfigError


class Rotation(NamedTuple):
    """Cosines and sines of every position's angles: made once a pass, used by all layers."""

    cos: Float[Tensor, "B 1 T half"]
    sin: Float[Tensor, "B 1 T half"]


def rotary_angles(
    positions: Int[Tensor, "B T"],
    head_dim: int,
    base: float = 10_000.0,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "B T half"]:
    """Angle in radians of every feature pair at every position.

    angle[t, i] = t * base^(-2i / head_dim)

    Raises ConfigError if head_dim is odd.
    """
    if head_dim % 2:
        raise ConfigError(
            f"head_dim={head_dim} must be even for rotary positions; try {head_dim + 1}."
        )
    pairs = torch.arange(0, head_dim, 2, device=positions.device, dtype=dtype)
    return positions[..., None] * base ** (-pairs / head_dim)  # (B, T, head_dim / 2)


def rotation(
    positions: Int[Tensor, "B T"], head_dim: int, base: float, dtype: torch.dtype
) -> Rotation:
    """The rotation of these positions; a leading size of 1 serves every row of a batch."""
    angles = rotary_angles(positions, head_dim, base, dtype)[:, None]  # (B, 1, T, head_dim / 2)
    return Rotation(angles.cos(), angles.sin())


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
