"""Does every architecture learn? Each `-tiny` preset trained for minutes, held against counting.

    python -m benchmarks.train.learning [--out runs/learning] [--only bert-tiny t5-tiny]

Text: the library that every Python carries, split by file as in the demo. A model passes if its
nats a target on held-out text are fewer than those of a model that only counts, fitted to the whole
training split by the same objective and scored on the same targets:

    decoders            a bigram: the token before tells the next
    encoders            a unigram of the hidden tokens
    encoder–decoders    a bigram of what is written, sentinels and all
    prefix              a bigram of what follows the prefix

The bigram is Witten and Bell's: p(w|v) = (c(v,w) + T(v) p(w)) / (c(v) + T(v)), T(v) being how many
kinds of token follow v and p the unigram, p(w) = (c(w) + 1/2) / (N + V/2). The rule stands before
the run; a model that fails stays in the table. Results: benchmarks/results/train_learning.json.
Source: Witten and Bell 1991, IEEE Transactions on Information Theory 37(4).
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from groundup.core import Artifact, device, write_json
from groundup.model import load, preset, presets
from groundup.recipes.library import library_corpus
from groundup.recipes.tiny import CORPUS
from groundup.tokenizer import (
    Loader,
    Shard,
    TokenizerConfig,
    TokensConfig,
    load_tokenizer,
    train_tokenizer,
)
from groundup.tokenizer import encode_corpus as make_tokens
from groundup.train import (
    MicroBatch,
    NoiseConfig,
    Objective,
    ObjectiveContext,
    PretrainConfig,
    get_objective,
    masked_loss,
    pretrain,
    split_batch,
    token_properties_of,
)

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "train_learning.json"
VOCABULARY = TokenizerConfig(vocab_size=1024, specials=("chat", "encoder", "sentinels", "middle"))
LENGTH, BATCH_TOKENS, STEPS = 128, 1024, 600
FEW_TARGETS, MORE = ("corruption",), 2
"""Objectives that ask for a fifth of the tokens, and how many times the steps they get."""
HELD_OUT_ROWS = 256
COUNTED_ROWS = 512
"""Rows of a batch while counting."""
ALSO = (("llama-tiny", "prefix"), ("llama-tiny", "middle"), ("bert-tiny", "next_sentence"))
"""Objectives that are no preset's own."""


class Text(NamedTuple):
    """What all runs share."""

    tokenizer: Artifact
    tokens: Artifact


class Counts(NamedTuple):
    """How often each token is a target, and after which one."""

    single: np.ndarray
    """(V,)"""
    after: np.ndarray
    """(V, V)  [before, target]"""


class Goal(NamedTuple):
    """What a model is held against: the same for all that have an objective."""

    held_out: MicroBatch
    threshold: float
    """Nats a target."""
    counted: str
    """What counting knows: `unigram` or `bigram`."""


def main() -> None:
    """Train what is asked for and write a row of each as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "learning")
    parser.add_argument("--only", nargs="*", default=None, help="names of presets")
    given = parser.parse_args()
    device.set_num_threads()
    text, goals = prepared(given.out), dict[str, Goal]()
    for name, wanted in pairs():
        if given.only is not None and name not in given.only:
            continue
        if wanted not in goals:
            goals[wanted] = goal(wanted, text)
        row = learned(name, wanted, goals[wanted], text, given.out / "models")
        print(json.dumps(row), flush=True)
        kept(row)


def pairs() -> list[tuple[str, str]]:
    """Every tiny preset with its own objective, and the objectives that are no preset's own."""
    tiny = [each for each in presets().values() if each.name.endswith("-tiny")]
    return [*((each.name, each.objective) for each in tiny), *ALSO]


def kept(row: dict[str, Any]) -> None:
    """Put a row among the results, in place of an older one of its kind."""
    rows = json.loads(RESULTS.read_text("utf-8"))["presets"] if RESULTS.is_file() else []
    found = {(each["preset"], each["objective"]): each for each in [*rows, row]}
    rows = [found[key] for key in pairs() if key in found]
    setting = {"text": "Python's library", "vocab_size": VOCABULARY.vocab_size, "length": LENGTH}
    write_json(RESULTS, {"rows": [], "setting": setting, "presets": rows})


