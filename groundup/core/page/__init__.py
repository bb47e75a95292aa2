"""Pages: self-contained HTML reports that open on any screen, from one file, without a network.

    sheet = HtmlPage("Tiny model", "It beats xz on text it has not seen.")
    sheet.section("Result", "Lower is better.",
                  headline_figures([HeadlineFigure("bits per byte", 1.41)]))
    write_text(path, sheet.render())

All text is escaped; nothing is loaded from elsewhere; torch is not imported.
"""

from .chart import Baseline, Series, line_chart
from .forest import Gate, forest_plot, gate_anchor
from .html import Html, anchor, element, escape, join_html
from .lineage import LineageNode, lineage_graph
from .number import (
    format_compact,
    format_interval,
    format_number,
    format_signed,
    interval_decimals,
    with_unit,
)
from .page import HtmlPage, read_resource
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
    definition_list,
    details,
    format_measurement,
    headline_figures,
    screen_reader_text,
    scroll_box,
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
    "format_measurement",
    "format_number",
    "format_signed",
    "gate_anchor",
    "headline_figures",
    "interval_decimals",
    "join_html",
    "line_chart",
    "lineage_graph",
    "read_resource",
    "screen_reader_text",
    "scroll_box",
    "side_by_side",
    "table_element",
    "with_unit",
]
