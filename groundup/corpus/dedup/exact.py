"""Exact duplicates: records with the same text, ignoring white space and Unicode normalisation.

The text in normal form C, with white space collapsed, is hashed to 128 bits; of equal hashes one
record is kept. Empty records are not duplicates.
"""

import hashlib
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..engine.global_step import Executor
from ..engine.step_results import write_step_results
from .clusters import make_decision, shard_results, write_cluster_report
from .numbering import DedupConfig, number_records, read_shard_texts, save_array
from .sketch import unpack_strings
from .sorted_runs import KeyRange, equal_groups, key_ranges, read_range, write_run

HASH_ROW = np.dtype([("key", "<u8"), ("rest", "<u8"), ("number", "<u4")])
REASON = "exact duplicate"


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
        runs = executor(_hash_shard, tasks)
        slices = key_ranges(runs, executor, scratch, self.config.memory_bytes)
        parts = [np.load(path, allow_pickle=False) for path in executor(_equal_pairs, slices)]
        kept, dropped = np.concatenate([np.zeros((0, 2), np.uint32), *parts]).T
        decided = make_decision(dropped, kept, np.full(len(dropped), np.nan))
        write_cluster_report(scratch / "report.json", order, decided, {})
        return [
            write_step_results(
                scratch / f"rulings-{at:06}.parquet",
                shard_results(decided, order, numbers, REASON, "exact_copies"),
            )
            for at, numbers in enumerate(order.numbers)
        ]


def content_hash(text: str) -> bytes:
    """128-bit hash of a text's words; empty if there are none.

    >>> content_hash("one  two\\n") == content_hash("one two"), content_hash(" ")
    (True, b'')
    """
    words = " ".join(unicodedata.normalize("NFC", text).split())
    return (
        hashlib.blake2b(words.encode("utf-8", "replace"), digest_size=16).digest() if words else b""
    )


def _hash_shard(task: tuple[Path, Path, Path]) -> Path:
    """Write the sorted run of a shard's content hashes."""
    shard, numbers, out = task
    rows = []
    for own, texts in read_shard_texts(shard, numbers):
        for number, text in zip(own.tolist(), unpack_strings(texts), strict=True):
            if content := content_hash(text):
                rows.append((*np.frombuffer(content, "<u8").tolist(), number))
    return write_run(out, np.array(rows, HASH_ROW))


def _equal_pairs(part: KeyRange) -> Path:
    """Write (kept, duplicate) pairs of every group of equal hashes in a key range."""
    rows = read_range(part)
    numbers, equal = rows["number"], equal_groups(rows, "key", "rest")
    later = [numbers[low + 1 : high] for low, high in equal]
    first = np.repeat(numbers[equal[:, 0]], equal[:, 1] - equal[:, 0] - 1)
    return save_array(part.out, np.stack([first, np.concatenate([numbers[:0], *later])], 1))
