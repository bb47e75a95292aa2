"""The format GGUF: parse an untrusted file, and write one.

Metadata and tensor table are read, tensor data is memory-mapped:

    "GGUF"  version u32  tensors u64  entries u64
    entries        key, type u32, value            strings are a length u64 and UTF-8
    tensors        name, dimensions u32, sizes u64 each, type u32, offset u64
    padding        to a multiple of general.alignment (32)
    data           each tensor at its offset from here

Every count, length and offset is checked against the remaining bytes before it is used, and tensors
may not overlap, so that time and memory stay within a small multiple of the file's size. A
truncated, damaged or malicious file is an ArtifactError. The library gguf checks little of this,
and writes neither empty lists nor arrays; it only converts the blocks (blocks.py).
Source: ggml-org/ggml, docs/gguf.md; versions 2 and 3, little endian.
"""

import math
import struct
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from groundup.core import ArtifactError, DataError, atomic_replace, require_regular_file

from .blocks import BlockType, block_types, dequantize, quantize_blocks

MAGIC, VERSIONS = b"GGUF", (2, 3)
ALIGNMENT, ALIGNMENT_KEY = 32, "general.alignment"
MAX_DIMENSIONS, MAX_LIST_DEPTH, MAX_KEY_BYTES = 4, 4, 65_535

