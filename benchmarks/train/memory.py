"""Peak memory of training: measured in fresh processes, beside what `groundup plan` says.

    python -m benchmarks.train.memory             # shapes that the plan's constants never saw
    python -m benchmarks.train.memory --fitted    # the shapes on which they were made
    python -m benchmarks.train.memory --meshes    # the fullest of processes that train together
    python -m benchmarks.train.memory --recompute # what computing again saves and costs
    python -m benchmarks.train.memory --peers PYTHON    # beside transformers, whose PYTHON is given

The peak is that of a process's resident memory, less what it held after importing torch and
groundup, with the allocator tuned as `groundup pretrain` tunes it. A plan should lie within 10 %.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from datetime import date
from importlib.metadata import version
from math import prod
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

BAR = 0.10
"""Largest error of a plan, as a share of the measured peak."""
FITTED = (
    "5 8 256 none eager float32 muon 1",
    "5 8 256 none eager bfloat16 adamw 1",
    "5 8 256 all eager bfloat16 muon 1",
    "5 8 256 none compiled bfloat16 muon 1",
    "5 2 1024 none compiled bfloat16 muon 1",
    "gpt-2 2 256 none eager bfloat16 adamw 1",
    "gpt-2 1 1024 all eager bfloat16 muon 1",
    "5 16 256 none eager bfloat16 muon 1",
)
"""Model or depth, rows, length, recompute, compiled or not, precision, matrices' optimizer,
micro-batches."""
HELD_OUT = (
    "4 8 512 selective eager bfloat16 muon 1",
    "6 4 512 none compiled bfloat16 adamw 1",
    "3 16 256 none eager float32 adamw 2",
    "4 2 2048 all compiled bfloat16 muon 1",
    "7 2 512 none compiled float32 muon 1",
    "5 1 2048 selective compiled bfloat16 adamw 1",
)
ROUNDS = 3
"""Processes that a shape is measured in."""
MESHES = (
    "5 8 256 none eager bfloat16 adamw 1 data=2",
    "5 8 256 none eager bfloat16 adamw 1 shard=2",
    "5 8 256 none eager bfloat16 adamw 1 tensor=2",
    "5 2 256 none eager bfloat16 adamw 4 pipeline=2",
)
"""As above, with the mesh; rows are of one process. None was ever fitted to."""
PEERS = ("5 8 256 none", "5 8 256 all", "5 2 1024 none", "5 2 1024 all")
ROOT = Path(__file__).resolve().parents[2]


def status(name: str) -> int:
    """A figure of this process's memory, bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name + ":")) * 1024


def config_of(model: str) -> Any:
    """A shape by its depth or its preset's name, as `groundup plan` reads it."""
    from groundup.model import from_depth, preset

    return from_depth(int(model), 8192, 2048).config if model.isdigit() else preset(model).config


def train_once(wanted: dict[str, Any]) -> dict[str, float]:
    """Train some steps in this process; return its peak and what it held before."""
    import torch

    from groundup.model import Transformer
    from groundup.train import (
        LoopOptions,
        MicroBatch,
        OptimConfig,
        Optimizer,
        Precision,
        causal_loss,
        joined_processes,
        parallelise,
        sequence_to_sequence_loss,
        split_batch,
        train,
    )  # fmt: skip

    config = config_of(wanted["model"])
    torch.manual_seed(0)
    rows, length = wanted["rows"], wanted["length"]
    before = status("VmRSS")
    model = Transformer(config)
    model.recompute_blocks(wanted["recompute"])
    if wanted["compiled"]:
        assert model.compile_blocks(), "a C++ compiler is needed"
    whole = rows * wanted["micro_batches"]
    ids = torch.randint(config.vocab_size, (whole, length))
    documents = torch.zeros(whole, length, dtype=torch.int32)
    source = {}
    if config.kind == "encoder_decoder":
        source = {"source": ids, "source_documents": documents}
    batch = MicroBatch(ids, ids, torch.ones(whole, length), documents, **source)
    loss, precision = (
        sequence_to_sequence_loss if source else causal_loss,
        Precision(getattr(torch, wanted["dtype"])),
    )
    batches = split_batch(batch, wanted["micro_batches"])
    peaks = []
    with joined_processes(wanted["mesh"]) as mesh:
        made = parallelise(model, loss, precision, mesh)
        states = Optimizer(
            made.parameters.items(), OptimConfig(**wanted["optim"]), names=made.names
        )
        plan = LoopOptions(wanted["steps"], precision=precision, mesh=mesh)
        for _ in train(made.model, lambda _: batches, loss, states, lambda _: 1e-3, plan,
                       gradients=made.gradients, after_update=made.synchronise):  # fmt: skip
            peaks.append(status("VmHWM") - before)
    return {"peak": peaks[-1], "before": before, "first": peaks[0]}


