"""Duplicates among documents in memory: what `groundup corpus` removes, by the surveys' own rules.

What content is (exact.py), what a shingle, a sketch and a pair's similarity are (sketch.py,
minhash.py) and who stays (clusters.py) is defined there; here documents come from memory instead
of from shards. The stage is no pipeline of surveys for one reason: a survey knows no split, while
here held-out documents come first and never go, so that nothing measured was trained on.
Digits count, as they do not in a crawl; there are so many bands that hardly a pair is missed.

Everything is a pure function of the texts, the threshold and the seed; the order in which documents
arrive changes nothing. Knows nothing of files.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from groundup.documents import Document

from .clusters import stars
from .exact import REASON as EXACT
from .exact import content_hash
from .minhash import REASON as NEAR
from .minhash import MinHashConfig, banded, both, found_chance, jaccards, pairs_in
from .ranges import by_key
from .sketch import Sets, fold_table, of_strings, sets

SHINGLE = 5
PERMUTATIONS = 128
MISSED_AT_THRESHOLD = 1e-3
BUCKET_CAP = 1_000
"""Half a million pairs, compared in a second; see MinHashConfig."""
FEWEST_SHINGLES = 32
"""Shingles below which a text may lie within another by custom: a licence line, an empty module."""


class Pair(NamedTuple):
    """Two near-duplicates by their places, i < j."""

    i: int
    j: int
    jaccard: float


class Removed(NamedTuple):
    """A document that was left out, and why."""

    path: str
    reason: str
    """Short and stable, such as `exact duplicate`; removals are counted by it."""
    of: str = ""
    """Path of the document that was kept instead, if there is one."""
    details: str = ""


class Kept(NamedTuple):
    """What a removal left and what it took."""

    documents: list[Document]
    removed: list[Removed]


class Shared:
    """Sets turned inside out: how many items another set has in common with each of them."""

    def __init__(self, made: Sets) -> None:
        self.sizes = np.diff(made.bounds)
        order = np.argsort(made.items, kind="stable")
        self.items, self.owners = (
            made.items[order],
            np.repeat(np.arange(len(self.sizes)), self.sizes)[order],
        )

    def counts(self, items: np.ndarray) -> np.ndarray:
        """Items in common with each set, int64 (sets,); `items` are distinct."""
        lows, highs = (np.searchsorted(self.items, items, side) for side in ("left", "right"))
        sizes = highs - lows
        places = np.repeat(lows - np.cumsum(sizes) + sizes, sizes) + np.arange(sizes.sum())
        return np.bincount(self.owners[places], minlength=len(self.sizes))

    def jaccards(self, items: np.ndarray) -> np.ndarray:
        """Jaccard similarity to each set."""
        common = self.counts(items)
        return common / np.maximum(self.sizes + len(items) - common, 1)


def word_table() -> np.ndarray:
    """What counts in a word: letters whatever their case and accents, and digits."""
    return fold_table(True, False)


def settings(threshold: float, seed: int = 0) -> MinHashConfig:
    """Bands of the most rows for which at most 1 in 1,000 pairs at the threshold is missed.

    >>> settings(0.8).rows, settings(0.5).rows
    (4, 2)
    """
    fitting = [
        rows
        for rows in (1, 2, 4, 8, 16, 32)
        if 1 - found_chance(threshold, PERMUTATIONS // rows, rows) <= MISSED_AT_THRESHOLD
    ]
    rows = max(fitting, default=1)
    return MinHashConfig(
        ngram=SHINGLE, bands=PERMUTATIONS // rows, rows=rows, threshold=threshold,
        bucket_cap=BUCKET_CAP, fold_digits=False, seed=seed,
    )  # fmt: skip


def near_duplicates(texts: Sequence[str], threshold: float = 0.8, seed: int = 0) -> list[Pair]:
    """Every pair of near-duplicates with its exact Jaccard similarity, in rising order.

    A pair at the threshold is missed with a chance below 1 in 1,000, a more similar one far less;
    of more than 1,000 texts with an equal band, only pairs with the first are looked at there.

    >>> text = "the quick brown fox jumps over the lazy dog and runs away"
    >>> near_duplicates([text, "another text", text + " home"], threshold=0.8)
    [Pair(i=0, j=2, jaccard=0.8888888888888888)]
    """
    pairs, values = alike(texts, threshold, seed)
    both = zip(pairs.tolist(), values.tolist(), strict=True)
    return [Pair(first, second, value) for (first, second), value in both]


def alike(texts: Sequence[str], threshold: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs at the threshold, (n, 2) in rising order, and the similarity of each."""
    config, laid = settings(threshold, seed), of_strings(texts)
    rows = by_key(banded(np.arange(len(texts), dtype=np.uint32), laid, config))
    pairs = both(pairs_in(rows, config.bucket_cap)[0])
    values = jaccards(by_set(sets(laid, word_table(), SHINGLE)), pairs)
    return pairs[values >= threshold], values[values >= threshold]


