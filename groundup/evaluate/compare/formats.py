"""A comparison as text for the terminal, JSON, Markdown and JUnit XML.

JUnit has a test case for every run, task and measure; it fails where the run is worse than the
first, and is skipped, with the reason, where the two are not comparable.
"""

import re
from textwrap import wrap
from typing import Any
from xml.etree import ElementTree

from groundup.core import Reason, page

from .comparison import BaselineComparison, ComparedMeasure, Comparison, RunMeasure
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


def _cell_text(cell: RunMeasure | None) -> str:
    """A run's result: `0.812 [0.790, 0.835]`, or why there is none."""
    if cell is None:
        return "not measured"
    result = cell.result
    if isinstance(result, Reason):
        return f"undefined: {result.code}"
    decimals = page.interval_decimals(result.low, result.high)
    return (
        f"{page.format_number(result.estimate, decimals)} [{_bounds_text(result.low, result.high)}]"
    )


def _bounds_text(low: float, high: float, is_signed: bool = False) -> str:
    """The bounds of an interval: `0.790, 0.835`."""
    decimals, write = (
        page.interval_decimals(low, high),
        page.format_signed if is_signed else page.format_number,
    )
    return f"{write(low, decimals)}, {write(high, decimals)}"


def _difference_text(versus: BaselineComparison) -> str:
    """A signed difference with its interval; empty if there is none."""
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
    if (
        versus.verdict == "not told apart"
        and difference.needed
        and difference.needed > MAX_SAMPLES_SHOWN
    ):
        return f"{versus.verdict} (no test set of a practical size would)"
    if versus.verdict == "not told apart" and difference.needed:
        return f"{versus.verdict} ({page.format_compact(difference.needed)} would)"
    return versus.verdict


def _comparison_table(comparison: Comparison) -> list[tuple[str, ...]]:
    """The header, and a row for every run that is compared with the first."""
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
            lines += [
                "",
                f"{task.name}  {measure.key}  ({measure.unit}, {measure.better} is better)",
            ]
            lines.append(f"  A  {_cell_text(measure.cells[0])}")
            for versus, cell in zip(measure.versus, measure.cells[1:], strict=True):
                value, difference = _cell_text(cell), _difference_text(versus)
                lines.append(
                    f"  {versus.letter}  {value:<20}  {difference:<23}  {verdict_text(versus)}"
                )
    summary = f"{comparison.headline()} {correction_note(comparison)} {HINT}"
    return "\n".join([*lines, "", *wrap(summary, 80)])


def comparison_to_markdown(comparison: Comparison) -> str:
    """The comparison as a Markdown table."""
    head, *body = [
        [_escape_markdown(text) for text in row] for row in _comparison_table(comparison)
    ]
    runs = [
        f"- **{run.letter}** {_escape_markdown(run.name)} ({run.kind})" for run in comparison.runs
    ]
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
    """One measure as JSON values."""
    plain = measure._asdict()
    plain["cells"] = [None if cell is None else _cell_json(cell) for cell in measure.cells]
    plain["versus"] = [_versus_json(versus) for versus in measure.versus]
    return plain


def _cell_json(cell: RunMeasure) -> dict[str, Any]:
    """A run's result as JSON values: `interval` or `undefined`, the other is null."""
    is_reason = isinstance(cell.result, Reason)
    plain = {name: value for name, value in cell._asdict().items() if name != "result"}
    return plain | {
        "interval": None if is_reason else cell.result._asdict(),
        "undefined": cell.result._asdict() if is_reason else None,
    }


def _versus_json(versus: BaselineComparison) -> dict[str, Any]:
    """A run against the first as JSON values."""
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
    """Append one test case to a suite."""
    names = {run.letter: run.name for run in comparison.runs}
    name = f"{measure.key}: {names[versus.letter]} against {names['A']}"
    case = ElementTree.SubElement(
        suite, "testcase", classname=_valid_xml_text(task), name=_valid_xml_text(name)
    )
    place = [run.letter for run in comparison.runs].index(versus.letter)
    numbers = (
        f"{_cell_text(measure.cells[place])} against {_cell_text(measure.cells[0])} "
        f"{measure.unit}; "
        f"difference {_difference_text(versus)}"
    )
    if versus.verdict == "worse":
        ElementTree.SubElement(case, "failure", message=_valid_xml_text(f"worse: {numbers}"))
    elif isinstance(versus.difference, Reason):
        ElementTree.SubElement(case, "skipped", message=_valid_xml_text(versus.difference.message))
    ElementTree.SubElement(case, "system-out").text = _valid_xml_text(
        f"{verdict_text(versus)}; {numbers}"
    )


def _valid_xml_text(text: str) -> str:
    """Text with characters that XML forbids replaced."""
    return NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
