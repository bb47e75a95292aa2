"""Held-out documents in bits per byte: of a model's scores, and of a compressor as its baseline.

An undefined result is a Reason, such as too few groups.
"""

import lzma
from collections.abc import Iterable, Sequence
from math import inf, log

import numpy as np

from groundup.core import Reason
from groundup.measure import Interval, bootstrap

from ..likelihood import DocumentScore

NATS_PER_BIT = log(2)
NON_NEGATIVE = (0.0, inf)


def bits_per_byte(
    scores: Sequence[DocumentScore], *, confidence: float = 0.95
) -> Interval | Reason:
    """Bits per byte of all documents together, resampled by name.

    >>> def score(name, bits): return DocumentScore(name, bits * log(2), 10, 4, "")
    >>> print(bits_per_byte([score("a", 8.0), score("b", 12.0)]).estimate)
    1.0
    """
    groups = [score.name for score in scores]
    if (count := len(set(groups))) < 2:
        text = f"An interval needs at least 2 documents or groups; there are {count}."
        return Reason("too_few_groups", text)
    bits = np.array([score.nats / NATS_PER_BIT for score in scores])
    size = np.array([score.bytes for score in scores], dtype=np.float64)
    return bootstrap(bits, groups, weights=size, confidence=confidence, limits=NON_NEGATIVE)


def score_compressor(documents: Iterable[tuple[str, str]]) -> list[DocumentScore]:
    """Score documents, given as (name, text), by xz: a baseline without a model.

    Each document is compressed alone, at the highest preset, without the container's header. Sizes
    are in nats, as a model's are.
    """
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}]
    scores = []
    for name, text in documents:
        data = text.encode()
        size = len(lzma.compress(data, format=lzma.FORMAT_RAW, filters=filters))
        nats = size * 8 * NATS_PER_BIT
        scores.append(DocumentScore(name, nats, len(data), size, "compressor|xz|preset:9e|alone"))
    return scores
