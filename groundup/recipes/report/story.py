"""The story of a run: its gates as a verdict, its figures as the records that a report shows."""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from groundup.core import Artifact, Reason, device, page, record
from groundup.measure import (
    Interval,
    Verdict,
    above,
    at_least,
    at_most,
    below,
    check_requirement,
    read_verdict,
    write_verdict,
)

from .data import (
    ArtifactRow,
    CheckRow,
    Curve,
    EvaluationRow,
    HeadlineNumber,
    NextCommand,
    ReportData,
    SampleRow,
    ShownAnswer,
    StageRow,
)

MEANING = {
    "base against xz": "The base model describes unseen text in at most 85 % of what xz needs.",
    "base against xz, for sure": "Even the upper bound over files stays below 95 % of xz.",
    "chat answers predicted": "Tuning made the held-out answers more predictable, in bits a byte.",
    "chat answers alike": "The chat model's own answers are nearer to the held-out ones.",
    "answers ended": "The model ends its turn itself, 95 times in 100.",
    "unknown refused": "Names that do not exist are refused more often than names that do.",
    "int8 as good as chat": "Eight bits cost at most half a percent of predictability.",
}


def gate_assessment(
    assessment: Artifact, chat: Artifact, base: Artifact, testset: Artifact, out: Path
) -> Artifact:
    """Hold the assessment against the recipe's gates, corrected for the looks at the test set."""
    found = json.loads(assessment.file("assessment.json").read_text(encoding="utf-8"))
    text, rows = Interval(**found["text"]), found["rows"]
    xz = found["xz"]["alone"]
    against = text._replace(estimate=text.estimate / xz, low=text.low / xz, high=text.high / xz)
    predicted = negated(rows["answers"]["difference"])
    check, interval = check_requirement, verdict_interval
    more, longer = "give more --tokens", "give more --epochs"
    checks = [
        check("base against xz", against, at_most(0.85), "estimate", unit="x xz", next=more),
        check("base against xz, for sure", against, below(0.95), unit="x xz", next=more),
        check("chat answers predicted", predicted, above(0), unit="bits per byte", next=more),
        check("chat answers alike", interval(rows["similarity"]["difference"]), above(0),
              unit="similarity", next=longer),
        check("answers ended", interval(found["ended"]), at_least(0.95), "estimate",
              unit="of answers", next=longer),
        check("unknown refused", interval(found["refusals"]["difference"]), above(0),
              unit="of questions", next=longer),
        check("int8 as good as chat", interval(rows["answers_int8"]["ratio"]), at_most(1.005),
              unit="x chat", next="compare the error of each matrix"),
    ]  # fmt: skip
    return write_verdict(checks, chat, base, testset, author="the tiny recipe", out=out)


def verdict_interval(row: Mapping[str, Any]) -> Any:
    """An interval as it was written."""
    return Reason(row["code"], row["message"]) if "code" in row else Interval(**row)


def negated(row: Mapping[str, Any]) -> Any:
    """Minus an interval, so that better is above zero."""
    found = verdict_interval(row)
    if not isinstance(found, Interval):
        return found
    return found._replace(estimate=-found.estimate, low=-found.high, high=-found.low)


def run_story(made: Mapping[str, Artifact], out: Path) -> ReportData:
    """Gather what the report says."""
    found = json.loads(made["assessment"].file("assessment.json").read_text(encoding="utf-8"))
    judged = read_verdict(made["verdict"])
    text, xz = Interval(**found["text"]), found["xz"]
    share = text.estimate / xz["alone"]
    worked = in_words(judged)
    return ReportData(
        title="A model of Python's own text",
        verdict=f"{worked}: the base model needs {text.estimate:.3f} bits for a byte of unseen "
        f"text, {share:.2f} times what xz needs.",
        checks=tuple(check_row(row) for row in judged.checks),
        headline=_headline(found),
        artifacts=tuple(artifact_rows(made, out)),
        curves=tuple(curves(made)),
        stages=tuple(StageRow(n, a.seconds, flat(a.numbers)) for n, a in made.items()),
        evaluation=tuple(_evaluation_section(found)),
        samples=tuple(_sample_section(made["assessment"])),
        environment={k: str(v) for k, v in device.fingerprint().items()},
        next_commands=(
            NextCommand("Talk to the model", f"groundup chat {typed(out / 'chat')}"),
            NextCommand("Ask the manual, with proof",
                        'groundup ask "What does the with statement do?" '
                        f"--index {typed(out / 'index')}"),
            NextCommand("See what was made", f"groundup show {typed(out)}"),
            NextCommand("Look at the training conversations",
                        f"groundup examples show {typed(out / 'examples')} "
                        f"--tokenizer {typed(out / 'tokenizer')}"),
        ),
    )  # fmt: skip


def typed(path: Path) -> str:
    """A path as a shell takes it, quoted if it must be."""
    return shlex.quote(str(path))


