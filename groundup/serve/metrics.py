"""What the server counts, in vLLM's names, so that its dashboards show it.

Source: vllm/v1/metrics/loggers.py (names and help), read 2026-12-01.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

if TYPE_CHECKING:
    from .engine.process import Engines
    from .openai.answering import Exchange

FIRST = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
NEXT = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.4, 0.75, 1.0, 2.5)
WHOLE = (0.1, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)
ENGINE_COUNTS = {
    "prefix_cache_hits": ("shared_tokens", "Tokens of prompts that were found computed."),
    "num_preemptions": ("preemptions", "Requests that lost their place in the cache."),
    "spec_decode_num_draft_tokens": ("drafted", "Tokens that were drafted."),
    "spec_decode_num_accepted_tokens": ("accepted", "Drafted tokens that were right."),
}
ENGINE_STATES = {
    "num_requests_running": ("running", "Requests that are computed."),
    "num_requests_waiting": ("waiting", "Requests that wait."),
}


@dataclass
class RequestCounts:
    """What answering one HTTP request took: for quotas and spans."""

    model: str = ""
    """Empty: nothing was computed."""
    prompt_tokens: int = 0
    new_tokens: int = 0
    first_token_seconds: float | None = None


current_counts: ContextVar[RequestCounts] = ContextVar("current_counts")
"""Of the request that is answered in this context, if one is."""


class MeasuredExchange:
    """Times of one exchange."""

    def __init__(self, meter: "Meter", exchange: "Exchange") -> None:
        self.meter, self.begun = meter, time.perf_counter()
        self.last = [0.0] * len(exchange.prompts)

    def add(self, choice: int) -> None:
        """Count a token of an answer."""
        now, last = time.perf_counter(), self.last[choice]
        if last:
            self.meter.next.observe(now - last)
        else:
            self.meter.first.observe(now - self.begun)
            if (counts := current_counts.get(None)) and counts.first_token_seconds is None:
                counts.first_token_seconds = now - self.begun
        self.last[choice] = now


class Meter:
    """All counts of one server."""

    def __init__(self, engines: "Engines", model: str) -> None:
        self.engines, self.registry, self.model = engines, CollectorRegistry(), model
        self.first = self._histogram("time_to_first_token_seconds", "Until the first token.", FIRST)
        self.next = self._histogram("inter_token_latency_seconds", "Between two tokens.", NEXT)
        self.whole = self._histogram("e2e_request_latency_seconds", "Of a whole answer.", WHOLE)
        self.prompt_tokens = self._counter("prompt_tokens", "Tokens of prompts.")
        self.new_tokens = self._counter("generation_tokens", "Tokens of answers.")
        self.finished = Counter(
            "vllm:request_success", "Answers, by what ended them.",
            ("model_name", "finished_reason"), registry=self.registry,
        )  # fmt: skip
        self.statuses = Counter(
            "groundup:http_requests", "HTTP answers, by route and status.",
            ("route", "status"), registry=self.registry,
        )  # fmt: skip
        self.restarts = Gauge(
            "groundup:engine_restarts", "Engines that ended and were started again.",
            registry=self.registry,
        )  # fmt: skip
        self.restarts.set_function(lambda: self.engines.restarts)
        self.registry.register(self)  # pyright: ignore

    def _histogram(self, name: str, help: str, buckets: tuple[float, ...]) -> Histogram:
        made = Histogram(
            f"vllm:{name}", help, ("model_name",), registry=self.registry, buckets=buckets
        )
        return made.labels(self.model)

    def _counter(self, name: str, help: str) -> Counter:
        made = Counter(f"vllm:{name}", help, ("model_name",), registry=self.registry)
        return made.labels(self.model)

    def collect(self) -> Iterator[Metric]:
        """What the engines count themselves, since they began."""
        running = [each.metrics for each in self.engines.running]
        for name, (key, help) in ENGINE_STATES.items():
            family = GaugeMetricFamily(f"vllm:{name}", help, labels=["model_name"])
            family.add_metric([self.model], sum(each.get(key, 0) for each in running))
            yield family
        used = sum(each.get("blocks", 0) - each.get("free_blocks", 0) for each in running)
        blocks = sum(each.get("blocks", 0) for each in running)
        usage = GaugeMetricFamily(
            "vllm:kv_cache_usage_perc", "Share of the cache in use, 0 to 1.", labels=["model_name"]
        )
        usage.add_metric([self.model], used / blocks if blocks else 0.0)
        yield usage
        for name, (key, help) in ENGINE_COUNTS.items():
            family = CounterMetricFamily(f"vllm:{name}", help, labels=["model_name"])
            family.add_metric([self.model], sum(each.get(key, 0) for each in running))
            yield family
        asked = CounterMetricFamily(
            "vllm:prefix_cache_queries", "Tokens of prompts that were looked for.",
            labels=["model_name"],
        )  # fmt: skip
        counts = ("prompt_tokens", "shared_tokens")
        asked.add_metric([self.model], sum(each.get(key, 0) for each in running for key in counts))
        yield asked

    @contextmanager
    def measure(self, exchange: "Exchange") -> Iterator[MeasuredExchange]:
        """Times and counts of an exchange; one that does not end by itself counts as aborted."""
        measured = MeasuredExchange(self, exchange)
        try:
            yield measured
        finally:
            self.whole.observe(time.perf_counter() - measured.begun)
            for ended in exchange.ended:
                self.finished.labels(self.model, ended or "abort").inc()
            self.count(exchange.usage())

    def count(self, usage: dict[str, int]) -> None:
        """Count the tokens of an answer, of all answers and of the current request's."""
        prompt, new = usage["prompt_tokens"], usage.get("completion_tokens", 0)
        self.prompt_tokens.inc(prompt)
        self.new_tokens.inc(new)
        if counts := current_counts.get(None):
            counts.model = self.model
            counts.prompt_tokens += prompt
            counts.new_tokens += new

    def text(self) -> bytes:
        """All counts, as Prometheus reads them."""
        return generate_latest(self.registry)
