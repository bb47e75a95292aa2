"""What the training of readers and of scorers shares: documents, questions, batches, one run."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import Field

from groundup.core import Artifact, DataError, Draft
from groundup.corpus import read_split, split_paths
from groundup.documents import ReadConfig, Record, read_folder
from groundup.model import Transformer, save_with_head
from groundup.train import RunIdentity, TrainingData, TrainingTask

from ..encoders.fine_tuning import IMPORTED_OPTIM, FineTuningConfig, produce_from_base, train_head
from ..models import model_folder
from .encoding import MAX_TOKENS, STRIDE, EncodedPair, PairModel

T = TypeVar("T")
OPTIM = IMPORTED_OPTIM.model_copy(update={"learning_rate": 1e-4, "embedding_learning_rate": 1e-4})
VALIDATION_EXAMPLES, BUCKET = 512, 50
"""Examples whose loss is followed, and batches among which examples are sorted by length."""


class PairTrainingConfig(FineTuningConfig):
    """How to train a model of two texts."""

    questions: tuple[str, ...] = ()
    """Files of questions in SQuAD's format; documents alone make few."""
    held_out: float = Field(default=0.1, gt=0, lt=1)
    """Share of the articles and documents to measure on."""
    epochs: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Number of passes over the examples."""
    batch_pairs: int = Field(default=32, ge=1)
    """Pairs of texts per optimizer step."""
    read: ReadConfig = ReadConfig()
    """Which files of a folder are read."""


def produce_pair_model(
    config: PairTrainingConfig, source: Path, base: Path, out: Path, *, stage: str,
    questions: Sequence[Path] | None, write: Callable[..., None],
) -> Artifact:  # fmt: skip
    """Train a base on documents and files of questions; DataError if a file is missing."""
    if questions:
        config = config.model_copy(update={"questions": tuple(map(str, questions))})
    files = [Path(path) for path in config.questions]
    if missing := next((path for path in files if not path.is_file()), None):
        raise DataError(f"There is no file of questions {missing}.")
    return produce_from_base(
        config, Path(source), Path(base), out, stage=stage, objective=stage,
        read=config.read, write=write, files=files, imported=OPTIM,
    )  # fmt: skip


def read_documents(
    config: PairTrainingConfig, source: Path, corpus: Artifact | None
) -> list[Record]:
    """The documents of a folder, or of a corpus without its test documents."""
    if corpus is not None:
        return [each for split in ("train", "validation") for each in read_split(corpus, split)]
    return [each for each in read_folder(source, config.read) if isinstance(each, Record)]


def split_by_name(
    items: Sequence[T], names: Sequence[str], config: PairTrainingConfig
) -> tuple[list[T], list[T]]:
    """What to train on, and what to measure on, by a hash of the names."""
    splits = split_paths(names, config.held_out, 0.0, config.seed)
    pairs = list(zip(items, names, strict=True))
    train = [item for item, name in pairs if splits[name] == "train"]
    return train, [item for item, name in pairs if splits[name] != "train"]


def fit(
    config: PairTrainingConfig, draft: Draft, model: PairModel,
    pairs: tuple[list[EncodedPair], list[EncodedPair]], run: tuple[Path, RunIdentity],
) -> None:  # fmt: skip
    """Train a model on pairs, the second list being held out, and save it; run: base, identity."""
    body = model.model.model
    assert isinstance(body, Transformer)
    data = _training_data(config, pairs[0], pairs[1][:VALIDATION_EXAMPLES], model)
    task = TrainingTask(
        body, model.model, model.loss, data, model.name.split()[-1], is_compiled=False
    )
    train_head(config, draft, model.model, task, run[1])
    save_with_head(model.model, draft.path, model_folder(run[0]))


def _training_data(
    config: PairTrainingConfig, pairs: list[EncodedPair], measured: list[EncodedPair],
    model: PairModel,
) -> TrainingData:  # fmt: skip
    """Batches of similar lengths, in another order each epoch, and held-out batches."""
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
        return model.batch([pairs[i] for i in orders[epoch][at]])

    starts = range(0, len(measured), size)
    padded = [-(-int(lengths[chosen].max()) // STRIDE) * STRIDE for chosen in order(0)]
    tokens = size * sum(padded) // len(padded)
    return TrainingData(
        batch,
        max(1, round(config.epochs * per_epoch)),
        lambda step: step * tokens,
        lambda step: MAX_TOKENS,
        {"": [model.batch(measured[start : start + size]) for start in starts]},
    )
