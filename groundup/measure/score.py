"""Scorers: factories of small callables `(Sample, Answer) -> Score | Reason` with a signature.

    exact_match()   1 where the answer equals a reference      similarity()   1 - edits / length
    token_f1()      overlap of words with a reference          refusal()      1 where it refused
    ended()         1 where the model stopped by itself

Of several references the best counts. A sample that cannot be scored gives a Reason, never NaN. An
empty answer can be scored: it is wrong, or silence would be a way out of the average.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from groundup.core import Answer, DataError, Reason, Sample, Score

from .text import edit
from .text.edit import Unit


@dataclass(frozen=True)
class ReferenceScorer:
    """Scores an answer's text by the most similar reference."""

    signature: str
    compare: Callable[[str, str], float]
    """Similarity of answer and reference, 0 to 1."""
    normalise: bool

    def __call__(self, sample: Sample, answer: Answer) -> Score | Reason:
        """Best similarity over the references; Reason `no_reference` if there is none."""
        if not sample.references:
            return Reason("no_reference", f"Sample {sample.id} has no reference to compare with.")
        prepare = edit.normalise if self.normalise else str
        found = prepare(answer.text)
        best = max(self.compare(found, prepare(reference)) for reference in sample.references)
        return Score(best, self.signature)


@dataclass(frozen=True)
class AnswerScorer:
    """Scores a property of the answer that needs no reference."""

    signature: str
    look: Callable[[Answer], float | Reason]

    def __call__(self, sample: Sample, answer: Answer) -> Score | Reason:
        """The property as a number, or why it is not known."""
        found = self.look(answer)
        return found if isinstance(found, Reason) else Score(found, self.signature)


def exact_match(*, normalise: bool = True) -> ReferenceScorer:
    """Scorer: 1 if the answer equals a reference, else 0.

    `normalise` lets case, width and white space differ; see text/edit.py.

    >>> sample = Sample("1", (), references=("Paris",))
    >>> exact_match()(sample, Answer("paris ")).value
    1.0
    """
    signature = f"exact_match|normalise:{yes(normalise)}|references:best"
    return ReferenceScorer(signature, lambda a, b: float(a == b), normalise)


def similarity(unit: Unit = "characters", *, normalise: bool = False) -> ReferenceScorer:
    """Scorer: normalised edit similarity, 1 - edits / length of the longer text.

    >>> sample = Sample("1", (), references=("x = 1", "x = 23"))
    >>> similarity()(sample, Answer("x = 2")).signature
    'edit_similarity|unit:characters|normalise:no|references:best'
    """
    signature = f"edit_similarity|unit:{unit}|normalise:{yes(normalise)}|references:best"
    return ReferenceScorer(signature, lambda a, b: edit.edit_similarity(a, b, unit), normalise)


def token_f1(*, normalise: bool = True) -> ReferenceScorer:
    """Scorer: F1 of the words that answer and reference share; see text/edit.py."""
    signature = f"token_f1|normalise:{yes(normalise)}|references:best"
    return ReferenceScorer(signature, edit.token_overlap, normalise)


def refusal() -> AnswerScorer:
    """Scorer: 1 if the answer is a refusal, else 0."""
    return AnswerScorer("refusal", lambda answer: float(answer.refused))


def ended() -> AnswerScorer:
    """Scorer: 1 if the model stopped by itself, 0 if it ran into the limit of tokens.

    Reads `finish_reason` of the answer's details; without it a Reason `no_finish_reason`.
    """

    def look(answer: Answer) -> float | Reason:
        if "finish_reason" not in answer.details:
            return Reason("no_finish_reason", "The answer does not tell why it ended.")
        return float(answer.details["finish_reason"] == "stop")

    return AnswerScorer("ended", look)


class Scores(NamedTuple):
    """What one scorer says about many answers, ready for the intervals of stats.py."""

    signature: str
    ids: tuple[str, ...]
    """Ids of the samples that have a number."""
    values: np.ndarray
    """float64, one a scored sample."""
    groups: tuple[str, ...]
    """The scored samples' groups; a sample without one is its own."""
    undefined: dict[str, Reason]
    """Why the other samples have no number, by id."""


Metric = ReferenceScorer | AnswerScorer


def score_all(scorer: Metric, samples: Sequence[Sample], answers: Sequence[Answer]) -> Scores:
    """Score each answer to the sample at its place.

    Raises DataError if there are more answers than samples or fewer, or if an id comes twice.
    """
    if len(samples) != len(answers):
        raise DataError(f"{len(samples)} samples need as many answers; got {len(answers)}.")
    found = {s.id: scorer(s, a) for s, a in zip(samples, answers, strict=True)}
    if len(found) != len(samples):
        raise DataError(f"{len(samples) - len(found)} samples share an id; give each its own.")
    values = {name: score.value for name, score in found.items() if isinstance(score, Score)}
    groups = {sample.id: sample.group or sample.id for sample in samples}
    return Scores(
        signature=scorer.signature,
        ids=tuple(values),
        values=np.array(list(values.values()), dtype=np.float64),
        groups=tuple(groups[name] for name in values),
        undefined={name: score for name, score in found.items() if isinstance(score, Reason)},
    )


def yes(value: bool) -> str:
    """A boolean in a signature."""
    return "yes" if value else "no"
