"""A comparison as text for the terminal, JSON, Markdown and JUnit XML.

JUnit has a test case for every run, task and measure; it fails where the run is worse than the
first, and is skipped, with the reason, where the two are not comparable.
"""

import re
from textwrap import wrap
from typing import Any
from xml.etree import ElementTree

from groundup.core import Reason, page

from .comparison import Cell, ComparedMeasure, Comparison, Versus
from .difference import Difference

HINT = "(n would): with n such samples the difference seen is found in 80 of 100 cases."
PRACTICAL = 10_000_000
"""A larger number of samples is not shown."""
NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def correction(comparison: Comparison) -> str:
    """The multiple-testing correction in one sentence."""
    return (
        f"Differences are in pairs over the same samples; verdicts at 5 %, corrected by Holm over "
        f"{comparison.comparisons} comparison{'s' * (comparison.comparisons != 1)}."
    )


def cell_text(cell: Cell | None) -> str:
    """A run's result: `0.812 [0.790, 0.835]`, or why there is none."""
    if cell is None:
        return "not measured"
    result = cell.result
    if isinstance(result, Reason):
        return f"undefined: {result.code}"
    decimals = page.interval_decimals(result.low, result.high)
    return f"{page.number(result.estimate, decimals)} [{bounds(result.low, result.high)}]"


def bounds(low: float, high: float, is_signed: bool = False) -> str:
    """The bounds of an interval: `0.790, 0.835`."""
    decimals, write = page.interval_decimals(low, high), page.signed if is_signed else page.number
    return f"{write(low, decimals)}, {write(high, decimals)}"


def difference_text(versus: Versus) -> str:
    """A signed difference with its interval; empty if there is none."""
    difference = versus.difference
    if isinstance(difference, Reason):
        return ""
    low, high = difference.interval.low, difference.interval.high
    estimate = page.signed(difference.interval.estimate, page.interval_decimals(low, high))
    return f"{estimate} [{bounds(low, high, True)}]"


def verdict_text(versus: Versus) -> str:
    """The verdict, with the samples needed, or why the two are not comparable."""
    difference = versus.difference
    if isinstance(difference, Reason):
        return f"{versus.verdict}: {difference.message}"
    if versus.verdict == "not told apart" and difference.needed and difference.needed > PRACTICAL:
        return f"{versus.verdict} (no test set of a practical size would)"
    if versus.verdict == "not told apart" and difference.needed:
        return f"{versus.verdict} ({page.compact(difference.needed)} would)"
    return versus.verdict


def rows(comparison: Comparison) -> list[tuple[str, ...]]:
    """The header, and a row for every run that is compared with the first."""
    table = [("task", "measure", "run", "A", "other", "difference", "verdict")]
    for task in comparison.tasks:
        for measure in task.measures:
            for index, versus in enumerate(measure.versus, start=1):
                table.append((
                    task.name, measure.key, versus.letter, cell_text(measure.cells[0]),
                    cell_text(measure.cells[index]), difference_text(versus),
                    verdict_text(versus),
                ))  # fmt: skip
    return table


def to_text(comparison: Comparison) -> str:
    """The comparison for an 80-column terminal: a block per measure, a line per run."""
    lines = [f"{run.letter}  {run.name}" for run in comparison.runs]
    for task in comparison.tasks:
        for measure in task.measures:
            lines += [
                "",
                f"{task.name}  {measure.key}  ({measure.unit}, {measure.better} is better)",
            ]
            lines.append(f"  A  {cell_text(measure.cells[0])}")
            for versus, cell in zip(measure.versus, measure.cells[1:], strict=True):
                value, difference = cell_text(cell), difference_text(versus)
                lines.append(
                    f"  {versus.letter}  {value:<20}  {difference:<23}  {verdict_text(versus)}"
                )
    summary = f"{comparison.lead()} {correction(comparison)} {HINT}"
    return "\n".join([*lines, "", *wrap(summary, 80)])


