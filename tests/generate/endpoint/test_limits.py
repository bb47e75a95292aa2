"""Tokens are counted once, budgets hold while requests are in the air, and a pace is even."""

import asyncio
from types import SimpleNamespace

import pytest

from groundup.generate.endpoint import limits
from groundup.generate.endpoint.limits import (
    CircuitBreaker,
    CostTracker,
    RateLimiter,
    Usage,
    estimate_usage,
)
from groundup.generate.endpoint.settings import Prices, Rates, Retries


def test_a_request_that_failed_gives_back_what_was_set_aside():
    counted = CostTracker(Prices(completion=1e6, budget=10))
    assert counted.reserve(Usage(0, 10)) and not counted.reserve(Usage(0, 1))
    counted.release(Usage(0, 10))
    assert counted.reserve(Usage(0, 10)) and counted.cost.requests == 0


def test_tokens_kept_by_the_server_are_told():
    counted = CostTracker(Prices())
    counted.record_usage(Usage(100, 5, 80))
    assert counted.cost == (1, 100, 5, 80, None)


def test_half_a_character_has_a_size_too():
    assert estimate_usage("\ud800", 1).prompt_tokens == 1


def test_a_pace_spaces_requests_and_counts_tokens(monkeypatch):
    waits: list[float] = []

    async def note(seconds):
        waits.append(seconds)

    clock = iter([100.0] * 20)
    # The module's own names: replaced in `time` itself, every thread's clock would stand still.
    monkeypatch.setattr(limits, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(limits, "asyncio", SimpleNamespace(sleep=note))
    pace = RateLimiter(Rates(requests_per_minute=60, tokens_per_minute=600))

    async def ask():
        await pace.acquire()
        await pace.acquire()
        pace.record_tokens(50)  # five seconds' worth
        await pace.acquire()
        pace.pause(9)
        await pace.acquire()

    asyncio.run(ask())
    assert waits == pytest.approx([1.0, 5.0, 9.0])


def test_an_answer_closes_a_breaker_and_the_next_run_tries_once():
    breaker = CircuitBreaker(Retries(stop_after=3))
    breaker.record_failure("a")
    breaker.record_success()
    breaker.record_failure("b")
    assert not breaker.is_open
    breaker.record_failure("c", is_permanent=True)
    assert breaker.is_open and breaker.last == "c"
    breaker.allow_trial()
    assert not breaker.is_open
    breaker.record_failure("d")
    assert breaker.is_open
