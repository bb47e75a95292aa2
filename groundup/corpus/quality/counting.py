"""Count the runs of words of a corpus, and smooth the counts into an n-gram model.

Texts are counted in chunks; each chunk's different runs, sorted, are merged into the whole's. What
does not fit into the memory that the configuration allows is forgotten, rarest first, and told.
The formulas are in ngram.py, which knows nothing of training; this file knows nothing of scoring.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from pydantic import Field

from groundup.core import Config, DataError

from .hashing import code_points, words
from .ngram import END, START, NgramModel, Order, looked_up, next_keys


class NgramConfig(Config):
    """How an n-gram model is counted."""

    order: int = Field(default=5, ge=1, le=8)
    """Longest run of words. Source: CCNet uses 5."""
    prune: tuple[int, ...] = (0, 0, 1, 1, 1)
    """Runs seen at most so often are left out, by order; the last holds for longer ones. Own
    choice: KenLM's customary `--prune 0 0 1`."""
    max_ngrams: int = Field(default=8_000_000, ge=1000)
    """Most different runs of one order held while counting (32 bytes each); beyond it the rarest
    are forgotten, which the model's `forgotten` tells."""
    chunk_words: int = Field(default=1_000_000, ge=1000)
    """Words counted together before they are merged into the whole."""


class Counts(NamedTuple):
    """Different runs of one order: equal places belong together."""

    keys: np.ndarray
    """Sorted, uint64."""
    contexts: np.ndarray
    """Key of the run without its last word."""
    suffixes: np.ndarray
    """Key of the run without its first word."""
    begins: np.ndarray
    """Whether it begins a text."""
    numbers: np.ndarray
    """How often it was seen."""


def train_ngrams(texts: Iterable[str], config: NgramConfig | None = None) -> NgramModel:
    """Count texts and smooth; memory is bounded by `max_ngrams` and `chunk_words`.

    Raises DataError if the texts have no words.
    """
    config = config or NgramConfig()
    counts: list[Counts | None] = [None] * config.order
    letters = np.zeros(0x110000, np.int64)
    forgotten = 0
    for chunk in chunks(texts, config.chunk_words, letters):
        for order, fresh in enumerate(count(chunk, config.order)):
            whole = counts[order]
            whole = fresh if whole is None else merged([whole, fresh])
            counts[order], lost = bounded(whole, config.max_ngrams)
            forgotten += lost
    known = [one for one in counts if one is not None and len(one.keys)]
    if not letters.any() or not known:
        raise DataError("The texts have no words to count; give texts of a corpus.")
    shares = letters[letters > 0] / letters.sum()
    spelling = float(-(shares * np.log2(shares)).sum())
    # The end is in the counted words; the start is not a word that may come, the unknown one is.
    vocabulary = int((~known[0].begins).sum()) + 1
    return NgramModel(tuple(smoothed(known, config)), vocabulary, spelling, forgotten)


def chunks(
    texts: Iterable[str], chunk_words: int, letters: np.ndarray
) -> Iterator[list[np.ndarray]]:
    """Yield lists of texts as hashes with their ends, about `chunk_words` each; tally letters."""
    held: list[np.ndarray] = []
    size = 0
    for text in texts:
        found = words(text)
        if not len(found.hashes):
            continue
        codes, numbers = np.unique(code_points(text), return_counts=True)
        letters[codes] += numbers
        held.append(np.concatenate([[START], found.hashes, [END]]).astype(np.uint64))
        size += len(found.hashes)
        if size >= chunk_words:
            yield held
            held, size = [], 0
    if held:
        yield held


