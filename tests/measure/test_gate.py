"""A number passes only if its bound lies right, and a failed verdict stops the next stage."""

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from groundup.core import (
    Artifact,
    ArtifactError,
    ConfigError,
    DataError,
    GateFailed,
    Reason,
    Sample,
)
from groundup.measure.gate import (
    above,
    at_least,
    at_most,
    below,
    check_requirement,
    loses_at_most,
    no_worse_than,
    widen_for_reuse,
)
from groundup.measure.stats.interval import Interval, bootstrap, paired_difference
from groundup.measure.testset import TestSetCard, make_testset, record_access, scored_candidates
from groundup.measure.verdict import read_verdict, require_passed, write_verdict
from tests.checking import unchecked

FOUND = Interval(0.8, 0.7, 0.9, 0.95, 50, 40)


@pytest.fixture
def subject(tmp_path: Path) -> Artifact:
    return make_testset(TestSetCard(name="subject"), [Sample("1", ())], {}, tmp_path / "subject")


@pytest.mark.parametrize("requirement, bound, passed", [
    (at_most(0.9), None, True), (at_most(0.89), None, False), (at_most(0.8), "estimate", True),
    (below(0.9), None, False), (below(0.95), "upper", True),
    (at_least(0.7), None, True), (at_least(0.71), "lower", False),
    (above(0.7), None, False), (above(0.69), None, True),
    (no_worse_than(FOUND, 0.11), None, True), (no_worse_than(FOUND, 0.05), None, False),
    (no_worse_than(FOUND, 0.11, better="lower"), None, True),
])  # fmt: skip
def test_the_bound_must_lie_on_the_right_side(requirement, bound, passed):
    assert check_requirement("x", FOUND, requirement, bound).passed is passed


def test_a_small_sample_does_not_pass_by_luck():
    few, many = bootstrap([1.0, 2.0, 1.4]), bootstrap([1.0, 2.0, 1.4] * 60)
    assert few.estimate == pytest.approx(many.estimate)
    assert not check_requirement("x", few, at_most(1.6)).passed
    assert check_requirement("x", many, at_most(1.6)).passed


def test_an_undefined_number_fails_with_its_reason(subject, tmp_path):
    row = check_requirement("x", Reason("no_reference", "There is none."), at_most(1))
    assert not row.passed and row.value is None
    found = write_verdict([row], subject, out=tmp_path / "v")
    with pytest.raises(GateFailed, match="undefined \\(There is none.\\)"):
        require_passed(found)


def test_a_verdict_carries_all_that_a_report_shows(subject, tmp_path):
    rows = [
        check_requirement("ratio to xz", FOUND, at_most(0.85), "estimate", unit="bits/bits"),
        check_requirement("turns ended", FOUND, at_least(0.95), unit="share", next="train longer"),
    ]
    found = write_verdict(rows, subject, author="ana", out=tmp_path / "v")
    assert (found.kind, [parent.name for parent in found.parents]) == ("verdict", ["subject"])
    read = read_verdict(Artifact.open(found.path))
    assert (read.passed, read.author, read.candidates) == (False, "ana", 1)
    assert [row["passed"] for row in read.checks] == [True, False]
    assert read.checks[0]["required"] == "estimate at most 0.85 bits/bits"
    assert Interval(**read.checks[0]["interval"]) == FOUND
    json.dumps(read.checks, allow_nan=False)


def test_a_failed_verdict_stops_with_rows_author_and_advice(subject, tmp_path):
    rows = [
        check_requirement("good", FOUND, at_most(1)),
        check_requirement("turns ended", FOUND, at_least(0.95), next="train longer"),
    ]
    found = write_verdict(rows, subject, author="ana", out=tmp_path / "v")
    with pytest.raises(GateFailed) as failure:
        require_passed(found)
    told = str(failure.value)
    assert "1 of 2 checks failed (thresholds by ana): turns ended. The verdict" in told
    assert "try: train longer" in failure.value.__notes__[0]
    assert "\n" not in told and failure.value.exit_code == 3
    assert require_passed(write_verdict(rows[:1], subject, out=tmp_path / "w")).passed


def test_a_verdict_is_a_table_with_a_line_a_check(subject, tmp_path):
    rows = [
        check_requirement(
            "ratio to xz", FOUND, at_most(0.85), "estimate", unit="x xz", next="more text"
        ),
        check_requirement("turns ended", FOUND, at_least(0.95), next="train longer"),
        check_requirement("length", Reason("none", "There is none."), at_most(1)),
    ]
    with pytest.raises(GateFailed) as failure:
        require_passed(write_verdict(rows, subject, author="ana", out=tmp_path / "v"))
    assert failure.value.__notes__[0].splitlines() == [
        "FAILED: 2 of 3 checks, thresholds by ana",
        "",
        "passed  ratio to xz  0.8 [0.7, 0.9] x xz         estimate at most 0.85",
        "FAILED  turns ended  0.8 [0.7, 0.9]              lower bound at least 0.95",
        "        try: train longer",
        "FAILED  length       undefined (There is none.)  upper bound at most 1",
    ]
    found = require_passed(write_verdict(rows[:1], subject, out=tmp_path / "w"))
    assert str(found).startswith("passed: all of 1 checks\n\npassed  ratio to xz")


