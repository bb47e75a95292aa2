"""Replicas that are killed, engines that are lost and clients that leave: every request ends."""

import asyncio
import socket
import time
from collections.abc import Iterator

import httpx
import psutil
import pytest

from tests.serve.servers import write_chat_model

ray = pytest.importorskip("ray")
pytest.importorskip("ray.serve.request_router", reason="pip install 'ray[serve]'")
benchmark = pytest.importorskip("benchmarks.serve.replicas")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
REQUESTS = 60
END_SECONDS = 60
"""Within which all requests have ended; alone they take three seconds."""


@pytest.fixture(scope="module")
def url(tmp_path_factory) -> Iterator[str]:
    """A gateway with two replicas."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    model = write_chat_model(tmp_path_factory.mktemp("replicas") / "model")
    benchmark.join_cluster(2, "", port)
    try:
        benchmark.begin_replicas(model, None, 2, "model")
        yield f"http://127.0.0.1:{port}"
    finally:
        ray.serve.shutdown()
        ray.shutdown()


def engines() -> list[psutil.Process]:
    return [each for replica in benchmark.replica_processes() for each in replica.children()]


def wait_for(condition, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.2)


def post(url: str, number: int) -> httpx.Response:
    body = {"model": "model", "prompt": f"question {number}", "max_tokens": 4}
    return httpx.post(f"{url}/v1/completions", json=body, timeout=END_SECONDS)


def used_seconds() -> float:
    return sum(sum(each.cpu_times()[:2]) for each in engines())


def is_idle() -> bool:
    before = used_seconds()
    time.sleep(1)
    return used_seconds() - before < 0.05


@pytest.mark.parametrize("is_stream", [True, False])
def test_the_work_for_a_client_that_leaves_is_stopped(url, is_stream):
    body = {
        "model": "model", "prompt": [f"question {number}" for number in range(20)],
        "max_tokens": 4_000, "logit_bias": {"256": -100, "258": -100}, "stream": is_stream,
    }  # fmt: skip
    asyncio.run(leave_when_it_is_worked_on(url, body))
    wait_for(is_idle, 15)


async def leave_when_it_is_worked_on(url: str, body: dict) -> None:
    before, deadline = used_seconds(), time.monotonic() + 60
    async with httpx.AsyncClient(timeout=END_SECONDS) as client:
        asking = asyncio.create_task(client.post(f"{url}/v1/completions", json=body))
        while used_seconds() - before < 0.5:
            assert time.monotonic() < deadline and not asking.done()
            await asyncio.sleep(0.1)
        asking.cancel()


@pytest.mark.parametrize("is_chunked", [True, False])
def test_a_huge_body_is_refused(url, is_chunked):
    part = b" " * 1_000_000
    content = (part for _ in range(40)) if is_chunked else 40 * part
    response = httpx.post(f"{url}/v1/completions", content=content, timeout=END_SECONDS)
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "request_too_large"


def test_while_an_engine_is_started_again_the_other_replica_answers(url):
    assert {post(url, number).status_code for number in range(6)} == {200}
    lost = engines()[0]
    lost.kill()
    psutil.wait_procs([lost])
    answers = [post(url, number) for number in range(12)]
    assert {each.status_code for each in answers} == {200}
    assert {each.headers["x-replica-tries"] for each in answers} <= {"1", "2"}
    wait_for(lambda: len(engines()) == 2 and lost not in engines(), 60)
    assert len(benchmark.replica_processes()) == 2  # and the replica is the one of before


def test_every_request_ends_when_a_replica_is_killed(url):
    before, began = engines(), time.monotonic()
    found = asyncio.run(benchmark.press(url, REQUESTS))
    assert time.monotonic() - began < END_SECONDS
    assert found.total() == REQUESTS
    # Plain answers are complete, the killed replica's by the other; so are streams that had not
    # begun. Those that had end with an error event: nothing else was lost.
    plain = found["answered"] + found["answered by the other"]
    streamed = found["answered, streamed"] + found["answered by the other, streamed"]
    assert plain == REQUESTS // 2
    assert streamed + found["stream ended by an error event"] == REQUESTS // 2
    assert found["answered by the other"] + found["stream ended by an error event"] > 0
    wait_for(lambda: sum(each.is_running() for each in before) == 1, 10)  # its engine ended too
    wait_for(lambda: len(engines()) == 2, 90)  # Ray has begun another one
    assert {post(url, number).status_code for number in range(20)} == {200}
