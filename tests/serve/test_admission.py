"""Who may ask, how much and for how long; whoever goes away leaves nothing behind."""

import gc
import json
import re
import signal
import socket
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from groundup.core import ConfigError
from groundup.serve.admission import is_local_host
from groundup.serve.keys import add_key, list_keys, revoke_key, rotate_key
from groundup.serve.serve import serve
from tests.serve.running import (
    CONTEXT,
    LONG,
    SHORT,
    Running,
    read_all,
    wait_until,
)
from tests.serve.servers import serving, write_chat_model

MESSAGES = [{"role": "user", "content": "a"}]
ROUTES = {
    ("POST", "/v1/chat/completions"): "chat",
    ("POST", "/v1/completions"): "chat",
    ("POST", "/v1/responses"): "chat",
    ("GET", "/v1/responses/resp_1"): "chat",
    ("DELETE", "/v1/responses/resp_1"): "chat",
    ("POST", "/tokenize"): "chat",
    ("POST", "/detokenize"): "chat",
    ("POST", "/v1/embeddings"): "embeddings",
    ("GET", "/metrics"): "metrics",
    ("GET", "/v1/models"): "any",
    ("GET", "/v1/models/tiny"): "any",
    ("GET", "/openapi.json"): "any",
    ("GET", "/nowhere"): "any",
    ("GET", "/api/search"): "search",
    ("GET", "/api/document"): "search",
    ("GET", "/api/examples"): "search",
    ("GET", "/api/about"): "any",
    **{("GET", path): "none" for path in ("/health", "/ready", "/", "/chat", "/search")},
    **{("GET", path): "none" for path in ("/document", "/static/chat.js")},
}
SCOPES = ("chat", "embeddings", "search", "metrics", "all")


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    found = Running(write_chat_model(tmp_path_factory.mktemp("serve") / "tiny", CONTEXT))
    yield found
    found.close()


@pytest.fixture(scope="module")
def keyed(running, tmp_path_factory):
    """A server with a key for each scope, by the scope's name."""
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    keys = {scope: add_key(path, scope, scope=[scope]).key for scope in SCOPES}
    with running.serve(path) as client:
        yield client, path, keys


# Keys


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_key_opens_the_routes_of_its_scopes_and_no_others(keyed, method, path):
    client, file, keys = keyed
    wanted = ROUTES[method, path]
    add_key(file, "gone", scope=["all"])
    gone = rotate_key(file, "gone", hours=0).key
    revoke_key(file, "gone")
    old = add_key(file, "old", scope=["all"], days=1e-9).key
    revoke_key(file, "old")
    for key in ("", "gu-wrong", "x" * 5000, gone, old):
        answer = client.ask(key, None, path, method)
        assert (answer.status_code == 401) is (wanted != "none"), (key, answer.text)
        if wanted != "none":
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.json()["error"]["type"] == "invalid_request_error"
    for scope, key in keys.items():
        answer = client.ask(key, None, path, method)
        is_allowed = wanted in ("any", "none", scope) or scope == "all"
        assert (answer.status_code == 403) is not is_allowed, (scope, answer.text)
        assert answer.status_code != 401
        if not is_allowed:
            assert answer.json()["error"]["code"] == "insufficient_permissions"


def test_every_route_is_in_the_matrix(running):
    with running.serve() as client:
        paths = client.ask(path="/openapi.json", method="GET", body=None).json()["paths"]
    named = {re.sub(r"\{[^}]*\}", "X", path) for path in paths}
    known = {path.replace("resp_1", "X").replace("models/tiny", "models/X") for _, path in ROUTES}
    assert named <= known, "say in admission.SCOPES what a key needs for these, and here"


def test_a_revoked_key_ends_without_a_restart(running, tmp_path):
    path = tmp_path / "keys.json"
    key = add_key(path, "ann").key
    with running.serve(path) as client:
        assert client.ask(key).status_code == 200
        new = rotate_key(path, "ann").key
        assert client.ask(key).status_code == client.ask(new).status_code == 200
        revoke_key(path, "ann")
        assert client.ask(key).status_code == client.ask(new).status_code == 401


def test_a_key_ends_when_it_expires(running, tmp_path):
    path = tmp_path / "keys.json"
    key = add_key(path, "ann", days=0.6 / 86_400).key
    [secret] = list_keys(path).keys[0].secrets
    with running.serve(path) as client:
        wait_until(lambda: client.ask(key).status_code == 401)
        assert datetime.now(UTC) >= secret.expires


