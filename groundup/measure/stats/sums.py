"""Functions of sums: intervals of kappa, alpha, error rates, BLEU and other functions of counts.

Each item has a row of counts, and the result is a function of the rows' sum, not a mean of scores;
so one bootstrap serves all metrics, and rows can be stored and added later. A row's influence is
the row times the function's gradient (delta method); influences play the role of values of a mean,
so grouping.py gives their variance.

    corpus_interval          studentised bootstrap over groups
    bayesian_bootstrap_sums  random item weights with one unseen item

If single items can decide the result, as with rare labels, resampling never produces what was not
observed. Exponential random weights with one unseen item, the worst for the lower and the best for
the upper bound, give Clopper and Pearson's interval for a share, and its analogue for kappa and
alpha.
Source: Efron 1982, doi:10.1137/1.9781611970319 (influence); Rubin 1981,
doi:10.1214/aos/1176345338 (random weights); Gaffke 2005, Mathematical Methods of Statistics 14
(one extra value at the limit).
"""

from collections.abc import Callable, Iterable, Sequence
from math import inf, isfinite, sqrt
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from groundup.core import DataError, Reason

from .distribution import student_quantile, two_sided_tail, z_value
from .grouping import Groups, VarianceEstimate, estimate_variance, group_codes
from .interval import (
    DRAWS_AT_ONCE,
    REPEATS,
    ConfidenceBounds,
    Interval,
    ResampleStatistics,
    bounds_from_resamples,
    bounds_with_unseen,
    check_resampling,
    expanded_tail,
    iterate_resamples,
    ratio_standard_error,
)

GRADIENT_STEP = 1e-4
"""Relative step of the numerical gradient."""

SumFunction = Callable[[np.ndarray], float | None]


def _gradient(of: SumFunction, sums: np.ndarray) -> np.ndarray | None:
    """Numerical gradient of the function at the sums; None if it is undefined.

    One-sided at sums of 0, and 0 if undefined there.
    """
    gradient, usual = np.zeros(len(sums)), float(np.abs(sums).max())
    for index, value in enumerate(sums):
        step = np.zeros(len(sums))
        step[index] = GRADIENT_STEP * (abs(value) or usual)
        up, down = of(sums + step), of(sums - step if value else sums)
        if up is not None and down is not None:
            gradient[index] = (up - down) / (step[index] * (2 if value else 1))
        elif value:
            return None
    return gradient if np.isfinite(gradient).all() else None


def studentised_sums(
    of: SumFunction, rows: np.ndarray, masses: np.ndarray, codes: np.ndarray, *, confidence: float,
    repeats: int, seed: int,
) -> tuple[ConfidenceBounds, VarianceEstimate] | None:  # fmt: skip
    """Studentised bounds, at least Student's if groups are uneven; None if undefined.

    rows    (N, counts)
    masses  (N,) weight of a row, such as the number of words of its reference
    codes   (N,) index of each row's group, of at least two groups
    """
    sums = np.stack([np.bincount(codes, column) for column in rows.T], axis=1)
    weights, estimate = np.bincount(codes, masses) / masses.sum(), of(rows.sum(axis=0))
    slope = _gradient(of, rows.sum(axis=0))
    if slope is None or estimate is None:
        return None
    moves, number, tail = rows @ slope, len(sums), two_sided_tail(confidence)
    moves -= moves.sum() * masses / masses.sum()
    residuals = np.bincount(codes, moves)
    error = float(ratio_standard_error(float((residuals**2).sum()), 1.0, number))
    if error <= GRADIENT_STEP**2 * abs(estimate):
        return ConfidenceBounds(estimate, estimate), VarianceEstimate(
            0.0, number - 1.0, number, number, number
        )
    shifts, spreads = [], []
    for counts in iterate_resamples(number, repeats, seed):
        values = [of(row) for row in counts @ sums]
        if None in values:
            return None
        shift = (np.array(values) - estimate) / error
        mass = counts @ weights
        squares = (counts * (residuals / error - shift[:, None] * weights) ** 2).sum(axis=1)
        is_flat = squares <= GRADIENT_STEP**2 * mass
        spreads.append(ratio_standard_error(np.where(is_flat, np.nan, squares), mass, number))
        shifts.append(shift)
    redrawn = ResampleStatistics(np.concatenate(shifts), np.concatenate(spreads))
    bounds = bounds_from_resamples(estimate, error, number, redrawn, tail)
    spread = estimate_variance(moves * masses.sum(), masses, codes)
    if spread.is_uneven:
        room = student_quantile(tail, spread.degrees) * sqrt(spread.variance)
        bounds = bounds.extended(estimate - room, estimate + room)
    return bounds, spread