def remove_exact(documents: Iterable[Document]) -> Kept:
    """Keep one document of each content: the one whose path comes first.

    Contents are compared as `dedup.exact` does: white space and Unicode's spellings aside.
    """
    survivors: dict[bytes, Document] = {}
    kept, removed = [], []
    for document in in_order(documents):
        content = content_hash(document.text)
        if content and (first := survivors.setdefault(content, document)) is not document:
            removed.append(Removed(document.path, EXACT, first.path))
        else:
            kept.append(document)
    return Kept(kept, removed)


def remove_near(
    documents: Iterable[Document],
    held_out: Iterable[Document] = (),
    threshold: float = 0.8,
    seed: int = 0,
) -> Kept:
    """Drop each document that is a near-duplicate of a held-out one or of a kept one before it.

    Held-out documents are never dropped, so that nothing measured was trained on. Among the others
    the one whose path comes first is kept. The result is in the order of paths.
    """
    names = in_order(held_out)
    fixed = len(names)
    names += in_order(documents)
    pairs, values = alike([document.text for document in names], threshold, seed)
    is_free = pairs[:, 1] >= fixed
    found = stars(pairs[is_free], values[is_free])
    gone = found.gone.tolist()
    removed = [
        Removed(
            names[number].path,
            f"{NEAR} of held-out" if of < fixed else NEAR,
            names[of].path,
            f"Jaccard similarity {value:.3f}",
        )
        for number, of, value in zip(gone, found.kept.tolist(), found.value.tolist(), strict=True)
    ]
    leaving = set(gone)
    return Kept([names[n] for n in range(fixed, len(names)) if n not in leaving], removed)


def remove_overlapping(
    documents: Iterable[Document], held_out: Iterable[Document], threshold: float = 0.5
) -> Kept:
    """Drop each document that lies largely within a held-out one, or that one within it.

    Jaccard similarity is low between a page and a book that contains it, yet who has read the book
    knows the page. Here the shared 5-grams are divided by those of the shorter text, on the full
    sets, of every pair. Texts of fewer than 32 shingles are never called contained.

    The result is in the order of paths.
    """
    names, rest = in_order(held_out), in_order(documents)
    if not names:
        return Kept(rest, [])
    measured, own = (
        sets(of_strings(document.text for document in some), word_table(), SHINGLE)
        for some in (names, rest)
    )
    index, kept, removed = Shared(measured), [], []
    for document, items in zip(rest, by_set(own), strict=True):
        shorter = np.minimum(index.sizes, len(items))
        share = index.counts(items) / np.maximum(shorter, 1) * (shorter >= FEWEST_SHINGLES)
        most = int(share.argmax())
        if share[most] < threshold:
            kept.append(document)
            continue
        details = f"{share[most]:.3f} of the shorter text's 5-grams are shared"
        removed.append(Removed(document.path, "overlaps held-out", names[most].path, details))
    return Kept(kept, removed)


def by_set(made: Sets) -> list[np.ndarray]:
    """Shingles text by text."""
    return np.split(made.items, made.bounds[1:-1]) if len(made.bounds) > 1 else []


def in_order(documents: Iterable[Document]) -> list[Document]:
    """Documents in the order that decides who is kept: by path, then by content."""
    return sorted(documents, key=lambda document: (document.path, document.sha256))
