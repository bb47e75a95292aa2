"""A model that reads two texts at once: their ids, its batches, its directory.

    [CLS] first [SEP] second [SEP]

The first is cut to a quarter of the limit or MAX_FIRST ids, the second to what is left. Readers
(spans.py) give each token two numbers, scorers (scoring.py) the pair one.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import ClassVar, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from groundup.core import ArtifactError, ConfigError, Hit, device
from groundup.kernels import LossSum
from groundup.model import (
    Head,
    HeadConfig,
    ModelConfig,
    ModelWithHead,
    Transformer,
    load,
    load_with_head,
)
from groundup.tokenizer import ImportedTokenizer, load_tokenizer
from groundup.train import MicroBatch, batch_to_device, resolve_precision

from ..models import model_folder
from .judge import below_titles

MAX_TOKENS, MAX_FIRST = 256, 64
"""Ids of a pair, and of its first text."""
BATCH, TIMED_BATCH, STRIDE = 32, 8, 32
"""Pairs of a batch, and of one where time is limited; lengths are multiples of the stride, since
new shapes are slow on CPUs."""


Model = TypeVar("Model", bound="PairModel")


class EncodedPair(NamedTuple):
    """Two texts as ids, and what a model should make of them."""

    ids: list[int]
    first: int
    """Index of the second text's first id."""
    places: list[tuple[int, int]]
    """First character and end, of each id of the second text."""
    span: tuple[int, int] = (0, 0)
    """Indices of the answer's first and last id; (0, 0), that of [CLS], without an answer."""
    label: float = 0.0
    """What a scorer should say: 1 or 0."""

    def with_answer(self, start: int, end: int) -> "EncodedPair | None":
        """The pair with these characters of the second as the answer; None if they are cut off."""
        inside = [i for i, place in enumerate(self.places) if place[0] < end and place[1] > start]
        if not inside or self.places[inside[-1]][1] < end:
            return None
        return self._replace(span=(self.first + inside[0], self.first + inside[-1]))


class LabelledPair(NamedTuple):
    """Two texts, and whether the second answers the first."""

    kind: str
    first: str
    second: str
    is_right: bool


