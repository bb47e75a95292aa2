"""An extractive reader: the words of a passage that answer a question, or that none do.

    [CLS] question [SEP] passage [SEP]  ->  for each token: is it the answer's first, its last?
    score = max over spans of (first + last) - (first + last of [CLS])

[CLS] stands for "no answer", so the score is the log-odds of the best span against none. The files
are those of Transformers' question answering: BERT and RoBERTa fine-tuned on SQuAD 2.0 are readers.
Source: Devlin et al. 2019, arXiv:1810.04805, section 4.3; Rajpurkar et al. 2018, arXiv:1806.03822.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from groundup.core import ArtifactError
from groundup.kernels import LossSum
from groundup.model import HeadConfig, ModelWithHead, Transformer, load_with_head
from groundup.tokenizer import ImportedTokenizer, load_tokenizer
from groundup.train import MicroBatch, batch_to_device, resolve_precision

from ..models import ReaderChoice, check_same_model

MAX_TOKENS, MAX_QUESTION, MAX_ANSWER = 256, 64, 40
"""Ids of a question with its passage, of the question, and of an answer."""
BATCH, STRIDE = 32, 32
"""Pairs of a batch; lengths are multiples of the stride, since new shapes are slow on CPUs."""
SPAN_HEAD = HeadConfig(kind="token", labels=2, names=("start", "end"))
NEVER = -1e4


class Reading(NamedTuple):
    """The words of a passage that answer best."""

    start: int
    """First character."""
    end: int
    score: float
    """Log-odds that they answer, rather than that nothing does."""


class EncodedPair(NamedTuple):
    """A question and a passage as ids."""

    ids: list[int]
    first: int
    """Index of the passage's first id."""
    places: list[tuple[int, int]]
    """First character and end, of each id of the passage."""
    span: tuple[int, int] = (0, 0)
    """Indices of the answer's first and last id; (0, 0), that of [CLS], without an answer."""

    def with_answer(self, start: int, end: int) -> "EncodedPair | None":
        """The pair with these characters of the passage as the answer; None if they are cut off."""
        inside = [i for i, place in enumerate(self.places) if place[0] < end and place[1] > start]
        if not inside or self.places[inside[-1]][1] < end:
            return None
        return self._replace(span=(self.first + inside[0], self.first + inside[-1]))


