"""Words, characters, bytes and subwords as units: one corpus, one body of a model, what differs?

    python benchmarks/units.py --corpus runs/tiny/corpus [--megabytes 4] [--depth 3]

Every tokenizer reads the same training text once and trains the same body by the same recipe; only
the vocabulary's embedding differs in size. Bits per byte are of the whole test split; what a
vocabulary lacks is spelt in bytes and paid for. Results: benchmarks/results/units.json, and the
table of docs/tokenizer.md, which a test compares.
"""

import argparse
import json
import re
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from _unit_tokenizers import UnitTokenizer, measure_segmentation, train_units

from groundup.core import Artifact, Tokenizer, device
from groundup.corpus import read_split
from groundup.evaluate import bits_per_byte, score_documents
from groundup.model import Transformer, from_depth
from groundup.tokenizer import (
    DOCUMENT_END,
    FastTokenizer,
    Loader,
    Shard,
    train_bpe,
)
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

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "units.json"
PAGE = ROOT / "docs" / "tokenizer.md"
BLOCK = re.compile(r"(<!-- units -->\n).*?(<!-- end of units -->)", re.DOTALL)
HEAD = "| unit | ids | bytes a token | unknown units | training tokens | weights | bits per byte |"
LENGTH, ROWS = 256, 8
Named = tuple[str, str]
"""A document's name and text."""


def main() -> None:
    """Measure every unit and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, default=ROOT / "runs" / "tiny" / "corpus")
    parser.add_argument("--megabytes", type=float, default=4.0)
    parser.add_argument("--depth", type=int, default=3)
    given = parser.parse_args()
    device.set_num_threads()
    corpus = Artifact.open(given.corpus)
    learned = list(up_to(named(corpus, "train"), given.megabytes * 1e6))
    held_out = list(named(corpus, "test"))
    rows = []
    for name, tokenizer in tokenizers([text for _, text in learned]):
        row = {"unit": name} | measured(tokenizer, learned, held_out, given.depth)
        print(json.dumps(row), flush=True)
        rows.append(row)
    setting = {"megabytes": given.megabytes, "depth": given.depth, "length": LENGTH, "seed": 0}
    PAGE.write_text(with_units(PAGE.read_text("utf-8"), rows), "utf-8")
    RESULTS.write_text(json.dumps({"rows": [], "setting": setting, "units": rows}, indent=1) + "\n")


def with_units(page: str, rows: list[dict[str, Any]]) -> str:
    """The page with its table of units renewed."""
    lines = [HEAD, "|---|---|---|---|---|---|---|"]
    for row in rows:
        bits = row["bits_per_byte"]
        cells = (
            row["unit"], f"{row['vocab_size']:,}", f"{row['bytes_per_token']:.2f}",
            f"{row['unknown_share']:.1%}", f"{row['training_tokens']:,}",
            f"{row['parameters'] / 1e6:.2f}M",
            f"{bits['estimate']:.2f} [{bits['low']:.2f}, {bits['high']:.2f}]",
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    table = "\n".join(lines) + "\n"
    return BLOCK.sub(lambda old: old[1] + table + old[2], page)


def named(corpus: Artifact, split: str) -> Iterator[Named]:
    """Yield (name, text) of a split."""
    for document in read_split(corpus, split):
        yield document.path, document.text


def up_to(documents: Iterator[Named], size: float) -> Iterator[Named]:
    """Yield documents until their bytes reach `size`."""
    read = 0
    for name, text in documents:
        if read >= size:
            return
        read += len(text.encode())
        yield name, text


def tokenizers(texts: Sequence[str]) -> Iterator[tuple[str, Tokenizer]]:
    """Yield each unit's tokenizer, learned from the texts."""
    yield "bytes", UnitTokenizer("characters", [])
    yield "characters", train_units(texts, "characters", 4096)
    for size in (1024, 4096, 16384):
        yield f"subwords, {size:,}", FastTokenizer(train_bpe(texts, vocab_size=size - 3))
    for size in (4096, 16384):
        yield f"words, {size:,}", train_units(texts, "words", size)


def measured(
    tokenizer: Tokenizer, learned: list[Named], held_out: list[Named], depth: int
) -> dict[str, Any]:
    """Train on what was learned, score what was held out."""
    found = measure_segmentation(tokenizer, (text for _, text in held_out))
    training, test = shard(tokenizer, learned), shard(tokenizer, held_out)
    config = from_depth(depth, tokenizer.vocab_size, context_length=LENGTH).config
    model = Transformer(config, seed=0)
    started = time.perf_counter()
    steps = fit(model, training)
    seconds = time.perf_counter() - started
    documents = (
        (name, test.document_ids(i), int(test.bytes[i])) for i, name in enumerate(test.names)
    )
    bos = tokenizer.specials[DOCUMENT_END]
    scores = score_documents(model, documents, bos=bos, window=LENGTH)
    return {
        "vocab_size": found.vocab_size,
        "bytes_per_token": found.bytes_per_token,
        "unknown_share": found.unknown_share,
        "training_tokens": len(training),
        "steps": steps,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "seconds": round(seconds, 1),
        "bits_per_byte": bits_per_byte(scores)._asdict(),
    }


def shard(tokenizer: Tokenizer, documents: list[Named]) -> Shard:
    """Documents as one row of ids."""
    rows = ((name, tokenizer.encode(text), len(text.encode())) for name, text in documents if text)
    return Shard.from_documents("text", rows, end=tokenizer.specials[DOCUMENT_END])


def fit(model: Transformer, training: Shard) -> int:
    """One epoch; returns the number of optimizer steps."""
    loader, steps = Loader([training], ROWS, LENGTH, seed=0), len(training) // (ROWS * LENGTH)
    optim = OptimConfig()
    optimizer = Optimizer(model.named_parameters(), optim)
    model.compile_blocks()

    def batches(step: int) -> list[MicroBatch]:
        read = loader.batch(step)
        ids = torch.from_numpy(read.ids)
        weights, documents = torch.from_numpy(read.weights), torch.from_numpy(read.documents)
        return [MicroBatch(ids[:, :-1], ids[:, 1:], weights, documents)]

    plan = LoopOptions(steps, precision=Precision(device.compute_dtype(device.default_device())))
    for _ in islice(
        train(model, batches, causal_loss, optimizer, make_lr_schedule(optim, steps), plan), steps
    ):
        pass
    return steps


if __name__ == "__main__":
    main()
