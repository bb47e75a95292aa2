"""The server answers its own page alone; in a real browser nothing is lost or can run."""

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread
from typing import Any, NamedTuple

import pytest

from groundup.core import ConfigError, Message, Sample
from groundup.measure.judgement import current_votes, read_votes
from groundup.measure.review.server import (
    COMPARISON_SHORTCUTS,
    MAX_BODY_BYTES,
    REVIEW_SHORTCUTS,
    ReviewServer,
    review_page,
)
from groundup.measure.review.sheet import ReviewSheet, sample_item
from tests.chromium import Chromium, needs_chromium
from tests.core.page.reading import Reading
from tests.measure.review.sheets import compared_sheet, items, sheet


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


def test_what_is_sent_is_blind(server):
    text = ask(server, "GET", f"/{server.secret}/state").text
    assert "hidden-model" not in text and "house.md" in text


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
        ({"subject": "q1"}, "accept, modify, drop"),
        ({"subject": ["q1"], "action": "accept"}, "must be a text"),
        ({"subject": "q1", "action": "drop"}, "reason"),
        ({"subject": "q1", "action": "modify", "fields": 3}, "must be an object"),
        ({"subject": "q1", "action": "modify", "fields": {"question": 3}}, "must be a text"),
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


SHOWN = "document.querySelector('#item:not([hidden]) .text')"


def done(number: int) -> str:
    return f"document.querySelector('#bar').value == {number}"


def test_the_page_holds_its_parts_and_loads_nothing():
    read = Reading(review_page("lamps <script>"))
    assert "Review lamps <script>" in read.text
    assert {"item", "decide", "reason", "alert", "bar", "who"} <= set(read.values("id"))
    assert read.values("src") == []
    text = " ".join(read.text.split())
    assert all(meaning in text for _, meaning in REVIEW_SHORTCUTS)


@pytest.fixture(scope="module")
def browser():
    with Chromium() as running:
        yield running


@needs_chromium
def test_five_samples_by_keyboard_and_one_by_mouse(tmp_path, browser):
    sheet = ReviewSheet(tmp_path, items(), "ana", "salt")
    order = list(sheet.items)
    make = lambda who: ReviewSheet(tmp_path, items(), who, "salt")  # noqa: E731
    with serving(ReviewServer("lamps", make, "ana")) as server:
        browser.open(server.url)
        browser.wait(SHOWN)
        assert "When is lamp" in browser.text("#conversation")
        assert browser.text("mark") == "at night" and "house.md" in browser.text("#source")
        browser.press("a")
        browser.wait(done(1))
        browser.press("d")
        browser.type("it is wrong")
        browser.press("Enter")
        browser.wait(done(2))
        browser.press("d")
        browser.press("3")
        browser.wait(done(3))
        browser.press("m")
        browser.js("document.querySelector('#editing textarea').value = ''")
        browser.type("When? a d s u")
        browser.press("Enter", ctrl=True)
        browser.wait(done(4))
        browser.press("a")
        browser.wait(done(5))
        browser.press("u")
        browser.wait(done(4))
        browser.press("s")
        browser.wait("document.querySelector('#told').textContent.startsWith('Skipped')")
        browser.press("r")
        browser.type("a good one")
        browser.press("Enter")
        browser.press("a")
        browser.wait(done(5))
        browser.click("#buttons [data-action=accept]")
        browser.wait(done(6))
        found = {vote.subject: vote for vote in current_votes(read_votes(tmp_path))}
        assert [found[s].value for s in order[:3]] == [
            "accept", "drop", "drop",
        ]  # fmt: skip
        assert found[order[1]].reason == "it is wrong"
        assert found[order[2]].reason == "the source does not say it"
        assert json.loads(found[order[3]].value) == {"question": "When? a d s u"}
        assert order[4] not in found and found[order[5]].reason == "a good one"
        assert found[order[6]].value == "accept" and len(found) == 6
        browser.open(server.url)
        browser.wait(done(6))
        browser.press("a")
        browser.wait(done(7))
        browser.press("a")
        browser.wait("document.title == 'Reviewed'")
        assert "ana has reviewed 8 of 8" in browser.text("#summary")
    assert browser.problems == []


