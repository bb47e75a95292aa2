"""The server answers its own page with its secret, and nobody and nothing else."""

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread
from typing import Any, NamedTuple

import pytest

from groundup.core import ConfigError
from groundup.measure.judgement import current_votes, read_votes
from groundup.measure.review.server import MAX_BODY_BYTES, ReviewServer
from groundup.measure.review.sheet import ReviewSheet
from tests.measure.review.sheets import items, pairs, sheet


@contextmanager
def serving(server: ReviewServer) -> Iterator[ReviewServer]:
    """The server at work in a thread of its own."""
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def server(tmp_path):
    with serving(ReviewServer("lamps", lambda who: sheet(tmp_path, who), "ana")) as running:
        yield running


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    text: str

    @property
    def data(self) -> dict[str, Any]:
        return json.loads(self.text)


def ask(
    server: ReviewServer, method: str, path: str, body: bytes | str | None = None,
    headers: dict[str, str] | None = None,
) -> Reply:  # fmt: skip
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    try:
        with suppress(BrokenPipeError):  # refused before all of it was sent
            connection.request(method, path, body, headers or {})
        reply = connection.getresponse()
        return Reply(reply.status, dict(reply.headers), reply.read().decode())
    finally:
        connection.close()


def post(server: ReviewServer, route: str, body: Any, **headers: str) -> Reply:
    given = {"Content-Type": "application/json"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return ask(server, "POST", f"/{server.secret}/{route}", text, given)


def state(server: ReviewServer, who: str = "") -> dict[str, Any]:
    return ask(server, "GET", f"/{server.secret}/state?who={who}").data


def vote(server: ReviewServer, subject: str, action: str = "accept", **more: Any) -> Reply:
    return post(server, "vote", {"who": "ana", "subject": subject, "action": action, **more})


def test_the_page_is_whole_and_guarded(server):
    reply = ask(server, "GET", f"/{server.secret}/")
    assert reply.status == 200 and reply.headers["Content-Type"] == "text/html; charset=utf-8"
    assert reply.headers["Content-Security-Policy"] == "frame-ancestors 'none'"
    assert reply.headers["Referrer-Policy"] == "no-referrer"
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src &#x27;none&#x27;" in reply.text and "http://" not in reply.text
    assert "lamps" in reply.text and server.secret not in reply.text


def test_a_vote_is_on_disk_before_it_is_answered(server, tmp_path):
    first = state(server)
    subject = first["item"]["subject"]
    assert (first["done"], first["total"], first["who"]) == (0, 8, "ana")
    reply = vote(server, subject, "drop", reason="not worth asking")
    assert reply.status == 200 and reply.data["done"] == 1
    (found,) = current_votes(read_votes(tmp_path))
    assert (found.who, found.subject, found.value) == ("ana", subject, "drop")
    assert found.seconds is not None
    assert post(server, "undo", {"who": "ana"}).data["item"]["subject"] == subject
    assert current_votes(read_votes(tmp_path)) == []
    assert post(server, "skip", {"who": "ana", "subject": subject}).data["done"] == 0
    assert state(server)["item"]["subject"] != subject


def test_what_is_sent_is_blind(server, tmp_path):
    text = ask(server, "GET", f"/{server.secret}/state").text
    assert "hidden-model" not in text and "house.md" in text
    two = ReviewServer("pairs", lambda who: ReviewSheet(tmp_path / "p", pairs(), who), "ana")
    with serving(two) as running:
        reply = ask(running, "GET", f"/{running.secret}/state")
        assert "ours" not in reply.text and "theirs" not in reply.text
        item = reply.data["item"]
        assert item["form"] == "choice" and len(item["answers"]) == 2
        reply = vote(running, item["subject"], "A")
        assert "ours" not in reply.text and reply.status == 200
        assert current_votes(read_votes(tmp_path / "p"))[0].value in ("ours", "theirs")


def test_two_reviewers_at_once_each_have_a_sheet(server, tmp_path):
    def work(who: str) -> None:
        for _ in range(8):
            item = state(server, who)["item"]
            body = {"who": who, "subject": item["subject"], "action": "accept"}
            assert post(server, "vote", body).status == 200

    threads = [Thread(target=work, args=(who,)) for who in ("ana", "ben")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert state(server, "ana")["item"] is None and "100" not in state(server, "ana")["summary"]
    assert len(current_votes(read_votes(tmp_path))) == 16


@pytest.mark.parametrize(
    "path",
    [
        "/", "/state", "/wrong/", "/wrong/state", "//", "*", "/%2e%2e/", "/{secret}x/",
        "/{secret}/../../etc/passwd", "/{secret}/%2e%2e/%2e%2e/etc/passwd", "/{secret}/page.py",
        "/{secret}/vote", "/{secret}//",
    ],
)  # fmt: skip
def test_other_addresses_hold_nothing(server, path):
    reply = ask(server, "GET", path.format(secret=server.secret))
    assert reply.status == 404 and reply.data == {"error": "There is no such page here."}


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "", "localhost"])
def test_foreign_hosts_are_refused_with_the_secret_too(server, host):
    reply = ask(server, "GET", f"/{server.secret}/state", headers={"Host": host})
    assert reply.status == 403 and "item" not in reply.data


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1", ""])
def test_foreign_pages_are_refused_with_the_secret_too(server, tmp_path, origin):
    body = {"who": "ana", "subject": "q1", "action": "accept"}
    assert post(server, "vote", body, Origin=origin).status == 403
    assert read_votes(tmp_path) == []
    own = f"http://127.0.0.1:{server.server_port}"
    assert post(server, "vote", body, Origin=own).status == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400), (b"[]", 400), (b"3", 400), (b"", 400), (b"\xff", 400),
        (b"[" * 100_000, 400), (b"x" * (MAX_BODY_BYTES + 1), 413),
    ],
)  # fmt: skip
def test_bodies_that_are_no_decision(server, tmp_path, body, status):
    reply = post(server, "vote", body)
    assert reply.status == status and "error" in reply.data
    assert read_votes(tmp_path) == []
    assert state(server)["done"] == 0


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"subject": "q99", "action": "accept"}, "q99"),
        ({"subject": "q1", "action": "explode"}, "explode"),
        ({"subject": "q1"}, "accept, mend, drop"),
        ({"subject": ["q1"], "action": "accept"}, "must be a text"),
        ({"subject": "q1", "action": "drop"}, "reason"),
        ({"subject": "q1", "action": "mend", "fields": 3}, "must be an object"),
        ({"subject": "q1", "action": "mend", "fields": {"question": 3}}, "must be a text"),
        ({"subject": "q1", "action": "accept", "who": "x" * 101}, "100 printable"),
        ({"subject": "q1", "action": "accept", "who": "a\nb"}, "printable"),
        ({"subject": "q1", "action": "accept", "who": 7}, "must be a text"),
        ({"subject": "q1", "action": "drop", "reason": "\ud800"}, "JSON"),
        ({"subject": "q1", "action": "drop", "reason": "x" * 300_000}, "characters"),
    ],
)
def test_decisions_that_cannot_be_are_told(server, tmp_path, body, says):
    reply = post(server, "vote", body)
    assert reply.status == 422 and says in reply.data["error"]
    assert read_votes(tmp_path) == []


