"""A report becomes a verdict: no worse on the same samples, and within the bounds required."""

import json
from pathlib import Path

import pytest

from groundup.core import (
    Artifact,
    ArtifactError,
    ConfigError,
    DataError,
    GateFailed,
    GateUndecided,
    Sample,
    produce,
)
from groundup.evaluate.gate import (
    _required_checks,
    _scored_model,
    check_ledgers,
    gate,
    gate_interval,
)
from groundup.evaluate.harness.report import (
    WEIGHTED_BY_SIZE,
    EvaluationReport,
    GroupReport,
    Subject,
    read_report,
    record_baseline,
    samples_file,
    setting_digest,
    write_evaluation_report,
)
from groundup.evaluate.task.aggregate import aggregate
from groundup.evaluate.task.task import TaskMeasure
from groundup.measure import TestSetCard, make_testset, read_verdict, record_access
from tests.evaluate.compare.reports import (
    Handmade,
    arithmetic,
    choices,
    make_report,
    rolling,
    task_report,
)

RIGHT = [number % 4 > 0 for number in range(400)]
WORSE = [number % 4 > 0 and number % 10 > 0 for number in range(400)]


@pytest.fixture
def place(tmp_path) -> Path:
    return tmp_path


def report(place: Path, name: str, *tasks) -> Path:
    return make_report(place / name, name, tasks).path


def test_an_equal_run_passes_and_the_verdict_says_what_was_held(place):
    base, ours = (report(place, name, arithmetic(RIGHT)) for name in ("base", "ours"))
    found = gate(ours, against=base, margin=0.05, author="ana", out=place / "v")
    (row,) = found.checks
    assert found.passed and row["name"] == "sums exact_match,first-number - baseline"
    assert row["interval"]["estimate"] == 0.0 and "margin 0.05" in row["required"]
    made = Artifact.open(place / "v", "verdict")
    assert [parent.name for parent in made.parents] == ["subject", "baseline"]
    assert gate(place / "v").checks == found.checks  # a verdict is shown


def test_a_worse_run_fails_with_its_rows_and_the_verdict_stays(place):
    base, ours = report(place, "base", arithmetic(RIGHT)), report(place, "ours", arithmetic(WORSE))
    with pytest.raises(GateFailed, match="1 of 1 checks failed") as caught:
        gate(ours, against=base, margin=0.02, out=place / "v")
    assert "groundup compare" in caught.value.__notes__[0]
    assert not read_verdict(Artifact.open(place / "v")).passed
    with pytest.raises(GateFailed):
        gate(place / "v")
    assert gate(base, against=ours, margin=0.02, out=place / "turned").passed


def test_a_small_sample_passes_nothing(place):
    base, ours = (report(place, name, arithmetic(RIGHT[:12])) for name in ("base", "ours"))
    worse = report(place, "worse", arithmetic([*RIGHT[:11], not RIGHT[11]]))
    with pytest.raises(GateFailed):
        gate(worse, against=base, margin=0.01, out=place / "v")
    assert ours != worse


def test_fewer_bits_are_better(place):
    base, ours = (
        report(place, name, rolling([100.0 + add + i % 7 for i in range(60)]))
        for name, add in (("base", 0.0), ("ours", -2.0))
    )
    assert gate(ours, against=base, out=place / "v").passed
    with pytest.raises(GateFailed):
        gate(base, against=ours, out=place / "turned")


def test_a_margin_of_what_is_no_share_is_a_part_of_the_baseline(place):
    base, ours = (
        report(place, name, rolling([100.0 + i % 7 for i in range(60)]))
        for name in ("base", "ours")
    )
    gate(ours, against=base, out=place / "v")
    (row,) = read_verdict(Artifact.open(place / "v")).checks
    bits = read_report(Artifact.open(base)).tasks[0].measures[0].result.estimate
    assert row["limit"] == pytest.approx(bits / 100)
    nothing = [report(place, name, rolling([0.0] * 9)) for name in ("zero", "none")]
    with pytest.raises(ConfigError, match="has 0 bits per byte .* give --margin"):
        gate(nothing[0], against=nothing[1], out=place / "w")


