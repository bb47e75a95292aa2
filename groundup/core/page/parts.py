"""Page elements: chips, headline numbers, tables, samples side by side, commands to copy.

Each function takes plain values and returns `Html`; none depends on models, stages or artifacts.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from .html import Html, element, escape, join_html
from .number import format_interval, format_number, interval_decimals

ChipState = Literal["good", "bad", "plain"]
STATE_MARKS: dict[ChipState, str] = {"good": "✓", "bad": "✗", "plain": ""}


class HeadlineFigure(NamedTuple):
    """A headline number with its uncertainty."""

    label: str
    value: float | None
    unit: str = ""
    low: float | None = None
    high: float | None = None
    note: str = ""
    """What to compare it with, in a few words."""
    href: str = ""
    """Anchor of the number's source, with its `#`."""


class TableColumn(NamedTuple):
    """A column of a table; numeric ones are right-aligned."""

    title: str
    is_numeric: bool = False


class ModelAnswer(NamedTuple):
    """One model's answer in a side-by-side comparison."""

    model: str
    text: str
    score: str = ""
    """The score with its name, such as `exact match 1.00`."""


TableCell = str | float | None


def card_element(*parts: str) -> Html:
    """A bordered box."""
    return element("div.card", *parts)


def chip(text: str, state: ChipState = "plain", href: str = "") -> Html:
    """A short word in a pill; good and bad have a mark too, so colour is not the only sign."""
    mark = element("span.mark", STATE_MARKS[state], attributes={"aria-hidden": "true"})
    words = join_html([mark if STATE_MARKS[state] else "", escape(text)])
    if href:
        return element(f"a.chip.{state}", words, attributes={"href": href})
    return element(f"span.chip.{state}", words)


def chips(items: Iterable[Html], label: str) -> Html:
    """Chips in a row that wraps; `label` names the row for screen readers."""
    rows = [element("li", item) for item in items]
    return element("ul.chips", *rows, attributes={"aria-label": label})


def headline_figures(figures: Sequence[HeadlineFigure]) -> Html:
    """A row of headline numbers, the first one largest."""
    return element("div.figures", *[_figure_card(figure) for figure in figures])


def _figure_card(figure: HeadlineFigure) -> Html:
    decimals = interval_decimals(figure.low, figure.high)
    shown = element("span.value", format_number(figure.value, decimals))
    unit = element("span.unit", figure.unit) if figure.unit and figure.value is not None else ""
    linked = element("a", shown, attributes={"href": figure.href}) if figure.href else shown
    spread = format_interval(figure.low, figure.high)
    return element(
        "div.card.figure",
        element("p.label", figure.label),
        element("p.number", join_html([linked, " ", unit])),
        element("p.interval", f"interval {spread}") if spread else "",
        element("p.small", figure.note) if figure.note else "",
    )


def table_element(
    caption: str,
    columns: Sequence[TableColumn | str],
    rows: Sequence[Sequence[TableCell]],
    empty: str = "",
) -> Html:
    """A table that scrolls within its card; the first cell of a row is its header.

    Numbers are formatted by `format_number`; text and `Html` stay unchanged. Without rows it is the
    sentence `empty`.
    """
    if not rows:
        return element("p.empty", empty or f"{caption}: nothing was recorded.")
    heads = [c if isinstance(c, TableColumn) else TableColumn(c) for c in columns]
    top = [
        element(_numeric_class("th", head.is_numeric), head.title, attributes={"scope": "col"})
        for head in heads
    ]
    body = [element("tr", *_table_row(heads, row)) for row in rows]
    inner = element(
        "table",
        element("caption", caption),
        element("thead", element("tr", *top)),
        element("tbody", *body),
    )
    return scroll_box(inner, caption)


def _table_row(columns: Sequence[TableColumn], row: Sequence[TableCell]) -> list[Html]:
    first, *others = zip(columns, row, strict=True)
    name, value = first
    head = element(
        _numeric_class("th", name.is_numeric), _cell_text(value), attributes={"scope": "row"}
    )
    return [head, *(element(_numeric_class("td", c.is_numeric), _cell_text(v)) for c, v in others)]


def _numeric_class(name: str, is_numeric: bool) -> str:
    return f"{name}.numeric" if is_numeric else name


def _cell_text(value: TableCell) -> str:
    return value if isinstance(value, str) else format_number(value)


def scroll_box(content: Html, label: str) -> Html:
    """A box that scrolls sideways and is reachable by keyboard."""
    attributes = {"tabindex": 0, "role": "region", "aria-label": label}
    return element("div.scroll", content, attributes=attributes)


def details(title: str, *parts: str, is_open: bool = False) -> Html:
    """A collapsible section."""
    inner = element("div.inner", *parts)
    return element("details", element("summary", title), inner, attributes={"open": is_open})


def command_box(line: str, what: str = "") -> Html:
    """A command with a copy button; `what` describes it."""
    copy = {"type": "button", "data-copy": line, "aria-label": f"Copy: {line}", "hidden": True}
    return element(
        "div.command",
        element("p.what", what) if what else "",
        element(
            "div.line",
            element("pre", element("code", line)),
            element("button.copy", "Copy", attributes=copy),
        ),
    )


def side_by_side(prompt: str, reference: str, attempts: Sequence[ModelAnswer]) -> Html:
    """One sample: the prompt, the reference and every model's answer."""
    answers = [
        element(
            "div.answer",
            element("p.label", element("span", a.model), element("span.score", a.score)),
            element("p.text", a.text) if a.text else element("p.text.none", "(empty answer)"),
        )
        for a in attempts
    ]
    expected = [element("p.label", "Expected"), element("p.text", reference)] if reference else []
    return element(
        "article.sample.card",
        element(
            "div.asked",
            element("div", element("p.label", "Asked"), element("p.text", prompt)),
            element("div", *expected) if expected else "",
        ),
        element("div.answers", *answers),
    )


def share_bar(fraction: float) -> Html:
    """A bar filled to a fraction, for a table's cell; the number stands next to it."""
    width = {"style": f"width:{100 * min(max(fraction, 0), 1):.1f}%"}
    return element("span.share", element("i", attributes=width), attributes={"aria-hidden": "true"})


def histogram(name: str, bins: Sequence[Sequence[float]], unit: str) -> Html:
    """Counts per bin as bars in a card; bins are pairs of where they start and their count."""
    most, total = max(count for _, count in bins), sum(count for _, count in bins)
    bars = [
        element("i", attributes={"style": f"height:{100 * count / most:.1f}%",
                                 "title": f"from {start:g}: {count:,.0f}"})
        for start, count in bins
    ]  # fmt: skip
    peak = max(bins, key=lambda pair: pair[1])
    ends = [element("span", f"{start:g}") for start, _ in (bins[0], bins[-1])]
    spoken = f"{name}: {total:,.0f} {unit}, most from {peak[0]:g} ({peak[1]:,.0f})."
    return card_element(
        element("p.label", name),
        element("div.bins", *bars, attributes={"aria-hidden": "true"}),
        element("div.extent", *ends),
        screen_reader_text(spoken),
    )


def screen_reader_text(text: str) -> Html:
    """Text for screen readers only, such as the summary of a figure."""
    return element("p.spoken", text)
