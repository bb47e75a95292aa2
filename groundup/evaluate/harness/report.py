"""The report of an evaluation: every measure with its interval, and the samples behind it.

    DIR/report.json          what was scored, how, and each task's measures
    DIR/samples/TASK.jsonl   one row per sample: prompt, answers, scores, or why there is none

No model and no task here.
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
WEIGHTED_BY_SIZE, EQUALLY_WEIGHTED = "mean of tasks by size", "mean of tasks"
"""Aggregations of a group: tasks weighted by their number of samples, or equally."""
BASELINE_POINTER = "ledger/baseline.jsonl"
TABLE_HEADER = ("task", "measure", "result", "unit", "n", "undefined", "unparsed", "unanswered")
RIGHT_ALIGNED = ("n", "undefined", "unparsed", "unanswered")


class Subject(NamedTuple):
    """The model, or the file of answers, that was scored."""

    name: str
    digest: str
    signature: str
    kind: Literal["groundup", "transformers", "endpoint", "answers"]


class MeasureReport(NamedTuple):
    """One measure of a task or a group."""

    name: str
    filter: str
    """Name of the filter pipeline, or "none"."""
    better: Literal["higher", "lower"]
    unit: str
    aggregation: str
    signature: str
    result: Interval | Reason
    n_scored: int
    n_undefined: int
    reasons: dict[str, int]
    """Number of samples without a score, by the code of their Reason."""
    unparsed: int
    """Samples in whose answers the filter found nothing."""
    unanswered: int = 0
    """Samples with finished answers without text; they are scored as wrong."""

    @property
    def key(self) -> str:
        """Key of its scores in a sample's row: `acc`, or `exact_match,first-number`."""
        return self.name if self.filter == "none" else f"{self.name},{self.filter}"

    def undefined_text(self, result: Reason) -> str:
        """Why there is none, with a number if no sample has a score: `undefined: too_long (40)`."""
        if self.n_scored or not self.reasons:
            return f"undefined: {result.code}"
        code = max(self.reasons, key=self.reasons.__getitem__)
        return f"undefined: {code} ({self.reasons[code]:,})"


class TaskReport(NamedTuple):
    """The results of a task."""

    name: str
    kind: str
    version: str
    signature: str
    samples_sha256: str
    """Hash of every sample's id, prompt, options and target."""
    samples: int
    measures: tuple[MeasureReport, ...]


def setting_digest(subject: str, task: str, limit: int | None = None) -> str:
    """Digest of what determines the answers to a task in addition to the weights.

    The subject's signature has format, prompt and precision, the task's has examples, filters and
    wording. A limit is a setting too: each one tried is another candidate.
    """
    return digest([subject, task] if limit is None else [subject, task, limit])[:16]


class RecordedAccess(NamedTuple):
    """The line that this evaluation added to a test set's ledger."""

    testset: str
    """Id of the test set, or of the tokens."""
    candidate: str
    """The candidate that was counted: `measure.TestSetAccess.candidate`."""
    line: str
    """Hash of the line."""


class GroupReport(NamedTuple):
    """Measures over several tasks."""

    name: str
    tasks: tuple[str, ...]
    measures: tuple[MeasureReport, ...]


class EvaluationCost(NamedTuple):
    """Requests and tokens of an evaluation."""

    requests: int = 0
    """Sent to the model; answers from a cache are not counted."""
    prompt_tokens: int = 0
    tokens: int = 0
    """Generated or scored."""
    cached: int = 0
    """Requests answered from a cache."""
    price: float | None = None
    """In the currency of the endpoint's prices; None without them."""


class EvaluationReport(NamedTuple):
    """A complete evaluation, without its samples."""

    subject: Subject
    tasks: tuple[TaskReport, ...]
    groups: tuple[GroupReport, ...] = ()
    cost: EvaluationCost = EvaluationCost()
    seconds: float = 0.0
    accesses: tuple[RecordedAccess, ...] = ()
    """Its test-set accesses, as recorded."""

    def task(self, name: str) -> TaskReport:
        """The task of this name; DataError lists the existing ones."""
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
            "tasks": [_result_to_json(task) for task in self.tasks],
            "groups": [_result_to_json(group) for group in self.groups],
            "cost": self.cost._asdict(),
            "seconds": self.seconds,
            "accesses": [each._asdict() for each in self.accesses],
        }

    def __str__(self) -> str:
        """An aligned table with one line per measure."""
        parts = [(part, each) for part in self.groups_and_tasks() for each in part.measures]
        return _aligned_table([TABLE_HEADER, *(_measure_cells(*both) for both in parts)])

    def groups_and_tasks(self) -> tuple[TaskReport | GroupReport, ...]:
        """The groups, then the tasks."""
        return (*self.groups, *self.tasks)


