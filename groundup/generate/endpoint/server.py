"""Requests to a server: concurrency, retries, deadlines, costs, rate limits, a circuit breaker.

Transient errors are retried with exponential backoff and jitter; a Retry-After pauses all
requests. After too many consecutive failures nothing more is sent, and each unsent request has a
Reason. No message holds the API key.
"""

import asyncio
import json
import random
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from groundup.core import MissingExtra, Reason

from .errors import (
    REQUEST_KEY,
    SAMPLE_CODES,
    RequestFailure,
    failure_from_status,
    parse_error,
    quote_message,
    secret_remover,
)
from .responses import Usage, assemble_stream, parse_json_object, parse_usage
from .settings import (
    EndpointConfig,
    Prices,
    Rates,
    Retries,
    check_endpoint_address,
    is_loopback,
    read_api_key,
)

if TYPE_CHECKING:
    import httpx

Item = TypeVar("Item")
T = TypeVar("T")

MAX_ERROR_BYTES = 2**16


@dataclass(frozen=True)
class EndpointCall(Generic[T]):
    """One request."""

    route: str
    """Below the base address, such as `chat/completions`."""
    body: dict[str, Any]
    parse: Callable[[dict[str, Any]], T]
    """Parses the response; raises RequestFailure if it cannot."""
    estimated_usage: Usage = Usage(0, 0)
    missing_route_code: str = ""
    """Reason code if the server has no such route."""


