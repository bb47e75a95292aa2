"""Attention backends for training on CPUs: by rule, or autotuned.

Two matrix products with a compiled softmax, `chunk` queries at a time, or PyTorch's flash kernel:
which is faster depends on length, heads, dtype, CPU and threads. Each shape class is measured once
and cached. Backends differ in rounding, so a run's choices are part of its determinism contract and
are restored on resume. They must be set before blocks are compiled, which reads them as constants.
"""

import sys
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from groundup.core import ConfigError

MAX_MATMUL_LENGTH = 2048
"""Maximum sequence length of the matmul backend; beyond, its scores need too much memory."""
QUERY_CHUNK, MIN_QUERY_CHUNK = 512, 64
"""Queries per chunk: later keys are skipped, and the scores remain small."""


class AttentionBackend(NamedTuple):
    """An implementation of attention."""

    kind: Literal["matmul", "flash"]
    chunk: int = QUERY_CHUNK
    """Queries per chunk, for matmul."""


class AttentionShape(NamedTuple):
    """A class of sequences whose attention has about the same cost."""

    heads: int
    kv_heads: int
    head_dim: int
    length: int
    """Tokens, rounded up to a power of two."""
    is_packed: bool
    """Whether sequences hold several documents; flash then cannot skip later keys."""
    dtype: str

    @property
    def key(self) -> str:
        """Its key in JSON.

        >>> AttentionShape(6, 2, 64, 256, True, "bfloat16").key
        '6/2 heads of 64, 256 packed tokens, bfloat16'
        """
        tokens = f"{self.length} {'packed ' if self.is_packed else ''}tokens"
        return f"{self.heads}/{self.kv_heads} heads of {self.head_dim}, {tokens}, {self.dtype}"


CHOSEN_BACKENDS: dict[str, AttentionBackend] = {}
"""Backends of this process by shape name; shapes without one follow the rule."""


def attention_shape(
    q: Float[Tensor, "B H T K"], k: Float[Tensor, "B G S K"], is_packed: bool
) -> AttentionShape:
    """The shape class of these tensors."""
    length = 1 << max(k.shape[2] - 1, 0).bit_length()
    dtype = str(q.dtype).removeprefix("torch.")
    return AttentionShape(q.shape[1], k.shape[1], q.shape[3], length, is_packed, dtype)


def backend_for(
    heads: int, kv_heads: int, head_dim: int, length: int, is_packed: bool, dtype: str
) -> AttentionBackend:
    """The backend of a shape: the chosen one, else by length.

    Compiled code holds it as a constant, so `set_backend` resets compiled code.

    >>> backend_for(6, 6, 64, 4096, False, "bfloat16").kind
    'flash'
    """
    shape = AttentionShape(heads, kv_heads, head_dim, length, is_packed, dtype)
    kind = "matmul" if length <= MAX_MATMUL_LENGTH else "flash"
    return CHOSEN_BACKENDS.get(shape.key) or AttentionBackend(kind)


# As torch.compiler.assume_constant_result does, but importing that would cost a second.
backend_for._dynamo_marked_constant = True  # type: ignore[attr-defined]


def quarter_chunk(length: int) -> int:
    """The smaller chunk size to autotune: a quarter of the sequence, which visits 5/8 of the keys.

    More chunks skip little more and take long to compile; at least 64.

    >>> quarter_chunk(256), quarter_chunk(2048), quarter_chunk(16)
    (64, 512, 64)
    """
    return max(MIN_QUERY_CHUNK, length // 4)


def set_backend(shape: AttentionShape, backend: AttentionBackend) -> None:
    """Set the backend of a shape; resets compiled code if it changes."""
    if CHOSEN_BACKENDS.get(shape.key) != backend:
        CHOSEN_BACKENDS[shape.key] = backend
        _reset_compiled()


def chosen_backends() -> dict[str, list[str | int]]:
    """The chosen backends, for a determinism contract."""
    return {name: list(way) for name, way in sorted(CHOSEN_BACKENDS.items())}


def restore_backends(contract: dict[str, list[str | int]]) -> None:
    """Restore exactly the backends of a resumed run.

    Raises ConfigError for an invalid backend.
    """
    ways = {name: parse_backend(value) for name, value in contract.items()}
    if ways != CHOSEN_BACKENDS:
        CHOSEN_BACKENDS.clear()
        CHOSEN_BACKENDS.update(ways)
        _reset_compiled()


def _reset_compiled() -> None:
    """Discard this process's compiled code."""
    if "torch._dynamo" in sys.modules:
        torch._dynamo.reset()


def parse_backend(value: object) -> AttentionBackend:
    """Parse a backend from JSON."""
    match value:
        case ["matmul" | "flash" as kind, int() as chunk] if chunk > 0:
            return AttentionBackend(kind, chunk)
    raise ConfigError(
        f'{value} is not an attention backend; expected ["matmul" or "flash", chunk].'
    )
