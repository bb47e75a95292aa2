"""States: what an optimizer remembers of each weight, in float32, bfloat16 or eight bits.

A `Kept` is one state of several weights: the mean gradient, say. Its tensors lie as the weights do,
whole or sharded; whoever updates one reads it as float32 and writes it back, some rows at a time,
so that a float32 copy of the whole never exists. In float32 a read is the tensor itself, and what
is done to it in place needs no writing. On processors loops in C++ read and write where they can be
had; blocks.py and rounding.py say what they do.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from groundup.core import ConfigError
from groundup.kernels import Stored, fits, read_state, write_state

from .blocks import Blocks, decode, encode, grid
from .config import OptimConfig, StateDtype
from .rounding import key_of, rounded
from .sharded import like, local, numbering

SMALL = 4096
"""Weights of fewer numbers are kept in float32 under `8bit`: they weigh nothing, and hurt most."""
PART = 1 << 17
"""Numbers of a weight that are read at a time: three float32 copies of them fit the cache."""


class Kept:
    """One state of some weights."""

    def __init__(
        self,
        part: str,
        weights: Mapping[str, Tensor],
        dtype: StateDtype,
        config: OptimConfig,
        signed: bool = True,
    ) -> None:
        """Begin at zero.

        part    name of the state; its tensors are named PART.WEIGHT
        signed  whether its numbers may be negative

        Raises ConfigError where a weight is cut along its rows within a block of eight bits.
        """
        self.part, self.block, self.signed = part, config.state_block, signed
        self.seed = config.rounding_seed
        self.values: dict[str, Tensor] = {}
        self.scales: dict[str, Tensor] = {}
        for name, weight in weights.items():
            chosen = dtype_for(weight, dtype)
            if chosen == "8bit":
                check_rows(name, weight, self.block)
                shape = (*weight.shape[:-1], -(-weight.shape[-1] // self.block))
                self.scales[name] = like(weight, shape, torch.float32)
                zero = grid(signed).zero
                self.values[name] = like(weight, tuple(weight.shape), torch.uint8, zero)
            else:
                kind = torch.bfloat16 if chosen == "bfloat16" else weight.dtype
                self.values[name] = torch.zeros_like(weight, dtype=kind, requires_grad=False)

    def state(self) -> dict[str, Tensor]:
        """Every tensor under a flat name, without copying."""
        found = {}
        for name, value in self.values.items():
            if name in self.scales:
                found[f"{self.part}_codes.{name}"] = value
                found[f"{self.part}_scales.{name}"] = self.scales[name]
            else:
                found[f"{self.part}.{name}"] = value
        return found

    def is_exact(self, name: str) -> bool:
        """Whether a read is the state itself."""
        return self.values[name].dtype not in (torch.uint8, torch.bfloat16)

    def read(self, name: str, rows: slice = slice(None)) -> Tensor:
        """Some rows of this process's share, as float32; of an exact state the tensor itself."""
        value = local(self.values[name])
        if self.is_exact(name):
            return value if rows == slice(None) else value[rows]
        if name not in self.scales:
            return value[rows].float()
        if fits(value[rows]):
            return read_state(self.stored(name, rows))
        blocks = Blocks(value[rows], local(self.scales[name])[rows])
        return decode(blocks, self.block, self.signed)

    def write(self, name: str, value: Tensor, number: int, rows: slice = slice(None)) -> None:
        """Keep what was read and changed, as of a step; does nothing to an exact state."""
        if self.is_exact(name):
            return
        into = local(self.values[name])[rows]
        if fits(into, value):
            write_state(self.stored(name, rows, number), value)
        elif name in self.scales:
            blocks = encode(value, self.block, self.signed)
            into.copy_(blocks.codes)
            local(self.scales[name])[rows].copy_(blocks.scales)
        else:
            places = numbering(self.values[name], rows)
            key = key_of(self.seed, number, self.part, name)
            into.copy_(rounded(value, places, key))

    def stored(self, name: str, rows: slice = slice(None), number: int = 0) -> Stored:
        """Some rows of this process's share as they are kept, for loops that read them so.

        number  of the step as of which they will be written
        """
        value = self.values[name]
        if name in self.scales:
            scales, known = local(self.scales[name])[rows], grid(self.signed)
            tables = (known.values, known.middles, known.first)
            return Stored(local(value)[rows], scales, tables, self.block)
        is_whole = value is local(value) and rows == slice(None)
        starts = None if is_whole else numbering(value, rows, slice(0, 1))
        key = key_of(self.seed, number, self.part, name)
        return Stored(local(value)[rows], starts=starts, key=key)


def parts_of(weight: Tensor) -> Iterator[slice]:
    """Cut the rows of a weight's share into parts of about PART numbers."""
    rows = len(local(weight))
    step = max(1, PART * rows // max(1, local(weight).numel()))
    for first in range(0, rows, step):
        yield slice(first, min(first + step, rows))


def dtype_for(weight: Tensor, wanted: StateDtype) -> StateDtype:
    """How a weight's state is kept where `wanted` is asked for."""
    is_small = weight.ndim < 2 or weight.numel() < SMALL
    return "float32" if weight.ndim == 0 or (wanted == "8bit" and is_small) else wanted


def kept_bytes(weight: Tensor, wanted: StateDtype, block: int) -> int:
    """Bytes of one state of a whole weight.

    float32  4 n        bfloat16  2 n        8bit  n + 4 n / columns * ceil(columns / block)
    """
    chosen, count = dtype_for(weight, wanted), weight.numel()
    if chosen == "8bit":
        columns = weight.shape[-1]
        return count + 4 * (count // columns) * -(-columns // block)
    return count * (2 if chosen == "bfloat16" else weight.element_size())


def check_rows(name: str, weight: Tensor, block: int) -> None:
    """Raise ConfigError if a process's share of a row does not end where a block does."""
    columns = local(weight).shape[-1]
    if columns != weight.shape[-1] and columns % block:
        raise ConfigError(
            f"state=8bit needs shares of a row of {name} that are multiples of "
            f"state_block={block}; this process holds {columns} of {weight.shape[-1]}. Set "
            "state_block to a divisor of that, or keep the states of such weights in bfloat16."
        )
