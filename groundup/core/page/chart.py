"""Charts as inline SVG that stretches with the page: lines over an axis, and a forest of gates.

Text is HTML next to the SVG, so that it keeps its size on every screen. Horizontal coordinates are
thousandths of the plot's width, vertical ones are pixels. A line chart has direct labels, dashed
baselines, uncertainty bands and a table of its data. Gates have different units, so every row of
a forest plot has its own scale centred on its threshold; one dashed line runs down the page, and a
bar that reaches the tinted side is visible at a glance.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple

from .html import Html, anchor, element, join_html
from .number import (
    format_compact,
    format_interval,
    format_number,
    interval_decimals,
    log_ticks,
    ticks,
    with_unit,
)
from .parts import ChipState, TableColumn, chip, details, screen_reader_text, table_element

WIDTH, HEIGHT = 1000.0, 220.0
LABEL_GAP = 18.0
MAX_POINTS = 400
MAX_ROWS = 12
COLOURS = 6
ROW_HEIGHT = 32.0
EXTENT_FACTOR = 1.25
"""Half width of a row, relative to the farthest end of the interval."""
ESTIMATE_NOTE = " · the dot decides"
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


Curves = Sequence[tuple[Series, list[list[ChartPoint]]]]
"""Lines with their runs of points."""


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
    ends = [value for line in series for value in (*line.low, *line.high)]
    return [float(value) for value in ends if value is not None and math.isfinite(value)]


def _fit_frame(
    points: Sequence[ChartPoint],
    ends: Sequence[float],
    baselines: Sequence[Baseline],
    scale: Callable[[float], float] = float,
) -> ChartFrame:
    across = [scale(point.x) for point in points]
    up = [*(point.y for point in points), *ends, *(float(line.value) for line in baselines)]
    up = [scale(value) for value in up]
    first, last = min(across), max(across)
    is_near_zero = scale is float and 0 < first < NEAR_ZERO * last
    left, right = _add_margin(0.0 if is_near_zero else first, last, 0.0)
    bottom, top = _add_margin(min(up), max(up), 0.06)
    return ChartFrame(left, right, bottom, top, scale)


def _add_margin(low: float, high: float, share: float) -> tuple[float, float]:
    if high == low:
        return low - (abs(low) * 0.1 or 0.5), high + (abs(high) * 0.1 or 0.5)
    return low - share * (high - low), high + share * (high - low)


def _downsample(points: Sequence[ChartPoint]) -> Sequence[ChartPoint]:
    """Downsample to about MAX_POINTS points: the extremes of equal chunks, and both ends.

    >>> spike = [ChartPoint(x, 9.0 if x == 777 else 1.0) for x in range(2000)]
    >>> len(_downsample(spike)) <= 402, max(point.y for point in _downsample(spike))
    (True, 9.0)
    """
    if len(points) <= MAX_POINTS:
        return points
    size = math.ceil(len(points) / (MAX_POINTS // 2))
    thinned = [points[0]]
    for start in range(0, len(points), size):
        run = points[start : start + size]
        extremes = {min(run, key=lambda p: p.y), max(run, key=lambda p: p.y)}
        thinned.extend(sorted(extremes))
    return [*thinned, points[-1]]


def _svg_path(frame: ChartFrame, points: Sequence[ChartPoint]) -> str:
    pairs = [f"{frame.x(point.x):.1f} {frame.y(point.y):.1f}" for point in _downsample(points)]
    return "M" + "L".join(pairs) + ("h0.01" if len(pairs) == 1 else "")


def _band_path(frame: ChartFrame, line: Series) -> str:
    absent = [None] * len(line.x)
    lower = [point for run in segments(line.x, line.low or absent) for point in run]
    upper = [point for run in segments(line.x, line.high or absent) for point in run]
    if not lower or not upper:
        return ""
    back = _svg_path(frame, list(reversed(_downsample(lower)))).removeprefix("M")
    return f"{_svg_path(frame, upper)}L{back}Z"


def _draw_plot(
    frame: ChartFrame,
    curves: Curves,
    baselines: Sequence[Baseline],
) -> Html:
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
    return _stretched_svg(HEIGHT, [*grid, *shapes, *dashed, *lines])


def _stretched_svg(height: float, shapes: Iterable[Html]) -> Html:
    """An SVG as wide as its box; screen readers skip it, they read the numbers next to it."""
    size = {"viewBox": f"0 0 {WIDTH:g} {height:g}", "preserveAspectRatio": "none"}
    return element("svg", *shapes, attributes={**size, "aria-hidden": "true"})


def _horizontal_line(name: str, at: float) -> Html:
    attributes = {"x1": 0, "x2": f"{WIDTH:g}", "y1": f"{at:.1f}", "y2": f"{at:.1f}"}
    return element(f"line.{name}", attributes=attributes)


def _draw_y_axis(frame: ChartFrame) -> Html:
    marks, width = [], 0
    for value in frame.tick_values(frame.bottom, frame.top):
        text, place = format_compact(value), {"style": f"top:{frame.y(value):.1f}px"}
        marks.append(element("span", text, attributes=place))
        width = max(width, len(text))
    attributes = {"style": f"width:{width}ch", "aria-hidden": "true"}
    return element("div.y-axis", *marks, attributes=attributes)


def _draw_x_axis(frame: ChartFrame) -> Html:
    marks = []
    for value in frame.tick_values(frame.left, frame.right, 4):
        place = {"style": f"left:{frame.x(value) / 10:.2f}%"}
        marks.append(element("span", format_compact(value), attributes=place))
    return element("div.x-axis", *marks, attributes={"aria-hidden": "true"})


def _line_labels(
    frame: ChartFrame,
    curves: Curves,
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
        text = f"{line.name} {format_number(line.value)}"
        texts.append(LineLabel(frame.y(line.value), text, "baseline"))
    return texts


def _spread_labels(heights: Sequence[float]) -> list[float]:
    """Move sorted heights apart to at least LABEL_GAP, within the plot's height if possible.

    >>> _spread_labels([100.0, 101.0, 219.0])
    [100.0, 118.0, 219.0]
    """
    moved: list[float] = []
    for y in heights:
        moved.append(max(y, moved[-1] + LABEL_GAP) if moved else max(y, 0.0))
    limit = HEIGHT
    for index in reversed(range(len(moved))):
        moved[index] = min(moved[index], limit)
        limit = moved[index] - LABEL_GAP
    return moved


def _draw_labels(texts: Sequence[LineLabel]) -> Html:
    """The direct labels, moved apart, each tied to its line's end by a short stroke."""
    ordered = sorted(texts)
    heights = _spread_labels([label.y for label in ordered])
    words, strokes = [], []
    for label, at in zip(ordered, heights, strict=True):
        place = {"style": f"top:{at:.1f}px", "title": label.text}
        words.append(element("span", label.text, attributes=place))
        line = {"d": f"M0 {label.y:.1f}L16 {at:.1f}"}
        strokes.append(element(f"path.tie.{label.colour}", attributes=line))
    size = {"viewBox": f"0 0 16 {HEIGHT:g}", "width": 16, "height": f"{HEIGHT:g}"}
    svg = element("svg", *strokes, attributes=size)
    width = max((len(label.text) for label in texts), default=0)
    attributes = {"style": f"width:calc({width}ch + 22px)", "aria-hidden": "true"}
    return element("div.ends", svg, *words, attributes=attributes)


