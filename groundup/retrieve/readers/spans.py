"""An extractive reader: the words of a passage that answer a question, or that none do.

    [CLS] question [SEP] passage [SEP]  ->  for each token: is it the answer's first, its last?
    score = max over spans of (first + last) - (first + last of [CLS])

[CLS] stands for "no answer", so the score is the log-odds of the best span against none. The files
are those of Transformers' question answering: BERT and RoBERTa fine-tuned on SQuAD 2.0 are readers.
Source: Devlin et al. 2019, arXiv:1810.04805, section 4.3; Rajpurkar et al. 2018, arXiv:1806.03822.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from groundup.model import HeadConfig
from groundup.train import MicroBatch

from .encoding import EncodedPair, PairModel

MAX_ANSWER = 40
"""Ids of an answer."""
NEVER = -1e4


class Reading(NamedTuple):
    """The words of a passage that answer best."""

    start: int
    """First character."""
    end: int
    score: float
    """Log-odds that they answer, rather than that nothing does."""


class SpanReader(PairModel):
    """Reads passages for questions."""

    head = HeadConfig(kind="token", labels=2, names=("start", "end"))
    name = "extractive reader"
    made_by = "groundup reader DOCUMENTS --base ENCODER --out READER"

    def logits(self, model: nn.Module, batch: MicroBatch) -> Float[Tensor, "B T 2"]:
        """Of each token as an answer's first and last; the question's count for nothing."""
        assert batch.types is not None, "batches of pairs have types"
        may_answer = batch.types > 0
        may_answer[:, 0] = True
        return self.head_outputs(model, batch).masked_fill(~may_answer[..., None], NEVER)

    def total_loss(self, logits: Float[Tensor, "B T 2"], batch: MicroBatch) -> Float[Tensor, ""]:
        """Cross-entropy of the answers' first and last tokens, the mean of both."""
        marks = [((batch.targets & bit) > 0).int().argmax(1) for bit in (1, 2)]  # (B,) each
        first, last = (
            F.cross_entropy(logits[..., i], mark, reduction="sum") for i, mark in enumerate(marks)
        )
        return (first + last) / 2

    def log_odds(self, pair: EncodedPair, logits: Tensor) -> float:
        """That the best words answer, rather than that nothing does."""
        return _best_reading(pair, logits[:, 0], logits[:, 1]).score

    def read(self, question: str, passages: Sequence[str]) -> list[Reading]:
        """The best words of each passage, and how much better they are than none."""
        return self.read_pairs([(question, passage) for passage in passages])

    def read_pairs(self, texts: Sequence[tuple[str, str]]) -> list[Reading]:
        """The best words of the passage of each question and passage."""
        readings = [Reading(0, 0, NEVER)] * len(texts)
        for i, pair, logits in self.outputs(texts):
            readings[i] = _best_reading(pair, logits[:, 0], logits[:, 1])
        return readings


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
