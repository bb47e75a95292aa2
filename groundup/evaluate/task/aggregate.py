"""From the values of many samples to a task's number with its interval.

    mean         of numbers; of zeros and ones the share                     median
    ratio        sum of totals / sum of weights; nats a byte become bits if the unit says so
    perplexity   exp of such a ratio
    f1, mcc      of [right, chosen] labels
    bleu, chrf, chrf++, ter   of [right, answer] texts, where several may be right

What depends on each other is resampled together. A function of the corpus is computed anew for
each redrawn corpus: its value is no mean of anything. What cannot be computed is a Reason.
"""

from collections.abc import Callable, Mapping, Sequence
from math import exp, isfinite, log, sqrt
from typing import Any

import numpy as np

from groundup.core import DataError, Reason, record
from groundup.measure import (
    Bleu,
    Chrf,
    CorpusMeasure,
    Interval,
    Ter,
    bootstrap,
    corpus_interval,
    corpus_rows,
    rate,
    redrawn,
)

from .task import Measure

BITS = "bits per byte"
"""The unit whose ratios are given in nats and reported in bits."""
REPEATS = 1000
"""Redrawn corpora for a median or a function of the task's own code."""

Statistic = Callable[[list[Any]], float]


def aggregate(
    measure: Measure, values: Sequence[Any], groups: Sequence[str], confidence: float = 0.95,
    functions: Mapping[str, Statistic] | None = None,
) -> Interval | Reason:  # fmt: skip
    """A measure's number over all samples that have a value.

    groups      what is resampled together; "" is a group of its own
    functions   aggregations of the task's own code by name; see YamlTask.functions

    >>> acc = Measure("acc", "none", "higher", "share", "mean", "acc")
    >>> print(aggregate(acc, [1.0, 1.0, 1.0, 0.0], [""] * 4))
    0.75 [0.3006, 0.9544]
    >>> aggregate(acc, [], []).code
    'no_samples'
    """
    if not values:
        return Reason("no_samples", f"No sample has a value of {measure.key}.")
    named = [group or f"\0{place}" for place, group in enumerate(groups)]
    own = (functions or {}).get(measure.aggregation)
    try:
        if own is not None:
            return of_function(own, values, named, confidence)
        if measure.aggregation in CORPUS:
            return of_texts(CORPUS[measure.aggregation](), values, named, confidence)
        return WAYS[measure.aggregation](measure, values, named, confidence)
    except KeyError:
        known = ", ".join([*WAYS, *CORPUS])
        raise DataError(
            f"{measure.key}: there is no aggregation {measure.aggregation!r}; use {known}."
        ) from None
    except DataError as error:
        code = "too_few_groups" if len(set(named)) < 2 else "no_interval"
        return Reason(code, str(error))


def mean(
    measure: Measure, values: Sequence[Any], groups: list[str], confidence: float
) -> Interval | Reason:
    """The mean; of zeros and ones as a rate, whose interval is never of width zero."""
    if all(value in (0, 1) for value in values):
        return rate(values, groups, confidence=confidence)
    limits = (0.0, 1.0) if measure.unit == "share" else (-np.inf, np.inf)
    if outside := [value for value in values if not limits[0] <= value <= limits[1]]:
        said = f"{measure.key} has a value of {outside[0]:g}, and a share lies between 0 and 1"
        return Reason("not_a_share", f"{said}; give the measure another unit.")
    return bootstrap(values, groups, confidence=confidence, limits=limits)


def ratio(
    measure: Measure, values: Sequence[Any], groups: list[str], confidence: float
) -> Interval | Reason:
    """Sum of totals over sum of weights.

    >>> bits = Measure("bits_per_byte", "none", "lower", BITS, "ratio", "")
    >>> round(aggregate(bits, [[log(2) * 3, 2], [log(2) * 5, 2]], ["", ""]).estimate, 6)
    2.0
    """
    table = np.asarray(values, dtype=np.float64)  # (samples, 2)
    if table.ndim != 2 or table.shape[1] != 2:
        raise DataError(f"{measure.key}: a ratio needs [total, weight] of each sample.")
    totals = table[:, 0] / (log(2) if measure.unit == BITS else 1.0)
    limits = (0.0 if (totals >= 0).all() else -np.inf, np.inf)
    return bootstrap(
        totals, groups, weights=table[:, 1], confidence=confidence, limits=limits
    )  # fmt: skip


def perplexity(
    measure: Measure, values: Sequence[Any], groups: list[str], confidence: float
) -> Interval | Reason:
    """exp of the ratio of nats to what they are counted by."""
    found = ratio(measure, values, groups, confidence)
    if isinstance(found, Reason):
        return found
    if found.high > MOST_NATS:
        return Reason("overflow", f"{found.high:.0f} nats are too many for a perplexity.")
    return found._replace(estimate=exp(found.estimate), low=exp(found.low), high=exp(found.high))


MOST_NATS = 700.0
"""exp of more overflows a float."""


