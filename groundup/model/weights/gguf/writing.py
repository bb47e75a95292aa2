"""Write a GGUF file from metadata and tensors, quantizing one tensor at a time.

Python values map to GGUF types: bool, int to uint32 if it fits, float to float32, str, and lists of
str; numpy arrays keep their types.
Source: ggml-org/ggml, docs/reference/model/gguf.md; version 3.
"""

import struct
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from groundup.core import DataError, atomic_replace

from .block import BlockType
from .format import ALIGNMENT, ARRAY, MAGIC, MAX_DIMENSIONS, NUMBERS, TEXT, Value
from .quantize import quantize_blocks

VERSION = 3
CODES = {np.dtype(name): code for code, name in NUMBERS.items()}


class TensorToWrite(NamedTuple):
    """A tensor to write."""

    name: str
    type: BlockType
    shape: tuple[int, ...]
    """In torch's order."""
    values: Callable[[], Float[np.ndarray, "*shape"]]
    """Returns the values when they are written."""

    @property
    def bytes(self) -> int:
        """Stored size."""
        return self.type.size(int(np.prod(self.shape)))


def write_gguf_file(
    path: Path, metadata: Mapping[str, Value], tensors: Iterable[TensorToWrite]
) -> None:
    """Write a file atomically.

    Raises DataError for values that the format cannot represent, OSError for disk errors.
    """
    tensors = list(tensors)
    head = _encode_header(metadata, tensors)
    with atomic_replace(path) as temporary, open(temporary, "wb") as file:
        file.write(head + _padding_bytes(len(head)))
        for tensor in tensors:
            try:
                stored = quantize_blocks(tensor.values(), tensor.type)
            except DataError as error:
                raise DataError(f"Tensor {tensor.name}: {error}") from None
            file.write(stored.data)
            file.write(_padding_bytes(stored.size))


def _encode_header(metadata: Mapping[str, Value], tensors: list[TensorToWrite]) -> bytes:
    """Everything before the tensor data."""
    parts = [MAGIC, struct.pack("<IQQ", VERSION, len(tensors), len(metadata))]
    for key, value in metadata.items():
        parts += [_encode_text(key), _encode_value(key, value)]
    offset = 0
    for tensor in tensors:
        sizes = tuple(reversed(tensor.shape))
        if not 1 <= len(sizes) <= MAX_DIMENSIONS:
            raise DataError(f"Tensor {tensor.name} has {len(sizes)} dimensions; GGUF has 1 to 4.")
        parts += [_encode_text(tensor.name), struct.pack(f"<I{len(sizes)}Q", len(sizes), *sizes)]
        parts.append(struct.pack("<IQ", tensor.type.code, offset))
        offset += tensor.bytes + len(_padding_bytes(tensor.bytes))
    return b"".join(parts)


def _padding_bytes(size: int) -> bytes:
    """Zeros up to the next multiple of the alignment."""
    return bytes(-size % ALIGNMENT)


def _encode_text(value: str) -> bytes:
    """A length and UTF-8."""
    content = value.encode("utf-8")
    return struct.pack("<Q", len(content)) + content


def _encode_value(key: str, value: Value) -> bytes:
    """The type of a value and its bytes; raises DataError if GGUF cannot represent it."""
    match value:
        case bool():
            return struct.pack("<I?", CODES[np.dtype("?")], value)
        case int() if 0 <= value < 1 << 32:
            return struct.pack("<II", CODES[np.dtype("<u4")], value)
        case int() if -(1 << 63) <= value < 1 << 63:
            return struct.pack("<Iq", CODES[np.dtype("<i8")], value)
        case float():
            return struct.pack("<If", CODES[np.dtype("<f4")], value)
        case str():
            return struct.pack("<I", TEXT) + _encode_text(value)
        case np.ndarray() if value.ndim == 1 and value.dtype.newbyteorder("<") in CODES:
            stored = value.astype(value.dtype.newbyteorder("<"))
            return struct.pack("<IIQ", ARRAY, CODES[stored.dtype], len(value)) + stored.tobytes()
        case list() if all(isinstance(each, str) for each in value):
            each = b"".join(map(_encode_text, value))
            return struct.pack("<IIQ", ARRAY, TEXT, len(value)) + each
    raise DataError(f"GGUF metadata cannot hold {key}={str(value)[:60]!r}.")
