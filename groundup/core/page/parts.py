"""Parts of a page: chips, headline numbers, tables, samples side by side, commands to copy.

Each function takes plain values and returns `Html`; none knows of models, stages or artifacts.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from .html import Html, element, escape, join
from .number import interval, interval_decimals, number, with_unit

State = Literal["good", "bad", "plain"]
MARKS: dict[State, str] = {"good": "✓", "bad": "✗", "plain": ""}


class Figure(NamedTuple):
    """A headline number with its uncertainty."""

    label: str
    value: float | None
    unit: str = ""
    low: float | None = None
    high: float | None = None
    note: str = ""
    """What to compare it with, in a few words."""
    href: str = ""
    """Anchor of what made the number, with its `#`."""


class Column(NamedTuple):
    """A column of a table; numeric ones are right-aligned."""

    title: str
    is_numeric: bool = False


class Attempt(NamedTuple):
    """One model's answer, shown beside the others'."""

    model: str
    text: str
    score: str = ""
    """The score with its name, such as `exact match 1.00`."""


Cell = str | float | None


def card(*parts: str, name: str = "div.card") -> Html:
    """A bordered box around parts that belong together."""
    return element(name, *parts)


def chip(text: str, state: State = "plain", href: str = "") -> Html:
    """A short word in a pill; good and bad carry a mark, so colour is never the only sign."""
    mark = element("span.mark", MARKS[state], attributes={"aria-hidden": "true"})
    words = join([mark if MARKS[state] else "", escape(text)])
    if href:
        return element(f"a.chip.{state}", words, attributes={"href": href})
    return element(f"span.chip.{state}", words)


def chips(items: Iterable[Html], label: str) -> Html:
    """Chips in a row that wraps; `label` names the row for screen readers."""
    rows = [element("li", item) for item in items]
    return element("ul.chips", *rows, attributes={"aria-label": label})


def headline(figures: Sequence[Figure]) -> Html:
    """The few numbers that answer the question; the first is the largest."""
    return element("div.figures", *[figure_card(figure) for figure in figures])


def figure_card(figure: Figure) -> Html:
    """One headline number: the label, the number, its interval, what to compare it with."""
    decimals = interval_decimals(figure.low, figure.high)
    shown = element("span.value", number(figure.value, decimals))
    unit = element("span.unit", figure.unit) if figure.unit and figure.value is not None else ""
    linked = element("a", shown, attributes={"href": figure.href}) if figure.href else shown
    spread = interval(figure.low, figure.high)
    return element(
        "div.card.figure",
        element("p.label", figure.label),
        element("p.number", join([linked, " ", unit])),
        element("p.interval", f"interval {spread}") if spread else "",
        element("p.small", figure.note) if figure.note else "",
    )


def table(
    caption: str, columns: Sequence[Column | str], rows: Sequence[Sequence[Cell]], empty: str = ""
) -> Html:
    """A table that scrolls within its card; the first cell of a row is its header.

    Numbers are written by `number`; text and `Html` as they are. With no rows the table is the
    sentence `empty`.
    """
    if not rows:
        return element("p.empty", empty or f"{caption}: nothing was recorded.")
    heads = [c if isinstance(c, Column) else Column(c) for c in columns]
    top = [
        element(classed("th", head.is_numeric), head.title, attributes={"scope": "col"})
        for head in heads
    ]
    body = [element("tr", *table_row(heads, row)) for row in rows]
    inner = element(
        "table",
        element("caption", caption),
        element("thead", element("tr", *top)),
        element("tbody", *body),
    )
    return scrolling(inner, caption)


def table_row(columns: Sequence[Column], row: Sequence[Cell]) -> list[Html]:
    """The cells of one row, the first one its header."""
    first, *others = zip(columns, row, strict=True)
    name, value = first
    head = element(classed("th", name.is_numeric), written(value), attributes={"scope": "row"})
    return [head, *(element(classed("td", c.is_numeric), written(v)) for c, v in others)]


def classed(name: str, is_numeric: bool) -> str:
    """Element name with the class of a numeric cell where it is one."""
    return f"{name}.numeric" if is_numeric else name


def written(value: Cell) -> str:
    """Text of a cell."""
    return value if isinstance(value, str) else number(value)


def scrolling(content: Html, label: str) -> Html:
    """A box that scrolls sideways on its own and can be reached and moved by keyboard."""
    attributes = {"tabindex": 0, "role": "region", "aria-label": label}
    return element("div.scroll", content, attributes=attributes)


def details(title: str, *parts: str, is_open: bool = False) -> Html:
    """Parts behind a title that opens and closes."""
    inner = element("div.inner", *parts)
    return element("details", element("summary", title), inner, attributes={"open": is_open})


def command(line: str, what: str = "") -> Html:
    """A command with a button that copies it; `what` says what it does."""
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


def definitions(pairs: Iterable[tuple[str, str]], name: str = "dl.facts") -> Html:
    """Names and their values or meanings."""
    rows = [element("div", element("dt", term), element("dd", text)) for term, text in pairs]
    return element(name, *rows)


def side_by_side(prompt: str, reference: str, attempts: Sequence[Attempt]) -> Html:
    """One sample: what was asked, what was expected, and every model's answer beside the others."""
    answers = [
        element(
            "div.answer",
            element("p.label", element("span", one.model), element("span.score", one.score)),
            element("p.text", one.text) if one.text else element("p.text.none", "(empty answer)"),
        )
        for one in attempts
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


def spoken(text: str) -> Html:
    """Text for screen readers alone, such as the summary of a picture."""
    return element("p.spoken", text)


def measured(value: float | None, unit: str, low: float | None, high: float | None) -> str:
    """A number with its unit, digits as its interval warrants."""
    return with_unit(number(value, interval_decimals(low, high)), unit)
