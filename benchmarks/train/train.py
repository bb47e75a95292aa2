"""Training speed and memory beside peers: same shape, batch and dtype, all sides alternating.

    make oracles                                  # transformers (Apache-2.0), litgpt (Apache-2.0)
    git clone https://github.com/karpathy/nanochat # MIT; NANOCHAT says where, else it is left out
    python -m benchmarks.train.train [--sizes 14M 124M] [--rounds 7] [--steps 4]

Each side lives in a process of its own, which waits while the others compute; every peer runs in
its own virtual environment. transformers is measured as installed, with the C library's allocator
tuned as ours is, and compiled on top of that; litgpt and nanochat with both. All compute in
bfloat16 where it is faster, over float32 weights, with torch's fused AdamW and clipping. One Llama
shape with tied embeddings serves all but nanochat, whose model code has parts of its own: tables of
values beside every second layer, squared ReLU, and a cap on logits. Memory is the largest resident
set of a process after it has warmed up.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from operator import truediv
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
WARM_UP_STEPS = 4  # compiling, first touches of memory
LEARNING_RATE = 1e-3

SIZES = {
    "14M": {"width": 384, "layers": 6, "heads": 6, "inner": 1024, "vocab_size": 8192, "rows": 8},
    "124M": {"width": 768, "layers": 12, "heads": 12, "inner": 2048, "vocab_size": 50304,
             "rows": 4},
}  # fmt: skip
LENGTH = 256


class Kind(NamedTuple):
    """How a side computes."""

    who: str
    tuned: bool
    """Whether the C library's allocator is tuned."""
    compiled: bool


SIDES = {
    "ours": Kind("ours", True, True),
    "transformers eager": Kind("transformers", False, False),
    "transformers eager, our allocator": Kind("transformers", True, False),
    "transformers compiled, our allocator": Kind("transformers", True, True),
    "litgpt compiled, our allocator": Kind("litgpt", True, True),
    "nanochat compiled, our allocator": Kind("nanochat", True, True),
}
VENVS = {"transformers": "transformers", "litgpt": "litgpt", "nanochat": "litgpt"}
"""Environments of `make oracles`, by peer."""


def our_steps(work: dict[str, Any], compiled: bool) -> Iterator[None]:
    """Train with groundup, a step at a time."""
    import torch

    from groundup.core import device
    from groundup.kernels import AttentionShape, autotuned_backend, set_backend
    from groundup.model import Transformer
    from groundup.train import (
        LoopOptions,
        MicroBatch,
        OptimConfig,
        Optimizer,
        Precision,
        causal_loss,
        make_lr_schedule,
        train,
    )

    device.set_num_threads()
    model = Transformer(our_shape(work))
    if compiled:
        model.compile_blocks()
    shape = AttentionShape(work["heads"], work["heads"], 64, LENGTH, False, work["dtype"])
    if way := autotuned_backend(shape):
        set_backend(shape, way)
    optim = OptimConfig(matrix_optimizer="adamw", learning_rate=LEARNING_RATE, warmup=0.0)
    optimizer = Optimizer(model.named_parameters(), optim)
    ids = random_ids(work)
    batch = MicroBatch(ids[:, :-1], ids[:, 1:], torch.ones(ids[:, 1:].shape), None)
    plan = LoopOptions(steps=1_000_000, precision=Precision(getattr(torch, work["dtype"])))
    rate = make_lr_schedule(optim, plan.steps)
    for _ in train(model, lambda step: [batch], causal_loss, optimizer, rate, plan):
        yield


def our_shape(work: dict[str, Any]):
    """The common shape in our words."""
    from groundup.model import AttentionConfig, FeedForwardConfig, ModelConfig

    heads = work["heads"]
    attention = AttentionConfig(heads=heads, kv_heads=heads, head_dim=64, qk_norm="none")
    return ModelConfig(
        vocab_size=work["vocab_size"], width=work["width"], layers=work["layers"],
        context_length=LENGTH, attention=attention, tied_embeddings=True,
        feedforward=FeedForwardConfig(width=work["inner"]),
    )  # fmt: skip


