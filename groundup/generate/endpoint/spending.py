"""How much was asked and what it costs, how fast one may ask, and when to stop asking."""

import asyncio
import math
import threading
import time
from typing import Any, NamedTuple

from .settings import Prices, Rates, Retries

BYTES_PER_TOKEN = 3
"""A cautious guess for a prompt whose tokens are not known yet."""


class Cost(NamedTuple):
    """What an endpoint's answers came to."""

    requests: int
    """Requests answered."""
    prompt_tokens: int
    tokens: int
    """Tokens of answers."""
    cached: int
    """Tokens of prompts that the server had kept, by its own account."""
    price: float | None
    """In the currency of the prices; None if none were given."""


class Usage(NamedTuple):
    """Tokens of one answer, by the server's account or by guess."""

    prompt_tokens: int
    tokens: int
    cached: int = 0


def guess(prompt: str, max_tokens: int) -> Usage:
    """Tokens that a request may come to, for a budget."""
    size = len(prompt.encode("utf-8", errors="replace"))
    return Usage(math.ceil(size / BYTES_PER_TOKEN), max_tokens)


def usage_of(body: dict[str, Any], guessed: Usage | None = None) -> Usage:
    """Tokens as the server counted them; where it does not tell, the guess or 0."""
    usage, guessed = body.get("usage"), guessed or Usage(0, 0)
    usage = usage if isinstance(usage, dict) else {}
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else 0
    return Usage(
        count(usage.get("prompt_tokens"), guessed.prompt_tokens),
        count(usage.get("completion_tokens"), 0 if "prompt_tokens" in usage else guessed.tokens),
        count(cached, 0),
    )


def count(value: Any, otherwise: int) -> int:
    """A number of tokens; `otherwise` if it is none."""
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**40
    return value if is_count else otherwise


class Spending:
    """Counts tokens and keeps a budget; what is under way is counted at its guess.

    >>> spending = Spending(Prices(prompt=1.0, completion=2.0, budget=100e-6))
    >>> spending.reserve(Usage(10, 40)), spending.reserve(Usage(10, 40))
    (True, False)
    >>> spending.count(Usage(9, 4))
    >>> spending.release(Usage(10, 40))
    >>> f"{spending.cost.price:.6f}", spending.reserve(Usage(10, 30))
    ('0.000017', True)
    """

    def __init__(self, prices: Prices) -> None:
        self.prices, self.lock = prices, threading.Lock()
        self.requests = self.prompt_tokens = self.tokens = self.cached = 0
        self.spent = self.reserved = 0.0

    @property
    def cost(self) -> Cost:
        """What was asked so far."""
        priced = self.prices.prompt > 0 or self.prices.completion > 0
        price = self.spent if priced else None
        return Cost(self.requests, self.prompt_tokens, self.tokens, self.cached, price)

    def price(self, usage: Usage) -> float:
        """What so many tokens cost."""
        prompt = usage.prompt_tokens * self.prices.prompt
        return (prompt + usage.tokens * self.prices.completion) / 1e6

    def reserve(self, guessed: Usage) -> bool:
        """Set aside what a request may cost; False if the budget does not allow it."""
        price = self.price(guessed)
        with self.lock:
            wanted = self.spent + self.reserved + price
            if self.prices.budget and wanted > self.prices.budget:
                return False
            self.reserved += price
            return True

    def release(self, guessed: Usage) -> None:
        """Give back what was set aside, once the request has ended."""
        with self.lock:
            self.reserved -= self.price(guessed)

    def count(self, used: Usage) -> None:
        """Count an answer, whatever is made of it: it is billed."""
        with self.lock:
            self.requests += 1
            self.prompt_tokens += used.prompt_tokens
            self.tokens += used.tokens
            self.cached += used.cached
            self.spent += self.price(used)


class Pace:
    """Lets requests go one after another, evenly, and holds them when a server asks for it."""

    def __init__(self, rates: Rates) -> None:
        self.rates = rates
        self.next_request = self.next_token = self.held_until = 0.0

    async def turn(self) -> None:
        """Wait until a request may be sent."""
        now = time.monotonic()
        start = max(now, self.next_request, self.next_token, self.held_until)
        if self.rates.requests_per_minute:
            self.next_request = start + 60 / self.rates.requests_per_minute
        if start > now:
            await asyncio.sleep(start - now)

    def used(self, tokens: int) -> None:
        """Count tokens; the next request waits until the minute has room for as many."""
        if self.rates.tokens_per_minute:
            now = time.monotonic()
            seconds = 60 * tokens / self.rates.tokens_per_minute
            self.next_token = max(now, self.next_token) + seconds

    def hold(self, seconds: float) -> None:
        """Send nothing for so long."""
        self.held_until = max(self.held_until, time.monotonic() + seconds)


class Breaker:
    """Stops asking a server that answers nothing any more."""

    def __init__(self, retries: Retries) -> None:
        self.limit, self.failures, self.last = retries.stop_after, 0, ""
        self.in_a_row = 0
        """Requests that failed since the last answer; fewer than `failures` if one was for good."""

    @property
    def is_open(self) -> bool:
        """Whether to stop."""
        return self.failures >= self.limit

    def failed(self, message: str, for_good: bool = False) -> None:
        """Count a request that failed; `for_good` if every other one would fail too."""
        self.failures = self.limit if for_good else self.failures + 1
        self.in_a_row += 1
        self.last = message

    def answered(self) -> None:
        """Count a request that was answered: the server lives."""
        self.failures = self.in_a_row = 0

    def again(self) -> None:
        """Let one request try whether the server is back."""
        self.failures = min(self.failures, self.limit - 1)
