"""Processes: those that train together, as far as saving needs to know them.

Each tells the others plain JSON values; what comes back is the same on all. One instance serves one
thread: messages of two threads through one group would meet each other.
"""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed

from groundup.core import ArtifactError, GroundupError

from ..parallel.mesh import Mesh

Result = TypeVar("Result")


class Processes:
    """This process and the others of its mesh, with a line of their own between them."""

    def __init__(self, mesh: Mesh, limit_seconds: float) -> None:
        """Open the line; on a mesh all must call this at the same place of the program.

        limit_seconds  how long the others are waited for, who may still be writing
        """
        self.limit = timedelta(seconds=limit_seconds)
        is_alone = mesh.grid is None
        self.number = 0 if is_alone else distributed.get_rank()
        self.count = 1 if is_alone else distributed.get_world_size()
        self.group: distributed.ProcessGroup | None = None
        if self.count > 1:
            group = distributed.new_group(backend="gloo", timeout=self.limit)
            assert isinstance(group, distributed.ProcessGroup), "every process is in it"
            self.group = group

    @property
    def is_first(self) -> bool:
        """Whether this process speaks for all."""
        return self.number == 0

    def agree(self, value: int) -> int:
        """The largest of all processes' numbers."""
        if self.group is None:
            return value
        largest = torch.tensor([int(value)])
        distributed.all_reduce(largest, distributed.ReduceOp.MAX, group=self.group)
        return int(largest)

    def exchange(self, value: Any) -> list[Any]:
        """Every process's JSON value, by number.

        Raises ArtifactError naming those that did not answer within the limit, where that is known.
        """
        if self.group is None:
            return [value]
        try:
            distributed.monitored_barrier(self.group, self.limit, wait_all_ranks=True)
            return self._gathered(json.dumps(value).encode())
        except RuntimeError as error:  # gloo's, of a peer that is gone or late
            said = str(error).strip().splitlines()[0][:200]
            raise ArtifactError(
                f"Not all of the {self.count} processes answered within "
                f"{self.limit.total_seconds():.0f} s ({said}); see which of them ended, and start "
                "all again."
            ) from None

    def together(self, work: Callable[[], Result]) -> Result:
        """What the work gives, if it succeeds on every process; else its error, on every process.

        The work itself must not speak to the others.
        """
        found, own = None, None
        try:
            found = work()
        except GroundupError as error:
            own = error
        told = [text for text in self.exchange("" if own is None else str(own)) if text]
        if own is not None:
            raise own
        if told:
            raise ArtifactError(told[0])
        return found  # type: ignore[return-value]  # it is what work gave

    def _gathered(self, text: bytes) -> list[Any]:
        sizes = [torch.zeros(1, dtype=torch.long) for _ in range(self.count)]
        distributed.all_gather(sizes, torch.tensor([len(text)]), group=self.group)
        longest = max(map(int, sizes))
        own = torch.frombuffer(bytearray(text.ljust(longest)), dtype=torch.uint8)
        texts = [torch.empty_like(own) for _ in range(self.count)]
        distributed.all_gather(texts, own, group=self.group)
        return [json.loads(bytes(each.tolist())) for each in texts]
