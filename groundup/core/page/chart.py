"""A line chart: direct labels, dashed baselines, uncertainty bands and a table of its data.

The curves are one inline SVG that stretches with the page; text is HTML next to it, so that it
keeps its size on every screen. Horizontal coordinates are thousandths of the plot's width, vertical
ones are pixels.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from .html import Html, element, join_html
from .number import format_compact, format_number, log_ticks, ticks
from .parts import TableColumn, details, screen_reader_text, table_element

WIDTH, HEIGHT = 1000.0, 220.0
LABEL_GAP = 18.0
MAX_POINTS = 400
MAX_ROWS = 12
COLOURS = 6
NEAR_ZERO = 0.05
"""An axis starts at zero if its first value is below this share of its last."""


class Series(NamedTuple):
    """One line: its points, and its uncertainty band if known."""

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    low: Sequence[float | None] = ()
    high: Sequence[float | None] = ()


class Baseline(NamedTuple):
    """A reference value, drawn as a thin dashed line."""

    name: str
    value: float


class ChartPoint(NamedTuple):
    """A point in data units."""

    x: float
    y: float


class ChartFrame(NamedTuple):
    """The visible range, in units of its scale."""

    left: float
    right: float
    bottom: float
    top: float
    scale: Callable[[float], float] = float
    """Maps data to the plot: the identity or a logarithm."""

    def x(self, value: float) -> float:
        """Thousandths of the plot's width."""
        return (self.scale(value) - self.left) / (self.right - self.left) * WIDTH

    def y(self, value: float) -> float:
        """Pixels from the plot's top."""
        return (self.top - self.scale(value)) / (self.top - self.bottom) * HEIGHT

    def tick_values(self, low: float, high: float, count: int = 5) -> Sequence[float]:
        """Tick values between two ends of an axis."""
        return (
            ticks(low, high, count) if self.scale is float else log_ticks(10**low, 10**high, count)
        )


class LineLabel(NamedTuple):
    """Text at the right of the plot and the height in pixels of its line's end."""

    y: float
    text: str
    colour: str


def line_chart(
    title: str,
    series: Sequence[Series],
    *,
    x_label: str,
    y_label: str,
    baselines: Sequence[Baseline] = (),
    logarithmic: bool = False,
) -> Html:
    """Draw lines over one horizontal axis.

    Values that are None or not finite leave gaps, as do values <= 0 on logarithmic axes. The
    vertical axis covers the data and the baselines and need not start at zero. Without any point
    the chart is a sentence.
    """
    least = 0.0 if logarithmic else -math.inf
    curves = [(line, segments(line.x, line.y, least)) for line in series]
    points = [point for _, parts in curves for part in parts for point in part]
    head = element("figcaption", element("strong", title))
    if not points:
        return element("figure.chart", head, element("p.empty", "No points were recorded."))
    frame = _fit_frame(points, _band_ends(series), baselines, math.log10 if logarithmic else float)
    return element(
        "figure.chart",
        head,
        element("p.y-label", y_label),
        screen_reader_text(_chart_as_text(title, curves, baselines, x_label, y_label)),
        element(
            "div.plot",
            _draw_y_axis(frame),
            _draw_plot(frame, curves, baselines),
            _draw_labels(_line_labels(frame, curves, baselines)),
            _draw_x_axis(frame),
            element("p.x-label", x_label),
        ),
        details("Rows behind this chart", _data_tables(title, series, x_label)),
    )


def segments(
    x: Sequence[float], y: Sequence[float | None], least: float = -math.inf
) -> list[list[ChartPoint]]:
    """Runs of finite points above `least`; a missing value ends a run."""
    runs: list[list[ChartPoint]] = [[]]
    for across, up in zip(x, y, strict=True):
        if up is None or not least < min(across, up) or not math.isfinite(across + up):
            runs.append([])
        else:
            runs[-1].append(ChartPoint(float(across), float(up)))
    return [run for run in runs if run]


def _band_ends(series: Iterable[Series]) -> list[float]:
    """Every finite end of a band."""
    ends = [value for line in series for value in (*line.low, *line.high)]
    return [float(value) for value in ends if value is not None and math.isfinite(value)]


