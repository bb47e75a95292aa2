"""Placeholders are stable, typed, and reach nobody."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import ConfigError
from groundup.corpus.safety.patterns import PATTERNS
from groundup.corpus.safety.personal import _find_personal
from groundup.corpus.safety.placeholders import Placeholders, read_placeholder_key

KINDS = sorted({pattern.kind for pattern in PATTERNS})
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


@given(st.text(min_size=1), st.sampled_from(KINDS))
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
    assert read_placeholder_key(None, "numbered") == b""
    with pytest.raises(ConfigError, match="needs key_file"):
        read_placeholder_key(None, "keyed")
    with pytest.raises(ConfigError, match="Cannot read key_file"):
        read_placeholder_key(tmp_path / "none", "keyed")
    (tmp_path / "key").write_bytes(b"short")
    with pytest.raises(ConfigError, match="at least 16"):
        read_placeholder_key(tmp_path / "key", "shaped")
    (tmp_path / "key").write_bytes(KEY)
    assert read_placeholder_key(tmp_path / "key", "keyed") == KEY
