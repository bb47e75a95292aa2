"""Replicas on a Ray cluster: a beginning has its replica, and a gateway answers by them."""

import asyncio
import json
import socket
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock

import httpx
import pytest

from groundup.core import ConfigError
from groundup.serve.engine.process import EngineLost, Engines
from tests.generate.tiny import tiny_directory

ray = pytest.importorskip("ray")
pytest.importorskip("ray.serve.request_router", reason="pip install 'ray[serve]'")
replicas = pytest.importorskip("groundup.recipes.replicas")


NAMES = [f"r{number}" for number in range(5)]


def forwarded(body: bytes, *avoided: str):
    return replicas.ForwardedRequest("POST", "/", b"", [], body, frozenset(avoided))


def order(request, names: list[str]) -> list[str]:
    pending = SimpleNamespace(args=[request])
    found = [SimpleNamespace(replica_id=SimpleNamespace(unique_id=name)) for name in names]
    ranks = asyncio.run(replicas.PrefixRouter.choose_replicas(None, found, pending))
    return [each.replica_id.unique_id for [each] in ranks]


def test_requests_that_begin_alike_have_the_same_order_of_replicas():
    long = b"system prompt " * 200
    first = order(forwarded(long + b"one"), NAMES)
    assert first == order(forwarded(long + b"another"), NAMES[::-1])
    firsts = {order(forwarded(b"%d" % number), NAMES)[0] for number in range(60)}
    assert firsts == set(NAMES)
    kept = [name for name in first if name != first[-1]]
    assert order(forwarded(long), kept) == kept  # whoever is lost moves nobody else's
    after = order(forwarded(long, first[0]), NAMES)
    assert after == [*first[1:], first[0]]  # who failed it is asked last


def test_no_request_is_lost_when_a_replica_dies_while_requests_are_routed():
    """Ray's routing tasks give requests up when replicas die; without our router three hang."""
    assert order(forwarded(b"same"), ["left", "dies"])[0] == "dies"
    assert asyncio.run(routed_while_one_dies(requests=8)) == ["left"] * 8


async def routed_while_one_dies(requests: int) -> list[str]:
    """Which of two replicas takes each request; the one that they prefer dies when it is asked."""
    common = pytest.importorskip("ray.serve._private.common")
    deployment, may_answer = common.DeploymentID("Replica"), asyncio.Event()

    class AskedReplica:
        max_ongoing_requests = 256

        def __init__(self, name: str) -> None:
            self.replica_id = common.ReplicaID(name, deployment)

        async def get_queue_len(self, *, deadline_s: float) -> int:
            await may_answer.wait()
            return 0

    def pending(number: int) -> Any:
        metadata = common.RequestMetadata(str(number), str(number))
        return replicas.PendingRequest([forwarded(b"same")], {}, metadata)

    router = replicas.PrefixRouter(
        deployment_id=deployment, handle_source=common.DeploymentHandleSource.REPLICA,
        self_node_id="node", self_actor_id="gateway", use_replica_queue_len_cache=True,
    )  # fmt: skip
    router.update_replicas([AskedReplica("left"), AskedReplica("dies")])
    choices = [router._choose_replica_for_request(pending(each)) for each in range(requests)]
    tasks = [asyncio.create_task(each) for each in choices]
    await asyncio.sleep(0.05)
    router.on_replica_actor_died(common.ReplicaID("dies", deployment))
    may_answer.set()
    done, _ = await asyncio.wait(tasks, timeout=5)
    return [each.result().replica_id.unique_id for each in done]


class Parts:
    """What a replica yields, or raises; then it says nothing more unless it has ended."""

    def __init__(self, *parts: Any, ends: bool = True) -> None:
        self.left, self.ends, self.is_cancelled = list(parts), ends, False

    async def __anext__(self) -> Any:
        if not self.left and self.ends:
            raise StopAsyncIteration
        part = self.left.pop(0) if self.left else await asyncio.Event().wait()
        if isinstance(part, Exception):
            raise part
        return part

    def cancel(self) -> None:
        self.is_cancelled = True


class Handle:
    """Of replicas that answer one after the other."""

    def __init__(self, *answers: Parts) -> None:
        self.answers, self.requests = iter(answers), []
        self.answer = SimpleNamespace(remote=self.remote)

    def options(self, *, stream: bool) -> "Handle":
        return self

    def remote(self, request) -> Parts:
        self.requests.append(request)
        return next(self.answers)


def answer(handle: Handle):
    """The status and the body that a client of the gateway gets."""

    async def run():
        gateway = replicas.Gateway(handle)
        gateway.limits = gateway.limits.model_copy(update={"answer_seconds": 0.1})
        sent = []

        async def send(message) -> None:
            sent.append(message)

        scope = {
            "type": "http", "asgi": {"spec_version": "2.4"}, "method": "POST", "path": "/v1/chat",
            "query_string": b"", "headers": [], "server": ("127.0.0.1", 80),
        }  # fmt: skip
        body = {"type": "http.request", "body": b"{}", "more_body": False}
        request = replicas.Request(scope, AsyncMock(return_value=body))
        response = await gateway(request)
        await response(scope, AsyncMock(return_value=body), send)
        return sent[0]["status"], b"".join(each.get("body", b"") for each in sent)

    return asyncio.run(run())


