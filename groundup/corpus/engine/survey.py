"""A survey: a step that must have seen all records before it can rule about any.

Duplicates, lines that come back on every page of a site, repositories that are copies: such a step
reads the shards that the steps before it wrote, and writes for each a file of rulings, in the
shard's order. The engine then carries those out like any other step's. Work over shards goes
through `Each`, so it runs in the same pool or cluster and its results cannot depend on which.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from groundup.core import Config

Item = TypeVar("Item")


@runtime_checkable
class Each(Protocol):
    """Calls a function of the module level once for every item, in workers; results in order."""

    def __call__(
        self,
        task: Callable[[Item], Any],
        items: Sequence[Item],
        done: Callable[[Any], None] = lambda result: None,
    ) -> list[Any]:
        """Results of `task`, small ones: what is large it writes to a file and names.

        `done` hears each result as it comes, in any order.
        """
        ...


@runtime_checkable
class Survey(Protocol):
    """A judge of all records together."""

    config: Config

    def rulings(self, shards: Sequence[Path], each: Each, scratch: Path) -> Sequence[Path]:
        """Write one file of rulings a shard, under `scratch`, and name them in the shards' order.

        See rulings.py for the file. Memory must not grow with the number of records' characters,
        and the rulings must not depend on how records are spread over shards.
        """
        ...
