"""The place that answers a question in other words, and how likely it does.

    question  ->  vector  ->  the run of sentences with the largest cosine (vectors.py)

Words decide what is asked, so this is tried only where words found no answer. A large cosine alone
says no more than that a text is about the same things; whether it answers is a logistic function of

    how far the run's cosine stands above those of all runs, and above the next place's, in standard
    deviations of this question's own cosines, so that it holds for any encoder;
    what the run has of the question's words and names, and of the quantity that it asks for;
    how near words alone came, and how many of them are nowhere in the documents

whose weights lie in decision.json, fitted by `python -m benchmarks.retrieve.decision`.
"""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from groundup.core import ArtifactError, Hit

from ..answers.quote import QuoteSpan
from ..chunks.passage_text import PassageText
from ..wording.language import says_opposite
from ..wording.question import WeightedQuestion, text_terms
from .vectors import NearRuns, Run, unit_rows

if TYPE_CHECKING:
    from ..search import OpenIndex

NEAREST = 40
"""Runs among which the next place is looked for."""
FEATURES = (
    "cosine above the mean of all runs, standard deviations",
    "cosine above the next place, standard deviations",
    "credit of the least of the question's names in the run and its titles",
    "weighted share of its other words there",
    "a quantity is asked for and not there",
    "score by words alone",
    "share of the question's words that are nowhere",
)
VECTOR_SHARE = 0.5
"""Weight of a cosine beside a score by words, both relative to the best one's."""
APART_CHARACTERS = 400
"""The next run is of another place: another passage, or as far away."""


class Meant(NamedTuple):
    """The run that is nearest to a question by meaning."""

    span: QuoteSpan
    """Its score is the probability that it answers."""
    features: tuple[float, ...]
    """As `FEATURES` names them."""


class Decision(NamedTuple):
    """A logistic function of features."""

    means: np.ndarray
    deviations: np.ndarray
    weights: np.ndarray
    intercept: float
    threshold: float
    """Smallest probability of an answer."""

    def probability(self, features: Sequence[float]) -> float:
        """That a run with these features answers."""
        scaled = (np.asarray(features) - self.means) / self.deviations
        return float(1.0 / (1.0 + np.exp(-(scaled @ self.weights + self.intercept))))


@cache
def decision() -> Decision:
    """The weights that were fitted to questions of authors who had not seen the code."""
    values = json.loads(Path(__file__).with_name("decision.json").read_text(encoding="utf-8"))
    rows = values["features"]
    means, deviations, weights = (
        np.array([row[name] for row in rows]) for name in ("mean", "deviation", "weight")
    )
    intercept, threshold = values["intercept"], values["threshold"]
    return Decision(means, deviations, weights, intercept, threshold)


def nearest_by_meaning(
    index: "OpenIndex", question: str, wanted: WeightedQuestion, score: float
) -> Meant | None:
    """The run of sentences that is nearest to a question; None without any, or if it says the
    opposite.

    score  of the best run by words alone, in [0, 1]
    """
    near = _nearest_runs(index, question)
    if not near.runs:
        return None
    run, best = near.runs[0], float(near.cosines[0])
    pairs = zip(near.runs, near.cosines.tolist(), strict=True)
    other = next((cosine for each, cosine in pairs if _is_apart(each, run)), near.mean)
    passage = index.lexical.passage(run.passage)
    if passage is None:
        raise ArtifactError(f"The vectors are of passages that {index.artifact.path} lacks.")
    text = index.passage_text(Hit(passage, 1.0))
    if says_opposite(question, passage.text[run.start : run.end]):
        return None
    missing = [not index.has(term) for term in wanted.question.terms]
    features = (
        (best - near.mean) / max(near.deviation, 1e-6),
        (best - other) / max(near.deviation, 1e-6),
        *_word_features(text, run, wanted),
        score,
        sum(missing) / max(1, len(missing)),
    )
    return Meant(_span(text, run, decision().probability(features)), features)


def fused_hits(index: "OpenIndex", question: str, hits: Sequence[Hit], count: int) -> list[Hit]:
    """The passages that words and vectors find, by the sum of both scores, each over its best.

    A cosine counts half: on the sealed set (docs/reference/retrieve.md) such a sum is above words
    alone, and ranks fused by reciprocal ranks are below.
    """
    near = _nearest_runs(index, question)
    best = max((hit.score for hit in hits), default=0.0) or 1.0
    scores, found = {hit.passage.id: hit.score / best for hit in hits}, list(hits)
    by_vector = dict[str, float]()
    for run, cosine in zip(near.runs, near.cosines.tolist(), strict=True):
        by_vector.setdefault(run.passage, VECTOR_SHARE * cosine / max(near.cosines[0], 1e-6))
    for id in by_vector:
        if id not in scores and (passage := index.lexical.passage(id)):
            found.append(Hit(passage, 0.0))
    fused = [
        hit._replace(score=scores.get(hit.passage.id, 0.0) + by_vector.get(hit.passage.id, 0.0))
        for hit in found
    ]
    return sorted(fused, key=lambda hit: -hit.score)[:count]


def _nearest_runs(index: "OpenIndex", question: str) -> NearRuns:
    """The runs nearest to a question; none without vectors."""
    vectors, encoder = index.vectors, index.encoder
    if vectors is None or encoder is None or not vectors.runs:
        return NearRuns([], np.empty(0, np.float32), 0.0, 0.0)
    asked = unit_rows(encoder.embed([vectors.config.query_prefix + question]))[0]
    return vectors.nearest(asked, NEAREST, index.documents)


def _word_features(
    text: PassageText, run: Run, wanted: WeightedQuestion
) -> tuple[float, float, float]:
    """Names of the question in a run and its titles, other words, and a quantity that it lacks."""
    passage, language = text.passage, text.language
    words = passage.text[run.start : run.end]
    credits = wanted.credits_for(text_terms(f"{words} {' '.join(passage.headings)}", language))
    rows = list(zip(wanted.question.terms, credits, wanted.weights, strict=True))
    named = min((credit for term, credit, _ in rows if term.is_name), default=1.0)
    rest = [(credit, weight) for term, credit, weight in rows if not term.is_name]
    total = sum(weight for _, weight in rest)
    asked = sum(credit * weight for credit, weight in rest) / total if total else 1.0
    return named, asked, float(not wanted.question.measure.is_in(words, language))


def _is_apart(run: Run, best: Run) -> bool:
    return run.passage != best.passage or abs(run.start - best.start) > APART_CHARACTERS


def _span(text: PassageText, run: Run, probability: float) -> QuoteSpan:
    first = next(at for at, unit in enumerate(text.units) if unit.start >= run.start)
    place = (run.start, run.end, probability, probability, (), run.end)
    return QuoteSpan(text.hit, *place, text.heads[first])
