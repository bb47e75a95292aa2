"""Aggregation of the samples' values into a task's result with its interval.

    mean         of numbers; of zeros and ones the share                     median
    ratio        sum of totals / sum of weights; from nats to bits if the unit is bits per byte
    perplexity   exp of such a ratio
    f1, mcc      of [target, chosen] labels
    bleu, chrf, chrf++, ter   of [target, answer] texts, with one or several targets

Dependent samples are resampled together. A corpus-level function is recomputed for each bootstrap
resample. An undefined result is a Reason. A group's result is the mean of its tasks', which its
interval treats as independent.
"""

from collections.abc import Callable, Mapping, Sequence
from math import exp, isfinite, log, sqrt
from typing import Any, NamedTuple

import numpy as np

from groundup.core import DataError, Reason, record
from groundup.measure import (
    Bleu,
    Chrf,
    CorpusMeasure,
    Interval,
    Ter,
    bootstrap,
    corpus_counts,
    corpus_interval,
    percentile_interval,
    rate,
)

from .task import TaskGroup, TaskMeasure, score_key

BITS_PER_BYTE = "bits per byte"
"""The unit whose ratios are computed in nats and reported in bits."""
NUM_RESAMPLES = 1000
"""Bootstrap resamples of a median or a function of the task's own code."""

Statistic = Callable[[list[Any]], float]


def aggregate(
    measure: TaskMeasure, values: Sequence[Any], groups: Sequence[str], confidence: float = 0.95,
    functions: Mapping[str, Statistic] | None = None,
) -> Interval | Reason:  # fmt: skip
    """A measure's result over all samples that have a value.

    groups      samples with equal groups are resampled together; "" is a group of its own
    functions   aggregations of the task's own code by name; see YamlTask.functions

    >>> acc = TaskMeasure("acc", "none", "higher", "share", "mean", "acc")
    >>> print(aggregate(acc, [1.0, 1.0, 1.0, 0.0], [""] * 4))
    0.75 [0.3006, 0.9544]
    >>> aggregate(acc, [], []).code
    'no_samples'
    """
    if not values:
        return Reason("no_samples", f"No sample has a value of {measure.key}.")
    named = [group or f"\0{index}" for index, group in enumerate(groups)]
    function = (functions or {}).get(measure.aggregation)
    try:
        if function is not None:
            return _function_interval(function, values, named, confidence)
        if measure.aggregation in CORPUS_AGGREGATIONS:
            return _corpus_score_interval(
                CORPUS_AGGREGATIONS[measure.aggregation](), values, named, confidence
            )
        return SAMPLE_AGGREGATIONS[measure.aggregation](measure, values, named, confidence)
    except KeyError:
        names = ", ".join([*SAMPLE_AGGREGATIONS, *CORPUS_AGGREGATIONS])
        raise DataError(
            f"{measure.key}: unknown aggregation {measure.aggregation!r}; use {names}."
        ) from None
    except DataError as error:
        code = "too_few_groups" if len(set(named)) < 2 else "no_interval"
        return Reason(code, str(error))


def _mean_interval(
    measure: TaskMeasure, values: Sequence[Any], groups: list[str], confidence: float
) -> Interval | Reason:
    """The mean; of zeros and ones as a rate, whose interval never has zero width."""
    if all(value in (0, 1) for value in values):
        return rate(values, groups, confidence=confidence)
    limits = (0.0, 1.0) if measure.unit == "share" else (-np.inf, np.inf)
    if outside := [value for value in values if not limits[0] <= value <= limits[1]]:
        message = f"{measure.key} has the value {outside[0]:g}, but its unit is a share (0 to 1)."
        return Reason("not_a_share", message)
    return bootstrap(values, groups, confidence=confidence, limits=limits)


def _ratio_interval(
    measure: TaskMeasure, values: Sequence[Any], groups: list[str], confidence: float
) -> Interval | Reason:
    """Sum of totals over sum of weights.

    >>> bits = TaskMeasure("bits_per_byte", "none", "lower", BITS_PER_BYTE, "ratio", "")
    >>> round(aggregate(bits, [[log(2) * 3, 2], [log(2) * 5, 2]], ["", ""]).estimate, 6)
    2.0
    """
    table = np.asarray(values, dtype=np.float64)  # (samples, 2)
    if table.ndim != 2 or table.shape[1] != 2:
        raise DataError(f"{measure.key}: a ratio needs [total, weight] per sample.")
    totals = table[:, 0] / (log(2) if measure.unit == BITS_PER_BYTE else 1.0)
    limits = (0.0 if (totals >= 0).all() else -np.inf, np.inf)
    return bootstrap(
        totals, groups, weights=table[:, 1], confidence=confidence, limits=limits
    )  # fmt: skip


