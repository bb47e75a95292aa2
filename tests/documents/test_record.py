"""Step results are applied in one place, so text, map, spans and log cannot disagree."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import Config, DataError
from groundup.documents import (
    PASS,
    ExtractedText,
    NamedStep,
    Record,
    SourceMap,
    StepResult,
    TextEdit,
    TextSpan,
    apply_result,
    from_batch,
    record_id,
    removals_to_batch,
    run_steps,
    to_batch,
)


def plain(text: str) -> Record:
    return Record(record_id("s", "p"), "s", "p", "text", text, SourceMap.identity(text))


@st.composite
def texts_and_edits(draw: st.DrawFn) -> tuple[str, tuple[TextEdit, ...]]:
    text = draw(st.text(st.characters(codec="utf-8"), max_size=40))
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=8)))
    puts = st.sampled_from(["", "", "x", "é\n"])
    pairs = zip(places[::2], places[1::2], strict=False)
    return text, tuple(TextEdit(start, end, "why", draw(puts)) for start, end in pairs)


@given(texts_and_edits())
def test_every_kept_character_keeps_its_bytes(given):
    text, edits = given
    after = apply_result(plain(text), StepResult(edits=edits))
    data = text.encode()
    inside = [range(edit.start, edit.end) for edit in edits]
    kept = [i for i in range(len(text)) if not any(i in one for one in inside)]
    exact = [s for s in after.map.segments if s.exact]
    found = [i for segment in exact for i in range(segment.start, segment.end)]
    assert len(found) == len(kept)
    for new, old in zip(found, kept, strict=True):
        assert after.text[new] == text[old]
        start, end = after.map.byte_range(new, new + 1)
        assert data[start:end].decode() == text[old]
        assert after.map.line(new) == text.count("\n", 0, old) + 1


@given(texts_and_edits(), st.data())
def test_spans_move_with_their_text(given, data):
    text, edits = given
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    after = apply_result(
        plain(text), StepResult(edits=edits, spans=(TextSpan("heading", start, end),))
    )
    kept = [
        text[i] for i in range(start, end) if not any(edit.start <= i < edit.end for edit in edits)
    ]
    for span in after.spans:
        inside = after.text[span.start : span.end]
        assert 0 <= span.start <= span.end <= len(after.text)
        assert [c for c in inside if c in kept] or not kept
    if kept:
        assert len(after.spans) == 1


def test_a_map_survives_its_numbers_after_edits():
    after = apply_result(
        plain("one two\nthree"), StepResult(edits=(TextEdit(0, 4, "a"), TextEdit(7, 8, "b", " ")))
    )
    assert after.text == "two three"
    assert SourceMap.from_numbers(after.text, after.map.to_numbers()) == after.map


def test_moved_slices_are_in_the_metadata():
    edits = (TextEdit(4, 9, "footnote", metadata_key="footnotes"),)
    after = apply_result(plain("body* note"), StepResult(edits=edits, metadata={"score": 0.5}))
    assert after.text == "bodye"[:4] + "e"
    assert after.metadata == {"score": 0.5, "aside": {"footnotes": ["* not"]}}


def test_many_moved_slices_leave_the_original_record_unchanged():
    record = plain("ab" * 1_000)
    edits = tuple(TextEdit(at, at + 1, "note", metadata_key="notes") for at in range(0, 2_000, 2))
    after = apply_result(record, StepResult(edits=edits))
    assert after.text == "b" * 1_000 and after.metadata["aside"] == {"notes": ["a"] * 1_000}
    more = apply_result(after, StepResult(edits=(TextEdit(0, 1, "note", metadata_key="notes"),)))
    assert more.metadata["aside"]["notes"][-2:] == ["a", "b"]
    assert len(after.metadata["aside"]["notes"]) == 1_000


def test_bytes_become_text_once_and_are_dropped():
    record = Record("1", "s", "p", "html", data=b"<b>hi</b> you")
    map = SourceMap.identity("hi you", 3)
    after = apply_result(
        record, StepResult(extracted=ExtractedText(map), edits=(TextEdit(2, 6, "tail"),))
    )
    assert (after.text, after.data) == ("hi", b"")


def test_an_empty_result_changes_nothing():
    record = plain("same")
    assert apply_result(record, PASS) is record


@pytest.mark.parametrize(
    "edits",
    [(TextEdit(2, 4, "a"), TextEdit(3, 5, "b")), (TextEdit(3, 2, "a"),), (TextEdit(0, 9, "a"),)],
)
def test_edits_that_overlap_or_leave_the_text_are_errors(edits):
    with pytest.raises(DataError, match="where the previous one ends"):
        apply_result(plain("abcdef"), StepResult(edits=edits))


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
