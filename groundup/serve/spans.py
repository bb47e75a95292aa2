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

OPERATIONS = {
    "/v1/chat/completions": "chat", "/v1/completions": "text_completion",
    "/v1/responses": "chat", "/v1/embeddings": "embeddings",
}  # fmt: skip


def trace_requests(app: ASGIApp, url: str = "") -> ASGIApp:
    """The application with spans, if a collector is named by its URL or by the environment.

    Raises MissingExtra without opentelemetry; for a collector of the environment it is logged.
    """
    if not url and not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        return app
    try:
        return Traced(app, url)
    except MissingExtra as error:
        if url:
            raise
        record.log(f"No spans are sent: {error}")
        return app


class Traced:
    """The application whose requests have spans."""

    def __init__(self, app: ASGIApp, url: str = "") -> None:
        exporter = _import("exporter.otlp.proto.http.trace_exporter")
        trace, resource = _import("sdk.trace"), _import("sdk.resources").Resource
        endpoint = f"{url.rstrip('/')}/v1/traces" if url else None
        batches = _import("sdk.trace.export").BatchSpanProcessor
        service = {"service.name": "groundup", "service.version": __version__}
        self.app, self.provider = app, trace.TracerProvider(resource=resource.create(service))
        self.provider.add_span_processor(batches(exporter.OTLPSpanExporter(endpoint)))
        self.tracer, self.kind = self.provider.get_tracer("groundup"), _import("trace").SpanKind
        self.contexts = _import("trace.propagation.tracecontext").TraceContextTextMapPropagator()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request within a span."""
        if scope["type"] != "http":
            return await self.app(scope, receive, self._sending_last(send))
        status = 0

        async def send_observed(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        # An exception's message may quote a prompt.
        with self.tracer.start_as_current_span(
            scope["method"], self.contexts.extract(Headers(scope=scope)), self.kind.SERVER,
            record_exception=False, set_status_on_exception=False,
        ) as span:  # fmt: skip
            try:
                await self.app(scope, receive, send_observed)
            finally:
                span.set_attributes(_attributes(scope, status))
                route = getattr(scope.get("route"), "path", "")
                span.update_name(f"{scope['method']} {route}".strip())
                if status >= 500:
                    span.set_status(_import("trace").StatusCode.ERROR)

    def _sending_last(self, send: Send) -> Send:
        """Spans that wait are sent before the server ends."""

        async def send_after_spans(message: Message) -> None:
            if message["type"] == "lifespan.shutdown.complete":
                self.provider.shutdown()
            await send(message)

        return send_after_spans


def _attributes(scope: Scope, status: int) -> dict[str, Any]:
    route, counts = getattr(scope.get("route"), "path", ""), scope["state"].get("counts")
    values = {
        "http.request.method": scope["method"], "http.route": route, "url.scheme": scope["scheme"],
        "http.response.status_code": status, "network.protocol.version": scope["http_version"],
    }  # fmt: skip
    if isinstance(counts, RequestCounts) and counts.model:
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
