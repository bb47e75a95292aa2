"""Deduplication against an earlier corpus: near-duplicates of records in its index are dropped.

The index of signatures is built once from the earlier corpus's shards and takes 620 bytes per
record of any length. It holds no texts, so the Jaccard similarity is estimated by the share of
equal minima, with a standard error of √(J(1 - J) / 112): 0.04 at 0.7. Records are independent, so
this is a step, not a global step.

    INDEX/bands.npy     (key, number), sorted by key      INDEX/minima.npy    signatures by number
    INDEX/ids.npy       ids by number                     INDEX/index.json    the settings
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import Field

from groundup.core import Config, ConfigError, DataError, InputPath, atomic_replace, write_json
from groundup.documents import PASS, Record, StepResult

from ..engine.executors import Executor
from .minhash import BAND_ROW, MinHashConfig, SketchTask, band_keys, sketch_tasks, write_bands
from .sketch import fold_table, minhash_signatures, pack_strings
from .storage import (
    key_ranges,
    load_array,
    number_records,
    read_range,
    read_shard_texts,
    save_array,
)

SIGNATURE_FIELDS = ("ngram", "bands", "rows", "fold_digits", "seed")
"""Fields of MinHashConfig that determine the signatures."""
REASON = "near-duplicate of an earlier corpus"


class EarlierCorpusConfig(Config):
    """The indexes and the threshold."""

    index: tuple[InputPath, ...] = Field(min_length=1)
    """Folders written by `build_signature_index`; all are searched."""
    threshold: float = Field(default=0.8, gt=0, le=1)
    """Minimum estimated similarity of a duplicate. Our own: two standard errors above
    dedup.minhash's 0.7, since it is not verified."""


class _SignatureIndex:
    def __init__(self, path: Path) -> None:
        if not (path / "index.json").is_file():
            raise DataError(
                f"{path} is not an index of signatures; create one with build_signature_index."
            )
        self.name = path.name
        values = json.loads((path / "index.json").read_text(encoding="utf-8"))
        self.settings = MinHashConfig(**values)
        self.bands, self.minima, self.ids = (
            load_array(path / f"{name}.npy") for name in ("bands", "minima", "ids")
        )
        self.keys = self.bands["key"]
        self.table = fold_table(True, self.settings.fold_digits)

    def nearest(self, text: str) -> tuple[float, str]:
        """Estimated similarity and id of the most similar record with an equal band; 0 if none."""
        own = self.settings
        sketch = minhash_signatures(
            pack_strings([text]), self.table, own.ngram, own.bands * own.rows, own.seed
        )
        if not sketch.shingles[0]:
            return 0.0, ""
        keys = band_keys(sketch.minima, own.bands)[0]
        lows, highs = (np.searchsorted(self.keys, keys, side) for side in ("left", "right"))
        spans = [
            self.bands["number"][a : min(b, a + 1_000)] for a, b in zip(lows, highs, strict=True)
        ]
        numbers = np.unique(np.concatenate(spans))
        if not len(numbers):
            return 0.0, ""
        shares = (self.minima[numbers] == sketch.minima[0]).mean(axis=1)
        best = int(shares.argmax())
        return float(shares[best]), self.ids[int(numbers[best])].decode()


class EarlierCorpus:
    """Drop near-duplicates of an earlier corpus."""

    def __init__(self, config: EarlierCorpusConfig) -> None:
        self.config = config
        self.indexes = [_SignatureIndex(path) for path in config.index]

    def __call__(self, record: Record) -> StepResult:
        for index in self.indexes:
            similarity, name = index.nearest(record.text)
            if similarity >= self.config.threshold:
                return StepResult(REASON, similarity, f"{name} of {index.name}")
        return PASS


def build_signature_index(
    config: MinHashConfig, shards: Sequence[Path], executor: Executor, scratch: Path, out: Path
) -> Path:
    """Write the index of a corpus's shards in bounded memory.

    Raises ConfigError if `out` is a non-empty folder without an index.
    """
    if out.exists() and not (out / "index.json").is_file() and any(out.iterdir()):
        raise ConfigError(f"{out} is not empty and not an index; choose a new folder.")
    out.mkdir(parents=True, exist_ok=True)
    order = number_records(shards, executor, scratch, config.priority)
    runs = executor(write_bands, sketch_tasks(shards, order, scratch, "bands", config))
    total = sum(len(load_array(run)) for run in runs)
    with atomic_replace(out / "bands.npy") as temporary:
        bands = np.lib.format.open_memmap(temporary, "w+", BAND_ROW, (total,))
        at = 0
        for part in key_ranges(runs, executor, scratch, config.memory_bytes):
            rows = read_range(part)
            bands[at : at + len(rows)] = rows
            at += len(rows)
        bands.flush()
    shape = (len(order.ids), config.bands * config.rows)
    with atomic_replace(out / "minima.npy") as temporary:
        minima = np.lib.format.open_memmap(temporary, "w+", np.uint32, shape)
        tasks = sketch_tasks(shards, order, scratch, "minima", config)
        for task, path in zip(tasks, executor(_write_signatures, tasks), strict=True):
            minima[load_array(task.numbers)] = load_array(path)
        minima.flush()
    save_array(out / "ids.npy", order.ids)
    write_json(out / "index.json", {name: config.to_dict()[name] for name in SIGNATURE_FIELDS})
    return out


def _write_signatures(task: SketchTask) -> Path:
    config, table = task.config, fold_table(True, task.config.fold_digits)
    hashes = config.bands * config.rows
    parts = [np.zeros((0, hashes), np.uint32)]
    for _, texts in read_shard_texts(task.shard, task.numbers):
        parts.append(minhash_signatures(texts, table, config.ngram, hashes, config.seed).minima)
    return save_array(task.out, np.concatenate(parts))
