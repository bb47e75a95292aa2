"""The encoder: pre-trained on prose with hidden words, then tuned to tell opinions apart.

Pre-training reads the demo's prose (topics and docstrings of Python's library) and the rated texts
of the training split without their ratings. Tuning moves all weights, from three seeds: of the new
head, of the order of the texts.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from pydantic import Field

from groundup.core import Artifact, Config, device, digest, produce, record
from groundup.model import Head, HeadConfig, WithHead, load
from groundup.tokenizer import (
    DOCUMENT_END,
    FastTokenizer,
    Text,
    TokenizerConfig,
    TokensConfig,
    load_tokenizer,
    write_tokenizer,
    write_tokens,
)
from groundup.train import (
    Batch,
    OptimConfig,
    Optimizer,
    Plan,
    PretrainConfig,
    class_batch,
    classes,
    placed,
    schedule,
    train,
)

from ..library import manual
from .ratings import Rated, opinions, read_ratings

VOCABULARY = TokenizerConfig(vocab_size=4096, specials=("chat", "encoder"))
PRETRAINING = PretrainConfig(
    preset="modernbert-tiny", tokens=1_500_000, batch_tokens=1024, length=128,
    context_length=128, long_share=0.0,
)  # fmt: skip


class TokensOf(TokensConfig):
    """Which text is read."""

    splits: tuple[str, ...] = ("train", "validation")
    """Of the rated texts; the tests' are never read."""
    prose_digest: str = ""
    """Hash of the library's prose; filled in by the stage."""


class TuningConfig(Config):
    """How the encoder is tuned."""

    seeds: tuple[int, ...] = (0, 1, 2)
    """One classifier of each."""
    epochs: int = Field(default=3, ge=1)
    """How often each text is seen."""
    rows: int = Field(default=32, ge=1)
    """Texts of a step."""
    most: int = Field(default=128, ge=1)
    """Tokens of a text that are read."""
    optim: OptimConfig = OptimConfig(
        matrices="adamw", learning_rate=5e-4, weight_decay=0.1, warmup=0.1, decay=0.9
    )
    """Optimizer and schedule."""


def prose(ratings: Artifact, split: str) -> Iterator[Text]:
    """The text of a split: its own rated sentences, and of training the library's prose too."""
    if split == "train":
        yield from (Text(name, text) for name, text in manual())
    yield from (Text(row.id, row.text) for row in read_ratings(ratings, split))


def learn_tokenizer(config: TokenizerConfig, ratings: Artifact, out: Path) -> Artifact:
    """A vocabulary of all that is read."""
    texts = (text.text for text in prose(ratings, "train"))
    return produce(
        out, kind="tokenizer", stage="encoder_tokenizer", version=1, config=config,
        parents={"ratings": ratings}, write=lambda draft: write_tokenizer(draft, config, texts),
    )  # fmt: skip


def make_tokens(ratings: Artifact, tokenizer: Artifact, out: Path) -> Artifact:
    """What is read, as ids."""
    config = TokensOf(prose_digest=digest(list(manual())))
    known = load_tokenizer(tokenizer.path)
    assert isinstance(known, FastTokenizer), "the recipe's own vocabulary"
    splits = {split: prose(ratings, split) for split in config.splits}
    return produce(
        out, kind="tokens", stage="encoder_tokens", version=1, config=config,
        parents={"ratings": ratings, "tokenizer": tokenizer},
        write=lambda draft: write_tokens(draft, known, splits),
    )  # fmt: skip


def tune(config: TuningConfig, encoder: Artifact, ratings: Artifact, seed: int) -> WithHead:
    """A classifier from one seed."""
    body = load(encoder.path, dtype=torch.float32)
    head = Head(HeadConfig(labels=2, pooling="mean"), body.config.width)
    head.initialise(seed)
    place = device.pick()
    model = WithHead(body, head).to(place)
    texts = opinions(ratings, "train")
    ids, labels = encoded(encoder, texts, config.most), [int(row.rating > 0) for row in texts]
    runs = order(ids, config, seed)
    optimizer = Optimizer(model.named_parameters(), config.optim)

    def batches(step: int) -> list[Batch]:
        chosen = runs[step]
        return [placed(class_batch([ids[i] for i in chosen], [labels[i] for i in chosen]), place)]

    rate, plan = schedule(config.optim, len(runs)), Plan(len(runs), 0, device.compute_dtype(place))
    with record.progress(f"classifier {seed}", len(runs), "steps") as bar:
        for step in train(model, batches, classes, optimizer, rate, plan):
            bar.advance(1, loss=step.loss)
    return model.eval()


def encoded(encoder: Artifact, texts: Sequence[Rated], most: int) -> list[list[int]]:
    """Texts as ids, each with its end as in pre-training, long ones cut."""
    known = load_tokenizer(encoder.path)
    end = known.specials[DOCUMENT_END]
    return [[*known.encode(row.text)[: most - 1], end] for row in texts]


def order(ids: Sequence[list[int]], config: TuningConfig, seed: int) -> list[list[int]]:
    """Places of the texts of every step: shuffled in each epoch, like lengths together."""
    lengths, steps = np.array([len(row) for row in ids]), list[list[int]]()
    for epoch in range(config.epochs):
        draws = np.random.default_rng([seed, epoch])
        near = np.argsort(lengths + draws.uniform(0, 16, len(lengths)), kind="stable")
        runs = [near[i : i + config.rows].tolist() for i in range(0, len(near), config.rows)]
        steps += [runs[i] for i in draws.permutation(len(runs)).tolist()]
    return steps


@torch.no_grad()
def says(model: WithHead, ids: Sequence[list[int]], rows: int = 64) -> list[bool]:
    """Whether the classifier finds each text positive."""
    place = next(model.parameters()).device
    found = [False] * len(ids)
    near = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    for start in range(0, len(near), rows):
        chosen = near[start : start + rows]
        batch = placed(class_batch([ids[i] for i in chosen], [0] * len(chosen)), place)
        logits = model(batch.ids, documents=batch.documents)
        is_positive = (logits[:, 1] > logits[:, 0]).tolist()
        for where, answer in zip(chosen, is_positive, strict=True):
            found[where] = answer
    return found


def answers(
    config: TuningConfig, encoder: Artifact, ratings: Artifact, split: str
) -> dict[str, list[bool]]:
    """Tune from every seed; what each classifier says of a split's opinions."""
    ids = encoded(encoder, opinions(ratings, split), config.most)
    return {
        f"seed {seed}": says(tune(config, encoder, ratings, seed), ids) for seed in config.seeds
    }
