"""Scores of a whole corpus, from sums of counts, with intervals.

BLEU, chrF, error rates and TER of a corpus are no means of its sentences' scores: counts are summed
first. Each of these measures gives the counts of one answer as a flat row of integers and the score
of a sum of rows, so that one bootstrap serves them all, and rows can be kept and added later.
"""

from collections.abc import Callable, Iterable, Sequence
from math import isfinite
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from groundup.core import DataError, Reason

from ..stats.distribution import tail_of
from ..stats.grouping import Groups, group_codes
from ..stats.interval import REPEATS, Interval, check_draws, resamples, tail_share, with_unseen
from ..stats.sums import studentised


@runtime_checkable
class CorpusMeasure(Protocol):
    """A measure whose corpus score is a function of sums: Bleu, Chrf, ErrorRate, Ter."""

    @property
    def signature(self) -> str:
        """Everything that moves the number."""
        ...

    def counts(self, candidate: str, references: Sequence[str]) -> Sequence[float] | Reason:
        """One answer's row; a Reason if it cannot be counted."""
        ...

    def of(self, counts: Sequence[float]) -> float | Reason:
        """The score of a row or of a sum of rows."""
        ...


@runtime_checkable
class Limited(Protocol):
    """A measure whose score is a mean of its answers' scores, weighted by length, within limits."""

    @property
    def limits(self) -> tuple[float, float]:
        """Lowest and usual highest score of an answer."""
        ...


class CorpusRows(NamedTuple):
    """What a corpus score is made of."""

    rows: np.ndarray
    """float64 (answers that can be counted, counts)."""
    places: tuple[int, ...]
    """Place of each row's answer in what was given."""
    undefined: dict[int, Reason]
    """Why the other answers have no row, by place."""


def corpus_rows(
    measure: CorpusMeasure, candidates: Sequence[str], references: Sequence[Sequence[str]]
) -> CorpusRows:
    """Count every answer beside its references.

    `references[i]` are those of `candidates[i]` (sacrebleu wants them the other way round).
    Raises DataError if there are more of one than of the other, or if references are a bare text.
    """
    if len(candidates) != len(references):
        raise DataError(
            f"{len(candidates)} answers need as many lists of references; got {len(references)}."
        )
    pairs = zip(candidates, references, strict=True)
    found = [measure.counts(text, known) for text, known in pairs]
    kept = {place: row for place, row in enumerate(found) if not isinstance(row, Reason)}
    undefined = {place: row for place, row in enumerate(found) if isinstance(row, Reason)}
    rows = np.array(list(kept.values()), dtype=np.float64)
    return CorpusRows(rows, tuple(kept), undefined)


def corpus_score(
    measure: CorpusMeasure, candidates: Sequence[str], references: Sequence[Sequence[str]]
) -> float | Reason:
    """The score of a corpus; answers that cannot be counted are left out (see corpus_rows).

    >>> from groundup.measure.text.error_rate import ErrorRate
    >>> corpus_score(ErrorRate(), ["a b", "c"], [["a b c"], ["d"]])          # 2 edits of 4 words
    0.5
    """
    return score_of_rows(measure, corpus_rows(measure, candidates, references).rows)


def score_of_rows(
    measure: CorpusMeasure, rows: Iterable[Sequence[float] | np.ndarray]
) -> float | Reason:
    """The score of rows that were counted before, such as those of several runs."""
    table = np.asarray(list(rows), dtype=np.float64)
    if not table.size:
        return Reason("no_samples", "No answer could be counted, so the corpus has no score.")
    return measure.of(table.sum(axis=0).tolist())


