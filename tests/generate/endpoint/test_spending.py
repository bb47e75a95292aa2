"""Tokens are counted once, budgets hold while requests are in the air, and a pace is even."""

import asyncio
from types import SimpleNamespace

import pytest

from groundup.generate.endpoint import spending
from groundup.generate.endpoint.settings import Prices, Rates, Retries
from groundup.generate.endpoint.spending import Breaker, Pace, Spending, Usage, guess


def test_a_request_that_failed_gives_back_what_was_set_aside():
    counted = Spending(Prices(completion=1e6, budget=10))
    assert counted.reserve(Usage(0, 10)) and not counted.reserve(Usage(0, 1))
    counted.release(Usage(0, 10))
    assert counted.reserve(Usage(0, 10)) and counted.cost.requests == 0


def test_tokens_kept_by_the_server_are_told():
    counted = Spending(Prices())
    counted.count(Usage(100, 5, 80))
    assert counted.cost == (1, 100, 5, 80, None)


def test_half_a_character_has_a_size_too():
    assert guess("\ud800", 1).prompt_tokens == 1


def test_a_pace_spaces_requests_and_counts_tokens(monkeypatch):
    waits: list[float] = []

    async def note(seconds):
        waits.append(seconds)

    clock = iter([100.0] * 20)
    # The module's own names: replaced in `time` itself, every thread's clock would stand still.
    monkeypatch.setattr(spending, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(spending, "asyncio", SimpleNamespace(sleep=note))
    pace = Pace(Rates(requests_per_minute=60, tokens_per_minute=600))

    async def ask():
        await pace.turn()
        await pace.turn()
        pace.used(50)  # five seconds' worth
        await pace.turn()
        pace.hold(9)
        await pace.turn()

    asyncio.run(ask())
    assert waits == pytest.approx([1.0, 5.0, 9.0])


def test_an_answer_closes_a_breaker_and_the_next_run_tries_once():
    breaker = Breaker(Retries(stop_after=3))
    breaker.failed("a")
    breaker.answered()
    breaker.failed("b")
    assert not breaker.is_open
    breaker.failed("c", for_good=True)
    assert breaker.is_open and breaker.last == "c"
    breaker.again()
    assert not breaker.is_open
    breaker.failed("d")
    assert breaker.is_open