def prepared(out: Path) -> Text:
    """Corpus, tokenizer and tokens; what is complete is kept."""
    corpus = library_corpus(CORPUS, out / "corpus")
    words = train_tokenizer(VOCABULARY, corpus, out / "tokenizer")
    return Text(words, make_tokens(TokensConfig(), corpus, words, out / "tokens"))


def goal(wanted: str, text: Text) -> Goal:
    """Count the training split and score what is held out."""
    task, words = get_objective(wanted), load_tokenizer(text.tokenizer.path)
    setting = ObjectiveContext(token_properties_of(words), NoiseConfig(), words, seed=0)
    held_out = next(batches(task, setting, Shard.open(text.tokens, "validation"), HELD_OUT_ROWS))
    counts = counted(batches(task, setting, Shard.open(text.tokens, "train"), COUNTED_ROWS))
    kind = "unigram" if task.kind == "encoder" else "bigram"
    return Goal(held_out, entropy(counts, held_out, kind), kind)


def learned(name: str, wanted: str, goal: Goal, text: Text, out: Path) -> dict[str, Any]:
    """Train a preset and compare it with counting."""
    config = training(name, wanted)
    base = pretrain(config, text.tokens, text.tokenizer, out / f"{name} {wanted}")
    reached = nats(base.path, get_objective(wanted), goal.held_out)
    return {
        "preset": name, "objective": wanted, "kind": preset(name).config.kind,
        "counted": goal.counted, "threshold": round(goal.threshold, 3),
        "reached": round(reached, 3), "passed": reached < goal.threshold,
        "tokens": config.tokens, "parameters": base.numbers["parameters"],
        "seconds": round(base.seconds),
    }  # fmt: skip


def training(name: str, wanted: str) -> PretrainConfig:
    """Minutes on two cores."""
    steps = STEPS * (MORE if wanted in FEW_TARGETS else 1)
    return PretrainConfig(
        preset=name, tokens=steps * BATCH_TOKENS, batch_tokens=BATCH_TOKENS, length=LENGTH,
        context_length=LENGTH, long_share=0.0, objective=get_objective(wanted).name,
    )  # fmt: skip


def batches(
    task: Objective, setting: ObjectiveContext, shard: Shard, rows: int
) -> Iterator[MicroBatch]:
    """Yield a split once, as the objective sees it."""
    loader = Loader([shard], rows, LENGTH, seed=0)
    windows = -(-len(shard) // LENGTH)
    for step in range(max(1, windows // rows)):
        yield task.batch(setting, loader.batch(step), step)


@torch.no_grad()
def nats(path: Path, task: Objective, batch: MicroBatch) -> float:
    """Mean nats a target of a trained model; of two losses, that of the tokens."""
    model = load(path, dtype=torch.float32)
    loss = masked_loss if task.head is not None else task.loss
    parts = [loss(model, part) for part in split_batch(batch, 16)]
    return sum(float(part.total) for part in parts) / sum(float(part.weight) for part in parts)


def counted(made: Iterator[MicroBatch]) -> Counts:
    """Count targets, alone and after what stands before them."""
    size = VOCABULARY.vocab_size
    flat = np.zeros(size * size, dtype=np.int64)
    for batch in made:
        chosen = batch.weights > 0
        keys = (batch.ids[chosen] * size + batch.targets[chosen]).numpy()
        flat += np.bincount(keys, minlength=size * size)
    after = flat.reshape(size, size)
    return Counts(after.sum(0), after)


def entropy(counts: Counts, batch: MicroBatch, kind: str) -> float:
    """Mean nats that counting needs for a batch's targets.

    >>> batch = Batch(torch.tensor([[0]]), torch.tensor([[1]]), torch.ones(1, 1), None)
    >>> float(np.exp(-entropy(Counts(np.array([1, 1]), np.eye(2)), batch, "unigram")))
    0.5
    """
    chosen = batch.weights > 0
    before, targets = batch.ids[chosen].numpy(), batch.targets[chosen].numpy()
    single = (counts.single + 0.5) / (counts.single.sum() + 0.5 * len(counts.single))
    found = single[targets]
    if kind == "bigram":
        kinds, total = (counts.after > 0).sum(1)[before], counts.after.sum(1)[before]
        seen = (counts.after[before, targets] + kinds * found) / np.maximum(total + kinds, 1)
        found = np.where(total > 0, seen, found)
    return float(-np.log(found).mean())


if __name__ == "__main__":
    main()
