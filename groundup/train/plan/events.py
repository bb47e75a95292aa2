"""Events: every tensor's memory that a piece of code takes and gives back, in order.

Works on fake tensors, so that what is told of has never been there, and on real ones. Memory is
counted by storage: views are free. What a single operation takes and gives back within itself is
not seen.
"""

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter


class Event(NamedTuple):
    """Memory of one storage, taken or given back."""

    storage: int
    """Number of the storage, counted from 0."""
    size_bytes: int
    """Negative when it is given back."""


class Recorder(TorchDispatchMode):
    """Notes what is taken and given back while it is entered; later only what is given back."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Event] = []
        self.parts: list[str] = []
        """What each storage is for, by its number."""
        self.part = "other"
        """What storages that are made now are for."""
        self.known: dict[int, int] = {}

    @classmethod
    def is_infra_mode(cls) -> bool:
        """Whether torch.compile works under it, as under fake tensors: it changes no result."""
        return True

    def __torch_dispatch__(
        self, op: Any, types: Any, inputs: Any = (), settings: Any = None
    ) -> Any:
        """Run an operation and note the storages of its results."""
        found = op(*inputs, **(settings or {}))
        for each in tree_iter(found):
            if isinstance(each, Tensor):
                self.note(each)
        return found

    def note(self, tensor: Tensor) -> int:
        """Number of a tensor's storage; a new one is an event."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self.known:
            number = self.known[key] = len(self.parts)
            self.parts.append(self.part)
            self.events.append(Event(number, storage.nbytes()))
            weakref.finalize(storage, self.forget, key, storage.nbytes()).atexit = False
        return self.known[key]

    def forget(self, key: int, size_bytes: int) -> None:
        """Note that a storage is gone."""
        self.events.append(Event(self.known.pop(key), -size_bytes))

    def name(self, tensor: Tensor, part: str) -> None:
        """Say what a storage is for, whatever was being done when it was made."""
        self.parts[self.note(tensor)] = part

    @contextmanager
    def making(self, part: str) -> Iterator[None]:
        """Context in which new storages are for `part`."""
        before, self.part = self.part, part
        try:
            yield
        finally:
            self.part = before


class Peak(NamedTuple):
    """The moment at which most memory was held."""

    total_bytes: int
    parts: dict[str, int]
    """Bytes by what they were for."""


def peak(recorder: Recorder, start: int = 0, end: int | None = None) -> Peak:
    """Most memory held at one moment from one event to another, by part."""
    held: dict[str, int] = {}
    best, now = Peak(0, {}), 0
    for number, event in enumerate(recorder.events[:end]):
        part = recorder.parts[event.storage]
        held[part] = held.get(part, 0) + event.size_bytes
        now += event.size_bytes
        if number >= start and now > best.total_bytes:
            best = Peak(now, {name: size for name, size in held.items() if size})
    return best
