"""Groups in a comparison: the mean of their tasks' differences, or numbers without a verdict."""

from pathlib import Path

import pytest

from groundup.core import Reason
from groundup.evaluate.compare.difference import PairedDifference
from groundup.evaluate.compare.groups import _mean_difference
from groundup.evaluate.compare.verb import compare
from groundup.evaluate.gate import gate
from groundup.evaluate.harness.report import EQUALLY_WEIGHTED, GroupReport
from groundup.evaluate.task.catalogue import weighted_mean
from groundup.measure import Interval
from tests.evaluate.compare.reports import Made, arithmetic, make_report, task_report

EASY = [True, True, False] * 40
HARD = [True, False, False] * 20


def grouped(out: Path, easy: Made, hard: Made) -> Path:
    """A report of two tasks and their group, each task counting once."""
    tasks = [easy, hard]
    parts = [task_report(task).measures[0] for task in tasks]
    mean = weighted_mean([part.result for part in parts], [1, 1])
    whole = parts[0]._replace(result=mean, aggregation=EQUALLY_WEIGHTED)
    group = GroupReport("both", ("easy", "hard"), (whole,))
    return make_report(out, out.name, tasks, (group,)).path


@pytest.fixture
def pair(tmp_path) -> list[Path]:
    base = grouped(tmp_path / "base", arithmetic(EASY, "easy"), arithmetic(HARD, "hard"))
    better = [True] * len(EASY)
    ours = grouped(tmp_path / "ours", arithmetic(better, "easy"), arithmetic(HARD, "hard"))
    return [base, ours]


def test_a_group_is_a_row_with_the_mean_of_its_tasks_differences(pair, tmp_path):
    made = compare(pair, out=tmp_path / "page")
    group, easy, hard = made.comparison.tasks
    assert (group.name, group.kind, group.samples) == ("both", "group of 2", 180)
    parts = [task.measures[0].versus[0].difference.interval.estimate for task in (easy, hard)]
    (versus,) = group.measures[0].versus
    assert versus.difference.interval.estimate == pytest.approx(sum(parts) / 2)
    assert versus.verdict == "better" and made.comparison.comparisons == 3
    assert "both" in (tmp_path / "page" / "index.html").read_text()
    with pytest.raises(Exception, match="both exact_match,first-number - baseline"):
        gate(pair[0], against=pair[1], out=tmp_path / "v")


def test_a_group_whose_tasks_do_not_compare_has_numbers_and_no_verdict(pair, tmp_path):
    other = arithmetic(HARD[:30], "hard", samples_sha256="other")
    cut = grouped(tmp_path / "cut", arithmetic(EASY, "easy"), other)
    group, _, hard = compare([pair[0], cut]).comparison.tasks
    (versus,) = group.measures[0].versus
    assert versus.verdict == "not compared" and "1 of 2 tasks" in versus.difference.message
    assert all(cell is not None for cell in group.measures[0].cells)
    said = hard.measures[0].versus[0].difference.message
    assert said == "Other samples: the limits differ (60 and 30)."


def test_size_decides_where_it_should():
    a, b = (
        PairedDifference(Interval(mean, mean - 0.1, mean + 0.1, 0.95, n, n), 0.5, "", None)
        for mean, n in ((0.0, 100), (0.4, 300))
    )
    assert _mean_difference([a, b], False).interval.estimate == pytest.approx(0.2)
    assert _mean_difference([a, b], True).interval.estimate == pytest.approx(0.3)
    assert _mean_difference([], True).code == "undefined_task"
    assert _mean_difference([a, Reason("x", "y")], True).code == "undefined_task"
