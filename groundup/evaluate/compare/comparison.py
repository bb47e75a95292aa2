"""Comparison of runs: every task, group and measure against the first report's, with verdicts.

The first run is the baseline. Only equal samples in equal order, task, version, signature and
measure are compared; anything else is shown with the reason. P-values are corrected by Holm over
all comparisons of all measures, so that hardly any of many equal runs is called better. A group's
difference is the mean of its tasks', treated as independent; a group with a task that is not
comparable has results and no verdict.
"""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from math import erfc, sqrt
from statistics import NormalDist
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from groundup.core import Artifact, ArtifactError, ConfigError, Reason
from groundup.measure import Interval, significance

from ..harness.report import (
    WEIGHTED_BY_SIZE,
    EvaluationReport,
    GroupReport,
    MeasureReport,
    TaskReport,
    read_sample_rows,
)
from ..task.aggregate import weighted_mean
from ..task.task import Better
from .difference import PairedDifference, ScoreColumn, compare_columns

SIGNIFICANCE_LEVEL = 0.05
RUN_LETTERS = "ABCDEF"

Verdict = Literal["better", "worse", "not told apart", "not compared"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


class ComparedRun(NamedTuple):
    """One of the compared reports."""

    letter: str
    name: str
    kind: str
    digest: str
    signature: str


class BaselineComparison(NamedTuple):
    """A run against the first one in one measure."""

    letter: str
    difference: PairedDifference | Reason
    """The run minus the first."""
    p: float | None
    """Corrected by Holm over all comparisons."""
    verdict: Verdict


class ComparedMeasure(NamedTuple):
    """One measure of a task, for all runs."""

    key: str
    unit: str
    better: Better
    aggregation: str
    cells: tuple[MeasureReport | None, ...]
    """One per run; None where the run lacks the measure."""
    versus: tuple[BaselineComparison, ...]


class ComparedTask(NamedTuple):
    """One task, for all runs."""

    name: str
    kind: str
    samples: int
    runs: tuple[int, ...]
    """Indices of the runs with equal samples, the first one first."""
    measures: tuple[ComparedMeasure, ...]


class Comparison(NamedTuple):
    """All runs and their comparisons."""

    runs: tuple[ComparedRun, ...]
    tasks: tuple[ComparedTask, ...]
    comparisons: int
    """Number of p-values that were corrected together."""

    def verdicts(
        self, word: Verdict
    ) -> list[tuple[ComparedTask, ComparedMeasure, BaselineComparison]]:
        """All comparisons with this verdict."""
        return [
            (task, measure, versus)
            for task in self.tasks
            for measure in task.measures
            for versus in measure.versus
            if versus.verdict == word
        ]

    def headline(self) -> str:
        """The outcome in one sentence: `Of 10 comparisons 3 are better, none worse, 7 …`."""
        counts = {word: len(self.verdicts(word)) for word in VERDICTS}
        better, worse, *others = (f"{count or 'none'} {word}" for word, count in counts.items())
        nonzero = [text for text in others if not text.startswith("none ")]
        outcome = ", ".join([better.replace(" ", " is " if counts["better"] == 1 else " are ", 1),
                          worse, *nonzero])  # fmt: skip
        total = sum(counts.values())
        return f"Of {total} comparison{'s' * (total != 1)} with {self.runs[0].name}, {outcome}."


class AlignedSample(NamedTuple):
    """One sample of several runs."""

    number: int
    """Its index in the task."""
    rows: tuple[dict[str, Any], ...]


def label_runs(
    reports: Sequence[EvaluationReport], artifacts: Sequence[Artifact]
) -> tuple[ComparedRun, ...]:
    """Letters and names; a duplicate name gets its report's folder.

    Raises ConfigError for fewer than two or more than six reports.
    """
    if not 2 <= len(reports) <= len(RUN_LETTERS):
        raise ConfigError(f"Compare 2 to {len(RUN_LETTERS)} reports; got {len(reports)}.")
    names = [report.subject.name for report in reports]
    labels = [
        f"{name} ({artifact.path.name})" if names.count(name) > 1 else name
        for name, artifact in zip(names, artifacts, strict=True)
    ]
    return tuple(
        ComparedRun(letter, name, r.subject.kind, r.subject.digest, r.subject.signature)
        for letter, name, r in zip(RUN_LETTERS, labels, reports, strict=False)
    )


def mismatch_reason(first: TaskReport, other: TaskReport | None) -> Reason | None:
    """Why two runs of a task are not comparable; None if they are."""
    if other is None:
        return Reason("not_measured", "The run has no such task.")
    for name, what in (
        ("version", "versions of the task"), ("signature", "rules (few-shot, template, prompts)"),
        ("samples_sha256", "samples"), ("samples", "numbers of samples"),
    ):  # fmt: skip
        a, b = getattr(first, name), getattr(other, name)
        if a != b and name == "samples_sha256" and first.samples != other.samples:
            return Reason(
                "not_alike",
                f"Other samples: the limits differ ({first.samples:,} and {other.samples:,}).",
            )
        if a != b:
            return Reason("not_alike", f"Other {what}: {str(a)[:60]} and {str(b)[:60]}.")
    return None


def find_measure(task: TaskReport | None, key: str) -> MeasureReport | None:
    """The measure with this key, or None."""
    return next((each for each in task.measures if each.key == key), None) if task else None


def find_task(report: EvaluationReport, name: str) -> TaskReport | None:
    """The task of this name, or None."""
    return next((task for task in report.tasks if task.name == name), None)


def align_samples(artifacts: Sequence[Artifact], task: str) -> Iterator[AlignedSample]:
    """Yield the runs' rows of each sample of a task.

    Raises ArtifactError if the ids differ although the reports claim equal samples.
    """
    streams = [read_sample_rows(artifact, task) for artifact in artifacts]
    for number, rows in enumerate(zip_longest(*streams)):
        if None in rows:
            raise ArtifactError(f"The reports have different numbers of samples of {task}.")
        ids = {row.get("id") for row in rows}
        if len(ids) > 1:
            raise ArtifactError(
                f"Sample {number + 1} of {task} has different ids; create the reports again."
            )
        yield AlignedSample(number, rows)


class TaskScores:
    """The scores of one task, collected from its samples."""

    def __init__(self, measures: Sequence[MeasureReport], runs: int) -> None:
        self.columns = {m.key: [ScoreColumn(m.aggregation) for _ in range(runs)] for m in measures}
        self.groups: dict[str, int] = {}
        self.codes: list[int] = []

    def add(self, sample: AlignedSample) -> None:
        """Add one sample."""
        group = sample.rows[0].get("group") or f"\0{sample.number}"
        self.codes.append(self.groups.setdefault(group, len(self.groups)))
        for key, columns in self.columns.items():
            for column, row in zip(columns, sample.rows, strict=True):
                column.append(row["scores"].get(key))

    def difference(self, measure: MeasureReport, place: int) -> PairedDifference | Reason:
        """The run at this index minus the first."""
        first, *_ = columns = self.columns[measure.key]
        return compare_columns(measure, first, columns[place], np.array(self.codes, dtype=np.int64))


def compare_task_runs(
    task: TaskReport, reports: Sequence[EvaluationReport], scores: TaskScores, runs: Sequence[int]
) -> ComparedTask:
    """One task of all runs, before verdicts."""
    others = [find_task(report, task.name) for report in reports]
    base = others[0]
    measures = []
    for measure in task.measures:
        cells = tuple(find_measure(other, measure.key) for other in others)
        versus = []
        for index in range(1, len(reports)):
            reason = (
                mismatch_reason(task, others[index]) or _measure_mismatch(measure, cells[index])
                if base
                else Reason("not_measured", f"{RUN_LETTERS[0]} has no such task.")
            )
            outcome = reason or scores.difference(measure, list(runs).index(index))
            versus.append(BaselineComparison(RUN_LETTERS[index], outcome, None, "not compared"))
        fields = (measure.key, measure.unit, measure.better, measure.aggregation)
        measures.append(ComparedMeasure(*fields, cells, tuple(versus)))
    return ComparedTask(task.name, task.kind, task.samples, tuple(runs), tuple(measures))


def _measure_mismatch(first: MeasureReport, other: MeasureReport | None) -> Reason | None:
    if other is None:
        return Reason("not_measured", "The run has no such measure.")
    if (first.signature, first.aggregation) != (other.signature, other.aggregation):
        return Reason(
            "not_alike", f"Other rules: {first.signature[:60]} and {other.signature[:60]}."
        )
    return None


def assign_verdicts(runs: tuple[ComparedRun, ...], tasks: Sequence[ComparedTask]) -> Comparison:
    """Correct all p-values together and assign the verdicts."""
    all_versus = [v for task in tasks for measure in task.measures for v in measure.versus]
    tested = [v.difference.p for v in all_versus if isinstance(v.difference, PairedDifference)]
    corrected = iter(significance.adjust_p_values(tested, "holm") if tested else [])
    with_verdicts = []
    for task in tasks:
        measures = []
        for measure in task.measures:
            versus = tuple(_with_verdict(v, measure.better, corrected) for v in measure.versus)
            measures.append(measure._replace(versus=versus))
        with_verdicts.append(task._replace(measures=tuple(measures)))
    return Comparison(runs, tuple(with_verdicts), len(tested))


def _with_verdict(
    versus: BaselineComparison, better: Better, corrected: Iterator[float]
) -> BaselineComparison:
    found = versus.difference
    if isinstance(found, Reason):
        return versus
    p = next(corrected)
    word: Verdict = "not told apart"
    holds_zero = found.interval.low <= 0 <= found.interval.high  # wider than the p-value implies
    if p < SIGNIFICANCE_LEVEL and not holds_zero:
        word = "better" if (found.interval.estimate > 0) == (better == "higher") else "worse"
    return versus._replace(p=p, verdict=word)


def compare_groups(
    reports: Sequence[EvaluationReport], tasks: Sequence[ComparedTask]
) -> list[ComparedTask]:  # fmt: skip
    """The measures of each group of the first report, before verdicts."""
    compared_tasks = []
    for group in reports[0].groups:
        measures = tuple(
            _compare_group_measure(group, one, reports, tasks) for one in group.measures
        )
        samples = sum(task.samples for task in _tasks_of_group(group, tasks))
        kind = f"group of {len(group.tasks)}"
        compared_tasks.append(ComparedTask(group.name, kind, samples, (), measures))
    return compared_tasks


def _tasks_of_group(group: GroupReport, tasks: Sequence[ComparedTask]) -> list[ComparedTask]:
    return [task for task in tasks if task.name in group.tasks]


def _compare_group_measure(
    group: GroupReport, measure: MeasureReport, reports: Sequence[EvaluationReport],
    tasks: Sequence[ComparedTask],
) -> ComparedMeasure:  # fmt: skip
    parts = [
        m for task in _tasks_of_group(group, tasks) for m in task.measures if m.key == measure.key
    ]
    cells = tuple(_find_group_measure(report, group, measure) for report in reports)
    versus = []
    for index in range(1, len(reports)):
        outcome: PairedDifference | Reason = Reason(
            "not_alike", "The run has no such group, or one of other tasks."
        )
        if cells[index] is not None:
            differences = [part.versus[index - 1].difference for part in parts]
            outcome = _mean_difference(differences, measure.aggregation == WEIGHTED_BY_SIZE)
        versus.append(BaselineComparison(RUN_LETTERS[index], outcome, None, "not compared"))
    return ComparedMeasure(
        measure.key, measure.unit, measure.better, measure.aggregation, cells, tuple(versus)
    )


def _find_group_measure(
    report: EvaluationReport, group: GroupReport, measure: MeasureReport
) -> MeasureReport | None:
    for other in report.groups:
        if (other.name, other.tasks) == (group.name, group.tasks):
            for each in other.measures:
                if (each.key, each.aggregation) == (measure.key, measure.aggregation):
                    return each
    return None


def _mean_difference(
    differences: Sequence[PairedDifference | Reason], by_size: bool
) -> PairedDifference | Reason:
    """The mean of the tasks' differences, with a z-test; a Reason if one is undefined.

    by_size  weight tasks by their number of samples; else equally

    >>> a = PairedDifference(Interval(0.1, 0.0, 0.2, 0.95, 50, 50), 0.05, "", None)
    >>> b = PairedDifference(Interval(0.3, 0.2, 0.4, 0.95, 50, 50), 0.001, "", None)
    >>> both = _mean_difference([a, b], by_size=False)
    >>> print(both.interval, f"{both.p:.1g}")
    0.2 [0.1293, 0.2707] 3e-08
    """
    intervals = [each.interval for each in differences if isinstance(each, PairedDifference)]
    if len(intervals) < len(differences) or not intervals:
        num_undefined = len(differences) - len(intervals)
        return Reason(
            "undefined_task", f"{num_undefined} of {len(differences)} tasks are not comparable."
        )
    mean = weighted_mean(intervals, [each.n if by_size else 1.0 for each in intervals])
    return PairedDifference(mean, _normal_p_value(mean), "mean of tasks|normal", None)


def _normal_p_value(interval: Interval) -> float:
    if interval.low == interval.high:
        return 0.0 if interval.estimate else 1.0
    error = (interval.high - interval.low) / 2 / NormalDist().inv_cdf((1 + interval.confidence) / 2)
    return erfc(abs(interval.estimate) / error / sqrt(2))
