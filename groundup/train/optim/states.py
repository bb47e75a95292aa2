"""Optimizer states in float32, bfloat16 or eight bits.

A `OptimizerState` is one state (such as the mean gradient) of several weights. Its tensors are
sharded as the
weights are. An optimizer reads a state as float32 and writes it back, some rows at a time, so a
complete float32 copy never exists. In float32 a read is the tensor itself, and in-place changes
need no write. On CPUs native C++ loops read and write where available; blocks.py and rounding.py
define what they do.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from groundup.core import ConfigError
from groundup.kernels import StoredState, decode_state, encode_state, fits_native_states

from .config import OptimConfig, StateDtype
from .quantized import QuantizedBlocks, dequantize_blocks, quantization_grid, quantize_state_blocks
from .rounding import round_stochastic, rounding_key
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
    """Dtype of a weight's state, given the configured one."""
    is_small = weight.ndim < 2 or weight.numel() < MIN_8BIT_SIZE
    return "float32" if weight.ndim == 0 or (wanted == "8bit" and is_small) else wanted


def stored_state_bytes(weight: Tensor, wanted: StateDtype, block: int) -> int:
    """Bytes of one state of an unsharded weight.

    float32  4 n        bfloat16  2 n        8bit  n + 4 n / columns * ceil(columns / block)
    """
    chosen, count = _state_dtype(weight, wanted), weight.numel()
    if chosen == "8bit":
        columns = weight.shape[-1]
        return count + 4 * (count // columns) * -(-columns // block)
    return count * (2 if chosen == "bfloat16" else weight.element_size())


def _check_block_boundaries(name: str, weight: Tensor, block: int) -> None:
    """Raise ConfigError if a process's shard of a row does not end at a block boundary."""
    columns = local_tensor(weight).shape[-1]
    if columns != weight.shape[-1] and columns % block:
        raise ConfigError(
            f"state=8bit needs row shards of {name} that are multiples of state_block={block}; "
            f"this process has {columns} of {weight.shape[-1]}. Set state_block to a divisor of "
            "that, or use bfloat16 states for such weights."
        )
