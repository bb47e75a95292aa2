"""One worker process serves all runs of a test session that ask for one: a start takes a second."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from groundup.corpus.engine.executors import RECORD_LIMIT_SECONDS, WorkerPool
from groundup.corpus.prepare import stage


class KeptPool(WorkerPool):
    """A pool whose worker outlives a run that ended well, in the folder where it was started."""

    def __init__(self) -> None:
        super().__init__(1)
        self.surroundings = surroundings()

    def fits(self) -> bool:
        """Whether a worker started now would be the same."""
        is_stopped = any(worker.stopping.is_set() for worker in self.workers)
        return not is_stopped and self.surroundings == surroundings()

    def __exit__(self, *error: object) -> None:
        if error[0] is not None:
            self.end()

    def end(self) -> None:
        """End the worker."""
        super().__exit__()


def surroundings() -> tuple[str, dict[str, str]]:
    """What a process takes along when it is started."""
    return os.getcwd(), {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}


@pytest.fixture(scope="session")
def kept() -> Iterator[list[KeptPool]]:
    """The pool that is there, if any."""
    pools: list[KeptPool] = []
    yield pools
    for each in pools:
        each.end()


@pytest.fixture(autouse=True, scope="module")
def one_worker(kept: list[KeptPool]) -> Iterator[None]:
    """Give runs of one worker the one that is there."""
    open_another = stage.open_executor

    def pool(workers: int = 0, limit_seconds: float = RECORD_LIMIT_SECONDS) -> WorkerPool:
        if workers != 1 or limit_seconds != RECORD_LIMIT_SECONDS:
            return WorkerPool(workers, limit_seconds)
        if not kept or not kept[0].fits():
            for each in kept:
                each.end()
            kept[:] = [KeptPool()]
        return kept[0]

    def executor(runner: str, workers: int, limit_seconds: float, address: str) -> Any:
        if runner != "pool" or address:
            return open_another(runner, workers, limit_seconds, address)
        return pool(workers, limit_seconds)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "WorkerPool", pool)
        patch.setattr(stage, "open_executor", executor)
        yield