def test_more_candidates_need_more_certainty(subject, tmp_path):
    testset = make_testset(TestSetCard(name="t"), [Sample("1", ())], {}, tmp_path / "t")
    rows = [check_requirement("x", FOUND, at_most(0.92))]
    alone = write_verdict(rows, subject, testset=testset, out=tmp_path / "alone")
    assert read_verdict(alone).passed
    record_access(testset, "ana", "candidate 1")
    second = write_verdict(rows, subject, testset=testset, seen="verdicts", out=tmp_path / "second")
    found = read_verdict(second)
    assert (found.passed, found.candidates, found.seen) == (False, 2, "verdicts")
    spent = found.checks[0]["interval"]["high"]
    assert 0.92 < spent < 0.93
    seen = read_verdict(write_verdict(rows, subject, testset=testset, out=tmp_path / "seen"))
    assert seen.seen == "scores" and seen.checks[0]["interval"]["high"] > spent + 0.02
    assert "candidate 2 on this test set, scores seen: bounds of 2.94 standard errors" in str(seen)


def test_a_candidate_keeps_its_place_whatever_comes_later(subject, tmp_path):
    testset = make_testset(TestSetCard(name="t"), [Sample("1", ())], {}, tmp_path / "t")
    record_access(testset, "ana", subject.id)
    for number in range(9):
        record_access(testset, "ana", f"candidate {number}")
    found = read_verdict(
        write_verdict(
            [check_requirement("x", FOUND, at_most(1))],
            subject,
            testset=testset,
            out=tmp_path / "v",
        )
    )
    assert found.candidates == 1 and found.checks[0]["interval"]["high"] == FOUND.high


@pytest.mark.parametrize("better", ["higher", "lower"])
def test_a_margin_tells_its_power(better):
    ours, base = np.random.default_rng(5).normal(0, 0.3, (2, 400))
    difference = paired_difference(ours, base)
    found = check_requirement("quality kept", difference, loses_at_most(0.05, better)).power
    error = np.std(ours - base, ddof=1) / 20
    assert found.share == pytest.approx(scipy.stats.norm.cdf(0.05 / error - 1.96), abs=0.05)
    assert found.n == 400
    assert found.needed == pytest.approx(400 * (2.8016 * error / 0.05) ** 2, rel=0.1)
    assert str(found).startswith("too little data: n = 400 passes an equal model in 6")
    assert "80 of 100 need n = " in str(found)
    large = check_requirement("quality kept", difference, loses_at_most(0.2, better)).power
    assert str(large) == "n = 400 passes an equal model in 100 of 100 cases"


