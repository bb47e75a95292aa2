"""The paired difference of two runs in one measure: interval and p-value.

Pairing cancels what makes a sample hard for both. Scores arrive one sample at a time and are stored
as a few numbers each, so that 100,000 samples take megabytes: a total and a weight for means and
ratios, counts for corpus-level functions (BLEU, F1 …), which are recomputed for each bootstrap
resample.
"""

from array import array
from collections.abc import Callable, Sequence
from math import erfc, exp, inf, log, sqrt
from typing import Any, NamedTuple

import numpy as np

from groundup.core import DataError, Reason
from groundup.measure import Interval, paired_difference, percentile_interval, power, significance

from ..harness.report import MeasureReport
from ..task.aggregate import BITS_PER_BYTE, CORPUS_AGGREGATIONS, F1, Mcc, label_text

NUM_RESAMPLES = 1000
COUNT_MEASURES = {**CORPUS_AGGREGATIONS, "f1": F1}
MAX_SIGN_FLIP_GROUPS = 2000
"""With more groups than this the sign-flip distribution is approximated as normal."""
MAX_LABEL_CELLS = 2 * 10**7
"""Maximum cells of all samples' label tables together."""

CorpusFunction = Callable[[Sequence[float]], Any]


class PairedDifference(NamedTuple):
    """One run minus the first, on the samples that both score."""

    interval: Interval
    p: float
    """Probability of a difference at least this large under the null hypothesis."""
    method: str
    needed: int | None
    """Samples needed to detect a difference of this size with 80 % power; None if it is 0."""


class ScoreColumn:
    """The scores of one run in one measure, as numbers.

    >>> column = ScoreColumn("mean")
    >>> column.append(1.0); column.append(None)
    >>> column.table().tolist(), column.present().tolist()
    ([[1.0, 1.0], [0.0, 0.0]], [True, False])
    """

    def __init__(self, aggregation: str) -> None:
        self.counts = (
            COUNT_MEASURES[aggregation]().counts if aggregation in COUNT_MEASURES else None
        )
        self.is_mean, self.is_f1 = aggregation == "mean", aggregation == "f1"
        self.is_labels = aggregation == "mcc"
        self.labels: dict[str, int] = {}
        self.numbers, self.width, self.missing = array("d"), 2, array("L")
        self.n = 0

    def append(self, score: Any) -> None:
        """Append the next sample's score; None if it has none."""
        row = None if score is None else self._to_numbers(score)
        if row is None:
            self.missing.append(self.n)
        elif len(row) != self.width:
            if len(self.missing) < self.n:
                raise DataError(f"A score has {len(row)} numbers; the ones before {self.width}.")
            self.numbers = array("d", [0.0] * (self.n * len(row)))  # all earlier ones were missing
            self.width = len(row)
        self.numbers.extend([0.0] * self.width if row is None else row)
        self.n += 1

    def _to_numbers(self, score: Any) -> Sequence[float] | None:
        if self.is_mean:
            return float(score), 1.0
        if self.counts is None and not self.is_labels:
            total, weight = score
            return float(total), float(weight)
        right, answer = score
        if self.is_labels:
            codes = (self.labels.setdefault(label_text(each), len(self.labels)) for each in score)
            return [float(code) for code in codes]
        if self.is_f1:
            right, answer = label_text(right), label_text(answer)
        found = self.counts(answer, right if isinstance(right, list) else [right])  # type: ignore[misc]
        return None if isinstance(found, Reason) else found

    def table(self) -> np.ndarray:
        """float64 (samples, width); zeros where there is no score."""
        return np.frombuffer(self.numbers, dtype=np.float64).reshape(self.n, self.width)

    def present(self) -> np.ndarray:
        """Which samples have a score, bool (samples,)."""
        found = np.ones(self.n, dtype=bool)
        found[np.array(self.missing, dtype=np.int64)] = False
        return found


def compare_columns(
    measure: MeasureReport, first: ScoreColumn, other: ScoreColumn, groups: np.ndarray
) -> PairedDifference | Reason:
    """The difference of `other` from `first`.

    groups  int (samples,): samples with equal values are resampled together
    """
    both = first.present() & other.present()
    if not both.any():
        return Reason("nothing_shared", "No sample has a score in both runs.")
    a, b, kept = first.table()[both], other.table()[both], groups[both]
    try:
        if measure.aggregation == "mean":
            limits = (-1.0, 1.0) if measure.unit == "share" else (-inf, inf)
            return _difference_of_means(b[:, 0], a[:, 0], kept, None, limits=limits)
        if measure.aggregation == "ratio" and np.array_equal(a[:, 1], b[:, 1]):
            unit = log(2) if measure.unit == BITS_PER_BYTE else 1.0
            return _difference_of_means(b[:, 0] / unit, a[:, 0] / unit, kept, a[:, 1])
        function = _corpus_function(measure, first, other)
        if isinstance(function, Reason):
            return function
        if measure.aggregation == "mcc":
            a, b = (
                _one_hot_labels(table, column, first) for table, column in ((a, first), (b, other))
            )
        return _difference_of_functions(function, b, a, kept)
    except DataError as error:
        code = "too_few_groups" if len(set(kept.tolist())) < 2 else "no_interval"
        return Reason(code, str(error))