def transformers_model(work: dict[str, Any], compiled: bool):
    """transformers' Llama, and its loss as it computes it."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    heads = work["heads"]
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=work["vocab_size"], hidden_size=work["width"], intermediate_size=work["inner"],
        num_hidden_layers=work["layers"], num_attention_heads=heads, num_key_value_heads=heads,
        head_dim=64, max_position_embeddings=LENGTH, tie_word_embeddings=True, use_cache=False,
    )).train()  # fmt: skip
    call = torch.compile(model) if compiled else model
    ids = random_ids(work)[:, :-1].contiguous()
    return model, lambda: call(input_ids=ids, labels=ids).loss


def litgpt_model(work: dict[str, Any], compiled: bool):
    """litgpt's GPT in the Llama shape, compiled and with its chunked loss as its pretrain does."""
    import torch
    from litgpt.config import Config
    from litgpt.model import GPT
    from litgpt.utils import chunked_cross_entropy

    heads = work["heads"]
    model = GPT(Config(
        block_size=LENGTH, n_layer=work["layers"], n_embd=work["width"], n_head=heads,
        n_query_groups=heads, head_size=64, vocab_size=work["vocab_size"],
        padded_vocab_size=work["vocab_size"], intermediate_size=work["inner"],
        norm_class_name="RMSNorm", mlp_class_name="LLaMAMLP", rotary_percentage=1.0,
        parallel_residual=False, bias=False,
    ))  # fmt: skip
    model.lm_head.weight = model.transformer.wte.weight
    torch.nn.init.normal_(model.lm_head.weight, std=0.02)
    call, ids = torch.compile(model) if compiled else model, random_ids(work)
    inputs, targets = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
    return model, lambda: chunked_cross_entropy(call(inputs), targets)


def nanochat_model(work: dict[str, Any], compiled: bool):
    """nanochat's GPT, which casts by itself: tables in bfloat16, matrices as they are used."""
    import torch
    from nanochat.gpt import GPT, GPTConfig

    heads = work["heads"]
    with torch.device("meta"):
        model = GPT(GPTConfig(LENGTH, work["vocab_size"], work["layers"], heads, heads,
                              work["width"], "L"))  # fmt: skip
    model.to_empty(device="cpu")
    model.init_weights()
    call = torch.compile(model, dynamic=False) if compiled else model
    ids = random_ids(work)
    inputs, targets = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
    return model, lambda: call(inputs, targets)


MODELS: dict[str, Callable[..., Any]] = {
    "transformers": transformers_model, "litgpt": litgpt_model, "nanochat": nanochat_model,
}  # fmt: skip


def peer_steps(who: str, work: dict[str, Any], compiled: bool) -> Iterator[None]:
    """Train a peer's model with torch's fused AdamW, a step at a time."""
    import torch

    torch.set_num_threads(work["threads"])
    torch.manual_seed(0)
    model, loss_of = MODELS[who](work, compiled)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, fused=True)
    dtype = getattr(torch, work["dtype"])
    casts = who != "nanochat" and dtype != torch.float32
    while True:
        with torch.autocast("cpu", torch.bfloat16, enabled=casts):
            loss = loss_of()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        loss.item()
        yield


def random_ids(work: dict[str, Any]):
    """The batch that all sides see again and again."""
    import torch

    generator = torch.Generator().manual_seed(0)
    return torch.randint(work["vocab_size"], (work["rows"], LENGTH + 1), generator=generator)


def worker(who: str, compiled: bool, work: dict[str, Any]) -> None:
    """Train `n` steps for every line `n` on stdin; answer with seconds, CPU seconds, peak bytes."""
    steps = our_steps(work, compiled) if who == "ours" else peer_steps(who, work, compiled)
    answers, sys.stdout = sys.stdout, sys.stderr  # what libraries print is no answer
    for number, line in enumerate(sys.stdin):
        started, own = time.perf_counter(), time.process_time()
        for _ in range(int(line)):
            next(steps)
        found = [time.perf_counter() - started, time.process_time() - own, peak_bytes()]
        print(json.dumps(found), file=answers, flush=True)
        if number == 0:  # warm: what compiling took does not count
            Path("/proc/self/clear_refs").write_text("5")


def peak_bytes() -> int:
    """Largest resident memory of this process; since `clear_refs` was last written."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024


class Side:
    """A worker process and what it is asked to do."""

    def __init__(self, name: str, work: dict[str, Any], steps: int) -> None:
        kind = SIDES[name]
        self.name, self.steps, self.peak, self.cpu = name, steps, 0, list[float]()
        self.tokens = work["rows"] * LENGTH * steps
        paths = [str(ROOT)] if kind.who == "ours" else [os.environ.get("NANOCHAT", "")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths),
                       "NANOCHAT_DTYPE": work["dtype"]}  # fmt: skip
        environment.pop("GLIBC_TUNABLES", None)
        if kind.tuned:
            environment["GLIBC_TUNABLES"] = work["allocator"]
        command = [str(python_of(kind.who)), "-m", "benchmarks.train.train", "--worker"]
        command += [kind.who, str(int(kind.compiled)), json.dumps(work)]
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.ask(WARM_UP_STEPS)

    def ask(self, steps: int) -> tuple[float, float]:
        """Train some steps; return the seconds they took, on the clock and of processors."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"throughput.py: the worker of `{self.name}` ended early.")
        seconds, cpu, self.peak = json.loads(answer)
        return seconds, cpu

    def __call__(self) -> float:
        """Train one round; return tokens a second."""
        seconds, cpu = self.ask(self.steps)
        self.cpu.append(self.tokens / cpu)
        return self.tokens / seconds

    def close(self) -> None:
        """Let the worker end."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def python_of(who: str) -> Path:
    """The interpreter that has a side's packages."""
    if who == "ours":
        return Path(sys.executable)
    return ROOT / os.environ.get("ORACLES", ".oracles") / VENVS[who] / "bin" / "python"


