"""Duplicates: exact ones by hash, near ones by their shared word 5-grams.

Two texts are near-duplicates if the Jaccard similarity |A ∩ B| / |A ∪ B| of their sets of word
5-grams ("shingles") reaches a threshold. To compare all pairs would be quadratic, so candidates
come from MinHash: the share of equal minima of two sets under random permutations estimates their
Jaccard similarity, and bands of minima collide when it is high. Each candidate is then verified on
the full sets, so chance decides only what is looked at, never what is removed.

Everything here is a pure function of the texts, the threshold and the seed; the order in which
documents arrive changes nothing. Knows nothing of splits or files.
Source: Broder 1997 (shingles, MinHash); Leskovec et al., Mining of Massive Datasets, §3.4 (bands).
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from groundup.core import ConfigError
from groundup.documents import Document

SHINGLE_WORDS = 5
PERMUTATIONS = 128
MISSED_AT_THRESHOLD = 1e-3
FEWEST_SHINGLES = 32
"""Shingles below which a text may lie within another by custom: a licence line, an empty module."""
WORD = re.compile(r"\w+")


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


class WordHashes(dict[str, int]):
    """A 64-bit hash a word, the same in every run; made once, then looked up."""

    def __missing__(self, word: str) -> int:
        number = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")
        self[word] = number
        return number


def shingles(
    text: str, hashes: WordHashes | None = None, length: int = SHINGLE_WORDS
) -> np.ndarray:
    """The set of word 5-grams of a text as sorted distinct 64-bit hashes, uint64 (n,).

    Words are runs of letters, digits and underscores, case folded. A text of fewer words than
    `length` is one shingle; a text without words has none. Give the same `hashes` to many calls
    for speed.

    >>> len(shingles("one two three four five six")), len(shingles("Two words")), len(shingles("!"))
    (2, 1, 0)
    """
    hashes = WordHashes() if hashes is None else hashes
    words = np.fromiter(map(hashes.__getitem__, WORD.findall(text.casefold())), dtype=np.uint64)
    if not len(words):
        return words
    length = min(length, len(words))
    count = len(words) - length + 1
    mixed = np.full(count, length, dtype=np.uint64)
    for shift in range(length):  # order matters: (a, b) and (b, a) differ
        mixed = mixed * np.uint64(0x9E3779B97F4A7C15) + words[shift : shift + count]
        mixed ^= mixed >> np.uint64(32)
    return np.unique(mixed)


def minhash(items: np.ndarray, seed: int = 0) -> np.ndarray:
    """Minimum of a set's hashes under each of 128 permutations, uint32 (128,).

    items   (n,)  distinct 64-bit hashes, as `shingles` gives them

    The share of equal places of two results estimates the Jaccard similarity of the two sets. The
    permutations are x → (a·x + b) mod 2³² with odd a; an empty set gives the largest number.
    """
    random = np.random.default_rng(seed)
    factors = random.integers(0, 2**31, PERMUTATIONS, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    offsets = random.integers(0, 2**32, PERMUTATIONS, dtype=np.uint32)
    minima = np.full(PERMUTATIONS, 2**32 - 1, dtype=np.uint32)
    short = ((items * np.uint64(0xD6E8FEB86659FD93)) >> np.uint64(32)).astype(np.uint32)
    for start in range(0, len(short), 4096):  # blocks that stay in the cache
        block = short[start : start + 4096]
        for number in range(PERMUTATIONS):
            least = (block * factors[number] + offsets[number]).min()
            minima[number] = min(minima[number], least)
    return minima


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """Jaccard similarity of two sets given as sorted distinct hashes; 0 if both are empty.

    >>> jaccard(np.array([1, 2, 3]), np.array([2, 3, 4]))
    0.5
    """
    if not len(a) or not len(b):
        return 0.0
    shared = len(np.intersect1d(a, b, assume_unique=True))
    return shared / (len(a) + len(b) - shared)


def band_rows(threshold: float) -> int:
    """Rows in a band: the most for which at most 1 in 1,000 pairs at the threshold is missed.

    A pair of similarity s collides in one of 128 / r bands with chance 1 - (1 - sʳ)^(128 / r).

    >>> band_rows(0.8), band_rows(0.5)
    (4, 2)
    """
    if not 0 < threshold <= 1:
        raise ConfigError(f"A near-duplicate threshold is above 0 and at most 1; got {threshold}.")
    fitting = [
        rows
        for rows in (1, 2, 4, 8, 16, 32)
        if (1 - threshold**rows) ** (PERMUTATIONS // rows) <= MISSED_AT_THRESHOLD
    ]
    return max(fitting, default=1)


class Shelf:
    """Texts by bands of their minima: put one in, ask which ones in it are near another."""

    def __init__(self, threshold: float, seed: int = 0) -> None:
        self.threshold, self.seed, self.rows = threshold, seed, band_rows(threshold)
        self.hashes = WordHashes()
        self.sets: list[np.ndarray] = []
        self.names: list[int] = []
        self.buckets: dict[bytes, list[int]] = {}

    def sketch(self, text: str) -> tuple[np.ndarray, list[bytes]]:
        """A text's shingles and the keys of its bands."""
        items = shingles(text, self.hashes)
        if not len(items):
            return items, []
        bands = minhash(items, self.seed).reshape(-1, self.rows)
        return items, [bytes([number]) + band.tobytes() for number, band in enumerate(bands)]

    def put(self, name: int, items: np.ndarray, keys: Iterable[bytes]) -> None:
        """Put a text in under a number of the caller's."""
        for key in keys:
            self.buckets.setdefault(key, []).append(len(self.sets))
        self.sets.append(items)
        self.names.append(name)

    def near(self, items: np.ndarray, keys: Iterable[bytes]) -> Iterator[tuple[int, float]]:
        """Yield number and Jaccard similarity of every near-duplicate put in before."""
        for place in sorted({place for key in keys for place in self.buckets.get(key, ())}):
            few, many = sorted((len(items), len(self.sets[place])))
            if few < self.threshold * many:  # the similarity cannot be more than few / many
                continue
            similarity = jaccard(items, self.sets[place])
            if similarity >= self.threshold:
                yield self.names[place], similarity


