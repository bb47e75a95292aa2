"""Sentences: three in a row that were seen before go, whatever stands around them.

Sentences end at a line's end and at a full stop, question or exclamation mark before white space.
Of every three in a row, words alone (folded), a hash is made; all occurrences but the first, by the
records' numbers and within a record by place, are cut. A record of which too little is left goes.
Source: Raffel et al. 2020, arXiv:1910.10683 (C4), as datatrove's sentence deduplication has it.
"""

import re
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
from .runs import DedupConfig, by_shard, load, number_records, read_texts, save
from .sketch import FACTOR, characters, fold_table, grams, mix, tokens

ROW = np.dtype([("key", "<u8"), ("number", "<u4"), ("at", "<u4")])
END = re.compile(rb"[.!?](?=\s)|\n|\xe3\x80\x82|\xef\xbc[\x81\x9f]")
"""Bytes that end a sentence: also the Chinese and Japanese marks."""
REASON, LITTLE_LEFT = "sentences seen before", "too little but sentences seen before"


class SentencesConfig(DedupConfig):
    """What is compared, and how much must be left."""

    sentences: int = Field(default=3, ge=1)
    """Sentences in a row that are compared [C4]."""
    min_sentences: int = Field(default=3, ge=0)
    """Sentences that must be left of a record of which some were cut [datatrove]."""
    min_tokens: int = Field(default=50, ge=0)
    """Words that must be left of it [datatrove]."""


class Reading(NamedTuple):
    """A shard's task."""

    shard: Path
    numbers: Path
    out: Path
    config: SentencesConfig


class Sentenced(NamedTuple):
    """The sentences of a record that have words."""

    number: int
    hashes: np.ndarray
    starts: np.ndarray
    """First byte of each: where the one before ends, so that what is cut leaves no hole."""
    ends: np.ndarray
    counts: np.ndarray
    """Words of each."""
    text: np.ndarray
    """The record's bytes."""


class Sentences:
    """Cut sentences that an earlier record, or this one earlier, says in the same order."""

    def __init__(self, config: SentencesConfig) -> None:
        self.config = config

    def rulings(self, shards: Sequence[Path], each: Each, scratch: Path) -> list[Path]:
        """See Survey. `scratch/report.json` tells figures."""
        config = self.config
        order = number_records(shards, each, scratch, config.priority)
        both = list(zip(shards, order.numbers, strict=True))
        tasks = [Reading(*one, scratch / f"run-{at:06}.npy", config) for at, one in enumerate(both)]
        runs = each(hash_sentences, tasks)
        found = each(later_ones, key_ranges(runs, each, scratch, config.memory_bytes))
        parts = [np.load(path, allow_pickle=False) for path in found]
        gone = np.concatenate([np.empty(0, ROW), *parts])
        tasks = [
            Reading(*one, scratch / f"rulings-{at:06}.parquet", config)
            for at, one in enumerate(both)
        ]
        ids = scratch / "ids.npy"  # of number_records
        starts = by_shard(order, gone, scratch, "gone")
        cut = each(rule, [(task, ids, path) for task, path in zip(tasks, starts, strict=True)])
        figures = {"records": len(order.ids), "spans": len(gone), "sentences_cut": sum(cut)}
        write_json(scratch / "report.json", figures)
        return [task.out for task in tasks]


def sentences_of(
    shard: Path, numbers: Path, wanted: np.ndarray | None = None
) -> Iterator[Sentenced]:
    """Yield the sentences of a shard's records, or of those wanted."""
    table = fold_table()
    for known, texts in read_texts(shard, numbers):
        chosen = range(len(known)) if wanted is None else np.flatnonzero(np.isin(known, wanted))
        for place in chosen:
            bounds = texts.starts[place : place + 2]
            text = texts.data[bounds[0] : bounds[1]]
            found = tokens(texts._replace(starts=bounds), table)
            if not len(found.hashes):
                continue
            stops = [match.end() for match in END.finditer(text.tobytes())]
            edges = np.array([0, *stops, len(text)])
            owner = np.searchsorted(edges, found.starts, side="right") - 1
            own, first, counts = np.unique(owner, return_index=True, return_counts=True)
            within = np.arange(len(owner)) - np.repeat(first, counts)
            mixed = mix(found.hashes + within.astype(np.uint64) * FACTOR)
            hashes = np.add.reduceat(mixed, first)
            yield Sentenced(int(known[place]), hashes, edges[own], edges[own + 1], counts, text)


def hash_sentences(task: Reading) -> Path:
    """The run of hashes of all sentences in a row of a shard."""
    parts = [np.empty(0, ROW)]
    for one in sentences_of(task.shard, task.numbers):
        keys = grams(one.hashes, task.config.sentences)
        rows = np.empty(len(keys), ROW)
        rows["key"], rows["number"], rows["at"] = keys, one.number, np.arange(len(keys))
        parts.append(rows)
    return write_run(task.out, np.concatenate(parts))


def later_ones(part: Slice) -> Path:
    """All occurrences but the first of the hashes of a range."""
    rows = read_slice(part)
    is_later = np.zeros(len(rows), bool)
    for low, high in groups(rows, "key"):
        is_later[low + 1 : high] = True
    return save(part.out, rows[is_later])


def rule(given: tuple[Reading, Path, Path]) -> int:
    """Write the rulings of a shard; return how many sentences are cut.

    given  the shard, the ids of all records, number and first sentence of what is cut
    """
    task, ids, gone = given[0], load(given[1]), load(given[2])
    rulings, cut = [], 0
    for one in sentences_of(task.shard, task.numbers, np.unique(gone["number"])):
        firsts = gone["at"][gone["number"] == one.number]
        is_gone = np.zeros(len(one.hashes), bool)
        for shift in range(task.config.sentences):
            is_gone[firsts + shift] = True
        cut += int(is_gone.sum())
        rulings.append((ids[one.number].decode(), ruling_of(one, is_gone, task.config)))
    write_rulings(task.out, rulings)
    return cut


def ruling_of(one: Sentenced, is_gone: np.ndarray, config: SentencesConfig) -> Ruling:
    """Cut runs of sentences, or drop the record if too little is left."""
    left, words = int((~is_gone).sum()), int(one.counts[~is_gone].sum())
    value = float(is_gone.sum())
    if left < config.min_sentences or words < config.min_tokens:
        return Ruling(LITTLE_LEFT, value, f"{left} sentences of {words} words would be left")
    steps = np.diff(np.concatenate([[0], is_gone.view(np.int8), [0]]))
    first, last = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1) - 1
    starts, ends = characters(one.text, one.starts[first]), characters(one.text, one.ends[last])
    edits = tuple(Edit(int(a), int(b), REASON) for a, b in zip(starts, ends, strict=True))
    return Ruling(value=value, edits=edits)