def test_bounds_that_no_share_could_miss_are_refused(place):
    base, ours = (report(place, name, arithmetic(RIGHT)) for name in ("base", "ours"))
    with pytest.raises(ConfigError, match=r"--margin 5: .* is a share"):
        gate(ours, against=base, margin=5, out=place / "v")
    for bound in ("exact_match>=0", "exact_match>=2", "exact_match>-0.5", "exact_match<=1"):
        with pytest.raises(ConfigError, match="is a share, so expected a bound"):
            gate(ours, require=[f"sums {bound}".replace("match", "match,first-number")])
    assert gate(ours, require=["exact_match,first-number>0"], out=place / "v").passed


def test_what_was_scored_on_other_samples_fails_with_the_reason(place):
    base = report(place, "base", arithmetic(RIGHT))
    other = report(place, "other", arithmetic(RIGHT, samples_sha256="other"))
    with pytest.raises(GateFailed, match="Other samples"):
        gate(other, against=base, out=place / "v")


def test_a_task_that_was_left_out_fails(place):
    base = report(place, "base", arithmetic(RIGHT), choices([True] * 40))
    ours = report(place, "ours", arithmetic(RIGHT))
    with pytest.raises(GateFailed, match="no such task"):
        gate(ours, against=base, margin=0.05, out=place / "v")


def test_samples_without_a_number_are_no_way_to_pass(place):
    base = report(place, "base", choices([True, False] * 100))
    ours = report(place, "ours", choices([True, None] * 100))
    with pytest.raises(GateFailed, match="has a number +0.5"):
        gate(ours, against=base, margin=0.05, out=place / "v")
    rows = read_verdict(Artifact.open(place / "v")).rows("failed")
    assert rows[0]["name"] == "choose acc has a number" and "100 timeout" in rows[0]["next"]


def test_bounds_hold_without_a_baseline(place):
    ours = report(place, "ours", arithmetic(RIGHT), choices([True] * 99 + [False]))
    bounds = ["exact_match,first-number>=0.7", "choose acc > 0.9", "acc_norm>=0.9"]
    found = gate(ours, require=bounds, out=place / "v")
    assert [row["name"] for row in found.checks] == [
        "sums exact_match,first-number >= 0.7", "choose acc > 0.9", "choose acc_norm >= 0.9",
    ]  # fmt: skip
    with pytest.raises(GateFailed, match="lower bound at least 0.75"):
        gate(ours, require=["exact_match,first-number>=0.75"], out=place / "w")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("acc", "is not a bound"),
        ("acc>=high", "is not a bound"),
        ("acc>=nan", "is not a bound"),
        ("acc=0.5", "is not a bound"),
        ("bleu>=1", "has no measure bleu; it has choose acc, choose acc_norm"),
        ("sums acc>=1", "has no measure sums acc"),
    ],
)
def test_a_bound_that_says_nothing_is_refused(place, text, match):
    ours = report(place, "ours", choices([True]))
    with pytest.raises(ConfigError, match=match):
        list(_required_checks(Artifact.open(ours), read_report(Artifact.open(ours)), text))


def test_words_that_do_not_fit_together(place):
    ours = report(place, "ours", arithmetic(RIGHT))
    for given, match in (({}, "--against"), ({"out": place / "v"}, "--against"),
                         ({"require": ["x>=1"]}, "has no measure x")):  # fmt: skip
        with pytest.raises(ConfigError, match=match):
            gate(ours, **given)
    gate(ours, require=["exact_match,first-number>=0.5"], out=place / "v")
    with pytest.raises(ConfigError, match="verdict already"):
        gate(place / "v", require=["x>=1"])
    with pytest.raises(ConfigError, match="margin"):
        gate(ours, against=ours, margin=0.0, out=place / "w")
    with pytest.raises(ArtifactError, match="Expected a report artifact"):
        gate(ours, against=place / "v", out=place / "w")


