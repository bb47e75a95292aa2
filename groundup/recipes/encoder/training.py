"""The encoder: pre-trained on prose with hidden words, then tuned to tell opinions apart.

Pre-training reads prose and the rated texts of the training split without their ratings, from
vectors of its ids. Tuning moves all weights from three seeds (of the new head, the order of the
texts, the words hidden) and learns from the mean rating r of every text, neutral ones too:

    loss = -p ln σ(z) - (1 - p) ln σ(-z)     p = σ(sharpness · r),  z the encoder's number
    positive if z > 0

So a text that people were of two minds about says so. Words are hidden by chance: no single one is
relied on. What answers is the running mean of the weights, as it was after the epoch that is right
most often on the validation texts, on which the bag of words chooses its penalty.
"""

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from groundup.core import Artifact, Config, device, produce, record
from groundup.kernels import LossSum
from groundup.model import Head, HeadConfig, ModelWithHead, load
from groundup.tokenizer import (
    DOCUMENT_END,
    MASK,
    DocumentText,
    FastTokenizer,
    TokenizerConfig,
    TokensConfig,
    load_tokenizer,
    write_tokenizer,
    write_tokens,
)
from groundup.train import (
    LoopOptions,
    MicroBatch,
    OptimConfig,
    Optimizer,
    Precision,
    PretrainConfig,
    WeightAverage,
    batch_to_device,
    class_batch,
    make_lr_schedule,
    train,
)

from .prose import markdown_to_text, read_lines
from .ratings import Rated, opinions, read_review_ratings

VOCABULARY = TokenizerConfig(vocab_size=16384, pattern="gpt-2", specials=("chat", "encoder"))
# Gentle rates: what the vectors know is kept. At the defaults, meant for a beginning by chance, the
# embedding moves four times its own size in a step, and the classifiers were no better than the
# words on validation (docs/log/2026-11.md).
PRETRAINING = PretrainConfig(
    preset="modernbert-tiny", layers=2, tokens=400_000, batch_tokens=1024, length=128,
    context_length=128, long_share=0.0,
    optim=OptimConfig(
        learning_rate=3e-4, muon_learning_rate=0.001, embedding_learning_rate=1e-4
    ),
)  # fmt: skip
REPEATS, EVERY = 5, 4
"""The vocabulary is of the rated texts so many times, and of one in so many others."""


class TokensOf(TokensConfig):
    """Which text is read."""

    splits: tuple[str, ...] = ("train", "validation")
    """Of the rated texts; the tests' are never read."""


class TuningConfig(Config):
    """How the encoder is tuned."""

    seeds: tuple[int, ...] = (0, 1, 2)
    """One classifier of each."""
    epochs: int = Field(default=3, ge=1)
    """How often each text is seen at most."""
    sharpness: float = Field(default=1.5, gt=0)
    """How sure a rating is: p(positive) = sigmoid(sharpness * rating)."""
    hidden: float = Field(default=0.2, ge=0, lt=1)
    """Share of the tokens that are hidden, drawn anew each time."""
    average: float = Field(default=0.99, ge=0, lt=1)
    """What stays of the mean of the weights at each step; 0: the weights themselves are kept."""
    rows: int = Field(default=32, ge=1)
    """Texts of a step."""
    most: int = Field(default=128, ge=1)
    """Tokens of a text that are read."""
    optim: OptimConfig = OptimConfig(
        matrix_optimizer="adamw",
        learning_rate=1e-3,
        embedding_learning_rate=1e-3,
        weight_decay=0.1,
        warmup=0.1,
        decay=0.9,
    )
    """Optimizer and schedule."""


def prose(reading: Artifact, ratings: Artifact, split: str) -> Iterator[DocumentText]:
    """The text of a split: its own rated sentences, and of training all that is read too."""
    if split == "train":
        yield from (
            DocumentText(f"reading/{n}", line) for n, line in enumerate(read_lines(reading))
        )
    yield from (
        DocumentText(row.id, markdown_to_text(row.text))
        for row in read_review_ratings(ratings, split)
    )


def learn_review_tokenizer(
    config: TokenizerConfig, reading: Artifact, ratings: Artifact, out: Path
) -> Artifact:
    """A vocabulary of what is read, in which the words of rated texts are whole."""
    rated = [markdown_to_text(row.text) for row in read_review_ratings(ratings, "train")]
    texts = chain(*[rated] * REPEATS, islice(read_lines(reading), 0, None, EVERY))
    return produce(
        out, kind="tokenizer", stage="encoder_tokenizer", version=2, config=config,
        parents={"reading": reading, "ratings": ratings},
        write=lambda draft: write_tokenizer(draft, config, texts),
    )  # fmt: skip