def _perplexity_interval(
    measure: TaskMeasure, values: Sequence[Any], groups: list[str], confidence: float
) -> Interval | Reason:
    """exp of the ratio of nats to words, bytes or samples."""
    interval = _ratio_interval(measure, values, groups, confidence)
    if isinstance(interval, Reason):
        return interval
    if interval.high > MAX_NATS:
        return Reason("overflow", f"The perplexity exp({interval.high:.0f}) overflows.")
    return interval._replace(
        estimate=exp(interval.estimate), low=exp(interval.low), high=exp(interval.high)
    )


MAX_NATS = 700.0
"""exp of a larger value overflows a float."""


def _median_interval(
    measure: TaskMeasure, values: Sequence[Any], groups: list[str], confidence: float
) -> Interval | Reason:
    return _function_interval(lambda some: sorted(some)[len(some) // 2], values, groups, confidence)


def _function_interval(
    function: Statistic, values: Sequence[Any], groups: list[str], confidence: float
) -> Interval | Reason:
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
        return percentile_interval(
            estimate, scores, *size, confidence=confidence, repeats=NUM_RESAMPLES
        )
    except Exception as error:  # the task's own code may raise anything
        message = record.single_line(f"{type(error).__name__}: {error}")
        return Reason("aggregation_failed", message)


def _corpus_score_interval(
    measure: CorpusMeasure, values: Sequence[Any], groups: list[str], confidence: float
) -> Interval | Reason:
    """A corpus score of [target, answer] pairs, with one or several targets."""
    golds = [right if isinstance(right, list) else [right] for right, _ in values]
    rows = corpus_counts(measure, [answer for _, answer in values], golds)
    kept_groups = [groups[place] for place in rows.indices]
    if not kept_groups:
        return next(iter(rows.undefined.values()))
    return corpus_interval(measure, rows.rows, kept_groups, confidence=confidence)


class F1:
    """F1 of the label 1, from labels 0 and 1; 0 where 1 never occurs.

    >>> F1().from_counts([3, 8])                         # 3 hits; 8 ones on both sides together
    0.75
    """

    signature = "f1|positive:1|undefined:0"

    def counts(self, candidate: str, references: Sequence[str]) -> Sequence[float] | Reason:
        """(hits, ones on both sides together) of one sample."""
        both = [candidate, references[0]]
        if not set(both) <= {"0", "1"}:
            return Reason("not_binary", f"F1 needs labels 0 and 1; got {', '.join(both)}.")
        return (float(both == ["1", "1"]), float(both.count("1")))

    def from_counts(self, counts: Sequence[float]) -> float:
        """2 · hits / ones."""
        return 2 * counts[0] / counts[1] if counts[1] else 0.0


class Mcc:
    """Matthews correlation of target and chosen labels, for any number of classes.

    0 where it is undefined because one side has only one label. Source: Gorodkin 2004,
    doi:10.1016/j.compbiolchem.2004.09.006.

    >>> round(Mcc(["a", "b"]).from_counts([2, 0, 0, 3]), 6)
    1.0
    """

    signature = "mcc|undefined:0"

    def __init__(self, labels: Sequence[str]) -> None:
        """Take all labels that occur."""
        self.indices = {label: place for place, label in enumerate(labels)}

    def counts(self, candidate: str, references: Sequence[str]) -> Sequence[float]:
        """One cell of the confusion matrix, targets in rows, flattened."""
        row = [0.0] * len(self.indices) ** 2
        row[self.indices[references[0]] * len(self.indices) + self.indices[candidate]] = 1.0
        return row

    def from_counts(self, counts: Sequence[float]) -> float:
        """The correlation of a summed confusion matrix."""
        table = np.asarray(counts).reshape(len(self.indices), -1)
        total, hits = table.sum(), np.trace(table)
        right, chosen = table.sum(axis=1), table.sum(axis=0)
        spread = sqrt(total**2 - (right**2).sum()) * sqrt(total**2 - (chosen**2).sum())
        return float((hits * total - right @ chosen) / spread) if spread else 0.0


def label_text(value: Any) -> str:
    """A label as text; integers are equal whether written as 1, 1.0 or true.

    >>> label_text(1.0), label_text(True), label_text("yes")
    ('1', '1', 'yes')
    """
    return str(int(value)) if isinstance(value, int | float) and value == int(value) else str(value)


def _label_interval(
    measure: TaskMeasure, values: Sequence[Any], groups: list[str], confidence: float
) -> Interval | Reason:
    pairs = [[label_text(a), label_text(b)] for a, b in values]
    labels = list(dict.fromkeys(each for pair in pairs for each in pair))
    function = F1() if measure.aggregation == "f1" else Mcc(labels)
    return _corpus_score_interval(function, pairs, groups, confidence)


SAMPLE_AGGREGATIONS: dict[str, Callable[..., Interval | Reason]] = {
    "mean": _mean_interval,
    "ratio": _ratio_interval,
    "perplexity": _perplexity_interval,
    "median": _median_interval,
    "f1": _label_interval,
    "mcc": _label_interval,
}
CORPUS_AGGREGATIONS: dict[str, Callable[[], CorpusMeasure]] = {
    "bleu": Bleu,
    "chrf": Chrf,
    "chrf++": lambda: Chrf(word_order=2),
    "ter": Ter,
}


class GroupResult(NamedTuple):
    """A measure of a group."""

    name: str
    filter: str
    result: Interval | Reason
    tasks: tuple[str, ...]
    """Tasks that report the measure; the result excludes the others."""
    weight_by_size: bool


def aggregate_groups(
    group: TaskGroup, results: Mapping[str, Mapping[str, Interval | Reason]]
) -> list[GroupResult]:
    """Aggregate a group from its tasks' results, given by task and TaskMeasure.key."""
    names = [task.name for task in group.tasks()]
    summaries = []
    for measure in group.measures:
        for filter_name in measure.filters or _group_filters(group, measure.name):
            key = score_key(measure.name, filter_name)
            by_task = {name: results[name][key] for name in names if key in results.get(name, {})}
            result = mean_result(list(by_task.values()), measure.weight_by_size, key)
            summaries.append(
                GroupResult(
                    measure.name, filter_name, result, tuple(by_task), measure.weight_by_size
                )
            )
    return summaries


def _group_filters(group: TaskGroup, measure: str) -> list[str]:
    return sorted({m.filter for task in group.tasks() for m in task.measures if m.name == measure})


def mean_result(
    results: Sequence[Interval | Reason], weight_by_size: bool, key: str
) -> Interval | Reason:
    """The mean of the tasks' results; a Reason if one is undefined."""
    if not results:
        return Reason("no_task", f"No task of the group reports {key}.")
    intervals = [each for each in results if isinstance(each, Interval)]
    if len(intervals) < len(results):
        num_undefined = len(results) - len(intervals)
        return Reason("undefined_task", f"{num_undefined} of {len(results)} tasks have no {key}.")
    return weighted_mean(intervals, [each.n if weight_by_size else 1 for each in intervals])


def weighted_mean(results: Sequence[Interval], weights: Sequence[float]) -> Interval:
    """Weighted mean of independent results; the errors of each side add in squares.

    Source: Zou and Donner 2008, doi:10.1002/sim.3095 (MOVER).

    >>> a = Interval(0.5, 0.4, 0.6, 0.95, 100, 100)
    >>> b = Interval(0.8, 0.7, 0.9, 0.95, 300, 300)
    >>> print(weighted_mean([a, b], [100, 300]))
    0.725 [0.6459, 0.8041]
    """
    shares = [weight / sum(weights) for weight in weights]
    pairs = list(zip(shares, results, strict=True))
    estimate = sum(share * each.estimate for share, each in pairs)
    below = sqrt(sum((share * (each.estimate - each.low)) ** 2 for share, each in pairs))
    above = sqrt(sum((share * (each.high - each.estimate)) ** 2 for share, each in pairs))
    n, groups = sum(each.n for each in results), sum(each.groups for each in results)
    confidence = results[0].confidence
    return Interval(estimate, estimate - below, estimate + above, confidence, n, groups)
