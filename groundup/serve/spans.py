"""OpenTelemetry: a span of each request, sent to a collector by OTLP over HTTP.

Names are those of OpenTelemetry's conventions for HTTP servers and for generative AI. A caller's
traceparent is continued. No text of a prompt or an answer is in a span.
"""

import os
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from groundup import __version__
from groundup.core import MissingExtra, import_extra, record

from .metrics import RequestCounts

OPERATIONS = {"/v1/completions": "text_completion", "/v1/embeddings": "embeddings"}
"""What a route does; the others chat."""


def trace_requests(app: ASGIApp, url: str = "") -> ASGIApp:
    """The application with spans, if a collector is named by its URL or by the environment.

    Raises MissingExtra without opentelemetry; for a collector of the environment it is logged.
    """
    if not url and not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        return app
    try:
        return Traced(app, f"{url.rstrip('/')}/v1/traces" if url else None)
    except MissingExtra as error:
        if url:
            raise
        record.log(f"No spans are sent: {error}")
        return app


class Traced:
    """An application whose requests have spans."""

    def __init__(self, app: ASGIApp, endpoint: str | None) -> None:
        exporter = _import("exporter.otlp.proto.http.trace_exporter").OTLPSpanExporter(endpoint)
        resource = _import("sdk.resources").Resource.create({"service.name": "groundup"})
        self.app, self.api = app, _import("trace")
        self.provider = _import("sdk.trace").TracerProvider(resource=resource)
        processor = _import("sdk.trace.export").BatchSpanProcessor(exporter)
        self.provider.add_span_processor(processor)
        self.tracer = self.provider.get_tracer("groundup", __version__)
        self.contexts = _import("trace.propagation.tracecontext").TraceContextTextMapPropagator()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request within a span; at the server's end spans that wait are sent."""
        status = 0

        async def send_observed(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            if message["type"] == "lifespan.shutdown.complete":
                self.provider.shutdown()
            await send(message)

        if scope["type"] != "http":
            return await self.app(scope, receive, send_observed)
        # An exception's message may quote a prompt, so none is recorded.
        with self.tracer.start_as_current_span(
            scope["method"], self.contexts.extract(Headers(scope=scope)), self.api.SpanKind.SERVER,
            record_exception=False, set_status_on_exception=False,
        ) as span:  # fmt: skip
            try:
                await self.app(scope, receive, send_observed)
            finally:
                route = getattr(scope.get("route"), "path", "")
                span.update_name(f"{scope['method']} {route}".strip())
                span.set_attributes(_attributes(scope, route, status))
                if status >= 500:
                    span.set_status(self.api.StatusCode.ERROR)


def _attributes(scope: Scope, route: str, status: int) -> dict[str, Any]:
    counts: RequestCounts = scope["state"]["counts"]
    values = {
        "http.request.method": scope["method"], "http.route": route, "url.scheme": scope["scheme"],
        "http.response.status_code": status,
    }  # fmt: skip
    if counts.model:
        values |= {
            "gen_ai.operation.name": OPERATIONS.get(route, "chat"),
            "gen_ai.provider.name": "groundup", "gen_ai.request.model": counts.model,
            "gen_ai.usage.input_tokens": counts.prompt_tokens,
            "gen_ai.usage.output_tokens": counts.new_tokens,
        }  # fmt: skip
    if counts.first_token_seconds is not None:
        values["gen_ai.response.time_to_first_chunk"] = counts.first_token_seconds
    return values


def _import(name: str) -> Any:
    return import_extra(f"opentelemetry.{name}", "otel", "opentelemetry-exporter-otlp-proto-http")
