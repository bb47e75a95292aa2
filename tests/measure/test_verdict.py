"""One decision of many checks: what was required holds, and luck in one of many does not pass."""

import json

import numpy as np
import pytest

from groundup.core import (
    Artifact,
    ConfigError,
    GateFailed,
    GateUndecided,
    Reason,
    Sample,
    produce,
)
from groundup.measure.gate import (
    above,
    at_least,
    at_most,
    check_requirement,
    loses_at_most,
    widen_for_reuse,
)
from groundup.measure.release import move_label_to_bundle, release_history, resolve_label
from groundup.measure.stats.interval import Interval, paired_difference
from groundup.measure.testset import TestSetCard, make_testset, read_accesses, record_access
from groundup.measure.verdict import (
    VerdictConfig,
    _decide,
    read_verdict,
    require_passed,
    write_verdict,
)
from tests.measure.test_release import House

SURE = check_requirement("sure", Interval(0.8, 0.7, 0.9, 0.95, 90, 90), at_least(0.5))
WRONG = check_requirement("wrong", Interval(0.3, 0.2, 0.4, 0.95, 90, 90), at_least(0.5))
OPEN = check_requirement("open", Interval(0.5, 0.4, 0.6, 0.95, 90, 90), at_least(0.45))
MARGIN = loses_at_most(0.01)


def apart(name: str, estimate: float, half: float = 0.1, role="compared"):
    """A difference that is compared; 0.1 is too wide for the margin, 0.002 narrow enough."""
    found = Interval(estimate, estimate - half, estimate + half, 0.95, 1000, 1000)
    return check_requirement(name, found, MARGIN, role=role)


def outcome(*checks, place: int = 1) -> str:
    held = [widen_for_reuse(one, place, "scores") for one in checks]
    return _decide(checks, held, place, "scores")[0]


@pytest.mark.parametrize(
    ("one", "expected", "needed"),
    [
        (SURE, "passed", None),
        (WRONG, "failed", None),
        (OPEN, "undecided", 360),
        (check_requirement("x", OPEN.interval, at_least(0.55)), "undecided", 360),
        (check_requirement("x", OPEN.interval, at_least(0.5)), "undecided", None),
        (check_requirement("x", OPEN.interval, at_most(0.6)), "passed", None),
        (check_requirement("x", OPEN.interval, at_most(0.39)), "failed", None),
        (check_requirement("x", OPEN.interval, at_least(0.51), "estimate"), "failed", None),
        (check_requirement("x", Reason("not_measured", "No."), above(0)), "failed", None),
        (check_requirement("x", Reason("too_few_groups", "One."), above(0)), "undecided", None),
        (apart("x", 0.0), "undecided", 204_500),
        (apart("x", -0.2), "failed", None),
        (apart("x", -0.008, 0.004), "failed", None),
        (apart("x", -0.009, 0.002), "failed", None),
        (apart("x", -0.007, 0.002), "passed", None),
    ],
)
def test_a_check_has_failed_only_where_the_data_say_so(one, expected, needed):
    assert (one.outcome, one.passed) == (expected, expected == "passed")
    assert one.required_n == pytest.approx(needed, rel=0.01) if needed else one.required_n is None
    assert one.row()["outcome"] == expected


def test_later_candidates_fail_as_easily_as_the_first():
    """Wider bounds guard against passing by luck; they make nothing worse undecided."""
    worse = apart("x", -0.15)
    assert widen_for_reuse(worse, 9, "scores").interval.high > 0
    assert widen_for_reuse(worse, 9, "scores").outcome == "failed"


@pytest.mark.parametrize(
    ("checks", "expected"),
    [
        ([SURE], "passed"),
        ([SURE, WRONG], "failed"),
        ([SURE, OPEN], "undecided"),
        ([OPEN, WRONG], "failed"),
        ([apart("a", 0.0, 0.002), apart("b", 0.0)], "passed"),
        ([apart("a", 0.0, 0.002), apart("b", -0.2)], "failed"),
        ([apart("a", 0.3), apart("b", 0.0)], "passed"),
        ([apart("a", 0.1), apart("b", 0.0), apart("c", 0.0)], "undecided"),
        ([apart("a", 0.1), apart("b", 0.1)], "passed"),
        ([apart("a", 0.0), apart("b", 0.0)], "undecided"),
        ([apart("a", 0.0), SURE], "undecided"),
        ([apart("a", 0.0, 0.002), OPEN], "undecided"),
        ([apart("a", 0.0), apart("g", 0.3, role="guard")], "undecided"),
    ],
)  # fmt: skip
def test_measures_that_cannot_decide_are_left_aside_and_what_was_required_is_not(checks, expected):
    assert outcome(*checks) == expected