def house(place: Path) -> tuple[Artifact, Artifact, Artifact]:
    """A model and a test set, and a report made of both."""
    testset = make_testset(TestSetCard(name="t"), [Sample("1", ())], {}, place / "testset")
    model = produce(
        place / "model", kind="model", stage="test", version=1, config=Handmade(name="model"),
        parents={}, write=lambda draft: draft.file("w.bin").write_text("w") and None,
    )  # fmt: skip
    task = arithmetic(RIGHT)
    whole = EvaluationReport(Subject("model", model.id, "", "groundup"), (task_report(task),))

    def write(draft):
        lines = "".join(json.dumps(each) + "\n" for each in task.rows)
        draft.file(samples_file(task.name)).write_text(lines)
        write_evaluation_report(draft, whole)

    made = produce(
        place / "report", kind="report", stage="evaluate", version=1, config=Handmade(name="r"),
        parents={"model": model, "testset of sums": testset}, write=write,
    )  # fmt: skip
    return model, testset, made


def test_a_verdict_is_on_the_model_and_counts_the_test_sets_candidates(place):
    model, testset, made = house(place)
    report = read_report(made)
    setting = setting_digest(report.subject.signature, report.tasks[0].signature)
    for name, under in (("one", ""), (model.id, "another prompt"), (model.id, setting)):
        record_access(testset, "evaluate", name, under)
    assert _scored_model(made).id == model.id and check_ledgers(made).testset.id == testset.id
    found = gate(made.path, require=["exact_match,first-number>=0.5"], out=place / "v")
    assert found.candidates == 3
    ids = {parent.name: parent.id for parent in Artifact.open(place / "v").parents}
    assert ids == {"subject": model.id, "testset": testset.id}
    assert check_ledgers(made, test=testset.path).testset.id == testset.id
    other = make_testset(TestSetCard(name="o"), [Sample("2", ())], {}, place / "other")
    with pytest.raises(ConfigError, match="did not use"):
        check_ledgers(made, test=other.path)


def test_a_model_that_changed_since_is_told(place):
    model, _, made = house(place)
    (model.path / "w.bin").write_text("v")
    with pytest.raises(ArtifactError, match="changed"):
        gate(made.path, require=["exact_match,first-number>=0.5"], out=place / "v")


def test_a_report_remembers_what_it_was_compared_with(place):
    base, ours = report(place, "base", arithmetic(RIGHT)), report(place, "ours", arithmetic(RIGHT))
    with pytest.raises(ConfigError, match="has no recorded baseline"):
        gate(ours)
    record_baseline(Artifact.open(ours), Artifact.open(base))
    record_baseline(Artifact.open(ours), Artifact.open(base))  # told once
    assert gate(ours, margin=0.05).passed
    made = Artifact.open(place / "ours-verdict", "verdict")
    assert made.parents[1].id == Artifact.open(base).id


def test_a_bound_is_not_passed_on_the_samples_that_were_answered(place):
    ours = report(place, "ours", choices([True, True, None, None] * 20))
    with pytest.raises(GateFailed, match="acc has a number") as caught:
        gate(ours, require=["acc>=0.8"], out=place / "v")
    assert "40 of 80 samples have no number (40 timeout)" in caught.value.__notes__[0]
    with pytest.raises(ConfigError, match="--margin applies to a baseline"):
        gate(ours, require=["acc>=0.8"], margin=0.5)


def test_a_margin_of_quality_is_none_of_silence(place):
    base = report(place, "base", choices([True, False] * 200))
    ours = report(place, "ours", choices([True, False, True, None] * 100))
    with pytest.raises(GateFailed, match="acc has a number"):
        gate(ours, against=base, margin=0.5, out=place / "v")


def five(right: list[list[bool]]) -> list:
    """A task for each measure."""
    return [arithmetic(row, f"t{number}") for number, row in enumerate(right)]