def make_tokens(reading: Artifact, ratings: Artifact, tokenizer: Artifact, out: Path) -> Artifact:
    """What is read, as ids."""
    config = TokensOf()
    known = load_tokenizer(tokenizer.path)
    assert isinstance(known, FastTokenizer), "the recipe's own vocabulary"
    splits = {split: prose(reading, ratings, split) for split in config.splits}
    return produce(
        out, kind="tokens", stage="encoder_tokens", version=2, config=config,
        parents={"reading": reading, "ratings": ratings, "tokenizer": tokenizer},
        write=lambda draft: write_tokens(draft, known, splits),
    )  # fmt: skip


def _tune(config: TuningConfig, encoder: Artifact, ratings: Artifact, seed: int) -> ModelWithHead:
    """A classifier from one seed, as it was after its best epoch."""
    body = load(encoder.path, dtype=torch.float32)
    head = Head(HeadConfig(kind="number", pooling="mean"), body.config.width)
    head.initialise(seed)
    place = device.default_device()
    model = ModelWithHead(body, head).to(place)
    mask = load_tokenizer(encoder.path).specials[MASK]
    texts, held = read_review_ratings(ratings, "train"), opinions(ratings, "validation")
    ids, asked = (encode_ratings(encoder, rows, config.most) for rows in (texts, held))
    runs = order(ids, config, seed)
    optimizer = Optimizer(model.named_parameters(), config.optim)

    def batches(step: int) -> list[MicroBatch]:
        rows = [ids[i] for i in runs[step]]
        shares = torch.tensor([texts[i].rating for i in runs[step]]).mul(config.sharpness).sigmoid()
        return [
            batch_to_device(hidden(rated(rows, shares), config.hidden, mask, (seed, step)), place)
        ]

    rate = make_lr_schedule(config.optim, len(runs))
    plan = LoopOptions(len(runs), precision=Precision(device.compute_dtype(place)))
    mean = WeightAverage(model.named_parameters(), config.average, is_corrected=False)
    best, kept = -1, dict[str, Tensor]()
    with record.progress(f"classifier {seed}", len(runs), "steps") as bar:
        for step in train(model, batches, opinion, optimizer, rate, plan):
            bar.advance(1, loss=step.loss)
            mean.update()
            if (step.number + 1) % (len(runs) // config.epochs) == 0:
                with mean.swapped_in(model):
                    found = says(model.eval(), asked)
                    right = sum(a == (row.rating > 0) for a, row in zip(found, held, strict=True))
                    if right > best:
                        best, kept = right, {n: t.clone() for n, t in model.state_dict().items()}
                model.train()
    model.load_state_dict(kept)
    return model.eval()


def rated(rows: Sequence[list[int]], shares: Float[Tensor, " B"]) -> MicroBatch:
    """Texts with the probability that each is positive."""
    return class_batch(rows, [0] * len(rows))._replace(labels=shares)


def hidden(batch: MicroBatch, share: float, mask: int, draw: tuple[int, int]) -> MicroBatch:
    """The batch with a share of its tokens hidden, as chance draws them."""
    assert batch.documents is not None, "texts are padded"
    chance = torch.from_numpy(np.random.default_rng(draw).random(tuple(batch.ids.shape)))
    is_hidden = (chance < share) & (batch.documents >= 0)
    return batch._replace(ids=batch.ids.masked_fill(is_hidden, mask))


def opinion(model: ModelWithHead, batch: MicroBatch) -> LossSum:
    """Cross-entropy of each row's probability, in nats."""
    assert batch.labels is not None and batch.label_weights is not None, "texts are rated"
    number = model(batch.ids, documents=batch.documents).float()  # (B,)
    nats = F.binary_cross_entropy_with_logits(number, batch.labels, reduction="none")
    return LossSum(nats.sum(), batch.label_weights.sum())


def encode_ratings(encoder: Artifact, texts: Sequence[Rated], most: int) -> list[list[int]]:
    """Texts as ids, each with its end as in pre-training, long ones cut."""
    known = load_tokenizer(encoder.path)
    end = known.specials[DOCUMENT_END]
    return [[*known.encode(markdown_to_text(row.text))[: most - 1], end] for row in texts]


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
def says(model: ModelWithHead, ids: Sequence[list[int]], rows: int = 64) -> list[bool]:
    """Whether the classifier finds each text positive."""
    place = next(model.parameters()).device
    found = [False] * len(ids)
    near = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    for start in range(0, len(near), rows):
        chosen = near[start : start + rows]
        batch = batch_to_device(class_batch([ids[i] for i in chosen], [0] * len(chosen)), place)
        is_positive = (model(batch.ids, documents=batch.documents) > 0).tolist()
        for where, answer in zip(chosen, is_positive, strict=True):
            found[where] = answer
    return found


def answers(
    config: TuningConfig, encoder: Artifact, ratings: Artifact, split: str
) -> dict[str, list[bool]]:
    """Tune from every seed; what each classifier says of a split's opinions."""
    ids = encode_ratings(encoder, opinions(ratings, split), config.most)
    return {
        f"seed {seed}": says(_tune(config, encoder, ratings, seed), ids) for seed in config.seeds
    }
