"""Two replicas on a Ray cluster of this machine, one of which is killed under load.

    python -m benchmarks.serve.replicas MODEL [--requests 40]

Results: results/serve_replicas.json: how many requests were answered, failed or never ended.
"""

import argparse
import asyncio
import os
import signal
import socket
from collections import Counter
from pathlib import Path

import httpx
import psutil
import ray

from benchmarks import table
from groundup.recipes.replicas import begin_replicas, join_cluster

TIMEOUT_SECONDS = 120


async def press(url: str, name: str, count: int) -> Counter[str]:
    """What came of the requests, of which a replica is killed after the first answer."""
    async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS) as client:

        async def ask(number: int) -> str:
            body = {"model": name, "prompt": f"question {number}", "max_tokens": 40}
            try:
                return str((await client.post(f"{url}/v1/completions", json=body)).status_code)
            except httpx.HTTPError as error:
                return type(error).__name__

        tasks = [asyncio.create_task(ask(number)) for number in range(count)]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        every = psutil.process_iter(["cmdline"])
        lines = {each.pid: " ".join(each.info["cmdline"] or ()) for each in every}
        running = [pid for pid, line in lines.items() if "ServeReplica:groundup:Replica" in line]
        os.kill(running[0], signal.SIGKILL)
        return Counter(await asyncio.gather(*tasks))


def main() -> None:
    """Print and keep what came."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--requests", type=int, default=40)
    arguments = parser.parse_args()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    join_cluster(2, "", port)
    begin_replicas(arguments.model, None, 2, "model")
    found = asyncio.run(press(f"http://127.0.0.1:{port}", "model", arguments.requests))
    print(dict(found))
    table.keep_part("serve_replicas", arguments.model.name, dict(found))
    ray.serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main()
