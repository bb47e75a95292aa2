"""The report of a run: did it work, what was made, how good is it, what to type next.

`ReportData` is everything that a report says, as plain records; `write_report` turns it into
`report.html` for a person and `report.json` for a script. It measures nothing and decides nothing:
verdicts, intervals and rejections come ready from whoever ran the stages.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

from groundup.core import CapacityError, Draft, page, record, write_json, write_text

from .data import (
    ArtifactRow,
    CheckRow,
    Curve,
    EvaluationRow,
    ReportData,
    SampleRow,
    StageRow,
)

MOST_BYTES = 1_000_000
"""Largest report.html; samples and rows are left out, and said to be, until it fits."""


class Limits(NamedTuple):
    """How much of the long parts a page shows."""

    samples: int = 24
    characters: int = 600
    rows: int = 200


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
     "steps refuse to use it unless told otherwise."),
    ("base, chat, int8", "The model that continues text; the same model taught to answer "
     "questions; and the latter with its weights rounded to 8 bits, about a quarter of the size."),
    ("exact match", "The share of answers that equal the expected one, small differences of "
     "writing aside."),
)  # fmt: skip


def write_report(draft: Draft, data: ReportData) -> None:
    """Write `report.html` and `report.json` into an artifact being made.

    Numbers that are not finite become null in the JSON and "undefined" on the page. Raises
    DataError if artifacts name unknown parents, and CapacityError if the page cannot be made to
    fit into 1 MB.
    """
    write_text(draft.file("report.html"), _fitting(data))
    write_json(draft.file("report.json"), inline_text(data))


def _fitting(data: ReportData) -> str:
    """The page, with fewer samples and shorter texts as long as it is too large."""
    limits = Limits()
    while True:
        text = _report_page(data, limits).render()
        taken = len(text.encode("utf-8"))
        if taken <= MOST_BYTES:
            return text
        if max(limits) == 1:
            raise CapacityError(
                f"The report needs {record.format_bytes(taken)} and may have "
                f"{record.format_bytes(MOST_BYTES)}; "
                "give it fewer curves, checks or artifacts."
            )
        limits = Limits(*(max(1, value // 2) for value in limits))


def inline_text(value: Any) -> Any:
    """JSON-ready copy of records, mappings and sequences."""
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: inline_text(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return inline_text(value._asdict())  # pyright: ignore[reportAttributeAccessIssue]
    if isinstance(value, Mapping):
        return {str(key): inline_text(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [inline_text(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def _report_page(data: ReportData, limits: Limits | None = None) -> page.HtmlPage:
    """The page of a report, the answer first and the details last."""
    limits = limits or Limits()
    sheet = page.HtmlPage(data.title, data.verdict)
    sheet.add(*top(data))
    _add_next(sheet, data)
    _add_gates(sheet, data)
    _add_artifacts(sheet, data, limits)
    _add_training(sheet, data)
    _add_evaluation(sheet, data)
    _add_samples(sheet, data, limits)
    _add_configuration(sheet, data, limits)
    if data.environment:
        sheet.section(
            "Environment",
            "What it ran on.",
            page.table_element("Environment", ["Name", "Value"], list(data.environment.items())),
        )
    sheet.section(
        "Words",
        "What the terms of this page mean.",
        page.details("Show the words", page.definition_list(WORDS, "dl.glossary")),
    )
    return sheet


RESULTS: tuple[tuple[str, page.ChipState], ...] = (
    ("failed", "bad"), ("undecided", "plain"), ("passed", "good"),
)  # fmt: skip
"""Of all gates the first of these that one has is told."""


def top(data: ReportData) -> list[page.Html]:
    """The result as chips, then the headline numbers."""
    count = len(data.checks)
    parts = []
    if count:
        gates = [_gate_of(check) for check in data.checks]
        results = [gate.result for gate in gates]
        word, state = next(each for each in RESULTS if each in results)
        words = f"{results.count((word, state))} of {count} gate{'s' * (count != 1)} {word}"
        first = page.chip(words, state, "#gates")
        each = [
            page.chip(gate.name, gate.result[1], f"#{page.gate_anchor(gate.name)}")
            for gate in gates
        ]
        parts.append(page.chips([first], "Result"))
        parts.append(page.chips(each, "Gates"))
    figures = [
        page.HeadlineFigure(
            one.label, one.value, one.unit, one.low, one.high, one.note,
            f"#{_artifact_anchor(one.artifact)}" if one.artifact else "",
        )
        for one in data.headline
    ]  # fmt: skip
    return [*parts, page.headline_figures(figures)] if figures else parts


def percent(share: float) -> str:
    """A share in percent, never broken over two lines."""
    return page.with_unit(f"{share * 100:g}", "%")


def _artifact_anchor(name: str) -> str:
    """Id of an artifact's row, for links."""
    return f"artifact-{page.anchor(name)}"


