"""Evaluation reports made by hand, in the format that the harness writes."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from groundup.core import Artifact, Config, Draft, Reason, produce
from groundup.evaluate.harness.report import (
    EvaluationCost,
    EvaluationReport,
    GroupReport,
    MeasureReport,
    Subject,
    TaskReport,
    samples_file,
    write_evaluation_report,
)
from groundup.evaluate.task.aggregate import aggregate
from groundup.evaluate.task.task import TaskMeasure


class Made(NamedTuple):
    """A task with its rows, ready for a report."""

    name: str
    kind: str
    measures: tuple[TaskMeasure, ...]
    rows: tuple[dict[str, Any], ...]
    samples_sha256: str = "same"
    signature: str = "shots:0"


ACC = TaskMeasure("acc", "none", "higher", "share", "mean", "acc")
MATCH = TaskMeasure("exact_match", "first-number", "higher", "share", "mean", "exact_match")
BITS = TaskMeasure("bits_per_byte", "none", "lower", "bits per byte", "ratio", "bits_per_byte")


class Handmade(Config):
    """Makes reports of different content have different keys."""

    name: str = ""


def row(
    number: int, scores: Mapping[str, Any], answers: Iterable[Mapping[str, Any]] = (),
    **more: Any,
) -> dict[str, Any]:  # fmt: skip
    """One sample of a report."""
    return {
        "id": f"s{number}", "group": "", "prompt": f"Question {number}?", "options": [],
        "target": str(number), "answers": list(answers), "filtered": {}, "scores": dict(scores),
        "undefined": {}, "unparsed": [], "document": {}, **more,
    }  # fmt: skip


def arithmetic(right: Iterable[bool], name: str = "sums", **more: Any) -> Made:
    """A task of generated answers; a wrong one is unreadable every third time."""
    rows = []
    for number, is_right in enumerate(right):
        text = f"The answer is {number}." if is_right else "I would rather not say."
        unparsed = [] if is_right or number % 3 else ["first-number"]
        rows.append(row(
            number, {"exact_match,first-number": float(is_right)},
            [{"text": text, "finish_reason": "stop"}], unparsed=unparsed,
            filtered={"first-number": str(number) if is_right else ""},
        ))  # fmt: skip
    return Made(name, "generate_until", (MATCH,), tuple(rows), **more)


def choices(right: Iterable[bool | None], name: str = "choose") -> Made:
    """A multiple-choice task with two measures; None is an endpoint that hung."""
    length = ACC._replace(name="acc_norm", signature="acc_norm|bytes")
    rows = []
    for number, is_right in enumerate(right):
        if is_right is None:
            hung = {"code": "timeout", "message": "no answer in 60 s"}
            undefined = {"acc": hung, "acc_norm": hung}
            rows.append(row(number, {}, [hung, hung], undefined=undefined, options=["yes", "no"]))
            continue
        best, other = (-1.5, -2.0) if is_right else (-3.0, -2.0)
        answers = [
            {"logprob": best, "is_greedy": False, "tokens": 1},
            {"logprob": other, "is_greedy": False, "tokens": 1},
        ]
        scores = {"acc": float(is_right), "acc_norm": 1.0}
        rows.append(row(number, scores, answers, options=["yes", "no"], target=0))
    return Made(name, "multiple_choice", (ACC, length), tuple(rows))


def rolling(nats: Iterable[float], name: str = "held-out") -> Made:
    """Whole texts scored in bits per byte."""
    rows = [
        row(
            number, {"bits_per_byte": [value, 100.0]},
            [{"logprob": -value, "is_greedy": False, "tokens": 20}], target=None,
        )
        for number, value in enumerate(nats)
    ]  # fmt: skip
    return Made(name, "loglikelihood_rolling", (BITS,), tuple(rows))


def make_report(
    out: Path, name: str, tasks: Iterable[Made], groups: tuple[GroupReport, ...] = ()
) -> Artifact:
    """Write a report artifact."""
    made = list(tasks)
    report = EvaluationReport(
        Subject(name, f"digest of {name}", "dtype:float32", "groundup"),
        tuple(task_report(task) for task in made),
        groups,
        EvaluationCost(requests=100, tokens=2000),
        12.5,
    )

    def write(draft: Draft) -> None:
        for task in made:
            lines = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in task.rows)
            draft.file(samples_file(task.name)).write_text(lines, encoding="utf-8")
        write_evaluation_report(draft, report)

    return produce(
        out, kind="report", stage="evaluate", version=1, config=Handmade(name=name), parents={},
        write=write,
    )  # fmt: skip


def task_report(task: Made) -> TaskReport:
    """The head of a task's samples."""
    measures = tuple(measure_report(measure, task) for measure in task.measures)
    return TaskReport(
        task.name, task.kind, "1", task.signature, task.samples_sha256, len(task.rows), measures
    )


def measure_report(measure: TaskMeasure, task: Made) -> MeasureReport:
    """One number with its counts."""
    scored = [each for each in task.rows if measure.key in each["scores"]]
    reasons = Counter(
        each["undefined"][measure.key]["code"]
        for each in task.rows
        if measure.key in each["undefined"]
    )
    values = [each["scores"][measure.key] for each in scored]
    found = aggregate(measure, values, [each["group"] for each in scored])
    assert values or isinstance(found, Reason)
    unparsed = sum(measure.filter in each["unparsed"] for each in task.rows)
    return MeasureReport(
        measure.name, measure.filter, measure.better, measure.unit, measure.aggregation,
        measure.signature, found, len(scored), sum(reasons.values()), dict(reasons), unparsed,
    )  # fmt: skip