def measured(wanted: dict[str, Any], python: str = sys.executable) -> dict[str, Any]:
    """The process of the middle peak: what an allocator leaves between tensors is not the same."""
    found = [measured_once(wanted, python) for _ in range(ROUNDS)]
    return sorted(found, key=lambda each: each["peak"])[ROUNDS // 2]


def measured_once(wanted: dict[str, Any], python: str) -> dict[str, Any]:
    """Peak memory of a fresh process that trains, beyond what it held before."""
    from groundup.core import device

    environment = dict(os.environ, GLIBC_TUNABLES=device.ALLOCATOR, PYTHONPATH=str(ROOT))
    count = processes(wanted["mesh"])
    together = ["-m", "torch.distributed.run", "--nproc-per-node", str(count)]
    words = ["-m", "benchmarks.train.memory", "--one", json.dumps(wanted)]
    command = [python, *(together if count > 1 else ()), *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1800)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    told = [json.loads(found) for found in re.findall(r"\{.*?\}", done.stdout)]  # in a line or two
    return max(told, key=lambda each: each["peak"])


def processes(mesh: str) -> int:
    """How many a mesh has."""
    from groundup.train.plan.sharding import parse_mesh

    return prod(parse_mesh(mesh, None).values())


def wanted_of(line: str) -> dict[str, Any]:
    """A line of the lists above as settings."""
    model, rows, length, recompute, how, dtype, optim, micro_batches, *mesh = line.split()
    return {
        "model": model, "rows": int(rows), "length": int(length), "recompute": recompute,
        "compiled": how == "compiled", "dtype": dtype, "optim": {"matrices": optim},
        "micro_batches": int(micro_batches), "mesh": "".join(mesh), "steps": 3,
    }  # fmt: skip


def planned(wanted: dict[str, Any]) -> int:
    """What `groundup plan` says of it."""
    from groundup.train import OptimConfig, PlanConfig
    from groundup.train.plan.sharding import parse_mesh
    from groundup.train.plan.stage import PlannedStep

    names = ("rows", "length", "micro_batches", "recompute", "compiled")
    config = PlanConfig(
        **{name: wanted[name] for name in names}, precision=wanted["dtype"],
        optim=OptimConfig(**wanted["optim"]),
    )  # fmt: skip
    sizes = parse_mesh(wanted["mesh"], None)
    return PlannedStep(config_of(wanted["model"]), config, sizes, "cpu").total_bytes()


def compare_plans(lines: tuple[str, ...], name: str) -> bool:
    """Print and keep a table of plans and peaks; whether every plan is within the bar."""
    from benchmarks.table import RESULTS, machine_class
    from groundup.core import write_json

    place = RESULTS / "train_memory.json"
    kept = json.loads(place.read_text()) if place.is_file() else {"notes": {}}
    rows = []
    for line in lines:
        plan, found = planned(wanted_of(line)), measured(wanted_of(line))
        error = plan / found["peak"] - 1
        print(f"| {' | '.join(line.split())} | {plan / 2**20:.0f} | {found['peak'] / 2**20:.0f} | "
              f"{error:+.1%} |", flush=True)  # fmt: skip
        rows.append({"shape": line, "plan": plan, "peak": found["peak"], "error": round(error, 4)})
        kept["notes"][name] = {"machine": machine_class(), "date": str(date.today()), "rows": rows}
        write_json(place, kept)
    return all(abs(row["error"]) <= BAR for row in rows)


def train_peer(wanted: dict[str, Any]) -> dict[str, float]:
    """The same shape in transformers, with torch's AdamW and autocast."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    c = config_of(wanted["model"])
    part, torch_dtype = c.attention, getattr(torch, wanted["dtype"])
    before = status("VmRSS")
    model = Qwen3ForCausalLM(Qwen3Config(
        vocab_size=c.vocab_size, hidden_size=c.width, num_hidden_layers=c.layers,
        intermediate_size=c.feedforward.width, num_attention_heads=part.heads,
        num_key_value_heads=part.kv_heads, head_dim=part.head_dim, use_cache=False,
        max_position_embeddings=c.context_length, tie_word_embeddings=c.tied_embeddings,
    ))  # fmt: skip
    model.train()
    if wanted["recompute"] != "none":
        model.gradient_checkpointing_enable()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    ids = torch.randint(c.vocab_size, (wanted["rows"], wanted["length"]))
    peaks = []
    for _ in range(wanted["steps"]):
        with torch.autocast("cpu", torch_dtype, enabled=torch_dtype != torch.float32):
            loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        peaks.append(status("VmHWM") - before)
    return {"peak": peaks[-1], "before": before, "version": version("transformers")}


def compare_peers(python: str) -> None:
    """Print and keep our peaks beside transformers'."""
    from benchmarks.table import RESULTS, Peer, compare, report

    found = []
    for line in PEERS:
        wanted = wanted_of(line + " eager bfloat16 adamw 1")
        ours, peer = measured(wanted), measured(wanted | {"peer": True}, python)
        sides = [[each["peak"] / 2**20] for each in (ours, peer)]
        named = Peer("transformers, eager", peer["version"])
        found.append(compare(f"peak memory, {line}", "MiB", *sides, named, less_is_better=True))
        place = RESULTS / "train_memory.json"
        kept = json.loads(place.read_text())["notes"] if place.is_file() else {}
        report("train_memory", found, kept)


def compare_kinds(depth: str = "5", rounds: int = 5) -> None:
    """Print and keep what each kind of recomputation holds and its processor time."""
    import torch

    from benchmarks.table import RESULTS, alternate
    from groundup.core import write_json
    from groundup.model import Transformer
    from groundup.train.plan.step import StepWork, _full_batch, _kind_loss, trace_step

    config, work = config_of(depth), StepWork(rows=8, length=256)
    model = Transformer(config).train()

    def passing(kind: str) -> float:
        model.recompute_blocks(kind)
        started = process_time()
        with torch.autocast("cpu", torch.bfloat16):
            found = _kind_loss(model, _full_batch(config, work))
        found.total.backward()
        return process_time() - started

    kinds = ("none", "selective", "all")
    times = alternate({kind: lambda kind=kind: passing(kind) for kind in kinds}, rounds)
    found: dict[str, dict[str, float]] = {}
    for kind in kinds:
        parts = trace_step(config, work.model_copy(update={"recompute": kind})).during_pass
        ratios = [own / none for own, none in zip(times[kind], times["none"], strict=True)]
        found[kind] = {"activations": parts["activations"], "time": round(median(ratios), 3)}
        print(f"| {kind} | {parts['activations'] / 2**20:.0f} | {median(ratios):.2f} |")
    place = RESULTS / "train_memory.json"
    kept = json.loads(place.read_text()) if place.is_file() else {"notes": {}}
    kept["notes"]["recompute"] = found
    write_json(place, kept)


def parse() -> argparse.Namespace:
    """Read what is to be measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    one_of = parser.add_mutually_exclusive_group()
    one_of.add_argument("--one", help=argparse.SUPPRESS)  # a process of its own, its work as JSON
    one_of.add_argument("--peers", metavar="PYTHON", help="beside transformers")
    for name in ("fitted", "meshes", "recompute"):
        one_of.add_argument(f"--{name}", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    given = parse()
    if given.one:
        asked = json.loads(given.one)
        print(json.dumps(train_peer(asked) if asked.get("peer") else train_once(asked)))
    elif given.recompute:
        compare_kinds()
    elif given.peers:
        compare_peers(given.peers)
    elif given.meshes:
        sys.exit(not compare_plans(MESHES, "meshes"))
    elif given.fitted:
        compare_plans(FITTED, "fitted")
    else:
        sys.exit(not compare_plans(HELD_OUT, "held out"))
