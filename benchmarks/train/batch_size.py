"""What the size of a batch does to the noise of its gradient, and to speed.

    python -m benchmarks.train.batch_size [--tokens-in runs/tiny/tokens] [--page FOLDER]

A small decoder is trained; at some steps the gradient is taken on DRAWS batches of LARGE rows, each
also as its parts of SMALL rows, without moving. From the two sizes follow unbiased estimates of the
squared length of the true gradient and of the trace of its covariance; their ratio is the simple
noise scale, the batch (in tokens) whose noise is as large as its gradient. Far below it, twice the
batch is as good as two steps; far above, it is wasted. The interval is a bootstrap over the draws,
95 %. Speed: tokens in a second of one thread of the processor, forward and backward and the step.
Results: results/batch_size.json and a table in docs/reference/train/optimizers.md; with --page also
a page with the two charts. --again draws what an earlier call measured.
Source: McCandlish et al. 2018, arXiv:1812.06162, Appendix A.1.
"""

import argparse
import json
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import table
from groundup.core import Artifact, device, write_text
from groundup.core.page import HtmlPage, Series, line_chart
from groundup.model import Transformer, from_depth
from groundup.tokenizer import Loader, Shard
from groundup.train import (
    LoopOptions,
    MicroBatch,
    OptimConfig,
    Optimizer,
    Precision,
    causal_loss,
    train,
)

ROOT = Path(__file__).resolve().parents[2]
RESULTS, DOCS = (ROOT / "benchmarks" / "results" / "batch_size.json",
                 ROOT / "docs" / "reference" / "train" / "optimizers.md")  # fmt: skip
LENGTH, DEPTH, ROWS = 128, 3, 8
SMALL, LARGE, DRAWS = 2, 16, 12
POINTS = (0, 20, 60, 180)
"""Steps of training after which the noise is measured."""
SIZES = (1, 2, 4, 8, 16, 32)
"""Rows of a batch of which the speed is measured."""


def batch(loader: Loader, step: int) -> MicroBatch:
    """Rows of real text."""
    read = loader.batch(step)
    ids = torch.from_numpy(read.ids)
    weights, documents = torch.from_numpy(read.weights), torch.from_numpy(read.documents)
    return MicroBatch(ids[:, :-1], ids[:, 1:], weights, documents)


