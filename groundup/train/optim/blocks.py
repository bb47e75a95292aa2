"""Eight bits a number: blocks of a row with one scale each, on an uneven grid of 256 values.

The grid is finest where optimizer states are: seven powers of ten, between 1e-6 and 1 of the
block's largest number, each cut into twice as many values as the one below. The square of a
gradient is never negative and has twice the values. Blocks run along the last dimension, so codes
have the tensor's shape and rows can be shared out among processes.

    codes  (..., C)                    uint8
    scales (..., ceil(C / block))      the largest size in each block

Source: Dettmers et al. 2022, arXiv:2110.02861, §2.1 and Appendix F.2; its grid is that of
bitsandbytes' `create_dynamic_map`, its scales too where C is a multiple of the block.
"""

from functools import cache
from typing import NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F


class Grid(NamedTuple):
    """The values that codes stand for."""

    values: Float[Tensor, " 256"]
    """In rising order."""
    middles: Float[Tensor, " 256"]
    """Between a value and the next; infinite after the last."""
    first: Tensor
    """(65536,) smallest code of all float32 numbers that share their upper 16 bits."""
    zero: int
    """Code of 0."""


class Blocks(NamedTuple):
    """A tensor in eight bits."""

    codes: UInt8[Tensor, "*rows C"]
    scales: Float[Tensor, "*rows blocks"]


@cache
def grid(signed: bool) -> Grid:
    """The grid for numbers of both signs, or for those that are never negative.

    >>> values = grid(signed=True).values
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
    return Grid(table, middles, first, int((table == 0).nonzero()))


def nearest(values: Float[Tensor, "*shape"], signed: bool) -> Tensor:
    """Code of the grid's nearest value, by search (int32); the reference of `code`."""
    middles = grid(signed).middles[:-1].to(values.device)
    return torch.bucketize(values, middles, out_int32=True)


def code(values: Float[Tensor, "*shape"], signed: bool) -> Tensor:
    """The same by a table, a third of the time on a processor.

    Numbers that share their upper 16 bits lie closer than the grid's values between -1 and 1: at
    most one middle lies among them.
    """
    if values.device.type != "cpu":
        return nearest(values, signed)
    found = grid(signed)
    upper = values.contiguous().view(torch.int16).view(-1, 2)[:, 1].to(torch.int32) & 0xFFFF
    low = found.first.index_select(0, upper).to(torch.int32)
    return (low + (values.flatten() > found.middles.index_select(0, low))).view_as(values)


def encode(values: Float[Tensor, "*rows C"], block: int, signed: bool) -> Blocks:
    """A tensor in eight bits; a block of zeros stays zero."""
    columns = values.shape[-1]
    padded = F.pad(values.float(), (0, -columns % block)).unflatten(-1, (-1, block))
    scales = padded.abs().amax(-1)
    shares = padded / scales.clamp(min=torch.finfo(torch.float32).tiny)[..., None]
    codes = code(shares.flatten(-2)[..., :columns].contiguous(), signed)
    return Blocks(codes.to(torch.uint8), scales)


def decode(blocks: Blocks, block: int, signed: bool) -> Float[Tensor, "*rows C"]:
    """The tensor again, float32."""
    codes = blocks.codes
    values = grid(signed).values.to(codes.device)
    found = values.index_select(0, codes.flatten().to(torch.int32)).view(codes.shape)
    scales = blocks.scales.repeat_interleave(block, -1)[..., : codes.shape[-1]]
    return found.mul_(scales)