def _fit_frame(
    points: Sequence[ChartPoint],
    ends: Sequence[float],
    baselines: Sequence[Baseline],
    scale: Callable[[float], float] = float,
) -> ChartFrame:
    """The range that covers all data, with a margin above and below."""
    across = [scale(point.x) for point in points]
    up = [*(point.y for point in points), *ends, *(float(line.value) for line in baselines)]
    up = [scale(value) for value in up]
    first, last = min(across), max(across)
    is_near_zero = scale is float and 0 < first < NEAR_ZERO * last
    left, right = _add_margin(0.0 if is_near_zero else first, last, 0.0)
    bottom, top = _add_margin(min(up), max(up), 0.06)
    return ChartFrame(left, right, bottom, top, scale)


def _add_margin(low: float, high: float, share: float) -> tuple[float, float]:
    """Add a margin to a range, also to one of zero width."""
    if high == low:
        return low - (abs(low) * 0.1 or 0.5), high + (abs(high) * 0.1 or 0.5)
    return low - share * (high - low), high + share * (high - low)


def _downsample(points: Sequence[ChartPoint], max_points: int = MAX_POINTS) -> Sequence[ChartPoint]:
    """Downsample to about `max_points` points: the extremes of equal chunks, and both ends.

    >>> spike = [ChartPoint(x, 9.0 if x == 777 else 1.0) for x in range(2000)]
    >>> len(_downsample(spike)) <= 402, max(point.y for point in _downsample(spike))
    (True, 9.0)
    """
    if len(points) <= max_points:
        return points
    size = math.ceil(len(points) / (max_points // 2))
    thinned = [points[0]]
    for start in range(0, len(points), size):
        run = points[start : start + size]
        extremes = {min(run, key=lambda p: p.y), max(run, key=lambda p: p.y)}
        thinned.extend(sorted(extremes))
    return [*thinned, points[-1]]


def _svg_path(frame: ChartFrame, points: Sequence[ChartPoint]) -> str:
    """SVG path through the points."""
    pairs = [f"{frame.x(point.x):.1f} {frame.y(point.y):.1f}" for point in _downsample(points)]
    return "M" + "L".join(pairs) + ("h0.01" if len(pairs) == 1 else "")


def _band_path(frame: ChartFrame, line: Series) -> str:
    """SVG path around a series' band; empty if it has none."""
    absent = [None] * len(line.x)
    lower = [point for run in segments(line.x, line.low or absent) for point in run]
    upper = [point for run in segments(line.x, line.high or absent) for point in run]
    if not lower or not upper:
        return ""
    back = _svg_path(frame, list(reversed(_downsample(lower)))).removeprefix("M")
    return f"{_svg_path(frame, upper)}L{back}Z"


def _draw_plot(
    frame: ChartFrame,
    curves: Sequence[tuple[Series, list[list[ChartPoint]]]],
    baselines: Sequence[Baseline],
) -> Html:
    """The plot itself: grid, bands, baselines, lines."""
    grid = [
        _horizontal_line("grid", frame.y(value))
        for value in frame.tick_values(frame.bottom, frame.top)
    ]
    dashed = [_horizontal_line("baseline", frame.y(line.value)) for line in baselines]
    shapes, lines = [], []
    for index, (curve, runs) in enumerate(curves):
        colour = f"series-{index % COLOURS + 1}"
        if shape := _band_path(frame, curve):
            shapes.append(element(f"path.band.{colour}", attributes={"d": shape}))
        for run in runs:
            kind = "dot" if len(run) == 1 else "line"
            lines.append(element(f"path.{kind}.{colour}", attributes={"d": _svg_path(frame, run)}))
    attributes = {
        "viewBox": f"0 0 {WIDTH:g} {HEIGHT:g}",
        "preserveAspectRatio": "none",
        "aria-hidden": "true",
    }
    return element("svg", *grid, *shapes, *dashed, *lines, attributes=attributes)


def _horizontal_line(name: str, at: float) -> Html:
    """A horizontal line over the whole width."""
    attributes = {"x1": 0, "x2": f"{WIDTH:g}", "y1": f"{at:.1f}", "y2": f"{at:.1f}"}
    return element(f"line.{name}", attributes=attributes)


def _draw_y_axis(frame: ChartFrame) -> Html:
    """Values at the left of the plot."""
    values = [
        (value, format_compact(value)) for value in frame.tick_values(frame.bottom, frame.top)
    ]
    marks = [
        element("span", text, attributes={"style": f"top:{frame.y(value):.1f}px"})
        for value, text in values
    ]
    width = max((len(text) for _, text in values), default=0)
    attributes = {"style": f"width:{width}ch", "aria-hidden": "true"}
    return element("div.y-axis", *marks, attributes=attributes)


def _draw_x_axis(frame: ChartFrame) -> Html:
    """Values under the plot."""
    marks = [
        element(
            "span", format_compact(value), attributes={"style": f"left:{frame.x(value) / 10:.2f}%"}
        )
        for value in frame.tick_values(frame.left, frame.right, 4)
    ]
    return element("div.x-axis", *marks, attributes={"aria-hidden": "true"})


def _line_labels(
    frame: ChartFrame,
    curves: Sequence[tuple[Series, list[list[ChartPoint]]]],
    baselines: Sequence[Baseline],
) -> list[LineLabel]:
    """Name and last value of every line, at the height where it ends."""
    texts = []
    for index, (curve, runs) in enumerate(curves):
        if runs:
            last = runs[-1][-1].y
            text = f"{curve.name} {format_number(last)}"
            texts.append(LineLabel(frame.y(last), text, f"series-{index % COLOURS + 1}"))
    for line in baselines:
        texts.append(
            LineLabel(frame.y(line.value), f"{line.name} {format_number(line.value)}", "baseline")
        )
    return texts


def _spread_labels(
    heights: Sequence[float], gap: float = LABEL_GAP, height: float = HEIGHT
) -> list[float]:
    """Move sorted heights apart to at least `gap`, within the plot's height if possible.

    >>> _spread_labels([100.0, 101.0, 219.0])
    [100.0, 118.0, 219.0]
    """
    moved: list[float] = []
    for y in heights:
        moved.append(max(y, moved[-1] + gap) if moved else max(y, 0.0))
    limit = height
    for index in reversed(range(len(moved))):
        moved[index] = min(moved[index], limit)
        limit = moved[index] - gap
    return moved


def _draw_labels(texts: Sequence[LineLabel]) -> Html:
    """The direct labels, moved apart, each tied to its line's end by a short stroke."""
    ordered = sorted(texts)
    heights = _spread_labels([label.y for label in ordered])
    words, strokes = [], []
    for label, at in zip(ordered, heights, strict=True):
        words.append(
            element(
                "span",
                label.text,
                attributes={"style": f"top:{at:.1f}px", "title": label.text},
            )
        )
        line = {"d": f"M0 {label.y:.1f}L16 {at:.1f}"}
        strokes.append(element(f"path.tie.{label.colour}", attributes=line))
    svg = {"viewBox": f"0 0 16 {HEIGHT:g}", "width": 16, "height": f"{HEIGHT:g}"}
    width = max((len(label.text) for label in texts), default=0)
    attributes = {"style": f"width:calc({width * 0.9:.1f}ch + 22px)", "aria-hidden": "true"}
    return element(
        "div.ends", element("svg", *strokes, attributes=svg), *words, attributes=attributes
    )


def _chart_as_text(
    title: str,
    curves: Sequence[tuple[Series, list[list[ChartPoint]]]],
    baselines: Sequence[Baseline],
    x_label: str,
    y_label: str,
) -> str:
    """The chart in words, for screen readers."""
    sentences = [f"Line chart: {title}; {y_label} over {x_label}."]
    for curve, runs in curves:
        points = [point for run in runs for point in run]
        if not points:
            sentences.append(f"{curve.name} has no points.")
            continue
        lowest = min(points, key=lambda point: point.y)
        sentences.append(
            f"{curve.name} goes from {format_number(points[0].y)} at {format_compact(points[0].x)} "
            f"to "
            f"{format_number(points[-1].y)} at {format_compact(points[-1].x)}; "
            f"its lowest is {format_number(lowest.y)} at {format_compact(lowest.x)}."
        )
    sentences.extend(f"Baseline {line.name}: {format_number(line.value)}." for line in baselines)
    return " ".join(sentences)


def _data_tables(title: str, series: Sequence[Series], x_label: str) -> Html:
    """Some of the points as one table per series, ends included."""
    tables = []
    for line in series:
        points = list(zip(line.x, line.y, strict=True))
        step = max(1, math.ceil((len(points) - 1) / (MAX_ROWS - 1))) if points else 1
        shown = points[::step] + (points[-1:] if points and (len(points) - 1) % step else [])
        columns = [TableColumn(x_label, True), TableColumn(line.name, True)]
        cells = [[format_compact(x), format_number(y)] for x, y in shown]
        tables.append(table_element(f"{title}: {line.name}", columns, cells))
    return element("div.tables", join_html(tables))
