"""Optimizer states in float32, bfloat16 or eight bits.

An `OptimizerState` is one state (such as the mean gradient) of several weights. Its tensors are
sharded as the weights are. An optimizer reads a state as float32 and writes it back, some rows at a
time, so a complete float32 copy never exists. In float32 a read is the tensor itself, and in-place
changes need no write. On CPUs native C++ loops read and write where available; the functions below
define what they do.

8bit: one scale per block of a row, on a nonuniform grid of 256 values, finest where optimizer
states are: seven decades between 1e-6 and 1 of the block's largest value, each with twice as many
values as the one below. The square of a gradient is never negative and has twice the values.

    codes  (..., C)                    uint8
    scales (..., ceil(C / block))      the largest absolute value in each block

bfloat16: rounded up or down at random, so that the mean is exact. It has 8 bits of precision, and a
mean that moves by a thousandth per step would never move if rounded to nearest. The random bits are
a function of (key, index), not a stream: the same however tensors are sharded, and after a restart.
Source: Dettmers et al. 2022, arXiv:2110.02861, §2.1 and Appendix F.2; its grid is that of
bitsandbytes' `create_dynamic_map`, its scales too where C is a multiple of the block. Gupta et al.
2015, arXiv:1502.02551; the bit mixing is MurmurHash3's finaliser.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import NamedTuple

import torch
from jaxtyping import Float, Int32, UInt8
from torch import Tensor
from torch.nn import functional as F

from groundup.core import ConfigError, digest
from groundup.kernels import StoredState, decode_state, encode_state, fits_native_states

from .config import OptimConfig, StateDtype
from .sharded import flat_indices, full_like_placement, local_tensor

MIN_8BIT_SIZE = 4096
"""Smaller weights stay float32 under `8bit`: they need little memory and are the most sensitive."""
ROWS_CHUNK = 1 << 17
"""Elements of a weight read at a time: three float32 copies of them fit the cache."""


class OptimizerState:
    """One state of some weights."""

    def __init__(
        self,
        part: str,
        weights: Mapping[str, Tensor],
        dtype: StateDtype,
        config: OptimConfig,
        signed: bool = True,
    ) -> None:
        """Start at zero.

        part    name of the state; its tensors are named PART.WEIGHT
        signed  whether values may be negative

        Raises ConfigError where a weight's shard boundary is within an 8-bit block of a row.
        """
        self.state_name, self.block, self.signed = part, config.state_block, signed
        self.seed = config.rounding_seed
        self.values: dict[str, Tensor] = {}
        self.scales: dict[str, Tensor] = {}
        for name, weight in weights.items():
            chosen = _state_dtype(weight, dtype)
            if chosen == "8bit":
                _check_block_boundaries(name, weight, self.block)
                shape = (*weight.shape[:-1], -(-weight.shape[-1] // self.block))
                self.scales[name] = full_like_placement(weight, shape, torch.float32)
                zero = quantization_grid(signed).zero
                self.values[name] = full_like_placement(
                    weight, tuple(weight.shape), torch.uint8, zero
                )
            else:
                kind = torch.bfloat16 if chosen == "bfloat16" else weight.dtype
                self.values[name] = torch.zeros_like(weight, dtype=kind, requires_grad=False)

    def state(self) -> dict[str, Tensor]:
        """Every tensor under a flat name, without copying."""
        state = {}
        for name, value in self.values.items():
            if name in self.scales:
                state[f"{self.state_name}_codes.{name}"] = value
                state[f"{self.state_name}_scales.{name}"] = self.scales[name]
            else:
                state[f"{self.state_name}.{name}"] = value
        return state

    def is_exact(self, name: str) -> bool:
        """Whether `read` returns the state itself."""
        return self.values[name].dtype not in (torch.uint8, torch.bfloat16)

    def read(self, name: str, rows: slice = slice(None)) -> Tensor:
        """Some rows of this process's shard as float32; of an exact state the tensor itself."""
        value = local_tensor(self.values[name])
        if self.is_exact(name):
            return value if rows == slice(None) else value[rows]
        if name not in self.scales:
            return value[rows].float()
        if fits_native_states(value[rows]):
            return decode_state(self.stored_rows(name, rows))
        blocks = QuantizedBlocks(value[rows], local_tensor(self.scales[name])[rows])
        return dequantize_blocks(blocks, self.block, self.signed)

    def write(self, name: str, value: Tensor, number: int, rows: slice = slice(None)) -> None:
        """Write back what was read and changed; does nothing to an exact state."""
        if self.is_exact(name):
            return
        into = local_tensor(self.values[name])[rows]
        if fits_native_states(into, value):
            encode_state(self.stored_rows(name, rows, number), value)
        elif name in self.scales:
            blocks = quantize_state_blocks(value, self.block, self.signed)
            into.copy_(blocks.codes)
            local_tensor(self.scales[name])[rows].copy_(blocks.scales)
        else:
            indices = flat_indices(self.values[name], rows)
            key = rounding_key(self.seed, number, self.state_name, name)
            into.copy_(round_stochastic(value, indices, key))

    def stored_rows(self, name: str, rows: slice = slice(None), number: int = 0) -> StoredState:
        """Some rows of this process's shard in stored form, for native loops.

        number  step number, the key of stochastic rounding
        """
        value = self.values[name]
        if name in self.scales:
            scales, codebook = local_tensor(self.scales[name])[rows], quantization_grid(self.signed)
            tables = (codebook.values, codebook.midpoints, codebook.first_codes)
            return StoredState(local_tensor(value)[rows], scales, tables, self.block)
        is_complete = value is local_tensor(value) and rows == slice(None)
        starts = None if is_complete else flat_indices(value, rows, slice(0, 1))
        key = rounding_key(self.seed, number, self.state_name, name)
        return StoredState(local_tensor(value)[rows], starts=starts, key=key)


def row_chunks(weight: Tensor) -> Iterator[slice]:
    """Row slices of a weight's shard, of about PART elements each."""
    rows = len(local_tensor(weight))
    step = max(1, ROWS_CHUNK * rows // max(1, local_tensor(weight).numel()))
    for first in range(0, rows, step):
        yield slice(first, min(first + step, rows))


def _state_dtype(weight: Tensor, wanted: StateDtype) -> StateDtype:
    is_small = weight.ndim < 2 or weight.numel() < MIN_8BIT_SIZE
    return "float32" if weight.ndim == 0 or (wanted == "8bit" and is_small) else wanted


def _check_block_boundaries(name: str, weight: Tensor, block: int) -> None:
    columns = local_tensor(weight).shape[-1]
    if columns != weight.shape[-1] and columns % block:
        raise ConfigError(
            f"state=8bit needs row shards of {name} that are multiples of state_block={block}; "
            f"this process has {columns} of {weight.shape[-1]}. Set state_block to a divisor of "
            "that, or use bfloat16 states for such weights."
        )


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
