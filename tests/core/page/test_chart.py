"""A chart shows every point it got; a gate's bar lies on the side where its numbers lie."""

import math
import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from groundup.core.page import Baseline, Gate, Series, forest_plot, gate_anchor, line_chart
from groundup.core.page.chart import (
    HEIGHT,
    LABEL_GAP,
    WIDTH,
    ChartFrame,
    ChartPoint,
    _add_margin,
    _downsample,
    _spread_labels,
    _svg_path,
)
from tests.core.page.reading import Reading

VALUES = st.lists(st.none() | st.floats(allow_nan=True, allow_infinity=True), max_size=40)


def chart(*series: Series, baselines=()) -> Reading:
    drawn = line_chart("Loss", series, x_label="steps", y_label="nats", baselines=baselines)
    return Reading(drawn)


def coordinates(read: Reading) -> list[float]:
    """Every number of every path and line drawn in the plot."""
    words = " ".join(read.values("d") + read.values("y1")).replace("NaN", "nan")
    for letter in "MLZhHVC":
        words = words.replace(letter, " ")
    return [float(word) for word in words.split()]


@given(VALUES)
def test_whatever_is_finite_lies_inside_the_plot(values):
    values = [v if v is None or not math.isfinite(v) else v % 1e6 for v in values]
    read = chart(Series("train", range(len(values)), values))
    for number in coordinates(read):
        assert -0.1 <= number <= WIDTH + 0.1


def test_no_points_is_a_sentence():
    assert "No points were recorded." in chart(Series("train", [1], [math.nan])).text
    assert "No points were recorded." in chart().text


def test_missing_values_leave_a_gap():
    assert chart(Series("a", [1, 2, 3, 4], [1.0, 2.0, None, 3.0])).count("path", "line") == 1
    assert chart(Series("a", [1, 2, 3, 4], [1.0, 2.0, None, 3.0])).count("path", "dot") == 1
    assert chart(Series("a", [1, 2, 3, 4, 5], [1, 2, None, 3, 4])).count("path", "line") == 2


def test_a_single_point_is_a_dot():
    assert chart(Series("a", [5], [1.0])).count("path", "dot") == 1


def test_baselines_are_dashed_lines_with_their_names():
    read = chart(Series("a", [0, 1], [1, 2]), baselines=[Baseline("xz", 1.76)])
    assert read.count("line", "baseline") == 1
    assert "xz 1.76" in read.text


def test_screen_readers_get_the_chart_in_words():
    read = chart(
        Series("train", [0, 1000, 2000], [4.0, 1.0, 2.0]), baselines=[Baseline("xz", 1.76)]
    )
    assert (
        "Line chart: Loss; nats over steps. train goes from 4.00 at 0 to 2.00 at 2\u00a0k; its "
        "lowest is 1.00 at 1\u00a0k. Baseline xz: 1.76." in read.text
    )


def test_the_rows_behind_the_chart_keep_both_ends():
    read = chart(Series("train", range(1001), [float(x) for x in range(1001)]))
    assert read.count("tr") <= 14
    assert "1,000" in read.text and "1\u00a0k" in read.text


def test_a_band_needs_both_of_its_edges():
    assert chart(Series("a", [0, 1], [1, 2], [0, 1], [2, 3])).count("path", "band") == 1
    assert chart(Series("a", [0, 1], [1, 2])).count("path", "band") == 0


def test_more_series_than_colours_start_over():
    read = chart(*[Series(f"s{i}", [0, 1], [i, i + 1]) for i in range(7)])
    assert read.count("path", "line") == 7 and read.count("path", "series-1") == 4


def test_thinning_keeps_extremes_and_ends():
    points = [ChartPoint(float(x), math.sin(x)) for x in range(5000)]
    kept = _downsample(points)
    assert len(kept) < 450 and kept[0] == points[0] and kept[-1] == points[-1]
    assert max(p.y for p in kept) == max(p.y for p in points)
    assert list(kept) == sorted(kept)


def test_paths_run_from_corner_to_corner():
    frame = ChartFrame(0.0, 1.0, 0.0, 1.0)
    assert (
        _svg_path(frame, [ChartPoint(0.0, 0.0), ChartPoint(1.0, 1.0)])
        == f"M0.0 {HEIGHT}L{WIDTH} 0.0"
    )


@given(st.lists(st.floats(0, HEIGHT), max_size=8))
def test_labels_never_lie_on_each_other(places):
    moved = _spread_labels(sorted(places))
    assert all(b - a >= LABEL_GAP - 1e-6 for a, b in zip(moved, moved[1:], strict=False))
    assert all(-1e-6 <= place <= HEIGHT for place in moved)


def test_logarithmic_axes_show_powers_and_leave_out_what_has_none():
    one = Series("square", [256, 1024, 4096, 16384, 20000], [0.1, 1.6, 25.6, 409.6, 0.0])
    drawn = str(
        line_chart("Cost", [one], x_label="tokens", y_label="ms", logarithmic=True)
    ).replace("\u00a0", " ")
    for mark in ("256", "1.02 k", "4.1 k", "16.4 k", "0.1", "1", "10", "100"):
        assert f">{mark}</span>" in drawn
    [path] = re.findall(r'<path class="line[^"]*" d="M([^"]+)"', drawn)
    places = np.array([point.split() for point in path.split("L")], float)
    steps = np.diff(places, axis=0)  # a power is a straight line
    assert len(places) == 4 and np.abs(steps - steps[0]).max() < 0.21


def test_a_range_is_widened_by_a_share_of_itself():
    assert _add_margin(1.0, 3.0, 0.25) == (0.5, 3.5)
    assert _add_margin(2.0, 2.0, 0.25) == (1.8, 2.2) and _add_margin(0.0, 0.0, 0.0) == (-0.5, 0.5)


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


def test_an_estimate_has_the_digits_of_its_interval():
    gate = LOSS._replace(estimate=0.5, unit="nats", low=0.4, high=0.6)
    assert "0.50\u00a0nats" in forest_plot([gate])
