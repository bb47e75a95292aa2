"""Concurrent requests whose results are read by a plain `for` loop.

The work runs in an event loop in its own thread. Results come through a queue, which Ctrl-C
interrupts; leaving the loop in any way cancels what is still running. A slow reader holds back
further requests.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, suppress
from queue import SimpleQueue
from typing import Generic, TypeVar, cast

Item = TypeVar("Item")
Result = TypeVar("Result")

SHUTDOWN_SECONDS = 0.5
"""How long to wait for connections to close when the reader leaves."""


class ConcurrentRun(Generic[Item, Result]):
    """One concurrent run of some work over items."""

    def __init__(
        self,
        session: Callable[[], AbstractAsyncContextManager[Callable[[Item], Awaitable[Result]]]],
        items: Iterable[Item],
        width: int,
    ) -> None:
        """Start nothing yet; see `results`.

        session  opened in the loop; gives the work function, and is closed after the last item
        width    maximum items at a time
        """
        self.session, self.items, self.width = session, iter(items), width
        self.result_queue: SimpleQueue[Callable[[], Result] | None] = SimpleQueue()
        self.started = threading.Event()

    def results(self) -> Iterator[Result]:
        """Yield the results as they complete."""
        thread = threading.Thread(target=self.run, name="endpoint", daemon=True)
        thread.start()
        try:
            while (take := self.result_queue.get()) is not None:
                with suppress(RuntimeError, AttributeError):  # the loop has ended or never started
                    self.loop.call_soon_threadsafe(self.slots.release)
                yield take()
        finally:
            self.started.wait(SHUTDOWN_SECONDS)
            with suppress(RuntimeError, AttributeError):
                self.loop.call_soon_threadsafe(self.task.cancel)
            thread.join(SHUTDOWN_SECONDS)

    def run(self) -> None:
        """Run the event loop; an error is put into the queue and raised in the reader."""
        try:
            asyncio.run(self.process_items())
        except BaseException as error:  # noqa: B036  raised again in the reader
            failure = error

            def fail() -> Result:
                raise failure

            self.result_queue.put(fail)
        finally:
            self.result_queue.put(None)

    async def process_items(self) -> None:
        """Process the items, `width` at a time."""
        self.loop = asyncio.get_running_loop()
        self.task = cast("asyncio.Task[None]", asyncio.current_task())
        self.slots = asyncio.Semaphore(2 * self.width)
        self.started.set()
        async with self.session() as work:
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(self.width):
                        group.create_task(self.worker(work))
            except BaseExceptionGroup as errors:
                raise errors.exceptions[0] from None

    async def worker(self, work: Callable[[Item], Awaitable[Result]]) -> None:
        """Process items one after another."""
        while True:
            await self.slots.acquire()
            try:
                item = next(self.items)
            except StopIteration:
                self.slots.release()
                return
            result = await work(item)
            self.result_queue.put(lambda result=result: result)
