"""Optimizers beside each other: time and memory a parameter, and the loss after the same tokens.

    python -m benchmarks.train.optimizers [--rounds 7] [--tokens-in runs/tiny/tokens --steps 100]

Time is the processor's, of one thread, in alternating rounds over the weights of a model of depth 5
(random gradients); torch's AdamW, fused, is the peer. Bytes are the formula's and those of the
tensors. With `--tokens-in`, a small decoder is trained on real text at each rate of GRID, one seed;
what is kept in fewer bits is trained at the best rate of the same optimizer in float32. That is a
small run: it ranks optimizers at their beginning, on one model.
Runs that were done before are kept: remove results/optimizers.json to begin anew.
Results: results/optimizers.json and the table of docs/reference/train/optimizers.md.
"""

import argparse
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks import table
from groundup.core import Artifact, device
from groundup.model import Transformer, from_depth
from groundup.tokenizer import Loader, Shard
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
from groundup.train.optim import rules
from groundup.train.optim.config import RuleConfig
from groundup.train.optim.optimizer import optimizer_state_bytes

ROOT = Path(__file__).resolve().parents[2]
RESULTS, PAGE = (ROOT / "benchmarks" / "results" / "optimizers.json",
                 ROOT / "docs" / "reference" / "train" / "optimizers.md")  # fmt: skip
ROWS, LENGTH, DEPTH = 8, 128, 3
TABLE = (RuleConfig(names="^embed_tokens", learning_rate=0.2),)
"""The input table's rate under AdamW, for Adafactor too: it moves a number about as far."""
WAYS: dict[str, dict[str, Any]] = {
    "SGD, no momentum": {"matrices": "sgd", "others": "sgd", "momentum": 0.0},
    "SGD with momentum": {"matrices": "sgd", "others": "sgd", "nesterov": True},
    "Adafactor": {"matrices": "adafactor", "others": "adafactor", "rules": TABLE},
    "AdamW": {"matrices": "adamw"},
    "AdamW, states in bfloat16": {"matrices": "adamw", "state": "bfloat16"},
    "AdamW, states in 8 bits": {"matrices": "adamw", "state": "8bit"},
    "Muon and AdamW": {"matrices": "muon"},
    "Muon and AdamW, states in 8 bits": {"matrices": "muon", "state": "8bit"},
}
GRID: dict[str, tuple[str, tuple[float, ...]]] = {
    "SGD with momentum": ("learning_rate", (0.1, 0.4, 1.6)),
    "Adafactor": ("learning_rate", (1e-3, 4e-3, 1.6e-2)),
    "AdamW": ("learning_rate", (1e-3, 4e-3, 1.6e-2)),
    "Muon and AdamW": ("muon_learning_rate", (0.0125, 0.025, 0.05)),
}
"""What is tuned, committed before the runs; factors of four, and of two around Muon's default."""
AS = {
    "AdamW, states in bfloat16": "AdamW",
    "AdamW, states in 8 bits": "AdamW",
    "Muon and AdamW, states in 8 bits": "Muon and AdamW",
}
"""Whose best rate is taken."""


def weights(seed: int = 0) -> dict[str, nn.Parameter]:
    """The weights of a model of depth 5 and 8,192 ids, with gradients."""
    model = Transformer(from_depth(5, 8192).config, seed=seed)
    drawn = torch.Generator().manual_seed(seed)
    named = dict(model.named_parameters())
    for weight in named.values():
        weight.grad = torch.randn(weight.shape, generator=drawn) * 1e-3
    return named


def timed(step: Callable[[], object], count: int) -> Callable[[], float]:
    """A round: parameters moved in a second of the processor."""

    def once() -> float:
        started = time.process_time()
        step()
        return count / (time.process_time() - started)

    return once