def to_markdown(comparison: Comparison) -> str:
    """The comparison as a Markdown table."""
    head, *body = [[pipe(text) for text in row] for row in rows(comparison)]
    runs = [f"- **{run.letter}** {pipe(run.name)} ({run.kind})" for run in comparison.runs]
    lines = [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *body)]
    return "\n".join([
        "# Comparison", "", pipe(comparison.lead()), "", *runs, "", *lines, "",
        correction(comparison), "",
    ])  # fmt: skip


def pipe(text: str) -> str:
    """Escape text for a cell of a Markdown table.

    >>> pipe("a|b<c>")
    'a\\\\|b&lt;c>'
    """
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())


def to_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison as JSON values; an undefined result has `code` and `message`."""
    return {
        "format": 1,
        "runs": [run._asdict() for run in comparison.runs],
        "comparisons": comparison.comparisons,
        "correction": "holm",
        "tasks": [
            {
                "name": task.name, "kind": task.kind, "samples": task.samples,
                "measures": [measure_json(measure) for measure in task.measures],
            }
            for task in comparison.tasks
        ],
    }  # fmt: skip


def measure_json(measure: ComparedMeasure) -> dict[str, Any]:
    """One measure as JSON values."""
    plain = measure._asdict()
    plain["cells"] = [None if cell is None else cell_json(cell) for cell in measure.cells]
    plain["versus"] = [versus_json(versus) for versus in measure.versus]
    return plain


def cell_json(cell: Cell) -> dict[str, Any]:
    """A run's result as JSON values: `interval` or `undefined`, the other is null."""
    is_reason = isinstance(cell.result, Reason)
    plain = {name: value for name, value in cell._asdict().items() if name != "result"}
    return plain | {
        "interval": None if is_reason else cell.result._asdict(),
        "undefined": cell.result._asdict() if is_reason else None,
    }


def versus_json(versus: Versus) -> dict[str, Any]:
    """A run against the first as JSON values."""
    difference = versus.difference
    plain: dict[str, Any] = {
        "run": versus.letter, "verdict": versus.verdict, "p": versus.p,
        "difference": None, "undefined": None,
    }  # fmt: skip
    if isinstance(difference, Difference):
        parts = difference._asdict() | {"interval": difference.interval._asdict()}
        return plain | {"difference": parts}
    return plain | {"undefined": difference._asdict()}


def to_junit(comparison: Comparison) -> str:
    """The comparison as JUnit XML."""
    root = ElementTree.Element("testsuites", name="groundup compare")
    for task in comparison.tasks:
        cases = [(m, v) for m in task.measures for v in m.versus]
        words = [versus.verdict for _, versus in cases]
        suite = ElementTree.SubElement(
            root, "testsuite", name=xml(task.name), tests=str(len(cases)), errors="0",
            failures=str(words.count("worse")), skipped=str(words.count("not compared")),
        )  # fmt: skip
        for measure, versus in cases:
            add_case(suite, comparison, task.name, measure, versus)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def add_case(
    suite: ElementTree.Element, comparison: Comparison, task: str, measure: ComparedMeasure,
    versus: Versus,
) -> None:  # fmt: skip
    """Append one test case to a suite."""
    names = {run.letter: run.name for run in comparison.runs}
    name = f"{measure.key}: {names[versus.letter]} against {names['A']}"
    case = ElementTree.SubElement(suite, "testcase", classname=xml(task), name=xml(name))
    place = [run.letter for run in comparison.runs].index(versus.letter)
    numbers = (
        f"{cell_text(measure.cells[place])} against {cell_text(measure.cells[0])} {measure.unit}; "
        f"difference {difference_text(versus)}"
    )
    if versus.verdict == "worse":
        ElementTree.SubElement(case, "failure", message=xml(f"worse: {numbers}"))
    elif isinstance(versus.difference, Reason):
        ElementTree.SubElement(case, "skipped", message=xml(versus.difference.message))
    ElementTree.SubElement(case, "system-out").text = xml(f"{verdict_text(versus)}; {numbers}")


def xml(text: str) -> str:
    """Text with characters that XML forbids replaced."""
    return NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