def _chart_as_text(
    title: str,
    curves: Curves,
    baselines: Sequence[Baseline],
    x_label: str,
    y_label: str,
) -> str:
    sentences = [f"Line chart: {title}; {y_label} over {x_label}."]
    for curve, runs in curves:
        points = [point for run in runs for point in run]
        if not points:
            sentences.append(f"{curve.name} has no points.")
            continue
        lowest = min(points, key=lambda point: point.y)
        sentences.append(
            f"{curve.name} goes from {_point_text(points[0])} to {_point_text(points[-1])}; "
            f"its lowest is {_point_text(lowest)}."
        )
    sentences.extend(f"Baseline {line.name}: {format_number(line.value)}." for line in baselines)
    return " ".join(sentences)


def _point_text(point: ChartPoint) -> str:
    return f"{format_number(point.y)} at {format_compact(point.x)}"


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


class Gate(NamedTuple):
    """A requirement and what was measured for it."""

    name: str
    requirement: str
    """The requirement as a sentence for a newcomer."""
    estimate: float | None
    low: float | None
    high: float | None
    threshold: float
    unit: str
    better: Literal["lower", "higher"]
    """On which side of the threshold it passes."""
    has_passed: bool
    hint: str = ""
    """What to try next when it fails."""
    decides: Literal["interval", "estimate"] = "interval"
    """What must lie on the right side: the entire interval, or only the estimate."""
    is_undecided: bool = False
    """Whether it did not pass for lack of data."""

    @property
    def result(self) -> tuple[str, ChipState]:
        """The outcome in a word, and the state of its chip."""
        if self.has_passed:
            return "passed", "good"
        return ("undecided", "plain") if self.is_undecided else ("failed", "bad")


