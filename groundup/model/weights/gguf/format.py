"""Parse a GGUF file, untrusted: metadata and tensor table are read, tensor data is memory-mapped.

    "GGUF"  version u32  tensors u64  entries u64
    entries        key, type u32, value            strings are a length u64 and UTF-8
    tensors        name, dimensions u32, sizes u64 each, type u32, offset u64
    padding        to a multiple of general.alignment (32)
    data           each tensor at its offset from here

Every count, length and offset is checked against the remaining bytes before it is used, and tensors
may not overlap, so that time and memory stay within a small multiple of the file's size. A
truncated, damaged or malicious file is an ArtifactError.
Source: ggml-org/ggml, docs/reference/model/gguf.md; versions 2 and 3, little endian.
"""

import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from groundup.core import ArtifactError, require_regular_file

from .block import TYPES, BlockType
from .dequantize import dequantize

MAGIC, VERSIONS = b"GGUF", (2, 3)
ALIGNMENT, ALIGNMENT_KEY = 32, "general.alignment"
MAX_DIMENSIONS, MAX_LIST_DEPTH, MAX_KEY_BYTES = 4, 4, 65_535

NUMBERS: dict[int, str] = {
    0: "u1", 1: "i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", 6: "<f4", 7: "?",
    10: "<u8", 11: "<i8", 12: "<f8",
}  # fmt: skip
"""Types of metadata that are numbers, as numpy names them."""
TEXT, ARRAY = 8, 9
SMALLEST_ENTRY = 8 + 4 + 1
SMALLEST_TENSOR = 8 + 4 + 8 + 4 + 8

Value = int | float | bool | str | np.ndarray | list
"""Of metadata; a list of numbers is an array, a list of texts or of lists is a list."""


class TensorInfo(NamedTuple):
    """The location of a tensor."""

    name: str
    type: BlockType
    shape: tuple[int, ...]
    """In torch's order, the fastest dimension last; files have it first."""
    start: int
    """First byte, from the beginning of the file."""
    bytes: int

    @property
    def values(self) -> int:
        """Number of values."""
        return self.bytes // self.type.layout.itemsize * self.type.values


class GgufFile(NamedTuple):
    """An opened file: its metadata, and the locations of its tensors."""

    path: Path
    version: int
    metadata: dict[str, Value]
    tensors: dict[str, TensorInfo]
    content: UInt8[np.ndarray, " bytes"]
    """The complete file, memory-mapped."""

    def blocks(self, name: str) -> UInt8[np.ndarray, " bytes"]:
        """A tensor's stored bytes, without copying."""
        stored = self.tensor_info(name)
        return self.content[stored.start : stored.start + stored.bytes]

    def values(self, name: str) -> Float[np.ndarray, "*shape"]:
        """A tensor's values, dequantized."""
        stored = self.tensor_info(name)
        return dequantize(self.blocks(name), stored.type).reshape(stored.shape)

    def tensor_info(self, name: str) -> TensorInfo:
        """A tensor's location; ArtifactError if there is no such tensor."""
        if name not in self.tensors:
            raise ArtifactError(f"{self.path} has no tensor {name}.")
        return self.tensors[name]


def open_gguf(path: Path | str) -> GgufFile:
    """Parse a file's header and map its tensors.

    Raises ArtifactError for a file that is not GGUF, truncated or inconsistent, and for an
    unsupported version or type.
    """
    path = Path(path)
    try:
        content = np.memmap(require_regular_file(path), np.uint8, "r")
    except ValueError:
        raise ArtifactError(f"{path} is empty; expected a GGUF file.") from None
    except OSError as error:
        raise ArtifactError(
            f"{path} cannot be read ({error.strerror}); expected a GGUF file."
        ) from None
    return Parser(path, content).parse()