class SpanReader:
    """Reads passages for questions."""

    def __init__(self, model: ModelWithHead, tokenizer: ImportedTokenizer) -> None:
        """Take a model whose head gives two numbers per token, and its tokenizer."""
        self.model, self.tokenizer = model, tokenizer
        self.before, self.after = (list(ids) for ids in tokenizer.frame)
        body = model.model
        assert isinstance(body, Transformer), "a directory's model is a Transformer"
        self.has_types = body.config.embedding.types > 1
        self.limit = min(MAX_TOKENS, body.config.context_length)

    def encode(self, question: str, passage: str) -> EncodedPair:
        """The ids of a question and as much of a passage as fits."""
        asked = self.tokenizer.encode(question)[: min(MAX_QUESTION, self.limit // 4)]
        middle = self.after if self.has_types else self.after * 2  # RoBERTa parts texts by two
        begin = [*self.before, *asked, *middle]
        room = self.limit - len(begin) - len(self.after)
        ids, places = self.tokenizer.encode_with_ranges(passage)
        return EncodedPair([*begin, *ids[:room], *self.after], len(begin), places[:room])

    def batch(self, pairs: Sequence[EncodedPair]) -> MicroBatch:
        """A batch of the training loop: bits of `targets` mark the first id and the last."""
        longest = max(len(pair.ids) for pair in pairs)
        shape = len(pairs), min(self.limit, -(-longest // STRIDE) * STRIDE)
        ids, targets, types = (torch.zeros(shape, dtype=torch.long) for _ in range(3))
        documents, weights = torch.full(shape, -1), torch.zeros(shape)
        for row, pair in enumerate(pairs):
            size = len(pair.ids)
            ids[row, :size] = torch.tensor(pair.ids)
            documents[row, :size] = 0
            types[row, pair.first : size - len(self.after)] = 1
            targets[row, pair.span[0]] += 1
            targets[row, pair.span[1]] += 2
        weights[:, 0] = 1  # a target is one pair
        return MicroBatch(ids, targets, weights, documents, types=types)

    def read(self, question: str, passages: Sequence[str]) -> list[Reading]:
        """The best words of each passage, and how much better they are than none."""
        return self.read_pairs([(question, passage) for passage in passages])

    @torch.inference_mode()
    def read_pairs(self, texts: Sequence[tuple[str, str]]) -> list[Reading]:
        """The best words of the passage of each question and passage."""
        where = next(self.model.parameters()).device
        precision = resolve_precision("auto", where)
        pairs = [self.encode(*text) for text in texts]
        readings = [Reading(0, 0, NEVER)] * len(pairs)
        order = sorted(range(len(pairs)), key=lambda i: len(pairs[i].ids))
        for at in range(0, len(order), BATCH):
            chosen = order[at : at + BATCH]
            batch = batch_to_device(self.batch([pairs[i] for i in chosen]), where)
            with precision.autocast(where.type):
                logits = span_logits(self.model, batch, self.has_types).cpu()
            for row, i in zip(logits, chosen, strict=True):
                readings[i] = _best_reading(pairs[i], row[:, 0], row[:, 1])
        return readings


def span_logits(model: nn.Module, batch: MicroBatch, has_types: bool) -> Float[Tensor, "B T 2"]:
    """Logits of each token as an answer's first and last; only a passage's and [CLS]'s count."""
    assert batch.types is not None, "batches of pairs have types"
    logits = model(
        batch.ids, documents=batch.documents, types=batch.types if has_types else None
    ).float()
    may_answer = batch.types > 0
    may_answer[:, 0] = True
    return logits.masked_fill(~may_answer[..., None], NEVER)


def _best_reading(pair: EncodedPair, first: Tensor, last: Tensor) -> Reading:
    begin, count = pair.first, len(pair.places)
    if not count:
        return Reading(0, 0, NEVER)
    spans = first[begin : begin + count, None] + last[None, begin : begin + count]
    allowed = torch.ones_like(spans, dtype=torch.bool).triu().tril(MAX_ANSWER - 1)
    best, at = spans.masked_fill(~allowed, 2 * NEVER).flatten().max(0)
    start, end = divmod(int(at), count)
    score = float(best - first[0] - last[0])
    return Reading(pair.places[start][0], pair.places[end][1], score)


class SpanLoss(NamedTuple):
    """Cross-entropy of the answers' first and last tokens, in nats, the mean of both."""

    has_types: bool

    def __call__(self, model: nn.Module, batch: MicroBatch, routing: object = None) -> LossSum:
        """The loss of a batch, summed over its pairs."""
        logits = span_logits(model, batch, self.has_types)
        marks = ((batch.targets & 1) > 0, (batch.targets & 2) > 0)
        total = sum(
            F.cross_entropy(logits[..., i], mark.int().argmax(1), reduction="sum") / 2
            for i, mark in enumerate(marks)
        )
        assert isinstance(total, Tensor)
        return LossSum(total, batch.weights.sum(dtype=torch.float64))


def open_reader(path: Path, dtype: torch.dtype | None = None) -> SpanReader:
    """Open a directory of question answering; ArtifactError if it is of something else."""
    model, tokenizer = load_with_head(path, dtype), load_tokenizer(path)
    head = getattr(model.head, "config", None)
    if head is None or head.names != SPAN_HEAD.names:
        raise ArtifactError(
            f"{path} holds no extractive reader: its model answers no questions; fine-tune one "
            "with: groundup reader DOCUMENTS --base ENCODER --out READER"
        )
    if not isinstance(tokenizer, ImportedTokenizer):
        raise ArtifactError(f"{path} has a tokenizer without [CLS] and [SEP].")
    return SpanReader(model, tokenizer)


def open_same_reader(choice: ReaderChoice) -> SpanReader:
    """The reader of an index; an error if it is gone or its files changed."""
    return open_reader(check_same_model(choice, "extractive reader"))
