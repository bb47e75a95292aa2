"""Writing safetensors files in one pass, from reusable staging buffers, in a thread.

The format is a length, a JSON header and the data. It is written here rather than by the library so
that the file is hashed while written, without a copy, and a full disk is an OSError. The bytes are
those that the safetensors library writes.
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
"""Header names in the library's order: wide types come first in a file."""
ORDER = list(DTYPES)
CHUNK_BYTES = 2**23


class WrittenFile(NamedTuple):
    """Hash and size of a written file."""

    sha256: str
    bytes: int


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> WrittenFile:
    """Write and fsync a safetensors file; OSError if the disk is full or fails."""
    entries = sorted(tensors.items(), key=lambda entry: (-ORDER.index(entry[1].dtype), entry[0]))
    hashed, size = hashlib.sha256(), 0
    with open(path, "wb", buffering=0) as file:
        for content in (_safetensors_header(entries), *(tensor for _, tensor in entries)):
            block = memoryview(content if isinstance(content, bytes) else _tensor_bytes(content))
            for start in range(0, len(block), CHUNK_BYTES):
                chunk = block[start : start + CHUNK_BYTES]
                hashed.update(chunk)
                while chunk:  # a write may be partial
                    chunk = chunk[file.write(chunk) :]
            size += len(block)
        os.fsync(file.fileno())
    return WrittenFile(hashed.hexdigest(), size)


def _safetensors_header(rows: list[tuple[str, Tensor]]) -> bytes:
    """The header's length and the JSON header with each tensor's offsets."""
    about: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in rows:
        start, end = end, end + tensor.numel() * tensor.element_size()
        kind, shape = DTYPES[tensor.dtype], list(tensor.shape)
        about[name] = {"dtype": kind, "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(about, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _tensor_bytes(tensor: Tensor) -> memoryview:
    """A tensor's bytes, without copying if it is contiguous in main memory."""
    return tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


class StagingBuffers:
    """Host buffers into which tensors are copied, reused from save to save."""

    def __init__(self) -> None:
        self.buffers: dict[str, Tensor] = {}

    @property
    def bytes(self) -> int:
        """Allocated bytes."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.buffers.values())

    def copy(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Copies, valid until the next call; buffers of other names are freed."""
        is_on_gpu = any(tensor.is_cuda for tensor in tensors.values())
        self.buffers = {name: tensor for name, tensor in self.buffers.items() if name in tensors}
        for name, tensor in tensors.items():
            buffer = self.buffers.get(name)
            if buffer is None or buffer.shape != tensor.shape or buffer.dtype != tensor.dtype:
                buffer = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=is_on_gpu)
                self.buffers[name] = buffer
            buffer.copy_(tensor, non_blocking=True)
        if is_on_gpu:
            torch.cuda.synchronize()
        return dict(self.buffers)


class BackgroundTask:
    """At most one task in a thread; its error is raised by `wait`."""

    def __init__(self) -> None:
        self.thread: threading.Thread | None = None
        self.error: BaseException | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a task is running."""
        return self.thread is not None and self.thread.is_alive()

    def start(self, work: Callable[[], None]) -> None:
        """Start a task after the previous one has ended; raises the previous one's error."""
        self.wait()

        def run() -> None:
            try:
                work()
            except BaseException as error:
                self.error = error

        # A daemon, so that it does not block exit: a partial checkpoint is ignored.
        self.thread = threading.Thread(target=run, name="checkpoint", daemon=True)
        self.thread.start()

    def wait(self) -> None:
        """Wait for the task; raise its error, once."""
        if self.thread is not None:
            self.thread.join()
            self.thread = None
        error, self.error = self.error, None
        if error is not None:
            raise error
