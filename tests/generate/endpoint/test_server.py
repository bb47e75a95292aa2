"""Every way in which a server can fail ends in an answer after another try, or in a reason."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.core import (
    Completion,
    ConfigError,
    Likelihood,
    LoglikelihoodRequest,
    Reason,
    Sampling,
)
from groundup.generate.endpoint.errors import EndpointError
from groundup.generate.endpoint.model import Endpoint
from groundup.generate.endpoint.responses import Usage
from groundup.generate.endpoint.server import CostTracker
from groundup.generate.endpoint.settings import EndpointConfig, Prices, Rates, Retries, Timeouts
from tests.generate.endpoint import peer as wire
from tests.generate.endpoint.peer import MODEL, Peer, good, raw, status
from tests.generate.tiny import user

STOPS = Sampling(max_tokens=4)
TIMES = Timeouts(connect=60.0, idle=60.0, attempt=120.0, request=600.0)
"""None of them is reached, however busy the machine is, but those that a test shortens."""
FIELDS = st.sampled_from(
    ["message", "content", "text", "finish_reason", "logprobs", "tokens", "token_logprobs", "usage",
     "top_logprobs", "prompt_tokens", "prompt_logprobs", "data", "index", "embedding", "token_ids"]
)  # fmt: skip
RETRIES = Retries(attempts=3, first_wait=0.0, stop_after=50)


@pytest.fixture(scope="module")
def server():
    with Peer() as peer:
        yield peer


@pytest.fixture(autouse=True)
def forget(server):
    server.asked.clear()
    server.script.clear()
    server.always = None


def endpoint(peer: Peer, **values) -> Endpoint:
    values = {"retries": RETRIES, "timeouts": TIMES, "url": peer.url, "model": MODEL} | values
    return Endpoint(EndpointConfig(**values))


def one(model: Endpoint, prompt: str = "a") -> Completion | Reason:
    ((_, found),) = model.complete([prompt], STOPS)
    return found


PASSING = {
    "408": status(408),
    "409": status(409),
    "429": status(429),
    "500": status(500),
    "503": status(503, headers={"Retry-After": "0"}),
    "a date long gone": status(429, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}),
    "a page": raw(b"<html><body>502 Bad Gateway</body></html>", "text/html", 502),
    "a page that calls itself fine": raw(b"<html>Welcome</html>", "text/html"),
    "no JSON": raw(b'{"choices": ['),
    "NaN": raw(b'{"choices": [{"text": NaN}]}'),
    "deep JSON": raw(b"[" * 100_000),
    "no object": raw(b'"choices"'),
    "nothing": raw(b""),
    "no choices": raw(b'{"choices": []}'),
    "choices of another kind": raw(b'{"choices": {"0": "text"}}'),
    "no text": raw(b'{"choices": [{"finish_reason": "stop", "message": {"content": 7}}]}'),
    "no end": raw(b'{"choices": [{"finish_reason": null, "message": {"content": "x"}}]}'),
    "a closed connection": wire.hang_up,
    "a cut body": wire.cut_body,
    "half a stream": wire.half_stream,
    "a stream without an end": wire.early_done,
    "a broken event": raw(b"data: {\n\n", "text/event-stream"),
    "an error in the stream": raw(b'data: {"error": {"message": "busy"}}\n\n', "text/event-stream"),
    "half a character": raw(b"data: \xc3\n\n", "text/event-stream"),
}


@pytest.mark.parametrize("name", PASSING)
@pytest.mark.parametrize("streams", [False, True])
def test_what_may_pass_is_tried_again(server, name, streams):
    server.script.extend([PASSING[name], PASSING[name], good])
    found = one(endpoint(server, stream=streams))
    assert isinstance(found, Completion), found
    assert len(server.asked) == 3


@pytest.mark.parametrize("name", PASSING)
def test_what_does_not_pass_is_a_reason_with_the_attempts(server, name):
    server.always = PASSING[name]
    found = one(endpoint(server))
    assert isinstance(found, Reason) and "attempt 3 of 3" in found.message
    assert server.url in found.message and "\n" not in found.message
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        (status(400, "wrong field"), "refused"),
        (status(422, "wrong field"), "refused"),
        (status(501, "not built in"), "not_found"),
        (status(400, "maximum context length is 8"), "too_long"),
        (status(413, "Payload Too Large"), "too_long"),
        (status(401, "Incorrect API key"), "unauthorised"),
        (status(403), "unauthorised"),
        (status(404, "no such model"), "not_found"),
        (status(402, "pay"), "no_funds"),
        (status(302, headers={"Location": "http://elsewhere/"}), "redirected"),
        (status(307, headers={"Location": "/v1/other"}), "redirected"),
        (raw(b"\x1f\x8b" + b"0" * 20, "application/json"), "bad_answer"),
    ],
)
def test_what_will_not_pass_is_asked_once(server, behaviour, code):
    server.script.extend([behaviour, good])
    retries = Retries(attempts=1) if code == "bad_answer" else RETRIES
    found = one(endpoint(server, retries=retries))
    assert isinstance(found, Reason) and found.code == code
    assert len(server.asked) == 1


def test_no_quota_is_not_a_rate(server):
    body = json.dumps({"error": {"message": "no quota", "code": "insufficient_quota"}}).encode()
    server.script.append(raw(body, code=429))
    assert one(endpoint(server)).code == "no_funds" and len(server.asked) == 1


def test_an_answer_that_was_compressed_unasked_is_refused(server):
    def squeeze(peer):
        peer.send(b"x" * 20, headers={"Content-Encoding": "gzip"})

    server.script.append(squeeze)
    found = one(endpoint(server))
    assert found.code == "bad_answer" and "compressed" in found.message


@pytest.mark.parametrize(
    ("behaviour", "times", "words"),
    [
        (wire.hang, {"idle": 0.1}, "silent"),
        (wire.hang, {"attempt": 0.1}, "no complete answer within 0.1 s"),
        (wire.drip, {"attempt": 0.2}, "no complete answer within 0.2 s"),
    ],
)
def test_a_server_that_hangs_or_drips_is_left_after_so_many_attempts(behaviour, times, words):
    with Peer() as peer:  # its own: what it is still busy with, no other test waits for
        peer.always = behaviour
        found = one(endpoint(peer, timeouts=TIMES.model_copy(update=times), stream=True))
    # Counted by the client: a busy server may not have read a request that was left early.
    assert found.code == "timeout" and words in found.message and "attempt 3 of 3" in found.message


@pytest.mark.parametrize("behaviour", [wire.hang, wire.drip])
def test_a_server_that_hangs_or_drips_once_is_tried_again(behaviour):
    with Peer() as peer:
        model, attempts = endpoint(peer, stream=True), []
        real = model.server.attempt

        async def attempt(client, call, seconds_left):
            attempts.append(seconds_left)  # only the first one has little time
            return await real(client, call, seconds_left if attempts[1:] else 0.1)

        model.server.attempt = attempt
        # By the client's count: a busy server reads the first request when the second is sent.
        peer.always = lambda answering: (good if attempts[1:] else behaviour)(answering)
        assert isinstance(one(model), Completion) and len(attempts) == 2


def test_a_request_has_a_deadline_over_all_its_attempts(server):
    server.always = wire.hang
    times = TIMES.model_copy(update={"attempt": 0.1, "request": 0.15})
    found = one(endpoint(server, timeouts=times, retries=Retries(attempts=99, first_wait=0.04)))
    assert found.code == "timeout" and len(server.asked) <= 3


def test_a_wait_beyond_the_deadline_is_not_waited(server):
    later = format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True)
    for header in ("7200", later):
        server.script.append(status(429, "slow down", {"Retry-After": header}))
        found = one(endpoint(server))
        assert found.code == "rate_limited" and "too late" in found.message


def test_a_server_may_ask_everybody_to_wait(server):
    server.script.append(status(429, headers={"Retry-After": "0.2"}))
    model = endpoint(server, concurrency=1)
    assert all(isinstance(found, Completion) for _, found in model.complete(["a", "b"], STOPS))
    assert model.server.pace.paused_until > 0 and len(server.asked) == 3


@pytest.mark.parametrize("behaviour", [wire.infinite, raw(b'{"x": "' + b"x" * 9000 + b'"}')])
def test_an_answer_without_an_end_is_cut_off(server, behaviour):
    server.script.append(behaviour)
    found = one(endpoint(server, max_body_bytes=8192))
    assert found.code == "too_large" and "8192 bytes" in found.message
    assert len(server.asked) == 1


def test_an_error_page_of_any_size_is_told_in_one_short_line(server):
    server.script.append(raw(b"<html>\n" + b"\x1b[31mno\n" * 100_000, "text/html", 400))
    found = one(endpoint(server))
    assert found.code == "refused" and len(found.message) < 400
    assert "\n" not in found.message and "\x1b" not in found.message


def test_nobody_there_is_unreachable():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        model = Endpoint(EndpointConfig(url=url, model="m", retries=RETRIES, timeouts=TIMES))
        found = one(model)
    assert found.code == "unreachable" and "attempt 3 of 3" in found.message


def test_a_server_without_a_certificate_is_not_trusted(server):
    model = endpoint(server, url=server.url.replace("http:", "https:"))
    found = one(model)
    assert found.code in ("unreachable", "tls")
    assert not server.asked


def test_after_failures_in_a_row_nothing_more_is_sent(server):
    server.always = status(500, "down")
    model = endpoint(
        server, concurrency=2, retries=Retries(attempts=1, first_wait=0.0, stop_after=3)
    )
    found = dict(model.complete(["a"] * 40, STOPS))
    stopped = [reason for reason in found.values() if reason.code == "stopped"]
    assert len(found) == 40 and len(stopped) >= 36 and len(server.asked) <= 4
    assert "requests failed in a row" in stopped[-1].message and "500: down" in stopped[-1].message
    server.always = None
    assert isinstance(one(model), Completion)  # the next run tries again


def test_failures_between_answers_do_not_stop_a_run(server):
    server.script.extend([status(400), good] * 6)
    model = endpoint(server, concurrency=1, retries=Retries(stop_after=2))
    found = [answer for _, answer in model.complete(["a"] * 12, STOPS)]
    assert sum(isinstance(each, Reason) for each in found) == 6


def test_samples_that_are_too_long_do_not_stop_a_run(server):
    model = endpoint(server, concurrency=1, retries=Retries(stop_after=2))
    found = dict(model.complete(["x" * 400] * 5 + ["a"], STOPS))
    assert [found[i].code for i in range(5)] == ["too_long"] * 5
    assert isinstance(found[5], Completion)


def test_a_wrong_key_stops_at_once(server):
    server.always = status(401, "wrong key")
    found = dict(endpoint(server, concurrency=1).complete(["a"] * 5, STOPS))
    assert [found[i].code for i in range(5)] == ["unauthorised", *["stopped"] * 4]
    assert len(server.asked) == 1


def test_the_key_is_sent_and_never_told(server, monkeypatch, capsys):
    key = "sk-very-secret-0123456789"
    monkeypatch.setenv("TEST_KEY", key)
    model = endpoint(server, key_env="TEST_KEY")
    assert isinstance(one(model), Completion)
    (_, headers, _), *_ = server.asked
    assert headers["Authorization"] == f"Bearer {key}"
    server.script.append(status(401, f"Incorrect API key provided: {key}"))
    found = one(model)
    assert "[key]" in found.message
    told = [found.message, model.name, model.digest, model.signature, repr(model.config)]
    told += [json.dumps(model.config.to_dict()), *capsys.readouterr()]
    assert not any(key in text for text in told)


def test_no_part_of_the_key_is_left_where_a_message_is_cut(server, monkeypatch):
    key = "sk-very-secret-0123456789-abcdefghijklmnopqrstuvwxyz"
    monkeypatch.setenv("TEST_KEY", key)
    parts = {key[i : i + 6] for i in range(len(key) - 5)}
    retries = Retries(attempts=1, stop_after=10**6)
    for before in (*range(0, 240, 13), 790, 798, 65_530):
        words = "x" * before + " " * (before % 2) + key
        server.script.extend([
            raw(words.encode(), "text/plain", 500), raw(words.encode(), "text/plain"),
            status(302, headers={"Location": words[-1_000:]}),
        ])  # fmt: skip
        model = endpoint(server, key_env="TEST_KEY", concurrency=1, retries=retries)
        answers = [found.message for _, found in model.complete(["a"] * 3, STOPS)]
        server.script.append(status(401, words))  # which stops all that would follow
        answers.append(one(endpoint(server, key_env="TEST_KEY", retries=retries)).message)
        assert not any(part in message for part in parts for message in answers), answers
        assert not server.script


@pytest.mark.parametrize(
    "given", ["sk-very-secret", "sk_very_secret", "0KEY", "A B", "NOT_SET_ANYWHERE"]
)
def test_what_is_no_name_of_a_variable_is_not_repeated_as_a_key(server, given):
    with pytest.raises(ConfigError) as caught:
        endpoint(server, key_env=given)
    assert given not in str(caught.value)


def test_a_key_that_cannot_stand_in_a_header_is_not_repeated(server, monkeypatch):
    monkeypatch.setenv("TEST_KEY", "se\ncret é")
    with pytest.raises(ConfigError, match="one word of ASCII") as caught:
        endpoint(server, key_env="TEST_KEY")
    assert "cret" not in str(caught.value)


def test_only_so_many_requests_are_in_the_air(server):
    full = threading.Barrier(3)

    def wait_for_two_more(peer):
        full.wait(60)  # broken, which is no answer, unless three are in the air together
        good(peer)

    with Peer() as slow:
        slow.always = wait_for_two_more
        model = endpoint(slow, concurrency=3, timeouts=TIMES)
        found = [answer for _, answer in model.complete([str(i) for i in range(12)], STOPS)]
        assert len(found) == 12 and all(isinstance(each, Completion) for each in found)
        assert slow.busiest == 3


def test_a_fast_answer_does_not_wait_for_a_slow_one(server):
    def hang_for_a(peer):
        asked = peer.body["messages"][-1]["content"]
        wire.hang(peer) if asked == "a" else good(peer)

    server.always = hang_for_a
    model = endpoint(server, concurrency=2)
    answers = model.complete(["a", "b", "c"], STOPS)
    first, second = next(answers), next(answers)
    assert [place for place, _ in (first, second)] == [1, 2]
    assert all(isinstance(found, Completion) for _, found in (first, second))
    answers.close()  # what hangs is left


def test_what_tokens_cost_is_counted_and_a_budget_is_kept(server):
    prices = Prices(prompt=1.0, completion=2.0)
    model = endpoint(server, prices=prices)
    found = [answer for _, answer in model.complete(["a", "b"], STOPS)]
    cost = model.cost
    assert cost.requests == 2 and cost.tokens == sum(each.tokens for each in found)
    assert cost.price == pytest.approx((cost.prompt_tokens + 2 * cost.tokens) / 1e6)
    each = cost.price / 2
    model = endpoint(server, prices=prices.model_copy(update={"budget": 3.2 * each}), concurrency=1)
    found = dict(model.complete(["a"] * 9, STOPS))
    sent = [i for i in range(9) if isinstance(found[i], Completion)]
    assert 2 <= len(sent) <= 3 and found[8].code == "budget"
    assert model.cost.price is not None and model.cost.price <= 3.2 * each
    assert endpoint(server).cost.price is None
    frugal = prices.model_copy(update={"budget": 6 * each})
    model = endpoint(server, prices=frugal, concurrency=1)
    found = dict(model.complete(["a"] * 6, STOPS))  # what was set aside is given back each time
    assert all(isinstance(answer, Completion) for answer in found.values())


def test_a_budget_may_be_spent_to_its_end():
    spending = CostTracker(Prices(prompt=1.0, completion=2.0, budget=90e-6))
    assert spending.reserve(Usage(10, 40)) and not spending.reserve(Usage(1, 0))


def test_a_server_that_does_not_count_is_counted_by_guess(server):
    body = {"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}
    server.script.append(raw(json.dumps(body).encode()))
    model = endpoint(server, prices=Prices(prompt=1.0, completion=1.0))
    found = one(model, "abc")
    assert found.tokens == 0  # what is not told is not made up
    assert model.cost.tokens == 4 and model.cost.prompt_tokens == 1


def test_requests_go_no_faster_than_allowed(server):
    model = endpoint(server, rates=Rates(requests_per_minute=6000, tokens_per_minute=1e6))
    started = time.monotonic()
    assert len(list(model.complete(["a"] * 5, STOPS))) == 5
    pace, cost = model.server.pace, model.cost
    assert pace.next_request >= started + 5 * 60 / 6000, "each has a turn of its own"
    assert pace.next_token >= started + 60 * (cost.prompt_tokens + cost.tokens) / 1e6


def test_likelihoods_with_wrong_numbers_are_reasons(server):
    def echo(**logprobs):
        choice = {"text": "ab", "finish_reason": "length", "logprobs": logprobs}
        return raw(json.dumps({"choices": [choice]}).encode())

    cases = [
        (echo(tokens=["a", "b"], token_logprobs=[None]), "bad_answer"),
        (echo(tokens=["a", "b"], token_logprobs=[None, "x"]), "bad_answer"),
        (echo(tokens=["x", "y", "z"], token_logprobs=[None, -1, -1]), "unaligned"),
        (echo(tokens=["a", "b", "z"], token_logprobs=[None, -1, -1]), "no_logprobs"),
        (echo(tokens=[1, 2], token_logprobs=[None, -1]), "bad_answer"),
        (echo(tokens=[], token_logprobs=[]), "no_logprobs"),
    ]
    for behaviour, code in cases:
        server.script.append(behaviour)
        model = endpoint(server, retries=Retries(attempts=1))
        ((_, found),) = model.loglikelihood([LoglikelihoodRequest("a", "b")])
        assert isinstance(found, Reason) and found.code == code, (found, code)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=4),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=20, deadline=None)
@given(body=st.dictionaries(FIELDS, JSON, max_size=4), choice=JSON, found=JSON)
def test_a_reply_of_any_shape_is_an_answer_or_a_reason(server, body, choice, found):
    if isinstance(choice, dict) and isinstance(found, dict):
        choice["logprobs"] = found
    server.always = raw(json.dumps(body | {"choices": [choice]}).encode())
    model = endpoint(server, retries=Retries(attempts=1, stop_after=10**6))
    for (_, answer), kind in (
        (next(model.complete(["a"], STOPS)), Completion),
        (next(model.loglikelihood([LoglikelihoodRequest("a", "b")])), Likelihood),
    ):
        assert isinstance(answer, (kind, Reason))
    for ask in (lambda: model.embed(["a"]), lambda: model.generate([user("a")], STOPS),
                lambda: model.logprobs([user("a")], ["b"])):  # fmt: skip
        with suppress(EndpointError):
            ask()


ASKING = """
import sys
from groundup.core import Sampling
from groundup.generate.endpoint.model import Endpoint
from groundup.generate.endpoint.settings import EndpointConfig
model = Endpoint(EndpointConfig(url=sys.argv[1], model="tiny"))
print("asking", flush=True)
for answer in model.complete(["a"] * 99, Sampling()):
    print(answer)
"""


def test_ctrl_c_stops_a_run_that_waits_for_an_answer(server):
    server.always = wire.hang
    process = subprocess.Popen(
        [sys.executable, "-c", ASKING, server.url],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        assert process.stdout is not None and process.stdout.readline() == "asking\n"
        while not server.asked:
            assert process.poll() is None
        for _ in range(5):  # Python drops an interrupt that meets a finalizer; users repeat it
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=30)
                break
        error = process.stderr.read()
    assert process.returncode == -signal.SIGINT and "KeyboardInterrupt" in error
