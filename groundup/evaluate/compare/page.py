"""The comparison as an HTML page: every result with its interval and a link to its samples."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import quote

from groundup.core import Reason, page

from .comparison import (
    BaselineComparison,
    ComparedMeasure,
    ComparedTask,
    Comparison,
    RunMeasure,
    Verdict,
)
from .formats import correction_note, verdict_text

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
    sheet = page.HtmlPage(
        _page_title(comparison),
        comparison.headline(),
        style=page.read_resource(__file__, "page.css"),
    )
    sheet.add(_verdict_chips(comparison), _runs_table(comparison, costs))
    for task in comparison.tasks:
        sheet.section(task.name, _task_summary(task), _task_table(task, comparison, links))
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


def _page_title(comparison: Comparison) -> str:
    """`tuned against base`."""
    first, *others = (run.name for run in comparison.runs)
    return f"{', '.join(others)} against {first}"


def _task_summary(task: ComparedTask) -> str:
    """Kind and size of a task."""
    return f"{task.kind.replace('_', ' ')}, {task.samples:,} samples"


VERDICT_STATES: tuple[tuple[Verdict, page.parts.ChipState], ...] = (
    ("worse", "bad"),
    ("better", "good"),
)


def _verdict_chips(comparison: Comparison) -> page.Html:
    """Chips of everything that is better or worse."""
    shown = [
        page.chip(
            f"{versus.letter}: {task.name} {measure.key}", state, f"#{page.anchor(task.name)}"
        )
        for word, state in VERDICT_STATES
        for task, measure, versus in comparison.verdicts(word)
    ]
    return page.chips(shown[:24], "Differences found") if shown else page.join_html([])


def _runs_table(comparison: Comparison, costs: Sequence[str]) -> page.Html:
    """The runs, their letters and what they cost."""
    table_rows = [
        [page.element("strong", run.letter), run.name, run.kind, run.digest[:12], cost]
        for run, cost in zip(comparison.runs, costs, strict=True)
    ]
    columns = ["", "run", "kind", "digest", "asked for"]
    return page.element("div.runs", page.table_element("Runs; the others are compared with A",
                                               columns, table_rows))  # fmt: skip


def _task_table(task: ComparedTask, comparison: Comparison, links: SamplePages) -> page.Html:
    """A row per measure and run: result, interval, difference, verdict."""
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
    """One row per run."""
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


def _value_cells(cell: RunMeasure | None, key: str, href: str) -> tuple[str, str]:
    """A run's result and its interval."""
    if cell is None:
        return "not measured", ""
    result = cell.result
    if isinstance(result, Reason):
        return _sample_link(f"undefined: {result.code}", href, key, "undefined"), ""
    decimals = page.interval_decimals(result.low, result.high)
    text = page.format_number(result.estimate, decimals)
    return _sample_link(text, href, key, "all"), page.format_interval(result.low, result.high)


def _difference_cells(
    versus: BaselineComparison | None, key: str, href: str
) -> tuple[str, str, str]:
    """The difference to the first run, its interval and the verdict."""
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
    """The verdict as a chip, or as text with the samples needed."""
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
    """Samples without a score, by reason."""
    columns = [
        page.TableColumn("task"),
        page.TableColumn("measure"),
        page.TableColumn("run"),
        page.TableColumn("reason"),
        page.TableColumn("samples", True),
        page.TableColumn("of", True),
    ]
    table_rows = []
    for task in comparison.tasks:
        for measure in task.measures:
            for index, (run, cell) in enumerate(zip(comparison.runs, measure.cells, strict=True)):
                href = links.get(task.name, "") if index in task.runs else ""
                for code, count in sorted((cell.reasons if cell else {}).items()):
                    number = _sample_link(f"{count:,}", href, measure.key, "undefined")
                    table_rows.append([task.name, measure.key, run.letter, code, number,
                                  f"{task.samples:,}"])  # fmt: skip
    return page.table_element(
        "Samples without a score", columns, table_rows, "Every sample has every score."
    )


def _unparsed_counts(comparison: Comparison, links: SamplePages) -> page.Html:
    """Number of answers that each filter could not parse."""
    columns = [page.TableColumn("task"), page.TableColumn("measure"), page.TableColumn("run"),
               page.TableColumn("samples", True), page.TableColumn("of", True)]  # fmt: skip
    table_rows = []
    for task in comparison.tasks:
        for measure in task.measures:
            for index, (run, cell) in enumerate(zip(comparison.runs, measure.cells, strict=True)):
                if cell and cell.unparsed:
                    href = links.get(task.name, "") if index in task.runs else ""
                    number = _sample_link(f"{cell.unparsed:,}", href, measure.key, "unparsed")
                    table_rows.append(
                        [task.name, measure.key, run.letter, number, f"{task.samples:,}"]
                    )
    return (
        page.table_element("Unread answers", columns, table_rows)
        if table_rows
        else page.join_html([])
    )


def _unparsed_table(unparsed: Sequence[UnparsedAnswer]) -> page.Html:
    """Some of the answers that a filter could not parse."""
    columns = ["sample", "task", "run", "filter", "answer"]
    table_rows = []
    for each in unparsed:
        name = f"{each.number:,}"
        link = page.element("a", name, attributes={"href": each.href}) if each.href else name
        table_rows.append([link, each.task, each.run, each.filter, each.answer or "(empty)"])
    caption = f"The first {len(unparsed)}" if len(unparsed) > 1 else "The first"
    return page.table_element(caption, columns, table_rows, "Every answer could be read.")


def _glossary(comparison: Comparison) -> page.Html:
    """The glossary of the page."""
    return page.definition_list(
        (
            (
                "Interval",
                "Where the true number lies with 95 % confidence, given these samples; "
                "samples of one group are counted together.",
            ),
            (
                "Difference",
                "The run minus A, over the samples that both score. What makes a "
                "sample hard cancels out, so it can be significant where intervals overlap.",
            ),
            (
                "Verdict",
                correction_note(comparison) + " An interval of a difference is not corrected, "
                "so it may leave out 0 where the verdict is not told apart.",
            ),
            (
                "Samples that would tell",
                "With this many samples, a difference of the observed size "
                "would be detected in 80 of 100 cases.",
            ),
        ),
        "dl.glossary",
    )