def test_a_stored_response_is_its_tenants_alone(running, tmp_path):
    path = tmp_path / "keys.json"
    ann, bob = add_key(path, "ann").key, add_key(path, "bob").key
    body = {"model": "tiny", "input": "a", "max_output_tokens": 3}
    with running.serve(path) as client:
        answer = client.ask(ann, body, "/v1/responses")
        id = answer.json()["id"]
        where = f"/v1/responses/{id}"
        assert client.ask(ann, None, where, "GET").json()["id"] == id
        for method in ("GET", "DELETE"):
            assert client.ask(bob, None, where, method).status_code == 404
        continued = body | {"previous_response_id": id}
        assert client.ask(bob, continued, "/v1/responses").status_code == 404
        assert client.ask(ann, continued, "/v1/responses").status_code == 200
        assert client.ask(ann, None, where, "DELETE").json()["deleted"] is True


def test_strangers_need_keys(tmp_path):
    with pytest.raises(ConfigError, match="groundup keys add"):
        serve(tmp_path, host="0.0.0.0", port=0)
    with pytest.raises(ConfigError, match="is missing; make it: groundup keys add"):
        serve(tmp_path, port=0, keys=tmp_path / "keys.json")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_this_machines_addresses_need_no_key(host):
    assert is_local_host(host)


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "10.0.0.1", "localhost.evil.org", "127.1"])
def test_other_addresses_do(host):
    assert not is_local_host(host)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "localhost:8000"}, 200),
        ({"host": "LOCALHOST"}, 200),
        ({"host": "[::1]:8000"}, 200),
        ({"host": "evil.org"}, 403),
        ({"host": "127.0.0.1.evil.org"}, 403),
        ({"host": "[::1"}, 403),
        ({"host": ""}, 403),
        ({"host": "localhost:8000", "origin": "http://localhost:8000"}, 200),
        ({"host": "localhost:8000", "origin": "http://localhost:9000"}, 403),
        ({"host": "localhost:8000", "origin": "https://evil.org"}, 403),
        ({"host": "localhost:8000", "origin": "null"}, 403),
    ],
)
def test_without_keys_no_page_of_another_site_is_answered(running, headers, status):
    with running.serve() as client:
        answer = client.ask(**headers)
    assert answer.status_code == status, answer.text
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_no_site_is_allowed_to_read_answers(keyed):
    client, _, keys = keyed
    answer = client.ask(keys["chat"], origin="https://evil.org")
    assert answer.status_code == 200
    asked = client.ask(
        "", None, "/v1/completions", "OPTIONS", origin="https://evil.org",
        access_control_request_method="POST",
    )  # fmt: skip
    assert asked.status_code == 401
    for each in (answer, asked):
        assert not [name for name in each.headers if name.startswith("access-control")]


# Quotas


def test_requests_by_the_minute(running, tmp_path):
    path = tmp_path / "keys.json"
    ann = add_key(path, "ann", requests_per_minute=20).key
    bob = add_key(path, "bob").key
    with running.serve(path) as client:
        answers = []
        while (answer := client.ask(ann)).status_code == 200:
            answers.append(answer)
            assert len(answers) < 100
        begun = time.monotonic()
        assert len(answers) >= 20
        assert answer.status_code == 429
        error = answer.json()["error"]
        assert (error["type"], error["code"]) == ("requests", "rate_limit_exceeded")
        seconds = int(answer.headers["retry-after"])
        assert 1 <= seconds <= 3
        assert client.ask(bob).status_code == 200, "another key has its own"
        wait_until(lambda: time.monotonic() > begun + seconds)
        assert client.ask(ann).status_code == 200
    first, last = answers[0].headers, answers[-1].headers
    assert first["x-ratelimit-limit-requests"] == "20"
    assert first["x-ratelimit-remaining-requests"] == "19"
    assert last["x-ratelimit-remaining-requests"] == "0"
    assert 50 < float(last["x-ratelimit-reset-requests"].removesuffix("s")) <= 60


def test_tokens_by_the_minute(running, tmp_path):
    path = tmp_path / "keys.json"
    key = add_key(path, "ann", tokens_per_minute=60).key
    body = SHORT | {"max_tokens": 70, "min_tokens": 70}
    with running.serve(path) as client:
        usage = client.ask(key, body).json()["usage"]
        answer = client.ask(key)
        assert answer.status_code == 429
        assert answer.json()["error"]["type"] == "tokens"
        owed = usage["total_tokens"] - 60
        assert owed <= int(answer.headers["retry-after"]) <= owed + 1
        assert client.ask(key, {"input": "a"}, "/v1/embeddings").status_code == 429


