"""Files of step results: a global step's results for the records of one shard, as Parquet.

A record without a row passes. Rows are (id, reason, value, details, edits, metadata, made); the
last three are JSON, because few records have any. `made` is a text, its encoded source map and its
spans.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from groundup.core import atomic_replace
from groundup.documents import (
    ExtractedText,
    SourceMap,
    StepResult,
    TextEdit,
    TextSpan,
    canonical_json,
    import_pyarrow,
)

COLUMNS = ("id", "reason", "value", "details", "edits", "metadata", "made")


def write_step_results(path: Path, results: Iterable[tuple[str, StepResult]]) -> Path:
    """Write the results for a shard atomically; returns the path."""
    import pyarrow.parquet as parquet

    rows = [
        (name, result.reason, result.value, result.details, canonical_json(result.edits),
         canonical_json(result.metadata), _extracted_text_json(result.extracted))
        for name, result in results
    ]  # fmt: skip
    pa = import_pyarrow()
    kinds = [(name, pa.float64() if name == "value" else pa.string()) for name in COLUMNS]
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for row in rows:
        for name, value in zip(COLUMNS, row, strict=True):
            columns[name].append(value)
    with atomic_replace(path) as temporary:
        parquet.write_table(pa.table(columns, schema=pa.schema(kinds)), temporary)
    return path


def read_step_results(path: Path) -> dict[str, StepResult]:
    """Results of a file by record id."""
    import pyarrow.parquet as parquet

    results = {}
    for row in parquet.read_table(path).to_pylist():
        edits = tuple(TextEdit(*edit) for edit in json.loads(row["edits"]))
        results[row["id"]] = StepResult(
            row["reason"], row["value"], row["details"], edits, json.loads(row["metadata"]),
            extracted=_parse_extracted_text(row["made"]),
        )  # fmt: skip
    return results


def _extracted_text_json(made: ExtractedText | None) -> str:
    """An extracted text as JSON; empty for None."""
    return canonical_json([made.map.text, made.map.to_numbers(), made.spans]) if made else ""


def _parse_extracted_text(line: str) -> ExtractedText | None:
    """Inverse of `_extracted_text_json`."""
    if not line:
        return None
    text, numbers, spans = json.loads(line)
    return ExtractedText(
        SourceMap.from_numbers(text, numbers), tuple(TextSpan(*span) for span in spans)
    )