class Parser:
    """A cursor over the bytes of a file."""

    def __init__(self, path: Path, content: UInt8[np.ndarray, " bytes"]) -> None:
        self.path, self.content, self.view, self.position = path, content, content.data, 0

    def parse(self) -> GgufFile:
        """Read everything but the tensors' data."""
        if bytes(self.view[:4]) != MAGIC:
            raise ArtifactError(f"{self.path} is not a GGUF file: it does not begin with GGUF.")
        self.position = len(MAGIC)
        version = self.number("<I")
        if version not in VERSIONS:
            swapped = " of big-endian machines" if version & 0xFFFF == 0 else ""
            raise ArtifactError(
                f"{self.path} is GGUF version {version}{swapped}; groundup reads little-endian "
                "versions 2 and 3: convert the model again."
            )
        tensors, entries = self.number("<Q"), self.number("<Q")
        self.require_bytes(entries * SMALLEST_ENTRY, f"{entries} entries of metadata")
        metadata = self.metadata(entries)
        self.require_bytes(tensors * SMALLEST_TENSOR, f"{tensors} tensors")
        alignment = self.alignment(metadata)
        named = [self.tensor() for _ in range(tensors)]
        start = -(-self.position // alignment) * alignment
        placed = [self.locate(tensor, start, alignment) for tensor in named]
        self.check_overlaps(placed)
        by_name = {tensor.name: tensor for tensor in placed}
        return GgufFile(self.path, version, metadata, by_name, self.content)

    def invalid(self, what: str) -> ArtifactError:
        """The error of a truncated or inconsistent file."""
        return ArtifactError(
            f"{self.path} is not a valid GGUF file: {what}; copy or download it again."
        )

    def require_bytes(self, size: int, what: str) -> None:
        """Raise ArtifactError unless `size` bytes remain."""
        remaining = len(self.view) - self.position
        if size > remaining:
            raise self.invalid(
                f"{what} do not fit the {remaining:,} bytes after byte {self.position:,}"
            )

    def read_bytes(self, size: int, what: str) -> memoryview:
        """The next bytes."""
        self.require_bytes(size, what)
        self.position += size
        return self.view[self.position - size : self.position]

    def number(self, kind: str) -> int:
        """The next number, in struct's notation."""
        return struct.unpack(kind, self.read_bytes(struct.calcsize(kind), "a number"))[0]

    def text(self, what: str, longest: int | None = None) -> str:
        """The next text."""
        size = self.number("<Q")
        if longest is not None and size > longest:
            raise self.invalid(f"{what} has {size:,} bytes, at most {longest:,} are allowed")
        try:
            return str(self.read_bytes(size, f"{what} of {size:,} bytes"), "utf-8")
        except UnicodeDecodeError:
            raise self.invalid(f"{what} before byte {self.position:,} is not UTF-8") from None

    def metadata(self, entries: int) -> dict[str, Value]:
        """All entries; keys must be unique."""
        values: dict[str, Value] = {}
        for _ in range(entries):
            key = self.text("a key", MAX_KEY_BYTES)
            if key in values:
                raise self.invalid(f"the key {key[:80]!r} is duplicated")
            values[key] = self.value(self.number("<I"), key)
        return values

    def value(self, kind: int, key: str, depth: int = 0) -> Value:
        """The next value of a type."""
        if kind in NUMBERS:
            return _python_number(self.array(kind, 1, key)[0])
        if kind == TEXT:
            return self.text(f"the text of {key[:80]!r}")
        if kind != ARRAY:
            raise self.invalid(f"{key[:80]!r} has the unknown type {kind}")
        if depth == MAX_LIST_DEPTH:
            raise self.invalid(f"{key[:80]!r} has lists more than {MAX_LIST_DEPTH} deep")
        inner, count = self.number("<I"), self.number("<Q")
        if inner in NUMBERS:
            return self.array(inner, count, key).copy()
        smallest = 8 if inner == TEXT else 12
        self.require_bytes(count * smallest, f"{count:,} elements of {key[:80]!r}")
        return [self.value(inner, key, depth + 1) for _ in range(count)]

    def array(self, kind: int, count: int, key: str) -> np.ndarray:
        """The next numbers, mapped."""
        dtype = np.dtype(NUMBERS[kind])
        what = f"{count:,} numbers of {key[:80]!r}"
        raw = np.frombuffer(self.read_bytes(count * dtype.itemsize, what), np.uint8)
        if dtype == np.bool_ and (raw > 1).any():
            raise self.invalid(f"{key[:80]!r} has a bool that is neither 0 nor 1")
        return raw.view(dtype)

    def alignment(self, metadata: dict[str, Value]) -> int:
        """The alignment of tensor data, in bytes."""
        value = metadata.get(ALIGNMENT_KEY, ALIGNMENT)
        if not isinstance(value, int) or value < 1 or value & (value - 1):
            raise self.invalid(f"{ALIGNMENT_KEY} is {str(value)[:40]}, which is not a power of two")
        return value

    def tensor(self) -> TensorInfo:
        """The next tensor's entry; its start is still relative to the data section."""
        name = self.text("a tensor's name", MAX_KEY_BYTES)
        dimensions = self.number("<I")
        if not 1 <= dimensions <= MAX_DIMENSIONS:
            raise self.invalid(f"tensor {name[:80]!r} has {dimensions} dimensions")
        sizes = struct.unpack(
            f"<{dimensions}Q", self.read_bytes(8 * dimensions, "sizes of a tensor")
        )
        code, offset = self.number("<I"), self.number("<Q")
        if code not in TYPES:
            raise ArtifactError(
                f"{self.path} stores {name[:80]!r} in type {code}; groundup reads "
                f"{', '.join(TYPES[known].name for known in sorted(TYPES))}."
            )
        type, count = TYPES[code], 1
        for size in sizes:
            count *= size
        if count == 0 or sizes[0] % type.values:
            raise self.invalid(
                f"tensor {name[:80]!r} of sizes {sizes} has rows that are not complete blocks of "
                f"{type.name}, which hold {type.values} values"
            )
        return TensorInfo(name, type, tuple(reversed(sizes)), offset, type.size(count))

    def locate(self, tensor: TensorInfo, start: int, alignment: int) -> TensorInfo:
        """The entry with its offset in the file."""
        name = tensor.name[:80]
        if tensor.start % alignment:
            raise self.invalid(
                f"tensor {name!r} starts at {tensor.start}, which is not a multiple of {alignment}"
            )
        first = start + tensor.start
        if first + tensor.bytes > len(self.view):
            raise self.invalid(
                f"tensor {name!r} ends at byte {first + tensor.bytes:,} of {len(self.view):,}"
            )
        return tensor._replace(start=first)

    def check_overlaps(self, placed: list[TensorInfo]) -> None:
        """Raise ArtifactError if two tensors share a name or bytes."""
        if len({tensor.name for tensor in placed}) < len(placed):
            raise self.invalid("two tensors have the same name")
        end = 0
        for tensor in sorted(placed, key=lambda tensor: tensor.start):
            if tensor.start < end:
                raise self.invalid(f"tensor {tensor.name[:80]!r} overlaps another")
            end = tensor.start + tensor.bytes


def _python_number(number: np.generic) -> int | float | bool:
    """A numpy number as a Python number; float32 becomes its shortest decimal.

    >>> _python_number(np.float32(1e-6))
    1e-06
    """
    return float(str(number)) if number.dtype == np.float32 else number.item()
