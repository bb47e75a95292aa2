"""The feed-forward of a block: a gate decides, feature by feature, what passes.

    out = (silu(x W_gate) * (x W_up)) W_down

It works on each token alone; tokens meet only in attention.
Source: Shazeer 2020, arXiv:2002.05202 (SwiGLU).
"""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import silu

from .attention import linear
from .config import ModelConfig


class FeedForward(nn.Module):
    """A gated two-sided network (SwiGLU)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, inner = config.width, config.feedforward.width
        self.gate_proj = linear(width, inner)
        self.up_proj = linear(width, inner)
        self.down_proj = linear(inner, width)

    def forward(self, hidden: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        """Return the change to each token's features."""
        return self.down_proj(silu(self.gate_proj(hidden)) * self.up_proj(hidden))
