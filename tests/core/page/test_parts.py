"""Parts of a page and its numbers: read as they should, and never as NaN."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.core.page import (
    HeadlineFigure,
    ModelAnswer,
    TableColumn,
    chip,
    command_box,
    details,
    format_compact,
    format_interval,
    format_number,
    format_signed,
    headline_figures,
    histogram,
    interval_decimals,
    side_by_side,
    table_element,
    with_unit,
)
from groundup.core.page.number import ticks
from tests.core.page.reading import Reading


def test_a_table_has_caption_scopes_and_right_aligned_numbers():
    columns = ["Measure", TableColumn("base", True)]
    read = Reading(table_element("Measures", columns, [["loss", 1.5], ["<match>", None]]))
    assert read.values("scope") == ["col", "col", "row", "row"]
    assert read.count("caption") == 1
    assert read.count("td", "numeric") == 2 and read.count("th", "numeric") == 1
    assert read.text == "MeasuresMeasurebaseloss1.50<match>not measured"


def test_a_table_scrolls_in_a_box_that_the_keyboard_reaches():
    read = Reading(table_element("Rows", ["a"], [["x"]]))
    assert (
        "div",
        {"class": "scroll", "tabindex": "0", "role": "region", "aria-label": "Rows"},
    ) in (read.tags)


def test_a_row_of_another_length_is_an_error():
    with pytest.raises(ValueError):
        table_element("Rows", ["a", "b"], [["x"]])


def test_a_table_without_rows_is_a_sentence():
    assert Reading(table_element("Rows", ["a"], [], "Nothing yet.")).text == "Nothing yet."


def test_a_chip_says_its_state_without_colour():
    assert Reading(chip("gate", "good")).text == "✓gate"
    assert Reading(chip("gate", "bad", "#gates")).values("href") == ["#gates"]
    assert Reading(chip("word")).text == "word"


def test_a_headline_number_has_unit_interval_and_link():
    figure = HeadlineFigure("Loss", 1.412, "bits", 1.398, 1.426, "xz: 1.76", "#base")
    read = Reading(headline_figures([figure]))
    assert read.text == "Loss1.412 bitsinterval 1.398 to 1.426xz: 1.76"
    assert read.values("href") == ["#base"]


def test_an_absent_headline_number_says_so():
    assert (
        Reading(headline_figures([HeadlineFigure("Loss", None, "bits")])).text
        == "Lossnot measured "
    )


def test_a_command_is_copied_as_it_is():
    line = "groundup ask 'a \"b\" <c>' --index i"
    read = Reading(command_box(line, "Ask."))
    assert read.values("data-copy") == [line]
    assert line in read.text


def test_samples_stand_side_by_side():
    attempts = [ModelAnswer("base", ""), ModelAnswer("chat", "yes\n  <b>", "score 1.00")]
    read = Reading(side_by_side("Is it?", "yes", attempts))
    assert read.count("div", "answer") == 2
    assert "(empty answer)" in read.text and "yes\n  <b>" in read.text
    assert "Expected" not in Reading(side_by_side("Is it?", "", attempts)).text


def test_details_open_only_when_asked():
    assert "open" not in dict(Reading(details("More", "x")).tags[0][1])
    assert "open" in Reading(details("More", "x", is_open=True)).tags[0][1]


def test_a_histogram_says_in_words_where_most_are():
    page = histogram("length", [(0, 3), (10, 6)], "documents")
    assert "length: 9 documents, most from 10 (6)." in page and "height:50.0%" in page


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
