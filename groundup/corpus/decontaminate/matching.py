"""When does a text stand in another? The rule for samples of a test set and texts of a corpus.

    long text    any (or a share) of its n-grams stands in the other
    8 to n - 1   the whole text stands in it
    4 to 7       the text stands between ends of lines or sentences, or other strong signs, as in
                 `Q: …?`, `1. …`, `| … |`, `"…"` (questions only: answers are words)
    shorter      says nothing, and is counted as such

Words are folded (case, accents, characters of no width; digits kept). testsets.py keeps an index on
disk and every worker maps it; lineage.py makes one for a single reading. Knows nothing of records.
Source: Brown et al. 2020, arXiv:2005.14165, appendix C (13-grams); Chowdhery et al. 2022,
arXiv:2204.02311, §8 (70 % of 8-grams).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

import numpy as np

from groundup.core import Sample

from ..dedup.sketch import SKIP, Tokens, fold_table, grams, mix, of_strings, tokens

GRAM, FEWEST, SHORTEST = 13, 8, 4
"""Words in a row of a long text; words from which a text is looked for anywhere, and from which
between two bounds."""
BOUNDED = 10_000
"""Stands for the length of a text that must stand between bounds."""
BOUNDS = '\n\r\t.?!:;|"“”„«»‹›()[]{}<>*#=…–—•·¿¡。？！：；「」『』'
"""Where a sentence, a cell or a quotation may end; a comma, a hyphen or an apostrophe ends none."""
UNSEEN = (0xAD, 0x34F, 0x61C, 0x180E, *range(0x200B, 0x2010), *range(0x202A, 0x202F),
          *range(0x2060, 0x2065), *range(0xFE00, 0xFE10), 0xFEFF)  # fmt: skip
"""Characters of no width, which part no words: soft hyphens, joiners, marks of direction."""
FILTER_PER_KEY = 16


class Item(NamedTuple):
    """A text of a sample."""

    testset: str
    sample: str
    grams: int
    """Distinct hashes of it."""


class Place(NamedTuple):
    """Where a record repeats a text."""

    start: int
    """First token."""
    end: int
    item: Item


class Index(NamedTuple):
    """The hashes of all texts that are looked for, sorted."""

    keys: np.ndarray
    owners: np.ndarray
    """Place in `items` of each."""
    filter: np.ndarray
    """Whether a key begins with the bits of a place: most are refused here."""
    items: list[Item]
    lengths: list[int]
    """Words in a row to hash, BOUNDED among them for texts between bounds."""
    too_short: dict[str, int]
    """Samples by test set of which no text is long enough to be found."""

    def repeated(self, text: str, found: Tokens, share: float = 0.0) -> list[Place]:
        """Places of all texts of which enough stands in the other, in its order.

        found  its tokens by `seen_table`
        share  of a text's n-grams that must stand there; 0: a single one
        """
        seen: dict[int, set[int]] = defaultdict(set)
        at: list[tuple[int, int, int]] = []
        shift = filter_shift(self.filter)
        for length in self.lengths:
            is_short = length == BOUNDED
            starts, ends, keys = bounded_keys(text, found) if is_short else gram_keys(found, length)
            for place in np.flatnonzero(self.filter[keys >> shift]).tolist():
                low, high = (np.searchsorted(self.keys, keys[place], s) for s in ("left", "right"))
                for owner in self.owners[low:high].tolist():
                    seen[owner].add(int(keys[place]))
                    at.append((int(starts[place]), int(ends[place]), owner))
        enough = {
            owner
            for owner, hit in seen.items()
            if len(hit) >= max(1, share * self.items[owner].grams)
        }
        return [Place(a, b, self.items[owner]) for a, b, owner in sorted(at) if owner in enough]


def filter_shift(bits: np.ndarray) -> np.uint64:
    """How far a key is shifted to be a place in a filter."""
    return np.uint64(64 - (len(bits).bit_length() - 1))


def index_of(samples: Iterable[tuple[str, str, list[str]]], gram: int = GRAM) -> Index:
    """The index of samples: test set, id, and texts with the question first.

    >>> asked = "In which year did the first ship of the line leave the harbour?"
    >>> made = index_of([("exam", "1", [asked, "1847"])])
    >>> text = f"Tell {asked.lower()}"
    >>> [place.item.sample for place in made.repeated(text, seen_tokens(text))]
    ['1']
    """
    items, lengths = list[Item](), set[int]()
    keys, owners = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint32)]
    short: Counter[str] = Counter()
    for testset, sample, texts in samples:
        taken = 0
        for place, text in enumerate(texts):
            found = seen_tokens(text).hashes
            count = len(found)
            if count < SHORTEST or (count < FEWEST and place > 0):
                continue
            length = BOUNDED if count < FEWEST else min(gram, count)
            own = np.unique(mix(grams(found, min(count, length)) + np.uint64(length)))
            keys.append(own)
            owners.append(np.full(len(own), len(items), np.uint32))
            items.append(Item(testset, sample, len(own)))
            lengths.add(length)
            taken += 1
        short[testset] += not taken
    every, whose = np.concatenate(keys), np.concatenate(owners)
    bits = np.zeros(1 << max(16, (FILTER_PER_KEY * len(every)).bit_length()), bool)
    bits[every >> filter_shift(bits)] = True
    order = np.lexsort((whose, every))
    return Index(every[order], whose[order], bits, items, sorted(lengths), dict(+short))


def texts_of(sample: Sample) -> list[str]:
    """The texts of a sample: its messages, the last first, and its references.

    Not those of the system: what all samples share, and many conversations, is no sample's own.
    """
    asked = [turn.content for turn in sample.conversation[::-1] if turn.role != "system"]
    return [*asked, *sample.references]


def seen_tokens(text: str) -> Tokens:
    """The words of a text, folded."""
    return tokens(of_strings([text]), seen_table())


def gram_keys(found: Tokens, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First token, one past the last, and key of every run of `length` tokens."""
    keys = mix(grams(found.hashes, length) + np.uint64(length))
    starts = np.arange(len(keys))
    return starts, starts + length, keys