def version_of(who: str) -> str:
    """A peer's version, or empty if it is not there."""
    if who == "nanochat":
        folder = os.environ.get("NANOCHAT", "")
        ask = ["git", "-C", folder, "log", "-1", "--format=%h %cs"]
        if not folder or not (Path(folder) / "nanochat" / "gpt.py").exists():
            return ""
        done = subprocess.run(ask, capture_output=True, text=True)
        return done.stdout.strip() or "a copy"
    if not python_of(who).exists():
        return ""
    ask = f"from importlib.metadata import version; print(version({who!r}))"
    done = subprocess.run([python_of(who), "-c", ask], capture_output=True, text=True)
    return done.stdout.strip()


def main() -> None:
    """Measure and report."""
    from benchmarks.table import machine_class, report
    from groundup.core import device

    arguments = parse()
    versions = {who: version_of(who) for who in VENVS}
    if not versions["transformers"]:
        raise SystemExit("throughput.py needs transformers; run: make oracles")
    for who in (who for who, found in versions.items() if not found):
        print(f"throughput.py: {who} is left out: it is not there (see the head of this file)")
    wanted = {name: kind for name, kind in SIDES.items() if not arguments.sides
              or name == "ours" or kind.who in arguments.sides}  # fmt: skip
    sides = [name for name, kind in wanted.items() if versions.get(kind.who, "ours")]
    dtype = str(device.compute_dtype()).removeprefix("torch.")
    common = {"dtype": dtype, "threads": device.set_num_threads(), "allocator": device.ALLOCATOR}
    rows, notes = [], {}
    for size in arguments.sizes:
        work = {**SIZES[size], **common}
        found, told = measured(size, work, sides, versions, arguments)
        rows, notes[f"{size}, {machine_class()}"] = rows + found, told
    report("train", rows, notes)


def measured(
    size: str, work: dict[str, Any], sides: list[str], versions: dict[str, str],
    arguments: argparse.Namespace,
) -> tuple[list[Any], dict[str, Any]]:  # fmt: skip
    """Rows and notes of one size."""
    from benchmarks.table import Peer, alternate, compare
    from groundup.core import device
    from groundup.model import count_parameters, mean_flops_per_token

    workers = {name: Side(name, work, arguments.steps) for name in sides}
    speeds = alternate(workers, arguments.rounds)
    for side in workers.values():
        side.close()
    config = our_shape(work)
    whole = f"{count_parameters(config).total / 1e6:.1f} M"
    named = f"training {whole}, {work['rows']} x {LENGTH}, {work['dtype']}"
    rows = []
    for name in sides[1:]:
        peer = Peer(name, versions[SIDES[name].who])
        rows.append(compare(named, "tokens/s", speeds["ours"], speeds[name], peer))
        peaks = [[workers[each].peak / 2**20] for each in ("ours", name)]
        rows.append(compare(f"{named}, peak memory", "MiB", *peaks, peer, less_is_better=True))
    peak = getattr(device.measure_speeds(again=True), f"{work['dtype']}_flops")
    needed = mean_flops_per_token(config, LENGTH).training
    shares = {name: f"{median(speeds[name]) * needed / peak:.0%}" for name in sides
              if SIDES[name].who != "nanochat"}  # fmt: skip
    cpu = {
        name: round(median(map(truediv, workers["ours"].cpu, workers[name].cpu)), 3)
        for name in sides[1:]
    }
    return rows, {"share of the measured matrix peak": shares, "ratio by processor time": cpu}


def parse() -> argparse.Namespace:
    """Read the flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["14M"])
    parser.add_argument("--sides", nargs="+", choices=VENVS, default=[], help="peers; default all")
    parser.add_argument("--rounds", type=int, default=7, help="how often the sides alternate")
    parser.add_argument("--steps", type=int, default=4, help="steps of a round")
    return parser.parse_args()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        worker(sys.argv[2], sys.argv[3] == "1", json.loads(sys.argv[4]))
    else:
        main()
