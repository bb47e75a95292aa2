"""Denoising: write out a whole document whose sentences were shuffled and whose spans were hidden.

    A b c. D e f.   ->   source   D [MASK] . A b c .      target   A b c . D e f .

Spans of Poisson(3) tokens, 30 % of all, become one [MASK] each, so how much is missing must be told
too; a span of no tokens puts a [MASK] where nothing is missing. Spans do not touch. Sentences end
with tokens that hold a full stop.
Source: Lewis et al. 2019, arXiv:1910.13461, section 2.2. Departs: a mask is not put in where the
source would become longer than its document.
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from groundup.tokenizer import DOCUMENT_END, MASK

from ..batches import Batch
from .draws import Draws
from .objective import Making, NoiseConfig
from .sequences import SourceTarget, damaged_batch
from .vocabulary import Vocabulary

RATE = 0.3
LONGEST = 30


def denoising_batch(making: Making) -> Batch:
    """Rows of damaged documents, and the documents."""
    known, noise = making.setting.known, making.setting.noise

    def damage(ids: list[int], draws: Draws) -> SourceTarget:
        return damaged(ids, known, noise, draws)

    return damaged_batch(making, damage, making.rows.documents.shape[1])


def damaged(ids: list[int], known: Vocabulary, noise: NoiseConfig, draws: Draws) -> SourceTarget:
    """One document, damaged, and as it was; its end is left alone."""
    has_end = ids[-1] == known.special(DOCUMENT_END)
    body, tail = (ids[:-1], ids[-1:]) if has_end else (ids, [])
    if noise.permute:
        sentences = cut(body, known)
        body = [id for place in draws.order(len(sentences)) for id in sentences[place]]
    lengths = draw_lengths(len(body), noise, draws)
    return SourceTarget(infilled(body, lengths, known.special(MASK), draws) + tail, ids)


def cut(ids: Sequence[int], known: Vocabulary) -> list[list[int]]:
    """The sentences of a document; joined, they are the document."""
    sentences, open_one = list[list[int]](), list[int]()
    for id in ids:
        open_one.append(id)
        if known.ends_sentence[id]:
            sentences.append(open_one)
            open_one = []
    return [*sentences, open_one] if open_one else sentences


def poisson(mean: float) -> Float64[np.ndarray, " lengths"]:
    """Probability of each length from 0 on.

    >>> poisson(3.0)[:3].round(3).tolist()
    [0.05, 0.149, 0.224]
    """
    counts = np.arange(LONGEST + 1)
    factorials = np.array([math.lgamma(count + 1) for count in counts])
    return np.exp(counts * math.log(mean) - mean - factorials)


def draw_lengths(length: int, noise: NoiseConfig, draws: Draws) -> list[int]:
    """Lengths of spans until a share of the tokens is hidden; the last one is shortened to fit."""
    left, lengths = draws.rounded(length * (noise.rate or RATE)), list[int]()
    weights = poisson(noise.mean_length)
    while left:
        drawn = min(int(draws.weighted(weights, 1)[0]), left)
        lengths.append(drawn)
        left -= drawn
    return lengths


def infilled(ids: Sequence[int], lengths: Sequence[int], mask: int, draws: Draws) -> list[int]:
    """Ids with spans of these lengths at places of their own, each one mask.

    >>> infilled([5, 6, 7, 8], [2, 0], 1, Draws(3))
    [1, 7, 8, 1]
    """
    shown = len(ids) - sum(lengths)
    lengths = fitting(lengths, shown, len(ids))
    slots = draws.places(len(lengths), shown + 1).tolist()
    source, place, seen = list[int](), 0, 0
    for slot, length in zip(slots, lengths, strict=True):
        source += [*ids[place : place + slot - seen], mask]
        place, seen = place + slot - seen + length, slot
    return source + list(ids[place:])


def fitting(lengths: Sequence[int], shown: int, most: int) -> list[int]:
    """Spans that leave a source no longer than its document and do not touch.

    >>> fitting([3, 0, 0, 2], 1, 6)
    [3, 2]
    """
    kept = list(lengths)
    while 0 in kept and (len(kept) > shown + 1 or shown + len(kept) > most):
        kept.remove(0)
    while len(kept) > shown + 1:
        first = kept.pop()
        kept[-1] += first
    return kept
