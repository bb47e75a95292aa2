"""Exact duplicates: records with the same text, or with the same id.

Same text ignores white space and Unicode normalisation: the text in normal form C, with white space
collapsed. Texts and ids are hashed to 128 bits; of equal hashes one record is kept. Workers write a
sorted run of hashes per shard and compare one key range of all runs at a time (see storage.py), so
memory is bounded for any number of records. Empty records are not duplicates.
"""

import hashlib
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from groundup.core import Config
from groundup.documents import StepResult

from ..engine.executors import Executor
from ..engine.shards import write_step_results
from .clusters import make_decision, write_decision
from .sketch import unpack_strings
from .storage import (
    DedupConfig,
    KeyRange,
    equal_groups,
    key_ranges,
    number_records,
    read_range,
    read_shard_texts,
    save_array,
    write_run,
)

HASH_ROW = np.dtype([("key", "<u8"), ("rest", "<u8"), ("number", "<u8")])
REASON = "exact duplicate"
DUPLICATE_ID = StepResult("duplicate id", details="a record of an earlier shard has it")


class ExactConfig(DedupConfig):
    """See DedupConfig."""


class ExactDedup:
    """Drop exact duplicates; kept records get the size of their cluster."""

    def __init__(self, config: ExactConfig) -> None:
        self.config = config

    def rulings(self, shards: Sequence[Path], executor: Executor, scratch: Path) -> list[Path]:
        """See `GlobalStep`. `scratch/report.json` lists the largest clusters."""
        order = number_records(shards, executor, scratch, self.config.priority)
        tasks = [
            (shard, numbers, scratch / f"hashes-{at:06}.npy")
            for at, (shard, numbers) in enumerate(zip(shards, order.numbers, strict=True))
        ]
        runs = executor(_hash_texts, tasks)
        pairs = _all_equal_pairs(runs, executor, scratch, self.config.memory_bytes)
        kept, dropped = pairs.astype(np.uint32).T
        decided = make_decision(dropped, kept, np.full(len(dropped), np.nan))
        return write_decision(scratch, order, decided, REASON, "exact_copies")


class UniqueIdsConfig(Config):
    """Memory limit."""

    memory_bytes: int = 64 * 2**20
    """Memory of a task, 96 bytes per id. Own choice."""


class UniqueIds:
    """The engine's step that drops each record whose id occurs in an earlier shard; within a shard
    the reading job does so."""

    def __init__(self, config: UniqueIdsConfig) -> None:
        self.config = config

    def rulings(self, shards: Sequence[Path], executor: Executor, scratch: Path) -> Sequence[Path]:
        """See `GlobalStep`; the files are nearly always empty."""
        tasks = [
            (shard, number, scratch / f"{number:05d}.npy") for number, shard in enumerate(shards)
        ]
        runs = executor(_hash_ids, tasks)
        later = _all_equal_pairs(runs, executor, scratch, self.config.memory_bytes)[:, 1]
        return [
            write_step_results(
                scratch / f"{number:05d}.parquet",
                _duplicate_ids(shard, later[later >> 32 == number] & 0xFFFFFFFF),
            )
            for number, shard in enumerate(shards)
        ]


def content_hash(text: str) -> bytes:
    """128-bit hash of a text's words; empty if there are none.

    >>> content_hash("one  two\\n") == content_hash("one two"), content_hash(" ")
    (True, b'')
    """
    words = " ".join(unicodedata.normalize("NFC", text).split())
    return _hash(words.encode("utf-8", "replace")) if words else b""


def _hash(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def _hash_texts(task: tuple[Path, Path, Path]) -> Path:
    """Write the sorted run of a shard's content hashes."""
    shard, file, out = task
    hashes: list[bytes] = []
    numbers: list[int] = []
    for own, texts in read_shard_texts(shard, file):
        for number, text in zip(own.tolist(), unpack_strings(texts), strict=True):
            if content := content_hash(text):
                hashes.append(content)
                numbers.append(number)
    return _write_hashes(out, hashes, np.array(numbers, np.uint64))


def _hash_ids(task: tuple[Path, int, Path]) -> Path:
    """Write the sorted run of a shard's id hashes, numbered by shard (high half) and row."""
    shard, number, out = task
    hashes = [_hash(id.encode()) for id in _read_ids(shard)]
    return _write_hashes(out, hashes, (number << 32) + np.arange(len(hashes), dtype=np.uint64))


def _write_hashes(out: Path, hashes: Sequence[bytes], numbers: np.ndarray) -> Path:
    both = np.frombuffer(b"".join(hashes), "<u8").reshape(-1, 2)
    rows = np.empty(len(both), HASH_ROW)
    rows["key"], rows["rest"], rows["number"] = both[:, 0], both[:, 1], numbers
    return write_run(out, rows)


def _all_equal_pairs(
    runs: Sequence[Path], executor: Executor, scratch: Path, memory_bytes: int
) -> np.ndarray:
    """(first, later) numbers of equal hashes, int64 (n, 2)."""
    ranges = key_ranges(runs, executor, scratch, memory_bytes)
    parts = [np.load(path, allow_pickle=False) for path in executor(_equal_pairs, ranges)]
    return np.concatenate([np.zeros((0, 2), np.int64), *parts])


def _equal_pairs(part: KeyRange) -> Path:
    """Write the (first, later) numbers of every group of equal hashes in a key range."""
    rows = read_range(part)
    numbers, equal = rows["number"].astype(np.int64), equal_groups(rows, "key", "rest")
    later = [numbers[low + 1 : high] for low, high in equal]
    first = np.repeat(numbers[equal[:, 0]], equal[:, 1] - equal[:, 0] - 1)
    return save_array(part.out, np.stack([first, np.concatenate([numbers[:0], *later])], 1))


def _duplicate_ids(shard: Path, rows: np.ndarray) -> Iterator[tuple[str, StepResult]]:
    if len(rows):
        ids = _read_ids(shard)
        yield from ((ids[row], DUPLICATE_ID) for row in np.sort(rows).tolist())


def _read_ids(shard: Path) -> list[str]:
    import pyarrow.parquet as parquet

    return parquet.read_table(shard, columns=["id"])["id"].to_pylist()
