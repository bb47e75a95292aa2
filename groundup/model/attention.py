"""The attention of a block: project, normalise and rotate, attend, project back.

    q, k, v = x W_q, x W_k, x W_v
    out = attend(rotate(norm(q)), rotate(norm(k)), v) W_o

Norming queries and keys per head keeps scores bounded however weights grow. Knows the cache only
as a place that takes new keys and values and gives back all of them.
Source: Vaswani et al. 2017, arXiv:1706.03762; the norms: Henry et al. 2020, arXiv:2010.04245.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from groundup.kernels import attention

from .cache import Cache
from .config import ModelConfig
from .positions import Rotation, rotate


class RMSNorm(nn.Module):
    """Divide by the root mean square of the features, then scale: w * x / sqrt(mean(x^2) + eps).

    Computed in float32 or better whatever the input's dtype, as half-precision squares overflow.
    Source: Zhang and Sennrich 2019, arXiv:1910.07467.
    """

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
        """Return x at unit root mean square, scaled, in x's dtype."""
        exact = x.to(torch.promote_types(x.dtype, torch.float32))
        scale = torch.rsqrt(exact.square().mean(-1, keepdim=True) + self.eps)
        return (exact * scale * self.weight).to(x.dtype)


def linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear map without bias whose weight is left for `initialise` or `load` to fill."""
    made = nn.utils.skip_init(nn.Linear, inputs, outputs, bias=False)
    assert isinstance(made, nn.Linear)
    return made


class Attention(nn.Module):
    """Causal grouped-query attention with rotary positions."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        heads, kv_heads, self.head_dim = (
            config.attention.heads, config.attention.kv_heads, config.attention.head_dim,
        )  # fmt: skip
        self.layer = layer
        self.q_proj = linear(config.width, heads * self.head_dim)
        self.k_proj = linear(config.width, kv_heads * self.head_dim)
        self.v_proj = linear(config.width, kv_heads * self.head_dim)
        self.o_proj = linear(heads * self.head_dim, config.width)
        has_norm, eps = config.attention.qk_norm, config.norm.eps
        self.q_norm = RMSNorm(self.head_dim, eps) if has_norm else nn.Identity()
        self.k_norm = RMSNorm(self.head_dim, eps) if has_norm else nn.Identity()

    def forward(
        self,
        hidden: Float[Tensor, "B T D"],
        by: Rotation,
        documents: Int[Tensor, "B S"] | None = None,
        cache: Cache | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Mix each token with what came before it; a cache adds what came in earlier calls."""
        q = self.split(self.q_proj(hidden))  # (B, T, H, K)
        k = self.split(self.k_proj(hidden))  # (B, T, G, K)
        v = self.split(self.v_proj(hidden)).transpose(1, 2)  # (B, G, T, K)
        q = rotate(self.q_norm(q).transpose(1, 2), by)  # (B, H, T, K)
        k = rotate(self.k_norm(k).transpose(1, 2), by)  # (B, G, T, K)
        if cache is not None:
            k, v = cache.update(self.layer, k, v)  # (B, G, S, K)
        out = attention(q, k, v, documents=documents)  # (B, H, T, K)
        return self.o_proj(out.transpose(1, 2).flatten(2))  # (B, T, D)

    def split(self, x: Float[Tensor, "B T HK"]) -> Float[Tensor, "B T H K"]:
        """Cut features into heads."""
        return x.unflatten(-1, (-1, self.head_dim))