class EndpointClient:
    """A server's address with its spending, rate limits and failures so far."""

    def __init__(self, config: EndpointConfig) -> None:
        """Check the configuration; nothing is sent yet.

        Raises ConfigError if the address or the key cannot be used.
        """
        check_endpoint_address(config)
        self.config, self.key = config, read_api_key(config)
        self.spending, self.pace = CostTracker(config.prices), RateLimiter(config.rates)
        self.breaker = CircuitBreaker(config.retries)
        self.redact = secret_remover(self.key)
        self.ssl_context: Any = None

    def send(
        self, calls: Iterable[tuple[int, EndpointCall[T] | Reason]]
    ) -> Iterator[tuple[int, T | Reason]]:
        """Yield (index, answer) as answers come; a failed request gives a Reason."""
        self.breaker.allow_trial()
        _import_httpx()
        yield from run_concurrently(self.session, calls, self.config.concurrency)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Callable[..., Awaitable[tuple[int, Any]]]]:
        """Open the connections for a run of requests."""
        httpx = _import_httpx()
        config, local = self.config, is_loopback(self.config)
        self.ssl_context = self.ssl_context or httpx.create_ssl_context(trust_env=not local)
        headers = {"Accept-Encoding": "identity", "User-Agent": "groundup"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        idle = config.timeouts.idle
        async with httpx.AsyncClient(
            base_url=config.url.rstrip("/") + "/", headers=headers, verify=self.ssl_context,
            timeout=httpx.Timeout(idle, connect=config.timeouts.connect, pool=None),
            limits=httpx.Limits(max_connections=config.concurrency),
            follow_redirects=False, trust_env=not local,
        ) as client:  # fmt: skip
            yield partial(self.complete_call, client)

    async def complete_call(
        self, client: "httpx.AsyncClient", indexed_call: tuple[int, EndpointCall[T] | Reason]
    ) -> tuple[int, T | Reason]:
        """Complete one request: an answer or the reason why there is none."""
        place, call = indexed_call
        REQUEST_KEY.set(self.key)
        if isinstance(call, Reason):
            return place, call
        if self.breaker.is_open:
            count, last = self.breaker.consecutive_failures, self.breaker.last
            stopped = f"not sent: {count} requests failed in a row, the last with: {last}"
            return place, Reason("stopped", stopped)
        if not self.spending.reserve(call.estimated_usage):
            budget = f"not sent: it could exceed the budget of {self.config.prices.budget:g}"
            return place, Reason("budget", budget)
        try:
            answer = await self.send_with_retries(client, place, call)
            self.breaker.record_success()
        except RequestFailure as failure:
            message, code = self.redact(f"{self.config.url}: {failure.message}"), failure.code
            if call.missing_route_code and code == "not_found":
                code = call.missing_route_code
            if code not in SAMPLE_CODES:
                self.breaker.record_failure(message, failure.is_permanent)
            answer = Reason(code, message)
        finally:
            self.spending.release(call.estimated_usage)
        return place, answer

    async def send_with_retries(
        self, client: "httpx.AsyncClient", index: int, call: EndpointCall[T]
    ) -> T:
        """Retry until an answer comes, the attempts or the time run out, or a retry cannot help."""
        retries, clock = self.config.retries, asyncio.get_running_loop().time
        await self.pace.acquire()
        last, number = RequestFailure("timeout", "not tried"), 0
        end = clock() + self.config.timeouts.request
        for number in range(1, retries.attempts + 1):
            try:
                return await self.attempt(client, call, max(end - clock(), 0))
            except RequestFailure as failure:
                last = failure
            if number == retries.attempts or not last.retry or self.breaker.is_open:
                break
            wait = last.wait if last.wait is not None else self.backoff(index, number)
            if clock() + wait >= end:
                last.message += f"; the next attempt, {wait:.0f} s later, would come too late"
                break
            if last.wait is not None:
                self.pace.pause(last.wait)
            else:
                await asyncio.sleep(wait)
            await self.pace.acquire()
        if last.retry:
            last.message += f" (attempt {number} of {retries.attempts})"
        raise last

    def backoff(self, index: int, attempt_number: int) -> float:
        """Seconds to wait after an attempt, counted from 1."""
        retries = self.config.retries
        share = random.Random(f"{retries.seed}:{index}:{attempt_number}").uniform(0.5, 1.0)
        return min(retries.first_wait * 2 ** (attempt_number - 1), retries.max_wait) * share

    async def attempt(
        self, client: "httpx.AsyncClient", call: EndpointCall[T], seconds_left: float
    ) -> T:
        """Send once and read the answer; every failure raises RequestFailure."""
        httpx = _import_httpx()
        limit = min(self.config.timeouts.attempt, seconds_left)
        try:
            async with asyncio.timeout(limit):
                body = await self.send_request(client, call)
            used = parse_usage(body, call.estimated_usage)
            self.spending.record_usage(used)
            self.pace.record_tokens(used.prompt_tokens + used.tokens)
            return call.parse(body)
        except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
            shape = f"the answer has an unknown shape ({type(error).__name__}: {error})"
            raise RequestFailure("bad_answer", quote_message(shape), retry=True) from None
        except TimeoutError:
            late = f"no complete answer within {limit:g} s"
            raise RequestFailure("timeout", late, retry=True) from None
        except httpx.TimeoutException as error:
            silent = f"the server was silent too long ({type(error).__name__})"
            raise RequestFailure("timeout", silent, retry=True) from None
        except httpx.ConnectError as error:
            raise _connection_failure(str(error)) from None
        except httpx.HTTPError as error:
            broke = f"the connection broke: {quote_message(str(error)) or type(error).__name__}"
            raise RequestFailure("disconnected", broke, retry=True) from None

    async def send_request(
        self, client: "httpx.AsyncClient", call: EndpointCall[T]
    ) -> dict[str, Any]:
        """Send one request and return the body of its answer."""
        content = json.dumps(call.body, allow_nan=False).encode()
        headers = {"Content-Type": "application/json"}
        method = "POST" if call.body else "GET"
        async with client.stream(
            method, call.route, content=content if call.body else None, headers=headers
        ) as response:
            kind = response.headers.get("content-type", "")
            if not response.is_success:
                raise _failure_from_response(response, await _read_error_body(response))
            if response.headers.get("content-encoding", "identity") != "identity":
                raise RequestFailure("bad_answer", "the server compressed its answer unasked")
            chunks = _read_limited(response, self.config.max_body_bytes)
            if kind.startswith("text/event-stream"):
                return await assemble_stream(chunks)
            return parse_json_object(b"".join([chunk async for chunk in chunks]), kind)


def run_concurrently(
    session: Callable[[], AbstractAsyncContextManager[Callable[[Item], Awaitable[T]]]],
    items: Iterable[Item],
    width: int,
) -> Iterator[T]:
    """Yield the results of work on items, `width` at a time, as they complete.

    The work runs in an event loop in its own thread, so a caller may have a loop too, and Ctrl-C
    interrupts. Leaving in any way cancels what still runs; a slow reader holds back further items.

    session  opened in the loop; gives the work function, and is closed after the last item
    """
    from anyio.from_thread import start_blocking_portal  # lazy: a dependency of httpx

    waiting, running = iter(items), set[Future[T]]()
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(session()) as work:
        try:
            done = set[Future[T]]()
            while True:
                for item in islice(waiting, width - len(running)):
                    running.add(portal.start_task_soon(work, item))
                for future in done:
                    yield future.result()
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
        finally:
            for future in running:
                future.cancel()


async def _read_limited(response: "httpx.Response", max_bytes: int) -> AsyncGenerator[bytes, None]:
    httpx, size = _import_httpx(), 0
    try:
        async for chunk in response.aiter_raw():
            size += len(chunk)
            if size > max_bytes:
                too_large = f"the answer exceeds {max_bytes} bytes (max_body_bytes)"
                raise RequestFailure("too_large", too_large)
            yield chunk
    except (httpx.RemoteProtocolError, httpx.ReadError):
        broke = f"the connection broke after {size} bytes of the answer"
        raise RequestFailure("disconnected", broke, retry=True) from None


async def _read_error_body(response: "httpx.Response") -> bytes:
    content = b""
    async with aclosing(_read_limited(response, MAX_ERROR_BYTES)) as chunks:
        with suppress(RequestFailure):
            async for chunk in chunks:
                content += chunk
    return content


def _failure_from_response(response: "httpx.Response", content: bytes) -> RequestFailure:
    try:
        body = parse_json_object(content)
        words, code = parse_error(body.get("error") or body)
    except RequestFailure:
        words, code = quote_message(content.decode("utf-8", "replace")), ""
    return failure_from_status(response.status_code, response.headers, words, code)


def _connection_failure(message: str) -> RequestFailure:
    """RequestFailure of a failed connection: retried unless the certificate is at fault."""
    if "CERTIFICATE" in message.upper():
        return RequestFailure(
            "tls", f"the server's certificate: {quote_message(message)}", is_permanent=True
        )
    return RequestFailure("unreachable", f"no connection: {quote_message(message)}", retry=True)


class EndpointCost(NamedTuple):
    """Totals of an endpoint's answers."""

    requests: int
    """Requests answered."""
    prompt_tokens: int
    tokens: int
    """Tokens of answers."""
    cached: int
    """Prompt tokens that the server took from its cache, as it reports."""
    price: float | None
    """In the currency of the prices; None without prices."""


class CostTracker:
    """Counts tokens and enforces a budget; pending requests count at their estimate.

    >>> spending = CostTracker(Prices(prompt=1.0, completion=2.0, budget=100e-6))
    >>> spending.reserve(Usage(10, 40)), spending.reserve(Usage(10, 40))
    (True, False)
    >>> spending.record_usage(Usage(9, 4))
    >>> spending.release(Usage(10, 40))
    >>> f"{spending.cost.price:.6f}", spending.reserve(Usage(10, 30))
    ('0.000017', True)
    """

    def __init__(self, prices: Prices) -> None:
        self.prices, self.lock = prices, threading.Lock()
        self.cost = EndpointCost(0, 0, 0, 0, 0.0 if prices.prompt or prices.completion else None)
        """Totals so far."""
        self.spent = self.reserved = 0.0

    def price(self, usage: Usage) -> float:
        """Price of this usage."""
        prompt = usage.prompt_tokens * self.prices.prompt
        return (prompt + usage.tokens * self.prices.completion) / 1e6

    def reserve(self, estimated: Usage) -> bool:
        """Reserve a request's estimated price; False if it would exceed the budget."""
        price = self.price(estimated)
        with self.lock:
            wanted = self.spent + self.reserved + price
            if self.prices.budget and wanted > self.prices.budget:
                return False
            self.reserved += price
            return True

    def release(self, estimated: Usage) -> None:
        """Release a reservation, once the request has ended."""
        with self.lock:
            self.reserved -= self.price(estimated)

    def record_usage(self, used: Usage) -> None:
        """Count an answer, usable or not: it is billed."""
        with self.lock:
            self.spent += self.price(used)
            so_far, price = self.cost, None if self.cost.price is None else self.spent
            self.cost = EndpointCost(
                so_far.requests + 1, so_far.prompt_tokens + used.prompt_tokens,
                so_far.tokens + used.tokens, so_far.cached + used.cached, price,
            )  # fmt: skip


class RateLimiter:
    """Rate limiter: spaces requests evenly, and pauses them when the server asks for it."""

    def __init__(self, rates: Rates) -> None:
        self.rates = rates
        self.next_request = self.next_token = self.paused_until = 0.0

    async def acquire(self) -> None:
        """Wait until a request may be sent."""
        now = time.monotonic()
        start = max(now, self.next_request, self.next_token, self.paused_until)
        if self.rates.requests_per_minute:
            self.next_request = start + 60 / self.rates.requests_per_minute
        if start > now:
            await asyncio.sleep(start - now)

    def record_tokens(self, tokens: int) -> None:
        """Count tokens; the next request waits until the rate allows them."""
        if self.rates.tokens_per_minute:
            now = time.monotonic()
            seconds = 60 * tokens / self.rates.tokens_per_minute
            self.next_token = max(now, self.next_token) + seconds

    def pause(self, seconds: float) -> None:
        """Send nothing for this long."""
        self.paused_until = max(self.paused_until, time.monotonic() + seconds)


class CircuitBreaker:
    """Circuit breaker: stops sending to a server that keeps failing."""

    def __init__(self, retries: Retries) -> None:
        self.limit, self.failures, self.last = retries.stop_after, 0, ""
        self.consecutive_failures = 0
        """Failed requests since the last answer; fewer than `failures` if one was permanent."""

    @property
    def is_open(self) -> bool:
        """Whether to stop sending."""
        return self.failures >= self.limit

    def record_failure(self, message: str, is_permanent: bool = False) -> None:
        """Count a failed request; `is_permanent` if every other one would fail too."""
        self.failures = self.limit if is_permanent else self.failures + 1
        self.consecutive_failures += 1
        self.last = message

    def record_success(self) -> None:
        """Reset after an answered request."""
        self.failures = self.consecutive_failures = 0

    def allow_trial(self) -> None:
        """Allow one request to test whether the server is back."""
        self.failures = min(self.failures, self.limit - 1)


def _import_httpx() -> Any:
    try:
        import httpx
    except ImportError:
        raise MissingExtra("httpx", "generate") from None
    return httpx
