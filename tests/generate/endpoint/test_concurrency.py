"""Work goes on side by side, its results come as they land, and leaving ends it."""

import asyncio
import threading
from contextlib import asynccontextmanager

import pytest

from groundup.generate.endpoint.concurrency import ConcurrentRun


def session_of(work, log):
    @asynccontextmanager
    async def session():
        log.append("opened")
        try:
            yield work
        finally:
            log.append("closed")

    return session


def threads() -> int:
    return sum(thread.name == "endpoint" for thread in threading.enumerate())


def test_every_item_lands_once_and_the_session_is_closed():
    log = []

    async def work(item):
        await asyncio.sleep(0)
        return item * item

    found = list(ConcurrentRun(session_of(work, log), range(100), 7).results())
    assert sorted(found) == [i * i for i in range(100)] and log == ["opened", "closed"]
    assert list(ConcurrentRun(session_of(work, log), [], 3).results()) == []


def test_results_come_in_the_order_in_which_they_land():
    gate = {}

    async def work(item):
        gate.setdefault("second", asyncio.Event())
        if item == 0:
            await gate["second"].wait()
        else:
            gate["second"].set()
        return item

    assert list(ConcurrentRun(session_of(work, []), [0, 1], 2).results()) == [1, 0]


def test_leaving_cancels_what_is_in_the_air():
    log = []

    async def work(item):
        if item == 0:
            return item
        try:
            await asyncio.Event().wait()
        finally:
            log.append(f"cancelled {item}")

    results = ConcurrentRun(session_of(work, log), range(5), 3).results()
    assert next(results) == 0
    results.close()
    assert log[-1] == "closed" and log.count("opened") == 1
    assert any(line.startswith("cancelled") for line in log)
    assert threads() == 0


def test_a_reader_that_does_not_come_holds_back_the_rest():
    begun = []

    async def work(item):
        begun.append(item)
        return item

    results = ConcurrentRun(session_of(work, []), range(1000), 2).results()
    next(results)
    results.close()
    assert len(begun) < 20


@pytest.mark.parametrize("where", ["session", "work", "items"])
def test_a_defect_is_raised_where_results_are_read(where):
    @asynccontextmanager
    async def broken():
        raise RuntimeError("session")
        yield

    async def work(item):
        raise RuntimeError("work")

    def items():
        yield 1
        raise RuntimeError("items")

    async def fine(item):
        return item

    session = broken if where == "session" else session_of(work if where == "work" else fine, [])
    with pytest.raises(RuntimeError, match=where):
        list(ConcurrentRun(session, items(), 2).results())
