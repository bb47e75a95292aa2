"""Hostile requests: nothing breaks, memory is bounded, and others' tokens keep coming.

    python -m benchmarks.serve.bad_requests [--requests 5000] [--seed 0] [--schemathesis COMMAND]

A server of a tiny model and an index gets requests that nobody should send (tests/serve/hostile.py)
from four clients at a time, while an ordinary client streams answers and times its tokens. Exits 1
if an answer is a 5xx or has not OpenAI's form, if the engine was started again, if a process grows,
or if the server answers otherwise afterwards. COMMAND is schemathesis' (pip install schemathesis,
in an environment of its own), which makes requests of /openapi.json. Writes
benchmarks/results/bad_requests.json.
"""

import argparse
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles
from typing import Any

import httpx

from benchmarks.table import keep_part
from tests.serve.hostile import RAW_REQUESTS, hostile_request, send, send_raw
from tests.serve.servers import Serving, serving, write_chat_model, write_index

CONTEXT, CLIENTS = 512, 4
GROWTH_BYTES = 200 * 2**20
"""What a process may grow by between a tenth of the requests and all of them."""
QUESTION: Any = [{"role": "user", "content": "What is tea?"}]


def main() -> int:
    """Run all of it; the exit code."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--requests", type=int, default=5000)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--schemathesis", default="")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model, index = write_chat_model(Path(folder) / "model", CONTEXT), Path(folder) / "index"
        with serving(model, "--index", str(write_index(index))) as server:
            found = attack(server, given.seed, given.requests)
            if given.schemathesis:
                found["schemathesis"] = run_schemathesis(given.schemathesis, server.url)
            found["restarts"] = int(metric(server.url, "groundup:engine_restarts"))
    print(found)
    keep_part("bad_requests", f"{given.requests} requests", found)
    return int(not is_good(found))


def is_good(found: dict[str, Any]) -> bool:
    """Whether nothing broke."""
    grown = max(found["grown_bytes"].values())
    broken = found["faults"] or found["restarts"] or found.get("schemathesis", 0)
    return not broken and found["same_answer"] and grown < GROWTH_BYTES


def attack(server: Serving, seed: int, count: int) -> dict[str, Any]:
    """Send all requests; what came of them."""
    processes = {"http": server.process, "engine": server.engine}
    slowest, faults, kinds = [], list[str](), Counter[str]()
    with httpx.Client(base_url=server.url) as http, ThreadPoolExecutor(CLIENTS) as threads:

        def attempt(number: int) -> None:
            request, started = hostile_request(seed, number), time.perf_counter()
            if fault := send(http, request):
                faults.append(f"{request.what} {request.method} {request.path}: {fault}")
                print(faults[-1], request.body[:500], flush=True)
            slowest.append((round(time.perf_counter() - started, 2), request.what))
            kinds[request.what] += 1

        expected = answer(server)
        with token_gaps(server) as quiet:
            time.sleep(5)
        list(threads.map(attempt, range(count // 10)))
        before = {name: process.memory_info().rss for name, process in processes.items()}
        with token_gaps(server) as gaps:
            list(threads.map(attempt, range(count // 10, count)))
    faults += filter(None, (send_raw(server.url, data) for data in RAW_REQUESTS))
    after = {name: process.memory_info().rss for name, process in processes.items()}
    return {
        "requests": count, "by_kind": dict(kinds), "faults": faults,
        "slowest_seconds": sorted(slowest)[-5:], "same_answer": answer(server) == expected,
        "rss_bytes": after, "grown_bytes": {name: after[name] - before[name] for name in after},
        "token_gap_seconds": {"quiet": summary(quiet), "attacked": summary(gaps)},
    }  # fmt: skip


def answer(server: Serving) -> str:
    """An ordinary answer."""
    found = server.client().chat.completions.create(
        model="tiny", messages=QUESTION, seed=1, max_tokens=40, extra_body={"grounded": False}
    )
    return found.choices[0].message.content or ""


@contextmanager
def token_gaps(server: Serving) -> Iterator[list[float]]:
    """Seconds between the tokens of an ordinary client that streams meanwhile."""
    gaps, ended = list[float](), threading.Event()

    def stream() -> None:
        while not ended.is_set():
            last = time.perf_counter()
            for _ in server.client().chat.completions.create(
                model="tiny", messages=QUESTION, seed=1, max_tokens=200, stream=True,
                extra_body={"grounded": False},
            ):  # fmt: skip
                now = time.perf_counter()
                gaps.append(now - last)
                last = now

    thread = threading.Thread(target=stream)
    thread.start()
    yield gaps
    ended.set()
    thread.join()


def summary(gaps: list[float]) -> dict[str, float]:
    """Median, 99 % and maximum."""
    percents = quantiles(gaps, n=100)
    return {
        "median": round(percents[49], 4), "p99": round(percents[98], 4), "max": round(max(gaps), 3)
    }  # fmt: skip


def metric(url: str, name: str) -> float:
    """A count of the server's."""
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    return float(next(line.split()[-1] for line in lines if line.startswith(f"{name} ")))


def run_schemathesis(command: str, url: str) -> int:
    """Number of the checks that failed: an answer of 5xx."""
    words = [*command.split(), "run", f"{url}/openapi.json", "--checks", "not_a_server_error"]
    words += ["--max-examples", "30", "--seed", "1", "--no-color", "--request-timeout", "60"]
    with tempfile.TemporaryDirectory() as folder:  # it keeps files where it runs
        done = subprocess.run(words, capture_output=True, text=True, cwd=folder)
    print(done.stdout[-3000:], done.stderr[-1000:])
    return done.returncode


if __name__ == "__main__":
    raise SystemExit(main())
