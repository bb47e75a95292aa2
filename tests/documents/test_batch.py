"""Batches: a step's result is applied, logged with its reason and counted."""

import pytest

pytest.importorskip("pyarrow")

from groundup.core import Config
from groundup.documents import (
    PASS,
    NamedStep,
    Record,
    SourceMap,
    StepResult,
    TextEdit,
    TextSpan,
    from_batch,
    removals_to_batch,
    run_steps,
    to_batch,
)


class Short(Config):
    """Fewest characters."""

    fewest: int = 4
    """Characters."""


class DropShort:
    """Drops short texts, cuts the word `ad `, fails on `!`."""

    def __init__(self, config: Short) -> None:
        self.config = config

    def __call__(self, record: Record) -> StepResult:
        if "!" in record.text:
            raise ValueError("a mark")
        if len(record.text) < self.config.fewest:
            return StepResult("too short", len(record.text), f"fewest={self.config.fewest}")
        at = record.text.find("ad ")
        return PASS if at < 0 else StepResult(edits=(TextEdit(at, at + 3, "advertisement"),))


def record(text: str, name: str = "p") -> Record:
    return Record(name, "s", f"{name}.txt", "text", text, SourceMap.identity(text))


STEPS = [NamedStep("short", DropShort(Short()))]


def test_each_removal_has_its_slice_reason_and_bytes():
    judged = run_steps(STEPS, [record("no", "a"), record("buy ad now é", "b"), record("fine", "c")])
    assert [r.text for r in judged.kept] == ["buy now é", "fine"]
    first, second = judged.removed
    assert (first.what, first.reason, first.value, first.text) == ("record", "too short", 2.0, "no")
    assert (second.what, second.reason, second.byte_start, second.byte_end) == (
        "removed", "advertisement", 4, 7,
    )  # fmt: skip
    assert judged.counters == {
        "short|in": 3, "short|out": 2, "short|characters": 13, "short|grew": -5,
        "short|record|too short": 1, "short|removed|advertisement": 1,
    }  # fmt: skip


def test_a_step_that_fails_costs_one_record():
    judged = run_steps(STEPS, [record("what!", "a"), record("good", "b")])
    assert [r.id for r in judged.kept] == ["b"]
    assert (judged.removed[0].reason, judged.removed[0].details) == (
        "step failed", "ValueError: a mark",
    )  # fmt: skip


def test_a_step_gets_only_records_that_it_applies_to():
    named = NamedStep("short", DropShort(Short()), lambda one: one.kind == "html")
    assert run_steps([named], [record("no")]).counters == {}


def test_records_survive_arrow():
    one = Record(
        "1", "s", "p#2", "conversation", "é 1", SourceMap.identity("é 1", 3),
        (TextSpan("turn", 0, 1, "user"),), {"licence": "MIT", "scores": [1, 2.5]}, b"\x00\xff",
    )  # fmt: skip
    assert list(from_batch(to_batch([one, record("")]))) == [one, record("")]


def test_removals_become_columns():
    judged = run_steps(STEPS, [record("no")])
    table = removals_to_batch(judged.removed)
    assert table.num_rows == 1 and table.to_pylist()[0]["reason"] == "too short"
    assert removals_to_batch([]).num_rows == 0


def test_private_slices_are_not_in_the_log():
    class Hide:
        config = Short()

        def __call__(self, record: Record) -> StepResult:
            return StepResult(edits=(TextEdit(5, 9, "personal: name", "<NAME>", is_private=True),))

    judged = run_steps([NamedStep("hide", Hide())], [record("call Anna now")])
    assert judged.kept[0].text == "call <NAME> now"
    (row,) = judged.removed
    assert (row.text, row.put, row.byte_start, row.byte_end) == ("", "<NAME>", 5, 9)