JSON, EVENTS = ([(b"content-type", kind)] for kind in (b"application/json", b"text/event-stream"))


def lost():
    return ray.exceptions.ActorDiedError()


@pytest.mark.parametrize(
    "failing", [
        lambda: Parts("first", lost()),
        lambda: Parts("first", (200, JSON), b"{", lost()),
        lambda: Parts("first", (200, EVENTS), lost()),
        lambda: Parts("first", (503, JSON), b"the engine is started again"),
    ],
)  # fmt: skip
def test_what_a_replica_had_not_begun_to_answer_is_sent_to_another(failing):
    handle = Handle(failing(), Parts("second", (200, JSON), b"{}"))
    assert answer(handle) == (200, b"{}")
    assert [each.avoided for each in handle.requests] == [frozenset(), {"first"}]


def test_when_all_are_lost_the_answer_is_an_error_in_openais_shape():
    status, body = answer(Handle(*(Parts(lost()) for _ in range(replicas.MAX_TRIES))))
    assert status == 503
    assert json.loads(body)["error"]["type"] == "server_error"


def test_a_stream_that_is_cut_off_ends_with_an_error_event():
    handle = Handle(Parts("first", (200, EVENTS), b"data: 1\n\n", b"data: 2\n\n", lost()))
    status, body = answer(handle)
    *events, last = body.decode().removesuffix("\n\n").split("\n\n")
    assert (status, events) == (200, ["data: 1", "data: 2"])
    assert json.loads(last.removeprefix("data: "))["error"]["message"].startswith("The replica was")


def test_a_defect_is_no_lost_replica():
    """The same request would fail elsewhere too."""
    parts = Parts("first", ray.exceptions.RayTaskError("answer", "Traceback", ValueError("x")))
    status, body = answer(Handle(parts))  # which has no second answer
    assert (status, json.loads(body)["error"]["type"]) == (500, "server_error")


def test_every_wait_ends(monkeypatch):
    monkeypatch.setattr(replicas, "ROUTE_SECONDS", 0.05)
    monkeypatch.setattr(replicas, "GRACE_SECONDS", 0.1)
    for parts, status in ((Parts(ends=False), 503), (Parts("first", ends=False), 408)):
        assert answer(Handle(parts))[0] == status
        assert parts.is_cancelled
    stream = Parts("first", (200, EVENTS), b"data: 1\n\n", ends=False)
    assert b"took longer" in answer(Handle(stream))[1]
    assert stream.is_cancelled


def test_an_application_that_ends_before_its_answer_is_a_defect():
    async def application(scope, receive, send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": EVENTS})
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})

    async def run() -> None:
        replica = replicas.Replica.__new__(replicas.Replica)
        replica.id, replica.application = "first", application
        parts = replica.answer(forwarded(b"{}"))
        assert [await anext(parts) for _ in range(3)] == ["first", (200, EVENTS), b"data: 1\n\n"]
        with pytest.raises(RuntimeError, match="ended before its answer"):
            await anext(parts)

    asyncio.run(run())


def test_a_replica_is_replaced_only_if_its_engine_does_not_come_back(monkeypatch):
    replica = replicas.Replica.__new__(replicas.Replica)
    replica.engines, replica.answered = Engines(), time.monotonic()
    asyncio.run(replica.check_health())
    monkeypatch.setattr(replicas, "ENGINE_SECONDS", 0.0)
    with pytest.raises(EngineLost):
        asyncio.run(replica.check_health())


def test_no_replica_is_an_error():
    with pytest.raises(ConfigError, match="count=0 serves nothing"):
        replicas.replicas(Path("model"), count=0)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_gateway_answers_by_its_replicas(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    model, url = tiny_directory(tmp_path / "tiny"), f"http://127.0.0.1:{port}/v1"
    replicas.join_cluster(2, "", port)
    try:
        replicas.begin_replicas(model, None, 2, "tiny")
        body = {"model": "tiny", "prompt": "a", "max_tokens": 9, "temperature": 1.0, "seed": 3}
        first, again = (httpx.post(f"{url}/completions", json=body, timeout=99) for _ in range(2))
        assert first.json()["choices"] == again.json()["choices"]
        streamed = httpx.post(f"{url}/completions", json=body | {"stream": True}, timeout=99)
        assert streamed.text.endswith("data: [DONE]\n\n")
        assert httpx.get(f"{url}/models/none", timeout=99).status_code == 404
    finally:
        ray.serve.shutdown()
        ray.shutdown()