def _measure_cells(part: TaskReport | GroupReport, measure: MeasureReport) -> tuple[str, ...]:
    text = str(measure.result)
    if isinstance(measure.result, Reason):
        text = measure.undefined_text(measure.result)
    counts = (measure.n_scored, measure.n_undefined, measure.unparsed, measure.unanswered)
    return (part.name, measure.key, text, measure.unit, *map(str, counts))


def _aligned_table(rows: list[tuple[str, ...]]) -> str:
    """Format rows in aligned columns; the first is the header.

    >>> print(_aligned_table([("task", "n"), ("sums", "10")]))
    task   n
    sums  10
    """
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        padded = (
            text.rjust(width) if head in RIGHT_ALIGNED else text.ljust(width)
            for text, width, head in zip(row, widths, rows[0], strict=True)
        )  # fmt: skip
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def _result_to_json(part: TaskReport | GroupReport) -> dict[str, Any]:
    return {**part._asdict(), "measures": [_measure_to_json(each) for each in part.measures]}


def _measure_to_json(measure: MeasureReport) -> dict[str, Any]:
    fields = measure._asdict()
    return fields | result_to_json(fields.pop("result"))


def result_to_json(result: Interval | Reason) -> dict[str, Any]:
    """A result under `interval` or `undefined`; the other is null."""
    is_reason = isinstance(result, Reason)
    return {
        "interval": None if is_reason else result._asdict(),
        "undefined": result._asdict() if is_reason else None,
    }


def write_evaluation_report(draft: Draft, report: EvaluationReport) -> None:
    """Write report.json; samples are written as they are scored."""
    write_json(draft.file("report.json"), report.plain())


def read_report(artifact: Artifact) -> EvaluationReport:
    """Read a report of `groundup evaluate` or `groundup grounding`.

    Raises ArtifactError for another kind of report or format.
    """
    # A recipe's page and a scaling law are of kind report too.
    if artifact.stage not in ("evaluate", "grounding"):
        raise ArtifactError(
            "Expected a report of `groundup evaluate` or `groundup grounding`; got one of the "
            f"stage {artifact.stage!r} ({artifact.path})."
        )
    path = artifact.file("report.json")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data.get("format") != FORMAT:
            raise ArtifactError(
                f"{path} has format {data.get('format')}, not {FORMAT}; run `groundup evaluate`."
            )
        return EvaluationReport(
            subject=Subject(**data["subject"]),
            tasks=tuple(TaskReport(**_result_fields(each)) for each in data["tasks"]),
            groups=tuple(
                GroupReport(**_result_fields(each | {"tasks": tuple(each["tasks"])}))
                for each in data["groups"]
            ),
            cost=EvaluationCost(**data["cost"]),
            seconds=data["seconds"],
            accesses=tuple(RecordedAccess(**each) for each in data.get("accesses", ())),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{path} is damaged or not an evaluation's report ({error}).") from None


def _result_fields(part: dict[str, Any]) -> dict[str, Any]:
    return part | {"measures": tuple(_measure_from_json(each) for each in part["measures"])}


def _measure_from_json(row: dict[str, Any]) -> MeasureReport:
    fields = {name: value for name, value in row.items() if name not in ("interval", "undefined")}
    has_reason = row["interval"] is None
    result = Reason(**row["undefined"]) if has_reason else Interval(**row["interval"])
    return MeasureReport(**fields, result=result)


def record_baseline(report: Artifact, baseline: Artifact) -> None:
    """Record the baseline of a report, which `groundup gate` then uses by default."""
    pointer = Pointer(report.path / BASELINE_POINTER)
    path = os.path.relpath(baseline.path, report.path)
    if pointer.value != path:
        pointer.move(pointer.value, path, author=user_name(), reason="evaluate --against")


def recorded_baseline(report: Artifact) -> Path | None:
    """The recorded baseline of a report, if any."""
    path = Pointer(report.path / BASELINE_POINTER).value
    return None if path is None else Path(os.path.normpath(report.path / path))


def samples_file(task: str) -> str:
    """File of a task's samples inside the artifact, with slashes quoted.

    >>> samples_file("arithmetic/add")
    'samples/arithmetic%2Fadd.jsonl'
    """
    return f"samples/{quote(task, safe=' ')}.jsonl"


def read_sample_rows(artifact: Artifact, task: str) -> Iterator[dict[str, Any]]:
    """Yield the scored samples of a task in order.

    Raises ArtifactError naming a damaged line.
    """
    path = artifact.file(samples_file(task))
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield json.loads(line)
            except ValueError as error:
                raise ArtifactError(f"{path}, line {number} is damaged ({error}).") from None
