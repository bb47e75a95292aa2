"""Trains an extractive reader: an encoder, questions with and without answers, one loss.

The result is a directory of Transformers' question answering with its tokenizer. On the held-out
articles and documents are measured how often the best words overlap the answer, and how well the
score tells passages that answer from those that do not (AUROC).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field

from groundup.core import Artifact, ConfigError, DataError, Draft, device, record
from groundup.corpus import read_split, split_paths
from groundup.documents import ReadConfig, Record, read_folder
from groundup.measure import auroc
from groundup.model import Head, ModelConfig, ModelWithHead, Transformer, load, save_with_head
from groundup.tokenizer import ImportedTokenizer, load_tokenizer
from groundup.train import (
    RunIdentity,
    TrainingData,
    TrainingTask,
)

from ..encoders.fine_tuning import (
    IMPORTED_OPTIM,
    FineTuningConfig,
    produce_from_base,
    train_head,
)
from ..models import model_folder
from .examples import Article, Example, made_articles, read_articles, reader_examples
from .facts import FactMaker
from .spans import MAX_TOKENS, SPAN_HEAD, STRIDE, EncodedPair, SpanLoss, SpanReader

OPTIM = IMPORTED_OPTIM.model_copy(update={"learning_rate": 1e-4, "embedding_learning_rate": 1e-4})
VALIDATION_EXAMPLES, BUCKET = 512, 50
"""Examples whose loss is followed, and batches among which examples are sorted by length."""


class SpanReaderConfig(FineTuningConfig):
    """How to train an extractive reader."""

    questions: tuple[str, ...] = ()
    """Files of questions in SQuAD's format; documents alone make few."""
    facts: int = Field(default=8_000, ge=0)
    """Examples of made facts (facts.py), in English, in each epoch."""
    held_out: float = Field(default=0.1, gt=0, lt=1)
    """Share of the articles and documents to measure on."""
    epochs: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Number of passes over the examples."""
    batch_pairs: int = Field(default=32, ge=1)
    """Questions with a passage per optimizer step."""
    read: ReadConfig = ReadConfig()
    """Which files of a folder are read."""


def train_reader(
    config: SpanReaderConfig, source: Path, base: Path, out: Path, *,
    questions: list[Path] | None = None,
) -> Artifact:  # fmt: skip
    """Train an extractive reader on questions of files and of documents; a stopped run resumes.

    source     folder of documents, or a corpus, whose test documents are never read
    base       an encoder: BERT or RoBERTa, also a directory of Sentence Transformers
    out        directory of the reader
    questions  a file of questions in SQuAD's format; may be given again

    Raises DataError if there are too few questions, ConfigError if the base is no encoder.
    """
    if questions:
        config = config.model_copy(update={"questions": tuple(map(str, questions))})
    files = [Path(path) for path in config.questions]
    if missing := next((path for path in files if not path.is_file()), None):
        raise DataError(f"There is no file of questions {missing}.")
    return produce_from_base(
        config, Path(source), Path(base), out, stage="reader", objective="spans",
        read=config.read, write=_train_and_save, files=files, imported=OPTIM,
    )  # fmt: skip


def _train_and_save(
    config: SpanReaderConfig, source: Path, base: Path, identity: RunIdentity, draft: Draft
) -> None:
    train, held_out = split_articles(config, source, identity.parents.get("corpus"))
    reader = new_reader(base, config.seed)
    body = reader.model.model
    assert isinstance(body, Transformer)
    examples = reader_examples(held_out, config.seed)
    made = FactMaker(config.seed).examples(config.facts)
    data = _training_data(config, reader_examples(train, config.seed) + made, examples, reader)
    loss = SpanLoss(reader.has_types)
    task = TrainingTask(body, reader.model, loss, data, "reader", is_compiled=False)
    train_head(config, draft, reader.model, task, identity)
    save_with_head(reader.model, draft.path, model_folder(base))
    scores = reader_scores(reader, examples)
    draft.numbers |= {"articles": len(train), "held_out": scores}
    record.log(", ".join(f"{name} {value:.3f}" for name, value in scores.items()))


def split_articles(
    config: SpanReaderConfig, source: Path, corpus: Artifact | None
) -> tuple[list[Article], list[Article]]:
    """Articles to train on, and to measure on; DataError if either has no question."""
    if corpus is not None:
        documents = [
            each for split in ("train", "validation") for each in read_split(corpus, split)
        ]
    else:
        documents = [each for each in read_folder(source, config.read) if isinstance(each, Record)]
    articles = [each for path in config.questions for each in read_articles(Path(path))]
    articles += made_articles(documents)
    names = [f"{number} {article.title}" for number, article in enumerate(articles)]
    splits = split_paths(names, config.held_out, 0.0, config.seed)
    sides = [
        [article for name, article in zip(names, articles, strict=True)
         if (splits[name] == "train") == is_train]
        for is_train in (True, False)
    ]  # fmt: skip
    if not all(any(article.questions for article in side) for side in sides):
        raise DataError(
            f"{len(articles)} articles and documents have questions, too few to train on some and "
            "measure on others; give files of questions: --questions squad.json"
        )
    return sides[0], sides[1]


def new_reader(base: Path, seed: int) -> SpanReader:
    """A reader on an encoder, before training; ConfigError unless it is an encoder."""
    folder = model_folder(base)
    model, tokenizer = load(folder, torch.float32), load_tokenizer(folder)
    own = model.config
    if not isinstance(own, ModelConfig) or own.kind != "encoder":
        raise ConfigError(f"{base} is of another kind; expected an encoder, such as BERT.")
    if not isinstance(tokenizer, ImportedTokenizer):
        raise ConfigError(f"{base} has a tokenizer without [CLS] and [SEP].")
    head = Head(SPAN_HEAD, own.width)
    head.initialise(seed)
    return SpanReader(ModelWithHead(model, head).to(device.default_device()), tokenizer)


def _training_data(
    config: SpanReaderConfig, train: list[Example], held_out: list[Example], reader: SpanReader
) -> TrainingData:
    """Batches of similar lengths, in another order each epoch, and held-out batches."""
    pairs, measured = _encode(reader, train), _encode(reader, held_out)[:VALIDATION_EXAMPLES]
    size = min(config.batch_pairs, len(pairs))
    per_epoch = max(1, len(pairs) // size)
    lengths = np.array([len(pair.ids) for pair in pairs])

    def order(epoch: int) -> np.ndarray:
        drawn = np.random.default_rng([config.seed, epoch])
        mixed = drawn.permutation(len(pairs))
        blocks = [mixed[at : at + BUCKET * size] for at in range(0, len(mixed), BUCKET * size)]
        ordered = np.concatenate(
            [each[np.argsort(lengths[each], kind="stable")] for each in blocks]
        )
        batches = ordered[: per_epoch * size].reshape(per_epoch, size)
        return batches[drawn.permutation(per_epoch)]

    orders: dict[int, np.ndarray] = {}

    def batch(step: int) -> Any:
        epoch, at = divmod(step, per_epoch)
        if epoch not in orders:
            orders.clear()
            orders[epoch] = order(epoch)
        return reader.batch([pairs[i] for i in orders[epoch][at]])

    starts = range(0, len(measured), size)
    padded = [-(-int(lengths[chosen].max()) // STRIDE) * STRIDE for chosen in order(0)]
    tokens = size * sum(padded) // len(padded)
    return TrainingData(
        batch,
        max(1, round(config.epochs * per_epoch)),
        lambda step: step * tokens,
        lambda step: MAX_TOKENS,
        {"": [reader.batch(measured[start : start + size]) for start in starts]},
    )


def _encode(reader: SpanReader, examples: Sequence[Example]) -> list[EncodedPair]:
    pairs = ((reader.encode(each.question, each.passage), each.answer) for each in examples)
    encoded = (pair.with_answer(*answer) if answer else pair for pair, answer in pairs)
    return [pair for pair in encoded if pair is not None]


def reader_scores(reader: SpanReader, examples: Sequence[Example]) -> dict[str, float]:
    """Overlap of the best words with the answer, and AUROC of the score, on examples."""
    readings = reader.read_pairs([(each.question, each.passage) for each in examples])
    labels = [each.answer is not None for each in examples]
    hits = [
        each.answer[0] < reading.end and reading.start < each.answer[1]
        for each, reading in zip(examples, readings, strict=True) if each.answer
    ]  # fmt: skip
    scores = {"overlap": sum(hits) / max(1, len(hits))}
    if len(set(labels)) == 2:
        scores["auroc"] = auroc([reading.score for reading in readings], labels)
    return {name: round(value, 4) for name, value in scores.items()}
