"""Absolute positions: a vector for each place, added to the token's before the first layer.

Learned ones know no place beyond their table; sinusoids go on for ever, but a model that has never
seen those values does not know what they mean. Knows nothing of tokens.
Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.5; Gehring et al. 2017, arXiv:1705.03122.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def sinusoids(
    positions: Int[Tensor, "*batch"], width: int, dtype: torch.dtype = torch.float32
) -> Float[Tensor, "*batch width"]:
    """Sines of each position at width / 2 wavelengths, then their cosines.

    sin(p / 10000^(2i / width)), cos(p / 10000^(2i / width))

    The two halves lie side by side, as in Tensor2Tensor, rather than in turns, as in the paper.

    >>> sinusoids(torch.tensor([0]), 4)
    tensor([[0., 0., 1., 1.]])
    """
    pairs = torch.arange(0, width, 2, device=positions.device, dtype=dtype)
    angles = positions[..., None] * 10_000.0 ** (-pairs / width)  # (*batch, width / 2)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
