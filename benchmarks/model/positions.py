"""What each kind of position does past the length that it was trained at.

    python -m benchmarks.model.positions [--tokens-in runs/tiny/tokens] \
        [--steps 900] [--page FOLDER]

One small decoder a kind, same seed, same order of text, trained on rows of 128 tokens; then whole
documents of at least 1,024 tokens are read, and the loss is told by how far from the start a token
stands. Rotary scalings (factor 8) are applied to the rotary model afterwards, without training.
Results: results/positions.json and the table of docs/reference/kernels/attention.md.
"""

import argparse
import json
import re
import time
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from benchmarks import table
from groundup.core import Artifact, device, write_text
from groundup.core.page import HtmlPage, Series, line_chart
from groundup.model import (
    AttentionConfig,
    FeedForwardConfig,
    ModelConfig,
    PositionConfig,
    RopeScaling,
    Transformer,
)
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

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks/results/positions.json"
PAGE = ROOT / "docs/reference/kernels/attention.md"
BLOCK = re.compile(r"(<!-- positions -->\n).*?(<!-- end of positions -->)", re.DOTALL)
TRAINED, READ, ROWS = 128, 1024, 16
EDGES = (0, 64, 128, 256, 512, 1024)
"""Tokens from a document's start: where one column of the table ends and the next begins."""
KINDS = ("rope", "learned", "sinusoidal", "alibi", "buckets", "transformer_xl", "none")
STRETCH = READ / TRAINED
SCALINGS = {
    "rope, linear": RopeScaling(kind="linear", factor=STRETCH),
    "rope, NTK": RopeScaling(kind="ntk", factor=STRETCH),
    "rope, YaRN": RopeScaling(kind="yarn", factor=STRETCH, original_length=TRAINED, high=32.0),
    "rope, Llama 3": RopeScaling(kind="llama3", factor=STRETCH, original_length=TRAINED),
}


def config(kind: str, vocab_size: int, scaling: RopeScaling | None = None) -> ModelConfig:
    """A small decoder whose order enters in one way or another."""
    position = PositionConfig(kind=kind, scaling=scaling or RopeScaling())  # type: ignore[arg-type]
    return ModelConfig(
        vocab_size=vocab_size, width=192, layers=4, context_length=READ, position=position,
        attention=AttentionConfig(heads=4, kv_heads=4, head_dim=48),
        feedforward=FeedForwardConfig(width=512), tied_embeddings=False,
    )  # fmt: skip


def fit(model: Transformer, training: Shard, steps: int) -> float:
    """Train on rows of 128 tokens; returns the seconds that it took."""
    loader, optim = Loader([training], ROWS, TRAINED, seed=0), OptimConfig()
    optimizer = Optimizer(model.named_parameters(), optim)

    def batches(step: int) -> list[MicroBatch]:
        read = loader.batch(step)
        ids = torch.from_numpy(read.ids)
        weights, documents = torch.from_numpy(read.weights), torch.from_numpy(read.documents)
        return [MicroBatch(ids[:, :-1], ids[:, 1:], weights, documents)]

    plan = LoopOptions(steps, precision=Precision(device.compute_dtype(device.default_device())))
    started = time.perf_counter()
    for _ in islice(
        train(model, batches, causal_loss, optimizer, make_lr_schedule(optim, steps), plan), steps
    ):
        pass
    return time.perf_counter() - started


@torch.inference_mode()
def losses(model: Transformer, documents: list[torch.Tensor]) -> torch.Tensor:
    """Mean nats of each place over the documents (READ - 1,)."""
    total = torch.zeros(READ - 1, dtype=torch.float64)
    for ids in documents:
        logits = model.logits(ids[None, :-1]).float()[0]
        total += F.cross_entropy(logits, ids[1:], reduction="none").double()
    return total / len(documents)


def long_documents(shard: Shard, most: int) -> list[torch.Tensor]:
    """The first READ tokens of documents that have so many."""
    found = (
        torch.tensor(shard.document_ids(i)[:READ].astype("int64")) for i in range(len(shard.names))
    )
    return list(islice((ids for ids in found if len(ids) == READ), most))


