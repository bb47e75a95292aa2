"""Training speed beside transformers: same shape, batch and dtype, both sides alternating.

    python benchmarks/train.py [--depth 5] [--rows 16] [--length 256] [--rounds 7] [--steps 4]

Each side lives in a process of its own, which waits while the other computes. The peer runs in the
virtual environment of `make oracles` if it is there, else in this one. It is measured as installed,
with the C library's allocator tuned as ours is, and compiled on top of that.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
WARM_UP_STEPS = 4  # compiling, first touches of memory
LEARNING_RATE = 1e-3

# name: (who computes, tuned allocator, compiled)
SIDES = {
    "ours": ("ours", True, True),
    "ours, Muon": ("ours-muon", True, True),
    "eager": ("peer", False, False),
    "eager, our allocator": ("peer", True, False),
    "compiled, our allocator": ("peer", True, True),
}


def our_steps(work: dict[str, Any], matrices: str) -> Iterator[None]:
    """Train with groundup, a step at a time."""
    import torch

    from groundup.core import device
    from groundup.model import Transformer, from_depth
    from groundup.train import (
        Batch,
        OptimConfig,
        Optimizer,
        Plan,
        Precision,
        causal,
        schedule,
        train,
    )

    device.use_cores()
    config = from_depth(work["depth"], work["vocab_size"], work["length"]).config
    model = Transformer(config)
    model.compile_blocks()
    optim = OptimConfig(matrices=matrices, learning_rate=LEARNING_RATE, warmup=0.0)
    optimizer = Optimizer(model.named_parameters(), optim)
    ids = random_ids(work)
    batch = Batch(ids[:, :-1], ids[:, 1:], torch.ones(ids[:, 1:].shape), None)
    plan = Plan(steps=1_000_000, precision=Precision(getattr(torch, work["dtype"])))
    rate = schedule(optim, plan.steps)
    for _ in train(model, lambda step: [batch], causal, optimizer, rate, plan):
        yield


def peer_steps(work: dict[str, Any], compiled: bool) -> Iterator[None]:
    """Train the same model with transformers and torch's fused AdamW, a step at a time."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.set_num_threads(work["threads"])
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(Qwen3Config(**work["shape"], use_cache=False)).train()
    call = torch.compile(model) if compiled else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, fused=True)
    ids, dtype = random_ids(work)[:, :-1].contiguous(), getattr(torch, work["dtype"])
    while True:
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            loss = call(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        loss.item()
        yield


def random_ids(work: dict[str, Any]):
    """The batch that both sides see again and again."""
    import torch

    generator = torch.Generator().manual_seed(0)
    size = (work["rows"], work["length"] + 1)
    return torch.randint(work["vocab_size"], size, generator=generator)


def worker(who: str, compiled: bool, work: dict[str, Any]) -> None:
    """Train `n` steps for every line `n` on stdin and answer with the seconds they took."""
    if who == "peer":
        steps = peer_steps(work, compiled)
    else:
        steps = our_steps(work, "muon" if who == "ours-muon" else "adamw")
    answers, sys.stdout = sys.stdout, sys.stderr  # what libraries print is no answer
    for line in sys.stdin:
        started = time.perf_counter()
        for _ in range(int(line)):
            next(steps)
        print(time.perf_counter() - started, file=answers, flush=True)


class Side:
    """A worker process and what it is asked to do."""

    def __init__(self, name: str, work: dict[str, Any], steps: int) -> None:
        who, tuned, compiled = SIDES[name]
        self.name = name
        self.tokens, self.steps = work["rows"] * work["length"] * steps, steps
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        environment.pop("GLIBC_TUNABLES", None)
        if tuned:
            environment["GLIBC_TUNABLES"] = work["allocator"]
        python = peer_python() if who == "peer" else sys.executable
        command = [python, __file__, "--worker", who, str(int(compiled)), json.dumps(work)]
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.ask(WARM_UP_STEPS)

    def ask(self, steps: int) -> float:
        """Train some steps; return the seconds they took."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"benchmarks/train.py: the worker of `{self.name}` ended early.")
        return float(answer)

    def __call__(self) -> float:
        """Train one round; return tokens a second."""
        return self.tokens / self.ask(self.steps)

    def close(self) -> None:
        """Let the worker end."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def peer_python() -> str:
    """The interpreter that has the peer."""
    oracle = ROOT / os.environ.get("ORACLES", ".oracles") / "transformers" / "bin" / "python"
    return str(oracle) if oracle.exists() else sys.executable


def peer_version() -> str:
    """The peer's version, or an exit that says how to get it."""
    ask = "from importlib.metadata import version; print(version('transformers'))"
    done = subprocess.run([peer_python(), "-c", ask], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit("benchmarks/train.py needs transformers; run: make oracles")
    return done.stdout.strip()


def main() -> None:
    """Measure and report."""
    from groundup.core import device
    from groundup.model import flops_per_token, from_depth, parameters
    from table import Peer, alternate, compare, report

    arguments = parse()
    config = from_depth(arguments.depth, arguments.vocab_size, arguments.length).config
    dtype = str(device.compute_dtype()).removeprefix("torch.")
    work = {
        "depth": arguments.depth, "vocab_size": arguments.vocab_size, "rows": arguments.rows,
        "length": arguments.length, "dtype": dtype, "threads": device.use_cores(),
        "allocator": device.ALLOCATOR, "shape": peer_shape(config),
    }  # fmt: skip
    version = peer_version()
    sides = {name: Side(name, work, arguments.steps) for name in SIDES}
    speeds = alternate(sides, arguments.rounds)
    for side in sides.values():
        side.close()
    size = f"{parameters(config).total / 1e6:.1f} M, {arguments.rows} x {arguments.length}, {dtype}"
    rows = [
        compare(f"training {size}", "tokens/s", speeds["ours"], speeds[name],
                Peer(f"transformers {name}", version))
        for name in SIDES if SIDES[name][0] == "peer"
    ]  # fmt: skip
    eager = Peer("transformers eager", version)
    rows.append(compare(f"training {size}, Muon against AdamW", "tokens/s", speeds["ours, Muon"],
                        speeds["eager"], eager))  # fmt: skip
    # A causal mask lets a token see half its row on average.
    needed = flops_per_token(config, (arguments.length + 1) // 2).training
    peak = getattr(device.measure(), f"{dtype}_flops")
    shares = {name: f"{median(values) * needed / peak:.0%}" for name, values in speeds.items()}
    report("train", rows, {"share of the measured matrix peak": shares})


def peer_shape(config) -> dict[str, Any]:
    """Our configuration in the peer's words."""
    return {
        "vocab_size": config.vocab_size, "hidden_size": config.width,
        "intermediate_size": config.feedforward.width, "num_hidden_layers": config.layers,
        "num_attention_heads": config.attention.heads,
        "num_key_value_heads": config.attention.kv_heads, "head_dim": config.attention.head_dim,
        "max_position_embeddings": config.context_length, "rms_norm_eps": config.norm.eps,
        "tie_word_embeddings": config.tied_embeddings,
    }  # fmt: skip


def parse() -> argparse.Namespace:
    """Read the flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--depth", type=int, default=5, help="layers; other sizes follow")
    parser.add_argument("--vocab-size", type=int, default=4096)
    parser.add_argument("--rows", type=int, default=16, help="rows of a batch")
    parser.add_argument("--length", type=int, default=256, help="tokens of a row")
    parser.add_argument("--rounds", type=int, default=7, help="how often the sides alternate")
    parser.add_argument("--steps", type=int, default=4, help="steps of a round")
    return parser.parse_args()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        worker(sys.argv[2], sys.argv[3] == "1", json.loads(sys.argv[4]))
    else:
        main()