@pytest.mark.parametrize(
    ("path", "body", "tokens"),
    [
        ("/v1/completions", SHORT, 6),
        ("/v1/completions", SHORT | {"stream": True, "n": 2}, 10),
        (
            "/v1/completions",
            SHORT | {"echo": True, "logprobs": 1, "max_tokens": 0, "min_tokens": 0},
            2,
        ),
        ("/v1/embeddings", {"input": "abc", "model": "tiny"}, 3),
    ],
)
def test_all_that_is_computed_counts(running, tmp_path, path, body, tokens):
    file = tmp_path / "keys.json"
    key = add_key(file, "ann", tokens_per_minute=60).key
    with running.serve(file) as client:
        begun = time.monotonic()
        assert client.ask(key, body, path).status_code == 200
        used = 60 - int(client.ask(key).headers["x-ratelimit-remaining-tokens"])
        refilled = time.monotonic() - begun
    assert tokens - refilled - 1 <= used <= tokens + 1


def test_requests_of_a_key_at_a_time(running, tmp_path):
    path = tmp_path / "keys.json"
    ann, bob = add_key(path, "ann", concurrent=2).key, add_key(path, "bob").key
    with running.serve(path) as client:
        links = [client.send(LONG | {"stream": True}, ann) for _ in range(2)]
        for link in links:
            assert link.recv(100).startswith(b"HTTP/1.1 200")
        answer = client.ask(ann)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
        assert client.ask(bob).status_code == 200
        links[0].close()
        wait_until(lambda: client.ask(ann).status_code == 200)
        links[1].close()
    wait_until(running.is_idle)


def test_requests_of_all_at_a_time(running):
    with running.serve(max_requests=1) as client:
        link = client.send(LONG)
        wait_until(lambda: client.ask().status_code == 429)
        assert client.ask().headers["retry-after"] == "1"
        assert client.ask(path="/health", method="GET", body=None).status_code == 200
        link.close()
        wait_until(lambda: client.ask().status_code == 200)
    wait_until(running.is_idle)


def test_limits_of_the_server_are_those_of_a_key_without_own(running, tmp_path):
    path = tmp_path / "keys.json"
    ann, bob = add_key(path, "ann").key, add_key(path, "bob", requests_per_minute=9).key
    limits = {"requests_per_minute": 5, "tokens_per_minute": 500}
    with running.serve(path, limits=limits) as client:
        for key, limit in ((ann, "5"), (bob, "9")):
            headers = client.ask(key).headers
            assert headers["x-ratelimit-limit-requests"] == limit
            assert headers["x-ratelimit-limit-tokens"] == "500"
    with running.serve(limits=limits) as client:
        assert client.ask().headers["x-ratelimit-limit-requests"] == "5"


def test_a_limit_that_comes_later_does_not_count_what_was_before(running, tmp_path):
    path = tmp_path / "keys.json"
    key = add_key(path, "ann").key
    with running.serve(path) as client:
        for _ in range(3):
            assert client.ask(key, SHORT | {"max_tokens": 50, "min_tokens": 50}).status_code == 200
        content = json.loads(path.read_text())
        content["keys"][0]["limits"]["tokens_per_minute"] = 100
        path.write_text(json.dumps(content))
        assert client.ask(key).status_code == 200


# Sizes and times


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_that_is_too_large_is_refused(running, is_chunked):
    content = json.dumps(SHORT | {"user": "x" * 3000}).encode()
    parts = [content[at : at + 100] for at in range(0, len(content), 100)]
    with running.serve(body_bytes=2000) as client:
        answer = client.http.post(
            "/v1/completions", content=iter(parts) if is_chunked else content,
            headers={"content-type": "application/json"},
        )  # fmt: skip
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "request_too_large"


def test_a_large_body_is_refused_before_it_comes(running):
    with running.serve() as client, client.connect() as link:
        link.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n")
        link.sendall(b"Expect: 100-continue\r\nContent-Length: 999999999\r\n\r\n")
        assert link.recv(100).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("length", [b"-1", b"x", b"9" * 5000, b"1\r\nContent-Length: 2"])
def test_a_length_that_is_none_is_refused(running, length):
    with running.serve() as client, client.connect() as link:
        link.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: ")
        link.sendall(length + b"\r\n\r\n")
        assert re.match(rb"HTTP/1.1 4\d\d", read_all(link))


