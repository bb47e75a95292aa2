"""Files of rulings: what a survey says about the records of one shard, as Parquet.

A record without a row passes. Rows are (id, reason, value, details, edits, metadata, made) with the
last three as JSON, because few records have any; `made` is a text, its map in numbers, its spans.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from groundup.core import replacing
from groundup.documents import Edit, Made, Ruling, SourceMap, Span, arrow, plain_json

COLUMNS = ("id", "reason", "value", "details", "edits", "metadata", "made")


def write_rulings(path: Path, rulings: Iterable[tuple[str, Ruling]]) -> Path:
    """Write the rulings about a shard, atomically; returns the path."""
    import pyarrow.parquet as parquet

    rows = [
        (name, one.reason, one.value, one.details, plain_json(one.edits), plain_json(one.metadata),
         made_json(one.made))
        for name, one in rulings
    ]  # fmt: skip
    pa = arrow()
    kinds = [(name, pa.float64() if name == "value" else pa.string()) for name in COLUMNS]
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for row in rows:
        for name, value in zip(COLUMNS, row, strict=True):
            columns[name].append(value)
    with replacing(path) as temporary:
        parquet.write_table(pa.table(columns, schema=pa.schema(kinds)), temporary)
    return path


def read_rulings(path: Path) -> dict[str, Ruling]:
    """The rulings of a file by record id."""
    import pyarrow.parquet as parquet

    found = {}
    for row in parquet.read_table(path).to_pylist():
        edits = tuple(Edit(*edit) for edit in json.loads(row["edits"]))
        found[row["id"]] = Ruling(
            row["reason"], row["value"], row["details"], edits, json.loads(row["metadata"]),
            made=made_of(row["made"]),
        )  # fmt: skip
    return found


def made_json(made: Made | None) -> str:
    """A text that a survey made, as JSON; empty for none."""
    return plain_json([made.map.text, made.map.to_numbers(), made.spans]) if made else ""


def made_of(line: str) -> Made | None:
    """Undo `made_json`."""
    if not line:
        return None
    text, numbers, spans = json.loads(line)
    return Made(SourceMap.from_numbers(text, numbers), tuple(Span(*span) for span in spans))