def test_what_the_data_cannot_decide_is_left_aside_and_named(place):
    """Of 167 samples, a measure that is 0 against 0 says little, and nothing against the model."""
    nothing, half = [False] * 167, [number % 2 > 0 for number in range(167)]
    most = [number % 10 > 0 for number in range(167)]
    base = report(place, "base", *five([half, half, half, nothing, nothing]))
    ours = report(place, "ours", *five([most, most, most, nothing, nothing]))
    found = gate(ours, against=base, out=place / "v")
    assert (found.outcome, len(found.rows("undecided"))) == ("passed", 2)
    told = str(found)
    assert told.startswith("passed: 3 of 5 checks, 2 undecided")
    assert "UNDECIDED  t3 exact_match" in told and "80 of 100 need n = " in told
    assert "one of 5 had to pass with a bound of 2.58 standard errors" in told
    with pytest.raises(GateUndecided) as caught:
        gate(base, against=base, out=place / "w")
    assert caught.value.exit_code == 4 and "cannot decide 5 of 5 checks" in str(caught.value)
    worse = report(place, "worse", *five([most, most, most, nothing, [*nothing]]))
    turned = report(place, "turned", *five([most, most, half, half, half]))
    with pytest.raises(GateFailed) as caught:
        gate(worse, against=turned, out=place / "x")  # better in none, much worse in two
    assert caught.value.exit_code == 3 and "2 of 5 checks failed" in str(caught.value)


def test_what_has_the_data_to_decide_must_pass(place):
    base = report(place, "base", arithmetic(RIGHT * 20), choices([True, False] * 20))
    drawn = [right and number % 77 > 0 for number, right in enumerate(RIGHT * 20)]
    ours = report(place, "ours", arithmetic(drawn), choices([True] * 40))
    with pytest.raises(GateFailed, match="1 of 3 checks failed.*: sums exact_match"):
        gate(ours, against=base, margin=0.012, out=place / "v")
    rows = read_verdict(Artifact.open(place / "v")).rows("failed")
    assert rows[0]["power"]["share"] > 0.8


def test_a_bound_that_was_asked_for_is_never_left_aside(place):
    base = report(place, "base", choices([True, False] * 200))
    ours = report(place, "ours", choices([True, False] * 200))
    with pytest.raises(GateUndecided, match=r"1 of 3 checks: choose acc >= 0\.49"):
        gate(ours, against=base, require=["choose acc>=0.49"], margin=0.05, out=place / "v")


def test_how_sure_to_be_is_not_the_evaluations_to_say(tmp_path):
    """An interval of confidence 0.01 is hardly wider than its estimate."""
    measure = TaskMeasure("acc", "none", "higher", "share", "mean", "acc")
    ours = report(tmp_path, "ours", choices([True, True, True, False] * 8))
    with pytest.raises(GateUndecided, match=r"n = \d{3} would decide"):
        gate(ours, require=["acc>=0.7"], out=tmp_path / "v")
    made = Artifact.open(ours)
    narrow = aggregate(measure, [1.0, 1.0, 1.0, 0.0] * 8, [""] * 32, 0.01)
    assert narrow.low > 0.7
    found = read_report(made)
    task = found.tasks[0]
    told = task._replace(measures=(task.measures[0]._replace(result=narrow), *task.measures[1:]))
    group = GroupReport(
        "all", ("choose",), (told.measures[0]._replace(aggregation=WEIGHTED_BY_SIZE),)
    )
    for part in (told, group):
        wide = gate_interval(made, found._replace(tasks=(told,)), part, part.measures[0])
        assert wide.confidence == 0.95 and wide.low < 0.7
    own = told.measures[0]._replace(aggregation="code.py:mine")
    assert gate_interval(made, found, told, own).code == "other_confidence"
    assert gate_interval(made, found, told, own._replace(result=wide)) == wide


def test_a_report_that_is_not_its_samples_is_refused(tmp_path):
    made = Artifact.open(report(tmp_path, "ours", choices([True, False] * 8)))
    found = read_report(made)
    one = found.tasks[0].measures[0]
    other = one._replace(result=one.result._replace(estimate=0.9))
    with pytest.raises(DataError, match="reports 0.9 .* and its samples give 0.5"):
        gate_interval(made, found, found.tasks[0], other)
