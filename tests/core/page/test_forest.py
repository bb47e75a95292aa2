"""A gate's bar lies on the side of the threshold where its numbers lie."""

import re

from groundup.core.page import Gate, forest_plot, gate_anchor
from tests.core.page.reading import Reading

LOSS = Gate("Beats xz", "Fewer bits.", 1.41, 1.39, 1.43, 1.76, "bits", "lower", True, "Train on.")


def bar(gate: Gate) -> tuple[float, float]:
    """Left and right end of the drawn interval, in thousandths."""
    found = re.search(r'class="bar \w+" d="M([\d.]+) 16H([\d.]+)"', forest_plot([gate]))
    return float(found[1]), float(found[2])


def test_the_bar_is_left_of_the_threshold_when_the_interval_is_below_it():
    left, right = bar(LOSS)
    assert 0 < left < right < 500
    left, right = bar(LOSS._replace(threshold=1.0))
    assert 500 < left < right < 1000


def test_the_tinted_side_is_the_one_that_fails():
    assert '<rect class="wrong" x="500.0"' in forest_plot([LOSS])
    assert '<rect class="wrong" x="0"' in forest_plot([LOSS._replace(better="higher")])


def test_the_row_says_everything_in_words():
    text = Reading(forest_plot([LOSS])).text
    for words in (
        "Beats xz",
        "Fewer bits.",
        "1.410\u00a0bits",
        "1.390 to 1.430",
        "at most 1.76",
        "✓passed",
    ):
        assert words in text
    assert "Train on." not in text


def test_a_failed_gate_says_what_to_try():
    text = Reading(forest_plot([LOSS._replace(has_passed=False)])).text
    assert "✗failed" in text and "To try next: Train on." in text


def test_an_undecided_gate_is_neither_passed_nor_failed():
    read = Reading(forest_plot([LOSS._replace(has_passed=False, is_undecided=True)]))
    assert "undecided" in read.text and "To try next: Train on." in read.text
    assert "failed" not in read.text and "passed" not in read.text


def test_a_gate_without_a_measurement_is_still_a_row():
    absent = LOSS._replace(estimate=None, low=None, high=None, has_passed=False)
    read = Reading(forest_plot([absent]))
    assert "not measured" in read.text and "no interval" in read.text
    assert read.count("path", "bar") == 0 and read.count("path", "estimate") == 0


def test_a_gate_that_the_estimate_decides_says_so():
    assert "the dot decides" in Reading(forest_plot([LOSS._replace(decides="estimate")])).text
    assert "the dot decides" not in Reading(forest_plot([LOSS])).text


def test_an_interval_at_the_threshold_is_drawn_in_the_middle():
    assert bar(LOSS._replace(estimate=1.76, low=1.76, high=1.76)) == (500.0, 500.0)


def test_rows_can_be_linked_to():
    assert gate_anchor("Beats xz") in Reading(forest_plot([LOSS])).values("id")


def test_no_gates_is_a_sentence():
    assert Reading(forest_plot([], "None were set.")).text == "None were set."
