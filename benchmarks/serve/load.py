"""A server under many streaming clients: what fails, how long it takes, and what it holds.

    python -m benchmarks.serve.load MODEL [--clients 200] [--seconds 120]     p99 of the first token
    ... --aborts           clients go away at random; blocks, handles and memory in the end
    ... --kill             the engine is killed in the middle; how long until it answers again

Clients are raw sockets, one request at a time each, on a server that `groundup serve` started. The
engine's offline rate is of the same prompts and lengths, all given to it at once, before the server
starts and after it has ended. An answer counts as failed unless it ends with [DONE] and has its
tokens; what a killed engine held is counted apart.

Results: results/serve_load.json, by kind.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks import table
from groundup.core import Sampling
from groundup.generate import Engine
from tests.serve.servers import Serving, serving

WORDS = "the file that opens when a line ends and what its name in the table of values is".split()
TOKENS, ABORT_SHARE = 64, 0.3


@dataclass
class Load:
    """What clients saw."""

    first: list[float] = field(default_factory=list)
    """Seconds until the first token."""
    done: int = 0
    tokens: int = 0
    failed: list[str] = field(default_factory=list)
    aborted: int = 0
    back_at: float = 0.0
    """When the first answer came that was asked for after the engine was killed."""
    killed_at: float = 0.0


def body_of(chance: random.Random, name: str) -> dict[str, Any]:
    """A request for a stream of TOKENS tokens."""
    text = " ".join(chance.choices(WORDS, k=chance.randrange(4, 40)))
    return {
        "model": name, "prompt": text, "max_tokens": TOKENS, "min_tokens": TOKENS,
        "temperature": 0.8, "seed": chance.randrange(2**31), "stream": True,
    }  # fmt: skip


async def ask(serving: Serving, body: dict[str, Any], load: Load, stop_after: int) -> None:
    """One stream over a connection of its own; given up after so many events, 0: never."""
    host, port = serving.url.removeprefix("http://").split(":")
    data, begun = json.dumps(body).encode(), time.perf_counter()
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        head = f"POST /v1/completions HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        writer.write(head.encode() + data)
        status, events, last = (await reader.readline()).decode(), 0, b""
        while line := await reader.readline():
            if line.startswith(b"data: "):
                if not events:
                    load.first.append(time.perf_counter() - begun)
                    if begun > load.killed_at > 0 and not load.back_at:
                        load.back_at = time.perf_counter()
                events, last = events + 1, line
                if stop_after and events >= stop_after:
                    load.aborted += 1
                    return
        if " 200 " not in status or last.strip() != b"data: [DONE]":
            load.failed.append(f"{status.strip()[:60]} {last[:160]!r}")
            return
        load.done, load.tokens = load.done + 1, load.tokens + TOKENS
    except OSError as error:
        load.failed.append(type(error).__name__)
    finally:
        writer.close()


async def press(serving: Serving, clients: int, seconds: float, kind: str) -> Load:
    """Ask with many clients for some seconds."""
    load, until = Load(), time.perf_counter() + seconds

    async def client(number: int) -> None:
        chance = random.Random(number)
        while time.perf_counter() < until:
            goes = kind == "aborts" and chance.random() < ABORT_SHARE
            stop_after = chance.randrange(1, TOKENS) if goes else 0
            await ask(serving, body_of(chance, serving.name), load, stop_after)

    async def kill() -> None:
        await asyncio.sleep(seconds / 3)
        load.killed_at = time.perf_counter()
        os.kill(serving.engine.pid, 9)

    extra = [kill()] if kind == "kill" else []
    await asyncio.gather(*(client(number) for number in range(clients)), *extra)
    return load


def offline_rate(model: Path, count: int) -> float:
    """Tokens a second of the engine alone, of as many prompts as there are clients."""
    engine, chance = Engine.open(model), random.Random(0)
    prompts = [engine.encode_prompt(body_of(chance, "")["prompt"]) for _ in range(count)]
    sampling = Sampling(temperature=0.8, max_tokens=TOKENS, min_tokens=TOKENS)
    engine.continue_ids(prompts[:4], sampling)
    begun = time.perf_counter()
    engine.continue_ids(prompts, sampling, list(range(count)))
    return count * TOKENS / (time.perf_counter() - begun)


def held(serving: Serving) -> dict[str, Any]:
    """What both processes hold."""
    processes = {"server": serving.process, "engine": serving.engine}
    return {
        name: {"megabytes": round(each.memory_info().rss / 2**20), "handles": each.num_fds()}
        for name, each in processes.items()
    }  # fmt: skip


def main() -> None:
    """Press a server, and print and keep what came."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--aborts", dest="kind", action="store_const", const="aborts")
    parser.add_argument("--kill", dest="kind", action="store_const", const="kill")
    arguments = parser.parse_args()
    kind, clients = arguments.kind or "streams", arguments.clients
    rates = [offline_rate(arguments.model, clients)]
    with serving(arguments.model, "--no-receipts", name="load") as running:
        asyncio.run(press(running, 8, 3, ""))  # warm
        before, expected = held(running), one_answer(running)
        begun = time.perf_counter()
        load = asyncio.run(press(running, clients, arguments.seconds, kind))
        seconds = time.perf_counter() - begun
        after = held(running)
        left, after_all = left_in_use(running), one_answer(running)
    rates.append(offline_rate(arguments.model, clients))
    first = sorted(load.first)
    rate, alone = load.tokens / seconds, statistics.mean(rates)
    found = {
        "model": arguments.model.name, "clients": clients, "seconds": round(seconds, 1),
        "answers": load.done, "failed": len(load.failed), "aborted": load.aborted,
        "failed_by_status": Counter(each.split()[1] for each in load.failed if " " in each),
        "answers_as_before": after_all == expected,
        "first_token_p50": round(first[len(first) // 2], 3),
        "first_token_p99": round(first[int(0.99 * len(first))], 3),
        "tokens_per_second": round(rate), "offline_tokens_per_second": round(alone),
        "share_of_offline": round(rate / alone, 3), "before": before, "after": after,
        "left": left, "threads": torch.get_num_threads(),
    }  # fmt: skip
    if load.killed_at:
        found["answers_again_seconds"] = round(load.back_at - load.killed_at, 1)
    print(json.dumps(found, indent=1), *load.failed[:5], sep="\n")
    table.keep_part("serve_load", f"{kind} {arguments.model.name}", found)


def one_answer(running: Serving) -> str:
    """An answer that is the same whenever it is asked for."""
    text = running.client().completions.create(
        model=running.name, prompt="The name of the file", max_tokens=TOKENS, temperature=0
    )
    return text.choices[0].text


def left_in_use(running: Serving) -> dict[str, float]:
    """What the server says is in use when nobody asks any more."""
    import httpx

    time.sleep(1)  # for what was given up to be freed
    names = ("vllm:num_requests_running", "vllm:kv_cache_usage_perc", "vllm:num_requests_waiting")
    lines = httpx.get(f"{running.url}/metrics").text.splitlines()
    return {line.split("{")[0]: float(line.split()[-1]) for line in lines if line.startswith(names)}


if __name__ == "__main__":
    main()
