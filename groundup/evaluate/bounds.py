"""Bounds of a gate: intervals recomputed from a report's samples at the gate's own confidence.

So the confidence of the evaluation (`--set confidence=0.01` makes every interval narrow) has no
effect. An aggregation by a task's own code cannot be recomputed; the report's interval is then used
if its confidence is at least the gate's.
"""

from groundup.core import Artifact, DataError, Reason
from groundup.measure import CONFIDENCE, Interval

from .compare.comparison import find_measure
from .harness.report import (
    WEIGHTED_BY_SIZE,
    EvaluationReport,
    GroupReport,
    MeasureReport,
    TaskReport,
    read_sample_rows,
)
from .task.aggregate import CORPUS_AGGREGATIONS, SAMPLE_AGGREGATIONS, aggregate
from .task.group import mean_result
from .task.task import TaskMeasure


def gate_interval(
    artifact: Artifact,
    report: EvaluationReport,
    result: TaskReport | GroupReport,
    measure: MeasureReport,
) -> Interval | Reason:
    """The interval of a task's or group's measure, recomputed from the scored samples."""
    if isinstance(result, TaskReport):
        return _interval_of_task(artifact, result, measure)
    intervals = []
    for task in (task for task in report.tasks if task.name in result.tasks):
        task_measure = find_measure(task, measure.key)
        intervals += [_interval_of_task(artifact, task, task_measure)] if task_measure else []
    return mean_result(intervals, measure.aggregation == WEIGHTED_BY_SIZE, measure.key)


def _interval_of_task(
    artifact: Artifact, task: TaskReport, measure: MeasureReport
) -> Interval | Reason:
    """The interval of one task's measure.

    Raises DataError if the samples contradict the report.
    """
    if measure.aggregation not in (*SAMPLE_AGGREGATIONS, *CORPUS_AGGREGATIONS):
        if isinstance(measure.result, Reason) or measure.result.confidence >= CONFIDENCE:
            return measure.result
        return Reason(
            "other_confidence",
            f"{measure.aggregation} is the task's own code and its interval has confidence "
            f"{measure.result.confidence:g}; evaluate with confidence={CONFIDENCE:g}.",
        )  # fmt: skip
    rows = [row for row in read_sample_rows(artifact, task.name) if measure.key in row["scores"]]
    values, groups = [row["scores"][measure.key] for row in rows], [row["group"] for row in rows]
    fields = (
        measure.name,
        measure.filter,
        measure.better,
        measure.unit,
        measure.aggregation,
        measure.signature,
    )
    result = aggregate(TaskMeasure(*fields), values, groups, CONFIDENCE)
    if isinstance(result, Interval) and isinstance(measure.result, Interval):
        if abs(result.estimate - measure.result.estimate) > 1e-9 * max(1.0, abs(result.estimate)):
            raise DataError(
                f"{artifact.path} reports {measure.result.estimate:g} as {task.name} "
                f"{measure.key}, and "
                f"its samples give {result.estimate:g}; evaluate again."
            )
    return result
