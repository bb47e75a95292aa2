"""Pages: self-contained HTML reports that open on any screen, from one file, without a network.

    sheet = HtmlPage("Tiny model", "It beats xz on text it has not seen.")
    sheet.section("Result", "Lower is better.",
                  headline_figures([HeadlineFigure("bits per byte", 1.41)]))
    write_text(path, sheet.render())

All text is escaped; nothing is loaded from elsewhere; torch is not imported.
"""

from .chart import Baseline, Gate, Series, forest_plot, gate_anchor, line_chart
from .html import Html, HtmlPage, anchor, definition_list, element, escape, join_html, read_resource
from .lineage import LineageNode, lineage_graph
from .number import (
    format_compact,
    format_interval,
    format_number,
    format_signed,
    interval_decimals,
    with_unit,
)
from .parts import (
    ChipState,
    HeadlineFigure,
    ModelAnswer,
    TableCell,
    TableColumn,
    card_element,
    chip,
    chips,
    command_box,
    details,
    headline_figures,
    histogram,
    screen_reader_text,
    scroll_box,
    share_bar,
    side_by_side,
    table_element,
)  # fmt: skip

__all__ = [
    "Baseline",
    "ChipState",
    "Gate",
    "HeadlineFigure",
    "Html",
    "HtmlPage",
    "LineageNode",
    "ModelAnswer",
    "Series",
    "TableCell",
    "TableColumn",
    "anchor",
    "card_element",
    "chip",
    "chips",
    "command_box",
    "definition_list",
    "details",
    "element",
    "escape",
    "forest_plot",
    "format_compact",
    "format_interval",
    "format_number",
    "format_signed",
    "gate_anchor",
    "headline_figures",
    "histogram",
    "interval_decimals",
    "join_html",
    "line_chart",
    "lineage_graph",
    "read_resource",
    "screen_reader_text",
    "scroll_box",
    "share_bar",
    "side_by_side",
    "table_element",
    "with_unit",
]
