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

from .clusters import resolve_stars
from .exact import REASON as EXACT
from .exact import content_hash
from .minhash import REASON as NEAR
from .minhash import (
    MinHashConfig,
    band_rows,
    bucket_pairs,
    candidate_probability,
    jaccards,
    unpack_pairs,
)
from .sketch import ShingleSets, fold_table, pack_strings, shingle_sets
from .sorted_runs import sort_by_key

SHINGLE_TOKENS = 5
PERMUTATIONS = 128
MAX_MISS_RATE = 1e-3
BUCKET_CAP = 1_000
"""Half a million pairs, a second's work; see MinHashConfig."""
MIN_SHINGLES = 32
"""Shorter texts, such as a licence line, may be contained in another by convention."""


class Pair(NamedTuple):
    """Indices of two near-duplicates, i < j, and their similarity."""

    i: int
    j: int
    jaccard: float


class RemovedDocument(NamedTuple):
    """A removed document and the reason."""

    path: str
    reason: str
    """Short and stable, such as `exact duplicate`; removals are counted by reason."""
    of: str = ""
    """Path of the document kept instead, if any."""
    details: str = ""


class DedupOutcome(NamedTuple):
    """Documents kept and removed."""

    kept: list[Document]
    removed: list[RemovedDocument]


class SetIndex:
    """Inverted index of sets, to intersect another set with all of them."""

    def __init__(self, made: ShingleSets) -> None:
        self.sizes = np.diff(made.bounds)
        order = np.argsort(made.items, kind="stable")
        self.items, self.owners = (
            made.items[order],
            np.repeat(np.arange(len(self.sizes)), self.sizes)[order],
        )

    def intersection_sizes(self, items: np.ndarray) -> np.ndarray:
        """Size of the intersection with each set, int64 (sets,); `items` are distinct."""
        lows, highs = (np.searchsorted(self.items, items, side) for side in ("left", "right"))
        sizes = highs - lows
        matches = np.repeat(lows - np.cumsum(sizes) + sizes, sizes) + np.arange(sizes.sum())
        return np.bincount(self.owners[matches], minlength=len(self.sizes))

    def jaccards(self, items: np.ndarray) -> np.ndarray:
        """Jaccard similarity with each set."""
        common = self.intersection_sizes(items)
        return common / np.maximum(self.sizes + len(items) - common, 1)


def _word_fold_table() -> np.ndarray:
    """Fold table of words: case and accents are ignored, digits are distinguished."""
    return fold_table(True, False)


def _minhash_settings(threshold: float, seed: int = 0) -> MinHashConfig:
    """The most rows per band that miss at most 1 in 1,000 pairs at the threshold.

    >>> _minhash_settings(0.8).rows, _minhash_settings(0.5).rows
    (4, 2)
    """
    fitting = [
        rows
        for rows in (1, 2, 4, 8, 16, 32)
        if 1 - candidate_probability(threshold, PERMUTATIONS // rows, rows) <= MAX_MISS_RATE
    ]
    rows = max(fitting, default=1)
    return MinHashConfig(
        ngram=SHINGLE_TOKENS, bands=PERMUTATIONS // rows, rows=rows, threshold=threshold,
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
    pairs, values = _similar_pairs(texts, threshold, seed)
    both = zip(pairs.tolist(), values.tolist(), strict=True)
    return [Pair(first, second, value) for (first, second), value in both]


def _similar_pairs(
    texts: Sequence[str], threshold: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs at or above the threshold, (n, 2) ascending, and their similarities."""
    config, laid = _minhash_settings(threshold, seed), pack_strings(texts)
    rows = sort_by_key(band_rows(np.arange(len(texts), dtype=np.uint32), laid, config))
    pairs = unpack_pairs(bucket_pairs(rows, config.bucket_cap)[0])
    values = jaccards(_split_sets(shingle_sets(laid, _word_fold_table(), SHINGLE_TOKENS)), pairs)
    return pairs[values >= threshold], values[values >= threshold]


def remove_exact(documents: Iterable[Document]) -> DedupOutcome:
    """Keep the first document by path of each content.

    As in `dedup.exact`, white space and Unicode normalisation are ignored.
    """
    survivors: dict[bytes, Document] = {}
    kept, removed = [], []
    for document in _sort_documents(documents):
        content = content_hash(document.text)
        if content and (first := survivors.setdefault(content, document)) is not document:
            removed.append(RemovedDocument(document.path, EXACT, first.path))
        else:
            kept.append(document)
    return DedupOutcome(kept, removed)


def remove_near(
    documents: Iterable[Document],
    held_out: Iterable[Document] = (),
    threshold: float = 0.8,
    seed: int = 0,
) -> DedupOutcome:
    """Drop near-duplicates of held-out documents and of kept documents before them.

    Held-out documents are never dropped, so that none is trained on. Of the others, the first by
    path is kept. The result is in path order.
    """
    names = _sort_documents(held_out)
    fixed = len(names)
    names += _sort_documents(documents)
    pairs, values = _similar_pairs([document.text for document in names], threshold, seed)
    is_droppable = pairs[:, 1] >= fixed
    decided = resolve_stars(pairs[is_droppable], values[is_droppable])
    dropped = decided.dropped.tolist()
    removed = [
        RemovedDocument(
            names[number].path,
            f"{NEAR} of held-out" if of < fixed else NEAR,
            names[of].path,
            f"Jaccard similarity {value:.3f}",
        )
        for number, of, value in zip(
            dropped, decided.kept.tolist(), decided.similarity.tolist(), strict=True
        )
    ]
    is_dropped = set(dropped)
    return DedupOutcome(
        [names[n] for n in range(fixed, len(names)) if n not in is_dropped], removed
    )


def remove_overlapping(
    documents: Iterable[Document], held_out: Iterable[Document], threshold: float = 0.5
) -> DedupOutcome:
    """Drop documents largely contained in a held-out document, or containing one.

    The Jaccard similarity of a page and a book that contains it is low, yet training on the book
    leaks the page. So the shared 5-grams of every pair are divided by those of the shorter text.
    Texts of fewer than 32 shingles are never considered contained. The result is in path order.
    """
    names, rest = _sort_documents(held_out), _sort_documents(documents)
    if not names:
        return DedupOutcome(rest, [])
    held_out_sets, own = (
        shingle_sets(
            pack_strings(document.text for document in group), _word_fold_table(), SHINGLE_TOKENS
        )
        for group in (names, rest)
    )
    index, kept, removed = SetIndex(held_out_sets), [], []
    for document, items in zip(rest, _split_sets(own), strict=True):
        shorter = np.minimum(index.sizes, len(items))
        share = index.intersection_sizes(items) / np.maximum(shorter, 1) * (shorter >= MIN_SHINGLES)
        most = int(share.argmax())
        if share[most] < threshold:
            kept.append(document)
            continue
        details = f"{share[most]:.3f} of the shorter text's 5-grams are shared"
        removed.append(
            RemovedDocument(document.path, "overlaps held-out", names[most].path, details)
        )
    return DedupOutcome(kept, removed)


def _split_sets(made: ShingleSets) -> list[np.ndarray]:
    """Shingles of each text."""
    return np.split(made.items, made.bounds[1:-1]) if len(made.bounds) > 1 else []


def _sort_documents(documents: Iterable[Document]) -> list[Document]:
    """Documents in order of preference: by path, then by content."""
    return sorted(documents, key=lambda document: (document.path, document.sha256))
