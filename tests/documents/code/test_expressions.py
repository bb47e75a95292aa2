"""SPDX expressions: parsing and allow lists."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import ConfigError
from groundup.documents.books.rights import Rights, RightsConfig
from groundup.documents.code.expressions import (
    is_licence_allowed,
    join_expressions,
    read_expression,
)
from groundup.documents.code.licences import LicenceFilter, LicenceFilterConfig


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("MIT", "MIT"),
        ("MIT */", "MIT"),
        ("GPL-2.0+ or MIT -->", "GPL-2.0-or-later OR MIT"),
        ("(MIT AND (BSD-3-Clause OR ISC))", "MIT AND (BSD-3-Clause OR ISC)"),
        ("MIT OR", "MIT"),
        ("(MIT OR", ""),
        ("", ""),
        ("OR MIT", ""),
        ("((((", ""),
    ],
)
def test_reading(text, expression):
    assert read_expression(text).removeprefix("(").startswith(expression.removeprefix("("))
    assert bool(read_expression(text)) == bool(expression)


@pytest.mark.parametrize(
    ("expression", "is_allowed"),
    [
        ("MIT", True), ("mit", True), ("GPL-2.0-only", False), ("", False),
        ("MIT OR GPL-2.0-only", True), ("MIT AND GPL-2.0-only", False),
        ("MIT AND ISC", True), ("GPL-2.0-only OR MIT AND ISC", True),
        ("(GPL-2.0-only OR MIT) AND GPL-3.0-only", False),
        ("ISC WITH any-exception", True), ("GPL-2.0-only WITH any-exception", False),
    ],
)  # fmt: skip
def test_allowing(expression, is_allowed):
    assert is_licence_allowed(expression, ("MIT", "ISC")) is is_allowed


@given(st.lists(st.sampled_from(["MIT", "A OR B", "GPL-2.0-only", ""]), max_size=5))
def test_what_is_joined_is_allowed_only_if_each_is(parts):
    names = ("MIT", "A")
    wanted = [part for part in parts if part]
    assert is_licence_allowed(join_expressions(parts), names) == (
        bool(wanted) and all(is_licence_allowed(p, names) for p in wanted)
    )


@given(st.text(max_size=200))
def test_any_text_is_read(text):
    found = read_expression(text)
    assert found == "" or found[0].isalnum() or found[0] == "("
    is_licence_allowed(text, ("MIT",))


@pytest.mark.parametrize(
    ("expression", "is_allowed"),
    [
        ("CC-BY-4.0", True), ("cc-by-3.0-IGO", True), ("CC-BY-NC-4.0", False),
        ("CC-BY-SA-4.0", False),
        ("BSD-3-Clause", True), ("BSD-3-Clause AND GPL-2.0-only", False), ("MIT", False),
        ("MIT OR CC-BY-4.0", True),
    ],
)  # fmt: skip
def test_a_star_stands_for_a_version(expression, is_allowed):
    assert is_licence_allowed(expression, ("CC-BY-*", "BSD-*")) is is_allowed


@pytest.mark.parametrize("name", ["", "*", "CC-*-4.0", "*-MIT", "MIT OR ISC", "MIT, ISC", "OR"])
@pytest.mark.parametrize(
    "step",
    [
        lambda a: LicenceFilter(LicenceFilterConfig(allow=a)),
        lambda a: Rights(RightsConfig(allow=a)),
    ],
)
def test_a_name_that_no_licence_has_is_refused(name, step):
    with pytest.raises(ConfigError, match="matches no licence"):
        step((name,))