def median(
    measure: Measure, values: Sequence[Any], groups: list[str], confidence: float
) -> Interval | Reason:
    """The upper median, a value that occurs."""
    return of_function(lambda some: sorted(some)[len(some) // 2], values, groups, confidence)


def of_function(
    function: Statistic, values: Sequence[Any], groups: list[str], confidence: float
) -> Interval | Reason:
    """Any function of the values, with percentiles of it over redrawn groups."""
    members: dict[str, list[Any]] = {}
    for group, value in zip(groups, values, strict=True):
        members.setdefault(group, []).append(value)
    parts, size = list(members.values()), (len(values), len(members))

    def scores(counts: np.ndarray) -> list[float]:
        drawn = (zip(parts, row, strict=True) for row in counts.astype(int).tolist())
        return [float(function([v for part, n in some for v in part * n])) for some in drawn]

    try:
        estimate = float(function(list(values)))
        if not isfinite(estimate):
            return Reason("not_finite", f"The aggregation is {estimate}.")
        return redrawn(estimate, scores, *size, confidence=confidence, repeats=REPEATS)
    except Exception as error:  # the task's own code may raise anything
        said = record.one_line(f"{type(error).__name__}: {error}")
        return Reason("aggregation_failed", said)


def of_texts(
    measure: CorpusMeasure, values: Sequence[Any], groups: list[str], confidence: float
) -> Interval | Reason:
    """A corpus score of [right, answer] pairs, where several answers may be right."""
    golds = [right if isinstance(right, list) else [right] for right, _ in values]
    rows = corpus_rows(measure, [answer for _, answer in values], golds)
    kept = [groups[place] for place in rows.places]
    if not kept:
        return next(iter(rows.undefined.values()))
    return corpus_interval(measure, rows.rows, kept, confidence=confidence)


class F1:
    """F1 of the label 1, from labels 0 and 1; 0 where 1 never occurs.

    >>> F1().of([3, 8])                                   # 3 hits; 8 ones on both sides together
    0.75
    """

    signature = "f1|positive:1|undefined:0"

    def counts(self, candidate: str, references: Sequence[str]) -> Sequence[float] | Reason:
        """(hits, ones on both sides together) of one chosen label."""
        both = [candidate, references[0]]
        if not set(both) <= {"0", "1"}:
            return Reason("not_binary", f"F1 needs labels 0 and 1; got {', '.join(both)}.")
        return (float(both == ["1", "1"]), float(both.count("1")))

    def of(self, counts: Sequence[float]) -> float:
        """2 · hits / ones."""
        return 2 * counts[0] / counts[1] if counts[1] else 0.0


class Mcc:
    """Matthews' correlation of right and chosen labels, of any number of classes.

    0 where one side has only one label, which leaves it undefined. Source: Gorodkin 2004,
    doi:10.1016/j.compbiolchem.2004.09.006.

    >>> round(Mcc(["a", "b"]).of([2, 0, 0, 3]), 6)
    1.0
    """

    signature = "mcc|undefined:0"

    def __init__(self, labels: Sequence[str]) -> None:
        """Take the labels that occur."""
        self.places = {label: place for place, label in enumerate(labels)}

    def counts(self, candidate: str, references: Sequence[str]) -> Sequence[float]:
        """One cell of the table of right (rows) and chosen (columns) labels, flat."""
        row = [0.0] * len(self.places) ** 2
        row[self.places[references[0]] * len(self.places) + self.places[candidate]] = 1.0
        return row

    def of(self, counts: Sequence[float]) -> float:
        """The correlation of a table."""
        table = np.asarray(counts).reshape(len(self.places), -1)
        total, hits = table.sum(), np.trace(table)
        right, chosen = table.sum(axis=1), table.sum(axis=0)
        spread = sqrt(total**2 - (right**2).sum()) * sqrt(total**2 - (chosen**2).sum())
        return float((hits * total - right @ chosen) / spread) if spread else 0.0


def label(value: Any) -> str:
    """A label as text: whole numbers alike, whether written as 1, 1.0 or true.

    >>> label(1.0), label(True), label("yes")
    ('1', '1', 'yes')
    """
    return str(int(value)) if isinstance(value, int | float) and value == int(value) else str(value)


def f1(
    measure: Measure, values: Sequence[Any], groups: list[str], confidence: float
) -> Interval | Reason:
    """F1 of [right, chosen] labels."""
    return of_texts(F1(), [[label(a), label(b)] for a, b in values], groups, confidence)


def mcc(
    measure: Measure, values: Sequence[Any], groups: list[str], confidence: float
) -> Interval | Reason:
    """Matthews' correlation of [right, chosen] labels."""
    pairs = [[label(a), label(b)] for a, b in values]
    known = list(dict.fromkeys(each for pair in pairs for each in pair))
    return of_texts(Mcc(known), pairs, groups, confidence)


WAYS: dict[str, Callable[..., Interval | Reason]] = {
    "mean": mean,
    "ratio": ratio,
    "perplexity": perplexity,
    "median": median,
    "f1": f1,
    "mcc": mcc,
}
CORPUS: dict[str, Callable[[], CorpusMeasure]] = {
    "bleu": Bleu,
    "chrf": Chrf,
    "chrf++": lambda: Chrf(word_order=2),
    "ter": Ter,
}
