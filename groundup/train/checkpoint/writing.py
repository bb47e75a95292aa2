"""Writing while training continues: staging buffers, a thread, and the processes' agreement.

Results of a `Coordinator` are the same on all processes. Use one instance per thread: the messages
of two threads in one group would be mixed up.
"""

import json
import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

from groundup.core import ArtifactError, GroundupError

from ..parallel.mesh import Mesh


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


Result = TypeVar("Result")


class Coordinator:
    """The processes of a mesh, with a process group of their own."""

    def __init__(self, mesh: Mesh, limit_seconds: float) -> None:
        """Create the group; a collective call on a mesh.

        limit_seconds  timeout for the other processes, which may still be writing
        """
        self.limit = timedelta(seconds=limit_seconds)
        is_alone = mesh.device_mesh is None
        self.rank = 0 if is_alone else distributed.get_rank()
        self.world_size = 1 if is_alone else distributed.get_world_size()
        self.group: distributed.ProcessGroup | None = None
        if self.world_size > 1:
            group = distributed.new_group(backend="gloo", timeout=self.limit)
            assert isinstance(group, distributed.ProcessGroup), "every process is in it"
            self.group = group

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0."""
        return self.rank == 0

    def max_over_processes(self, value: int) -> int:
        """The maximum over all processes."""
        if self.group is None:
            return value
        largest = torch.tensor([int(value)])
        distributed.all_reduce(largest, distributed.ReduceOp.MAX, group=self.group)
        return int(largest)

    def all_gather_json(self, value: Any) -> list[Any]:
        """All-gather a JSON value; by rank.

        Raises ArtifactError if a process did not answer within the limit, naming it where known.
        """
        if self.group is None:
            return [value]
        try:
            distributed.monitored_barrier(self.group, self.limit, wait_all_ranks=True)
            return self._gathered(json.dumps(value).encode())
        except RuntimeError as error:  # gloo: a peer has died or is late
            reason = str(error).strip().splitlines()[0][:200]
            raise ArtifactError(
                f"Not all of the {self.world_size} processes answered within "
                f"{self.limit.total_seconds():.0f} s ({reason}); check which ended, and restart "
                "all of them."
            ) from None

    def run_on_all(self, work: Callable[[], Result]) -> Result:
        """Run `work` on every process; return its result, or raise on all if one failed.

        The work itself must not communicate.
        """
        result, own = None, None
        try:
            result = work()
        except GroundupError as error:
            own = error
        errors = [text for text in self.all_gather_json("" if own is None else str(own)) if text]
        if own is not None:
            raise own
        if errors:
            raise ArtifactError(errors[0])
        return result  # type: ignore[return-value]  # work succeeded

    def _gathered(self, text: bytes) -> list[Any]:
        sizes = [torch.zeros(1, dtype=torch.long) for _ in range(self.world_size)]
        distributed.all_gather(sizes, torch.tensor([len(text)]), group=self.group)
        longest = max(map(int, sizes))
        own = torch.frombuffer(bytearray(text.ljust(longest)), dtype=torch.uint8)
        texts = [torch.empty_like(own) for _ in range(self.world_size)]
        distributed.all_gather(texts, own, group=self.group)
        return [json.loads(bytes(each.tolist())) for each in texts]
