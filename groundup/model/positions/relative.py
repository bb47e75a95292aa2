"""Relative positions: biases of the attention scores by the distance between query and key.

Three kinds: a fixed penalty (ALiBi), a learned number per bucket of distances (T5), and the product
of the query with a learned projection of the distance's sinusoid (Transformer-XL, Gopher). Each is
a bias (b, H, T, S) of the scores. A distance is the key's position minus the query's: negative for
earlier keys. Knows nothing of masks.
Source: Press et al. 2021, arXiv:2108.12409; Raffel et al. 2019, arXiv:1910.10683, section 2.1;
Dai et al. 2019, arXiv:1901.02860, section 3.3.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..config import ModelConfig
from .absolute import sinusoids


def _distances(T: int, S: int, device: torch.device) -> Int[Tensor, "T S"]:
    """Key position minus query position; queries are the last T of S positions.

    >>> _distances(2, 3, torch.device("cpu"))
    tensor([[-1,  0,  1],
            [-2, -1,  0]])
    """
    positions = torch.arange(S, device=device)
    return positions[None, :] - positions[S - T :, None]


def _alibi_slopes(heads: int, dtype: torch.dtype = torch.float32) -> Float[Tensor, " H"]:
    """Slope of each head's penalty: a geometric sequence of powers of two.

    If the number of heads is not a power of two, the remaining heads take every second slope of
    twice as many heads.

    >>> _alibi_slopes(4)
    tensor([0.2500, 0.0625, 0.0156, 0.0039])
    """
    power = 2 ** math.floor(math.log2(heads))
    steps = torch.arange(1, power + 1, dtype=dtype)
    slopes = 2.0 ** (-8.0 / power * steps)
    between = 2.0 ** (-4.0 / power * (2 * steps - 1))
    return torch.cat([slopes, between])[:heads]


def alibi_bias(
    heads: int, T: int, S: int, device: torch.device, dtype: torch.dtype
) -> Float[Tensor, "1 H T S"]:
    """The penalty of each head: -slope * |distance|."""
    slopes = _alibi_slopes(heads, torch.promote_types(dtype, torch.float32)).to(device)
    return (-slopes[:, None, None] * _distances(T, S, device).abs())[None].to(dtype)


def _distance_bucket(
    distance: Int[Tensor, "*shape"], buckets: int, max_distance: int, *, causal: bool
) -> Int[Tensor, "*shape"]:
    """Bucket of each distance: one bucket per small distance, then exponentially wider ones.

    Half of the buckets (of each side, unless causal) hold one distance each; the others grow
    exponentially up to max_distance. Larger distances share the last bucket.

    >>> _distance_bucket(torch.tensor([0, -1, -16, -500]), 32, 128, causal=True)
    tensor([ 0,  1, 16, 31])
    """
    side = torch.zeros_like(distance)
    if causal:
        apart = (-distance).clamp(min=0)
    else:
        buckets //= 2
        side, apart = (distance > 0) * buckets, distance.abs()
    exact = buckets // 2
    # float32 as in the published models: float64 would put some distances into other buckets
    grown = torch.log(apart.clamp(min=1).float() / exact) / math.log(max_distance / exact)
    wide = (exact + (grown * (buckets - exact)).long()).clamp(max=buckets - 1)
    return side + torch.where(apart < exact, apart, wide)


class BucketBias(nn.Module):
    """A learned bias per bucket and head, shared by all layers of a stack (T5)."""

    def __init__(self, config: ModelConfig, *, causal: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(
            torch.zeros(config.position.buckets, config.attention.heads)
        )  # (buckets, H)
        self.max_distance, self.causal = config.position.max_distance, causal

    def forward(self, T: int, S: int) -> Float[Tensor, "1 H T S"]:
        """The bias of the last T of S positions."""
        apart = _distances(T, S, self.weight.device)
        numbers = _distance_bucket(apart, len(self.weight), self.max_distance, causal=self.causal)
        return self.weight[numbers].permute(2, 0, 1)[None]


class DistanceScores(NamedTuple):
    """The inputs of attention under Transformer-XL's positions."""

    queries: Float[Tensor, "B H T K"]
    """q + u, which the keys are multiplied with."""
    bias: Float[Tensor, "B H T S"]
    """The scaled scores of the distances."""


class DistanceBias(nn.Module):
    """Transformer-XL's positions in each layer: scores (q + v) R_{t-s} + (q + u) k_s."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        heads, self.head_dim = config.attention.heads, config.attention.head_dim
        self.width = config.width
        self.r_proj = nn.utils.skip_init(
            nn.Linear, config.width, heads * self.head_dim, bias=False
        )  # of a distance's sinusoid
        self.content_bias = nn.Parameter(torch.zeros(heads, self.head_dim))  # u
        self.distance_bias = nn.Parameter(torch.zeros(heads, self.head_dim))  # v

    def forward(self, q: Float[Tensor, "B H T K"], S: int, scale: float) -> DistanceScores:
        """The queries for the keys, and the bias of the distances."""
        T = q.shape[2]
        offsets = torch.arange(1 - T, S, device=q.device)  # all values of query minus key
        exact = torch.promote_types(q.dtype, torch.float32)
        maps = self.r_proj(sinusoids(offsets, self.width, exact).to(q.dtype))  # (T + S - 1, H * K)
        maps = maps.unflatten(-1, (-1, self.head_dim)).transpose(0, 1)  # (H, T + S - 1, K)
        scores = (q + self.distance_bias[:, None]) @ maps.mT * scale  # (B, H, T, T + S - 1)
        index = T - 1 - _distances(T, S, q.device)  # (T, S)
        bias = scores.gather(-1, index.expand(*scores.shape[:2], T, S))
        return DistanceScores(q + self.content_bias[:, None], bias)
