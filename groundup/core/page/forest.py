"""A forest plot of gates: each one's estimate and interval against its threshold.

Gates have different units, so every row has its own scale centred on its threshold; one dashed line
runs down the page, and a bar that reaches the tinted side is visible at a glance.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from .html import Html, anchor, element
from .number import format_compact, format_interval, with_unit
from .parts import ChipState, chip, format_measurement

WIDTH, HEIGHT = 1000.0, 32.0
EXTENT_FACTOR = 1.25
"""Half width of a row, relative to the farthest end of the interval."""
ESTIMATE_NOTE = " · the dot decides"


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
        element("p.estimate", format_measurement(gate.estimate, gate.unit, gate.low, gate.high)),
        element("p.small", f"interval {range_}" if range_ else "no interval"),
    )
    result = chip(*gate.result)
    attributes = {"id": gate_anchor(gate.name)}
    return element("li.gate", words, _draw_interval(gate), numbers, result, attributes=attributes)


def gate_anchor(name: str) -> str:
    """Id of a gate's row, for links."""
    return f"gate-{anchor(name)}"


def _hint_element(gate: Gate) -> str:
    """What to try next; empty if the gate passed."""
    if gate.has_passed or not gate.hint:
        return ""
    return element("p.hint", element("strong", "To try next: "), gate.hint)


def _draw_interval(gate: Gate) -> Html:
    """SVG with bar, dot and threshold; hidden from screen readers, which read the numbers."""
    limit = with_unit(format_compact(gate.threshold), gate.unit)
    side = "at most" if gate.better == "lower" else "at least"
    attributes = {
        "viewBox": f"0 0 {WIDTH:g} {HEIGHT:g}",
        "preserveAspectRatio": "none",
        "aria-hidden": "true",
    }
    return element(
        "div.forest",
        element("svg", *_interval_shapes(gate), attributes=attributes),
        element("p.limit", f"{side} {limit}{ESTIMATE_NOTE if gate.decides == 'estimate' else ''}"),
    )


def _interval_shapes(gate: Gate) -> list[Html]:
    """Shapes of the plot from back to front."""
    _, state = gate.result
    middle, half = WIDTH / 2, HEIGHT / 2
    wrong = {"x": middle if gate.better == "lower" else 0, "y": 0}
    elements = [
        element("rect.wrong", attributes={**wrong, "width": middle, "height": HEIGHT}),
        element("path.threshold", attributes={"d": f"M{middle:g} 0V{HEIGHT:g}"}),
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
