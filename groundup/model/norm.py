"""RMS and layer norms, computed in at least float32, as half-precision squares overflow.

Source: Ba et al. 2016, arXiv:1607.06450; Zhang and Sennrich 2019, arXiv:1910.07467.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from .configuration.config import ModelConfig, NormConfig


class RMSNorm(nn.Module):
    """Divide by the root mean square of the features, then scale: w * x / sqrt(mean(x^2) + eps).

    A zero-centred norm stores w - 1, which half precision represents more exactly.
    """

    def __init__(self, width: int, eps: float, *, zero_centred: bool = False) -> None:
        super().__init__()
        self.offset = 1.0 if zero_centred else 0.0
        self.weight = nn.Parameter(torch.full((width,), 1.0 - self.offset))
        self.eps = eps

    def forward(self, x: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
        """Return x at unit root mean square, scaled, in x's dtype."""
        exact = x.to(torch.promote_types(x.dtype, torch.float32))
        scale = torch.rsqrt(exact.square().mean(-1, keepdim=True) + self.eps)
        weight = self.weight.to(exact.dtype) + self.offset if self.offset else self.weight
        return (exact * scale * weight).to(x.dtype)


class LayerNorm(nn.Module):
    """Subtract the mean, divide by the deviation, then scale and shift, if it has the weights."""

    def __init__(self, width: int, config: NormConfig) -> None:
        super().__init__()
        self.shape, self.offset = (width,), 1.0 if config.zero_centred else 0.0
        weight = torch.full(self.shape, 1.0 - self.offset)
        self.weight = nn.Parameter(weight) if config.weights else None
        self.bias = nn.Parameter(torch.zeros(width)) if config.bias else None
        self.eps = config.eps

    def forward(self, x: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
        """Return x at mean 0 and deviation 1, scaled and shifted, in x's dtype."""
        exact = x.to(torch.promote_types(x.dtype, torch.float32))
        bias = None if self.bias is None else self.bias.to(exact.dtype)
        weight = None if self.weight is None else self.weight.to(exact.dtype)
        weight = weight + self.offset if weight is not None and self.offset else weight
        return F.layer_norm(exact, self.shape, weight, bias, self.eps).to(x.dtype)


def build_norm(config: NormConfig, width: int) -> nn.Module:
    """The norm that a configuration describes, over `width` features."""
    if config.kind == "layer":
        return LayerNorm(width, config)
    return RMSNorm(width, config.eps, zero_centred=config.zero_centred)


def optional_norm(is_enabled: bool, config: ModelConfig, width: int | None = None) -> nn.Module:
    """A norm over `width` features, by default the model's, or the identity."""
    return build_norm(config.norm, width or config.width) if is_enabled else nn.Identity()
