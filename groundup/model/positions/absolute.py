"""Absolute positions: a vector per position, added to the token embedding before the first layer.

Learned embeddings end with their table. Sinusoids have no end, but a model does not generalise to
positions that it has not seen. Knows nothing of tokens.
Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.5; Gehring et al. 2017, arXiv:1705.03122.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def sinusoids(
    positions: Int[Tensor, "*batch"], width: int, dtype: torch.dtype = torch.float32
) -> Float[Tensor, "*batch width"]:
    """Sines of each position at width / 2 wavelengths, then the cosines.

    sin(p / 10000^(2i / width)), cos(p / 10000^(2i / width))

    The two halves are concatenated, as in Tensor2Tensor, not interleaved, as in the paper.

    >>> sinusoids(torch.tensor([0]), 4)
    tensor([[0., 0., 1., 1.]])
    """
    pairs = torch.arange(0, width, 2, device=positions.device, dtype=dtype)
    angles = positions[..., None] * 10_000.0 ** (-pairs / width)  # (*batch, width / 2)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