def speeds(rounds: int) -> tuple[list[table.Row], dict[str, float]]:
    """Rows beside torch, and nanoseconds a parameter of every way."""
    sides: dict[str, Callable[[], float]] = {}
    count = sum(weight.numel() for weight in weights().values())
    for name, settings in WAYS.items():
        optimizer = Optimizer(weights().items(), OptimConfig(**settings))
        sides[name] = timed(lambda optimizer=optimizer: optimizer.step(1e-3), count)
    plain = Optimizer(weights().items(), OptimConfig(matrix_optimizer="adamw"))
    sides["AdamW, lists"] = timed(lambda: by_lists(plain), count)
    peer = torch.optim.AdamW(weights().values(), 1e-6, (0.9, 0.95), 1e-10, 0.0, fused=True)
    sides["peer"] = timed(peer.step, count)
    found = table.alternate(sides, rounds)
    named = table.Peer("torch AdamW fused", torch.__version__)
    rows = [
        table.compare(f"optimizer step: {name}", "parameters/s", found[name], found["peer"], named)
        for name in sides if name != "peer"
    ]  # fmt: skip
    return rows, {name: 1e9 / sorted(values)[len(values) // 2] for name, values in found.items()}


def by_lists(optimizer: Optimizer) -> None:
    """A step by the reference in the place of the fused kernel."""
    fused, rules.adamw_update = rules.adamw_update, rules._adamw_reference
    try:
        optimizer.step(1e-3)
    finally:
        rules.adamw_update = fused


def sizes() -> dict[str, tuple[float, float]]:
    """Bytes of state a parameter, by formula and of the tensors."""
    found, named = {}, weights()
    count = sum(weight.numel() for weight in named.values())
    for name, settings in WAYS.items():
        config = OptimConfig(**settings)
        state = Optimizer(named.items(), config).state()
        held = sum(t.numel() * t.element_size() for n, t in state.items() if n != "steps")
        found[name] = (optimizer_state_bytes(named.items(), config) / count, held / count)
    return found


def learnt(tokens: Artifact, config: OptimConfig, steps: int) -> float:
    """Nats a token on held-out text after so many steps from the same first weights."""
    shard, held = Shard.open(tokens, "train"), Shard.open(tokens, "validation")
    size = 1 + max(int(shard.ids.max()), int(held.ids.max()))
    model = Transformer(from_depth(DEPTH, size, LENGTH).config, seed=0)
    loaders = Loader([shard], ROWS, LENGTH, seed=0), Loader([held], 4 * ROWS, LENGTH, seed=0)

    def batch(loader: Loader, step: int) -> MicroBatch:
        read = loader.batch(step)
        ids = torch.from_numpy(read.ids)
        weights, documents = torch.from_numpy(read.weights), torch.from_numpy(read.documents)
        return MicroBatch(ids[:, :-1], ids[:, 1:], weights, documents)

    optimizer = Optimizer(model.named_parameters(), config)
    precision = Precision(device.compute_dtype(device.default_device()))
    plan, rate = LoopOptions(steps, precision=precision), make_lr_schedule(config, steps)
    for _ in train(
        model, lambda step: [batch(loaders[0], step)], causal_loss, optimizer, rate, plan
    ):
        pass
    with torch.no_grad(), precision.autocast("cpu"):
        parts = [causal_loss(model.eval(), batch(loaders[1], number)) for number in range(4)]
    return sum(float(p.total) for p in parts) / sum(float(p.weight) for p in parts)


def tune(tokens: Artifact, steps: int, notes: dict[str, Any]) -> None:
    """Loss at every rate of the grid, and of fewer bits at the best; what is known is kept."""
    runs = notes.setdefault("runs", {})
    for name, (field, rates) in GRID.items():
        for rate in rates:
            train_once(tokens, steps, notes, name, field, rate)
    for name, same in AS.items():
        known = runs[same]
        best = float(min(known, key=known.__getitem__))
        train_once(tokens, steps, notes, name, GRID[same][0], best)


def train_once(
    tokens: Artifact, steps: int, notes: dict[str, Any], name: str, field: str, rate: float
) -> None:
    """One run, kept as soon as it is done; nothing if it was done before."""
    known = notes["runs"].setdefault(name, {})
    if f"{rate:g}" not in known:
        loss = learnt(tokens, OptimConfig(**WAYS[name], **{field: rate}), steps)
        print(f"{name} {rate:g}: {loss:.4f}", flush=True)
        known[f"{rate:g}"] = round(loss, 4)
        keep(notes)


def keep(notes: dict[str, Any], rows: list[table.Row] | None = None) -> None:
    """Write the results; without new rows the old ones stay."""
    old = json.loads(RESULTS.read_text("utf-8"))["rows"] if RESULTS.exists() else []
    chosen = old if rows is None else [row._asdict() for row in rows]
    RESULTS.write_text(json.dumps({"rows": chosen, "notes": notes}, indent=1) + "\n", "utf-8")


def markdown(notes: dict[str, Any]) -> str:
    """The table of the page."""
    lines = ["| optimizer | ns a parameter and step | bytes a parameter | nats at each rate |",
             "|---|---|---|---|"]  # fmt: skip
    for name in [*WAYS, "AdamW, lists", "peer"]:
        held = notes.get("bytes", {}).get(name)
        spent = notes.get("nanoseconds", {}).get(name)
        run = notes.get("runs", {}).get(name, {})
        cells = [
            "torch AdamW, fused" if name == "peer" else name,
            f"{spent:.1f}" if spent else "", f"{held[1]:.2f}" if held else "",
            ", ".join(f"{loss:.3f} at {rate}" for rate, loss in run.items()),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + f"\n\n{notes['machine']}, {notes['date']}; {notes['text']}.\n"


def main() -> None:
    """Measure and write; what an earlier call found is kept."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7, help="of the timing; 0: none")
    parser.add_argument("--tokens-in", type=Path, help="train too, on these tokens")
    parser.add_argument("--steps", type=int, default=100)
    given = parser.parse_args()
    torch.set_num_threads(1)
    notes = json.loads(RESULTS.read_text("utf-8"))["notes"] if RESULTS.exists() else {}
    if given.rounds:
        rows, nanoseconds = speeds(given.rounds)
        notes |= {"nanoseconds": nanoseconds, "bytes": sizes()}
        notes |= {"machine": rows[0].machine, "date": rows[0].date, "rounds": given.rounds}
        notes.setdefault("text", "nothing trained")
        keep(notes, rows)
    if given.tokens_in:
        notes["text"] = (
            f"loss after {given.steps * ROWS * LENGTH:,} tokens of real text, depth {DEPTH}, seed 0"
        )
        tune(Artifact.open(given.tokens_in, "tokens"), given.steps, notes)
    block = re.compile(r"(<!-- optimizers -->\n).*?(<!-- end of optimizers -->)", re.DOTALL)
    text = PAGE.read_text("utf-8")
    PAGE.write_text(block.sub(lambda old: old[1] + markdown(notes) + old[2], text), "utf-8")


if __name__ == "__main__":
    main()
