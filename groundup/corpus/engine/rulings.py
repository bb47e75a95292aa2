"""Files of step results: a global step's results for the records of one shard, as Parquet.

A record without a row passes. Rows are (id, reason, value, details, edits, metadata, made); the
last three are JSON, because few records have any. `made` is a text, its encoded source map and its
spans.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from groundup.core import replacing
from groundup.documents import Edit, Made, Ruling, SourceMap, Span, arrow, plain_json

COLUMNS = ("id", "reason", "value", "details", "edits", "metadata", "made")


def write_rulings(path: Path, rulings: Iterable[tuple[str, Ruling]]) -> Path:
    """Write the results for a shard atomically; returns the path."""
    import pyarrow.parquet as parquet

    rows = [
        (name, result.reason, result.value, result.details, plain_json(result.edits),
         plain_json(result.metadata), made_json(result.made))
        for name, result in rulings
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
    """Results of a file by record id."""
    import pyarrow.parquet as parquet

    results = {}
    for row in parquet.read_table(path).to_pylist():
        edits = tuple(Edit(*edit) for edit in json.loads(row["edits"]))
        results[row["id"]] = Ruling(
            row["reason"], row["value"], row["details"], edits, json.loads(row["metadata"]),
            made=made_of(row["made"]),
        )  # fmt: skip
    return results


def made_json(made: Made | None) -> str:
    """An extracted text as JSON; empty for None."""
    return plain_json([made.map.text, made.map.to_numbers(), made.spans]) if made else ""


def made_of(line: str) -> Made | None:
    """Inverse of `_extracted_text_json`."""
    if not line:
        return None
    text, numbers, spans = json.loads(line)
    return Made(SourceMap.from_numbers(text, numbers), tuple(Span(*span) for span in spans))