def forest_plot(gates: Sequence[Gate], empty: str = "No gates were set.") -> Html:
    """One row per gate: its meaning, the plot, the number, the result."""
    if not gates:
        return element("p.empty", empty)
    return element("ul.gates.card", *[_gate_row(gate) for gate in gates])


def _gate_row(gate: Gate) -> Html:
    words = element(
        "div.words",
        element("h3", gate.name),
        element("p", gate.requirement),
        _hint_element(gate),
    )
    range_ = format_interval(gate.low, gate.high)
    numbers = element(
        "div.numbers",
        element("p.estimate", _format_estimate(gate)),
        element("p.small", f"interval {range_}" if range_ else "no interval"),
    )
    result = chip(*gate.result)
    attributes = {"id": gate_anchor(gate.name)}
    return element("li.gate", words, _draw_interval(gate), numbers, result, attributes=attributes)


def gate_anchor(name: str) -> str:
    """Id of a gate's row, for links."""
    return f"gate-{anchor(name)}"


def _format_estimate(gate: Gate) -> str:
    """The estimate with its unit, with as many decimals as its interval justifies."""
    decimals = interval_decimals(gate.low, gate.high)
    return with_unit(format_number(gate.estimate, decimals), gate.unit)


def _hint_element(gate: Gate) -> str:
    if gate.has_passed or not gate.hint:
        return ""
    return element("p.hint", element("strong", "To try next: "), gate.hint)


def _draw_interval(gate: Gate) -> Html:
    limit = with_unit(format_compact(gate.threshold), gate.unit)
    side = "at most" if gate.better == "lower" else "at least"
    note = ESTIMATE_NOTE if gate.decides == "estimate" else ""
    svg = _stretched_svg(ROW_HEIGHT, _interval_shapes(gate))
    return element("div.forest", svg, element("p.limit", f"{side} {limit}{note}"))


def _interval_shapes(gate: Gate) -> list[Html]:
    """Shapes of the plot from back to front."""
    _, state = gate.result
    middle, half = WIDTH / 2, ROW_HEIGHT / 2
    wrong = {"x": middle if gate.better == "lower" else 0, "y": 0}
    elements = [
        element("rect.wrong", attributes={**wrong, "width": middle, "height": ROW_HEIGHT}),
        element("path.threshold", attributes={"d": f"M{middle:g} 0V{ROW_HEIGHT:g}"}),
    ]
    ends = [value for value in (gate.estimate, gate.low, gate.high) if value is not None]
    extent = (
        EXTENT_FACTOR * max((abs(value - gate.threshold) for value in ends), default=0.0) or 1.0
    )

    def to_x(value: float) -> float:
        return middle + (value - gate.threshold) / extent * middle

    if gate.low is not None and gate.high is not None:
        bar = f"M{to_x(gate.low):.1f} {half:g}H{to_x(gate.high):.1f}"
        elements.append(element(f"path.bar.{state}", attributes={"d": bar}))
    if gate.estimate is not None:
        dot = {"d": f"M{to_x(gate.estimate):.1f} {half:g}h0.01"}
        elements.append(element("path.halo", attributes=dot))
        elements.append(element(f"path.estimate.{state}", attributes=dot))
    return elements