def test_headers_that_a_form_of_another_site_could_send_are_refused(server, tmp_path):
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        assert post(server, "vote", {"subject": "q1"}, Content_Type=kind).status == 415
    assert ask(server, "PUT", f"/{server.secret}/vote", b"{}").status == 501
    assert ask(server, "DELETE", f"/{server.secret}/").status == 501
    assert read_votes(tmp_path) == []


def raw(server: ReviewServer, text: bytes) -> bytes:
    """What comes back for bytes that no client would send."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=30) as connection:
        connection.sendall(text)
        connection.shutdown(socket.SHUT_WR)
        found = b""
        while piece := connection.recv(65536):
            found += piece
    return found


def test_broken_requests_end_their_connection_alone(server):
    host = f"Host: 127.0.0.1:{server.server_port}\r\nContent-Type: application/json\r\n"
    start = f"POST /{server.secret}/vote HTTP/1.1\r\n{host}"
    for length in ("-1", "x", "+5", "1_0", "٣"):
        assert b" 411 " in raw(server, f"{start}Content-Length: {length}\r\n\r\n".encode())
    assert b" 411 " in raw(server, f"{start}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n".encode())
    assert b" 413 " in raw(server, f"{start}Content-Length: {'9' * 40}\r\n\r\n".encode())
    assert b" 400 " in raw(server, f"{start}Content-Length: 50\r\n\r\n{{".encode())
    assert b" 414 " in raw(server, b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n")
    assert b" 200 " not in raw(server, b"\x00\x01\x02\r\n\r\n")
    assert b" 404 " in raw(server, b"GET /\xc3\xa9/ HTTP/1.1\r\n" + host.encode() + b"\r\n")
    assert raw(server, b"") == b""
    assert state(server)["done"] == 0


def test_a_taken_port_is_told(server, tmp_path):
    for port in (server.server_port, 70_000):
        with pytest.raises(ConfigError, match="another --port"):
            ReviewServer("x", lambda who: sheet(tmp_path, who), "ana", port)


def test_the_number_of_reviewers_is_bounded(server):
    for number in range(100):
        assert state(server, f"person{number}")["total"] == len(items())
    assert "100 reviewers" in state(server, "one-more")["error"]


def test_only_this_machine_is_listened_to(server):
    assert server.server_address[0] == "127.0.0.1"
    assert len(server.secret) >= 32 and server.secret in server.url


def test_a_page_may_open_many_connections_at_once(tmp_path):
    waiting = ReviewServer("lamps", lambda who: sheet(tmp_path, who), "ana")
    try:
        address = ("127.0.0.1", waiting.server_port)
        for each in [socket.create_connection(address, timeout=5) for _ in range(60)]:
            each.close()
    finally:
        waiting.server_close()
