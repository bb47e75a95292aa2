"""Exact duplicates: records with the same text, or with the same id.

Same text ignores white space and Unicode normalisation: the text in normal form C, with white space
collapsed. Texts and ids are hashed to 128 bits; of equal hashes one record is kept. Workers write a
sorted run of hashes per shard and compare one key range of all runs at a time (see storage.py), so
memory is bounded for any number of records. Empty records are not duplicates.

Clusters: from pairs of equal or similar records to the records kept, and a report of the largest.
Of two records, the one with the smaller number is kept. Star clusters drop a record only if it is
itself similar to a kept one, so similarity does not chain; connected components keep one record per
component, as other tools do.
"""

import hashlib
import math
import unicodedata
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from groundup.core import Config, write_json
from groundup.documents import StepResult

from ..engine.executors import Executor
from ..engine.shards import write_step_results
from .sketch import unpack_strings
from .storage import (
    DedupConfig,
    KeyRange,
    RecordOrder,
    equal_groups,
    key_ranges,
    load_array,
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

    def decide(self, shards: Sequence[Path], executor: Executor, scratch: Path) -> list[Path]:
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

    def decide(self, shards: Sequence[Path], executor: Executor, scratch: Path) -> Sequence[Path]:
        """See `GlobalStep`; the files are nearly always empty."""
        tasks = [
            (shard, number, scratch / f"{number:05d}.npy") for number, shard in enumerate(shards)
        ]
        runs = executor(_hash_ids, tasks)
        later = _all_equal_pairs(runs, executor, scratch, self.config.memory_bytes)[:, 1]
        paths = []
        for number, shard in enumerate(shards):
            rows = np.sort(later[later >> 32 == number] & 0xFFFFFFFF).tolist()
            ids = _read_ids(shard) if rows else []
            results = ((ids[row], DUPLICATE_ID) for row in rows)
            paths.append(write_step_results(scratch / f"{number:05d}.parquet", results))
        return paths


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
    rows = read_range(part)
    numbers, equal = rows["number"].astype(np.int64), equal_groups(rows, "key", "rest")
    later = [numbers[low + 1 : high] for low, high in equal]
    first = np.repeat(numbers[equal[:, 0]], equal[:, 1] - equal[:, 0] - 1)
    return save_array(part.out, np.stack([first, np.concatenate([numbers[:0], *later])], 1))


def _read_ids(shard: Path) -> list[str]:
    import pyarrow.parquet as parquet

    return parquet.read_table(shard, columns=["id"])["id"].to_pylist()


MAX_CLUSTERS_SHOWN = 20
MAX_DROPPED_SHOWN = 5
PAIRS_PER_BATCH = 65_536  # Pairs converted to Python integers at a time
MAX_ROUNDS = 64
"""Vectorised rounds before the remaining pairs are processed one by one. Own choice: copies of
copies need only a few."""
UNDECIDED, KEPT, DROPPED = 0, 1, 2


class DedupDecision(NamedTuple):
    """Records dropped, the record kept instead of each, and cluster sizes; 24 bytes per dropped
    record."""

    dropped: np.ndarray
    """Numbers of the dropped records, ascending."""
    kept: np.ndarray
    """Number of the record kept instead of each."""
    similarity: np.ndarray
    """Similarity of the two; NaN if unknown."""
    survivors: np.ndarray
    """Numbers of records kept instead of others, ascending."""
    sizes: np.ndarray
    """Cluster size of each, itself included."""


def make_decision(dropped: np.ndarray, kept: np.ndarray, value: np.ndarray) -> DedupDecision:
    """Sort the dropped records and count the clusters."""
    order = np.argsort(dropped)
    survivors, counts = np.unique(kept, return_counts=True)
    return DedupDecision(dropped[order], kept[order], value[order], survivors, counts + 1)


def resolve_stars(pairs: np.ndarray, values: np.ndarray) -> DedupDecision:
    """Star clusters: drop each record that is similar to a kept one before it.

    pairs  (n, 2) smaller and larger number of each pair

    >>> resolve_stars(np.array([[0, 1], [1, 2]]), np.array([0.9, 0.8])).dropped
    array([1])
    """
    order = np.lexsort((pairs[:, 0], pairs[:, 1]))
    first, second = pairs[order].T
    state = np.full(int(pairs.max(initial=0)) + 1, KEPT, np.uint8)
    state[second] = UNDECIDED
    left = _decide_records(first, second, state)
    for low in range(0, len(left), PAIRS_PER_BATCH):  # ascending, so earlier records are decided
        rows = left[low : low + PAIRS_PER_BATCH]
        for earlier, later in zip(first[rows].tolist(), second[rows].tolist(), strict=True):
            if state[later] != DROPPED and state[earlier] != DROPPED:
                state[later] = DROPPED
    dropped = np.flatnonzero((state[second] == DROPPED) & (state[first] != DROPPED))
    used = order[dropped[np.unique(second[dropped], return_index=True)[1]]]
    return make_decision(pairs[used, 1], pairs[used, 0], values[used])


def _decide_records(first: np.ndarray, second: np.ndarray, state: np.ndarray) -> np.ndarray:
    """Decide records in `state`, all pairs at once per round; returns rows of undecided pairs.

    A record is dropped if a similar record before it is kept, and kept if all of those are dropped.
    A round decides every record whose neighbours are decided; only long chains need many rounds.
    """
    left = np.arange(len(first))
    for _ in range(MAX_ROUNDS):
        if not len(left):
            break
        state[second[left[state[first[left]] == KEPT]]] = DROPPED
        left = left[state[second[left]] == UNDECIDED]
        waits = second[left[state[first[left]] == UNDECIDED]]
        state[second[left]] = KEPT
        state[waits] = UNDECIDED
        left = left[state[second[left]] == UNDECIDED]
    return left


def resolve_components(pairs: np.ndarray, values: np.ndarray) -> DedupDecision:
    """Connected components by union-find: keep one record of each.

    >>> resolve_components(np.array([[0, 1], [1, 2]]), np.array([0.9, 0.8])).kept
    array([0, 0])
    """
    numbers, local = np.unique(pairs, return_inverse=True)
    parents = array("q", range(len(numbers)))

    def root(place: int) -> int:
        while (above := parents[place]) != place:
            parents[place] = parents[above]
            place = above
        return place

    edges = local.reshape(-1, 2)
    for low in range(0, len(edges), PAIRS_PER_BATCH):
        for first, second in edges[low : low + PAIRS_PER_BATCH].tolist():
            a, b = root(first), root(second)
            parents[max(a, b)] = min(a, b)
    roots = np.array([root(place) for place in range(len(numbers))], np.int64)
    gone = np.flatnonzero(roots != np.arange(len(numbers)))
    value = np.full(len(numbers), np.nan)
    is_direct = edges[:, 0] == roots[edges[:, 1]]
    value[edges[is_direct, 1]] = values[is_direct]
    return make_decision(numbers[gone], numbers[roots[gone]], value[gone])


def write_decision(
    scratch: Path,
    order: RecordOrder,
    decision: DedupDecision,
    reason: str,
    field: str,
    figures: Mapping[str, Any] = {},
) -> list[Path]:
    """Write the results of each shard, and `report.json`; returns the paths of the results.

    reason   reason of dropped records
    field    metadata key of a kept record's cluster size, for reweighting
    figures  further numbers of the report
    """
    _write_cluster_report(scratch / "report.json", order, decision, figures)
    paths = []
    for at, numbers in enumerate(order.numbers):
        results = _shard_results(decision, order, numbers, reason, field)
        paths.append(write_step_results(scratch / f"results-{at:06}.parquet", results))
    return paths


def _shard_results(
    decision: DedupDecision, order: RecordOrder, numbers: Path, reason: str, field: str
) -> list[tuple[str, StepResult]]:
    own, results = np.array(load_array(numbers)), []
    gone, stays = _find_sorted(decision.dropped, own), _find_sorted(decision.survivors, own)
    for row in np.flatnonzero((gone >= 0) | (stays >= 0)).tolist():
        if (at := gone[row]) >= 0:
            value = float(decision.similarity[at])
            details = f"{order.id(decision.kept[at])} is kept"
            result = StepResult(reason, None if math.isnan(value) else value, details)
        else:
            result = StepResult(metadata={field: int(decision.sizes[stays[row]])})
        results.append((order.id(own[row]), result))
    return results


def _find_sorted(ascending: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Index of each number in an ascending array; -1 if absent."""
    index = np.searchsorted(ascending, wanted)
    is_present = index < len(ascending)
    is_present[is_present] = ascending[index[is_present]] == wanted[is_present]
    return np.where(is_present, index, -1)


def _write_cluster_report(
    path: Path, order: RecordOrder, decision: DedupDecision, numbers: Mapping[str, Any]
) -> None:
    ranked = np.lexsort((decision.survivors, -decision.sizes))[:MAX_CLUSTERS_SHOWN]
    sizes, counts = np.unique(decision.sizes, return_counts=True)
    largest = []
    for kept, size in zip(decision.survivors[ranked], decision.sizes[ranked], strict=True):
        some = decision.dropped[decision.kept == kept][:MAX_DROPPED_SHOWN]
        dropped = [order.id(number) for number in some]
        largest.append({"kept": order.id(kept), "size": int(size), "dropped": dropped})
    by_size = {str(size): n for size, n in zip(sizes.tolist(), counts.tolist(), strict=True)}
    totals = {"records": len(order.ids), "dropped": len(decision.dropped)}
    totals |= {"clusters": len(decision.survivors), **numbers}
    write_json(path, totals | {"sizes": by_size, "largest": largest})