def test_one_of_many_measures_that_passes_by_luck_passes_nothing():
    """Models worse by the margin in each of eight measures; 2.5 % may pass, 12 % would alone."""
    rng, passed, alone = np.random.default_rng(3), 0, 0
    for _ in range(400):
        drawn = rng.normal(-0.05, 0.3, (8, 60))
        found = [paired_difference(row, np.zeros(60)) for row in drawn]
        checks = [
            check_requirement(str(number), one, loses_at_most(0.05), role="compared")
            for number, one in enumerate(found)
        ]
        alone += any(one.passed for one in checks)
        passed += outcome(*checks) == "passed"
    assert passed <= 20 < alone


def test_an_interval_that_was_made_narrow_is_refused():
    narrow = Interval(0.8, 0.79, 0.81, 0.5, 90, 90)
    with pytest.raises(ConfigError, match="decides by intervals of 0.95 or more; this one has 0.5"):
        check_requirement("x", narrow, at_least(0.5))
    assert check_requirement("x", narrow, at_least(0.5), "estimate").passed
    assert check_requirement("x", narrow._replace(confidence=0.99), at_least(0.5)).passed


def subject_of(tmp_path) -> Artifact:
    return make_testset(TestSetCard(name="subject"), [Sample("1", ())], {}, tmp_path / "subject")


def test_an_undecided_verdict_is_no_pass_and_says_what_it_would_take(tmp_path):
    found = write_verdict([SURE, OPEN], subject_of(tmp_path), author="ana", out=tmp_path / "v")
    with pytest.raises(GateUndecided) as caught:
        require_passed(found)
    assert (caught.value.exit_code, isinstance(caught.value, GateFailed)) == (4, True)
    assert "The data cannot decide 1 of 2 checks (thresholds by ana): open (n = 360 would" in str(
        caught.value
    )
    assert caught.value.__notes__[0].splitlines() == [
        "UNDECIDED: 1 of 2 checks, thresholds by ana",
        "",
        "passed     sure  0.8 [0.7, 0.9]  lower bound at least 0.5",
        "UNDECIDED  open  0.5 [0.4, 0.6]  lower bound at least 0.45",
        "           too little data: n = 360 would decide",
    ]
    read = read_verdict(found)
    assert (read.passed, read.outcome) == (False, "undecided")
    data = json.loads(found.file("verdict.json").read_text())
    assert (data["passed"], data["outcome"]) == (False, "undecided")


@pytest.mark.parametrize(("one", "expected"), [(SURE, "passed"), (OPEN, "failed")])
def test_a_verdict_from_before_any_was_undecided_opens(tmp_path, one, expected):
    row = one.row()
    new = ("outcome", "role", "needed", "note")
    rows = [{key: value for key, value in row.items() if key not in new}]
    old = {"passed": one.passed, "author": "ana", "candidates": 2, "seen": "scores", "checks": rows}
    made = produce(
        tmp_path / "v", kind="verdict", stage="gate", version=2, parents={},
        config=VerdictConfig(required={}, measured=""),
        write=lambda draft: draft.file("verdict.json").write_text(json.dumps(old)) and None,
    )  # fmt: skip
    read = read_verdict(made)
    assert (read.outcome, read.checks[0]["outcome"], read.candidates) == (expected, expected, 2)
    assert expected.lower() in str(read).lower()


def test_an_undecided_verdict_releases_nothing_unless_accepted(tmp_path):
    house = House(tmp_path)
    model = house.model("model")
    judged = write_verdict([OPEN], model, testset=house.testset, out=tmp_path / "judged").path
    given = {"author": "ana", "reason": "a try", "releases": house.releases}
    with pytest.raises(GateUndecided, match="is undecided: open; .*--accept-rejected"):
        move_label_to_bundle("production", {"subject": model.path}, judged, **given)
    line = move_label_to_bundle(
        "production", {"subject": model.path}, judged, accept_rejected=True, **given
    )
    assert "against an undecided verdict" in str(line) and line.accepted_rejected
    with pytest.raises(GateFailed, match="against an undecided verdict"):
        resolve_label("production", house.releases)
    history = release_history("production", house.releases)
    assert history.lines[0].verdict["outcome"] == "undecided"


def test_two_runs_of_what_has_no_identity_are_two_candidates(tmp_path):
    testset = make_testset(TestSetCard(name="t"), [Sample("1", ())], {}, tmp_path / "t")
    first, again = (record_access(testset, "ana", "server", "s", run=run) for run in "ab")
    assert [each.candidate for each in read_accesses(testset)] == ["server s a", "server s b"]
    assert [each.entry_hash for each in read_accesses(testset)] == [
        first.entry_hash,
        again.entry_hash,
    ]
