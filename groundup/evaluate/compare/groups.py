"""Groups of tasks in a comparison: the mean of the tasks' paired differences.

Tasks are treated as independent, as in a group's own result. A group with a task that is not
comparable has results and no verdict.
"""

from collections.abc import Sequence
from math import erfc, sqrt
from statistics import NormalDist

from groundup.core import Reason
from groundup.measure import Interval

from ..harness.report import WEIGHTED_BY_SIZE, EvaluationReport, GroupReport, MeasureReport
from ..task.catalogue import weighted_mean
from .comparison import RUN_LETTERS, BaselineComparison, ComparedMeasure, ComparedTask, measure_cell
from .difference import PairedDifference


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
    """One measure of a group, for all runs."""
    parts = [
        m for task in _tasks_of_group(group, tasks) for m in task.measures if m.key == measure.key
    ]
    others = [_find_group_measure(report, group, measure) for report in reports]
    versus = []
    for index in range(1, len(reports)):
        outcome: PairedDifference | Reason = Reason(
            "not_alike", "The run has no such group, or one of other tasks."
        )
        if others[index] is not None:
            differences = [part.versus[index - 1].difference for part in parts]
            outcome = _mean_difference(differences, measure.aggregation == WEIGHTED_BY_SIZE)
        versus.append(BaselineComparison(RUN_LETTERS[index], outcome, None, "not compared"))
    cells = tuple(None if each is None else measure_cell(each) for each in others)
    return ComparedMeasure(
        measure.key, measure.unit, measure.better, measure.aggregation, cells, tuple(versus)
    )


def _find_group_measure(
    report: EvaluationReport, group: GroupReport, measure: MeasureReport
) -> MeasureReport | None:
    """The same measure of the same group in another report, or None."""
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
    """Two-sided p-value of a normal estimate against 0."""
    if interval.low == interval.high:
        return 0.0 if interval.estimate else 1.0
    error = (interval.high - interval.low) / 2 / NormalDist().inv_cdf((1 + interval.confidence) / 2)
    return erfc(abs(interval.estimate) / error / sqrt(2))