def gradient(model: Transformer, given: MicroBatch) -> torch.Tensor:
    """The whole gradient of a batch's mean loss, flat, in float32."""
    model.zero_grad()
    loss = causal_loss(model, given)
    (loss.total / loss.weight).backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def noise(model: Transformer, loader: Loader, first: int) -> dict[str, Any]:
    """Squared lengths of gradients of both sizes, and what follows from them."""
    pairs = []
    for draw in range(DRAWS):
        parts = range(first + draw * (LARGE // SMALL), first + (draw + 1) * (LARGE // SMALL))
        total, small = torch.zeros(()), 0.0
        for part in parts:
            one = gradient(model, batch(loader, part))
            total, small = total + one, small + float(one.double().square().sum())
        large = float((total / len(parts)).double().square().sum())
        pairs.append((small / len(parts), large))
    model.zero_grad()
    measured = np.array(pairs)
    drawn = np.random.default_rng(0).integers(DRAWS, size=(2000, DRAWS))
    means = measured[drawn].mean(1)  # (2000, 2)
    low, high = np.percentile(scale(means[:, 0], means[:, 1]), (2.5, 97.5))
    small, large = measured.mean(0)
    return {
        "small": small, "large": large, "tokens": float(scale(small, large)),
        "low": float(low), "high": float(high),
    }  # fmt: skip


def scale(small: Any, large: Any) -> Any:
    """The simple noise scale in tokens, from mean squared lengths of gradients of both sizes.

    |G|² = (L |g_L|² - S |g_S|²) / (L - S)        tr Σ = (|g_S|² - |g_L|²) / (1/S - 1/L)

    It is infinite where the estimate of |G|² is not above zero.
    """
    length = (LARGE * large - SMALL * small) / (LARGE - SMALL)
    trace = (small - large) / (1 / SMALL - 1 / LARGE)
    return np.where(length > 0, trace / np.maximum(length, 1e-300), np.inf) * LENGTH


def noises(tokens: Artifact) -> list[dict[str, Any]]:
    """Train, and measure at the points; noise is measured on text that is not trained on."""
    shard, held = Shard.open(tokens, "train"), Shard.open(tokens, "validation")
    model = Transformer(from_depth(DEPTH, 1 + vocabulary(shard, held), LENGTH).config, seed=0)
    loader, fresh = Loader([shard], ROWS, LENGTH, seed=0), Loader([held], SMALL, LENGTH, seed=1)
    config, found = OptimConfig(warmup=0.0), []
    optimizer = Optimizer(model.named_parameters(), config)
    for start, end in zip((0, *POINTS), POINTS, strict=False):
        plan = LoopOptions(end, start, Precision(device.compute_dtype(device.default_device())))
        for _ in train(
            model,
            lambda step: [batch(loader, step)],
            causal_loss,
            optimizer,
            lambda step: 1.0,
            plan,
        ):
            pass
        found.append({"step": end} | noise(model, fresh, 0))
        print(json.dumps(found[-1]), flush=True)
    return found


def speeds(tokens: Artifact, rounds: int) -> dict[int, float]:
    """Tokens in a second of the processor by rows of a batch, medians of alternating rounds."""
    shard = Shard.open(tokens, "train")
    model = Transformer(from_depth(DEPTH, 1 + vocabulary(shard), LENGTH).config, seed=0)
    optimizer = Optimizer(model.named_parameters(), OptimConfig())
    precision = Precision(device.compute_dtype(device.default_device()))

    def once(rows: int) -> float:
        given = batch(Loader([shard], rows, LENGTH, seed=0), 0)
        plan, started = LoopOptions(1, precision=precision), time.process_time()
        for _ in train(
            model, lambda step: [given], causal_loss, optimizer, lambda step: 0.01, plan
        ):
            pass
        return rows * LENGTH / (time.process_time() - started)

    sides = {str(rows): lambda rows=rows: once(rows) for rows in SIZES}
    return {int(n): float(np.median(v)) for n, v in table.alternate(sides, rounds).items()}


def vocabulary(*shards: Shard) -> int:
    """The largest id."""
    return max(int(shard.ids.max()) for shard in shards)


def page(found: dict[str, Any], folder: Path) -> None:
    """Both charts."""
    sheet = HtmlPage("Batch size: noise and speed", "Small batches are noisy, and slow a token.")
    sizes = [rows * LENGTH for rows in SIZES]
    series = [
        Series(f"step {row['step']}", sizes, [row["tokens"] / size for size in sizes])
        for row in found["noise"]
    ]
    title = "Noise of the gradient: its variance over its squared length"
    told = "Both axes are logarithmic. Where a line is at 1, the batch is as large as the noise."
    sheet.section(
        title, told,
        line_chart(title, series, x_label="tokens of a batch", y_label="noise", logarithmic=True),
    )  # fmt: skip
    title, fast = "Speed: tokens in a second of one thread", found["speed"]
    curve = [Series("tokens a second", sizes, [fast[str(rows)] for rows in SIZES])]
    sheet.section(
        title, "A step's fixed cost is the optimizer's, shared by more tokens in a larger batch.",
        line_chart(
            title, curve, x_label="tokens of a batch", y_label="tokens a second", logarithmic=True
        ),
    )  # fmt: skip
    write_text(folder / "batch_size.html", sheet.render())


def markdown(found: dict[str, Any]) -> str:
    """The noise scale after each number of steps, and the speed of each batch."""
    lines = ["| steps of training | noise scale, tokens | 95 % |", "|---|---|---|"]
    lines += [f"| {row['step']} | {row['tokens']:,.0f} | {row['low']:,.0f} to {row['high']:,.0f} |"
              for row in found["noise"]]  # fmt: skip
    lines += ["", "| tokens of a batch | tokens in a second of one thread |", "|---|---|"]
    lines += [
        f"| {int(rows) * LENGTH:,} | {speed:,.0f} |" for rows, speed in found["speed"].items()
    ]
    return "\n".join(lines) + f"\n\n{found['machine']}.\n"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tokens-in", type=Path, default=ROOT / "runs" / "tiny" / "tokens")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--again", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if not given.again:
        tokens = Artifact.open(given.tokens_in, "tokens")
        found = {
            "noise": noises(tokens), "speed": speeds(tokens, given.rounds),
            "small": SMALL * LENGTH, "large": LARGE * LENGTH, "draws": DRAWS,
            "machine": table.machine_class(),
        }  # fmt: skip
        RESULTS.write_text(json.dumps({"rows": [], **found}, indent=1) + "\n")
    kept = json.loads(RESULTS.read_text("utf-8"))
    block = re.compile(r"(<!-- noise -->\n).*?(<!-- end of noise -->)", re.DOTALL)
    text = DOCS.read_text("utf-8")
    DOCS.write_text(block.sub(lambda old: old[1] + markdown(kept) + old[2], text), "utf-8")
    if given.page:
        page(kept, given.page)


if __name__ == "__main__":
    main()
