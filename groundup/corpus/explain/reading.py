"""Reading a prepared corpus: its counters, its removals, one record through all of its steps.

Shards are read a group of rows at a time and only the columns that are asked for, so a corpus of
any size is explained in little memory.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from groundup.core import Artifact, ConfigError, DataError
from groundup.documents import Record, Removal

from ..split import SPLITS, read_records

BATCH_ROWS = 4096


class Kept(NamedTuple):
    """A record that got into the corpus."""

    split: str
    record: Record


def counters(corpus: Artifact) -> dict[str, Any]:
    """The counters of a run.

    Raises ConfigError for an artifact that `prepare` did not make.
    """
    if corpus.kind != "corpus" or corpus.stage not in ("prepare", "withdraw"):
        raise ConfigError(
            f"{corpus.path} was made by the stage {corpus.stage}, which keeps no log of its steps; "
            "expected a corpus of `groundup prepare`."
        )
    return json.loads(corpus.file("counters.json").read_text(encoding="utf-8"))


def removals(corpus: Artifact, columns: Sequence[str] = Removal._fields) -> Iterator[Removal]:
    """Yield all that was removed, in the order of phases and shards.

    columns  those to read; the others are empty in what comes back
    """
    import pyarrow.parquet as parquet

    empty = Removal("", "", "", "", "", "", None, "", 0, 0, 0, 0, "", "")
    for name in sorted(corpus.files):
        if name.startswith("removed/"):
            shard = parquet.ParquetFile(corpus.file(name))
            for batch in shard.iter_batches(BATCH_ROWS, columns=list(columns)):
                for row in batch.to_pylist():
                    yield empty._replace(**row)


def is_named(name: str, id: str, path: str) -> bool:
    """Whether a person means this record: by its id or the beginning of it, or by its path.

    >>> is_named("d6a3f4", "d6a3f4afb29b", "a.md"), is_named("a.md", "d6a3", "a.md")
    (True, True)
    """
    return path == name or (len(name) >= 6 and id.startswith(name))


def kept(corpus: Artifact, name: str) -> list[Kept]:
    """The records of that id or path which are in the corpus."""
    return [
        Kept(split, record)
        for split in SPLITS
        for record in read_records(corpus, split)
        if is_named(name, record.id, record.path)
    ]


def identities(corpus: Artifact) -> dict[str, str]:
    """The split of every record, by its id."""
    import pyarrow.parquet as parquet

    found: dict[str, str] = {}
    for name in sorted(corpus.files):
        split = name.partition("/")[0]
        if split in SPLITS and name.endswith(".parquet"):
            table = parquet.read_table(corpus.file(name), columns=["id"])
            found |= dict.fromkeys(table["id"].to_pylist(), split)
    return found


def only(found: Sequence[Any], name: str, corpus: Artifact) -> None:
    """Raise DataError unless something was found."""
    if not found:
        raise DataError(
            f"{corpus.path} never saw a record {name!r}; give an id (6 hex digits or more) or a "
            "path as `groundup corpus report` shows them."
        )