def _add_next(sheet: page.HtmlPage, data: ReportData) -> None:
    """The commands to type next."""
    if data.next_commands:
        blocks = [page.command_box(one.command, one.what) for one in data.next_commands]
        sheet.section(
            "Try it",
            "What to type next.",
            page.element("div.commands.card", *blocks),
        )


def _add_gates(sheet: page.HtmlPage, data: ReportData) -> None:
    """Every gate with its meaning, its interval and its threshold."""
    rows = [_gate_of(one) for one in data.checks]
    lead = (
        "Requirements that were set before the run. The dot is what was measured, the bar its "
        f"{percent(data.confidence)} interval, the dashed line the threshold. A gate passes when "
        "the bar keeps out of the tinted side, so that a small sample never passes by luck; where "
        "it says so, the dot alone decides."
    )
    empty = "No gates were set for this run, so nothing vouches for what it made."
    sheet.section("Gates", lead if rows else "", page.forest_plot(rows, empty))


def _gate_of(one: CheckRow) -> page.Gate:
    """A check as the page draws it."""
    return page.Gate(
        one.name, one.requirement, one.estimate, one.low, one.high, one.threshold, one.unit,
        one.better, one.passed, one.hint, one.decides, one.is_undecided,
    )  # fmt: skip


def _add_artifacts(sheet: page.HtmlPage, data: ReportData, limits: Limits) -> None:
    """What was made from what, as a graph and as a table."""
    if not data.artifacts:
        return
    nodes = [
        page.LineageNode(
            one.name, one.kind, record.format_bytes(one.bytes), one.id, one.parents, one.rejected,
            f"#{_artifact_anchor(one.name)}",
        )
        for one in data.artifacts
    ]  # fmt: skip
    rows = [_artifact_cells(one) for one in data.artifacts[: limits.rows]]
    columns = (
        "Name",
        "Kind",
        page.TableColumn("Size", True),
        page.TableColumn("Time", True),
        "Made from",
    )
    table = page.table_element("Artifacts", [*columns, "Id", "Path"], rows)
    sheet.section(
        "What was made",
        "From sources on the left to results on the right. Each box is a directory that records "
        "what made it; a red one was rejected by its gates.",
        page.lineage_graph(nodes),
        page.details("Where the files are", table, is_open=True),
    )


def _artifact_cells(one: ArtifactRow) -> list[page.TableCell]:
    """The cells of an artifact's row; its name carries the anchor that numbers link to."""
    attributes = {"id": _artifact_anchor(one.name)}
    rejected = page.element("span.bad-text", " ✗ rejected") if one.rejected else ""
    return [
        page.element("span", one.name, rejected, attributes=attributes),
        one.kind,
        record.format_bytes(one.bytes),
        record.format_duration(one.seconds) if one.seconds is not None else "",
        ", ".join(one.parents),
        page.element("code", one.id[:12]),
        page.element("code", one.path),
    ]


def _add_training(sheet: page.HtmlPage, data: ReportData) -> None:
    """Every stage with its time and its numbers; those with curves come first."""
    names = {stage.name for stage in data.stages}
    drawn = {curve.stage for curve in data.curves}
    cards = [_stage_card(stage, data.curves) for stage in data.stages if stage.name in drawn]
    others = [page.card_element(_chart(one)) for one in data.curves if one.stage not in names]
    brief = [_stage_card(stage, ()) for stage in data.stages if stage.name not in drawn]
    if cards or others or brief:
        sheet.section(
            "How it went",
            "Every stage with its time and its numbers. A curve that still falls at its end says "
            "that longer training would help; one that rises again says that it was too long.",
            page.element("div.charts", *cards, *others) if cards or others else page.Html(""),
            page.element("div.stages", *brief) if brief else page.Html(""),
        )


def _stage_card(stage: StageRow, curves: Sequence[Curve]) -> page.Html:
    """One stage: its name and time, its numbers, its charts."""
    facts = [
        (label, value if isinstance(value, str) else page.format_number(value))
        for label, value in stage.numbers.items()
    ]
    return page.element(
        "div.card.stage",
        page.element("h3", stage.name, page.element("span", record.format_duration(stage.seconds))),
        page.definition_list(facts) if facts else "",
        *[_chart(one) for one in curves if one.stage == stage.name],
    )