def test_a_body_must_arrive_in_time(running):
    with running.serve(body_seconds=0.2, header_seconds=0.2) as client, client.connect() as link:
        link.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n")
        link.sendall(b"Content-Length: 50\r\n\r\n{")
        assert read_all(link).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("is_stream", [False, True])
def test_an_answer_may_take_longer_than_the_body(running, is_stream):
    body = SHORT | {"max_tokens": 400, "min_tokens": 400, "stream": is_stream}
    with running.serve(body_seconds=0.1) as client:
        begun = time.monotonic()
        answer = client.ask(body=body)
        assert time.monotonic() - begun > 0.1 and answer.status_code == 200
        assert answer.text.endswith("data: [DONE]\n\n" if is_stream else "}")


def test_chunks_without_end_are_refused_and_cut_off(running):
    with running.serve(body_bytes=10_000, header_seconds=0.5) as client, client.connect() as link:
        link.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n")
        link.sendall(b"Transfer-Encoding: chunked\r\n\r\n")
        received, end = [], time.monotonic() + 20
        reader = threading.Thread(target=lambda: received.append(read_all(link)))
        reader.start()
        with pytest.raises(OSError):
            while time.monotonic() < end:
                link.sendall(b"400\r\n" + b"x" * 1024 + b"\r\n")
        reader.join(20)
    assert received[0].startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("head", [b"X: " + b"a" * 100_000 + b"\r\n", b"A: b\r\n" * 20_000])
def test_headers_are_bounded(running, head):
    with running.serve() as client, client.connect() as link:
        try:
            link.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + head)
            link.sendall(b"\r\n")
        except OSError:
            pass
        assert re.match(rb"HTTP/1.1 4\d\d", read_all(link))
        assert client.ask().status_code == 200


def test_slow_headers_are_cut_off_and_idle_connections_are_not(running):
    with running.serve(header_seconds=0.3) as client:
        answered = client.ask(path="/health", method="GET", body=None)
        with client.connect() as link, client.connect() as silent:
            begun = time.monotonic()
            link.sendall(b"GET /health HTTP/1.1\r\nHo")
            assert read_all(link) == read_all(silent) == b""
            assert time.monotonic() - begun < 5
        assert answered.status_code == 200
        assert client.ask(path="/health", method="GET", body=None).status_code == 200


