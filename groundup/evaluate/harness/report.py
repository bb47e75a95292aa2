"""The report of an evaluation: every number with its interval, and the samples that it came from.

    DIR/report.json          what was scored, how, and each task's measures
    DIR/samples/TASK.jsonl   one row a sample: prompt, answers, scores, or why there is none

One reader serves whoever shows, compares or gates it. Knows no model and no task.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import quote

from groundup.core import (
    Artifact,
    ArtifactError,
    DataError,
    Draft,
    Pointer,
    Reason,
    digest,
    user_name,
    write_json,
)
from groundup.measure import Interval

FORMAT = 1
BY_SIZE, EACH_ONCE = "mean of tasks by size", "mean of tasks"
"""How a group's number is made: a task counts as often as it has samples, or once."""
BASELINE = "ledger/baseline.jsonl"
HEAD = ("task", "measure", "result", "unit", "n", "undefined", "unparsed", "unanswered")
RIGHT = ("n", "undefined", "unparsed", "unanswered")


class Subject(NamedTuple):
    """The model that was scored."""

    name: str
    digest: str
    signature: str
    kind: Literal["groundup", "transformers", "endpoint"]


class MeasureReport(NamedTuple):
    """One number of a task or a group."""

    name: str
    filter: str
    """Name of the pipeline that read the answers, or "none"."""
    better: Literal["higher", "lower"]
    unit: str
    aggregation: str
    signature: str
    result: Interval | Reason
    n_scored: int
    n_undefined: int
    reasons: dict[str, int]
    """How many samples have no number, by the code of their Reason."""
    unparsed: int
    """Samples in whose answers the filter found nothing."""
    unanswered: int = 0
    """Samples whose answers were finished and held no text; they are scored as wrong."""

    @property
    def key(self) -> str:
        """Key of its scores in a sample's row: `acc`, or `exact_match,first-number`."""
        return self.name if self.filter == "none" else f"{self.name},{self.filter}"


class TaskReport(NamedTuple):
    """What a task's samples gave."""

    name: str
    kind: str
    version: str
    signature: str
    samples_sha256: str
    """Of what was scored: every sample's id, prompt, options and target."""
    samples: int
    measures: tuple[MeasureReport, ...]


def setting_of(subject: str, task: str, limit: int | None = None) -> str:
    """What besides the weights decided the answers to a task, as a digest of two signatures.

    The subject's tells format, prompt and precision, the task's examples, filters and wording. A
    limit is a setting too: who tries several has tried several candidates.
    """
    return digest([subject, task] if limit is None else [subject, task, limit])[:16]


class Access(NamedTuple):
    """A line that this evaluation left in a test set's ledger."""

    testset: str
    """Id of the test set, or of the tokens."""
    candidate: str
    """What was counted: `measure.Look.candidate`."""
    line: str
    """Hash of the line."""


class GroupReport(NamedTuple):
    """Measures over several tasks."""

    name: str
    tasks: tuple[str, ...]
    measures: tuple[MeasureReport, ...]


class Cost(NamedTuple):
    """What the model was asked for."""

    requests: int = 0
    """Asked of the model; answers from a cache are not among them."""
    prompt_tokens: int = 0
    tokens: int = 0
    """Generated or scored."""
    cached: int = 0
    """Requests whose answer was known."""
    price: float | None = None
    """In the currency of the endpoint's price list; None without one."""


class Report(NamedTuple):
    """A whole evaluation, without its samples."""

    subject: Subject
    tasks: tuple[TaskReport, ...]
    groups: tuple[GroupReport, ...] = ()
    cost: Cost = Cost()
    seconds: float = 0.0
    accesses: tuple[Access, ...] = ()
    """Its looks at test sets, as they were recorded."""

    def task(self, name: str) -> TaskReport:
        """The task of this name; DataError lists those there are."""
        for task in self.tasks:
            if task.name == name:
                return task
        names = ", ".join(task.name for task in self.tasks)
        raise DataError(f"The report has no task {name!r}; it has {names or 'none'}.")

    def plain(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "format": FORMAT,
            "subject": self.subject._asdict(),
            "tasks": [plain(task) for task in self.tasks],
            "groups": [plain(group) for group in self.groups],
            "cost": self.cost._asdict(),
            "seconds": self.seconds,
            "accesses": [each._asdict() for each in self.accesses],
        }

    def __str__(self) -> str:
        """An aligned table with a line a measure."""
        return table([HEAD, *(cells(part, one) for part in self.parts() for one in part.measures)])

    def parts(self) -> tuple[TaskReport | GroupReport, ...]:
        """The groups, then the tasks."""
        return (*self.groups, *self.tasks)


