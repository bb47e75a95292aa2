"""Spans as a collector gets them: names, numbers, parents, and no text of anyone."""

import builtins
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from groundup.core import MissingExtra
from groundup.serve.keys import add_key
from groundup.serve.spans import trace_requests
from tests.serve.running import CONTEXT, LONG, SHORT, Running, wait_until
from tests.serve.servers import write_chat_model

SECRET = "xyzzy"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector(ThreadingHTTPServer):
    """Keeps the spans that it gets."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receiving)
        self.spans, self.content = [], b""
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"


class Receiving(BaseHTTPRequestHandler):
    server: Collector

    def log_message(self, format, *args):
        """Say nothing."""

    def do_POST(self):
        assert self.path == "/v1/traces"
        content = self.rfile.read(int(self.headers["content-length"]))
        self.server.content += content
        for each in ExportTraceServiceRequest.FromString(content).resource_spans:
            assert each.resource.attributes[-1].key
            self.server.spans += [span for scope in each.scope_spans for span in scope.spans]
        self.send_response(200)
        self.end_headers()


@pytest.fixture
def collector():
    found = Collector()
    yield found
    found.shutdown()
    found.server_close()


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    found = Running(write_chat_model(tmp_path_factory.mktemp("serve") / "tiny", CONTEXT))
    yield found
    found.close()


def values(span) -> dict:
    """The attributes of a span."""
    kinds = ("string_value", "int_value", "double_value")
    return {
        each.key: next(getattr(each.value, kind) for kind in kinds if each.value.HasField(kind))
        for each in span.attributes
    }


def test_a_request_has_a_span(running, collector):
    with running.serve(otlp=collector.url) as client:
        chat = {"model": "tiny", "messages": [{"role": "user", "content": SECRET}]}
        client.ask(body=chat | {"max_tokens": 5, "min_tokens": 5, "stream": True},
                   path="/v1/chat/completions", traceparent=f"00-{TRACE}-{PARENT}-01")  # fmt: skip
        usage = client.ask().json()["usage"]
        client.ask(path="/v1/embeddings", body={"model": "tiny", "input": SECRET})
        client.ask(path=f"/v1/models/{SECRET}", body=None, method="GET")
        client.ask(path=f"/{SECRET}", body=None, method="GET")
        client.ask(body={"model": "tiny", "prompt": SECRET, "n": -1})
    streamed, plain, embedded, model, nowhere, wrong = collector.spans
    assert [span.name for span in collector.spans] == [
        "POST /v1/chat/completions", "POST /v1/completions", "POST /v1/embeddings",
        "GET /v1/models/{name:path}", "GET", "POST /v1/completions",
    ]  # fmt: skip
    assert {span.kind for span in collector.spans} == {2}, "spans of a server"
    assert (streamed.trace_id.hex(), streamed.parent_span_id.hex()) == (TRACE, PARENT)
    assert plain.trace_id != streamed.trace_id and not plain.parent_span_id
    assert 0 < streamed.end_time_unix_nano - streamed.start_time_unix_nano < 30e9
    seen = values(plain)
    assert 0 < seen.pop("gen_ai.response.time_to_first_chunk") < 30
    assert seen == {
        "http.request.method": "POST", "http.route": "/v1/completions", "url.scheme": "http",
        "http.response.status_code": 200, "gen_ai.operation.name": "text_completion",
        "gen_ai.provider.name": "groundup", "gen_ai.request.model": "tiny",
        "gen_ai.usage.input_tokens": usage["prompt_tokens"],
        "gen_ai.usage.output_tokens": usage["completion_tokens"],
    }  # fmt: skip
    assert values(streamed)["gen_ai.operation.name"] == "chat"
    assert values(streamed)["gen_ai.usage.output_tokens"] == 5
    assert values(embedded)["gen_ai.operation.name"] == "embeddings"
    statuses = [values(span)["http.response.status_code"] for span in (model, nowhere, wrong)]
    assert statuses == [404, 404, 400]
    assert not any("gen_ai.request.model" in values(span) for span in (model, nowhere, wrong))
    assert SECRET.encode() not in collector.content


def test_refused_and_abandoned_requests_have_spans_too(running, collector, tmp_path):
    path = tmp_path / "keys.json"
    key = add_key(path, "ann").key
    with running.serve(path, otlp=collector.url) as client:
        client.ask("gu-wrong")
        client.send(LONG | {"stream": True}, key).close()
        client.send(LONG, key).close()
        wait_until(running.is_idle)
    assert values(collector.spans[0])["http.response.status_code"] == 401
    assert not collector.spans[0].status.code, "a client's error is none of the server"
    assert len(collector.spans) == 3
    assert key.encode() not in collector.content


def test_a_collector_that_is_gone_stops_nothing(running, monkeypatch, capfd):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    with socket.create_server(("127.0.0.1", 0)) as unused:
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    with running.serve(otlp=url) as client:
        assert client.ask(body=SHORT).status_code == 200


def test_the_environment_names_a_collector(running, collector, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    with running.serve() as client:
        client.ask()
    assert len(collector.spans) == 1


def test_without_a_collector_nothing_is_imported(monkeypatch):
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    for name in [name for name in sys.modules if name.startswith("opentelemetry")]:
        monkeypatch.delitem(sys.modules, name)
    assert trace_requests(print) is print
    assert not [name for name in sys.modules if name.startswith("opentelemetry")]


def test_without_the_package_a_flag_fails_and_the_environment_is_logged(monkeypatch, capfd):
    for name in [name for name in sys.modules if name.startswith("opentelemetry")]:
        monkeypatch.delitem(sys.modules, name)
    usual = builtins.__import__

    def refuse(name, *rest):
        if name.startswith("opentelemetry"):
            raise ImportError(name)
        return usual(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    monkeypatch.setattr("importlib.import_module", refuse)
    with pytest.raises(MissingExtra, match="opentelemetry"):
        trace_requests(print, "http://127.0.0.1:4318")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    assert trace_requests(print) is print