def test_what_is_no_http_is_refused(running, keyed, capfd):
    client, _, _ = keyed
    for sent in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"GET\r\n\r\n"):
        with client.connect() as link:
            link.sendall(sent)
            assert read_all(link).startswith(b"HTTP/1.1 400")
    with client.connect() as link:
        link.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n")
        link.sendall(b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n")
        assert link.recv(10_000).startswith(b"HTTP/1.1 401")
        link.sendall(b"no length\r\n")
        read_all(link)
    assert client.ask(path="/health", method="GET", body=None).status_code == 200
    assert "Traceback" not in capfd.readouterr().err


def test_an_answer_that_takes_too_long_is_given_up(running):
    with running.serve(answer_seconds=0.5) as client:
        answer = client.ask(body=LONG)
        assert answer.status_code == 408
        assert answer.headers["x-should-retry"] == "false"
        assert "0.5 s" in answer.json()["error"]["message"]
        wait_until(running.is_idle)
        streamed = client.ask(body=LONG | {"stream": True})
        assert streamed.status_code == 200
        events = streamed.text.split("\n\n")
        assert "error" in json.loads(events[-2].removeprefix("data: "))
        assert "[DONE]" not in streamed.text
        assert "choices" in json.loads(events[0].removeprefix("data: "))
    wait_until(running.is_idle)


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions", "/v1/responses"])
def test_a_text_that_cannot_fit_is_refused_before_it_is_encoded(running, path):
    text, begun = " " * 4_000_000, time.monotonic()
    fields = {"prompt": text, "messages": [{"role": "user", "content": text}], "input": text}
    name = {"completions": "prompt", "responses": "input"}.get(path[4:], "messages")
    with running.serve() as client:
        answer = client.ask(body={"model": "tiny", name: fields[name]}, path=path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "context_length_exceeded")
    assert time.monotonic() - begun < 5


def test_requests_have_ids(running):
    with running.serve() as client:
        assert client.ask(x_request_id="mine-1").headers["x-request-id"] == "mine-1"
        ids = {client.ask(x_request_id="no\ttabs").headers["x-request-id"] for _ in range(2)}
        assert len(ids) == 2 and all(re.fullmatch("req_[0-9a-f]{32}", id) for id in ids)


def test_answers_are_counted_by_route_and_status(running):
    with running.serve() as client:
        for path in ("/v1/models/tiny", "/v1/models/x", "/a", "/b"):
            client.ask(path=path, method="GET", body=None)
        text = client.ask(path="/metrics", method="GET", body=None).text
    count = 'groundup:http_requests_total{route="/v1/models/{name:path}",status="%d"} 1.0'
    assert count % 200 in text and count % 404 in text
    assert 'groundup:http_requests_total{route="",status="404"} 2.0' in text


# Clients that go away


@pytest.fixture
def uncollected():
    """Nothing may wait for the search for garbage."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("how", ["closed", "reset", "half-closed"])
def test_a_client_that_goes_away_stops_the_work(running, uncollected, is_stream, how):
    with running.serve() as client:
        link = client.send(LONG | {"stream": is_stream, "n": 3})
        wait_until(lambda: not running.is_idle())
        if is_stream:
            assert link.recv(100).startswith(b"HTTP/1.1 200")
        if how == "half-closed":
            link.shutdown(socket.SHUT_WR)
            read_all(link)
        elif how == "reset":
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        link.close()
        wait_until(running.is_idle, 5)
        assert client.ask().status_code == 200


@pytest.mark.parametrize("size", [0, 1024])
def test_a_reader_that_takes_next_to_nothing_is_cut_off(running, uncollected, size):
    with running.serve(reader_seconds=0.5) as client:
        link = client.send(LONG | {"stream": True, "logprobs": 5})
        wait_until(lambda: not running.is_idle())

        def is_over() -> bool:
            with suppress(ConnectionResetError):
                link.recv(size)
            return running.is_idle()

        wait_until(is_over, 60)
        assert b"[DONE]" not in read_all(link)
        link.close()


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="needs Linux")
def test_what_nobody_reads_is_not_kept_after_the_answer(running):
    with running.serve(reader_seconds=0.5) as client, client.connect() as link:
        link.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        wait_until(lambda: client.server.server_state.total_requests)
        assert client.server.server_state.connections
        wait_until(lambda: not client.server.server_state.connections)


def test_many_clients_that_go_away_leave_nothing(running, uncollected):
    with running.serve() as client:
        links = [client.send(LONG | {"stream": at % 2 == 0}) for at in range(150)]
        wait_until(lambda: not running.is_idle())
        for link in links:
            link.close()
        wait_until(running.is_idle)


# The end of a server


@pytest.mark.parametrize("how", ["waits", "reads", "reads not"])
def test_an_answer_that_outlasts_the_time_to_drain_is_given_up(running, uncollected, how):
    said = []
    with running.serve(drain_seconds=1.0) as client:
        link = client.send(LONG | {"stream": how != "waits", "logprobs": 5})
        reader = threading.Thread(target=lambda: said.append(read_all(link)))
        wait_until(lambda: not running.is_idle())
        if how != "reads not":
            reader.start()
    wait_until(running.is_idle)
    if how == "reads not":
        reader.start()
    reader.join()
    link.close()
    if how == "reads":
        assert b"The server has ended" in said[0].split(b"data: ")[-1]
    elif how == "waits":
        assert said[0].startswith(b"HTTP/1.1 503") and b"retry-after" in said[0].lower()
    assert b"[DONE]" not in said[0]


@pytest.mark.parametrize("signals", [1, 2])
def test_a_signal_lets_answers_end_and_a_second_one_does_not(running, signals):
    body = LONG | {"max_tokens": 600, "min_tokens": 600, "stream": True}
    with serving(Path(running.settings.model)) as server:
        process, port = server.process, int(server.url.rpartition(":")[2])
        with httpx.stream("POST", f"{server.url}/v1/completions", json=body, timeout=60) as answer:
            lines = answer.iter_lines()
            assert next(lines).startswith("data: ")
            process.send_signal(signal.SIGTERM)
            wait_until(lambda: is_refused(port))
            if signals == 2:
                process.send_signal(signal.SIGTERM)
                with pytest.raises(httpx.RemoteProtocolError):
                    list(lines)
            else:
                events = [line for line in lines if line]
                assert events[-1] == "data: [DONE]" and len(events) > 400
        assert process.wait(30) == (0 if signals == 1 else 128 + signal.SIGTERM)


def is_refused(port: int) -> bool:
    """Whether nobody listens at a port."""
    with socket.socket() as link:
        return link.connect_ex(("127.0.0.1", port)) != 0
