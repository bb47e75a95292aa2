"""Requests to a server: retries with backoff, deadlines and a circuit breaker.

Transient errors are retried with exponential backoff and jitter; a Retry-After pauses all
requests. After too many consecutive failures nothing more is sent, and each unsent request has a
Reason. No message holds the API key.
"""

import asyncio
import json
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from groundup.core import MissingExtra, Reason

from .flight import Flight
from .settings import EndpointConfig, check_address, is_here, read_key
from .spending import Breaker, Pace, Spending, Usage, usage_of
from .stream import assemble, read_json
from .trouble import KEY, OWN_SAMPLE, Trouble, one_line, refusal, told, without

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

MOST_ERROR_BYTES = 2**16


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request."""

    route: str
    """Below the base address, such as `chat/completions`."""
    body: dict[str, Any]
    read: Callable[[dict[str, Any]], T]
    """Parses the response; raises RequestFailure if it cannot."""
    guessed: Usage = Usage(0, 0)
    absent: str = ""
    """Reason code if the server has no such route."""


class Server:
    """A server's address with its spending, rate limits and failures so far."""

    def __init__(self, config: EndpointConfig) -> None:
        """Check the configuration; nothing is sent yet.

        Raises ConfigError if the address or the key cannot be used.
        """
        check_address(config)
        self.config, self.key = config, read_key(config)
        self.spending, self.pace = Spending(config.prices), Pace(config.rates)
        self.breaker = Breaker(config.retries)
        self.blot = without(self.key)
        self.trust: Any = None

    def ask(
        self, calls: Iterable[tuple[int, Call[T] | Reason]]
    ) -> Iterator[tuple[int, T | Reason]]:
        """Yield (index, answer) as answers come; a failed request gives a Reason."""
        self.breaker.again()
        flight = Flight(self.session, calls, self.config.concurrency)
        yield from flight.results()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Callable[..., Awaitable[tuple[int, Any]]]]:
        """Open the connections for a run of requests."""
        httpx = import_httpx()
        config, local = self.config, is_here(self.config)
        self.trust = self.trust or httpx.create_ssl_context(trust_env=not local)
        headers = {"Accept-Encoding": "identity", "User-Agent": "groundup"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        idle = config.timeouts.idle
        async with httpx.AsyncClient(
            base_url=config.url.rstrip("/") + "/", headers=headers, verify=self.trust,
            timeout=httpx.Timeout(idle, connect=config.timeouts.connect, pool=None),
            limits=httpx.Limits(max_connections=config.concurrency),
            follow_redirects=False, trust_env=not local,
        ) as client:  # fmt: skip
            yield partial(self.settle, client)

    async def settle(
        self, client: "httpx.AsyncClient", item: tuple[int, Call[T] | Reason]
    ) -> tuple[int, T | Reason]:
        """Complete one request: an answer or the reason why there is none."""
        place, call = item
        KEY.set(self.key)
        if isinstance(call, Reason):
            return place, call
        if self.breaker.is_open:
            count, last = self.breaker.in_a_row, self.breaker.last
            stopped = f"not sent: {count} requests failed in a row, the last with: {last}"
            return place, Reason("stopped", stopped)
        if not self.spending.reserve(call.guessed):
            budget = f"not sent: it could exceed the budget of {self.config.prices.budget:g}"
            return place, Reason("budget", budget)
        try:
            answer = await self.persist(client, place, call)
            self.breaker.answered()
        except Trouble as trouble:
            answer = self.failed(trouble, call)
        finally:
            self.spending.release(call.guessed)
        return place, answer

    def failed(self, trouble: Trouble, call: Call[Any]) -> Reason:
        """Count a failed request and return its Reason, without the key."""
        message = self.blot(f"{self.config.url}: {trouble.message}")
        code = call.absent if call.absent and trouble.code == "not_found" else trouble.code
        if code not in OWN_SAMPLE:
            self.breaker.failed(message, trouble.for_good)
        return Reason(code, message)

    async def persist(self, client: "httpx.AsyncClient", place: int, call: Call[T]) -> T:
        """Retry until an answer comes, the attempts or the time run out, or a retry cannot help."""
        retries, clock = self.config.retries, asyncio.get_running_loop().time
        await self.pace.turn()
        last, number = Trouble("timeout", "not tried"), 0
        end = clock() + self.config.timeouts.request
        for number in range(1, retries.attempts + 1):
            try:
                return await self.attempt(client, call, max(end - clock(), 0))
            except Trouble as trouble:
                last = trouble
            if number == retries.attempts or not last.retry or self.breaker.is_open:
                break
            wait = last.wait if last.wait is not None else self.backoff(place, number)
            if clock() + wait >= end:
                last.message += f"; the next attempt, {wait:.0f} s later, would come too late"
                break
            if last.wait is not None:
                self.pace.hold(last.wait)
            else:
                await asyncio.sleep(wait)
            await self.pace.turn()
        if last.retry:
            last.message += f" (attempt {number} of {retries.attempts})"
        raise last

    def backoff(self, place: int, number: int) -> float:
        """Seconds to wait after an attempt, counted from 1."""
        retries = self.config.retries
        share = random.Random(f"{retries.seed}:{place}:{number}").uniform(0.5, 1.0)
        return min(retries.first_wait * 2 ** (number - 1), retries.longest_wait) * share

    async def attempt(self, client: "httpx.AsyncClient", call: Call[T], left: float) -> T:
        """Send once and read the answer; every failure raises RequestFailure."""
        httpx = import_httpx()
        limit = min(self.config.timeouts.attempt, left)
        try:
            async with asyncio.timeout(limit):
                body = await self.exchange(client, call)
            used = usage_of(body, call.guessed)
            self.spending.count(used)
            self.pace.used(used.prompt_tokens + used.tokens)
            return call.read(body)
        except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
            shape = f"the answer has an unknown shape ({type(error).__name__}: {error})"
            raise Trouble("bad_answer", one_line(shape), retry=True) from None
        except TimeoutError:
            raise Trouble("timeout", f"no complete answer within {limit:g} s", retry=True) from None
        except httpx.TimeoutException as error:
            silent = f"the server was silent too long ({type(error).__name__})"
            raise Trouble("timeout", silent, retry=True) from None
        except httpx.ConnectError as error:
            raise unreachable(str(error)) from None
        except httpx.HTTPError as error:
            said = one_line(str(error)) or type(error).__name__
            raise Trouble("disconnected", f"the connection broke: {said}", retry=True) from None

    async def exchange(self, client: "httpx.AsyncClient", call: Call[T]) -> dict[str, Any]:
        """Send one request and return the body of its answer."""
        content = json.dumps(call.body, allow_nan=False).encode()
        headers = {"Content-Type": "application/json"}
        method = "POST" if call.body else "GET"
        async with client.stream(
            method, call.route, content=content if call.body else None, headers=headers
        ) as response:
            kind = response.headers.get("content-type", "")
            if not response.is_success:
                raise refused(response, await beginning(response))
            if response.headers.get("content-encoding", "identity") != "identity":
                raise Trouble("bad_answer", "the server compressed its answer unasked")
            chunks = bounded(response, self.config.max_body_bytes)
            if kind.startswith("text/event-stream"):
                return await assemble(chunks)
            return read_json(b"".join([chunk async for chunk in chunks]), kind)


async def bounded(response: "httpx.Response", most: int) -> AsyncGenerator[bytes, None]:
    """Yield a body's bytes; RequestFailure if there are too many, or if the connection breaks."""
    httpx, size = import_httpx(), 0
    try:
        async for chunk in response.aiter_raw():
            size += len(chunk)
            if size > most:
                raise Trouble("too_large", f"the answer exceeds {most} bytes (max_body_bytes)")
            yield chunk
    except (httpx.RemoteProtocolError, httpx.ReadError):
        broke = f"the connection broke after {size} bytes of the answer"
        raise Trouble("disconnected", broke, retry=True) from None


async def beginning(response: "httpx.Response") -> bytes:
    """The first bytes of an error response."""
    content = b""
    async with aclosing(bounded(response, MOST_ERROR_BYTES)) as chunks:
        with suppress(Trouble):
            async for chunk in chunks:
                content += chunk
    return content


def refused(response: "httpx.Response", content: bytes) -> Trouble:
    """RequestFailure of an error response, quoting the server's message."""
    try:
        body = read_json(content)
        words, code = told(body.get("error") or body)
    except Trouble:
        words, code = one_line(content.decode("utf-8", "replace")), ""
    return refusal(response.status_code, response.headers, words, code)


def unreachable(said: str) -> Trouble:
    """RequestFailure of a failed connection: retried unless the certificate is at fault."""
    if "CERTIFICATE" in said.upper():
        return Trouble("tls", f"the server's certificate: {one_line(said)}", for_good=True)
    return Trouble("unreachable", f"no connection: {one_line(said)}", retry=True)


def import_httpx() -> Any:
    """Import httpx; MissingExtra if it is not installed."""
    try:
        import httpx
    except ImportError:
        raise MissingExtra("httpx", "generate") from None
    return httpx