def cells(part: TaskReport | GroupReport, one: MeasureReport) -> tuple[str, ...]:
    """A measure as text, a cell a column of HEAD."""
    result = one.result
    shown = f"undefined: {why(one, result)}" if isinstance(result, Reason) else str(result)
    counts = (one.n_scored, one.n_undefined, one.unparsed, one.unanswered)
    return (part.name, one.key, shown, one.unit, *map(str, counts))


def why(one: MeasureReport, result: Reason) -> str:
    """Code of a reason; where no sample has a number, what most of them lack: `too_long (40)`."""
    if one.n_scored or not one.reasons:
        return result.code
    code = max(one.reasons, key=lambda each: one.reasons[each])
    return f"{code} ({one.reasons[code]:,})"


def table(rows: list[tuple[str, ...]]) -> str:
    """Rows in aligned columns, the first being the head.

    >>> print(table([("task", "n"), ("sums", "10")]))
    task   n
    sums  10
    """
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        padded = (
            text.rjust(width) if head in RIGHT else text.ljust(width)
            for text, width, head in zip(row, widths, rows[0], strict=True)
        )  # fmt: skip
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def plain(part: TaskReport | GroupReport) -> dict[str, Any]:
    """A task or group as JSON values."""
    return {**part._asdict(), "measures": [plain_measure(each) for each in part.measures]}


def plain_measure(measure: MeasureReport) -> dict[str, Any]:
    """A measure as JSON values: its result under `interval` or `undefined`, the other is null."""
    found, result = measure._asdict(), measure.result
    del found["result"]
    is_reason = isinstance(result, Reason)
    found["interval"] = None if is_reason else result._asdict()
    found["undefined"] = result._asdict() if is_reason else None
    return found


def write_report(draft: Draft, report: Report) -> None:
    """Write report.json; the samples are written as they are scored."""
    write_json(draft.file("report.json"), report.plain())


def read_report(artifact: Artifact) -> Report:
    """Read an artifact that `groundup evaluate` made.

    Raises ArtifactError if it is no such report, or one of another format.
    """
    if artifact.stage != "evaluate":  # a recipe's page and a scaling law are reports too
        raise ArtifactError(
            f"Expected an evaluation, got a report of the stage {artifact.stage!r} "
            f"({artifact.path}); make one with `groundup evaluate`."
        )
    path = artifact.file("report.json")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data.get("format") != FORMAT:
            raise ArtifactError(
                f"{path} has format {data.get('format')}; this groundup reads {FORMAT}: "
                "run `groundup evaluate` again."
            )
        return Report(
            subject=Subject(**data["subject"]),
            tasks=tuple(TaskReport(**measured(each)) for each in data["tasks"]),
            groups=tuple(
                GroupReport(**measured(each | {"tasks": tuple(each["tasks"])}))
                for each in data["groups"]
            ),
            cost=Cost(**data["cost"]),
            seconds=data["seconds"],
            accesses=tuple(Access(**each) for each in data.get("accesses", ())),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{path} is damaged or no evaluation's report ({error}).") from None


def measured(part: dict[str, Any]) -> dict[str, Any]:
    """The fields of a task or group, its measures made from JSON."""
    return part | {"measures": tuple(measure_from(each) for each in part["measures"])}


def measure_from(row: dict[str, Any]) -> MeasureReport:
    """The measure that `plain_measure` wrote."""
    fields = {name: value for name, value in row.items() if name not in ("interval", "undefined")}
    has_reason = row["interval"] is None
    result = Reason(**row["undefined"]) if has_reason else Interval(**row["interval"])
    return MeasureReport(**fields, result=result)


def remember_baseline(report: Artifact, baseline: Artifact) -> None:
    """Note what a report was compared with, so that a gate need not be told."""
    pointer, place = Pointer(report.path / BASELINE), os.path.relpath(baseline.path, report.path)
    if pointer.value != place:
        pointer.move(pointer.value, place, author=user_name(), reason="evaluate --against")


def baseline_of(report: Artifact) -> Path | None:
    """The report that this one was compared with when it was made, if any."""
    place = Pointer(report.path / BASELINE).value
    return None if place is None else Path(os.path.normpath(report.path / place))


def samples_file(task: str) -> str:
    """Name of a task's samples inside the artifact; a path's slashes are spelt out.

    >>> samples_file("arithmetic/add")
    'samples/arithmetic%2Fadd.jsonl'
    """
    return f"samples/{quote(task, safe=' ')}.jsonl"


def read_rows(artifact: Artifact, task: str) -> Iterator[dict[str, Any]]:
    """Yield the samples of a task as they were scored, in order, one at a time.

    Raises ArtifactError naming the line that is damaged.
    """
    path = artifact.file(samples_file(task))
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield json.loads(line)
            except ValueError as error:
                raise ArtifactError(f"{path}, line {number} is damaged ({error}).") from None
