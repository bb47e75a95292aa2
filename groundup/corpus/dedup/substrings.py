"""Exact substrings: cuts passages that occur word for word in an earlier record or earlier in the
same.

Every n-gram of `min_tokens` // 2 tokens is hashed, and the minimum of each window of hashes is kept
(winnowing), with a window such that every repetition of `min_tokens` tokens keeps an equal hash on
both sides. Equal hashes are extended token by token in both directions; if the match reaches
`min_tokens`, the later occurrence is cut. So each cut is a verified repetition. Each occurrence is
compared with the first and with the preceding one only, which avoids quadratic cost.
Source: Lee et al. 2022, arXiv:2107.06499 (50 tokens; suffix arrays there); Schleimer et al. 2003
(winnowing).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import Field

from groundup.core import write_json
from groundup.documents import StepResult, TextEdit

from ..engine.executors import Executor
from ..engine.shards import write_step_results
from .sketch import HashedTokens, char_offsets, fold_table, hash_tokens, ngram_hashes
from .storage import (
    ArrayReader,
    ArrayStore,
    DedupConfig,
    KeyRange,
    equal_groups,
    key_ranges,
    load_array,
    number_records,
    read_range,
    read_shard_texts,
    save_array,
    split_by_shard,
    write_arrays,
    write_run,
)

HASH_ROW = np.dtype([("key", "<u8"), ("number", "<u4"), ("at", "<u4")])
MATCH = np.dtype([("number", "<u4"), ("at", "<u4"), ("of", "<u4"), ("of_at", "<u4")])
MAX_LEFT_TOKENS = 1_000  # Maximum extension to the left of a match, which avoids quadratic cost
REASON, EMPTIED = "substring seen before", "nothing but substrings seen before"


class SubstringsConfig(DedupConfig):
    """What counts as a repetition, and how much must be left."""

    min_tokens: int = Field(default=50, ge=8)
    """Minimum length of a repetition in tokens (words; characters in scripts without spaces) [Lee
    et al. 2022, with a tokenizer's tokens]."""
    fold: bool = False
    """Ignore case and accents. Punctuation and white space between words are always ignored."""
    min_left: int = Field(default=5, ge=0)
    """Drop the record if fewer tokens are left. Our own: the shortest text of dedup.minhash."""


class _WinnowTask(NamedTuple):
    """First and second task of a shard: winnowed hashes, tokens."""

    shard: Path
    numbers: Path
    out: Path
    config: SubstringsConfig


class _VerifyTask(NamedTuple):
    """Third task of a shard: verification and results."""

    shard: Path
    numbers: Path
    matches: Path
    sources: ArrayStore
    ids: Path
    out: Path
    config: SubstringsConfig


class _RepeatedSpan(NamedTuple):
    start: int
    end: int
    of: int


class Substrings:
    """Cut from every record the passages that occur in an earlier record or earlier in itself."""

    def __init__(self, config: SubstringsConfig) -> None:
        self.config = config

    def decide(self, shards: Sequence[Path], executor: Executor, scratch: Path) -> list[Path]:
        """See `GlobalStep`. `scratch/report.json` has counts."""
        config = self.config
        order = number_records(shards, executor, scratch, config.priority)
        both = list(zip(shards, order.numbers, strict=True))
        tasks = [
            _WinnowTask(*pair, scratch / f"prints-{at:06}.npy", config)
            for at, pair in enumerate(both)
        ]
        runs = executor(_write_winnowed_hashes, tasks)
        paths = executor(_match_hashes, key_ranges(runs, executor, scratch, config.memory_bytes))
        parts = [np.load(path, allow_pickle=False) for path in paths]
        matches = np.unique(np.concatenate(parts)) if parts else np.empty(0, MATCH)
        numbers = np.unique(np.concatenate([matches["number"], matches["of"]]))
        wanted = save_array(scratch / "wanted.npy", numbers)
        tasks = [
            _WinnowTask(*pair, scratch / f"tokens-{at:06}.npy", config)
            for at, pair in enumerate(both)
        ]
        files = executor(_write_tokens, [(task, wanted) for task in tasks])
        sources = ArrayStore.from_files(files, [task.out for task in tasks], scratch)
        ids = scratch / "ids.npy"  # of number_records
        split = split_by_shard(order, matches, scratch, "matches")
        tasks = [
            _VerifyTask(*pair, path, sources, ids, scratch / f"results-{at:06}.parquet", config)
            for at, (pair, path) in enumerate(zip(both, split, strict=True))
        ]
        cut = executor(_write_results, tasks)
        figures = {"records": len(order.ids), "matches": len(matches), "tokens_cut": sum(cut)}
        write_json(scratch / "report.json", figures)
        return [task.out for task in tasks]


def _winnow(hashes: np.ndarray, window: int) -> np.ndarray:
    """Distinct indices, ascending, of the (first) minimum of every window of hashes.

    >>> _winnow(np.array([5, 3, 9, 4, 8]), 3).tolist()
    [1, 3]
    """
    if len(hashes) < window:
        return np.zeros(0, np.int64)
    views = np.lib.stride_tricks.sliding_window_view(hashes, window)
    return np.unique(views.argmin(axis=1) + np.arange(len(views)))


def _write_winnowed_hashes(task: _WinnowTask) -> Path:
    length = task.config.min_tokens // 2
    window = task.config.min_tokens - length + 1
    parts = [np.empty(0, HASH_ROW)]
    for number, own, _ in _read_tokens(task.shard, task.numbers, task.config):
        hashes = ngram_hashes(own.hashes, length)
        chosen = _winnow(hashes, window)
        rows = np.empty(len(chosen), HASH_ROW)
        rows["key"], rows["number"], rows["at"] = hashes[chosen], number, chosen
        parts.append(rows)
    return write_run(task.out, np.concatenate(parts))


def _read_tokens(
    shard: Path, numbers: Path, config: SubstringsConfig, wanted: np.ndarray | None = None
) -> Iterator[tuple[int, HashedTokens, np.ndarray]]:
    table = fold_table(config.fold, False)
    for own, texts in read_shard_texts(shard, numbers):
        chosen = range(len(own)) if wanted is None else np.flatnonzero(np.isin(own, wanted))
        for row in chosen:
            bounds = texts.starts[row : row + 2]
            tokens = hash_tokens(texts._replace(starts=bounds), table)
            yield int(own[row]), tokens, texts.data[bounds[0] : bounds[1]]


def _match_hashes(part: KeyRange) -> Path:
    """Write later occurrences of a range's hashes, each with the first and the preceding one."""
    rows = read_range(part)
    equal = equal_groups(rows, "key")
    if not len(equal):
        return save_array(part.out, np.empty(0, MATCH))
    sizes = equal[:, 1] - equal[:, 0]
    first = np.repeat(equal[:, 0], sizes - 1)
    before = np.repeat(np.cumsum(sizes - 1) - sizes + 1, sizes - 1)
    later = first + 1 + np.arange(len(first)) - before
    both = np.empty(2 * len(later), MATCH)
    both["number"], both["at"] = (np.tile(rows[name][later], 2) for name in ("number", "at"))
    source = np.concatenate([first, later - 1])
    both["of"], both["of_at"] = rows["number"][source], rows["at"][source]
    return save_array(part.out, np.unique(both))


def _write_tokens(task_and_numbers: tuple[_WinnowTask, Path]) -> Path:
    task, wanted = task_and_numbers[0], load_array(task_and_numbers[1])
    records = _read_tokens(task.shard, task.numbers, task.config, wanted)
    return write_arrays(task.out, ((number, own.hashes) for number, own, _ in records))


def _prefix_length(a: np.ndarray, b: np.ndarray) -> int:
    most, at, block = min(len(a), len(b)), 0, 64
    a, b = a[:most], b[:most]
    while at < most:
        differs = a[at : at + block] != b[at : at + block]
        if differs.any():
            return at + int(differs.argmax())
        at, block = min(at + block, most), 4 * block
    return most


def _verify_repetitions(
    number: int, own: np.ndarray, matches: np.ndarray, sources: ArrayReader, min_tokens: int
) -> list[_RepeatedSpan]:
    found, covered, reached = [], dict[tuple[int, int], int](), 0
    for _, at, of, of_at in matches.tolist():
        if at < reached - min_tokens or at < covered.get((of, at - of_at), 0):
            continue  # inside a verified repetition; a longer one has a later match
        other = own if of == number else sources(of)
        left = _prefix_length(
            own[:at][: -MAX_LEFT_TOKENS - 1 : -1], other[:of_at][: -MAX_LEFT_TOKENS - 1 : -1]
        )
        start, end = at - left, at + _prefix_length(own[at:], other[of_at:])
        covered[(of, at - of_at)] = end
        if end - start < min_tokens:
            continue
        if of == number:  # of a repeating short period, one passage is kept
            start = max(start, of_at - left + min_tokens)
        if start < end:
            found.append(_RepeatedSpan(start, end, of))
            reached = max(reached, end)
    return found


def _merge_overlaps(found: Sequence[_RepeatedSpan]) -> list[_RepeatedSpan]:
    merged: list[_RepeatedSpan] = []
    for interval in sorted(found):
        if merged and interval.start <= merged[-1].end:
            merged[-1] = merged[-1]._replace(end=max(merged[-1].end, interval.end))
        else:
            merged.append(interval)
    return merged


def _write_results(task: _VerifyTask) -> int:
    config, matches, ids = task.config, load_array(task.matches), load_array(task.ids)
    sources, cut, results = task.sources.reader(), 0, []
    for number, own, text in _read_tokens(
        task.shard, task.numbers, config, np.unique(matches["number"])
    ):
        rows = np.sort(matches[matches["number"] == number], order=("at", "of", "of_at"))
        repeats = _merge_overlaps(
            _verify_repetitions(number, own.hashes, rows, sources, config.min_tokens)
        )
        if not repeats:
            continue
        length = sum(repeat.end - repeat.start for repeat in repeats)
        cut += length
        details = f"first of {ids[repeats[0].of].decode()}"
        name = ids[number].decode()
        if len(own.hashes) - length < config.min_left:
            results.append((name, StepResult(EMPTIED, float(length), details)))
            continue
        starts = char_offsets(text, own.starts[[repeat.start for repeat in repeats]])
        ends = char_offsets(text, own.ends[[repeat.end - 1 for repeat in repeats]])
        edits = tuple(TextEdit(int(a), int(b), REASON) for a, b in zip(starts, ends, strict=True))
        results.append((name, StepResult(value=float(length), details=details, edits=edits)))
    write_step_results(task.out, results)
    return cut
