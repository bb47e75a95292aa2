"""A comparison as text for the terminal, JSON, Markdown, JUnit XML and an HTML page.

JUnit has a test case for every run, task and measure; it fails where the run is worse than the
first, and is skipped, with the reason, where the two are not comparable. The page has every result
with its interval and a link to its samples.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from textwrap import wrap
from typing import Any, NamedTuple
from urllib.parse import quote
from xml.etree import ElementTree

from groundup.core import Reason, page

from ..harness.report import MeasureReport, result_to_json
from .comparison import BaselineComparison, ComparedMeasure, ComparedTask, Comparison, Verdict
from .difference import PairedDifference

HINT = "(n would): with n such samples the difference seen is found in 80 of 100 cases."
MAX_SAMPLES_SHOWN = 10_000_000
"""A larger number of samples is not shown."""
NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def correction_note(comparison: Comparison) -> str:
    """The multiple-testing correction in one sentence."""
    return (
        f"Differences are in pairs over the same samples; verdicts at 5 %, corrected by Holm over "
        f"{comparison.comparisons} comparison{'s' * (comparison.comparisons != 1)}."
    )


def _cell_text(cell: MeasureReport | None) -> str:
    """A run's result: `0.812 [0.790, 0.835]`, or why there is none."""
    if cell is None:
        return "not measured"
    result = cell.result
    if isinstance(result, Reason):
        return cell.undefined_text(result)
    decimals = page.interval_decimals(result.low, result.high)
    return (
        f"{page.format_number(result.estimate, decimals)} [{_bounds_text(result.low, result.high)}]"
    )


def _bounds_text(low: float, high: float, is_signed: bool = False) -> str:
    decimals = page.interval_decimals(low, high)
    write = page.format_signed if is_signed else page.format_number
    return f"{write(low, decimals)}, {write(high, decimals)}"


def _difference_text(versus: BaselineComparison) -> str:
    difference = versus.difference
    if isinstance(difference, Reason):
        return ""
    low, high = difference.interval.low, difference.interval.high
    estimate = page.format_signed(difference.interval.estimate, page.interval_decimals(low, high))
    return f"{estimate} [{_bounds_text(low, high, True)}]"


def verdict_text(versus: BaselineComparison) -> str:
    """The verdict, with the samples needed, or why the two are not comparable."""
    difference = versus.difference
    if isinstance(difference, Reason):
        return f"{versus.verdict}: {difference.message}"
    if versus.verdict != "not told apart" or not difference.needed:
        return versus.verdict
    if difference.needed > MAX_SAMPLES_SHOWN:
        return f"{versus.verdict} (no test set of a practical size would)"
    return f"{versus.verdict} ({page.format_compact(difference.needed)} would)"


def _comparison_table(comparison: Comparison) -> list[tuple[str, ...]]:
    table = [("task", "measure", "run", "A", "other", "difference", "verdict")]
    for task in comparison.tasks:
        for measure in task.measures:
            for index, versus in enumerate(measure.versus, start=1):
                table.append((
                    task.name, measure.key, versus.letter, _cell_text(measure.cells[0]),
                    _cell_text(measure.cells[index]), _difference_text(versus),
                    verdict_text(versus),
                ))  # fmt: skip
    return table


def comparison_to_text(comparison: Comparison) -> str:
    """The comparison for an 80-column terminal: a block per measure, a line per run."""
    lines = [f"{run.letter}  {run.name}" for run in comparison.runs]
    for task in comparison.tasks:
        for measure in task.measures:
            head = f"{task.name}  {measure.key}  ({measure.unit}, {measure.better} is better)"
            lines += ["", head, f"  A  {_cell_text(measure.cells[0])}"]
            for versus, cell in zip(measure.versus, measure.cells[1:], strict=True):
                value, difference = _cell_text(cell), _difference_text(versus)
                lines.append(
                    f"  {versus.letter}  {value:<20}  {difference:<23}  {verdict_text(versus)}"
                )
    summary = f"{comparison.headline()} {correction_note(comparison)} {HINT}"
    return "\n".join([*lines, "", *wrap(summary, 80)])


