"""Reads a prepared corpus: its counters, its log of removals, its records.

Shards are read in row groups, and only the requested columns, so memory is small for a corpus of
any size.
"""

import json
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from groundup.core import Artifact, ConfigError, DataError
from groundup.documents import Record, Removal, from_batch

from ..split import COUNTERS_FILE, SPLITS

BATCH_ROWS = 4096
WITHDRAW_STAGE, WITHDRAWN_REASON = "withdraw", "withdrawn"
"""The stage; the reason, and the step, of withdrawn records."""


class SplitRecord(NamedTuple):
    """A record of the corpus and its split."""

    split: str
    record: Record


class RecordInfo(NamedTuple):
    """A record of the corpus without its text."""

    id: str
    source: str
    path: str
    metadata: dict[str, Any]


def read_counters(corpus: Artifact) -> dict[str, Any]:
    """Read the counters of a run.

    Raises ConfigError for an artifact that is no corpus, or one of an earlier version.
    """
    if corpus.kind != "corpus" or COUNTERS_FILE not in corpus.files:
        raise ConfigError(
            f"{corpus.path} has no log of its steps; expected a corpus: make it again with "
            "`groundup corpus` or `groundup prepare`."
        )
    return json.loads(corpus.file(COUNTERS_FILE).read_text(encoding="utf-8"))


def read_removals(corpus: Artifact, columns: Sequence[str] = Removal._fields) -> Iterator[Removal]:
    """Yield the rows of the log of removals, in the order of phases and shards.

    columns  the columns to read; the other fields are empty
    """
    import pyarrow.parquet as parquet

    empty = Removal("", "", "", "", "", "", None, "", 0, 0, 0, 0, "", "")
    for name in sorted(corpus.files):
        if name.startswith("removed/"):
            shard = parquet.ParquetFile(corpus.file(name))
            for batch in shard.iter_batches(BATCH_ROWS, columns=list(columns)):
                for row in batch.to_pylist():
                    yield empty._replace(**row)


def matches_name(name: str, one: Any) -> bool:
    """Whether a name refers to this record: its id or a prefix of it, or its path with or without
    its source's name.

    >>> one = RecordInfo("d6a3f4afb29b", "notes", "a.md", {})
    >>> [matches_name(name, one) for name in ("d6a3f4", "a.md", "notes/a.md", "d6a3", "b/a.md")]
    [True, True, True, False, False]
    """
    if name in (one.path, f"{one.source}/{one.path}"):
        return True
    return len(name) >= 6 and one.id.startswith(name)


def is_in_file(name: str, one: Any) -> bool:
    """Whether a record is in the file of that path, with or without its source's name.

    >>> is_in_file("a.jsonl", RecordInfo("1", "rows", "a.jsonl#7", {}))
    True
    """
    return one.path.startswith(f"{name}#") or f"{one.source}/{one.path}".startswith(f"{name}#")


def find_records(corpus: Artifact, name: str) -> list[SplitRecord]:
    """The corpus's records of that id or path; no other texts are read."""
    import pyarrow.parquet as parquet

    matches = []
    for shard in record_shards(corpus):
        with parquet.ParquetFile(corpus.file(shard)) as file:
            for group in range(file.num_row_groups):
                names = file.read_row_group(group, columns=["id", "source", "path"]).to_pylist()
                infos = (RecordInfo(**row, metadata={}) for row in names)
                rows = [at for at, info in enumerate(infos) if matches_name(name, info)]
                table = file.read_row_group(group).take(rows) if rows else None
                for batch in table.combine_chunks().to_batches() if table else ():
                    split = shard.partition("/")[0]
                    matches += [SplitRecord(split, record) for record in from_batch(batch)]
    return matches


def read_record_infos(
    corpus: Artifact, columns: Sequence[str] = RecordInfo._fields
) -> Iterator[tuple[str, RecordInfo]]:
    """Yield the split of every record, and the record without its text.

    columns  the columns to read; the other fields are empty
    """
    import pyarrow.parquet as parquet

    empty = RecordInfo("", "", "", {})
    for name in record_shards(corpus):
        with parquet.ParquetFile(corpus.file(name)) as file:
            for batch in file.iter_batches(BATCH_ROWS, columns=list(columns)):
                for row in batch.to_pylist():
                    if "metadata" in row:
                        row["metadata"] = json.loads(row["metadata"])
                    yield name.partition("/")[0], empty._replace(**row)


def record_shards(corpus: Artifact) -> list[str]:
    """Names of the files of records, in the order of splits."""
    names = [name for name in sorted(corpus.files) if name.endswith(".parquet")]
    return [name for split in SPLITS for name in names if name.startswith(f"{split}/")]


def record_names(corpus: Artifact, ids: Collection[str]) -> dict[str, str]:
    """`SOURCE/PATH` of records by id, kept or dropped."""
    wanted, columns = set(ids), ("id", "source", "path")
    if not wanted:
        return {}
    dropped = (one for one in read_removals(corpus, columns) if one.id in wanted)
    present = (one for _, one in read_record_infos(corpus, columns) if one.id in wanted)
    return {one.id: f"{one.source}/{one.path}" for rows in (dropped, present) for one in rows}


def format_count(count: int, name: str) -> str:
    """A number and its noun, in the singular or plural.

    >>> format_count(1, "document"), format_count(1200, "document")
    ('1 document', '1,200 documents')
    """
    return f"{count:,} {name}{'s' * (count != 1)}"


def require_found(found: Sequence[Any], name: str, corpus: Artifact) -> None:
    """Raise DataError if nothing was found."""
    if not found:
        raise DataError(
            f"{corpus.path} has no record {name!r}; expected an id (6 hex digits or more) or a "
            "path as `groundup corpus report` shows it, with or without its source's name."
        )
