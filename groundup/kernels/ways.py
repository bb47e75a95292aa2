"""Which way attention takes while it trains on a processor: a rule, or what was measured.

Two matrix products with a compiled softmax, `chunk` queries at a time, or PyTorch's flash kernel:
which is faster depends on length, heads, dtype, processor and threads. A measurement is made once
for a class of rows and kept in the user's cache; ways differ in rounding, so what a run chose
belongs to its determinism contract and is replayed when it is resumed. Ways are looked up while
blocks are compiled, so they are chosen before.
"""

import sys
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from groundup.core import ConfigError

MATMUL_UP_TO = 2048
"""Longest row that trains by matrix products; beyond, their scores need too much memory."""
CHUNK, SMALLEST_CHUNK = 512, 64
"""Queries that are computed together: later keys are skipped, and scores stay small."""


class Way(NamedTuple):
    """How attention is computed."""

    kind: Literal["matmul", "flash"]
    chunk: int = CHUNK
    """Queries at a time, of matrix products."""


class RowShape(NamedTuple):
    """A class of rows whose attention costs about the same."""

    heads: int
    kv_heads: int
    head_dim: int
    length: int
    """Tokens, as the power of two at or above."""
    is_packed: bool
    """Whether rows hold several documents: then flash cannot skip later keys."""
    dtype: str

    @property
    def name(self) -> str:
        """Its key in a file of JSON.

        >>> RowShape(6, 2, 64, 256, True, "bfloat16").name
        '6/2 heads of 64, 256 packed tokens, bfloat16'
        """
        tokens = f"{self.length} {'packed ' if self.is_packed else ''}tokens"
        return f"{self.heads}/{self.kv_heads} heads of {self.head_dim}, {tokens}, {self.dtype}"


CHOSEN: dict[str, Way] = {}
"""Ways of this process by the names of classes; where there is none, the rule counts."""


def row_shape(
    q: Float[Tensor, "B H T K"], k: Float[Tensor, "B G S K"], is_packed: bool
) -> RowShape:
    """The class of these rows."""
    length = 1 << max(k.shape[2] - 1, 0).bit_length()
    dtype = str(q.dtype).removeprefix("torch.")
    return RowShape(q.shape[1], k.shape[1], q.shape[3], length, is_packed, dtype)


def way_of(
    heads: int, kv_heads: int, head_dim: int, length: int, is_packed: bool, dtype: str
) -> Way:
    """The way of a class of rows: the one chosen, else by length.

    Compiled code holds it as a constant, so `use_way` forgets what was compiled.

    >>> way_of(6, 6, 64, 4096, False, "bfloat16").kind
    'flash'
    """
    shape = RowShape(heads, kv_heads, head_dim, length, is_packed, dtype)
    kind = "matmul" if length <= MATMUL_UP_TO else "flash"
    return CHOSEN.get(shape.name) or Way(kind)


# As torch.compiler.assume_constant_result does, whose import would cost every process a second.
way_of._dynamo_marked_constant = True  # type: ignore[attr-defined]


def quarter(length: int) -> int:
    """Queries at a time that a trial tries: a quarter of the row, whose keys are then 5/8 of all.

    More parts skip little more and take long to compile; 64 at least.

    >>> quarter(256), quarter(2048), quarter(16)
    (64, 512, 64)
    """
    return max(SMALLEST_CHUNK, length // 4)


def use_way(shape: RowShape, way: Way) -> None:
    """Let rows of a class take a way; for blocks that were compiled before, compile anew."""
    if CHOSEN.get(shape.name) != way:
        CHOSEN[shape.name] = way
        forget_compiled()


def chosen_ways() -> dict[str, list[str | int]]:
    """What was chosen, for a determinism contract."""
    return {name: list(way) for name, way in sorted(CHOSEN.items())}


def replay_ways(contract: dict[str, list[str | int]]) -> None:
    """Take the ways of a run that is resumed, and no others.

    Raises ConfigError for what is no way.
    """
    ways = {name: read_way(value) for name, value in contract.items()}
    if ways != CHOSEN:
        CHOSEN.clear()
        CHOSEN.update(ways)
        forget_compiled()


def forget_compiled() -> None:
    """Let what was compiled in this process be compiled anew."""
    if "torch._dynamo" in sys.modules:
        torch._dynamo.reset()


def read_way(value: object) -> Way:
    """A way as JSON has it."""
    match value:
        case ["matmul" | "flash" as kind, int() as chunk] if chunk > 0:
            return Way(kind, chunk)
    raise ConfigError(f"{value} is no way of attention; expected [matmul or flash, queries].")