def _chart(curve: Curve) -> page.Html:
    """The chart of a curve."""
    return page.line_chart(
        curve.name,
        curve.series,
        x_label=curve.x_label,
        y_label=curve.y_label,
        baselines=curve.baselines,
    )


def _add_evaluation(sheet: page.HtmlPage, data: ReportData) -> None:
    """Measures by model, with the difference that matters."""
    if not data.evaluation:
        return
    columns = [
        page.TableColumn("Measure"),
        *[page.TableColumn(model, True) for model in data.models],
        page.TableColumn(data.compared, True),
        page.TableColumn(f"{percent(data.confidence)} interval", True),
        page.TableColumn("Reads as"),
    ]
    sheet.section(
        "Evaluation",
        "Measured on documents that were kept out of training. A difference counts only when its "
        "interval keeps clear of zero.",
        page.table_element(
            "Measures by model",
            columns,
            [_evaluation_cells(one, data.models) for one in data.evaluation],
        ),
    )


def _evaluation_cells(one: EvaluationRow, models: Sequence[str]) -> list[page.TableCell]:
    """The cells of one measure."""
    decimals = page.interval_decimals(one.low, one.high)
    label = page.element(
        "span", one.measure, page.element("span.small", f" {one.unit}, {one.better} is better")
    )
    word, state = reading(one)
    return [
        label,
        *[page.format_number(one.values.get(model)) for model in models],
        page.format_signed(one.difference, decimals) if one.difference is not None else "",
        page.format_interval(one.low, one.high),
        page.element(f"span.{state}-text", word),
    ]


def reading(one: EvaluationRow) -> tuple[str, str]:
    """Say in words what a difference with its interval means, and which colour that has.

    >>> reading(EvaluationRow("loss", "nats", "lower", {}, -0.2, -0.3, -0.1))
    ('better', 'good')
    """
    if one.low is None or one.high is None:
        return "", "plain"
    if one.low <= 0 <= one.high:
        return "no clear difference", "plain"
    is_better = (one.high < 0) == (one.better == "lower")
    return ("better", "good") if is_better else ("worse", "bad")


def _add_samples(sheet: page.HtmlPage, data: ReportData, limits: Limits) -> None:
    """Questions with every model's answer, by kind; an equal share of each kind."""
    if not data.samples:
        return
    kinds = list(dict.fromkeys(sample.kind for sample in data.samples))
    share = max(1, limits.samples // len(kinds))
    parts = []
    for kind in kinds[: limits.samples]:
        of_kind = [sample for sample in data.samples if sample.kind == kind]
        shown = [_sample_card(one, data.models, limits.characters) for one in of_kind[:share]]
        parts.append(page.element("h3", f"{kind} · {len(shown)} of {len(of_kind)}"))
        parts.append(page.element("div.samples", *shown))
    sheet.section(
        "Samples",
        "The same question to every model, side by side. All answers are in report.json beside "
        "this file.",
        *parts,
    )


def _sample_card(sample: SampleRow, models: Sequence[str], most: int) -> page.Html:
    """One sample with its answers in the order of the models."""
    attempts = []
    for model in models:
        if model in sample.answers:
            text, score = sample.answers[model]
            shown = f"score {page.format_number(score, 2)}" if score is not None else ""
            attempts.append(page.ModelAnswer(model, truncate_lines(text, most), shown))
    return page.side_by_side(
        truncate_lines(sample.prompt, most), truncate_lines(sample.reference, most), attempts
    )


def truncate_lines(text: str, most: int) -> str:
    """The text's beginning, with a word on how much was left out.

    >>> truncate_lines("abcdef", 4)
    'abcd … (2 more characters)'
    """
    left_out = len(text) - most
    return text if left_out <= 0 else f"{text[:most]} … ({left_out:,} more characters)"


def _add_configuration(sheet: page.HtmlPage, data: ReportData, limits: Limits) -> None:
    """Settings that differ from their defaults, collapsed."""
    count = len(data.changes)
    rows = [
        [one.stage, code(one.key, limits), code(one.default, limits), code(one.value, limits)]
        for one in data.changes[: limits.rows]
    ]
    shown = f"{count} changed" if count == len(rows) else f"{len(rows)} of {count} changed"
    inner = page.table_element(
        "Changed settings",
        ["Stage", "Setting", "Default", "Here"],
        rows,
        "Everything ran with its defaults.",
    )
    sheet.section(
        "Configuration",
        "What was set differently from the defaults.",
        page.details(f"Settings: {shown}", inner),
    )


def code(value: Any, limits: Limits) -> page.Html:
    """A setting's key or value in code type."""
    return page.element(
        "code", truncate_lines(str(inline_text(value)), min(200, limits.characters))
    )
