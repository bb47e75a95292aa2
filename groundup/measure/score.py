"""Scorers: factories of small callables `(Sample, Answer) -> Score | Reason` with a signature.

    exact_match()   1 where the answer equals a reference      bleu(), chrf(), rouge(), meteor()
    similarity()    1 - edits / length                         wer(), cer()   errors / length
    token_f1()      overlap of words with a reference          refusal()      1 where it refused
    natural_stop()  1 where the model stopped by itself
    OwnScorer       what the user names as `FILE.py:name` or `module:name`

Of several references the best counts (BLEU uses all together). A sample that cannot be scored gives
a Reason, never NaN. An empty answer is scored as wrong; otherwise silence would raise the average.
Corpus-level scores (BLEU, chrF, error rates) are in stats/sums.py.
"""

import inspect
import json
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Literal, NamedTuple, get_args

import numpy as np

from groundup.core import (
    Answer,
    ConfigError,
    DataError,
    Reason,
    Sample,
    Score,
    Scorer,
    check_choice,
    digest,
    hash_file,
    record,
)

from .text.edit import ErrorRate, edit_similarity
from .text.meteor import METEOR_PRESETS, Meteor, MeteorPreset
from .text.ngram import Bleu, Chrf
from .text.overlap import Rouge, token_f1_score
from .text.units import Normalisation, Unit, get_normaliser

OverlapPart = Literal["precision", "recall", "f1"]
OWN_SECONDS = 60.0
"""That an own scorer may take."""


@dataclass(frozen=True)
class ReferenceScorer:
    """Scores an answer's text against the sample's references."""

    signature: str
    compare: Callable[[str, Sequence[str]], float | Reason]
    """The score of a text and at least one reference."""

    def __call__(self, sample: Sample, answer: Answer) -> Score | Reason:
        """Score one answer; Reason `no_reference` if the sample has no reference."""
        if not sample.references:
            return Reason("no_reference", f"Sample {sample.id} has no reference to compare with.")
        value = self.compare(answer.text, sample.references)
        return value if isinstance(value, Reason) else Score(value, self.signature)


@dataclass(frozen=True)
class AnswerScorer:
    """Scores a property of the answer that needs no reference."""

    signature: str
    compute: Callable[[Answer], float | Reason]

    def __call__(self, sample: Sample, answer: Answer) -> Score | Reason:
        """The property as a number, or why it is unknown."""
        value = self.compute(answer)
        return value if isinstance(value, Reason) else Score(value, self.signature)


@dataclass(frozen=True)
class OwnScorer:
    """A scorer of the user's; that it raises, hangs or returns no Score is a Reason."""

    name: str
    score: Scorer
    signature: str

    @classmethod
    def load(cls, name: str) -> "OwnScorer":
        """Import it as `load_scorer` does; its signature changes with the file."""
        scorer, place = load_scorer(name), name.rpartition(":")[0]
        file = place if place.endswith(".py") else getattr(sys.modules[place], "__file__", None)
        return cls(name, scorer, f"{name}#{digest(file and hash_file(Path(file)))[:8]}")

    def __call__(self, sample: Sample, answer: Answer) -> Score | Reason:
        """Score one answer, in the process's main thread."""
        before = signal.signal(signal.SIGALRM, _stop)
        signal.setitimer(signal.ITIMER_REAL, OWN_SECONDS)
        try:
            score: object = self.score(sample, answer)
            if isinstance(score, Score):
                return score._replace(value=float(score.value))
        except (Exception, SystemExit) as error:
            what = record.single_line(f"{type(error).__name__}: {error}")
            return Reason("scorer_failed", f"{self.name} raised {what}.")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        what = f"{self.name} returned {record.single_line(repr(score))[:60]}; expected a Score."
        return score if isinstance(score, Reason) else Reason("no_score", what)


def _stop(*_: object) -> None:
    raise TimeoutError(f"it took longer than {OWN_SECONDS:g} seconds")


def load_scorer(name: str, settings: str = "") -> Scorer:
    """Import `FILE.py:name` or `module:name`: a Scorer, or what makes one.

    settings  JSON object of arguments for what makes one; a class needs none

    Raises ConfigError for a missing file, module or name, and for what is no Scorer.
    """
    place, _, inner = name.rpartition(":")
    try:
        module = _import_place(place)
    except (Exception, SystemExit) as error:
        what = record.single_line(f"{type(error).__name__}: {error}")
        raise ConfigError(
            f"scorer={name!r} cannot be loaded; expected FILE.py:name or module:name ({what})."
        ) from None
    if not hasattr(module, inner):
        raise ConfigError(f"scorer={name!r}: {place} has no `{inner}`.")
    target = getattr(module, inner)
    try:
        if settings or isinstance(target, type):
            target = target(**json.loads(settings or "{}"))
        inspect.signature(target).bind(None, None)
    except Exception as error:
        what = record.single_line(str(error))
        raise ConfigError(
            f"scorer={name!r} is no Scorer, a function of a sample and an answer ({what})."
        ) from None
    return target


def _import_place(place: str) -> ModuleType:
    if not place.endswith(".py"):
        return import_module(place)
    code = compile(Path(place).read_bytes(), place, "exec")  # no bytecode of a second before
    module = ModuleType(f"groundup_own_{digest(place)[:12]}")
    module.__file__ = place
    sys.modules[module.__name__] = module  # dataclasses look there
    exec(code, module.__dict__)
    return module


def _best_reference(compare: Callable[[str, str], float]) -> Callable[[str, Sequence[str]], float]:
    return lambda text, references: max(compare(text, reference) for reference in references)


