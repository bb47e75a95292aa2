"""Parts say what they show to eyes, to keyboards and to screen readers."""

import pytest

from groundup.core.page import (
    HeadlineFigure,
    ModelAnswer,
    TableColumn,
    chip,
    command_box,
    details,
    headline_figures,
    histogram,
    side_by_side,
    table_element,
)
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
