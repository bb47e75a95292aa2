"""The step replaces what is found, says why, and the record stays true to its bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import ConfigError
from groundup.corpus.safety.personal import PersonalConfig, ReplacePersonal, _find_personal
from groundup.documents import Record, SourceMap, apply_result

TEXT = "Write to jo@uni-mainz.de or al@uni-mainz.de; jo@uni-mainz.de is quicker, or +49 30 901820."


def record(text: str) -> Record:
    return Record("1", "s", "p", "text", text, SourceMap.identity(text))


def test_values_become_numbered_placeholders_and_the_map_holds():
    ruling = ReplacePersonal(PersonalConfig())(record(TEXT))
    after = apply_result(record(TEXT), ruling)
    assert after.text == ("Write to <EMAIL_1> or <EMAIL_2>; <EMAIL_1> is quicker, or <PHONE_1>.")
    assert {edit.reason for edit in ruling.edits} == {"personal: email", "personal: phone"}
    assert after.metadata["personal"] == {"email": 3, "phone": 1}
    at = after.text.index("<PHONE_1>")
    start, end = after.map.byte_range(at, at + len("<PHONE_1>"))
    assert TEXT.encode()[start:end] == b"+49 30 901820"


def test_a_record_full_of_people_is_dropped_by_policy():
    ruling = ReplacePersonal(PersonalConfig(max_values=3))(record(TEXT))
    assert (ruling.reason, ruling.value) == ("personal: too much", 4.0)
    assert ruling.details == "3 email, 1 phone"


def test_only_the_kinds_that_are_asked_for(tmp_path):
    ruling = ReplacePersonal(PersonalConfig(kinds=("phone",)))(record(TEXT))
    assert [edit.replacement for edit in ruling.edits] == ["<PHONE_1>"]
    with pytest.raises(ConfigError, match="unknown"):
        ReplacePersonal(PersonalConfig(kinds=("fax",)))


def test_keyed_placeholders_are_equal_in_two_records(tmp_path):
    (tmp_path / "key").write_bytes(b"0123456789abcdef")
    step = ReplacePersonal(PersonalConfig(placeholders="keyed", key_file=tmp_path / "key"))
    one, two = step(record(TEXT)), step(record("al@uni-mainz.de"))
    assert one.edits[1].replacement == two.edits[0].replacement != one.edits[0].replacement


@given(st.text())
def test_places_rise_and_do_not_overlap(text):
    found = _find_personal(text + " jo@uni-mainz.de " + text)
    assert found and all(a.end <= b.start for a, b in zip(found, found[1:], strict=False))


def test_a_text_without_any_passes_untouched():
    assert ReplacePersonal(PersonalConfig())(record("Nothing here.")).edits == ()
