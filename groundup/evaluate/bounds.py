"""Bounds of a gate: intervals recomputed from a report's samples at the gate's own confidence.

So the confidence of the evaluation (`--set confidence=0.01` makes every interval narrow) has no
effect. An aggregation by a task's own code cannot be recomputed; the report's interval is then used
if its confidence is at least the gate's.
"""

from groundup.core import Artifact, DataError, Reason
from groundup.measure import CONFIDENCE, Interval

from .compare.comparison import measure_of
from .harness.report import BY_SIZE, GroupReport, MeasureReport, Report, TaskReport, read_rows
from .task.aggregate import CORPUS, WAYS, aggregate
from .task.group import together
from .task.task import Measure


def bounds(
    artifact: Artifact, report: Report, part: TaskReport | GroupReport, one: MeasureReport
) -> Interval | Reason:
    """The interval of a task's or group's measure, recomputed from the scored samples."""
    if isinstance(part, TaskReport):
        return of_samples(artifact, part, one)
    intervals = []
    for task in (task for task in report.tasks if task.name in part.tasks):
        task_measure = measure_of(task, one.key)
        intervals += [of_samples(artifact, task, task_measure)] if task_measure else []
    return together(intervals, one.aggregation == BY_SIZE, one.key)


def of_samples(artifact: Artifact, task: TaskReport, one: MeasureReport) -> Interval | Reason:
    """The interval of one task's measure.

    Raises DataError if the samples contradict the report.
    """
    if one.aggregation not in (*WAYS, *CORPUS):
        if isinstance(one.result, Reason) or one.result.confidence >= CONFIDENCE:
            return one.result
        return Reason(
            "other_confidence",
            f"{one.aggregation} is the task's own code and its interval has confidence "
            f"{one.result.confidence:g}; evaluate with confidence={CONFIDENCE:g}.",
        )  # fmt: skip
    rows = [row for row in read_rows(artifact, task.name) if one.key in row["scores"]]
    values, groups = [row["scores"][one.key] for row in rows], [row["group"] for row in rows]
    fields = (one.name, one.filter, one.better, one.unit, one.aggregation, one.signature)
    result = aggregate(Measure(*fields), values, groups, CONFIDENCE)
    if isinstance(result, Interval) and isinstance(one.result, Interval):
        if abs(result.estimate - one.result.estimate) > 1e-9 * max(1.0, abs(result.estimate)):
            raise DataError(
                f"{artifact.path} reports {one.result.estimate:g} as {task.name} {one.key}, and "
                f"its samples give {result.estimate:g}; evaluate again."
            )
    return result
