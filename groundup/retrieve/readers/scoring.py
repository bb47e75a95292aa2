"""A scorer of two texts: how well a passage answers a question, or whether it supports a claim.

    [CLS] first [SEP] second [SEP]  ->  one number, the log-odds that the second fits

The files are those of Transformers' sequence classification with one label, so the cross-encoders
of Sentence Transformers, such as ms-marco-MiniLM, are scorers as they are.
Source: Nogueira and Cho 2019, arXiv:1901.04085.
"""

from collections.abc import Sequence
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from groundup.model import HeadConfig
from groundup.train import MicroBatch

from ..chunks.passage_text import PassageText
from ..encoders.vectors import runs_of
from ..models import ARCHITECTURES, RerankerChoice, check_same_model
from ..wording.language import stem_words
from .encoding import EncodedPair, PairModel
from .spans import SpanReader

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
    made_by = "groundup reranker DOCUMENTS --base ENCODER --out SCORER"

    def log_odds(self, pair: EncodedPair, logits: Tensor) -> float:
        """The one number of a pair."""
        return float(logits)

    def logits(self, model: nn.Module, batch: MicroBatch) -> Float[Tensor, " B"]:
        """The number of each pair."""
        return self.head_outputs(model, batch)

    def total_loss(self, logits: Float[Tensor, " B"], batch: MicroBatch) -> Float[Tensor, ""]:
        """Binary cross-entropy of the pairs' labels."""
        assert batch.labels is not None, "batches of pairs have labels"
        return F.binary_cross_entropy_with_logits(logits, batch.labels, reduction="sum")

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


def open_same_reranker(choice: RerankerChoice) -> PairModel:
    """The reranker of an index, or a reader; an error if it is gone or its files changed."""
    path = check_same_model(choice, "reranker")
    is_reader = ARCHITECTURES["reader"] in (path / "config.json").read_bytes()
    return (SpanReader if is_reader else PairScorer).open(path)
