"""Denoising (BART): reconstruct a document with shuffled sentences and masked spans.

    A b c. D e f.   ->   source   D [MASK] . A b c .      target   A b c . D e f .

Spans of Poisson(3) tokens, 30 % of all, become one [MASK] each, so their lengths must be predicted
too; an empty span inserts a [MASK] where nothing is missing. Spans do not touch. Sentences end with
tokens that end in a full stop.
Source: Lewis et al. 2019, arXiv:1910.13461, section 2.2. Departs: no mask is inserted where the
source would become longer than its document.
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from groundup.tokenizer import DOCUMENT_END, MASK

from ..batches import MicroBatch
from .draws import KeyedRandom
from .objective import BatchInputs, NoiseConfig
from .sequences import SourceTarget, corrupted_batch
from .token_properties import TokenProperties

INFILLING_RATE = 0.3
MAX_SPAN_LENGTH = 30


def denoising_batch(making: BatchInputs) -> MicroBatch:
    """A batch of corrupted documents, with the originals as targets."""
    known, noise = making.context.token_properties, making.context.noise

    def damage(ids: list[int], draws: KeyedRandom) -> SourceTarget:
        return _corrupt_document(ids, known, noise, draws)

    return corrupted_batch(making, damage, making.rows.documents.shape[1])


def _corrupt_document(
    ids: list[int], known: TokenProperties, noise: NoiseConfig, draws: KeyedRandom
) -> SourceTarget:
    """One corrupted document and the original; the end token is kept."""
    has_end = ids[-1] == known.special_token_id(DOCUMENT_END)
    body, tail = (ids[:-1], ids[-1:]) if has_end else (ids, [])
    if noise.permute:
        sentences = _split_sentences(body, known)
        body = [id for index in draws.permutation(len(sentences)) for id in sentences[index]]
    lengths = _draw_span_lengths(len(body), noise, draws)
    return SourceTarget(_mask_spans(body, lengths, known.special_token_id(MASK), draws) + tail, ids)


def _split_sentences(ids: Sequence[int], known: TokenProperties) -> list[list[int]]:
    """The sentences of a document; concatenated, they are the document."""
    sentences, current = list[list[int]](), list[int]()
    for id in ids:
        current.append(id)
        if known.ends_sentence[id]:
            sentences.append(current)
            current = []
    return [*sentences, current] if current else sentences


def _poisson_probabilities(mean: float) -> Float64[np.ndarray, " lengths"]:
    """Poisson probability of each length from 0 to `MAX_SPAN_LENGTH`.

    >>> _poisson_probabilities(3.0)[:3].round(3).tolist()
    [0.05, 0.149, 0.224]
    """
    counts = np.arange(MAX_SPAN_LENGTH + 1)
    factorials = np.array([math.lgamma(count + 1) for count in counts])
    return np.exp(counts * math.log(mean) - mean - factorials)


def _draw_span_lengths(length: int, noise: NoiseConfig, draws: KeyedRandom) -> list[int]:
    """Span lengths that add up to the share of masked tokens; the last is shortened to fit."""
    remaining, lengths = (
        draws.round_stochastically(length * (noise.rate or INFILLING_RATE)),
        list[int](),
    )
    weights = _poisson_probabilities(noise.mean_length)
    while remaining:
        drawn = min(int(draws.weighted_choice(weights, 1)[0]), remaining)
        lengths.append(drawn)
        remaining -= drawn
    return lengths


def _mask_spans(
    ids: Sequence[int], lengths: Sequence[int], mask: int, draws: KeyedRandom
) -> list[int]:
    """Ids with non-overlapping spans of these lengths each replaced by one mask.

    >>> _mask_spans([5, 6, 7, 8], [2, 0], 1, KeyedRandom(3))
    [1, 7, 8, 1]
    """
    shown = len(ids) - sum(lengths)
    lengths = _fit_spans(lengths, shown, len(ids))
    slots = draws.sorted_sample(len(lengths), shown + 1).tolist()
    source, position, seen = list[int](), 0, 0
    for slot, length in zip(slots, lengths, strict=True):
        source += [*ids[position : position + slot - seen], mask]
        position, seen = position + slot - seen + length, slot
    return source + list(ids[position:])


def _fit_spans(lengths: Sequence[int], shown: int, most: int) -> list[int]:
    """Drop empty spans and merge others until the source fits its document and spans do not touch.

    >>> _fit_spans([3, 0, 0, 2], 1, 6)
    [3, 2]
    """
    spans = list(lengths)
    while 0 in spans and (len(spans) > shown + 1 or shown + len(spans) > most):
        spans.remove(0)
    while len(spans) > shown + 1:
        last = spans.pop()
        spans[-1] += last
    return spans