def _difference_of_means(
    other: np.ndarray, base: np.ndarray, groups: np.ndarray, weights: np.ndarray | None, *,
    limits: tuple[float, float] = (-inf, inf),
) -> PairedDifference:  # fmt: skip
    interval = paired_difference(other, base, groups.tolist(), weights=weights, limits=limits)
    test = _test_difference(other, base, groups)
    p, method = (1.0, "equal") if isinstance(test, Reason) else (test.p, test.method)
    return PairedDifference(interval, p, method, _samples_needed(interval))


def _test_difference(
    other: np.ndarray, base: np.ndarray, groups: np.ndarray
) -> significance.Significance | Reason:
    """McNemar's test for independent binary scores, else a sign-flip test over groups."""
    sums = np.bincount(groups, other - base)
    is_binary = np.isin(other, (0, 1)).all() and np.isin(base, (0, 1)).all()
    if is_binary and len(np.unique(groups)) == len(groups):
        return significance.mcnemar_test(other, base)
    if len(sums) <= MAX_SIGN_FLIP_GROUPS or not sums.any():
        return significance.sign_flip_test(other, base, groups.tolist())
    z = abs(float(sums.sum())) / sqrt(float((sums**2).sum()))
    mean = float(sums.sum()) / len(other)
    return significance.Significance(erfc(z / sqrt(2)), mean, len(other), "sign_flip|normal")


def _corpus_function(
    measure: MeasureReport, first: ScoreColumn, other: ScoreColumn
) -> CorpusFunction | Reason:
    name, unit = measure.aggregation, log(2) if measure.unit == BITS_PER_BYTE else 1.0
    if name in COUNT_MEASURES:
        return COUNT_MEASURES[name]().from_counts
    if name == "ratio":
        return lambda row: row[0] / row[1] / unit
    if name == "perplexity":
        return lambda row: exp(row[0] / row[1])
    if name == "mcc":
        for each in other.labels:
            first.labels.setdefault(each, len(first.labels))
        if len(first.labels) ** 2 * first.n > MAX_LABEL_CELLS:
            return Reason(
                "too_many_labels", f"{len(first.labels)} labels are too many to resample."
            )
        return Mcc(list(first.labels)).from_counts
    return Reason(
        "no_difference_of", f"Differences of {name} are not supported; compare the intervals."
    )


def _one_hot_labels(table: np.ndarray, column: ScoreColumn, known: ScoreColumn) -> np.ndarray:
    """Pairs of labels as one-hot cells of the label table, flat (samples, labels²)."""
    codes = np.array([known.labels[each] for each in column.labels])
    size = len(known.labels)
    cells = codes[table.astype(np.int64)] @ np.array([size, 1])
    return np.eye(size * size)[cells]


def _difference_of_functions(
    corpus_function: CorpusFunction,
    other: np.ndarray,
    base: np.ndarray,
    groups: np.ndarray,
) -> PairedDifference | Reason:
    """Difference of a corpus-level function: bootstrap interval, randomisation test.

    Source: Koehn 2004 (paired bootstrap); Riezler and Maxwell 2005 (approximate randomisation).
    """
    names, codes = np.unique(groups, return_inverse=True)
    sums = [np.zeros((len(names), table.shape[1])) for table in (other, base)]
    for total, table in zip(sums, (other, base), strict=True):
        np.add.at(total, codes, table)
    (left, right), number = sums, len(names)
    observed = _function_difference(corpus_function, left.sum(axis=0), right.sum(axis=0))
    if observed is None:
        return Reason("no_interval", "The function has no value for one of the two.")

    def redraw(counts: np.ndarray) -> list[float | None]:
        return [_function_difference(corpus_function, row @ left, row @ right) for row in counts]

    interval = percentile_interval(observed, redraw, len(other), number, repeats=NUM_RESAMPLES)
    if isinstance(interval, Reason):
        return interval
    flips = np.random.default_rng(0).integers(2, size=(NUM_RESAMPLES, number)).astype(np.float64)
    moved = flips @ (left - right)
    swapped = [
        _function_difference(corpus_function, left.sum(axis=0) - row, right.sum(axis=0) + row)
        for row in moved
    ]
    num_extreme = sum(
        value is None or abs(value) >= abs(observed) * (1 - 1e-9) for value in swapped
    )
    p = (num_extreme + 1) / (NUM_RESAMPLES + 1)
    return PairedDifference(interval, p, f"swap|{NUM_RESAMPLES} draws", _samples_needed(interval))


def _function_difference(
    corpus_function: CorpusFunction, other: np.ndarray, base: np.ndarray
) -> float | None:
    """The function of one corpus minus that of the other; None if either is undefined."""
    try:
        a, b = corpus_function(other.tolist()), corpus_function(base.tolist())
    except (ZeroDivisionError, OverflowError):
        return None
    return None if isinstance(a, Reason) or isinstance(b, Reason) else float(a) - float(b)


def _samples_needed(interval: Interval) -> int | None:
    """Samples needed to detect a difference of the observed size with 80 % power.

    >>> _samples_needed(Interval(0.02, -0.0216, 0.0616, 0.95, 200, 200))
    1768
    """
    error = (
        (interval.high - interval.low) / 2 / 1.959964 if interval.error is None else interval.error
    )
    deviation = error * sqrt(interval.n)
    if not interval.estimate or not deviation:
        return None
    count = power.required_sample_size(
        lambda n: power.power_of_mean(n, abs(interval.estimate), deviation)
    )
    return None if isinstance(count, Reason) else count
