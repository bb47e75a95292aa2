"""Block-wise 8-bit quantization: one scale per block of a row, on a nonuniform grid of 256 values.

The grid is finest where optimizer states are: seven decades between 1e-6 and 1 of the block's
largest value, each with twice as many values as the one below. The square of a gradient is never
negative and has twice the values. Blocks run along the last dimension, so codes have the tensor's
shape and rows can be sharded.

    codes  (..., C)                    uint8
    scales (..., ceil(C / block))      the largest absolute value in each block

Source: Dettmers et al. 2022, arXiv:2110.02861, §2.1 and Appendix F.2; its grid is that of
bitsandbytes' `create_dynamic_map`, its scales too where C is a multiple of the block.
"""

from functools import cache
from typing import NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F


class QuantizationGrid(NamedTuple):
    """The quantization grid: the values of the 256 codes."""

    values: Float[Tensor, " 256"]
    """In ascending order."""
    midpoints: Float[Tensor, " 256"]
    """Midpoint between each value and the next; infinite after the last."""
    first_codes: Tensor
    """(65536,) smallest code of all float32 numbers with the same upper 16 bits."""
    zero: int
    """Code of 0."""


class QuantizedBlocks(NamedTuple):
    """An 8-bit tensor."""

    codes: UInt8[Tensor, "*rows C"]
    scales: Float[Tensor, "*rows blocks"]


@cache
def quantization_grid(signed: bool) -> QuantizationGrid:
    """The grid for signed or non-negative values.

    >>> values = quantization_grid(signed=True).values
    >>> len(values), round(float(values.min()), 3), float(values.max())
    (256, -0.993, 1.0)
    """
    values = [0.0, 1.0]
    for power in range(7):
        edges = torch.linspace(0.1, 1, 2 ** (power + (not signed)) + 1, dtype=torch.float64)
        means = (edges[1:] + edges[:-1]) / 2 * 10.0 ** (power - 6)
        values += [*means.tolist(), *((-means).tolist() if signed else ())]
    table = torch.tensor(sorted(values), dtype=torch.float64).float()
    middles = torch.cat([(table[1:] + table[:-1]) / 2, torch.tensor([torch.inf])])
    upper = torch.arange(-32768, 32768, dtype=torch.int32).roll(32768) << 16
    lowest = torch.where(upper < 0, upper | 0xFFFF, upper).view(torch.float32)
    first = torch.bucketize(lowest.nan_to_num(), middles[:-1], out_int32=True).to(torch.uint8)
    return QuantizationGrid(table, middles, first, int((table == 0).nonzero()))


def _nearest_codes(values: Float[Tensor, "*shape"], signed: bool) -> Tensor:
    """Code of the nearest grid value, by search (int32); the reference of `_lookup_codes`."""
    middles = quantization_grid(signed).midpoints[:-1].to(values.device)
    return torch.bucketize(values, middles, out_int32=True)


def _lookup_codes(values: Float[Tensor, "*shape"], signed: bool) -> Tensor:
    """The same by table lookup, in a third of the time on a CPU.

    Floats with the same upper 16 bits are closer together than grid values between -1 and 1, so at
    most one midpoint is among them.
    """
    if values.device.type != "cpu":
        return _nearest_codes(values, signed)
    codebook = quantization_grid(signed)
    upper = values.contiguous().view(torch.int16).view(-1, 2)[:, 1].to(torch.int32) & 0xFFFF
    low = codebook.first_codes.index_select(0, upper).to(torch.int32)
    return (low + (values.flatten() > codebook.midpoints.index_select(0, low))).view_as(values)


def quantize_state_blocks(
    values: Float[Tensor, "*rows C"], block: int, signed: bool
) -> QuantizedBlocks:
    """Quantize a tensor; a block of zeros stays zero."""
    columns = values.shape[-1]
    padded = F.pad(values.float(), (0, -columns % block)).unflatten(-1, (-1, block))
    scales = padded.abs().amax(-1)
    shares = padded / scales.clamp(min=torch.finfo(torch.float32).tiny)[..., None]
    codes = _lookup_codes(shares.flatten(-2)[..., :columns].contiguous(), signed)
    return QuantizedBlocks(codes.to(torch.uint8), scales)


def dequantize_blocks(
    blocks: QuantizedBlocks, block: int, signed: bool
) -> Float[Tensor, "*rows C"]:
    """Dequantize to float32."""
    codes = blocks.codes
    values = quantization_grid(signed).values.to(codes.device)
    decoded = values.index_select(0, codes.flatten().to(torch.int32)).view(codes.shape)
    scales = blocks.scales.repeat_interleave(block, -1)[..., : codes.shape[-1]]
    return decoded.mul_(scales)