class PairModel(ABC):
    """A model of two texts with its tokenizer."""

    head: ClassVar[HeadConfig]
    name: ClassVar[str]
    """What it is called in errors."""
    made_by: ClassVar[str]

    def __init__(self, model: ModelWithHead, tokenizer: ImportedTokenizer) -> None:
        """Take a model whose head is of this kind, and its tokenizer."""
        self.model, self.tokenizer = model, tokenizer
        self.before, self.after = (list(ids) for ids in tokenizer.frame)
        body = model.model
        assert isinstance(body, Transformer), "a directory's model is a Transformer"
        self.has_types, own = body.config.embedding.types > 1, body.config.position
        self.middle = self.after * (2 if own.offset else 1)  # RoBERTa's kind parts texts by two
        self.limit = min(MAX_TOKENS, body.config.context_length)

    @abstractmethod
    def log_odds(self, pair: EncodedPair, logits: Tensor) -> float:
        """How well the second text of a pair fits the first."""

    @abstractmethod
    def logits(self, model: nn.Module, batch: MicroBatch) -> Tensor:
        """What a model, which training may have wrapped, says of a batch."""

    @abstractmethod
    def total_loss(self, logits: Tensor, batch: MicroBatch) -> Tensor:
        """The loss of a batch's logits, in nats, summed over its pairs."""

    def loss(self, model: nn.Module, batch: MicroBatch, routing: object = None) -> LossSum:
        """The loss of a batch, as the training loop calls it."""
        total = self.total_loss(self.logits(model, batch), batch)
        return LossSum(total, batch.weights.sum(dtype=torch.float64))

    def score(
        self, texts: Sequence[tuple[str, str]], milliseconds: float = math.inf
    ) -> list[float | None]:
        """The log-odds of each pair; None for those that were not reached in time."""
        scores = list[float | None]([None]) * len(texts)
        for i, pair, logits in self.outputs(texts, milliseconds):
            scores[i] = self.log_odds(pair, logits)
        return scores

    def rerank(self, question: str, hits: Sequence[Hit], milliseconds: float) -> list[Hit]:
        """Passages by how well they answer; those not reached in time follow in their order.

        Each takes the score of the one whose place it takes, so that scores stay those of words.
        """
        texts = [(question, below_titles(hit.passage, hit.passage.text)) for hit in hits]
        scores = [-math.inf if s is None else s for s in self.score(texts, milliseconds)]
        order = sorted(range(len(hits)), key=lambda i: -scores[i])
        return [hits[i]._replace(score=hit.score) for i, hit in zip(order, hits, strict=True)]

    @classmethod
    def new(cls: type[Model], base: Path, seed: int) -> Model:
        """A model on an encoder, before training; ConfigError unless it is an encoder."""
        folder = model_folder(base)
        try:
            model = load(folder, torch.float32)
        except ArtifactError:  # of a reader or a scorer, whose encoder is trained further
            model = load_with_head(folder, torch.float32).model
        own, tokenizer = model.config, load_tokenizer(folder)
        if not isinstance(own, ModelConfig) or own.kind != "encoder":
            raise ConfigError(f"{base} is of another kind; expected an encoder, such as BERT.")
        if not isinstance(tokenizer, ImportedTokenizer):
            raise ConfigError(f"{base} has a tokenizer without [CLS] and [SEP].")
        head = Head(cls.head, own.width)
        head.initialise(seed)
        return cls(ModelWithHead(model, head).to(device.default_device()), tokenizer)

    @classmethod
    def open(cls: type[Model], path: Path, dtype: torch.dtype | None = None) -> Model:
        """Open a directory of this kind; ArtifactError if it is of something else."""
        model, tokenizer = load_with_head(path, dtype), load_tokenizer(path)
        own = getattr(model.head, "config", HeadConfig(kind="embedding"))
        if own.kind != cls.head.kind or cls.head.names not in ((), own.names):
            raise ArtifactError(f"{path} holds no {cls.name}; fine-tune one with: {cls.made_by}")
        if not isinstance(tokenizer, ImportedTokenizer):
            raise ArtifactError(f"{path} has a tokenizer without [CLS] and [SEP].")
        return cls(model, tokenizer)

    def encode(self, first: str, second: str) -> EncodedPair:
        """The ids of a text and as much of the second as fits."""
        asked = self.tokenizer.encode(first)[: min(MAX_FIRST, self.limit // 4)]
        begin = [*self.before, *asked, *self.middle]
        room = self.limit - len(begin) - len(self.after)
        ids, places = self.tokenizer.encode_with_ranges(second)
        return EncodedPair([*begin, *ids[:room], *self.after], len(begin), places[:room])

    def batch(self, pairs: Sequence[EncodedPair]) -> MicroBatch:
        """A batch of the training loop: bits of `targets` mark the answer's first id and last."""
        longest = max(len(pair.ids) for pair in pairs)
        shape = len(pairs), min(self.limit, -(-longest // STRIDE) * STRIDE)
        ids, targets, types = (torch.zeros(shape, dtype=torch.long) for _ in range(3))
        documents, weights = torch.full(shape, -1), torch.zeros(shape)
        for row, pair in enumerate(pairs):
            size = len(pair.ids)
            ids[row, :size] = torch.tensor(pair.ids)
            documents[row, :size] = 0
            types[row, pair.first : size] = 1
            targets[row, pair.span[0]] += 1
            targets[row, pair.span[1]] += 2
        weights[:, 0] = 1  # a target is one pair
        labels = torch.tensor([pair.label for pair in pairs])
        return MicroBatch(ids, targets, weights, documents, types=types, labels=labels)

    def head_outputs(self, model: nn.Module, batch: MicroBatch) -> Tensor:
        """What the head gives for a batch of pairs, in float32: (B,), or (B, T, labels)."""
        types = batch.types if self.has_types else None
        return model(batch.ids, documents=batch.documents, types=types).float()

    def outputs(
        self, texts: Sequence[tuple[str, str]], milliseconds: float = math.inf
    ) -> Iterator[tuple[int, EncodedPair, Tensor]]:
        """Yield the index, the ids and the logits of pairs, those of similar lengths together.

        milliseconds  after which no batch is begun; pairs are then taken in the order given
        """
        until = perf_counter() + milliseconds / 1000
        order, size = list(range(len(texts))), TIMED_BATCH
        if milliseconds == math.inf:
            order, size = sorted(order, key=lambda i: sum(map(len, texts[i]))), BATCH
        where = next(self.model.parameters()).device
        precision = resolve_precision("auto", where)
        for at in range(0, len(order), size):
            if perf_counter() > until:
                return
            chosen = order[at : at + size]
            pairs = [self.encode(*texts[i]) for i in chosen]
            with torch.inference_mode(), precision.autocast(where.type):
                batch = batch_to_device(self.batch(pairs), where)
                rows = self.logits(self.model, batch).cpu()
            yield from zip(chosen, pairs, rows, strict=True)
