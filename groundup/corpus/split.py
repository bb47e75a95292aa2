"""Splits: which documents are for training and which for validation and test.

A document's split depends on its path and a seed alone, so that adding or removing files does not
move the others. Files are never divided, because passages of one file leak into each other.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

from groundup.core import Artifact, ConfigError, DataError
from groundup.documents import Record

from .engine.shards import read_shard

Split = Literal["train", "validation", "test"]
COUNTERS_FILE = "counters.json"
SPLITS: tuple[Split, ...] = get_args(Split)


def hash_fraction(path: str, seed: int) -> float:
    """A number in [0, 1) that depends on the path and the seed.

    >>> hash_fraction("guide.md", 0) == hash_fraction("guide.md", 0) != hash_fraction("guide.md", 1)
    True
    """
    digest = hashlib.sha256(f"{seed}\0{path}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def split_paths(
    paths: Sequence[str], validation_share: float, test_share: float, seed: int = 0
) -> dict[str, Split]:
    """Assign a split to every path.

    A path whose number is below `test_share` is test, below the sum of both shares validation, and
    train otherwise. In a small collection a split may be empty; if there are enough paths it then
    gets the nearest one, test first. Train keeps at least one.

    Raises ConfigError if the shares leave nothing to train on.
    """
    if test_share + validation_share >= 1:
        raise ConfigError(
            f"validation_share={validation_share} and test_share={test_share} leave nothing to "
            "train on; their sum must be below 1."
        )
    order = sorted(set(paths), key=lambda path: (hash_fraction(path, seed), path))
    tests = sum(hash_fraction(path, seed) < test_share for path in order)
    held_out = sum(hash_fraction(path, seed) < test_share + validation_share for path in order)
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


def read_split(artifact: Artifact, split: str) -> Iterator[Record]:
    """Yield a split's documents in the order of writing, one in memory at a time.

    Their paths start with the source's name if there are several sources. Raises ConfigError for an
    unknown split and DataError naming a damaged line.
    """
    if split not in SPLITS:
        raise ConfigError(f"A corpus has the splits {', '.join(SPLITS)}; got {split!r}.")
    if COUNTERS_FILE not in artifact.files:  # written by `corpus` until version 3
        return _read_lines(artifact.file(f"{split}.jsonl"))
    records = read_split_records(artifact, split)
    if len(json.loads(artifact.file(COUNTERS_FILE).read_text())["sources"]) < 2:
        return records
    return (replace(one, path=f"{one.source}/{one.path}") for one in records)


def read_split_records(artifact: Artifact, split: str) -> Iterator[Record]:
    """Yield the records of a split, in the order of shards."""
    for name in sorted(artifact.files):
        if name.startswith(f"{split}/"):
            yield from read_shard(artifact.file(name))


def _read_lines(path: Path) -> Iterator[Record]:
    """Yield the documents of a file of JSON lines; DataError names a damaged line."""
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield Record.from_json(line)
            except DataError as error:
                raise DataError(f"{path}, line {number}: {error}") from None