def count(texts: list[np.ndarray], order: int) -> Iterator[Counts]:
    """Yield the different runs of each order up to `order`."""
    flat = np.concatenate(texts)
    first = np.cumsum([0, *(len(text) for text in texts)])
    keys = np.zeros(len(flat) + 1, np.uint64)
    for length in range(1, order + 1):
        shorter, keys = keys, next_keys(keys, flat, length)
        # Runs that reach over the end of a text are none.
        is_run = np.ones(len(keys), bool)
        for back in range(1, length):
            crossing = first[1:-1] - back
            is_run[crossing[(crossing >= 0) & (crossing < len(keys))]] = False
        begins = np.zeros(len(keys), bool)
        begins[first[:-1][first[:-1] < len(keys)]] = True
        suffixes = shorter[1 : len(keys) + 1] if length > 1 else np.zeros(len(keys), np.uint64)
        columns = (keys, shorter[: len(keys)], suffixes, begins, np.ones(len(keys), np.int64))
        yield merged([Counts(*(column[is_run] for column in columns))])


def merged(tables: list[Counts]) -> Counts:
    """The tables as one, sorted, with equal keys' numbers added."""
    columns = Counts(*(np.concatenate(parts) for parts in zip(*tables, strict=True)))
    keys, first, inverse = np.unique(columns.keys, return_index=True, return_inverse=True)
    numbers = np.bincount(inverse, columns.numbers, len(keys)).astype(np.int64)
    return Counts(
        keys, columns.contexts[first], columns.suffixes[first], columns.begins[first], numbers
    )


def bounded(counts: Counts, most: int) -> tuple[Counts, int]:
    """The table without its rarest runs, so that at most `most` stay, and how many went."""
    before, least = len(counts.keys), 1
    while len(counts.keys) > most:
        kept = counts.numbers > least
        counts = Counts(*(column[kept] for column in counts))
        least += 1
    return counts, before - len(counts.keys)


def smoothed(counts: list[Counts], config: NgramConfig) -> Iterator[Order]:
    """Yield each order's discounted shares and the weights of the next lower one."""
    for place, table in enumerate(counts):
        numbers = table.numbers
        if place + 1 < len(counts):
            numbers = continuations(table, counts[place + 1])
        # Nothing is followed by a text's start, so it is no word.
        may_come = ~table.begins if place == 0 else np.ones(len(numbers), bool)
        most = config.prune[min(place, len(config.prune) - 1)] if config.prune else 0
        kept = table.numbers > most  # as often as it was seen, whatever stands before it
        yield one_order(
            *(column[may_come] for column in (table.keys, table.contexts, numbers, kept))
        )


def continuations(table: Counts, longer: Counts) -> np.ndarray:
    """Number of different words before each run; for runs that begin a text, their count."""
    suffixes, numbers = np.unique(longer.suffixes, return_counts=True)
    before = looked_up(suffixes, numbers, table.keys, 1.0).astype(np.int64)
    return np.where(table.begins, table.numbers, before)


def one_order(
    keys: np.ndarray, contexts: np.ndarray, numbers: np.ndarray, kept: np.ndarray
) -> Order:
    """Discount the numbers of one order; what is not kept leaves its share to the lower one."""
    discounts = np.concatenate([[0.0], discounts_of(numbers)])
    known, inverse = np.unique(contexts, return_inverse=True)
    totals = np.bincount(inverse, numbers, len(known))
    terms = (numbers - discounts[np.minimum(numbers, 3)]) / totals[inverse]
    terms = np.where(kept, terms, 0.0)
    backoffs = 1.0 - np.bincount(inverse, terms, len(known))
    used = np.bincount(inverse, kept, len(known)) > 0
    kept = kept & (terms > 0)
    return Order(
        keys[kept], terms[kept].astype(np.float32), known[used], backoffs[used].astype(np.float32)
    )


def discounts_of(numbers: np.ndarray) -> np.ndarray:
    """What is taken from counts of 1, 2 and 3 or more (Chen and Goodman 1999, equation 26).

    KenLM's fallback of 0.5, 1 and 1.5 where there are too few counts to tell.
    """
    n = np.bincount(np.minimum(numbers, 5), minlength=6).astype(float)
    if not (n[1:5] > 0).all():
        return np.array([0.5, 1.0, 1.5])
    y = n[1] / (n[1] + 2 * n[2])
    discounts = [k - (k + 1) * y * n[k + 1] / n[k] for k in (1, 2, 3)]
    return np.array([min(max(value, 0.0), float(k)) for k, value in enumerate(discounts, 1)])
