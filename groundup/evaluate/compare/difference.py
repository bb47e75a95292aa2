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
from groundup.measure import Interval, paired, power, redrawn, significance

from ..harness.report import MeasureReport
from ..task.aggregate import BITS, CORPUS, F1, Mcc, label

REPEATS = 1000
FUNCTIONS = {**CORPUS, "f1": F1}
MANY = 2000
"""With more groups than this the sign-flip distribution is approximated as normal."""
MOST_CELLS = 2 * 10**7
"""Maximum cells of all samples' label tables together."""

Of = Callable[[Sequence[float]], Any]


class Difference(NamedTuple):
    """One run minus the first, on the samples that both score."""

    interval: Interval
    p: float
    """Probability of a difference at least this large under the null hypothesis."""
    method: str
    needed: int | None
    """Samples needed to detect a difference of this size with 80 % power; None if it is 0."""


class Column:
    """The scores of one run in one measure, as numbers.

    >>> column = Column("mean")
    >>> column.append(1.0); column.append(None)
    >>> column.table().tolist(), column.present().tolist()
    ([[1.0, 1.0], [0.0, 0.0]], [True, False])
    """

    def __init__(self, aggregation: str) -> None:
        self.counts = FUNCTIONS[aggregation]().counts if aggregation in FUNCTIONS else None
        self.is_mean, self.is_f1 = aggregation == "mean", aggregation == "f1"
        self.is_labels = aggregation == "mcc"
        self.labels: dict[str, int] = {}
        self.numbers, self.width, self.missing = array("d"), 2, array("L")
        self.n = 0

    def append(self, score: Any) -> None:
        """Append the next sample's score; None if it has none."""
        row = None if score is None else self.row(score)
        if row is None:
            self.missing.append(self.n)
        elif len(row) != self.width:
            if len(self.missing) < self.n:
                raise DataError(f"A score has {len(row)} numbers; the ones before {self.width}.")
            self.numbers = array("d", [0.0] * (self.n * len(row)))  # all earlier ones were missing
            self.width = len(row)
        self.numbers.extend([0.0] * self.width if row is None else row)
        self.n += 1

    def row(self, score: Any) -> Sequence[float] | None:
        """One score as numbers; None if it is undefined."""
        if self.is_mean:
            return float(score), 1.0
        if self.counts is None and not self.is_labels:
            total, weight = score
            return float(total), float(weight)
        right, answer = score
        if self.is_labels:
            codes = (self.labels.setdefault(label(each), len(self.labels)) for each in score)
            return [float(code) for code in codes]
        if self.is_f1:
            right, answer = label(right), label(answer)
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


def difference(
    measure: MeasureReport, first: Column, other: Column, groups: np.ndarray,
    confidence: float = 0.95,
) -> Difference | Reason:  # fmt: skip
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
            return of_means(b[:, 0], a[:, 0], kept, None, confidence, limits=limits)
        if measure.aggregation == "ratio" and np.array_equal(a[:, 1], b[:, 1]):
            unit = log(2) if measure.unit == BITS else 1.0
            return of_means(b[:, 0] / unit, a[:, 0] / unit, kept, a[:, 1], confidence)
        function = function_of(measure, first, other)
        if isinstance(function, Reason):
            return function
        if measure.aggregation == "mcc":
            a, b = (one_hot(table, column, first) for table, column in ((a, first), (b, other)))
        return of_functions(function, b, a, kept, confidence)
    except DataError as error:
        code = "too_few_groups" if len(set(kept.tolist())) < 2 else "no_interval"
        return Reason(code, str(error))


def of_means(
    ours: np.ndarray, base: np.ndarray, groups: np.ndarray, weights: np.ndarray | None,
    confidence: float, *, limits: tuple[float, float] = (-inf, inf),
) -> Difference:  # fmt: skip
    """Difference of means, or of ratios with the same weights."""
    interval = paired(
        ours, base, groups.tolist(), weights=weights, confidence=confidence, limits=limits
    )  # fmt: skip
    test = tested(ours, base, groups)
    p, method = (1.0, "equal") if isinstance(test, Reason) else (test.p, test.method)
    return Difference(interval, p, method, samples_needed(interval))


