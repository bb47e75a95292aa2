"""Replicas on a Ray cluster: a beginning has its replica, and a gateway answers by them."""

import asyncio
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from groundup.core import ConfigError
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