def test_the_number_that_is_needed_decides_and_one_less_does_not():
    """Of equal systems: what is left for the unseen shrinks as 1 / n, not as 1 / sqrt(n)."""

    def of(n: int):
        equal = paired_difference([0.0] * n, [0.0] * n, [i // 2 for i in range(n)], limits=(-1, 1))
        return check_requirement("kept", equal, loses_at_most(0.01))

    for n in (18, 100, 370):
        needed = of(n).required_n
        assert of(needed + 10).passed, n
        assert of(int(0.9 * needed)).outcome == "undecided", n
        assert of(n).power.share == 0


def test_power_is_told_only_where_it_is_known(subject, tmp_path):
    assert check_requirement("x", FOUND, above(0)).power is None
    assert check_requirement("x", FOUND, no_worse_than(FOUND, 0)).power is None
    assert check_requirement("x", FOUND, no_worse_than(FOUND, 0.1), "estimate").power is None
    assert check_requirement("x", Reason("none", "None."), loses_at_most(0.1)).power is None
    assert (
        check_requirement("x", Interval(0.0, 0.0, 0.0, 0.95, 9, 9), loses_at_most(0.1)).power
        is None
    )
    few = check_requirement(
        "x", paired_difference([1.0] * 9, [1.0] * 9, limits=(-1, 1)), loses_at_most(0.1)
    )
    assert not few.passed and str(few.power).startswith("too little data: n = 9")
    kept = check_requirement("kept", no_better(0.0), loses_at_most(0.2), next="more data")
    found = read_verdict(write_verdict([kept], subject, out=tmp_path / "v"))
    assert found.checks[0]["power"]["share"] == pytest.approx(0.97, abs=0.02)
    assert str(found).splitlines()[3] == f"        {kept.power}"


def test_more_candidates_leave_less_power():
    row = check_requirement("kept", no_better(0.0), loses_at_most(0.2))
    assert widen_for_reuse(row, 1, "scores") == row
    powers = [widen_for_reuse(row, place, "scores").power.share for place in (1, 2, 5)]
    assert powers == sorted(powers, reverse=True) and powers[2] < 0.5
    assert widen_for_reuse(row, 5, "verdicts").power.share > powers[2]
    undefined = check_requirement("x", Reason("none", "None."), at_most(1))
    assert widen_for_reuse(undefined, 5, "scores") == undefined


def no_better(estimate: float) -> Interval:
    """A difference with a standard error of about 0.05."""
    return Interval(estimate, estimate - 0.1, estimate + 0.1, 0.95, 1000, 1000)


def test_other_numbers_are_another_verdict(subject, tmp_path):
    write_verdict([check_requirement("x", FOUND, at_most(1))], subject, out=tmp_path / "v")
    other = FOUND._replace(estimate=0.81)
    with pytest.raises(ArtifactError, match="measured"):
        write_verdict([check_requirement("x", other, at_most(1))], subject, out=tmp_path / "v")


def test_a_verdict_without_checks_or_with_a_name_twice_is_refused(subject, tmp_path):
    row = check_requirement("x", FOUND, at_most(1))
    for rows in ([], [row, row]):
        with pytest.raises(ConfigError, match="different names"):
            write_verdict(rows, subject, out=tmp_path / "v")
    with pytest.raises(ArtifactError, match="Expected a verdict artifact"):
        require_passed(subject)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: loses_at_most(0.02, "Higher"), "better='Higher' is unknown; did you"),
        (lambda: no_worse_than(FOUND, 0.1, better="up"), "give one of: higher, lower"),
        (lambda: no_worse_than(FOUND, 0.1, better=None), "better=None is unknown"),
        (lambda: no_worse_than(FOUND, -0.1), "margin=-0.1 must be 0 or more"),
        (lambda: no_worse_than(FOUND, float("nan")), "margin=nan must be 0 or more"),
        (lambda: no_worse_than(FOUND, float("inf")), "limit -inf must be a finite"),
        (lambda: loses_at_most(float("inf")), "limit -inf must be a finite"),
        *(
            (lambda margin=margin: loses_at_most(margin), "must be above 0.*require an improvement")
            for margin in (0.0, -0.1, float("nan"))
        ),
        (lambda: at_most(float("inf")), "limit inf must be a finite"),
        (lambda: at_least(float("-inf")), "limit -inf must be a finite"),
        (lambda: below(float("nan")), "limit nan must be a finite"),
        (lambda: above(float("nan")), "limit nan must be a finite"),
        (lambda: check_requirement("x", FOUND, at_most(1), "middle"), "bound='middle' is unknown"),
        (
            lambda: check_requirement("x", FOUND, at_most(1), "lower"),
            "lower bound does not prove `at most 1`",
        ),
    ],
)
def test_a_requirement_that_says_something_else_is_refused(call, told):
    with unchecked(), pytest.raises(ConfigError, match=told):
        call()


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_an_interval_that_is_not_finite_is_no_measured_number(wrong):
    for name in ("estimate", "low", "high"):
        with pytest.raises(DataError, match="x: the interval .* is not finite"):
            check_requirement("x", FOUND._replace(**{name: wrong}), at_most(1))


@pytest.mark.parametrize(
    "n, lost, gained", [(20, 0.05, 0.0), (100, 0.01, 0.0), (200, 0.02, 0.0), (200, 0.03, 0.01)]
)
def test_a_model_worse_by_the_margin_seldom_passes_even_where_losses_are_rare(n, lost, gained):
    """400 models each; 2.5 % are expected, and 5 % would be too many."""
    rng, passed, margin = np.random.default_rng(7), 0, lost - gained
    for _ in range(400):
        draw = rng.random(n)
        apart = np.where(draw < lost, -1.0, np.where(draw < lost + gained, 1.0, 0.0))
        found = paired_difference(apart, np.zeros(n), limits=(-1, 1))
        passed += check_requirement("kept", found, loses_at_most(margin)).passed
    assert passed <= 20


def test_a_candidate_is_a_model_under_one_prompt(subject, tmp_path):
    testset = make_testset(TestSetCard(name="t"), [Sample("1", ())], {}, tmp_path / "t")
    for setting in ("a", "b", "a", "c"):
        record_access(testset, "evaluate", subject.id, setting)
    assert len(scored_candidates(testset)) == 3
    found = read_verdict(
        write_verdict([check_requirement("x", FOUND, above(0))], subject, testset=testset,
                candidate=f"{subject.id} c", out=tmp_path / "v")
    )  # fmt: skip
    assert found.candidates == 3


@pytest.mark.parametrize(
    "n, margin", [(50, 0.1), (100, 0.05), (440, 0.01), (740, 0.01), (1000, 0.014)]
)
def test_losses_alone_pass_exactly_as_seldom_as_promised(n, margin):
    """Of all counts of losses, those that pass have 2.5 % of the probability at most."""
    passing = 0.0
    for lost in range(16):
        apart = np.zeros(n)
        apart[:lost] = -1
        if check_requirement(
            "kept", paired_difference(apart, np.zeros(n), limits=(-1, 1)), loses_at_most(margin)
        ).passed:
            passing += scipy.stats.binom.pmf(lost, n, margin)
    assert passing <= 0.025
