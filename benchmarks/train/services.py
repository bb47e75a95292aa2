"""What the services of training cost: steps with and without, alternating, by processor time.

    python -m benchmarks.train.services [--depth 4] [--rounds 7]

A look inside (norms by part, updates, activations, logits) on every step, the guard, and the
watchdog, each against bare steps of the same model on the same ids: 2,048 tokens a step, rows of
256, a vocabulary of 4,096. Time is the process's own, so other work on the machine counts little.
Looking on every N-th step costs an N-th of what is told. Results: benchmarks/results/services.json.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from benchmarks.table import RESULTS as FOLDER
from benchmarks.table import Peer, alternate, compare
from groundup.core import device, record, write_json
from groundup.model import Transformer, from_depth
from groundup.train import (
    LoopOptions,
    OptimConfig,
    Optimizer,
    Precision,
    TrainStep,
    causal_loss,
    train,
)
from groundup.train.batches import single_document_batch
from groundup.train.services.inspection import ModelStatistics
from groundup.train.services.spikes import SpikeConfig, SpikeDetector
from groundup.train.services.watchdog import Watchdog

RESULTS, STEPS = FOLDER / "services.json", 2


def sides(depth: int) -> dict[str, Callable[[], float]]:
    model = Transformer(from_depth(depth, 4096).config, seed=0)
    optimizer = Optimizer(model.named_parameters(), OptimConfig())
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(4096, (8, 257), generator=generator)
    precision = Precision(device.compute_dtype(torch.device("cpu")))
    folder = Path(tempfile.mkdtemp())
    guard = SpikeDetector(SpikeConfig(), folder)
    inner = ModelStatistics(model, model, 1, record.MetricsFile(folder / "metrics.jsonl"))
    dog = Watchdog(folder / "stacks.txt")
    dog.__enter__()

    def steps(accept=None) -> Iterator[TrainStep]:
        plan = LoopOptions(STEPS, precision=precision)
        return train(model, lambda step: [single_document_batch(rows)], causal_loss, optimizer,
                     lambda step: 1e-3, plan, accept=accept)  # fmt: skip

    def timed(made: Callable[[], Iterator[TrainStep]]) -> Callable[[], float]:
        def once() -> float:
            started = time.process_time()
            for _ in made():
                pass
            return STEPS / (time.process_time() - started)

        return once

    return {
        "bare": timed(steps),
        "look inside": timed(lambda: inner.collect_statistics(steps(inner))),
        "guard": timed(lambda: steps(guard)),
        "watchdog": timed(lambda: dog.watch_steps(steps())),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    device.set_num_threads()
    found = alternate(sides(given.depth), given.rounds)
    bare = Peer("bare steps", "the same call")
    rows = [
        compare(f"{name}, every step", "steps/s of own time", found[name], found["bare"], bare)
        for name in ("look inside", "guard", "watchdog")
    ]
    for row in rows:
        print(f"{row.work}: {row.ratio:.3f} of the bare speed ({row.low:.3f} to {row.high:.3f})")
    write_json(RESULTS, {"costs": [row._asdict() for row in rows]})


if __name__ == "__main__":
    main()
