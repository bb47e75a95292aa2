"""Cost accounting, rate limits and the circuit breaker of an endpoint."""

import asyncio
import math
import threading
import time
from typing import Any, NamedTuple

from .settings import Prices, Rates, Retries

BYTES_PER_TOKEN = 3
"""A conservative estimate for prompts, whose token count is unknown before sending."""


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


class Usage(NamedTuple):
    """Tokens of one answer, reported by the server or estimated."""

    prompt_tokens: int
    tokens: int
    cached: int = 0


def estimate_usage(prompt: str, max_tokens: int) -> Usage:
    """Estimate a request's tokens for the budget."""
    size = len(prompt.encode("utf-8", errors="replace"))
    return Usage(math.ceil(size / BYTES_PER_TOKEN), max_tokens)


def parse_usage(body: dict[str, Any], estimated: Usage | None = None) -> Usage:
    """Tokens as the server reports them, else the estimate or 0."""
    usage, estimated = body.get("usage"), estimated or Usage(0, 0)
    usage = usage if isinstance(usage, dict) else {}
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else 0
    return Usage(
        _valid_count(usage.get("prompt_tokens"), estimated.prompt_tokens),
        _valid_count(
            usage.get("completion_tokens"), 0 if "prompt_tokens" in usage else estimated.tokens
        ),
        _valid_count(cached, 0),
    )


def _valid_count(value: Any, default: int) -> int:
    """The value if it is a valid token count, else the default."""
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**40
    return value if is_count else default


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
        self.requests = self.prompt_tokens = self.tokens = self.cached = 0
        self.spent = self.reserved = 0.0

    @property
    def cost(self) -> EndpointCost:
        """Totals so far."""
        priced = self.prices.prompt > 0 or self.prices.completion > 0
        price = self.spent if priced else None
        return EndpointCost(self.requests, self.prompt_tokens, self.tokens, self.cached, price)

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
            self.requests += 1
            self.prompt_tokens += used.prompt_tokens
            self.tokens += used.tokens
            self.cached += used.cached
            self.spent += self.price(used)


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