def check_row(row: Mapping[str, Any]) -> CheckRow:
    """A gate's row for the page."""
    measured = row["interval"] or {"estimate": None, "low": None, "high": None}
    return CheckRow(
        row["name"],
        MEANING.get(row["name"]) or str(row["required"]),
        measured["estimate"],
        measured["low"],
        measured["high"],
        row["limit"],
        row["unit"],
        "lower" if row["sense"] in ("<", "<=") else "higher",
        row["passed"],
        row["next"],
        decides="estimate" if row["bound"] == "estimate" else "interval",
        is_undecided=row.get("outcome") == "undecided",
    )


def in_words(judged: Verdict) -> str:
    """How a verdict begins a report."""
    outcomes = {"failed": "A gate failed", "undecided": "The data cannot decide every gate"}
    return outcomes.get(judged.outcome, "Every gate passed")


def _headline(found: Mapping[str, Any]) -> tuple[HeadlineNumber, ...]:
    """The numbers that answer how good it is; one that could not be measured has no value."""
    text, xz = found["text"], found["xz"]
    near = f"xz {xz['alone']:.3f}; xz that has read the training text {xz['given_train']:.3f}"
    rates = {name: row.get("estimate") for name, row in found["refusals"].items()}
    note = ", ".join(
        f"{words} {100 * rates[name]:.0f} %"
        for name, words in (("known", "known names"), ("asked", "those asked in training"))
        if rates.get(name) is not None
    )
    return (
        HeadlineNumber("Bits per byte of unseen text", **bounds(text), note=near, artifact="base"),
        HeadlineNumber("Made-up names refused", **bounds(found["refusals"]["unknown"], 100),
                       unit="%", note=note, artifact="chat"),
        HeadlineNumber("Answers the model ended itself", **bounds(found["ended"], 100), unit="%",
                       artifact="chat"),
    )  # fmt: skip


def bounds(row: Mapping[str, Any], scale: float = 1.0) -> dict[str, Any]:
    """An interval's value, low and high, or nothing of an undefined one."""
    found = verdict_interval(row)
    if isinstance(found, Reason):
        return {"value": None}
    values = {"value": found.estimate, "low": found.low, "high": found.high}
    return {name: scale * value for name, value in values.items()}


def artifact_rows(made: Mapping[str, Artifact], out: Path) -> list[ArtifactRow]:
    """The lineage; the index is one row though its snapshot lies deeper."""
    names = {artifact.id: name for name, artifact in made.items()}
    rows = []
    for name, a in made.items():
        parents = tuple(names[p.id] for p in a.parents if p.id in names)
        place = a.path.relative_to(out) if a.path.is_relative_to(out) else a.path
        rows.append(ArtifactRow(name, a.kind, str(place), a.id, a.bytes, a.seconds, parents))
    return rows


def curves(made: Mapping[str, Artifact]) -> list[Curve]:
    """Loss against tokens of both trainings."""
    found = []
    for name, label in (("base", "Pre-training"), ("chat", "Fine-tuning")):
        rows = record.read_metrics(made[name].path / "log" / "metrics.jsonl")
        train = [row for row in rows if "loss" in row]
        kept = train[:: max(1, len(train) // 200)]
        held = [row for row in rows if "validation" in row]
        series = (
            page.Series("train", [r["step"] for r in kept], [r["loss"] for r in kept]),
            page.Series("held out", [r["step"] for r in held], [r["validation"] for r in held]),
        )
        found.append(Curve(label, "step", "nats a token", series, stage=name))
    return found


def _evaluation_section(found: Mapping[str, Any]) -> list[EvaluationRow]:
    """One row a measure, with the difference of chat to base."""
    rows = []
    senses: dict[str, Literal["lower", "higher"]] = {"answers": "lower", "similarity": "higher"}
    for name, better in senses.items():
        chat, int8 = found["rows"][name], found["rows"].get(f"{name}_int8", {"ours": {}})
        values = {
            "base": chat["baseline"].get("estimate"),
            "chat": chat["ours"].get("estimate"),
            "int8": int8["ours"].get("estimate"),
        }
        difference = chat["difference"]
        rows.append(EvaluationRow(
            chat["name"], chat["unit"], better, values, difference.get("estimate"),
            difference.get("low"), difference.get("high"),
        ))  # fmt: skip
    text = {"base": found["text"]["estimate"], "chat": None, "int8": None}
    rows.insert(0, EvaluationRow("Unseen text", "bits per byte", "lower", text))
    return rows


def _sample_section(assessment: Artifact) -> list[SampleRow]:
    """The first answers of every kind, good and bad alike."""
    shown: dict[str, int] = {}
    rows = []
    for line in assessment.file("answers.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        shown[row["kind"]] = shown.get(row["kind"], 0) + 1
        if shown[row["kind"]] <= 4:
            answers = {n: ShownAnswer(a["text"], a["score"]) for n, a in row["answers"].items()}
            rows.append(SampleRow(row["kind"], row["prompt"], row["reference"], answers))
    return rows


def flat(numbers: Mapping[str, Any]) -> dict[str, float | str]:
    """A stage's numbers, nested ones under dotted names."""
    found: dict[str, float | str] = {}
    for name, value in numbers.items():
        if isinstance(value, Mapping):
            found |= {f"{name}, {inner}": v for inner, v in flat(value).items()}
        elif isinstance(value, bool):
            found[name] = "yes" if value else "no"
        elif isinstance(value, (int, float, str)):
            found[name] = value
    return found