@needs_chromium
def test_two_reviewers_on_one_server(tmp_path, browser):
    make = lambda who: ReviewSheet(tmp_path, items(), who, "salt")  # noqa: E731
    with serving(ReviewServer("lamps", make, "ana")) as server:
        browser.open(server.url + "?who=ana")
        browser.wait(SHOWN)
        browser.press("a")
        browser.wait(done(1))
        browser.click("#who")
        browser.js("document.querySelector('#who').value = ''")
        browser.type("ben")
        browser.press("Enter")
        browser.wait(done(0))
        browser.press("a")
        browser.wait(done(1))
    assert [vote.who for vote in read_votes(tmp_path)] == ["ana", "ben"]


def test_a_connection_opened_before_the_close_is_not_answered(tmp_path):
    opening = ReviewServer("lamps", lambda who: sheet(tmp_path, who), "ana")
    with serving(opening) as running:
        early = socket.create_connection(("127.0.0.1", running.server_port), timeout=30)
        assert ask(running, "GET", f"/{running.secret}/").status == 200  # accepted after `early`
    request = f"GET /{opening.secret}/ HTTP/1.0\r\nHost: {opening.hosts[0]}\r\n\r\n"
    with early, suppress(OSError):
        early.sendall(request.encode())
        assert early.recv(1) == b""


@needs_chromium
def test_when_the_server_is_gone_the_page_says_so_and_goes_on_when_it_is_back(tmp_path, browser):
    make = lambda who: ReviewSheet(tmp_path, items(), who, "salt")  # noqa: E731
    first = ReviewServer("lamps", make, "ana")
    with serving(first):
        browser.open(first.url)
        browser.wait(SHOWN)
    question = browser.text("#conversation")
    browser.press("a")
    browser.wait("!document.querySelector('#alert').hidden")
    assert "cannot be reached" in browser.text("#alert")
    assert browser.text("#conversation") == question and read_votes(tmp_path) == []
    back = ReviewServer("lamps", make, "ana", first.server_port)
    back.secret = first.secret
    with serving(back):
        browser.wait(done(1))
        browser.wait("document.querySelector('#alert').hidden")
    assert len(read_votes(tmp_path)) == 1


@needs_chromium
def test_nothing_in_a_sample_runs(tmp_path, browser):
    bad = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    metadata = {"passage": bad, "span": [3, 9], "source": bad, "kind": bad}
    one = [sample_item(Sample(bad, (Message("user", bad),), (bad,), "", metadata))]
    with serving(ReviewServer(bad, lambda who: ReviewSheet(tmp_path, one, who), "ana")) as server:
        browser.open(server.url)
        browser.wait(SHOWN)
        assert browser.js("document.querySelectorAll('img, script').length") == 1
        browser.press("m")
        assert browser.js("document.querySelector('#editing textarea').value") == bad
        assert browser.js("document.title") == "1 of 1"


@needs_chromium
def test_a_sample_without_an_answer_can_get_one_or_stay_without(tmp_path, browser):
    made = [sample_item(Sample(name, (Message("user", "Who won?"),))) for name in "ab"]
    with serving(ReviewServer("x", lambda who: ReviewSheet(tmp_path, made, who), "ana")) as server:
        browser.open(server.url)
        browser.wait(SHOWN)
        for number, text in enumerate((" In 2031?", "")):
            browser.press("m")
            browser.type(text)
            browser.click("#editing label:nth-of-type(2) textarea")
            browser.type("" if text else "Nobody.")
            browser.click("#save")
            browser.wait(done(number + 1))
    values = [json.loads(vote.value) for vote in current_votes(read_votes(tmp_path))]
    assert sorted(map(str, values)) == [
        "{'question': 'Who won? In 2031?'}", "{'references': ['Nobody.']}",
    ]  # fmt: skip


