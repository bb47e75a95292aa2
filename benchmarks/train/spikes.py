"""Does the guard cry wolf, and does it hear the wolf? Real curves, and planted spikes.

    python -m benchmarks.train.spikes --tokens runs/tiny/tokens [--steps 2000] [--seeds 2]
    python -m benchmarks.train.spikes --tokens runs/tiny/tokens --metrics runs/*/log/metrics.jsonl

Small decoders are trained on real text, by Muon and AdamW and by AdamW alone, several seeds each,
with the guard's own settings; whatever it tells of in these undisturbed runs is a false alarm. Then
spikes are planted in a run of 300 steps at steps drawn by a seed: batches of ids drawn at random,
batches of one repeated id, and gradients ten times as large; then AdamW runs at rates 30, 300 and
3,000 times too high. Curves given as `--metrics` are read as they are: without knowing where their
text or context changed. Results: benchmarks/results/spikes.json.
"""

import argparse
import json
import math
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.table import machine_class
from groundup.core import Artifact, DataError, device, record, write_json
from groundup.model import AttentionConfig, FeedForwardConfig, ModelConfig, Transformer
from groundup.tokenizer import Loader, open_shards
from groundup.train import (
    LoopOptions,
    MicroBatch,
    OptimConfig,
    Optimizer,
    causal_loss,
    make_lr_schedule,
    train,
)
from groundup.train.services.spikes import SpikeConfig, SpikeDetector

RESULTS = Path(__file__).resolve().parents[1] / "results" / "spikes.json"
ROWS, LENGTH = 4, 64
PLANTED = ("random ids", "one id", "large gradient")


def model(vocab_size: int, seed: int) -> Transformer:
    config = ModelConfig(
        vocab_size=vocab_size, width=64, layers=2, context_length=LENGTH,
        attention=AttentionConfig(heads=2, kv_heads=1, head_dim=32),
        feedforward=FeedForwardConfig(width=192),
    )  # fmt: skip
    return Transformer(config, seed=seed)


class Text:
    """Batches of a shard, some of them planted."""

    def __init__(self, tokens: Artifact, seed: int) -> None:
        self.loader = Loader(open_shards(tokens, "train").shards, ROWS, LENGTH, seed)
        self.planted: dict[int, str] = {}
        self.now = 0

    def __call__(self, step: int) -> list[MicroBatch]:
        rows, self.now = self.loader.batch(step), step
        ids = torch.from_numpy(rows.ids)
        kind = self.planted.get(step)
        if kind == "random ids":
            generator = torch.Generator().manual_seed(step)
            ids = torch.randint(int(ids.max()), ids.shape, generator=generator)
        if kind == "one id":
            ids = torch.full_like(ids, 3)
        return [MicroBatch(ids[:, :-1], ids[:, 1:], torch.from_numpy(rows.weights),
                      torch.from_numpy(rows.documents), rows.names)]  # fmt: skip


def run(text: Text, vocab_size: int, seed: int, steps: int, optim: OptimConfig) -> SpikeDetector:
    """Train with the guard looking on; return it."""
    decoder = model(vocab_size, seed)
    optimizer = Optimizer(decoder.named_parameters(), optim)

    def loss(body: Any, batch: MicroBatch) -> Any:
        found = causal_loss(body, batch)
        large = text.planted.get(text.now) == "large gradient"
        if large:  # ten times the gradient, the loss as it is
            return found._replace(total=10 * found.total - 9 * found.total.detach())
        return found

    guard = SpikeDetector(SpikeConfig(), Path(tempfile.mkdtemp()))
    steps_of = train(
        decoder,
        text,
        loss,
        optimizer,
        make_lr_schedule(optim, steps),
        LoopOptions(steps),
        accept=guard,
    )
    for _ in steps_of:
        pass
    guard.close()
    return guard


def judged(rows: Sequence[dict[str, Any]]) -> list[tuple[int, str]]:
    """What the guard tells of a curve that was written down."""
    guard = SpikeDetector(SpikeConfig(), Path(tempfile.mkdtemp()))
    for row in rows:
        guard(row["step"], row["loss"], row["gradient_norm"])
    guard.close()
    return guard.pending_reports


def exploding(tokens: Artifact, vocab_size: int) -> dict[str, str]:
    """What the guard says of AdamW at rates so many times too high."""
    said = {}
    for factor in (30, 300, 3000):
        rate = 4e-3 * factor
        fast = OptimConfig(
            matrix_optimizer="adamw", learning_rate=rate, embedding_learning_rate=rate
        )
        try:
            guard = run(Text(tokens, 7), vocab_size, 7, 200, fast)
            last = math.fsum(each.loss for each in guard.decisions[-64:]) / 64
            said[f"{factor} times"] = (
                f"no error; {guard.decisions[0].loss:.3f} nats, then {last:.3f}"
            )
        except DataError as error:
            said[f"{factor} times"] = str(error).partition("; the last good")[0]
    return said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--metrics", type=Path, nargs="*", default=[])
    parser.add_argument("--rates-only", action="store_true", help="leave the other results")
    given = parser.parse_args()
    device.set_num_threads()
    tokens = Artifact.open(given.tokens, "tokens")
    vocab_size = Loader(open_shards(tokens, "train").shards, 1, 64).shards[0].ids.max() + 1
    if given.rates_only:
        found = json.loads(RESULTS.read_text())
        write_json(RESULTS, found | {"rates": exploding(tokens, int(vocab_size))})
        return
    found: dict[str, Any] = {"machine": machine_class(), "clean": [], "planted": {}}
    for name, optim in (("muon", OptimConfig()), ("adamw", OptimConfig(matrix_optimizer="adamw"))):
        for seed in range(given.seeds):
            guard = run(Text(tokens, seed), int(vocab_size), seed, given.steps, optim)
            row = {
                "optimizer": name,
                "seed": seed,
                "steps": given.steps,
                "last loss": round(guard.decisions[-1].loss, 3),
                "alarms": guard.pending_reports,
            }
            found["clean"].append(row)
            print(row, flush=True)
    steps = sum(row["steps"] for row in found["clean"])
    alarms = sum(len(row["alarms"]) for row in found["clean"])
    found["false alarms per 10,000 steps"] = round(1e4 * alarms / steps, 2)
    curves = [record.read_metrics(path) for path in given.metrics]
    curves = [[row for row in rows if "gradient_norm" in row] for rows in curves]
    old = [told for rows in curves for told in judged(rows)]
    found["old curves"] = {"runs": len(curves), "steps": sum(map(len, curves)), "alarms": old}
    for kind in PLANTED:
        text, draw = Text(tokens, 7), random.Random(7)
        text.planted = dict.fromkeys(sorted(draw.sample(range(100, 300), 8)), kind)
        guard = run(text, int(vocab_size), 7, 300, OptimConfig())
        told = {step for step, _ in guard.pending_reports}
        hits = len(told & set(text.planted))
        found["planted"][kind] = {"heard": hits, "of": len(text.planted),
                                  "others": sorted(told - set(text.planted))}  # fmt: skip
    found["rates"] = exploding(tokens, int(vocab_size))
    print({name: value for name, value in found.items() if name != "clean"})
    write_json(RESULTS, found)


if __name__ == "__main__":
    main()
