"""Memory events: every allocation and release of tensor memory by some code, in order.

Works on fake tensors, whose memory is never really allocated, and on real ones. Memory is counted
by storage: views are free. Temporary memory within a single operation is not seen.
"""

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter


class MemoryEvent(NamedTuple):
    """An allocation or release of one storage."""

    storage: int
    """Number of the storage, from 0."""
    size_bytes: int
    """Negative for a release."""


class MemoryRecorder(TorchDispatchMode):
    """Records allocations and releases while active; afterwards only releases."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[MemoryEvent] = []
        self.categories: list[str] = []
        """Category of each storage, by its number."""
        self.category = "other"
        """Category of new storages."""
        self.storage_numbers: dict[int, int] = {}

    @classmethod
    def is_infra_mode(cls) -> bool:
        """Let torch.compile work under it, as under fake tensors: it changes no result."""
        return True

    def __torch_dispatch__(
        self, op: Any, types: Any, inputs: Any = (), settings: Any = None
    ) -> Any:
        """Run an operation and record the storages of its results."""
        result = op(*inputs, **(settings or {}))
        for each in tree_iter(result):
            if isinstance(each, Tensor):
                self.record_storage(each)
        return result

    def record_storage(self, tensor: Tensor) -> int:
        """Number of a tensor's storage; a new one is an event."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self.storage_numbers:
            number = self.storage_numbers[key] = len(self.categories)
            self.categories.append(self.category)
            self.events.append(MemoryEvent(number, storage.nbytes()))
            weakref.finalize(storage, self.record_release, key, storage.nbytes()).atexit = False
        return self.storage_numbers[key]

    def record_release(self, key: int, size_bytes: int) -> None:
        """Record a release."""
        self.events.append(MemoryEvent(self.storage_numbers.pop(key), -size_bytes))

    def set_category(self, tensor: Tensor, part: str) -> None:
        """Set the category of a tensor's storage."""
        self.categories[self.record_storage(tensor)] = part

    @contextmanager
    def allocating(self, part: str) -> Iterator[None]:
        """Context in which new storages have the category `category`."""
        before, self.category = self.category, part
        try:
            yield
        finally:
            self.category = before


class MemoryPeak(NamedTuple):
    """The moment of the highest memory use."""

    total_bytes: int
    by_category: dict[str, int]
    """Bytes by category."""


def memory_peak(recorded: MemoryRecorder, start: int = 0, end: int | None = None) -> MemoryPeak:
    """Highest memory use between two events, by category."""
    sizes: dict[str, int] = {}
    best, total = MemoryPeak(0, {}), 0
    for number, event in enumerate(recorded.events[:end]):
        part = recorded.categories[event.storage]
        sizes[part] = sizes.get(part, 0) + event.size_bytes
        total += event.size_bytes
        if number >= start and total > best.total_bytes:
            best = MemoryPeak(total, {name: size for name, size in sizes.items() if size})
    return best
