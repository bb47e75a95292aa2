"""Bounds of a gate: intervals made anew of a report's samples, with the gate's own confidence.

What an evaluation was told to show (`--set confidence=0.01` makes every interval narrow) decides
nothing. A function of a task's own code is not known here; then the report's interval counts if it
is as wide as the gate's or wider, and else there is none.
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
    """The interval of a task's or group's measure, of the samples as they were scored."""
    if isinstance(part, TaskReport):
        return of_samples(artifact, part, one)
    found = []
    for task in (task for task in report.tasks if task.name in part.tasks):
        own = measure_of(task, one.key)
        found += [of_samples(artifact, task, own)] if own else []
    return together(found, one.aggregation == BY_SIZE, one.key)


def of_samples(artifact: Artifact, task: TaskReport, one: MeasureReport) -> Interval | Reason:
    """The interval of one task's measure.

    Raises DataError if the samples do not give the report's number.
    """
    if one.aggregation not in (*WAYS, *CORPUS):
        if isinstance(one.result, Reason) or one.result.confidence >= CONFIDENCE:
            return one.result
        return Reason(
            "other_confidence",
            f"{one.aggregation} is the task's own code, and its interval has a confidence of "
            f"{one.result.confidence:g}; evaluate with confidence={CONFIDENCE:g}.",
        )  # fmt: skip
    kept = [row for row in read_rows(artifact, task.name) if one.key in row["scores"]]
    values, groups = [row["scores"][one.key] for row in kept], [row["group"] for row in kept]
    about = (one.name, one.filter, one.better, one.unit, one.aggregation, one.signature)
    found = aggregate(Measure(*about), values, groups, CONFIDENCE)
    if isinstance(found, Interval) and isinstance(one.result, Interval):
        if abs(found.estimate - one.result.estimate) > 1e-9 * max(1.0, abs(found.estimate)):
            raise DataError(
                f"{artifact.path} reports {one.result.estimate:g} as {task.name} {one.key}, and "
                f"its samples give {found.estimate:g}; evaluate again."
            )
    return found
