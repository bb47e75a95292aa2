"""The page of a recipe's run: did it work, how good is it, what to type next, what was made.

`ReportData` is everything that a page says, as plain records; `write_report` turns it into
`report.html` for a person and `report.json` for a script. It measures and decides nothing: verdicts
and intervals come from whoever ran the stages.
"""

import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from groundup.core import Artifact, Draft, page, record, write_json, write_text
from groundup.measure import Verdict

MAX_SAMPLES, MAX_CHARACTERS, MAX_POINTS = 24, 600, 200
"""Samples on the page, characters of a text, points of a curve; report.json has all of them."""
WORDS = (
    ("bits per byte", "How many bits a model needs to write down one byte of text that it has not "
     "seen. Lower is better; it can be compared between models with different tokenizers, and with "
     "compressors."),
    ("xz", "A general-purpose compressor that knows no language. A language model that does not "
     "beat it has learnt nothing. With the training text given to it first, xz is a much harder "
     "rival: it can then copy whatever it has seen before."),
    ("interval", "Where the true value lies with the stated confidence, found by drawing the test "
     "documents again and again. A wide interval means that more test documents are needed."),
    ("gate", "A requirement set before the run. A model that fails one is rejected, and later "
     "steps refuse to use it unless allowed to."),
    ("base, chat, int8", "The model that continues text; the same model taught to answer "
     "questions; and the latter with its weights rounded to 8 bits, about a quarter of the size."),
)  # fmt: skip


class HeadlineNumber(NamedTuple):
    """One of the few numbers that answer how good it is."""

    label: str
    value: float | None
    unit: str = ""
    low: float | None = None
    high: float | None = None
    note: str = ""
    """What to compare it with, in a few words."""
    artifact: str = ""
    """Name of the artifact that the number describes; the number links to it."""


class ArtifactRow(NamedTuple):
    """Something that was made, or that the run started from."""

    name: str
    """Unique within the report."""
    kind: str
    path: str
    id: str
    bytes: int
    seconds: float | None = None
    parents: tuple[str, ...] = ()
    """Names of the artifacts that it was made from."""
    rejected: bool = False


class Curve(NamedTuple):
    """A chart of one quantity while a stage ran."""

    name: str
    x_label: str
    y_label: str
    series: tuple[page.Series, ...]
    baselines: tuple[page.Baseline, ...] = ()


class EvaluationRow(NamedTuple):
    """One measure of all models, and the difference that matters with its interval."""

    measure: str
    unit: str
    better: Literal["lower", "higher"]
    values: Mapping[str, float | None]
    """Model name to value."""
    difference: float | None = None
    low: float | None = None
    high: float | None = None


class ShownAnswer(NamedTuple):
    """A model's answer to a sample with its score from 0 to 1, or None when it has none."""

    text: str
    score: float | None = None


class SampleRow(NamedTuple):
    """One question with every model's answer."""

    kind: str
    """Samples of a kind are shown together, such as `recall` or `should refuse`."""
    prompt: str
    reference: str
    answers: Mapping[str, ShownAnswer]
    """Model name to answer."""


class NextCommand(NamedTuple):
    """A command to type next, and what it does in one sentence."""

    what: str
    command: str


class ReportData(NamedTuple):
    """Everything that a report says."""

    title: str
    verdict: str
    """One sentence: whether it worked, what was made, how good it is."""
    checks: tuple[page.Gate, ...] = ()
    headline: tuple[HeadlineNumber, ...] = ()
    artifacts: tuple[ArtifactRow, ...] = ()
    curves: tuple[Curve, ...] = ()
    evaluation: tuple[EvaluationRow, ...] = ()
    samples: tuple[SampleRow, ...] = ()
    environment: Mapping[str, str] | None = None
    next_commands: tuple[NextCommand, ...] = ()
    models: tuple[str, ...] = ("base", "chat", "int8")
    """Models in the order of their columns."""
    compared: str = "chat − base"
    """What `EvaluationRow.difference` subtracts from what."""


def write_report(draft: Draft, data: ReportData) -> None:
    """Write `report.html` and `report.json` into an artifact being made.

    Numbers that are not finite become null in the JSON and "undefined" on the page. Raises
    DataError if artifacts name unknown parents.
    """
    write_text(draft.file("report.html"), report_page(data).render())
    write_json(draft.file("report.json"), _to_json(data))


