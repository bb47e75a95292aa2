"""Deduplication of documents in memory for `groundup corpus`, with the definitions of the steps.

Content (exact.py), shingles and similarity (sketch.py, minhash.py) and clusters (clusters.py) are
defined there; here documents come from memory. This is not a pipeline of global steps because those
know no splits, while here held-out documents are kept first, so that none is trained on. Digits are
distinguished, unlike in a crawl, and there are enough bands to miss almost no pair.

Everything is a pure function of the texts, the threshold and the seed, independent of the
documents' order. Knows nothing of files.
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
"""Half a million pairs, a second's work; see MinHashConfig."""
FEWEST_SHINGLES = 32
"""Shorter texts, such as a licence line, may be contained in another by convention."""


class Pair(NamedTuple):
    """Indices of two near-duplicates, i < j, and their similarity."""

    i: int
    j: int
    jaccard: float


class Removed(NamedTuple):
    """A removed document and the reason."""

    path: str
    reason: str
    """Short and stable, such as `exact duplicate`; removals are counted by reason."""
    of: str = ""
    """Path of the document kept instead, if any."""
    details: str = ""


class Kept(NamedTuple):
    """Documents kept and removed."""

    documents: list[Document]
    removed: list[Removed]


class Shared:
    """Inverted index of sets, to intersect another set with all of them."""

    def __init__(self, made: Sets) -> None:
        self.sizes = np.diff(made.bounds)
        order = np.argsort(made.items, kind="stable")
        self.items, self.owners = (
            made.items[order],
            np.repeat(np.arange(len(self.sizes)), self.sizes)[order],
        )

    def counts(self, items: np.ndarray) -> np.ndarray:
        """Size of the intersection with each set, int64 (sets,); `items` are distinct."""
        lows, highs = (np.searchsorted(self.items, items, side) for side in ("left", "right"))
        sizes = highs - lows
        matches = np.repeat(lows - np.cumsum(sizes) + sizes, sizes) + np.arange(sizes.sum())
        return np.bincount(self.owners[matches], minlength=len(self.sizes))

    def jaccards(self, items: np.ndarray) -> np.ndarray:
        """Jaccard similarity with each set."""
        common = self.counts(items)
        return common / np.maximum(self.sizes + len(items) - common, 1)


def word_table() -> np.ndarray:
    """Fold table of words: case and accents are ignored, digits are distinguished."""
    return fold_table(True, False)


def settings(threshold: float, seed: int = 0) -> MinHashConfig:
    """The most rows per band that miss at most 1 in 1,000 pairs at the threshold.

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
    """All pairs of near-duplicates with their exact Jaccard similarity, ascending.

    A pair at the threshold is missed with a probability below 1 in 1,000, a more similar one far
    less; of more than 1,000 texts with an equal band, only pairs with the first are compared.

    >>> text = "the quick brown fox jumps over the lazy dog and runs away"
    >>> near_duplicates([text, "another text", text + " home"], threshold=0.8)
    [Pair(i=0, j=2, jaccard=0.8888888888888888)]
    """
    pairs, values = alike(texts, threshold, seed)
    both = zip(pairs.tolist(), values.tolist(), strict=True)
    return [Pair(first, second, value) for (first, second), value in both]


def alike(texts: Sequence[str], threshold: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs at or above the threshold, (n, 2) ascending, and their similarities."""
    config, laid = settings(threshold, seed), of_strings(texts)
    rows = by_key(banded(np.arange(len(texts), dtype=np.uint32), laid, config))
    pairs = both(pairs_in(rows, config.bucket_cap)[0])
    values = jaccards(by_set(sets(laid, word_table(), SHINGLE)), pairs)
    return pairs[values >= threshold], values[values >= threshold]


def remove_exact(documents: Iterable[Document]) -> Kept:
    """Keep the first document by path of each content.

    As in `dedup.exact`, white space and Unicode normalisation are ignored.
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
    """Drop near-duplicates of held-out documents and of kept documents before them.

    Held-out documents are never dropped, so that none is trained on. Of the others, the first by
    path is kept. The result is in path order.
    """
    names = in_order(held_out)
    fixed = len(names)
    names += in_order(documents)
    pairs, values = alike([document.text for document in names], threshold, seed)
    is_droppable = pairs[:, 1] >= fixed
    decided = stars(pairs[is_droppable], values[is_droppable])
    dropped = decided.gone.tolist()
    removed = [
        Removed(
            names[number].path,
            f"{NEAR} of held-out" if of < fixed else NEAR,
            names[of].path,
            f"Jaccard similarity {value:.3f}",
        )
        for number, of, value in zip(
            dropped, decided.kept.tolist(), decided.value.tolist(), strict=True
        )
    ]
    is_dropped = set(dropped)
    return Kept([names[n] for n in range(fixed, len(names)) if n not in is_dropped], removed)


def remove_overlapping(
    documents: Iterable[Document], held_out: Iterable[Document], threshold: float = 0.5
) -> Kept:
    """Drop documents largely contained in a held-out document, or containing one.

    The Jaccard similarity of a page and a book that contains it is low, yet training on the book
    leaks the page. So the shared 5-grams of every pair are divided by those of the shorter text.
    Texts of fewer than 32 shingles are never considered contained. The result is in path order.
    """
    names, rest = in_order(held_out), in_order(documents)
    if not names:
        return Kept(rest, [])
    held_out_sets, own = (
        sets(of_strings(document.text for document in group), word_table(), SHINGLE)
        for group in (names, rest)
    )
    index, kept, removed = Shared(held_out_sets), [], []
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
    """Shingles of each text."""
    return np.split(made.items, made.bounds[1:-1]) if len(made.bounds) > 1 else []


def in_order(documents: Iterable[Document]) -> list[Document]:
    """Documents in order of preference: by path, then by content."""
    return sorted(documents, key=lambda document: (document.path, document.sha256))