def comparison_to_markdown(comparison: Comparison) -> str:
    """The comparison as a Markdown table."""
    head, *body = [list(map(_escape_markdown, row)) for row in _comparison_table(comparison)]
    names = [(run.letter, _escape_markdown(run.name), run.kind) for run in comparison.runs]
    runs = [f"- **{letter}** {name} ({kind})" for letter, name, kind in names]
    lines = [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *body)]
    return "\n".join([
        "# Comparison", "", _escape_markdown(comparison.headline()), "", *runs, "", *lines, "",
        correction_note(comparison), "",
    ])  # fmt: skip


def _escape_markdown(text: str) -> str:
    """Escape text for a cell of a Markdown table.

    >>> _escape_markdown("a|b<c>")
    'a\\\\|b&lt;c>'
    """
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())


def comparison_to_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison as JSON values; an undefined result has `code` and `message`."""
    return {
        "format": 1,
        "runs": [run._asdict() for run in comparison.runs],
        "comparisons": comparison.comparisons,
        "correction": "holm",
        "tasks": [
            {
                "name": task.name, "kind": task.kind, "samples": task.samples,
                "measures": [_measure_json(measure) for measure in task.measures],
            }
            for task in comparison.tasks
        ],
    }  # fmt: skip


def _measure_json(measure: ComparedMeasure) -> dict[str, Any]:
    plain = measure._asdict()
    plain["cells"] = [None if cell is None else _cell_json(cell) for cell in measure.cells]
    plain["versus"] = [_versus_json(versus) for versus in measure.versus]
    return plain


def _cell_json(cell: MeasureReport) -> dict[str, Any]:
    names = ("n_scored", "n_undefined", "reasons", "unparsed")
    return {name: getattr(cell, name) for name in names} | result_to_json(cell.result)


def _versus_json(versus: BaselineComparison) -> dict[str, Any]:
    difference = versus.difference
    plain: dict[str, Any] = {
        "run": versus.letter, "verdict": versus.verdict, "p": versus.p,
        "difference": None, "undefined": None,
    }  # fmt: skip
    if isinstance(difference, PairedDifference):
        parts = difference._asdict() | {"interval": difference.interval._asdict()}
        return plain | {"difference": parts}
    return plain | {"undefined": difference._asdict()}


def comparison_to_junit(comparison: Comparison) -> str:
    """The comparison as JUnit XML."""
    root = ElementTree.Element("testsuites", name="groundup compare")
    for task in comparison.tasks:
        cases = [(m, v) for m in task.measures for v in m.versus]
        words = [versus.verdict for _, versus in cases]
        suite = ElementTree.SubElement(
            root, "testsuite", name=_valid_xml_text(task.name), tests=str(len(cases)), errors="0",
            failures=str(words.count("worse")), skipped=str(words.count("not compared")),
        )  # fmt: skip
        for measure, versus in cases:
            _add_test_case(suite, comparison, task.name, measure, versus)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _add_test_case(
    suite: ElementTree.Element, comparison: Comparison, task: str, measure: ComparedMeasure,
    versus: BaselineComparison,
) -> None:  # fmt: skip
    names = {run.letter: run.name for run in comparison.runs}
    name = f"{measure.key}: {names[versus.letter]} against {names['A']}"
    case = ElementTree.SubElement(
        suite, "testcase", classname=_valid_xml_text(task), name=_valid_xml_text(name)
    )
    place = [run.letter for run in comparison.runs].index(versus.letter)
    numbers = (
        f"{_cell_text(measure.cells[place])} against {_cell_text(measure.cells[0])} "
        f"{measure.unit}; difference {_difference_text(versus)}"
    )
    if versus.verdict == "worse":
        ElementTree.SubElement(case, "failure", message=_valid_xml_text(f"worse: {numbers}"))
    elif isinstance(versus.difference, Reason):
        ElementTree.SubElement(case, "skipped", message=_valid_xml_text(versus.difference.message))
    ElementTree.SubElement(case, "system-out").text = _valid_xml_text(
        f"{verdict_text(versus)}; {numbers}"
    )


def _valid_xml_text(text: str) -> str:
    return NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)


SamplePages = Mapping[str, str]
"""First page of samples by task; missing for tasks without comparable samples."""


class UnparsedAnswer(NamedTuple):
    """An answer that a filter could not parse."""

    task: str
    run: str
    filter: str
    href: str
    """Link to its sample."""
    number: int
    """Number of the sample, from 1."""
    answer: str


def index_page(
    comparison: Comparison,
    links: SamplePages,
    unparsed: Sequence[UnparsedAnswer],
    costs: Sequence[str],
) -> page.Html:
    """The comparison's first page.

    unparsed  some of the answers that a filter could not parse
    costs     requests and tokens of each run, in a line
    """
    first, *others = (run.name for run in comparison.runs)
    sheet = page.HtmlPage(
        f"{', '.join(others)} against {first}",
        comparison.headline(),
        style=page.read_resource(__file__, "page.css"),
    )
    sheet.add(_verdict_chips(comparison), _runs_table(comparison, costs))
    for task in comparison.tasks:
        summary = f"{task.kind.replace('_', ' ')}, {task.samples:,} samples"
        sheet.section(task.name, summary, _task_table(task, comparison, links))
    sheet.section(
        "Without a number",
        "Samples without a score are excluded from averages. Their number and reason, by run.",
        _undefined_table(comparison, links),
    )
    sheet.section(
        "Answers that could not be read",
        "Texts in which a filter found no answer: some of them, then all counts.",
        _unparsed_table(unparsed),
        _unparsed_counts(comparison, links),
    )
    sheet.section("How to read this", "", _glossary(comparison))
    return sheet.render()


VERDICT_STATES: tuple[tuple[Verdict, page.parts.ChipState], ...] = (
    ("worse", "bad"),
    ("better", "good"),
)


def _verdict_chips(comparison: Comparison) -> page.Html:
    shown = [
        page.chip(
            f"{versus.letter}: {task.name} {measure.key}", state, f"#{page.anchor(task.name)}"
        )
        for word, state in VERDICT_STATES
        for task, measure, versus in comparison.verdicts(word)
    ]
    return page.chips(shown[:24], "Differences found") if shown else page.join_html([])


def _runs_table(comparison: Comparison, costs: Sequence[str]) -> page.Html:
    table_rows = [
        [page.element("strong", run.letter), run.name, run.kind, run.digest[:12], cost]
        for run, cost in zip(comparison.runs, costs, strict=True)
    ]
    columns = ["", "run", "kind", "digest", "asked for"]
    return page.element("div.runs", page.table_element("Runs; the others are compared with A",
                                               columns, table_rows))  # fmt: skip


def _task_table(task: ComparedTask, comparison: Comparison, links: SamplePages) -> page.Html:
    columns = [
        page.TableColumn("measure"), page.TableColumn("run"), page.TableColumn("value", True),
        page.TableColumn("95 % interval", True), page.TableColumn("difference to A", True),
        page.TableColumn("95 % interval", True), page.TableColumn("verdict"),
    ]  # fmt: skip
    table_rows = [
        row
        for measure in task.measures
        for row in _measure_rows(task, measure, comparison, links.get(task.name, ""))
    ]
    table = page.table_element(f"{task.name}: all measures of all runs", columns, table_rows)
    return page.element("div.task", table)


def _measure_rows(
    task: ComparedTask, measure: ComparedMeasure, comparison: Comparison, href: str
) -> list[list[str]]:
    versus = {each.letter: each for each in measure.versus}
    arrow = "↑" if measure.better == "higher" else "↓"
    table_rows = []
    for index, (run, cell) in enumerate(zip(comparison.runs, measure.cells, strict=True)):
        name = page.join_html([measure.key, page.element("span.unit", f" {measure.unit} {arrow}")])
        head = name if index == 0 else page.element("span.spoken", measure.key)
        samples = href if index in task.runs else ""
        value, spread = _value_cells(cell, measure.key, samples)
        table_rows.append([
            head, page.element("span", run.letter, attributes={"title": run.name}), value, spread,
            *_difference_cells(versus.get(run.letter), measure.key, samples),
        ])  # fmt: skip
    return table_rows


def _value_cells(cell: MeasureReport | None, key: str, href: str) -> tuple[str, str]:
    if cell is None:
        return "not measured", ""
    result = cell.result
    if isinstance(result, Reason):
        return _sample_link(cell.undefined_text(result), href, key, "undefined"), ""
    decimals = page.interval_decimals(result.low, result.high)
    text = page.format_number(result.estimate, decimals)
    return _sample_link(text, href, key, "all"), page.format_interval(result.low, result.high)


def _difference_cells(
    versus: BaselineComparison | None, key: str, href: str
) -> tuple[str, str, str]:
    if versus is None:
        return "", "", ""
    difference = versus.difference
    if isinstance(difference, Reason):
        return "", "", verdict_text(versus)
    interval = difference.interval
    decimals = page.interval_decimals(interval.low, interval.high)
    text = _sample_link(page.format_signed(interval.estimate, decimals), href, key, "differ")
    spread = (
        f"{page.format_signed(interval.low, decimals)} to "
        f"{page.format_signed(interval.high, decimals)}"
    )
    return text, spread, _verdict_html(versus)


def _verdict_html(versus: BaselineComparison) -> page.Html:
    if versus.verdict == "better":
        return page.chip("better", "good")
    if versus.verdict == "worse":
        return page.chip("worse", "bad")
    return page.element("span.quiet", verdict_text(versus).replace("would)", "samples would)"))


def _sample_link(text: str, href: str, key: str, filter_name: str) -> str:
    """A number that links to its samples, where they are shown."""
    if not href:
        return text
    target = f"{href}#show={filter_name}&by={quote(key)}&jump=1"
    return page.element("a", text, attributes={"href": target})


def _undefined_table(comparison: Comparison, links: SamplePages) -> page.Html:
    columns = [page.TableColumn(name) for name in ("task", "measure", "run", "reason")]
    table_rows = []
    for task, measure, run, cell, href in _linked_cells(comparison, links):
        for code, count in sorted(cell.reasons.items()):
            number = _sample_link(f"{count:,}", href, measure, "undefined")
            table_rows.append([task.name, measure, run, code, number, f"{task.samples:,}"])
    return page.table_element(
        "Samples without a score", [*columns, *COUNT_COLUMNS], table_rows,
        "Every sample has every score.",
    )  # fmt: skip


COUNT_COLUMNS = (page.TableColumn("samples", True), page.TableColumn("of", True))


def _linked_cells(
    comparison: Comparison, links: SamplePages
) -> Iterator[tuple[ComparedTask, str, str, MeasureReport, str]]:
    """Yield task, measure, run, result and the page of its samples of all results."""
    for task in comparison.tasks:
        for measure in task.measures:
            for index, (run, cell) in enumerate(zip(comparison.runs, measure.cells, strict=True)):
                if cell:
                    href = links.get(task.name, "") if index in task.runs else ""
                    yield task, measure.key, run.letter, cell, href


def _unparsed_counts(comparison: Comparison, links: SamplePages) -> page.Html:
    columns = [page.TableColumn(name) for name in ("task", "measure", "run")]
    table_rows = [
        [task.name, measure, run, _sample_link(f"{cell.unparsed:,}", href, measure, "unparsed"),
         f"{task.samples:,}"]
        for task, measure, run, cell, href in _linked_cells(comparison, links)
        if cell.unparsed
    ]  # fmt: skip
    if not table_rows:
        return page.join_html([])
    return page.table_element("Unread answers", [*columns, *COUNT_COLUMNS], table_rows)


def _unparsed_table(unparsed: Sequence[UnparsedAnswer]) -> page.Html:
    columns = ["sample", "task", "run", "filter", "answer"]
    table_rows = []
    for each in unparsed:
        name = f"{each.number:,}"
        link = page.element("a", name, attributes={"href": each.href}) if each.href else name
        table_rows.append([link, each.task, each.run, each.filter, each.answer or "(empty)"])
    caption = f"The first {len(unparsed)}" if len(unparsed) > 1 else "The first"
    return page.table_element(caption, columns, table_rows, "Every answer could be read.")


def _glossary(comparison: Comparison) -> page.Html:
    terms = {
        "Interval": "Where the true number lies with 95 % confidence, given these samples; "
        "samples of one group are counted together.",
        "Difference": "The run minus A, over the samples that both score. What makes a "
        "sample hard cancels out, so it can be significant where intervals overlap.",
        "Verdict": correction_note(comparison) + " An interval of a difference is not corrected, "
        "so it may leave out 0 where the verdict is not told apart.",
        "Samples that would tell": "With this many samples, a difference of the observed size "
        "would be detected in 80 of 100 cases.",
    }
    return page.definition_list(tuple(terms.items()), "dl.glossary")