@needs_chromium
@pytest.mark.parametrize("width", [360, 1920])
def test_the_page_fits_its_window(tmp_path, browser, width):
    long = "w" * 300
    one = [sample_item(Sample("1", (Message("user", long),), (long,), "", {"passage": long * 20}))]
    with serving(ReviewServer(long, lambda who: ReviewSheet(tmp_path, one, who), "ana")) as server:
        browser.open(server.url, width, scheme="dark")
        browser.wait(SHOWN)
        assert not browser.is_too_wide()
        browser.press("m")
        assert not browser.is_too_wide()


@contextmanager
def comparing(place) -> Iterator[ReviewServer]:
    make = lambda who: compared_sheet(place, who)  # noqa: E731
    with serving(ReviewServer("pairs", make, "ana", compares=True)) as running:
        yield running


def test_answers_to_compare_are_sent_without_who_wrote_them(tmp_path):
    text = " ".join(Reading(review_page("pairs", compares=True)).text.split())
    assert all(meaning in text for _, meaning in COMPARISON_SHORTCUTS)
    assert "Accept" not in text and "I cannot tell" in text
    with comparing(tmp_path) as server:
        first = state(server)["item"]
        reply = post(server, "vote", {"who": "ana", "subject": first["subject"], "action": "rank",
                                      "fields": {"order": "1"}, "reason": "so"})  # fmt: skip
        assert reply.status == 200 and "name-" not in reply.text + json.dumps(first)
        assert first["compares"] == len(first["answers"])
        for fields in ({"order": "9"}, {"order": [1]}, {}, {"order": "1>1"}):
            wrong = {"who": "ana", "subject": first["subject"], "action": "rank", "fields": fields}
            assert post(server, "vote", wrong).status == 422
    [vote] = current_votes(read_votes(tmp_path))
    assert vote.value == (vote.shown[0] if len(vote.shown) == 2 else ">".join(vote.shown))


@needs_chromium
def test_answers_are_compared_on_the_page_by_keys_and_by_mouse(tmp_path, browser):
    one = compared_sheet(tmp_path)
    browser.problems.clear()
    with comparing(tmp_path) as server:
        browser.open(server.url)
        for number, item in enumerate(one.items.values(), 1):
            browser.wait(SHOWN)
            assert "name-" not in browser.js("document.documentElement.outerHTML")
            assert browser.js("[...document.querySelectorAll('#answers .text')].map("
                              "n => n.textContent)") == list(item.answers)  # fmt: skip
            if len(item.names) == 3:
                browser.press("2")
                browser.press("1")
                browser.wait("document.querySelector('#told').textContent.endsWith('2>1')")
                browser.press("Backspace")
                browser.press("=")
                browser.press("3")
                browser.wait("document.querySelector('#told').textContent.endsWith('2=3')")
                browser.press("Enter") if number % 2 else browser.click("[data-action=save]")
            elif number == 1:
                browser.press("r")
                browser.type("so")
                browser.press("Enter")
                browser.press("2")
            else:
                browser.click("[data-rank='1']") if number % 2 else browser.press("=")
            browser.wait(done(number))
        browser.wait("document.title == 'Reviewed'")
        assert "ana has compared 6 of 6" in browser.text("#summary")
    assert browser.problems == []
    votes = {vote.subject: vote for vote in current_votes(read_votes(tmp_path))}
    for number, (subject, item) in enumerate(one.items.items(), 1):
        names, value = item.names, votes[subject].value
        if len(names) == 3:
            assert value == f"{names[1]}={names[2]}>{names[0]}"
        else:
            assert value == (names[1] if number == 1 else names[0] if number % 2 else "tie")
    first = next(iter(one.items))
    assert votes[first].reason == ("so" if len(one.items[first].names) == 2 else "")
