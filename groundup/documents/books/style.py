"""Style: parts of a book that another hand may have written. Flagged, never cut.

Windows of 2,000 words are compared with the rest of the book by the words that carry no topic:
Burrows' Delta (mean difference of frequencies in standard deviations) and the Jensen-Shannon
divergence of function words. A window is judged against the others without itself, so that it
cannot hide in their spread. Knows nothing of topics, and says nothing of short books.
"""

import re
from collections import Counter

import numpy as np

from groundup.core import Config

from ..record import PASS, Record, Ruling, Span
from .words import WORD

FLOOR = 0.05
"""Smallest spread of a measure, as a share of its mean, that a window is judged by."""


class StyleConfig(Config):
    """How windows are cut and when one stands out."""

    window_words: int = 2_000
    """Words of a window. Source: research notes; Burrows 2002 needs 1,500 for stable ranks."""
    frequent_words: int = 100
    """The book's most frequent words that are compared. Source: Burrows 2002 used 150 of novels;
    windows of 2,000 words see the last fifty too seldom."""
    least_windows: int = 8
    """Windows a book must have: of fewer none can stand out. Source: own judgement."""
    flag: float = 3.0
    """Standard deviations from the other windows' mean. Source: the issue, z > 3."""


class Style:
    """Marks windows whose function words stand out with spans `style`."""

    def __init__(self, config: StyleConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> Ruling:
        """Measure every window against the rest."""
        words = list(re.finditer(WORD, record.text))
        size = self.config.window_words
        windows = [words[at : at + size] for at in range(0, len(words) - size // 2, size)]
        if len(windows) < self.config.least_windows:
            return PASS
        counts = [Counter(match.group().lower() for match in window) for window in windows]
        total = sum(counts, Counter())
        chosen = [
            word
            for word, _ in sorted(total.items(), key=lambda item: (-item[1], item[0]))
            if len(word) < 8 and sum(word in one for one in counts) * 2 > len(counts)
        ][: self.config.frequent_words]
        table = np.array([[one[word] for word in chosen] for one in counts], dtype=float)
        if not table.size:
            return PASS
        shares = table / np.array([[max(sum(one.values()), 1)] for one in counts])
        deltas, divergences = burrows_delta(shares), jensen_shannon(table)
        z = np.maximum(standing_out(deltas), standing_out(divergences))
        spans = tuple(
            Span("style", window[0].start(), window[-1].end(), f"z={value:.1f}")
            for window, value in zip(windows, z, strict=True)
            if value > self.config.flag
        )
        metadata = {
            "style_windows": len(windows),
            "style_flagged": len(spans),
            "style_largest_z": round(float(z.max()), 2),
        }
        return Ruling(metadata=metadata, spans=spans)


def burrows_delta(shares: np.ndarray) -> np.ndarray:
    """Mean absolute difference of a window's word shares from the others', in their deviations."""
    count = len(shares)
    mean = (shares.sum(0) - shares) / (count - 1)
    square = (np.square(shares).sum(0) - np.square(shares)) / (count - 1)
    deviation = np.sqrt(np.maximum(square - np.square(mean), 0)) + 1e-4
    return np.abs((shares - mean) / deviation).mean(1)


def jensen_shannon(counts: np.ndarray) -> np.ndarray:
    """Divergence in bits of a window's distribution over the words from the other windows'."""
    own = (counts + 0.5) / (counts + 0.5).sum(1, keepdims=True)
    rest = counts.sum(0) - counts + 0.5
    rest = rest / rest.sum(1, keepdims=True)
    middle = (own + rest) / 2
    return ((own * np.log2(own / middle)).sum(1) + (rest * np.log2(rest / middle)).sum(1)) / 2


def standing_out(values: np.ndarray) -> np.ndarray:
    """How many deviations of the others a value lies above the others' mean."""
    count = len(values)
    mean = (values.sum() - values) / (count - 1)
    square = (np.square(values).sum() - np.square(values)) / (count - 1)
    deviation = np.sqrt(np.maximum(square - np.square(mean), 0))
    return (values - mean) / np.maximum(deviation, FLOOR * mean + 1e-12)
