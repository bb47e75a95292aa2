"""Replicas on a Ray cluster: a beginning has its replica, and one that is killed fails nobody."""

import asyncio
import os
import signal
import socket
from pathlib import Path
from types import SimpleNamespace

import httpx
import psutil
import pytest

from groundup.core import ConfigError
from tests.generate.tiny import tiny_directory

ray = pytest.importorskip("ray")
pytest.importorskip("ray.serve.request_router", reason="pip install 'ray[serve]'")
replicas = pytest.importorskip("groundup.recipes.replicas")
BODY = {"model": "tiny", "max_tokens": 30, "temperature": 1.0, "seed": 3}


def order(body: bytes, names: list[str]) -> list[str]:
    pending = SimpleNamespace(args=[SimpleNamespace(body=body)])
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
def test_a_replica_that_is_killed_fails_no_request_that_waits_for_its_answer(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    model = tiny_directory(tmp_path / "tiny")
    replicas.join_cluster(2, "", port)
    try:
        replicas.begin_replicas(model, None, 2, "tiny")
        answers = asyncio.run(ask_while_one_is_killed(f"http://127.0.0.1:{port}/v1/completions"))
        assert {answer.status_code for answer in answers} == {200}
    finally:
        ray.serve.shutdown()
        ray.shutdown()


async def ask_while_one_is_killed(url: str) -> list[httpx.Response]:
    async with httpx.AsyncClient(timeout=300) as client:
        bodies = [BODY | {"prompt": f"question {number}"} for number in range(40)]
        tasks = [asyncio.create_task(client.post(url, json=body)) for body in bodies]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        lines = {each.pid: " ".join(each.info["cmdline"] or ())
                 for each in psutil.process_iter(["cmdline"])}  # fmt: skip
        running = [pid for pid, line in lines.items() if "ServeReplica:groundup:Replica" in line]
        os.kill(running[0], signal.SIGKILL)
        return await asyncio.gather(*tasks)
