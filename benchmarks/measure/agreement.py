"""How far our measures are from their peers': docs/benchmarks/agreement.md, made from the fixtures.

    python -m benchmarks.measure.agreement            write the page
    python -m benchmarks.measure.agreement --json     print it and its rows for the tests

Each part compares our values with what peers gave for the same input, kept under tests/fixtures by
tests/oracles. The page holds no figure that was typed by hand; a test compares it with what this
script makes.
"""

import json
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks" / "agreement.md"
PARTS = {"Texts": "agreement_text", "Statistics and ranking": "agreement_stats"}
BOUNDS = (1e-12, 1e-11, 1e-10, 1e-9)
"""Differences of rounding depend on the processor: told as the next of these."""

HEAD = """\
# How far our measures are from their peers'

Made by `python -m benchmarks.measure.agreement` from what peers gave for the same inputs
(tests/oracles, tests/fixtures); a test compares this page with what the script makes. Largest
differences are absolute, over all inputs and settings; what lies below a power of ten is rounding
of the last digits. *Only the peer* counts the inputs for which the peer gives a number and we a
Reason.
"""
TABLE = """
## {title}

| measure | peer | values | largest difference | only the peer | only ours | why |
|---|---|---|---|---|---|---|
"""


def lines(rows: list[Any]) -> Iterator[str]:
    """One line of a table for each row."""
    for row in rows:
        counts = (f"{count:,}" if count else "" for count in (row.only_peer, row.only_ours))
        cells = row.measure, row.peer, f"{row.cases:,}", told(row.largest), *counts, row.note
        yield "| " + " | ".join(cell.replace("|", ", ") for cell in cells) + " |\n"


def told(largest: float) -> str:
    """A difference as the page tells it.

    >>> told(0.0), told(3e-15), told(15.3287)
    ('0', '< 1e-12', '15.33')
    """
    bound = next((bound for bound in BOUNDS if 0 < largest < bound), None)
    return f"< {bound:.0e}" if bound else f"{largest:.4g}"


def page(parts: dict[str, list[Any]]) -> str:
    """The page as it should stand in the docs, from the rows of each part."""
    return HEAD + "".join(
        TABLE.format(title=title) + "".join(lines(rows)) for title, rows in parts.items()
    )


def main() -> None:
    """Compare everything, then write the page or print it."""
    parts = {
        title: import_module(f"benchmarks.measure.{name}").rows() for title, name in PARTS.items()
    }
    text = page(parts)
    if "--json" in sys.argv:
        rows = {title: [row._asdict() for row in part] for title, part in parts.items()}
        print(json.dumps({"page": text, **rows}))
        return
    PAGE.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
