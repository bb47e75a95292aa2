"""Two replicas on a Ray cluster of this machine, one of which is killed under load.

    python -m benchmarks.serve.replicas MODEL [--requests 60] [--rounds 5]

Every other request is a stream. Requests that the killed replica held were answered at the second
try, or, if their stream had begun, ended with an error event.
Results: results/serve_replicas.json: what came of the requests of each round, on a new cluster.
"""

import argparse
import asyncio
import json
import socket
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import psutil
import ray
from ray import serve

from benchmarks import table
from groundup.recipes.replicas import begin_replicas, join_cluster

TIMEOUT_SECONDS = 120
SHORTEST, LONGER = 40, 8
"""Tokens of the first answer, and by how much each is longer than the one before."""


def replica_processes() -> list[psutil.Process]:
    """The processes of the replicas that this process started."""
    every = psutil.Process().children(recursive=True)
    title = "ray::ServeReplica:groundup:Replica"  # and what it does just now
    return [each for each in every if "".join(each.cmdline()[:1]).startswith(title)]


async def ask(client: httpx.AsyncClient, url: str, number: int, is_stream: bool) -> str:
    """What came of a request; the odd ones are streams."""
    body = {
        "model": "model", "prompt": f"question {number}", "stream": is_stream,
        "max_tokens": SHORTEST + LONGER * number,
    }  # fmt: skip
    try:
        response = await client.post(f"{url}/v1/completions", json=body)
    except httpx.HTTPError as error:
        return f"no answer: {type(error).__name__}"
    if response.status_code != 200:
        return f"status {response.status_code}"
    how = "answered" if response.headers["x-replica-tries"] == "1" else "answered by the other"
    if not is_stream:
        return how if response.json()["choices"][0]["finish_reason"] else "not complete"
    events = response.text.split("\n\n")
    if events[-2:] == ["data: [DONE]", ""]:
        return f"{how}, streamed"
    is_told = "error" in json.loads(events[-2].removeprefix("data: "))
    return "stream ended by an error event" if is_told else "stream cut off silently"


async def press(url: str, count: int) -> Counter[str]:
    """What came of the requests, of which a replica is killed after the first answer."""
    async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS) as client:
        tasks = [
            asyncio.create_task(ask(client, url, number, number % 2 == 1))
            for number in range(count)
        ]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        replica_processes()[0].kill()
        return Counter(await asyncio.gather(*tasks))


def measure(model: Path, count: int) -> dict[str, Any]:
    """One round on a cluster of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    join_cluster(2, "", port)
    try:
        begin_replicas(model, None, 2, "model")
        begun = time.perf_counter()
        found = asyncio.run(press(f"http://127.0.0.1:{port}", count))
        return {"seconds": round(time.perf_counter() - begun, 1), **dict(sorted(found.items()))}
    finally:
        serve.shutdown()
        ray.shutdown()


def main() -> None:
    """Print and keep what came."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--requests", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    rounds = []
    for _ in range(arguments.rounds):
        rounds.append(measure(arguments.model, arguments.requests))
        print(rounds[-1], flush=True)
    found = {"requests": arguments.requests, "rounds": rounds}
    table.keep_part("serve_replicas", arguments.model.name, found)


if __name__ == "__main__":
    main()