def by_distance(nats: torch.Tensor) -> list[float]:
    """Means between the edges, bits a token."""
    places = torch.arange(1, READ)
    return [
        float(nats[(places >= low) & (places < high)].mean()) / torch.log(torch.tensor(2.0)).item()
        for low, high in zip(EDGES, EDGES[1:], strict=False)
    ]


def measure(tokens: Artifact, steps: int, most: int) -> list[dict[str, Any]]:
    """Train and read every kind."""
    training, test = Shard.open(tokens, "train"), Shard.open(tokens, "test")
    documents = long_documents(test, most)
    vocab_size = 1 + max(int(shard.ids.max()) for shard in (training, test))
    rows = []
    for kind in KINDS:
        model = Transformer(config(kind, vocab_size), seed=0)
        seconds = fit(model, training, steps)
        named = {kind: model.eval()}
        if kind == "rope":
            for name, scaling in SCALINGS.items():
                named[name] = Transformer(config(kind, vocab_size, scaling), seed=None).eval()
                named[name].load_state_dict(model.state_dict())
        for name, each in named.items():
            nats = losses(each, documents)
            row = {"kind": name, "bits": by_distance(nats), "seconds": round(seconds)}
            print(json.dumps(row), flush=True)
            rows.append(row | {"curve": smooth(nats)})
    return rows


def smooth(nats: torch.Tensor, span: int = 32) -> list[float]:
    """Bits a token in spans of 32 places, for the picture."""
    whole = nats[: len(nats) // span * span].view(-1, span).mean(1)
    return [round(float(bits), 4) for bits in whole / torch.log(torch.tensor(2.0))]


def markdown(rows: list[dict[str, Any]]) -> str:
    """Bits a token by distance from the start, a row a kind."""
    columns = [f"{low} to {high - 1}" for low, high in zip(EDGES, EDGES[1:], strict=False)]
    lines = [f"| positions | {' | '.join(columns)} |", "|" + "---|" * (1 + len(columns))]
    for row in rows:
        lines.append(f"| {row['kind']} | {' | '.join(f'{bits:.2f}' for bits in row['bits'])} |")
    return "\n".join(lines) + "\n"


def picture(rows: list[dict[str, Any]], folder: Path) -> None:
    """The curves as a page."""
    sheet = HtmlPage("Past the trained length", f"Trained on {TRAINED} tokens, read at {READ:,}.")
    for title, chosen in (
        ("Kinds of positions", [row for row in rows if "," not in row["kind"]]),
        ("Rotary angles stretched", [row for row in rows if row["kind"].startswith("rope")]),
    ):
        series = [
            Series(row["kind"], [32 * i for i in range(len(row["curve"]))], row["curve"])
            for row in chosen
        ]
        chart = line_chart(title, series, x_label="tokens from the start", y_label="bits a token")
        sheet.section(
            title, "Lower is better; a line that turns up has not seen such places.", chart
        )
    write_text(folder / "positions.html", sheet.render())


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tokens-in", type=Path, default=ROOT / "runs" / "tiny" / "tokens")
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--documents", type=int, default=60)
    parser.add_argument("--page", type=Path)
    given = parser.parse_args()
    device.set_num_threads()
    rows = measure(Artifact.open(given.tokens_in, "tokens"), given.steps, given.documents)
    setting = {"steps": given.steps, "rows": ROWS, "trained": TRAINED, "read": READ}
    setting |= {"documents": given.documents, "machine": table.machine_class()}
    RESULTS.write_text(json.dumps({"rows": [], "setting": setting, "kinds": rows}, indent=1) + "\n")
    text = PAGE.read_text("utf-8")
    PAGE.write_text(BLOCK.sub(lambda old: old[1] + markdown(rows) + old[2], text), "utf-8")
    if given.page:
        picture(rows, given.page)


if __name__ == "__main__":
    main()
