"""Parquet: one record per row, read by row groups, only the necessary columns.

Files of one folder may have different columns; a file without the text column is rejected with a
list of its columns. The map is to the bytes of the row's value.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ..document import Record, SourceMap, record_id
from .files import BYTE_KINDS, make_record
from .reader import (
    FileReader,
    InputSplit,
    ReaderConfig,
    Refused,
    Rejected,
    data_record,
    licence_fields,
    open_split,
    select_with_licence,
    split_by_records,
    text_record,
)

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.parquet

BATCH_ROWS = 256
"""Rows in memory at a time."""


class ParquetConfig(ReaderConfig):
    """Which columns of a row are a record."""

    text_column: str = "text"
    """Column of the text (a string) or of the document's bytes."""
    id_column: str = ""
    """Column whose value determines the record's id instead of its position in the file."""
    metadata_columns: tuple[str, ...] = (
        "url", "title", "author", "date", "language", "licence", "license", "source", "path",
    )  # fmt: skip
    """Columns stored as metadata where present. Licences are always read, as `licence`, from
    `license`, `spdx`, `metadata.license` and the like."""
    kind: str = "text"
    """Kind of the records; html, pdf and epub stay bytes."""


class Parquet(FileReader):
    """The reader `parquet`."""

    ENDINGS = (".parquet",)

    def __init__(self, config: ParquetConfig) -> None:
        self.config = config

    def split(self, root: Path, file_split: InputSplit) -> list[InputSplit]:
        """Row ranges of complete row groups."""
        with open_split(root, file_split.path) as file:
            groups = _row_groups(_open_parquet(file))
        return split_by_records(file_split.path, groups, self.config.part_bytes)

    def records(
        self, file: IO[bytes], input_split: InputSplit, source: str
    ) -> Iterator[Record | Rejected]:
        """Yield the records of the rows in the range; a damaged row group is one reject."""
        parquet = _open_parquet(file)
        names, first = self._columns(parquet), 0
        for index, (rows, _) in enumerate(_row_groups(parquet)):
            number, first = first, first + rows
            if not input_split.start <= number < input_split.end:
                continue
            try:
                batches = parquet.iter_batches(BATCH_ROWS, [index], names, use_threads=False)
                for batch in batches:
                    for row in batch.to_pylist():
                        yield self._read_row(row, f"{input_split.path}#{number}", source)
                        number += 1
            except (OSError, ValueError) as error:  # includes Arrow's errors
                path = f"{input_split.path}#{number}"
                yield Rejected(path, "broken file", f"row group {index}: {error}"[:300])

    def _columns(self, file: "pyarrow.parquet.ParquetFile") -> list[str]:
        """The columns to read; Refused if the text column is missing or not text."""
        import pyarrow as pa

        config, schema = self.config, file.schema_arrow
        if config.text_column not in schema.names:
            has = ", ".join(schema.names[:20])
            raise Refused("no text column", f"expected {config.text_column}; it has {has}")
        kind = schema.field(config.text_column).type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        allowed = (pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary())
        if kind not in allowed:
            raise Refused("no text column", f"{config.text_column} is {kind}")
        configured = (config.text_column, config.id_column, *config.metadata_columns)
        names = [name for name in dict.fromkeys(configured) if name in schema.names]
        fields = {column.name: dict.fromkeys(_struct_field_names(column.type)) for column in schema}
        return list(dict.fromkeys([*names, *(name for name, _ in licence_fields(fields))]))

    def _read_row(self, row: dict[str, Any], path: str, source: str) -> Record | Rejected:
        config = self.config
        value = row[config.text_column]
        if value is None:
            return Rejected(path, "no text", f"{config.text_column} is null")
        if len(value) > config.max_bytes:
            return Rejected(path, "too large", f"{len(value)}; {config.max_bytes} at most")
        metadata = select_with_licence(
            {name: row.get(name) for name in config.metadata_columns}, row
        )
        name = row.get(config.id_column) if config.id_column else None
        metadata |= {"id": name} if name is not None else {}
        record = self.make_record(value, path, source, metadata)
        if name is None or isinstance(record, Rejected):
            return record
        return replace(record, id=record_id(source, ascii(name)))

    def make_record(
        self, value: str | bytes, path: str, source: str, metadata: dict[str, Any]
    ) -> Record | Rejected:
        """The record of one value."""
        kind = self.config.kind
        if kind in BYTE_KINDS:
            data = value if isinstance(value, bytes) else value.encode("utf-8", "replace")
            return data_record(source, path, kind, data, metadata)
        if isinstance(value, bytes):
            return make_record(source, path, kind, value, metadata, self.config.repair)
        return text_record(source, path, kind, SourceMap.identity(value), metadata)


def _open_parquet(file: Any) -> "pyarrow.parquet.ParquetFile":
    """Open a Parquet file by its footer; Refused if it is none."""
    import pyarrow.parquet as parquet

    try:
        return parquet.ParquetFile(file)
    except (OSError, ValueError) as error:
        raise Refused("broken file", str(error)[:200]) from None


def _struct_field_names(kind: "pyarrow.DataType") -> list[str]:
    import pyarrow as pa

    count = kind.num_fields if pa.types.is_struct(kind) else 0
    return [kind.field(at).name for at in range(count)]


def _row_groups(file: "pyarrow.parquet.ParquetFile") -> list[tuple[int, int]]:
    """Rows and bytes of every row group."""
    groups = (file.metadata.row_group(at) for at in range(file.metadata.num_row_groups))
    return [(group.num_rows, group.total_byte_size) for group in groups]
