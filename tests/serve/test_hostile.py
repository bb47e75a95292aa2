"""Nothing that a request says breaks the server, and it answers as before afterwards."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random

import httpx
import pytest

from tests.serve.hostile import (
    FREE,
    GRAMMARS,
    QUESTION,
    RAW_REQUESTS,
    REGEXES,
    SCHEMAS,
    VALID,
    HostileRequest,
    hostile_request,
    large_bodies,
    send,
    send_raw,
    to_bytes,
)
from tests.serve.servers import Serving, serving, write_chat_model, write_index

REQUESTS = 300
GROWTH_BYTES = 300 * 2**20


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Serving]:
    """A model of a short context and an index."""
    folder = tmp_path_factory.mktemp("hostile")
    index = write_index(folder / "index")
    with serving(write_chat_model(folder / "model", 1024), "--index", str(index)) as server:
        yield server


def test_hostile_requests_are_answered_and_break_nothing(server):
    processes = server.process, server.engine
    with httpx.Client(base_url=server.url) as http, ThreadPoolExecutor(4) as threads:

        def attempt(number: int) -> str:
            request = hostile_request(0, number)
            fault = send(http, request)
            return fault and f"{request.what} {request.method} {request.path}: {fault}"

        body = to_bytes(FREE | {"messages": QUESTION, "max_tokens": 20})
        ask = HostileRequest("ordinary", "/v1/chat/completions", body)
        before = http.post(ask.path, content=body).json()["choices"]
        memory = [process.memory_info().rss for process in processes]
        assert list(filter(None, threads.map(attempt, range(REQUESTS)))) == []
        assert [fault for data in RAW_REQUESTS if (fault := send_raw(server.url, data))] == []
        assert http.post(ask.path, content=body).json()["choices"] == before
        assert "groundup:engine_restarts 0.0" in http.get("/metrics").text
    grown = [
        process.memory_info().rss - size for process, size in zip(processes, memory, strict=True)
    ]
    assert server.engine == processes[1] and max(grown) < GROWTH_BYTES, grown


def test_the_requests_are_of_all_kinds_and_the_valid_ones_are_valid(server):
    kinds = Counter(hostile_request(0, number).what for number in range(REQUESTS))
    assert len(kinds) == 10, kinds
    assert len(large_bodies(Random(0))) > 20 and len([*SCHEMAS, *REGEXES, *GRAMMARS]) > 50
    with httpx.Client(base_url=server.url, timeout=60) as http:
        for path, body in VALID:
            answer = http.post(path, json=body)
            assert answer.status_code == 200, answer.text