def near_duplicates(texts: Sequence[str], threshold: float = 0.8, seed: int = 0) -> list[Pair]:
    """Every pair of near-duplicates with its exact Jaccard similarity, in rising order.

    A pair at the threshold is missed with a chance below 1 in 1,000, a more similar one far less.

    >>> text = "the quick brown fox jumps over the lazy dog and runs away"
    >>> near_duplicates([text, "another text", text + " home"], threshold=0.8)
    [Pair(i=0, j=2, jaccard=0.8888888888888888)]
    """
    shelf, pairs = Shelf(threshold, seed), []
    for j, text in enumerate(texts):
        items, keys = shelf.sketch(text)
        pairs += [Pair(i, j, similarity) for i, similarity in shelf.near(items, keys)]
        shelf.put(j, items, keys)
    return sorted(pairs)


def remove_exact(documents: Iterable[Document]) -> Kept:
    """Keep one document of each content: the one whose path comes first.

    Contents are compared as text, so files that differ in a byte order mark alone are equal.
    """
    survivors: dict[str, Document] = {}
    removed: list[Removed] = []
    for document in in_order(documents):
        content = hashlib.sha256(document.text.encode("utf-8")).hexdigest()
        first = survivors.setdefault(content, document)
        if first is not document:
            removed.append(Removed(document.path, "exact duplicate", first.path))
    return Kept(list(survivors.values()), removed)


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
    shelf, kept, removed = Shelf(threshold, seed), [], []
    names: list[Document] = in_order(held_out)
    fixed = len(names)
    for name, document in enumerate(names):
        shelf.put(name, *shelf.sketch(document.text))
    for document in in_order(documents):
        items, keys = shelf.sketch(document.text)
        found = next(shelf.near(items, keys), None)
        if found is None:
            shelf.put(len(names), items, keys)
            names.append(document)
            kept.append(document)
            continue
        name, similarity = found
        reason = "near-duplicate of held-out" if name < fixed else "near-duplicate"
        details = f"Jaccard similarity {similarity:.3f}"
        removed.append(Removed(document.path, reason, names[name].path, details))
    return Kept(kept, removed)


def remove_overlapping(
    documents: Iterable[Document], held_out: Iterable[Document], threshold: float = 0.5
) -> Kept:
    """Drop each document that lies largely within a held-out one, or that one within it.

    Jaccard similarity is low between a page and a book that contains it, yet who has read the book
    knows the page. Here the shared 5-grams are divided by those of the shorter text, on the full
    sets, of every pair. Texts of fewer than 32 shingles are never called contained.

    The result is in the order of paths.
    """
    hashes = WordHashes()
    names = in_order(held_out)
    sets = [shingles(document.text, hashes) for document in names]
    sizes = np.array([len(items) for items in sets], dtype=np.int64)
    owners = np.repeat(np.arange(len(sets)), sizes)
    every = np.concatenate(sets) if sets else np.empty(0, dtype=np.uint64)
    order = np.argsort(every, kind="stable")
    every, owners = every[order], owners[order]
    kept, removed = [], []
    for document in in_order(documents):
        items = shingles(document.text, hashes)
        shared = np.bincount(owners[np.isin(every, items)], minlength=len(sets))
        shorter = np.minimum(sizes, len(items))
        share = np.where(shorter >= FEWEST_SHINGLES, shared / np.maximum(shorter, 1), 0.0)
        most = int(share.argmax()) if len(share) else -1
        if most < 0 or share[most] < threshold:
            kept.append(document)
            continue
        details = f"{share[most]:.3f} of the shorter text's 5-grams are shared"
        removed.append(Removed(document.path, "overlaps held-out", names[most].path, details))
    return Kept(kept, removed)


def in_order(documents: Iterable[Document]) -> list[Document]:
    """Documents in the order that decides who is kept: by path, then by content."""
    return sorted(documents, key=lambda document: (document.path, document.sha256))