def exact_match(normalise: Normalisation = "plain") -> ReferenceScorer:
    """Scorer: 1 if the answer equals a reference, else 0.

    `plain` ignores case, width and white space, `squad` also punctuation and articles; see
    text/units.py.

    >>> sample = Sample("1", (), references=("Paris",))
    >>> exact_match()(sample, Answer("paris ")).value
    1.0
    """
    prepare = get_normaliser(normalise)
    signature = f"exact_match|normalise:{normalise}|references:best"
    return ReferenceScorer(signature, _best_reference(lambda a, b: float(prepare(a) == prepare(b))))


def similarity(unit: Unit = "characters", *, normalise: Normalisation = "none") -> ReferenceScorer:
    """Scorer: normalised edit similarity, 1 - edits / length of the longer text.

    >>> sample = Sample("1", (), references=("x = 1", "x = 23"))
    >>> similarity()(sample, Answer("x = 2")).signature
    'edit_similarity|unit:characters|normalise:none|references:best'
    """
    check_choice("unit", unit, get_args(Unit))
    prepare = get_normaliser(normalise)
    return ReferenceScorer(
        f"edit_similarity|unit:{unit}|normalise:{normalise}|references:best",
        _best_reference(lambda a, b: edit_similarity(prepare(a), prepare(b), unit)),
    )


def token_f1(normalise: Normalisation = "plain") -> ReferenceScorer:
    """Scorer: F1 of the words that answer and reference share; see text/overlap.py."""
    get_normaliser(normalise)
    signature = f"token_f1|normalise:{normalise}|references:best"
    return ReferenceScorer(signature, _best_reference(lambda a, b: token_f1_score(a, b, normalise)))


def bleu(how: Bleu | None = None) -> ReferenceScorer:
    """Scorer: sentence BLEU, 0 to 100, with effective order."""
    metric = (how or Bleu()).with_effective_order()
    return ReferenceScorer(metric.signature, metric.sentence)


def chrf(how: Chrf | None = None) -> ReferenceScorer:
    """Scorer: chrF, 0 to 100; `Chrf(word_order=2)` is chrF++."""
    metric = how or Chrf()
    return ReferenceScorer(metric.signature, metric.sentence)


def rouge(how: Rouge | None = None, *, part: OverlapPart = "f1") -> ReferenceScorer:
    """Scorer: precision, recall or F1 of ROUGE, by default ROUGE-L; 0 to 1."""
    check_choice("part", part, get_args(OverlapPart))
    metric = how or Rouge()

    def compare(text: str, references: Sequence[str]) -> float | Reason:
        score = metric.sentence(text, references)
        return score if isinstance(score, Reason) else getattr(score, part)

    return ReferenceScorer(f"{metric.signature}|part:{part}", compare)


def meteor(how: Meteor | MeteorPreset = "banerjee-2005") -> ReferenceScorer:
    """Scorer: METEOR with synonyms, 0 to 1; the preset `nltk` equals NLTK's."""
    if not isinstance(how, Meteor):
        how = METEOR_PRESETS[check_choice("how", how, METEOR_PRESETS)]
    return ReferenceScorer(how.signature, how.sentence)


def wer(how: ErrorRate | None = None) -> ReferenceScorer:
    """Scorer: word error rate; 0 is right, above 1 is possible."""
    metric = how or ErrorRate()
    return ReferenceScorer(metric.signature, metric.sentence)


def cer() -> ReferenceScorer:
    """Scorer: character error rate, by graphemes."""
    return wer(ErrorRate(unit="graphemes"))


def refusal() -> AnswerScorer:
    """Scorer: 1 if the answer is a refusal, else 0."""
    return AnswerScorer("refusal", lambda answer: float(answer.refused))


def natural_stop() -> AnswerScorer:
    """Scorer: 1 if the model stopped by itself, 0 if it reached the token limit.

    Reads `finish_reason` of the answer's details; without it a Reason `no_finish_reason`.
    """

    def has_stopped(answer: Answer) -> float | Reason:
        if "finish_reason" not in answer.details:
            return Reason("no_finish_reason", "The answer does not tell why it ended.")
        return float(answer.details["finish_reason"] == "stop")

    return AnswerScorer("ended", has_stopped)


class ScoredAnswers(NamedTuple):
    """One scorer's values for many answers, ready for the intervals of stats/interval.py."""

    signature: str
    ids: tuple[str, ...]
    """Ids of the scored samples."""
    values: np.ndarray
    """float64 (scored samples,)."""
    groups: tuple[str, ...]
    """The scored samples' groups; a sample without one forms its own."""
    undefined: dict[str, Reason]
    """Why the other samples have no score, by id."""


Metric = ReferenceScorer | AnswerScorer


def score_all(
    scorer: Metric, samples: Sequence[Sample], answers: Sequence[Answer]
) -> ScoredAnswers:
    """Score each answer against the sample at the same index.

    Raises DataError if the numbers of answers and samples differ, or an id occurs twice.
    """
    if len(samples) != len(answers):
        raise DataError(f"{len(samples)} samples need as many answers; got {len(answers)}.")
    scores = {s.id: scorer(s, a) for s, a in zip(samples, answers, strict=True)}
    if len(scores) != len(samples):
        raise DataError(f"{len(samples) - len(scores)} samples share an id; give each its own.")
    values = {name: score.value for name, score in scores.items() if isinstance(score, Score)}
    groups = {sample.id: sample.group or sample.id for sample in samples}
    return ScoredAnswers(
        signature=scorer.signature,
        ids=tuple(values),
        values=np.array(list(values.values()), dtype=np.float64),
        groups=tuple(groups[name] for name in values),
        undefined={name: score for name, score in scores.items() if isinstance(score, Reason)},
    )
