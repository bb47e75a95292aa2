"""What the server counts, in vLLM's names, so that its dashboards show it.

Source: vllm/v1/metrics/loggers.py (names and help), read 2026-12-01.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

if TYPE_CHECKING:
    from .engine.process import Engines
    from .openai.answering import Exchange

FIRST = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
NEXT = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.4, 0.75, 1.0, 2.5)
WHOLE = (0.1, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)
ENGINE_STATES = {
    "num_requests_running": "Requests that are computed.",
    "num_requests_waiting": "Requests that wait.",
    "kv_cache_usage_perc": "Share of the cache in use, 0 to 1.",
}
ENGINE_COUNTS = {
    "prefix_cache_queries": "Tokens of prompts that were looked for.",
    "prefix_cache_hits": "Tokens of prompts that were found computed.",
    "num_preemptions": "Requests that lost their place in the cache.",
    "spec_decode_num_draft_tokens": "Tokens that were drafted.",
    "spec_decode_num_accepted_tokens": "Drafted tokens that were right.",
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


class Meter:
    """All counts of one server."""

    def __init__(self, engines: "Engines", model: str) -> None:
        self.engines, self.registry, self.model = engines, CollectorRegistry(), model
        self.first = self._histogram("time_to_first_token_seconds", "Until the first token.", FIRST)
        self.next = self._histogram("inter_token_latency_seconds", "Between two tokens.", NEXT)
        self.whole = self._histogram("e2e_request_latency_seconds", "Of a whole answer.", WHOLE)
        count, labels = partial(Counter, registry=self.registry), ("model_name",)
        self.prompt_tokens = count("vllm:prompt_tokens", "Tokens of prompts.", labels).labels(model)
        self.new_tokens = count("vllm:generation_tokens", "Tokens of answers.", labels).labels(
            model
        )
        self.finished = count(
            "vllm:request_success", "Answers, by what ended them.", (*labels, "finished_reason")
        )
        self.statuses = count(
            "groundup:http_requests", "HTTP answers, by route and status.", ("route", "status")
        )
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

    def collect(self) -> Iterator[Metric]:
        """What the engines count themselves, since they began."""

        def total(name: str) -> int:
            return sum(each.metrics.get(name, 0) for each in self.engines.running)

        blocks = total("blocks")
        values = {
            "num_requests_running": total("running"), "num_requests_waiting": total("waiting"),
            "kv_cache_usage_perc": (blocks - total("free_blocks")) / max(1, blocks),
            "prefix_cache_queries": total("prompt_tokens") + total("shared_tokens"),
            "prefix_cache_hits": total("shared_tokens"), "num_preemptions": total("preemptions"),
            "spec_decode_num_draft_tokens": total("drafted"),
            "spec_decode_num_accepted_tokens": total("accepted"),
        }  # fmt: skip
        for name, help in (ENGINE_STATES | ENGINE_COUNTS).items():
            kind = GaugeMetricFamily if name in ENGINE_STATES else CounterMetricFamily
            family = kind(f"vllm:{name}", help, labels=["model_name"])
            family.add_metric([self.model], values[name])
            yield family

    @contextmanager
    def measure(self, exchange: "Exchange") -> Iterator[Callable[[int], None]]:
        """Times and counts of an exchange; what is yielded counts a token of one of its answers.

        An answer that does not end by itself counts as aborted.
        """
        begun, last = time.perf_counter(), dict[int, float]()

        def count_token(choice: int) -> None:
            now = time.perf_counter()
            if choice in last:
                self.next.observe(now - last[choice])
            else:
                self.first.observe(now - begun)
                if (counts := current_counts.get(None)) and counts.first_token_seconds is None:
                    counts.first_token_seconds = now - begun
            last[choice] = now

        try:
            yield count_token
        finally:
            self.whole.observe(time.perf_counter() - begun)
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
