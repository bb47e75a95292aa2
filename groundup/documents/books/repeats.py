"""Passages that a book repeats: found exactly, kept once.

Every run of 50 words has a rolling hash; runs that occur more than three times are repeats, and all
but the first go. Winnowing would keep a sample of the hashes; within one book all fit, so nothing
is missed. Chapters are also judged by Gopher's rules for repetition and flagged. Knows nothing of
other books: see the duplicates of the corpus.
"""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from groundup.core import Config

from ..record import PASS, Edit, Record, Ruling, Span

WORD = re.compile(r"\w+")
BASE = np.uint64(0x9E3779B97F4A7C15)
GOPHER = {2: 0.20, 3: 0.18, 4: 0.16}
"""Share of characters in the most frequent n words in a row. Source: Rae et al. 2021, table A1."""
GOPHER_LINES = 0.30
"""Share of lines that are duplicates. Source: Rae et al. 2021, table A1."""


class RepeatsConfig(Config):
    """What counts as repeated."""

    words: int = 50
    """Words of a run. Source: research notes."""
    times: int = 3
    """Occurrences up to which a run may stay. Source: the issue, more than three go."""
    are_chapters_cut: bool = False
    """Whether chapters beyond Gopher's limits go; otherwise they are marked `repetitive`."""


class Repeats:
    """Removes passages that come back more than three times, but for the first."""

    def __init__(self, config: RepeatsConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> Ruling:
        """Edits for repeats, spans for repetitive chapters."""
        words = list(WORD.finditer(record.text))
        runs = repeated(words, self.config)
        edits = [
            Edit(words[first].start(), words[last - 1].end(), "passage repeated")
            for first, last in runs
        ]
        chapters = [s for s in record.spans if s.kind == "chapter"] or [
            Span("chapter", 0, len(record.text))
        ]
        faults = [(s, why) for s in chapters if (why := gopher(record.text[s.start : s.end]))]
        cut = (
            [Edit(s.start, s.end, why) for s, why in faults] if self.config.are_chapters_cut else []
        )
        edits = [e for e in edits if not any(c.start < e.end and e.start < c.end for c in cut)]
        if not edits and not faults:
            return PASS
        spans = tuple(Span("repetitive", s.start, s.end, why) for s, why in faults if not cut)
        share = sum(e.end - e.start for e in edits) / max(len(record.text), 1)
        metadata = {"repeated_share": round(share, 4), "repetitive_chapters": len(faults)}
        return Ruling(edits=tuple(sorted([*edits, *cut])), spans=spans, metadata=metadata)


def repeated(words: Sequence[re.Match[str]], config: RepeatsConfig) -> list[tuple[int, int]]:
    """Runs of words, as first and end, that repeat an earlier passage too often."""
    size, count = config.words, len(words) - config.words + 1
    if count <= config.times:
        return []
    numbers: dict[str, int] = {}
    ids = np.array(
        [numbers.setdefault(w.group().lower(), len(numbers) + 1) for w in words], np.uint64
    )
    hashes = np.zeros(count, np.uint64)
    with np.errstate(over="ignore"):
        for step in range(size):
            hashes = hashes * BASE + ids[step : step + count]
    _, first, inverse, times = np.unique(
        hashes, return_index=True, return_inverse=True, return_counts=True
    )
    places = np.flatnonzero((times[inverse] > config.times) & (first[inverse] != np.arange(count)))
    runs: list[tuple[int, int]] = []
    covered = np.zeros(len(words) + 1, bool)
    for place in places.tolist():
        source = int(first[inverse[place]])
        if not np.array_equal(ids[source : source + size], ids[place : place + size]):
            continue  # equal hashes of unequal words
        covered[max(place, source + size) : place + size] = True
    edges = np.flatnonzero(np.diff(np.concatenate(([False], covered)).astype(np.int8)))
    runs += [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    return runs


def gopher(text: str) -> str:
    """Which of Gopher's rules for repetition a chapter breaks, or nothing."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if len(lines) > 20:
        doubled = len(lines) - len(set(lines))
        if doubled / len(lines) > GOPHER_LINES:
            return "gopher: duplicate lines"
    words = WORD.findall(text.lower())
    if len(words) < 50:
        return ""
    for size, limit in GOPHER.items():
        grams = Counter(zip(*(words[at:] for at in range(size)), strict=False))
        top, times = max(grams.items(), key=lambda item: item[1])
        if times > 1 and times * sum(map(len, top)) / sum(map(len, words)) > limit:
            return f"gopher: top {size}-gram"
    return ""
