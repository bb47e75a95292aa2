"""The parts of a client: addresses, errors, limits and requests that run side by side."""

import asyncio
import threading
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace

import pytest

from groundup.core import ConfigError
from groundup.generate.endpoint import server
from groundup.generate.endpoint.errors import (
    MAX_QUOTED_CHARS,
    failure_from_status,
    parse_error,
    quote_message,
    secret_remover,
)
from groundup.generate.endpoint.responses import Usage, estimate_usage
from groundup.generate.endpoint.server import (
    CircuitBreaker,
    CostTracker,
    RateLimiter,
    run_concurrently,
)
from groundup.generate.endpoint.settings import (
    EndpointConfig,
    Prices,
    Rates,
    Retries,
    check_endpoint_address,
    is_loopback,
    read_api_key,
)


@pytest.mark.parametrize(
    "url",
    ["localhost:8000/v1", "ftp://host/v1", "http://", "", "http://host:x/v1", "http://[::1/v1"],
)
def test_what_is_no_address_is_refused(url):
    with pytest.raises(ConfigError, match="not an address"):
        check_endpoint_address(EndpointConfig(url=url, model="m"))


@pytest.mark.parametrize("url", ["http://ana:secret@host/v1", "https://host/v1?key=secret"])
def test_an_address_holds_no_secret_and_it_is_not_repeated(url):
    with pytest.raises(ConfigError, match="key_env") as caught:
        check_endpoint_address(EndpointConfig(url=url, model="m"))
    assert "secret" not in str(caught.value)


def test_a_model_needs_a_name():
    with pytest.raises(ConfigError, match="model is empty"):
        check_endpoint_address(EndpointConfig(url="http://localhost/v1", model=" "))


def test_a_key_does_not_travel_in_the_clear(monkeypatch):
    monkeypatch.setenv("TEST_KEY", " abc\n")
    far = EndpointConfig(url="http://far.example/v1", model="m", key_env="TEST_KEY")
    with pytest.raises(ConfigError, match="unencrypted"):
        read_api_key(far)
    assert read_api_key(far.model_copy(update={"allow_plain_key": True})) == "abc"
    assert read_api_key(far.model_copy(update={"url": "https://far.example/v1"})) == "abc"
    near = far.model_copy(update={"url": "http://127.0.0.1:1/v1"})
    assert is_loopback(near) and read_api_key(near) == "abc"
    assert read_api_key(far.model_copy(update={"key_env": ""})) == ""


@pytest.mark.parametrize(
    ("error", "found"),
    [
        ({"message": "no", "code": 7}, ("no", "7")),
        ({"error": "no"}, ("no", "")),
        ({"detail": [{"loc": "x"}]}, ('[{"loc": "x"}]', "")),
        ("just words", ("just words", "")),
        ({}, ("{}", "")),
        (None, ("None", "")),
    ],
)
def test_an_error_is_read_in_any_shape(error, found):
    assert parse_error(error) == found


def test_long_words_are_cut_and_secrets_blotted():
    assert len(quote_message("word " * 1000)) == MAX_QUOTED_CHARS
    assert secret_remover("abc")("x abc abcd") == "x [key] [key]d"
    assert secret_remover("")("x") == "x"


def test_the_time_to_come_back_is_seconds_or_a_date():
    def wait(text: str) -> float | None:
        return failure_from_status(429, {"retry-after": text}, "").wait

    later = datetime.now(UTC) + timedelta(seconds=90)
    assert wait("12") == 12 and 80 < (wait(format_datetime(later, usegmt=True)) or 0) <= 90
    for text in ("soon", "", "-1", "nan", "1e9", "9" * 30):
        assert wait(text) is None


def test_a_status_decides_what_comes_next():
    assert failure_from_status(500, {}, "Only no echo is supported").code == "no_logprobs"
    assert failure_from_status(503, {}, "").retry and not failure_from_status(400, {}, "").retry
    assert failure_from_status(302, {}, "").is_permanent


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
    monkeypatch.setattr(server, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(server, "asyncio", SimpleNamespace(sleep=note))
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


def session_of(work, log):
    @asynccontextmanager
    async def session():
        log.append("opened")
        try:
            yield work
        finally:
            log.append("closed")

    return session


def test_every_item_lands_once_and_the_session_is_closed():
    log = []

    async def work(item):
        await asyncio.sleep(0)
        return item * item

    found = list(run_concurrently(session_of(work, log), range(100), 7))
    assert sorted(found) == [i * i for i in range(100)] and log == ["opened", "closed"]
    assert list(run_concurrently(session_of(work, log), [], 3)) == []


def test_results_come_in_the_order_in_which_they_land():
    second_was_read = threading.Event()

    async def work(item):
        if item == 0:
            await asyncio.to_thread(second_was_read.wait)
        return item

    results = run_concurrently(session_of(work, []), [0, 1], 2)
    assert next(results) == 1
    second_was_read.set()
    assert list(results) == [0]


def test_leaving_cancels_what_is_in_the_air():
    log = []

    async def work(item):
        if item == 0:
            return item
        try:
            await asyncio.Event().wait()
        finally:
            log.append(f"cancelled {item}")

    threads = threading.active_count()
    results = run_concurrently(session_of(work, log), range(5), 3)
    assert next(results) == 0
    results.close()
    assert log[-1] == "closed" and log.count("opened") == 1
    assert any(line.startswith("cancelled") for line in log)
    assert threading.active_count() == threads


def test_a_reader_that_does_not_come_holds_back_the_rest():
    begun = []

    async def work(item):
        begun.append(item)
        return item

    results = run_concurrently(session_of(work, []), range(1000), 2)
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
        list(run_concurrently(session, items() if where == "items" else [1, 2], 2))