def tested(
    ours: np.ndarray, base: np.ndarray, groups: np.ndarray
) -> significance.Significance | Reason:
    """McNemar's test for independent binary scores, else a sign-flip test over groups."""
    sums = np.bincount(groups, ours - base)
    is_binary = np.isin(ours, (0, 1)).all() and np.isin(base, (0, 1)).all()
    if is_binary and len(np.unique(groups)) == len(groups):
        return significance.mcnemar(ours, base)
    if len(sums) <= MANY or not sums.any():
        return significance.sign_flip(ours, base, groups.tolist())
    z = abs(float(sums.sum())) / sqrt(float((sums**2).sum()))
    mean = float(sums.sum()) / len(ours)
    return significance.Significance(erfc(z / sqrt(2)), mean, len(ours), "sign_flip|normal")


def function_of(measure: MeasureReport, first: Column, other: Column) -> Of | Reason:
    """The function from summed counts to the measure's value."""
    name, unit = measure.aggregation, log(2) if measure.unit == BITS else 1.0
    if name in FUNCTIONS:
        return FUNCTIONS[name]().of
    if name == "ratio":
        return lambda row: row[0] / row[1] / unit
    if name == "perplexity":
        return lambda row: exp(row[0] / row[1])
    if name == "mcc":
        for each in other.labels:
            first.labels.setdefault(each, len(first.labels))
        if len(first.labels) ** 2 * first.n > MOST_CELLS:
            return Reason(
                "too_many_labels", f"{len(first.labels)} labels are too many to resample."
            )
        return Mcc(list(first.labels)).of
    return Reason(
        "no_difference_of", f"Differences of {name} are not supported; compare the intervals."
    )


def one_hot(table: np.ndarray, column: Column, known: Column) -> np.ndarray:
    """Pairs of labels as one-hot cells of the label table, flat (samples, labels²)."""
    codes = np.array([known.labels[each] for each in column.labels])
    size = len(known.labels)
    cells = codes[table.astype(np.int64)] @ np.array([size, 1])
    return np.eye(size * size)[cells]


def of_functions(
    of: Of, ours: np.ndarray, base: np.ndarray, groups: np.ndarray, confidence: float
) -> Difference | Reason:
    """Difference of a corpus-level function: bootstrap interval, randomisation test.

    Source: Koehn 2004 (paired bootstrap); Riezler and Maxwell 2005 (approximate randomisation).
    """
    names, codes = np.unique(groups, return_inverse=True)
    sums = [np.zeros((len(names), table.shape[1])) for table in (ours, base)]
    for total, table in zip(sums, (ours, base), strict=True):
        np.add.at(total, codes, table)
    (left, right), number = sums, len(names)
    observed = apart(of, left.sum(axis=0), right.sum(axis=0))
    if observed is None:
        return Reason("no_interval", "The function has no value for one of the two.")
    interval = redrawn(
        observed, lambda counts: [apart(of, row @ left, row @ right) for row in counts],
        len(ours), number, confidence=confidence, repeats=REPEATS,
    )  # fmt: skip
    if isinstance(interval, Reason):
        return interval
    flips = np.random.default_rng(0).integers(2, size=(REPEATS, number)).astype(np.float64)
    moved = flips @ (left - right)
    swapped = [apart(of, left.sum(axis=0) - row, right.sum(axis=0) + row) for row in moved]
    num_extreme = sum(
        value is None or abs(value) >= abs(observed) * (1 - 1e-9) for value in swapped
    )
    p = (num_extreme + 1) / (REPEATS + 1)
    return Difference(interval, p, f"swap|{REPEATS} draws", samples_needed(interval))


def apart(of: Of, ours: np.ndarray, base: np.ndarray) -> float | None:
    """The function of one corpus minus that of the other; None if either is undefined."""
    try:
        a, b = of(ours.tolist()), of(base.tolist())
    except (ZeroDivisionError, OverflowError):
        return None
    return None if isinstance(a, Reason) or isinstance(b, Reason) else float(a) - float(b)


def samples_needed(found: Interval) -> int | None:
    """Samples needed to detect a difference of the observed size with 80 % power.

    >>> samples_needed(Interval(0.02, -0.0216, 0.0616, 0.95, 200, 200))
    1768
    """
    error = (found.high - found.low) / 2 / 1.959964 if found.error is None else found.error
    deviation = error * sqrt(found.n)
    if not found.estimate or not deviation:
        return None
    count = power.needed(lambda n: power.power_of_mean(n, abs(found.estimate), deviation))
    return None if isinstance(count, Reason) else count
