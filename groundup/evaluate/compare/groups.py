"""Groups of tasks in a comparison: the mean of the tasks' paired differences.

Tasks are treated as independent, as in a group's own result. A group with a task that is not
comparable has results and no verdict.
"""

from collections.abc import Sequence
from math import erfc, sqrt
from statistics import NormalDist

from groundup.core import Reason
from groundup.measure import Interval

from ..harness.report import BY_SIZE, GroupReport, MeasureReport, Report
from ..task.group import mean_of
from .comparison import LETTERS, ComparedMeasure, ComparedTask, Versus, cell
from .difference import Difference


def compared_groups(
    reports: Sequence[Report], tasks: Sequence[ComparedTask]
) -> list[ComparedTask]:  # fmt: skip
    """The measures of each group of the first report, before verdicts."""
    compared_tasks = []
    for group in reports[0].groups:
        measures = tuple(compared(group, one, reports, tasks) for one in group.measures)
        samples = sum(task.samples for task in of(group, tasks))
        kind = f"group of {len(group.tasks)}"
        compared_tasks.append(ComparedTask(group.name, kind, samples, (), measures))
    return compared_tasks


def of(group: GroupReport, tasks: Sequence[ComparedTask]) -> list[ComparedTask]:
    return [task for task in tasks if task.name in group.tasks]


def compared(
    group: GroupReport, one: MeasureReport, reports: Sequence[Report],
    tasks: Sequence[ComparedTask],
) -> ComparedMeasure:  # fmt: skip
    """One measure of a group, for all runs."""
    parts = [m for task in of(group, tasks) for m in task.measures if m.key == one.key]
    others = [group_measure(report, group, one) for report in reports]
    versus = []
    for index in range(1, len(reports)):
        outcome: Difference | Reason = Reason(
            "not_alike", "The run has no such group, or one of other tasks."
        )
        if others[index] is not None:
            differences = [part.versus[index - 1].difference for part in parts]
            outcome = together(differences, one.aggregation == BY_SIZE)
        versus.append(Versus(LETTERS[index], outcome, None, "not compared"))
    cells = tuple(None if each is None else cell(each) for each in others)
    return ComparedMeasure(one.key, one.unit, one.better, one.aggregation, cells, tuple(versus))


def group_measure(report: Report, group: GroupReport, one: MeasureReport) -> MeasureReport | None:
    """The same measure of the same group in another report, or None."""
    for other in report.groups:
        if (other.name, other.tasks) == (group.name, group.tasks):
            for each in other.measures:
                if (each.key, each.aggregation) == (one.key, one.aggregation):
                    return each
    return None


def together(found: Sequence[Difference | Reason], by_size: bool) -> Difference | Reason:
    """The mean of the tasks' differences, with a z-test; a Reason if one is undefined.

    by_size  weight tasks by their number of samples; else equally

    >>> a = Difference(Interval(0.1, 0.0, 0.2, 0.95, 50, 50), 0.05, "", None)
    >>> b = Difference(Interval(0.3, 0.2, 0.4, 0.95, 50, 50), 0.001, "", None)
    >>> both = together([a, b], by_size=False)
    >>> print(both.interval, f"{both.p:.1g}")
    0.2 [0.1293, 0.2707] 3e-08
    """
    intervals = [each.interval for each in found if isinstance(each, Difference)]
    if len(intervals) < len(found) or not intervals:
        num_undefined = len(found) - len(intervals)
        return Reason(
            "undefined_task", f"{num_undefined} of {len(found)} tasks are not comparable."
        )
    mean = mean_of(intervals, [each.n if by_size else 1.0 for each in intervals])
    return Difference(mean, p_of(mean), "mean of tasks|normal", None)


def p_of(found: Interval) -> float:
    """Two-sided p-value of a normal estimate against 0."""
    if found.low == found.high:
        return 0.0 if found.estimate else 1.0
    error = (found.high - found.low) / 2 / NormalDist().inv_cdf((1 + found.confidence) / 2)
    return erfc(abs(found.estimate) / error / sqrt(2))
