"""Pages: self-contained HTML reports that open on any screen, from one file, without a network.

    sheet = Page("Tiny model", "It beats xz on text it has not seen.")
    sheet.section("Result", "Lower is better.", headline([Figure("bits per byte", 1.41)]))
    write_text(path, sheet.render())

All text is escaped; nothing is loaded from elsewhere; torch is not imported.
"""

from .chart import Baseline, Series, line_chart
from .forest import Gate, forest_plot, gate_anchor
from .html import Html, anchor, element, escape, join
from .lineage import Node, lineage
from .number import compact, interval, interval_decimals, number, signed, with_unit
from .page import Page, resource
from .parts import (
    Attempt,
    Cell,
    Column,
    Figure,
    State,
    card,
    chip,
    chips,
    command,
    definitions,
    details,
    headline,
    measured,
    scrolling,
    side_by_side,
    spoken,
    table,
)  # fmt: skip

__all__ = [
    "Attempt", "Baseline", "Cell", "Column", "Figure", "Gate", "Html", "Node", "Page", "Series",
    "State", "anchor", "card", "chip", "chips", "command", "compact", "definitions", "details",
    "element", "escape", "forest_plot", "gate_anchor", "headline", "interval", "interval_decimals",
    "join", "line_chart", "lineage", "measured", "number", "resource", "scrolling", "side_by_side",
    "signed", "spoken", "table", "with_unit",
]  # fmt: skip
