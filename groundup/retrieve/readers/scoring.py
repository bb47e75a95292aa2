"""A scorer of two texts: how well a passage answers a question, or whether it supports a claim.

    [CLS] first [SEP] second [SEP]  ->  one number, the log-odds that the second fits

The files are those of Transformers' sequence classification with one label, so the cross-encoders
of Sentence Transformers, such as ms-marco-MiniLM, are scorers as they are.
Source: Nogueira and Cho 2019, arXiv:1901.04085.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from groundup.core import Hit
from groundup.kernels import LossSum
from groundup.model import HeadConfig
from groundup.train import MicroBatch

from ..chunks.passage_text import PassageText
from ..encoders.vectors import runs_of
from ..models import RerankerChoice, check_same_model
from ..wording.language import stem_words
from .encoding import PairModel, pair_logits
from .judge import below_titles

MAX_RUNS = 12
"""Runs of sentences that a critic reads for a claim: those with most of its words."""
LANGUAGES = ("english",)
"""Languages of documents that a critic judges; rules alone judge others."""


class Supported(NamedTuple):
    """How well a place of the documents supports a claim."""

    log_odds: float
    location: str


class PairScorer(PairModel):
    """Scores pairs of texts."""

    head = HeadConfig(kind="number", inner="tanh")
    name = "pair scorer"
    made_by = "groundup reranker, or groundup critic, DOCUMENTS --base ENCODER --out SCORER"

    def score(
        self, texts: Sequence[tuple[str, str]], milliseconds: float = math.inf
    ) -> list[float | None]:
        """The log-odds of each pair; None for those that were not reached in time."""
        scores = list[float | None]([None]) * len(texts)
        for i, _, logit in self.outputs(texts, milliseconds):
            scores[i] = float(logit)
        return scores

    def best_support(self, claim: str, texts: Sequence[PassageText]) -> Supported | None:
        """The run of sentences that supports a claim best; None without one in its languages."""
        said, runs = frozenset(stem_words(claim)), ((t, r) for t in texts for r in runs_of(t))
        of = sorted(
            ((t, run) for t, run in runs if t.language in LANGUAGES),
            key=lambda pair: -len(said.intersection(stem_words(pair[1].text))),
        )[:MAX_RUNS]
        scores = [s for s in self.score([(claim, run.text) for _, run in of]) if s is not None]
        if not scores:
            return None
        best = max(scores)
        text, run = of[scores.index(best)]
        start = text.passage.start
        place = text.document.quote(start + run.start, start + run.end)
        return Supported(round(best, 3), place.location)

    def rerank(self, question: str, hits: Sequence[Hit], milliseconds: float) -> list[Hit]:
        """Passages by how well they answer; those not reached in time follow in their order.

        Each takes the score of the one whose place it takes, so that scores stay those of words.
        """
        texts = [(question, below_titles(hit.passage, hit.passage.text)) for hit in hits]
        scores = [-math.inf if s is None else s for s in self.score(texts, milliseconds)]
        order = sorted(range(len(hits)), key=lambda i: -scores[i])
        return [hits[i]._replace(score=hit.score) for i, hit in zip(order, hits, strict=True)]


class PairLoss(NamedTuple):
    """Binary cross-entropy of the pairs' labels, in nats."""

    has_types: bool

    def __call__(self, model: nn.Module, batch: MicroBatch, routing: object = None) -> LossSum:
        """The loss of a batch, summed over its pairs."""
        assert batch.labels is not None, "batches of pairs have labels"
        logits = pair_logits(model, batch, self.has_types)
        total = F.binary_cross_entropy_with_logits(logits, batch.labels, reduction="sum")
        return LossSum(total, batch.weights.sum(dtype=torch.float64))


def open_same_reranker(choice: RerankerChoice) -> PairScorer:
    """The reranker of an index; an error if it is gone or its files changed."""
    return PairScorer.open(check_same_model(choice, "reranker"))
