"""Scorers: factories of small callables `(Sample, Answer) -> Score | Reason` with a signature.

    exact_match()   1 where the answer equals a reference      bleu(), chrf(), rouge(), meteor()
    similarity()    1 - edits / length                         wer(), cer()   errors / length
    token_f1()      overlap of words with a reference          refusal()      1 where it refused
    ended()         1 where the model stopped by itself

Of several references the best counts (BLEU takes all together). A sample that cannot be scored
gives a Reason, never NaN. An empty answer can be scored: it is wrong, or silence would be a way out
of the average. Scores of a whole corpus (BLEU, chrF, error rates) stand in text/corpus.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np

from groundup.core import Answer, DataError, Reason, Sample, Score, choice

from .text.bleu import Bleu
from .text.chrf import Chrf
from .text.edit import edit_similarity
from .text.error_rate import ErrorRate
from .text.meteor import METEOR, Meteor, Preset
from .text.overlap import is_equal, token_overlap
from .text.rouge import Rouge
from .text.units import Normalisation, Unit, normaliser

Part = Literal["precision", "recall", "f1"]


@dataclass(frozen=True)
class ReferenceScorer:
    """Scores an answer's text beside the sample's references."""

    signature: str
    compare: Callable[[str, Sequence[str]], float | Reason]
    """The score of a text and at least one reference."""

    def __call__(self, sample: Sample, answer: Answer) -> Score | Reason:
        """The score; Reason `no_reference` if there is nothing to compare with."""
        if not sample.references:
            return Reason("no_reference", f"Sample {sample.id} has no reference to compare with.")
        found = self.compare(answer.text, sample.references)
        return found if isinstance(found, Reason) else Score(found, self.signature)


@dataclass(frozen=True)
class AnswerScorer:
    """Scores a property of the answer that needs no reference."""

    signature: str
    look: Callable[[Answer], float | Reason]

    def __call__(self, sample: Sample, answer: Answer) -> Score | Reason:
        """The property as a number, or why it is not known."""
        found = self.look(answer)
        return found if isinstance(found, Reason) else Score(found, self.signature)


def best(compare: Callable[[str, str], float]) -> Callable[[str, Sequence[str]], float]:
    """The highest value over the references."""
    return lambda text, references: max(compare(text, reference) for reference in references)


def exact_match(normalise: Normalisation = "plain") -> ReferenceScorer:
    """Scorer: 1 if the answer equals a reference, else 0.

    `plain` lets case, width and white space differ, `squad` punctuation and articles too; see
    text/units.py.

    >>> sample = Sample("1", (), references=("Paris",))
    >>> exact_match()(sample, Answer("paris ")).value
    1.0
    """
    normaliser(normalise)
    signature = f"exact_match|normalise:{normalise}|references:best"
    return ReferenceScorer(signature, best(lambda a, b: float(is_equal(a, b, normalise))))


def similarity(unit: Unit = "characters", *, normalise: Normalisation = "none") -> ReferenceScorer:
    """Scorer: normalised edit similarity, 1 - edits / length of the longer text.

    >>> sample = Sample("1", (), references=("x = 1", "x = 23"))
    >>> similarity()(sample, Answer("x = 2")).signature
    'edit_similarity|unit:characters|normalise:none|references:best'
    """
    choice("unit", unit, get_args(Unit))
    prepare = normaliser(normalise)
    return ReferenceScorer(
        f"edit_similarity|unit:{unit}|normalise:{normalise}|references:best",
        best(lambda a, b: edit_similarity(prepare(a), prepare(b), unit)),
    )


def token_f1(normalise: Normalisation = "plain") -> ReferenceScorer:
    """Scorer: F1 of the words that answer and reference share; see text/overlap.py."""
    normaliser(normalise)
    signature = f"token_f1|normalise:{normalise}|references:best"
    return ReferenceScorer(signature, best(lambda a, b: token_overlap(a, b, normalise)))


def bleu(how: Bleu | None = None) -> ReferenceScorer:
    """Scorer: sentence BLEU, 0 to 100, of the orders that the answer is long enough for."""
    found = (how or Bleu()).for_sentences()
    return ReferenceScorer(found.signature, found.sentence)


def chrf(how: Chrf | None = None) -> ReferenceScorer:
    """Scorer: chrF, 0 to 100; `Chrf(word_order=2)` is chrF++."""
    found = how or Chrf()
    return ReferenceScorer(found.signature, found.sentence)


def rouge(how: Rouge | None = None, *, part: Part = "f1") -> ReferenceScorer:
    """Scorer: precision, recall or F1 of a ROUGE, ROUGE-L if not told otherwise; 0 to 1."""
    choice("part", part, get_args(Part))
    measure = how or Rouge()

    def compare(text: str, references: Sequence[str]) -> float | Reason:
        found = measure.sentence(text, references)
        return found if isinstance(found, Reason) else getattr(found, part)

    return ReferenceScorer(f"{measure.signature}|part:{part}", compare)


def meteor(how: Meteor | Preset = "banerjee-2005") -> ReferenceScorer:
    """Scorer: METEOR with synonyms, 0 to 1; `nltk` is NLTK's."""
    found = how if isinstance(how, Meteor) else METEOR[choice("how", how, METEOR)]
    return ReferenceScorer(found.signature, found.sentence)


def wer(how: ErrorRate | None = None) -> ReferenceScorer:
    """Scorer: word errors for each word of the reference; 0 is right, above 1 is possible."""
    found = how or ErrorRate()
    return ReferenceScorer(found.signature, found.sentence)


def cer() -> ReferenceScorer:
    """Scorer: character errors for each character of the reference, by graphemes."""
    return wer(ErrorRate(unit="graphemes"))


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