def corpus_interval(
    measure: CorpusMeasure, rows: np.ndarray, groups: Groups = None, *,
    confidence: float = 0.95, repeats: int = REPEATS, seed: int = 0,
) -> Interval | Reason:  # fmt: skip
    """The corpus score with a bootstrap interval; rows of one group are drawn together.

    Studentised, at least Student's bounds where groups are of uneven size, and with room for
    answers that were not seen where the measure has `limits`; see stats/sums.py. Percentiles where
    the score has no slope. A Reason as `redrawn` gives it.

    >>> from groundup.measure.text.error_rate import ErrorRate
    >>> print(corpus_interval(ErrorRate(), np.array([[1, 0, 0, 4], [0, 1, 0, 4], [1, 0, 1, 4]])))
    0.3333 [0, 0.8708]
    """
    check_draws(repeats, seed, tail_of(confidence))
    estimate = score_of_rows(measure, rows)
    if isinstance(estimate, Reason):
        return estimate
    table, codes = np.asarray(rows, dtype=np.float64), group_codes(groups, len(rows), "rows")
    masses = np.maximum(table[:, table.sum(axis=0).argmax()], 1.0)

    def of(sums: np.ndarray) -> float | None:
        score = measure.of(sums.tolist())
        return score if isinstance(score, float) and isfinite(score) else None

    number = int(codes.max()) + 1
    found = None if number < 2 else studentised(
        of, table, masses, codes, confidence=confidence, repeats=repeats, seed=seed
    )  # fmt: skip
    if found is None:
        sums = sum_by_group(table, groups)
        return redrawn(
            estimate, lambda counts: [measure.of(row) for row in (counts @ sums).tolist()],
            len(rows), number, confidence=confidence, repeats=repeats, seed=seed,
        )  # fmt: skip
    bounds, spread = found
    degrees = spread.degrees if spread.is_uneven else 0.0
    if isinstance(measure, Limited):
        scores = [measure.of(row) for row in sum_by_group(table, groups).tolist()]
        known = np.array([score if isinstance(score, float) else 0.0 for score in scores])
        by_group = np.bincount(codes, masses)
        limits = (measure.limits[0], max(measure.limits[1], float(known.max())))
        wide = with_unseen(known * by_group, by_group, tail_of(confidence), limits)
        low = min(bounds.low, estimate + wide.low - float(known @ by_group / by_group.sum()))
        bounds = bounds.around(low, wide.high)
        bounds = bounds._replace(low=max(bounds.low, limits[0]))
    return Interval(estimate, *bounds, confidence, len(rows), number, degrees=degrees)


def redrawn(
    estimate: float, scores: Callable[[np.ndarray], Sequence[float | Reason | None]],
    samples: int, groups: int, *, confidence: float = 0.95, repeats: int = REPEATS, seed: int = 0,
) -> Interval | Reason:  # fmt: skip
    """A corpus score with percentiles of the scores of redrawn corpora.

    scores   of corpora in which each group counts so often, float64 (corpora, groups)
    samples  how many the corpus has
    groups   how many are redrawn

    The percentiles are taken where stats/interval.py says. A Reason `no_interval` if a redrawn
    corpus has no finite score, `too_few_groups` if there are fewer than two.
    """
    check_draws(repeats, seed, tail_of(confidence))
    if groups < 2:
        return Reason("too_few_groups", f"An interval needs at least 2 groups; got {groups}.")
    found = [score for counts in resamples(groups, repeats, seed) for score in scores(counts)]
    defined = [score for score in found if isinstance(score, float) and isfinite(score)]
    if lost := len(found) - len(defined):
        return Reason("no_interval", f"{lost} of {repeats} redrawn corpora have no score.")
    tail = tail_share(confidence, groups)
    low, high = np.quantile(defined, [tail, 1 - tail])
    return Interval(estimate, float(low), float(high), confidence, samples, groups)


def sum_by_group(rows: np.ndarray, groups: Groups) -> np.ndarray:
    """Sums of the rows of each group, in order of first appearance."""
    table = np.asarray(rows, dtype=np.float64)
    if groups is None:
        return table
    if len(groups) != len(table):
        raise DataError(f"{len(table)} rows need as many groups; got {len(groups)}.")
    names = list(dict.fromkeys(groups))
    sums = np.zeros((len(names), table.shape[1]))
    place = {name: i for i, name in enumerate(names)}
    np.add.at(sums, [place[name] for name in groups], table)
    return sums