def _to_json(value: Any) -> Any:
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        value = value._asdict()  # pyright: ignore[reportAttributeAccessIssue]
    if isinstance(value, Mapping):
        return {str(key): _to_json(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_json(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def report_page(data: ReportData) -> page.HtmlPage:
    """The page of a report, the answer first and the details last."""
    sheet = page.HtmlPage(data.title, data.verdict)
    if data.headline:
        sheet.add(page.headline_figures([_headline_figure(each) for each in data.headline]))
    if data.next_commands:
        boxes = [page.command_box(each.command, each.what) for each in data.next_commands]
        sheet.section("Try it", "What to type next.", page.element("div.commands.card", *boxes))
    lead = (
        "Requirements that were set before the run. The dot is what was measured, the bar its "
        f"{page.with_unit('95', '%')} interval, the dashed line the threshold. A gate passes when "
        "the bar keeps out of the tinted side, so that a small sample never passes by luck."
    )
    empty = "No gates were set for this run, so nothing vouches for what it made."
    sheet.section("Gates", lead if data.checks else "", page.forest_plot(data.checks, empty))
    _add_evaluation(sheet, data)
    _add_samples(sheet, data)
    _add_artifacts(sheet, data)
    if data.curves:
        sheet.section(
            "How it went",
            "A curve that still falls at its end says that longer training would help; one that "
            "rises again says that it was too long.",
            page.element("div.charts", *[_chart_card(curve) for curve in data.curves]),
        )
    if data.environment:
        rows = list(data.environment.items())
        table = page.table_element("Environment", ["Name", "Value"], rows)
        sheet.section("Environment", "What it ran on.", table)
    words = page.details("Show the words", page.definition_list(WORDS, "dl.glossary"))
    sheet.section("Words", "What the terms of this page mean.", words)
    return sheet


def _headline_figure(number: HeadlineNumber) -> page.HeadlineFigure:
    href = f"#{_artifact_anchor(number.artifact)}" if number.artifact else ""
    return page.HeadlineFigure(*number[:-1], href)


def _artifact_anchor(name: str) -> str:
    return f"artifact-{page.anchor(name)}"


def _chart_card(curve: Curve) -> page.Html:
    chart = page.line_chart(
        curve.name, curve.series, x_label=curve.x_label, y_label=curve.y_label,
        baselines=curve.baselines,
    )  # fmt: skip
    return page.card_element(chart)


def _add_artifacts(sheet: page.HtmlPage, data: ReportData) -> None:
    if not data.artifacts:
        return
    nodes = [
        page.LineageNode(
            each.name, each.kind, record.format_bytes(each.bytes), each.id, each.parents,
            each.rejected, f"#{_artifact_anchor(each.name)}",
        )
        for each in data.artifacts
    ]  # fmt: skip
    size, time = page.TableColumn("Size", True), page.TableColumn("Time", True)
    columns = ["Name", "Kind", size, time, "Made from", "Id", "Path"]
    table = page.table_element("Artifacts", columns, [_artifact_cells(e) for e in data.artifacts])
    sheet.section(
        "What was made",
        "From sources on the left to results on the right. Each box is a directory that records "
        "what made it; a red one was rejected by its gates.",
        page.lineage_graph(nodes),
        page.details("Where the files are", table, is_open=True),
    )


def _artifact_cells(row: ArtifactRow) -> list[page.TableCell]:
    attributes = {"id": _artifact_anchor(row.name)}
    rejected = page.element("span.bad-text", " ✗ rejected") if row.rejected else ""
    return [
        page.element("span", row.name, rejected, attributes=attributes),
        row.kind,
        record.format_bytes(row.bytes),
        record.format_duration(row.seconds) if row.seconds is not None else "",
        ", ".join(row.parents),
        page.element("code", row.id[:12]),
        page.element("code", row.path),
    ]


def _add_evaluation(sheet: page.HtmlPage, data: ReportData) -> None:
    if not data.evaluation:
        return
    numeric = [*data.models, data.compared, f"{page.with_unit('95', '%')} interval"]
    columns = ["Measure", *(page.TableColumn(name, True) for name in numeric), "Reads as"]
    rows = [_evaluation_cells(each, data.models) for each in data.evaluation]
    sheet.section(
        "Evaluation",
        "Measured on documents that were kept out of training. A difference counts only when its "
        "interval keeps clear of zero.",
        page.table_element("Measures by model", columns, rows),
    )


def _evaluation_cells(row: EvaluationRow, models: Sequence[str]) -> list[page.TableCell]:
    decimals = page.interval_decimals(row.low, row.high)
    about = page.element("span.small", f" {row.unit}, {row.better} is better")
    word, state = _describe_difference(row)
    return [
        page.element("span", row.measure, about),
        *[page.format_number(row.values.get(model)) for model in models],
        page.format_signed(row.difference, decimals) if row.difference is not None else "",
        page.format_interval(row.low, row.high),
        page.element(f"span.{state}-text", word),
    ]


def _describe_difference(row: EvaluationRow) -> tuple[str, str]:
    """Say in words what a difference with its interval means, and which colour that has.

    >>> _describe_difference(EvaluationRow("loss", "nats", "lower", {}, -0.2, -0.3, -0.1))
    ('better', 'good')
    """
    if row.low is None or row.high is None:
        return "", "plain"
    if row.low <= 0 <= row.high:
        return "no clear difference", "plain"
    is_better = (row.high < 0) == (row.better == "lower")
    return ("better", "good") if is_better else ("worse", "bad")


def _add_samples(sheet: page.HtmlPage, data: ReportData) -> None:
    """Questions with every model's answer, by kind; an equal share of each kind."""
    if not data.samples:
        return
    kinds = list(dict.fromkeys(sample.kind for sample in data.samples))[:MAX_SAMPLES]
    share, parts = max(1, MAX_SAMPLES // len(kinds)), []
    for kind in kinds:
        of_kind = [sample for sample in data.samples if sample.kind == kind]
        shown = [_sample_card(each, data.models) for each in of_kind[:share]]
        parts.append(page.element("h3", f"{kind} · {len(shown)} of {len(of_kind)}"))
        parts.append(page.element("div.samples", *shown))
    lead = "The same question to every model, side by side. report.json next to this file has all."
    sheet.section("Samples", lead, *parts)


def _sample_card(sample: SampleRow, models: Sequence[str]) -> page.Html:
    attempts = []
    for model in models:
        if model in sample.answers:
            text, score = sample.answers[model]
            shown = f"score {page.format_number(score, 2)}" if score is not None else ""
            attempts.append(page.ModelAnswer(model, _truncate(text), shown))
    return page.side_by_side(_truncate(sample.prompt), _truncate(sample.reference), attempts)


def _truncate(text: str) -> str:
    left_out = len(text) - MAX_CHARACTERS
    return text if left_out <= 0 else f"{text[:MAX_CHARACTERS]} … ({left_out:,} more characters)"


def typed(path: Path) -> str:
    """A path as a shell takes it, quoted if it must be."""
    return shlex.quote(str(path))


def check_row(row: Mapping[str, Any], name: str = "", meaning: str = "") -> page.Gate:
    """A verdict's row for the page; by default under its own name and requirement."""
    measured = row["interval"] or {"estimate": None, "low": None, "high": None}
    return page.Gate(
        name or row["name"], meaning or str(row["required"]), measured["estimate"],
        measured["low"], measured["high"], row["limit"], row["unit"],
        "lower" if row["sense"] in ("<", "<=") else "higher", row["passed"], row["next"],
        "estimate" if row["bound"] == "estimate" else "interval",
        row.get("outcome") == "undecided",
    )  # fmt: skip


def in_words(verdicts: Verdict | Iterable[Verdict]) -> str:
    """How verdicts begin a report."""
    outcomes = {v.outcome for v in ([verdicts] if isinstance(verdicts, Verdict) else verdicts)}
    if "failed" in outcomes:
        return "A gate failed"
    return "The data cannot decide every gate" if "undecided" in outcomes else "Every gate passed"


def artifact_rows(made: Mapping[str, Artifact], out: Path) -> list[ArtifactRow]:
    """The lineage of a run's artifacts, with paths relative to its folder."""
    names = {artifact.id: name for name, artifact in made.items()}
    rows = []
    for name, a in made.items():
        parents = tuple(names[p.id] for p in a.parents if p.id in names)
        place = a.path.relative_to(out) if a.path.is_relative_to(out) else a.path
        rows.append(ArtifactRow(name, a.kind, str(place), a.id, a.bytes, a.seconds, parents))
    return rows


def loss_curve(model: Artifact, name: str, unit: str = "nats a token") -> Curve:
    """Training and held-out loss of a model by step, from its log; the last step is on it."""
    rows = record.read_metrics(model.path / "log" / "metrics.jsonl")
    train, held = ([row for row in rows if key in row] for key in ("loss", "validation"))
    kept = train[:: -max(1, len(train) // MAX_POINTS)][::-1]
    series = (
        page.Series("train", [r["step"] for r in kept], [r["loss"] for r in kept]),
        page.Series("held out", [r["step"] for r in held], [r["validation"] for r in held]),
    )
    return Curve(name, "step", unit, series)
