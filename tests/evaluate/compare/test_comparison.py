"""Only what was scored alike compares, and equal runs are hardly ever told apart."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from groundup.cli import main
from groundup.core import Artifact, ArtifactError, ConfigError, Reason, record
from groundup.evaluate.compare.comparison import (
    BaselineComparison,
    ComparedMeasure,
    ComparedRun,
    ComparedTask,
    _mean_difference,
    align_samples,
    assign_verdicts,
)
from groundup.evaluate.compare.difference import PairedDifference
from groundup.evaluate.compare.verb import compare
from groundup.evaluate.gate import gate
from groundup.evaluate.harness.report import EQUALLY_WEIGHTED, GroupReport
from groundup.evaluate.task.aggregate import weighted_mean
from groundup.measure import Interval
from tests.evaluate.compare.reports import (
    ACC,
    Made,
    arithmetic,
    choices,
    make_report,
    rolling,
    row,
    task_report,
)


def made(tmp_path, *tasks_of_runs):
    """Compare runs named by letters, each given as its tasks."""
    paths = []
    for letter, tasks in zip("ABCDEFG", tasks_of_runs, strict=False):
        paths.append(make_report(tmp_path / letter, letter, tasks).path)
    return compare(paths).comparison


def test_better_worse_and_not_told_apart(tmp_path):
    hard = [n / 300 for n in range(300)]
    found = made(
        tmp_path,
        [arithmetic(h < 0.5 for h in hard), rolling(100 + h for h in hard)],
        [arithmetic(h < 0.7 for h in hard), rolling(103 + h for h in hard)],
        [arithmetic(h < 0.5 for h in hard), rolling(100 + h for h in hard)],
    )
    sums, text = found.tasks
    assert [v.verdict for v in sums.measures[0].versus] == ["better", "not told apart"]
    assert [v.verdict for v in text.measures[0].versus] == ["worse", "not told apart"]
    assert found.comparisons == 4
    assert found.headline() == (
        "Of 4 comparisons with A, 1 is better, 1 worse, 2 not told apart."
    )  # fmt: skip
    equal = sums.measures[0].versus[1]
    assert equal.p == 1.0 and equal.difference.interval.estimate == 0.0


def test_many_equal_runs_are_not_called_better():
    """With 30 comparisons of equal runs the family-wise rate stays near its level."""
    chance, interval = random.Random(0), Interval(0.1, 0.0, 0.2, 0.95, 100, 100)
    runs = (ComparedRun("A", "a", "", "", ""), ComparedRun("B", "b", "", "", ""))

    def measure(name: str) -> ComparedMeasure:
        difference = PairedDifference(interval, chance.random(), "", None)
        versus = BaselineComparison("B", difference, None, "not compared")
        return ComparedMeasure(name, "", "higher", "mean", (), (versus,))

    false, repeats = 0, 400
    for _ in range(repeats):
        measures = tuple(measure(str(n)) for n in range(30))
        found = assign_verdicts(runs, [ComparedTask("t", "", 100, (0, 1), measures)])
        false += bool(found.verdicts("better"))
    assert false / repeats < 0.05 + 3 * (0.05 * 0.95 / repeats) ** 0.5


@pytest.mark.parametrize(
    ("change", "says"),
    [({"samples_sha256": "other"}, "Other samples"), ({"signature": "shots:5"}, "Other rules")],
)
def test_what_was_not_scored_alike_is_refused_with_the_reason(tmp_path, change, says):
    right = [n % 2 == 0 for n in range(20)]
    found = made(tmp_path, [arithmetic(right)], [arithmetic(right, **change)])
    (versus,) = found.tasks[0].measures[0].versus
    assert isinstance(versus.difference, Reason) and versus.verdict == "not compared"
    assert says in versus.difference.message
    assert found.tasks[0].measures[0].cells[1] is not None
    assert found.tasks[0].runs == (0,)


def test_other_rules_of_one_measure_spare_the_others(tmp_path):
    task = choices([True, False] * 10)
    other = task._replace(measures=(ACC._replace(signature="acc|other"), *task.measures[1:]))
    acc, norm = made(tmp_path, [task], [other]).tasks[0].measures
    assert acc.versus[0].verdict == "not compared" and "acc|other" in str(acc.versus[0])
    assert norm.versus[0].verdict == "not told apart"


def test_a_task_that_one_run_lacks_is_shown_for_the_others(tmp_path):
    right = [n % 2 == 0 for n in range(20)]
    found = made(
        tmp_path, [arithmetic(right, "one")], [arithmetic(right, "one"), arithmetic(right, "two")]
    )
    two = found.tasks[1]
    assert two.name == "two" and two.runs == () and two.measures[0].cells[0] is None
    assert "A has no such task" in str(two.measures[0].versus[0])


def test_undefined_samples_are_left_out_in_pairs_and_counted(tmp_path):
    a = [True, False] * 30
    b = [None if n % 10 == 0 else value for n, value in enumerate(a)]
    acc = made(tmp_path, [choices(a)], [choices(b)]).tasks[0].measures[0]
    assert acc.cells[1] is not None and acc.cells[1].reasons == {"timeout": 6}
    assert acc.versus[0].difference.interval.n == 54
    assert acc.versus[0].difference.interval.estimate == 0.0


def test_samples_that_do_not_line_up_are_an_error(tmp_path):
    one = arithmetic([True] * 3)
    swapped = one._replace(rows=(one.rows[1], one.rows[0], one.rows[2]))
    shorter = one._replace(rows=one.rows[:2])
    paths = [
        make_report(tmp_path / str(n), str(n), [task])
        for n, task in enumerate((one, swapped, shorter))
    ]
    with pytest.raises(ArtifactError, match="Sample 1 of sums has different ids"):
        list(align_samples(paths[:2], "sums"))
    with pytest.raises(ArtifactError, match="different numbers of samples"):
        list(align_samples([paths[2], paths[0]], "sums"))
    with pytest.raises(ArtifactError, match="different numbers of samples"):
        list(align_samples([paths[0], paths[2]], "sums"))


def test_runs_of_one_name_are_told_apart_by_their_folders(tmp_path):
    task = arithmetic([True, False])
    paths = [make_report(tmp_path / name, "model", [task]).path for name in ("one", "two")]
    assert [run.name for run in compare(paths).comparison.runs] == ["model (one)", "model (two)"]


@pytest.mark.parametrize("number", [1, 7])
def test_two_to_six_runs(tmp_path, number):
    with pytest.raises(ConfigError, match="2 to 6 reports"):
        made(tmp_path, *[[arithmetic([True, False])] for _ in range(number)])


def test_a_task_without_samples_has_reasons(tmp_path):
    empty = Made("none", "generate_until", (ACC,), ())
    found = made(tmp_path, [empty], [empty])
    assert found.tasks[0].measures[0].versus[0].difference.code == "nothing_shared"


def test_groups_of_samples_are_drawn_together(tmp_path):
    def task(value: float) -> Made:
        rows = tuple(
            row(n, {"acc": value if n % 40 < 20 else 0.0}) | {"group": f"g{n // 20}"}
            for n in range(80)
        )
        return Made("grouped", "generate_until", (ACC,), rows)

    found = made(tmp_path, [task(0.0)], [task(1.0)])
    versus = found.tasks[0].measures[0].versus[0]
    assert versus.difference.interval.groups == 4 and versus.verdict == "not told apart"


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


def reports(folder, number: int = 60):
    """Two reports, the second one worse at sums."""
    return [
        make_report(folder / name, name, [
            arithmetic(n % 10 < right for n in range(number)), rolling([100.0] * 5),
        ]).path
        for name, right in (("base", 8), ("tuned", 2))
    ]  # fmt: skip


def test_everything_is_written_once_and_kept(tmp_path):
    paths = reports(tmp_path)
    first = compare(paths, out=tmp_path / "out")
    made = Artifact.open(tmp_path / "out", "report")
    assert {"index.html", "compare.json", "compare.md", "compare.xml"} <= made.files.keys()
    assert made.numbers["worse"] == 1 and made.numbers["comparisons"] == 2
    again = compare(paths, out=tmp_path / "out")
    assert again.comparison == first.comparison
    assert Artifact.open(tmp_path / "out").id == made.id
    with pytest.raises(ArtifactError, match="made from another A"):
        compare(paths[::-1], out=tmp_path / "out")


def test_what_is_no_evaluation_is_told(tmp_path):
    paths = reports(tmp_path)
    compare(paths, out=tmp_path / "out")
    with pytest.raises(
        ArtifactError,
        match="or `groundup grounding`; got one of the stage 'compare'",
    ):
        compare([paths[0], tmp_path / "out"])
    with pytest.raises(ArtifactError, match="there is no such folder"):
        compare([paths[0], tmp_path / "nothing"])


def test_the_command_prints_the_table_or_json(tmp_path, capsys):
    paths = [str(path) for path in reports(tmp_path)]

    def run(*words: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["compare", *paths, *words])
        assert not ended.value.code
        return capsys.readouterr().out

    table = run("--out", str(tmp_path / "out"))
    assert "worse" in table and f"Page: {tmp_path / 'out' / 'index.html'}" in table
    found = json.loads(run("--json"))
    assert found["tasks"][0]["measures"][0]["versus"][0]["verdict"] == "worse"
    record.set_output_mode("silent")


@pytest.mark.slow
def test_100_000_samples_in_bounded_memory(tmp_path):
    """The peak grows by a few numbers a sample, not by their texts."""
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from groundup.evaluate.compare.verb import compare\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "compare([Path(sys.argv[1]), Path(sys.argv[2])], out=Path(sys.argv[3]))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    long = "A long answer of a few hundred letters that says little. " * 8
    paths = []
    for name in ("base", "tuned"):
        made = arithmetic(n % 3 > 0 for n in range(100_000))
        rows = tuple(row | {"prompt": long} for row in made.rows)
        paths.append(str(make_report(tmp_path / name, name, [made._replace(rows=rows)]).path))
    done = subprocess.run(
        [sys.executable, "-c", code, *paths, str(tmp_path / "out")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(done.stdout) < 200_000  # kB; the reports themselves take 170 MB
    assert len(list((tmp_path / "out" / "samples").iterdir())) == 1000
