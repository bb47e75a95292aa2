"""Writing: safetensors files in one pass, from copies that the next save uses again, in a thread.

The format is a length, a JSON header and the numbers, so it is written here: the file is hashed as
it goes out, nothing is copied to make it, and a full disk is an OSError. The bytes are those that
the safetensors library writes.
"""

import hashlib
import json
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

DTYPES = {
    torch.bool: "BOOL", torch.uint8: "U8", torch.int8: "I8", torch.float8_e5m2: "F8_E5M2",
    torch.float8_e4m3fn: "F8_E4M3", torch.int16: "I16", torch.uint16: "U16", torch.float16: "F16",
    torch.bfloat16: "BF16", torch.int32: "I32", torch.uint32: "U32", torch.float32: "F32",
    torch.float64: "F64", torch.int64: "I64", torch.uint64: "U64",
}  # fmt: skip
"""Names in a header, in the library's order: wide types come first in a file."""
ORDER = list(DTYPES)
CHUNK_BYTES = 2**23


class Written(NamedTuple):
    """A file that is on the disk."""

    sha256: str
    bytes: int


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> Written:
    """Write a safetensors file and make it durable; OSError where the disk does not take it."""
    rows = sorted(tensors.items(), key=lambda row: (-ORDER.index(row[1].dtype), row[0]))
    hashed, size = hashlib.sha256(), 0
    with open(path, "wb", buffering=0) as file:
        for content in (header(rows), *(tensor for _, tensor in rows)):
            block = memoryview(content if isinstance(content, bytes) else raw(content))
            for start in range(0, len(block), CHUNK_BYTES):
                part = block[start : start + CHUNK_BYTES]
                hashed.update(part)
                while part:  # the system may take less than it was given
                    part = part[file.write(part) :]
            size += len(block)
        os.fsync(file.fileno())
    return Written(hashed.hexdigest(), size)


def header(rows: list[tuple[str, Tensor]]) -> bytes:
    """A file's beginning: the header's length, and what lies where behind it."""
    about: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in rows:
        start, end = end, end + tensor.numel() * tensor.element_size()
        kind, shape = DTYPES[tensor.dtype], list(tensor.shape)
        about[name] = {"dtype": kind, "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(about, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def raw(tensor: Tensor) -> memoryview:
    """A tensor's bytes, without copying if it lies in order in main memory."""
    return tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


def sync(path: Path) -> None:
    """Make a file's content, or the names in a folder, durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Staging:
    """Main memory into which tensors are copied, kept from save to save."""

    def __init__(self) -> None:
        self.kept: dict[str, Tensor] = {}

    @property
    def bytes(self) -> int:
        """Memory that is held."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.kept.values())

    def copy(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Copies, which hold until the next call; what is no longer given is let go."""
        is_on_card = any(tensor.is_cuda for tensor in tensors.values())
        self.kept = {name: tensor for name, tensor in self.kept.items() if name in tensors}
        for name, tensor in tensors.items():
            kept = self.kept.get(name)
            if kept is None or kept.shape != tensor.shape or kept.dtype != tensor.dtype:
                kept = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=is_on_card)
                self.kept[name] = kept
            kept.copy_(tensor, non_blocking=True)
        if is_on_card:
            torch.cuda.synchronize()
        return dict(self.kept)


class Background:
    """At most one piece of work in a thread; its error comes out where it is asked for."""

    def __init__(self) -> None:
        self.thread: threading.Thread | None = None
        self.error: BaseException | None = None

    @property
    def is_busy(self) -> bool:
        """Whether work goes on."""
        return self.thread is not None and self.thread.is_alive()

    def start(self, work: Callable[[], None]) -> None:
        """Begin, once what was begun before has ended; raises its error."""
        self.wait()

        def go() -> None:
            try:
                work()
            except BaseException as error:
                self.error = error

        # Whoever leaves without waiting is not held by it: what is half written is not seen.
        self.thread = threading.Thread(target=go, name="checkpoint", daemon=True)
        self.thread.start()

    def wait(self) -> None:
        """Let it end; raise its error, once."""
        if self.thread is not None:
            self.thread.join()
            self.thread = None
        error, self.error = self.error, None
        if error is not None:
            raise error
