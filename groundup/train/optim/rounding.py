"""Stochastic rounding to bfloat16: up or down at random, so that the mean is exact.

bfloat16 has 8 bits of precision. A mean that moves by a thousandth per step would never move if
rounded to nearest; rounded up with a probability equal to the fraction, it moves correctly on
average. The random bits are a function of (key, index), not a stream: the same however tensors are
sharded, and after a restart.
Source: Gupta et al. 2015, arXiv:1502.02551; the bit mixing is MurmurHash3's finaliser.
"""

import torch
from jaxtyping import Float, Int32
from torch import Tensor

from groundup.core import digest


def round_stochastic(
    values: Float[Tensor, "*shape"], indices: Int32[Tensor, "*shape"], key: int
) -> Float[Tensor, "*shape"]:
    """Values as bfloat16, rounded stochastically by index and key.

    >>> ones = torch.full((4000,), 1 + 2**-9)  # a quarter of the way from 1 to the next number
    >>> up = round_stochastic(ones, torch.arange(4000, dtype=torch.int32), key=7) > 1
    >>> abs(float(up.float().mean()) - 0.25) < 0.03
    True
    """
    bits = _random_bits(indices, key).add_(values.float().contiguous().view(torch.int32))
    return bits.bitwise_and_(-65536).view(torch.float32).to(torch.bfloat16)


def _random_bits(indices: Int32[Tensor, "*shape"], key: int) -> Int32[Tensor, "*shape"]:
    """Sixteen random bits for each index."""
    mixed = indices + key
    for multiplier in (-2048144789, -1028477387):  # 0x85EBCA6B and 0xC2B2AE35
        mixed ^= (mixed >> 16) & 0xFFFF
        mixed *= multiplier
    mixed ^= (mixed >> 16) & 0xFFFF
    return mixed.bitwise_and_(0xFFFF)


def rounding_key(*parts: int | str) -> int:
    """A key in the range of int32 from names and numbers.

    >>> rounding_key("mean", 1) == rounding_key("mean", 1) != rounding_key("mean", 2)
    True
    """
    return int(digest(list(parts))[:8], 16) - 2**31
