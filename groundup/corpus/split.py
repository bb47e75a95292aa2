"""Splits: which documents train the model and which are kept to measure it.

A document's place is decided by its path and a seed alone, so that adding or removing files leaves
every other file where it was. Whole files are split, never passages: two halves of one file know
too much of each other. A split is read back the same whether `corpus` wrote it as lines of JSON or
`prepare` as Parquet shards.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, get_args

from groundup.core import Artifact, ConfigError, DataError
from groundup.documents import Document, Heading, Record

from .engine.shards import read_shard

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


def place(path: str, seed: int) -> float:
    """A number in [0, 1) that is the path's own under this seed.

    >>> place("guide.md", 0) == place("guide.md", 0) != place("guide.md", 1)
    True
    """
    digest = hashlib.sha256(f"{seed}\0{path}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def split_paths(
    paths: Sequence[str], validation_share: float, test_share: float, seed: int = 0
) -> dict[str, Split]:
    """The split of every path.

    A path below `test_share` on its own number is test, below the sum validation, else train. In a
    small collection a split may come out empty; then, if there are enough paths, it gets the
    nearest one, test first. Train keeps at least one.

    Raises ConfigError if the shares leave nothing to train on.
    """
    if test_share + validation_share >= 1:
        raise ConfigError(
            f"validation_share={validation_share} and test_share={test_share} leave nothing to "
            "train on; give shares whose sum is below 1."
        )
    order = sorted(set(paths), key=lambda path: (place(path, seed), path))
    tests = sum(place(path, seed) < test_share for path in order)
    held_out = sum(place(path, seed) < test_share + validation_share for path in order)
    if test_share > 0 and tests == 0 and len(order) > 1:
        tests, held_out = 1, max(held_out, 1)
    if validation_share > 0 and held_out == tests and len(order) > tests + 1:
        held_out = tests + 1
    held_out = min(held_out, max(len(order) - 1, 0))
    tests = min(tests, held_out)
    splits: dict[str, Split] = {}
    for number, path in enumerate(order):
        splits[path] = "test" if number < tests else "validation" if number < held_out else "train"
    return splits


def read_split(artifact: Artifact, split: str) -> Iterator[Document]:
    """Yield a split's documents in the order in which they were written, one in memory at a time.

    Raises ConfigError for a split of another name and DataError naming a line that is damaged.
    """
    if split not in SPLITS:
        raise ConfigError(f"A corpus has the splits {', '.join(SPLITS)}; got {split!r}.")
    if f"{split}.jsonl" in artifact.files:
        yield from read_documents(artifact.file(f"{split}.jsonl"))
        return
    told = json.loads(artifact.file("counters.json").read_text(encoding="utf-8"))
    for record in read_records(artifact, split):
        yield as_document(record, has_sources=len(told["sources"]) > 1)


def read_records(artifact: Artifact, split: str) -> Iterator[Record]:
    """Yield the records of a split of a prepared corpus, in the order of shards."""
    for name in sorted(artifact.files):
        if name.startswith(f"{split}/"):
            yield from read_shard(artifact.file(name))


def as_document(record: Record, has_sources: bool) -> Document:
    """A record as a document; its path begins with its source's name if there are several."""
    return Document(
        id=record.id,
        path=f"{record.source}/{record.path}" if has_sources else record.path,
        text=record.text,
        kind=record.kind,
        sha256=record.metadata.get("sha256", ""),
        map=record.map,
        headings=tuple(
            Heading(int(span.value) if span.value.isdigit() else 1, span.start, span.end)
            for span in record.spans
            if span.kind == "heading"
        ),
        metadata=record.metadata,
    )


def read_documents(path: Path) -> Iterator[Document]:
    """Yield the documents of a file of lines; DataError names a line that is damaged."""
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield Document.from_json(line)
            except DataError as error:
                raise DataError(f"{path}, line {number}: {error}") from None
