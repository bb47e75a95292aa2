"""The feed-forward of a block: features are widened, activated and brought back.

    out = act(x W_up) W_down                    ReLU, GELU
    out = (act(x W_gate) * (x W_up)) W_down     gated: SwiGLU with SiLU, GeGLU with GELU

It works on each token alone; tokens meet only in attention.
Source: Vaswani et al. 2017, arXiv:1706.03762; gates: Shazeer 2020, arXiv:2002.05202.
"""

from collections.abc import Callable
from functools import partial

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from .attention import linear
from .config import Activation, ModelConfig

ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "silu": F.silu,
}


class FeedForward(nn.Module):
    """A two-sided network on each token, gated or not."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        part, width = config.feedforward, config.width
        self.gate_proj = linear(width, part.width, part.bias) if part.gated else None
        self.up_proj = linear(width, part.width, part.bias)
        self.down_proj = linear(part.width, width, part.bias)
        self.activation = ACTIVATIONS[part.activation]

    def forward(self, hidden: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
        """Return the change to each token's features."""
        up = self.up_proj(hidden)
        if self.gate_proj is None:
            return self.down_proj(self.activation(up))
        return self.down_proj(self.activation(self.gate_proj(hidden)) * up)
