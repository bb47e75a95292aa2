"""Exact substrings: what stands in a record word for word in another, or earlier in itself, goes.

Of every `min_tokens` // 2 tokens in a row a hash is made, and of so many hashes in a row the least
is kept (winnowing) that each repetition of `min_tokens` tokens keeps one on both sides. Equal ones
are compared token by token, to both sides as far as they agree; if that reaches `min_tokens`, the
later occurrence is cut. Chance thus decides nothing: each cut is a proven repetition. Of many
occurrences each is compared with the first and with the one before, so a heap costs no square.
Source: Lee et al. 2022, arXiv:2107.06499 (50 tokens; suffix arrays there); Schleimer et al. 2003
(winnowing).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import Field

from groundup.core import write_json
from groundup.documents import Edit, Ruling

from ..engine.rulings import write_rulings
from ..engine.survey import Each
from .ranges import Slice, groups, key_ranges, read_slice, write_run
from .runs import (
    Arrays,
    DedupConfig,
    Reader,
    by_shard,
    load,
    number_records,
    read_texts,
    save,
    write_arrays,
)
from .sketch import Tokens, characters, fold_table, grams, tokens

ROW = np.dtype([("key", "<u8"), ("number", "<u4"), ("at", "<u4")])
MATCH = np.dtype([("number", "<u4"), ("at", "<u4"), ("of", "<u4"), ("of_at", "<u4")])
LEFT = 1_000
"""Tokens before a match that are compared at most, so that no text costs its square."""
REASON, EMPTIED = "substring seen before", "nothing but substrings seen before"


class SubstringsConfig(DedupConfig):
    """What counts as a repetition."""

    min_tokens: int = Field(default=50, ge=8)
    """Shortest repetition, tokens (words; characters in scripts without spaces) [Lee et al. 2022,
    whose tokens are a tokenizer's]."""
    fold: bool = False
    """Whether case and accents are told apart (as by default) or not. Punctuation and white space
    between the words never count."""
    min_left: int = Field(default=5, ge=0)
    """Tokens that must be left of a record; with fewer it is dropped. Our own: dedup.minhash takes
    no shorter text either."""


class Winnowing(NamedTuple):
    """A shard's first and second task."""

    shard: Path
    numbers: Path
    out: Path
    config: SubstringsConfig


class Matching(NamedTuple):
    """A shard's third task."""

    shard: Path
    numbers: Path
    matches: Path
    sources: Arrays
    ids: Path
    out: Path
    config: SubstringsConfig


class Interval(NamedTuple):
    """A repetition: tokens of the later occurrence, and whose it repeats."""

    start: int
    end: int
    of: int


class Substrings:
    """Cut from every record what an earlier one, or it itself earlier, says word for word."""

    def __init__(self, config: SubstringsConfig) -> None:
        self.config = config

    def rulings(self, shards: Sequence[Path], each: Each, scratch: Path) -> list[Path]:
        """See Survey. `scratch/report.json` tells figures."""
        config = self.config
        order = number_records(shards, each, scratch, config.priority)
        both = list(zip(shards, order.numbers, strict=True))
        runs = each(
            winnowed,
            [
                Winnowing(*one, scratch / f"prints-{at:06}.npy", config)
                for at, one in enumerate(both)
            ],
        )
        found = each(equal_prints, key_ranges(runs, each, scratch, config.memory_bytes))
        parts = [np.load(path, allow_pickle=False) for path in found]
        matches = np.unique(np.concatenate(parts)) if parts else np.empty(0, MATCH)
        numbers = np.unique(np.concatenate([matches["number"], matches["of"]]))
        wanted = save(scratch / "wanted.npy", numbers)
        tasks = [
            Winnowing(*one, scratch / f"tokens-{at:06}.npy", config) for at, one in enumerate(both)
        ]
        files = each(token_file, [(task, wanted) for task in tasks])
        sources = Arrays.gathered(files, [task.out for task in tasks], scratch)
        ids = scratch / "ids.npy"  # of number_records
        tasks = [
            Matching(*one, path, sources, ids, scratch / f"rulings-{at:06}.parquet", config)
            for at, (one, path) in enumerate(
                zip(both, by_shard(order, matches, scratch, "matches"), strict=True)
            )
        ]
        cut = each(rule, tasks)
        figures = {"records": len(order.ids), "matches": len(matches), "tokens_cut": sum(cut)}
        write_json(scratch / "report.json", figures)
        return [task.out for task in tasks]


def winnow(hashes: np.ndarray, window: int) -> np.ndarray:
    """Places of the least (first) of every `window` hashes in a row, each once, rising.

    >>> winnow(np.array([5, 3, 9, 4, 8]), 3).tolist()
    [1, 3]
    """
    if len(hashes) < window:
        return np.zeros(0, np.int64)
    views = np.lib.stride_tricks.sliding_window_view(hashes, window)
    return np.unique(views.argmin(axis=1) + np.arange(len(views)))


def winnowed(task: Winnowing) -> Path:
    """The run of a shard's winnowed hashes."""
    length = task.config.min_tokens // 2
    window = task.config.min_tokens - length + 1
    parts = [np.empty(0, ROW)]
    for number, own, _ in records_of(task.shard, task.numbers, task.config):
        hashes = grams(own.hashes, length)
        places = winnow(hashes, window)
        rows = np.empty(len(places), ROW)
        rows["key"], rows["number"], rows["at"] = hashes[places], number, places
        parts.append(rows)
    return write_run(task.out, np.concatenate(parts))


def records_of(
    shard: Path, numbers: Path, config: SubstringsConfig, wanted: np.ndarray | None = None
) -> Iterator[tuple[int, Tokens, np.ndarray]]:
    """Yield number, tokens and bytes of a shard's records, or of those wanted."""
    table = fold_table(config.fold, False)
    for known, texts in read_texts(shard, numbers):
        chosen = range(len(known)) if wanted is None else np.flatnonzero(np.isin(known, wanted))
        for place in chosen:
            bounds = texts.starts[place : place + 2]
            yield (
                int(known[place]),
                tokens(texts._replace(starts=bounds), table),
                texts.data[bounds[0] : bounds[1]],
            )


def equal_prints(part: Slice) -> Path:
    """Later occurrences of a range's hashes, each with the first one and the one before."""
    rows = read_slice(part)
    found = groups(rows, "key")
    if not len(found):
        return save(part.out, np.empty(0, MATCH))
    sizes = found[:, 1] - found[:, 0]
    first = np.repeat(found[:, 0], sizes - 1)
    later = (
        first + 1 + np.arange(len(first)) - np.repeat(np.cumsum(sizes - 1) - sizes + 1, sizes - 1)
    )
    both = np.empty(2 * len(later), MATCH)
    both["number"], both["at"] = (np.tile(rows[name][later], 2) for name in ("number", "at"))
    source = np.concatenate([first, later - 1])
    both["of"], both["of_at"] = rows["number"][source], rows["at"][source]
    return save(part.out, np.unique(both))


def token_file(given: tuple[Winnowing, Path]) -> Path:
    """Write the token hashes of a shard's wanted records, whose numbers are in the second file."""
    task, wanted = given[0], load(given[1])
    found = records_of(task.shard, task.numbers, task.config, wanted)
    return write_arrays(task.out, ((number, own.hashes) for number, own, _ in found))


def agreeing(a: np.ndarray, b: np.ndarray) -> int:
    """How many first items of two rows are equal."""
    most, at, block = min(len(a), len(b)), 0, 64
    a, b = a[:most], b[:most]
    while at < most:
        differs = a[at : at + block] != b[at : at + block]
        if differs.any():
            return at + int(differs.argmax())
        at, block = min(at + block, most), 4 * block
    return most


def repetitions(
    number: int, own: np.ndarray, matches: np.ndarray, sources: Reader, min_tokens: int
) -> list[Interval]:
    """Proven repetitions in a record, from the matches of its hashes."""
    found, covered, reached = [], dict[tuple[int, int], int](), 0
    for _, at, of, of_at in matches.tolist():
        if at < reached - min_tokens or at < covered.get((of, at - of_at), 0):
            continue  # well inside a proven repetition: what reaches further has a match further on
        other = own if of == number else sources(of)
        left = agreeing(own[:at][: -LEFT - 1 : -1], other[:of_at][: -LEFT - 1 : -1])
        start, end = at - left, at + agreeing(own[at:], other[of_at:])
        covered[(of, at - of_at)] = end
        if end - start < min_tokens:
            continue
        if of == number:  # of a short period that comes again and again one passage stays
            start = max(start, of_at - left + min_tokens)
        if start < end:
            found.append(Interval(start, end, of))
            reached = max(reached, end)
    return found


def united(found: Sequence[Interval]) -> list[Interval]:
    """Repetitions without overlaps, in rising order."""
    whole: list[Interval] = []
    for one in sorted(found):
        if whole and one.start <= whole[-1].end:
            whole[-1] = whole[-1]._replace(end=max(whole[-1].end, one.end))
        else:
            whole.append(one)
    return whole


def rule(task: Matching) -> int:
    """Write the rulings of a shard; return the tokens that are cut."""
    config, matches, ids = task.config, load(task.matches), load(task.ids)
    sources, cut, rulings = task.sources.reader(), 0, []
    for number, own, text in records_of(
        task.shard, task.numbers, config, np.unique(matches["number"])
    ):
        rows = np.sort(matches[matches["number"] == number], order=("at", "of", "of_at"))
        found = united(repetitions(number, own.hashes, rows, sources, config.min_tokens))
        if not found:
            continue
        gone = sum(one.end - one.start for one in found)
        cut += gone
        details = f"first of {ids[found[0].of].decode()}"
        name = ids[number].decode()
        if len(own.hashes) - gone < config.min_left:
            rulings.append((name, Ruling(EMPTIED, float(gone), details)))
            continue
        starts = characters(text, own.starts[[one.start for one in found]])
        ends = characters(text, own.ends[[one.end - 1 for one in found]])
        edits = tuple(Edit(int(a), int(b), REASON) for a, b in zip(starts, ends, strict=True))
        rulings.append((name, Ruling(value=float(gone), details=details, edits=edits)))
    write_rulings(task.out, rulings)
    return cut
