"""Replicas on a Ray cluster: a beginning has its replica, and a gateway answers by them."""

import asyncio
import socket
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from groundup.core import ConfigError
from tests.generate.tiny import tiny_directory

ray = pytest.importorskip("ray")
pytest.importorskip("ray.serve.request_router", reason="pip install 'ray[serve]'")
replicas = pytest.importorskip("groundup.recipes.replicas")


def order(body: bytes, names: list[str]) -> list[str]:
    pending = SimpleNamespace(args=[replicas.ForwardedRequest("POST", "/", b"", [], body)])
    found = [SimpleNamespace(replica_id=SimpleNamespace(unique_id=name)) for name in names]
    ranks = asyncio.run(replicas.PrefixRouter.choose_replicas(None, found, pending))
    return [each.replica_id.unique_id for [each] in ranks]


def test_requests_that_begin_alike_have_the_same_order_of_replicas():
    names = [f"r{number}" for number in range(5)]
    long = b"system prompt " * 200
    first = order(long + b"one", names)
    assert first == order(long + b"another", names[::-1])
    firsts = {order(b"%d" % number, names)[0] for number in range(60)}
    assert firsts == set(names)
    kept = [name for name in first if name != first[-1]]
    assert order(long, kept) == kept  # whoever is lost moves nobody else's


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
