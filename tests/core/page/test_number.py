"""Numbers read as they should, and never as NaN."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.core.page import (
    format_compact,
    format_interval,
    format_number,
    format_signed,
    interval_decimals,
    with_unit,
)
from groundup.core.page.number import ticks

FINITE = st.floats(-1e15, 1e15)


@given(FINITE, FINITE)
def test_an_interval_is_told_in_five_to_fifty_steps(low, high):
    decimals = interval_decimals(low, high)
    if decimals is not None and 0 < decimals < 6:
        assert 5 * (1 - 1e-9) <= abs(high - low) * 10**decimals < 50 * (1 + 1e-9)


@given(st.floats(-1e12, 1e12), st.floats(1e-9, 1e12))
def test_ticks_lie_inside_at_equal_round_steps(low, width):
    if low + width * 1e-3 == low:
        return
    found = ticks(low, low + width)
    assert 1 <= len(found) <= 7
    slack = width * 1e-6 + abs(low) * 1e-9
    assert low - slack <= found[0] and found[-1] <= low + width + slack


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "not measured"),
        (math.nan, "undefined"),
        (-math.inf, "undefined"),
        (0.0, "0"),
        (-0.0001, "−0.00010"),
        (-0.25, "−0.250"),
        (12.4, "12.4"),
        (1.4, "1.40"),
        (1234567, "1,234,567"),
        (1234567.8, "1,234,568"),
    ],
)
def test_one_number(value, shown):
    assert format_number(value) == shown


def test_minus_zero_has_no_sign():
    assert format_number(-0.0001, 2) == "0.00"


def test_differences_have_signs():
    assert [format_signed(value, 2) for value in (0.5, -0.5, 0.0)] == ["+0.50", "−0.50", "0.00"]
    assert format_signed(None) == "not measured"


def test_what_was_not_measured_has_no_unit_and_no_interval():
    assert with_unit(format_number(None), "MB") == "not measured"
    assert format_interval(None, 1.0) == ""
    assert format_interval(2.0, 2.0) == "2.00 to 2.00"


def test_compact_numbers_for_axes():
    assert [format_compact(v) for v in (-1500, 0, 2_000_000_000)] == [
        "−1.5\u00a0k",
        "0",
        "2\u00a0G",
    ]