def bounded_keys(text: str, found: Tokens) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First token, one past the last, and key of every run of few words between two bounds."""
    count = len(found.hashes)
    data = np.frombuffer(text.encode("utf-8", "replace"), np.uint8)
    before = np.concatenate([[0], np.cumsum(bounds_in(data))])  # bounds before each byte
    is_edge = np.ones(count + 1, bool)
    is_edge[1:count] = before[found.starts[1:]] > before[found.ends[:-1]]
    starts, ends, keys = [], [], []
    for length in range(SHORTEST, min(FEWEST, count + 1)):
        own = np.flatnonzero(is_edge[: count - length + 1] & is_edge[length:])
        starts.append(own)
        ends.append(own + length)
        keys.append(mix(grams(found.hashes, length)[own] + np.uint64(BOUNDED)))
    if not keys:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint64)
    return np.concatenate(starts), np.concatenate(ends), np.concatenate(keys)


def bounds_in(data: np.ndarray) -> np.ndarray:
    """Whether a bound begins at each byte of UTF-8."""
    single, double, triple = bound_codes()
    found = single[data]
    wide = np.flatnonzero(data >= 0xC0)
    if len(wide):
        padded = np.concatenate([data, np.zeros(2, np.uint8)]).astype(np.uint32)
        two = padded[wide] << np.uint32(8) | padded[wide + 1]
        found[wide] = np.isin(two, double) | np.isin(two << np.uint32(8) | padded[wide + 2], triple)
    return found


@cache
def bound_codes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bounds of one byte as a table, those of two and of three bytes as numbers."""
    single, wide = np.zeros(256, bool), {2: list[int](), 3: list[int]()}
    for sign in BOUNDS:
        code = sign.encode()
        if len(code) == 1:
            single[code[0]] = True
        else:
            wide[len(code)].append(int.from_bytes(code))
    return single, np.array(wide[2], np.uint32), np.array(wide[3], np.uint32)


@cache
def seen_table() -> np.ndarray:
    """The folding of words; characters that nobody sees are passed over like accents."""
    table = fold_table(True, False).copy()
    table[list(UNSEEN)] = SKIP
    return table
