"""What is found becomes stable placeholders, and the record stays true to its bytes."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import ConfigError
from groundup.corpus.safety.personal import (
    CONTEXT_KINDS,
    VALIDATED_KINDS,
    PersonalConfig,
    Placeholders,
    ReplacePersonal,
    _find_personal,
)
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


KEY = b"0123456789abcdef"


def test_equal_values_have_equal_numbers_in_order_of_appearance():
    names = Placeholders("numbered", b"")
    assert names.placeholder_for("email", "Jo@Uni.de") == "<EMAIL_1>"
    assert names.placeholder_for("email", "al@uni.de") == "<EMAIL_2>"
    assert names.placeholder_for("email", "jo@uni.de") == "<EMAIL_1>"
    assert names.placeholder_for("phone", "+49 30 123456") == "<PHONE_1>"


def test_keyed_placeholders_hold_over_records_and_depend_on_the_key():
    one, two = Placeholders("keyed", KEY), Placeholders("keyed", KEY)
    other = Placeholders("keyed", b"another key of 24 bytes.")
    value = ("phone", "+49 30 123-456")
    assert one.placeholder_for(*value) == two.placeholder_for("phone", "+4930123456")
    assert one.placeholder_for(*value) != other.placeholder_for(*value)


@given(st.text(min_size=1), st.sampled_from((*VALIDATED_KINDS, *CONTEXT_KINDS)))
def test_what_is_put_in_is_not_personal_data_itself(value, kind):
    for style in ("numbered", "keyed", "shaped"):
        made = Placeholders(style, KEY).placeholder_for(kind, value)
        assert [one.kind for one in _find_personal(f"x {made} y")] in ([], ["phone"])


def test_shaped_addresses_are_reserved_ones():
    names = Placeholders("shaped", KEY)
    for number in range(200):
        four = ipaddress.ip_address(names.placeholder_for("ip", f"84.17.3.{number}"))
        six = ipaddress.ip_address(names.placeholder_for("ip", f"2a00:1450::{number}"))
        assert not four.is_global and not six.is_global
        assert names.placeholder_for("email", f"a{number}@uni.de").endswith("@example.com")
        assert "-555-01" in names.placeholder_for("phone", f"030 12345{number}")


def test_a_key_must_be_there_and_long_enough(tmp_path):
    ReplacePersonal(PersonalConfig())
    with pytest.raises(ConfigError, match="needs key_file"):
        ReplacePersonal(PersonalConfig(placeholders="keyed"))
    with pytest.raises(ConfigError, match="Cannot read key_file"):
        ReplacePersonal(PersonalConfig(placeholders="keyed", key_file=tmp_path / "none"))
    keyed = PersonalConfig(placeholders="shaped", key_file=tmp_path / "key")
    (tmp_path / "key").write_bytes(b"short")
    with pytest.raises(ConfigError, match="give 16"):
        ReplacePersonal(keyed)
    (tmp_path / "key").write_bytes(KEY)
    assert ReplacePersonal(keyed).key == KEY