def bayesian_bootstrap_sums(
    of: SumFunction, rows: np.ndarray, unseen: np.ndarray, codes: np.ndarray, confidence: float,
    repeats: int,
) -> Interval | None:  # fmt: skip
    """Bayesian-bootstrap interval with one unseen item; None if undefined.

    rows    (N, counts)
    unseen  (M, counts) possible unseen items, of which the worst and the best are used
    codes   (N,) index of each item's group, of at least two groups
    """
    estimate, slope = of(rows.sum(axis=0)), _gradient(of, rows.sum(axis=0))
    if estimate is None or slope is None:
        return None
    number, groups, tail = len(rows), int(codes.max()) + 1, two_sided_tail(confidence)
    trials, degrees, moves = float(number), 0.0, rows @ slope
    if groups < number:
        spread = estimate_variance(moves - moves.mean(), np.ones(number), codes)
        trials, degrees = spread.trials, spread.trial_degrees(number)
    worth = trials * (z_value(confidence) / student_quantile(tail, degrees or inf)) ** 2
    more = unseen[[(unseen @ slope).argmin(), (unseen @ slope).argmax()]]
    random, ends = np.random.default_rng(0), ([], [])
    size = max(1, DRAWS_AT_ONCE // number)
    for start in range(0, repeats, size):
        weights = random.gamma(worth / number, size=(min(size, repeats - start), number))
        extra = random.standard_exponential(len(weights))
        scale = number / np.maximum(weights.sum(axis=1) + extra, 1e-300)
        sums = weights @ rows
        for values, row in zip(ends, more, strict=True):
            drawn = (sums + extra[:, None] * row) * scale[:, None]
            values += [value for value in map(of, drawn) if value is not None]
    low = float(np.quantile(ends[0] or [estimate], tail))
    high = float(np.quantile(ends[1] or [estimate], 1 - tail))
    ends = min(low, estimate), max(high, estimate)
    return Interval(estimate, *ends, confidence, number, groups, degrees=degrees)


@runtime_checkable
class CorpusMeasure(Protocol):
    """A metric whose corpus score is a function of summed counts: Bleu, Chrf, ErrorRate, Ter."""

    @property
    def signature(self) -> str:
        """All settings that affect the score."""
        ...

    def counts(self, candidate: str, references: Sequence[str]) -> Sequence[float] | Reason:
        """One answer's row of counts; a Reason if it cannot be counted."""
        ...

    def from_counts(self, counts: Sequence[float]) -> float | Reason:
        """The score of a row or of a sum of rows."""
        ...


class CorpusCounts(NamedTuple):
    """Counts of all answers of a corpus."""

    rows: np.ndarray
    """float64 (answers that can be counted, counts)."""
    indices: tuple[int, ...]
    """Index of each row's answer in the input."""
    undefined: dict[int, Reason]
    """Why the other answers have no row, by index."""


def corpus_counts(
    measure: CorpusMeasure, candidates: Sequence[str], references: Sequence[Sequence[str]]
) -> CorpusCounts:
    """Count every answer against its references.

    `references[i]` are those of `candidates[i]` (sacrebleu uses the transposed layout).
    Raises DataError if the lengths differ, or if references are a single string.
    """
    if len(candidates) != len(references):
        raise DataError(f"{len(candidates)} answers need as many lists; got {len(references)}.")
    pairs = zip(candidates, references, strict=True)
    results = list(enumerate(measure.counts(text, expected) for text, expected in pairs))
    counted = {index: row for index, row in results if not isinstance(row, Reason)}
    undefined = {index: row for index, row in results if isinstance(row, Reason)}
    rows = np.array(list(counted.values()), dtype=np.float64)
    return CorpusCounts(rows, tuple(counted), undefined)


def corpus_score(
    measure: CorpusMeasure, candidates: Sequence[str], references: Sequence[Sequence[str]]
) -> float | Reason:
    """The score of a corpus, without answers that cannot be counted (see corpus_counts).

    >>> from groundup.measure.text.edit import ErrorRate
    >>> corpus_score(ErrorRate(), ["a b", "c"], [["a b c"], ["d"]])          # 2 edits of 4 words
    0.5
    """
    return score_of_rows(measure, corpus_counts(measure, candidates, references).rows)


def score_of_rows(
    measure: CorpusMeasure, rows: Iterable[Sequence[float] | np.ndarray]
) -> float | Reason:
    """The score of previously counted rows, such as those of several runs."""
    table = np.asarray(list(rows), dtype=np.float64)
    if not table.size:
        return Reason("no_samples", "No answer could be counted, so the corpus has no score.")
    return measure.from_counts(table.sum(axis=0).tolist())


def corpus_interval(
    measure: CorpusMeasure, rows: np.ndarray, groups: Groups = None, *,
    confidence: float = 0.95, repeats: int = REPEATS, seed: int = 0,
) -> Interval | Reason:  # fmt: skip
    """The corpus score with a bootstrap interval; rows of one group are resampled together.

    Studentised, at least Student's bounds if groups have uneven size, and with an allowance for
    unseen answers if the metric has `limits`; see stats/sums.py. Falls back to percentiles if the
    score has no gradient. Returns the same Reasons as `percentile_interval`.

    >>> from groundup.measure.text.edit import ErrorRate
    >>> print(corpus_interval(ErrorRate(), np.array([[1, 0, 0, 4], [0, 1, 0, 4], [1, 0, 1, 4]])))
    0.3333 [0, 0.8708]
    """
    check_resampling(repeats, seed, two_sided_tail(confidence))
    estimate = score_of_rows(measure, rows)
    if isinstance(estimate, Reason):
        return estimate
    table, codes = np.asarray(rows, dtype=np.float64), group_codes(groups, len(rows), "rows")
    masses = np.maximum(table[:, table.sum(axis=0).argmax()], 1.0)

    def of(sums: np.ndarray) -> float | None:
        score = measure.from_counts(sums.tolist())
        return score if isinstance(score, float) and isfinite(score) else None

    number = int(codes.max()) + 1
    result = None if number < 2 else studentised_sums(
        of, table, masses, codes, confidence=confidence, repeats=repeats, seed=seed
    )  # fmt: skip
    if result is None:
        sums = _sum_by_group(table, groups)
        return percentile_interval(
            estimate, lambda counts: [measure.from_counts(row) for row in (counts @ sums).tolist()],
            len(rows), number, confidence=confidence, repeats=repeats, seed=seed,
        )  # fmt: skip
    bounds, spread = result
    degrees = spread.degrees if spread.is_uneven else 0.0
    least, most = getattr(measure, "limits", (inf, inf))
    if least < most:  # the score is a length-weighted mean of its answers' scores
        scores = [measure.from_counts(row) for row in _sum_by_group(table, groups).tolist()]
        means = np.array([score if isinstance(score, float) else 0.0 for score in scores])
        by_group = np.bincount(codes, masses)
        limits = (least, max(most, float(means.max())))
        wide = bounds_with_unseen(means * by_group, by_group, two_sided_tail(confidence), limits)
        low = min(bounds.low, estimate + wide.low - float(means @ by_group / by_group.sum()))
        bounds = bounds.extended(low, wide.high)
        bounds = bounds._replace(low=max(bounds.low, least))
    return Interval(estimate, *bounds, confidence, len(rows), number, degrees=degrees)


def percentile_interval(
    estimate: float, scores: Callable[[np.ndarray], Sequence[float | Reason | None]],
    samples: int, groups: int, *, confidence: float = 0.95, repeats: int = REPEATS, seed: int = 0,
) -> Interval | Reason:  # fmt: skip
    """A corpus score with an expanded percentile bootstrap interval (see stats/interval.py).

    scores   maps draw counts of the groups, float64 (corpora, groups), to corpus scores
    samples  number of samples in the corpus
    groups   number of groups to resample

    A Reason `no_interval` if a resampled corpus has no finite score, `too_few_groups` if there are
    fewer than two.
    """
    check_resampling(repeats, seed, two_sided_tail(confidence))
    if groups < 2:
        return Reason("too_few_groups", f"An interval needs at least 2 groups; got {groups}.")
    results = [
        score for counts in iterate_resamples(groups, repeats, seed) for score in scores(counts)
    ]
    defined = [score for score in results if isinstance(score, float) and isfinite(score)]
    if lost := len(results) - len(defined):
        return Reason("no_interval", f"{lost} of {repeats} redrawn corpora have no score.")
    tail = expanded_tail(confidence, groups)
    low, high = np.quantile(defined, [tail, 1 - tail])
    return Interval(estimate, float(low), float(high), confidence, samples, groups)


def _sum_by_group(rows: np.ndarray, groups: Groups) -> np.ndarray:
    """Sums of the rows of each group, in order of first appearance."""
    table = np.asarray(rows, dtype=np.float64)
    codes = group_codes(groups, len(table), "rows")
    sums = np.zeros((int(codes.max(initial=-1)) + 1, table.shape[1]))
    np.add.at(sums, codes, table)
    return sums
