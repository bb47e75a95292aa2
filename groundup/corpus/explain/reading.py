"""Reads a prepared corpus: its counters, its log of removals, its records.

Shards are read in row groups, and only the requested columns, so memory is small for a corpus of
any size.
"""

import json
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from groundup.core import Artifact, ConfigError, DataError
from groundup.documents import Record, Removal, from_batch

from ..split import COUNTERS, SPLITS

BATCH_ROWS = 4096
WITHDRAWN = "withdrawn"
"""The reason, and the step, of withdrawn records."""


class Kept(NamedTuple):
    """A record of the corpus and its split."""

    split: str
    record: Record


class Held(NamedTuple):
    """A record of the corpus without its text."""

    id: str
    source: str
    path: str
    metadata: dict[str, Any]


def counters(corpus: Artifact) -> dict[str, Any]:
    """Read the counters of a run.

    Raises ConfigError for an artifact that `prepare` did not create.
    """
    if corpus.kind != "corpus" or corpus.stage not in ("prepare", "withdraw"):
        raise ConfigError(
            f"{corpus.path} was made by the stage {corpus.stage}, which keeps no log of its steps; "
            "expected a corpus of `groundup prepare`."
        )
    return json.loads(corpus.file(COUNTERS).read_text(encoding="utf-8"))


def removals(corpus: Artifact, columns: Sequence[str] = Removal._fields) -> Iterator[Removal]:
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


def is_named(name: str, one: Any) -> bool:
    """Whether a name refers to this record: its id or a prefix of it, or its path with or without
    its source's name.

    >>> one = Held("d6a3f4afb29b", "notes", "a.md", {})
    >>> [is_named(name, one) for name in ("d6a3f4", "a.md", "notes/a.md", "d6a3", "b/a.md")]
    [True, True, True, False, False]
    """
    if name in (one.path, f"{one.source}/{one.path}"):
        return True
    return len(name) >= 6 and one.id.startswith(name)


def is_inside(name: str, one: Any) -> bool:
    """Whether a record is in the file of that path, with or without its source's name.

    >>> is_inside("a.jsonl", Held("1", "rows", "a.jsonl#7", {}))
    True
    """
    return one.path.startswith(f"{name}#") or f"{one.source}/{one.path}".startswith(f"{name}#")


def kept(corpus: Artifact, name: str) -> list[Kept]:
    """The corpus's records of that id or path; no other texts are read."""
    import pyarrow.parquet as parquet

    matches = []
    for shard in record_shards(corpus):
        with parquet.ParquetFile(corpus.file(shard)) as file:
            for group in range(file.num_row_groups):
                names = file.read_row_group(group, columns=["id", "source", "path"]).to_pylist()
                rows = [
                    n for n, row in enumerate(names) if is_named(name, Held(**row, metadata={}))
                ]
                if rows:
                    table = file.read_row_group(group).take(rows)
                    batches = table.combine_chunks().to_batches()
                    matches += [
                        Kept(shard.partition("/")[0], record)
                        for batch in batches
                        for record in from_batch(batch)
                    ]
    return matches


def records(corpus: Artifact, columns: Sequence[str] = Held._fields) -> Iterator[tuple[str, Held]]:
    """Yield the split of every record, and the record without its text.

    columns  the columns to read; the other fields are empty
    """
    import pyarrow.parquet as parquet

    empty = Held("", "", "", {})
    for name in record_shards(corpus):
        with parquet.ParquetFile(corpus.file(name)) as file:
            for batch in file.iter_batches(BATCH_ROWS, columns=list(columns)):
                for row in batch.to_pylist():
                    if "metadata" in row:
                        row["metadata"] = json.loads(row["metadata"])
                    yield name.partition("/")[0], empty._replace(**row)


def record_shards(corpus: Artifact) -> list[str]:
    """Names of the files of records, in the order of splits."""
    return [
        name
        for split in SPLITS
        for name in sorted(corpus.files)
        if name.startswith(f"{split}/") and name.endswith(".parquet")
    ]


def names_of(corpus: Artifact, ids: Collection[str]) -> dict[str, str]:
    """`SOURCE/PATH` of records by id, kept or dropped."""
    wanted, columns = set(ids), ("id", "source", "path")
    if not wanted:
        return {}
    dropped = (one for one in removals(corpus, columns) if one.id in wanted)
    present = (one for _, one in records(corpus, columns) if one.id in wanted)
    return {one.id: f"{one.source}/{one.path}" for rows in (dropped, present) for one in rows}


def counted(count: int, name: str) -> str:
    """A number and its noun, in the singular or plural.

    >>> counted(1, "document"), counted(1200, "document")
    ('1 document', '1,200 documents')
    """
    return f"{count:,} {name}{'s' * (count != 1)}"


def identities(corpus: Artifact) -> dict[str, str]:
    """The split of every record, by id."""
    return {one.id: split for split, one in records(corpus, ("id",))}


def only(found: Sequence[Any], name: str, corpus: Artifact) -> None:
    """Raise DataError if nothing was found."""
    if not found:
        raise DataError(
            f"{corpus.path} has no record {name!r}; expected an id (6 hex digits or more) or a "
            "path as `groundup corpus report` shows it, with or without its source's name."
        )
