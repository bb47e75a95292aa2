"""A global step: one that must see all records before it can decide on any.

Duplicates or lines repeated on every page of a site: such a step reads the shards written by the
steps before it and writes one file of results per shard, in the shard's order. The engine then
applies these like any other step's results. Work over shards goes through an `Executor`, so it runs
in the same pool or cluster as the steps, and its results cannot depend on which.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from groundup.core import Config

Item = TypeVar("Item")


@runtime_checkable
class Executor(Protocol):
    """Maps a module-level function over items in workers; results are in the items' order."""

    def __call__(
        self,
        task: Callable[[Item], Any],
        items: Sequence[Item],
        on_result: Callable[[Any], None] = lambda result: None,
    ) -> list[Any]:
        """Results of `task`; they must be small, so large output goes to a file that it names.

        The callback gets each result as it arrives, in any order.
        """
        ...


@runtime_checkable
class GlobalStep(Protocol):
    """A step over all records together."""

    config: Config

    def rulings(self, shards: Sequence[Path], executor: Executor, scratch: Path) -> Sequence[Path]:
        """Write one file of results per shard under `scratch`; return the paths in shard order.

        step_results.py defines the file. Memory must not grow with the size of the texts, and the
        results must not depend on how records are distributed over shards.
        """
        ...