NUMBERS: dict[int, str] = {
    0: "u1", 1: "i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", 6: "<f4", 7: "?",
    10: "<u8", 11: "<i8", 12: "<f8",
}  # fmt: skip
"""Types of metadata that are numbers, as numpy names them."""
CODES = {np.dtype(name): code for code, name in NUMBERS.items()}
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
        return self.bytes // self.type.bytes * self.type.values


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
        message = f"{path} cannot be read ({error.strerror}); expected a GGUF file."
        raise ArtifactError(message) from None
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
        version = self._number("<I")
        if version not in VERSIONS:
            swapped = " of big-endian machines" if version & 0xFFFF == 0 else ""
            what = f"{self.path} is GGUF version {version}{swapped}; groundup reads little-endian"
            raise ArtifactError(f"{what} versions 2 and 3: convert the model again.")
        tensors, entries = self._number("<Q"), self._number("<Q")
        self._require_bytes(entries * SMALLEST_ENTRY, f"{entries} entries of metadata")
        metadata = self._metadata(entries)
        self._require_bytes(tensors * SMALLEST_TENSOR, f"{tensors} tensors")
        alignment = self._alignment(metadata)
        named = [self._tensor() for _ in range(tensors)]
        start = -(-self.position // alignment) * alignment
        located = self._locate(named, start, alignment)
        return GgufFile(self.path, version, metadata, located, self.content)

    def _invalid(self, what: str) -> ArtifactError:
        what = f"{self.path} is not a valid GGUF file: {what}"
        return ArtifactError(f"{what}; copy or download it again.")

    def _require_bytes(self, size: int, what: str) -> None:
        remaining = len(self.view) - self.position
        if size > remaining:
            rest = f"the {remaining:,} bytes after byte {self.position:,}"
            raise self._invalid(f"{what} do not fit {rest}")

    def _read_bytes(self, size: int, what: str) -> memoryview:
        self._require_bytes(size, what)
        self.position += size
        return self.view[self.position - size : self.position]

    def _number(self, kind: str) -> int:
        """The next number, in struct's notation."""
        return struct.unpack(kind, self._read_bytes(struct.calcsize(kind), "a number"))[0]

    def _text(self, what: str, longest: int | None = None) -> str:
        size = self._number("<Q")
        if longest is not None and size > longest:
            raise self._invalid(f"{what} has {size:,} bytes, at most {longest:,} are allowed")
        try:
            return str(self._read_bytes(size, f"{what} of {size:,} bytes"), "utf-8")
        except UnicodeDecodeError:
            raise self._invalid(f"{what} before byte {self.position:,} is not UTF-8") from None

    def _metadata(self, entries: int) -> dict[str, Value]:
        """All entries; keys must be unique."""
        values: dict[str, Value] = {}
        for _ in range(entries):
            key = self._text("a key", MAX_KEY_BYTES)
            if key in values:
                raise self._invalid(f"the key {key[:80]!r} is duplicated")
            values[key] = self._value(self._number("<I"), key)
        return values

    def _value(self, kind: int, key: str, depth: int = 0) -> Value:
        if kind in NUMBERS:
            return _python_number(self._array(kind, 1, key)[0])
        if kind == TEXT:
            return self._text(f"the text of {key[:80]!r}")
        if kind != ARRAY:
            raise self._invalid(f"{key[:80]!r} has the unknown type {kind}")
        if depth == MAX_LIST_DEPTH:
            raise self._invalid(f"{key[:80]!r} has lists more than {MAX_LIST_DEPTH} deep")
        inner, count = self._number("<I"), self._number("<Q")
        if inner in NUMBERS:
            return self._array(inner, count, key).copy()
        smallest = 8 if inner == TEXT else 12
        self._require_bytes(count * smallest, f"{count:,} elements of {key[:80]!r}")
        return [self._value(inner, key, depth + 1) for _ in range(count)]

    def _array(self, kind: int, count: int, key: str) -> np.ndarray:
        dtype = np.dtype(NUMBERS[kind])
        what = f"{count:,} numbers of {key[:80]!r}"
        raw = np.frombuffer(self._read_bytes(count * dtype.itemsize, what), np.uint8)
        if dtype == np.bool_ and (raw > 1).any():
            raise self._invalid(f"{key[:80]!r} has a bool that is neither 0 nor 1")
        return raw.view(dtype)

    def _alignment(self, metadata: dict[str, Value]) -> int:
        value = metadata.get(ALIGNMENT_KEY, ALIGNMENT)
        if not isinstance(value, int) or value < 1 or value & (value - 1):
            raise self._invalid(f"{ALIGNMENT_KEY} is {str(value)[:40]}, not a power of two")
        return value

    def _tensor(self) -> TensorInfo:
        """The next tensor's entry; its start is still relative to the data section."""
        name = self._text("a tensor's name", MAX_KEY_BYTES)
        dimensions = self._number("<I")
        if not 1 <= dimensions <= MAX_DIMENSIONS:
            raise self._invalid(f"tensor {name[:80]!r} has {dimensions} dimensions")
        raw = self._read_bytes(8 * dimensions, "sizes of a tensor")
        sizes = struct.unpack(f"<{dimensions}Q", raw)
        code, offset = self._number("<I"), self._number("<Q")
        type = next((each for each in block_types().values() if each.code == code), None)
        if type is None:
            what = f"{self.path} stores {name[:80]!r} in type {code}"
            raise ArtifactError(f"{what}; groundup reads {', '.join(block_types())}.")
        count = math.prod(sizes)
        if count == 0 or sizes[0] % type.values:
            what = f"tensor {name[:80]!r} of sizes {sizes} has rows that are not complete blocks"
            raise self._invalid(f"{what} of {type.name}, which hold {type.values} values")
        return TensorInfo(name, type, tuple(reversed(sizes)), offset, type.size(count))

    def _locate(self, named: list[TensorInfo], start: int, alignment: int) -> dict[str, TensorInfo]:
        """The tensors by name with their offsets in the file, which must not overlap."""
        placed, end = dict[str, TensorInfo](), start
        for tensor in sorted(named, key=lambda tensor: tensor.start):
            name, first = tensor.name[:80], start + tensor.start
            if tensor.start % alignment:
                what = f"starts at {tensor.start}, not a multiple of {alignment}"
                raise self._invalid(f"tensor {name!r} {what}")
            if (last := first + tensor.bytes) > len(self.view):
                raise self._invalid(f"tensor {name!r} ends at byte {last:,} of {len(self.view):,}")
            if first < end:
                raise self._invalid(f"tensor {name!r} overlaps another")
            if tensor.name in placed:
                raise self._invalid(f"two tensors have the same name {name!r}")
            placed[tensor.name], end = tensor._replace(start=first), last
        return {tensor.name: placed[tensor.name] for tensor in named}


def _python_number(number: np.generic) -> int | float | bool:
    """A numpy number as a Python number; float32 becomes its shortest decimal.

    >>> _python_number(np.float32(1e-6))
    1e-06
    """
    return float(str(number)) if number.dtype == np.float32 else number.item()


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
    """Write a file atomically, quantizing one tensor at a time.

    Metadata: bool, int (uint32 if it fits), float (float32), str, lists of str, numpy arrays.

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
    parts = [MAGIC, struct.pack("<IQQ", VERSIONS[-1], len(tensors), len(metadata))]
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
    return bytes(-size % ALIGNMENT)


def _encode_text(value: str) -> bytes:
    content = value.encode("utf-8")
    return struct.pack("<Q", len(content)) + content


def _encode_value(key: str, value: Value) -> bytes:
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
