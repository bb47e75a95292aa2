"""Exact duplicates: records whose text is the same, white space and Unicode's spellings aside.

The text in normal form C with every run of white space one blank is hashed to 128 bits; of equal
hashes one record stays. An empty record is nobody's duplicate. Knows nothing of what is alike.
"""

import hashlib
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..engine.rulings import write_rulings
from ..engine.survey import Each
from .clusters import rulings_of, verdicts, write_report
from .ranges import Slice, groups, key_ranges, read_slice, write_run
from .runs import DedupConfig, number_records, read_texts, save
from .sketch import strings

ROW = np.dtype([("key", "<u8"), ("rest", "<u8"), ("number", "<u4")])
REASON = "exact duplicate"


class ExactConfig(DedupConfig):
    """See DedupConfig."""


class Exact:
    """Drop every record whose text another one has; survivors learn how many they stand for."""

    def __init__(self, config: ExactConfig) -> None:
        self.config = config

    def rulings(self, shards: Sequence[Path], each: Each, scratch: Path) -> list[Path]:
        """See Survey. `scratch/report.json` tells the largest clusters."""
        order = number_records(shards, each, scratch, self.config.priority)
        tasks = [
            (shard, numbers, scratch / f"hashes-{at:06}.npy")
            for at, (shard, numbers) in enumerate(zip(shards, order.numbers, strict=True))
        ]
        runs = each(hash_shard, tasks)
        slices = key_ranges(runs, each, scratch, self.config.memory_bytes)
        parts = [np.load(path, allow_pickle=False) for path in each(equal_pairs, slices)]
        kept, gone = np.concatenate([np.zeros((0, 2), np.uint32), *parts]).T
        found = verdicts(gone, kept, np.full(len(gone), np.nan))
        write_report(scratch / "report.json", order, found, {})
        return [
            write_rulings(
                scratch / f"rulings-{at:06}.parquet",
                rulings_of(found, order, numbers, REASON, "exact_copies"),
            )
            for at, numbers in enumerate(order.numbers)
        ]


def content_hash(text: str) -> bytes:
    """128 bits of a text's content; empty for a text without any.

    >>> content_hash("one  two\\n") == content_hash("one two"), content_hash(" ")
    (True, b'')
    """
    words = " ".join(unicodedata.normalize("NFC", text).split())
    return (
        hashlib.blake2b(words.encode("utf-8", "replace"), digest_size=16).digest() if words else b""
    )


def hash_shard(task: tuple[Path, Path, Path]) -> Path:
    """The run of a shard's content hashes."""
    shard, numbers, out = task
    rows = []
    for known, texts in read_texts(shard, numbers):
        for number, text in zip(known.tolist(), strings(texts), strict=True):
            if found := content_hash(text):
                rows.append((*np.frombuffer(found, "<u8").tolist(), number))
    return write_run(out, np.array(rows, ROW))


def equal_pairs(part: Slice) -> Path:
    """(survivor, duplicate) of every group of equal hashes in a range."""
    rows = read_slice(part)
    numbers, found = rows["number"], groups(rows, "key", "rest")
    later = [numbers[low + 1 : high] for low, high in found]
    first = np.repeat(numbers[found[:, 0]], found[:, 1] - found[:, 0] - 1)
    return save(part.out, np.stack([first, np.concatenate([numbers[:0], *later])], 1))
