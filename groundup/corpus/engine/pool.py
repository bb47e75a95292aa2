"""A pool of workers on this machine, each with one task at a time; results are in order.

Tasks are not queued: a worker gets its next task when the last one is done, so memory does not grow
with the number of tasks. An error or Ctrl-C ends every worker before it is raised.
"""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from typing import Any, NamedTuple

from groundup.core import ConfigError, device

from .worker import Worker, WorkerStopped

RECORD_LIMIT_SECONDS = 60.0
"""Default CPU time of one record. Own choice: a hundred times what our slowest step takes for a
megabyte."""


class TaskOutcome(NamedTuple):
    """Outcome of a task."""

    number: int
    result: Any
    error: BaseException | None


class WorkerPool:
    """An `Executor` over processes of this machine; a context manager."""

    def __init__(self, workers: int = 0, limit_seconds: float = RECORD_LIMIT_SECONDS) -> None:
        """Prepare `workers` processes, one per core if 0; ConfigError for invalid numbers."""
        if workers < 0 or limit_seconds <= 0:
            raise ConfigError(
                f"workers={workers}, limit_seconds={limit_seconds}: workers must be 0 (one per "
                "core) or more, and the limit above 0."
            )
        self.workers = [Worker(limit_seconds) for _ in range(workers or device.available_cores())]

    def __call__(
        self,
        task: Callable[[Any], Any],
        items: Sequence[Any],
        on_result: Callable[[Any], None] = lambda result: None,
    ) -> list[Any]:
        """Results of `task` in the items' order; the callback gets each as it arrives."""
        results: list[Any] = [None] * len(items)
        todo, lock, reports = iter(enumerate(items)), threading.Lock(), SimpleQueue[TaskOutcome]()
        threads = [
            threading.Thread(
                target=_feed_worker, args=(worker, task, todo, lock, reports), daemon=True
            )
            for worker in self.workers[: len(items)]
        ]
        try:
            for thread in threads:
                thread.start()
            for _ in items:
                report = reports.get()
                if report.error is not None:
                    raise report.error
                results[report.number] = report.result
                on_result(report.result)
        except BaseException:
            self.close()
            raise
        finally:
            for thread in threads:
                thread.join()
        return results

    def close(self) -> None:
        """Kill all workers."""
        for worker in self.workers:
            worker.stopping.set()
            if (process := worker.process) is not None:
                process.kill()

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
        for worker in self.workers:
            worker.end()


def _feed_worker(
    worker: Worker,
    task: Callable[[Any], Any],
    todo: Iterator[tuple[int, Any]],
    lock: threading.Lock,
    reports: SimpleQueue[TaskOutcome],
) -> None:
    """Feed a worker tasks until none is left, one fails or it is stopped."""
    # Ctrl-C must reach the main thread; workers started here inherit the mask.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    while not worker.stopping.is_set():
        with lock:
            number, item = next(todo, (-1, None))
        if number < 0:
            return
        try:
            reports.put(TaskOutcome(number, worker(task, item), None))
        except WorkerStopped:
            return
        except BaseException as error:
            reports.put(TaskOutcome(number, None, error))
            return
