"""Masked spans with a span boundary objective (SpanBERT).

    the [MASK] [MASK] [MASK] game    each is predicted from its own state, and from `the`, `game`
                                     and its offset in the span

Lengths in words are geometric, l ~ Geo(0.2) up to 10, mean 3.8; spans are drawn until 15 % of the
tokens are masked, and each span is masked, replaced or kept as one. Both its neighbours are
unmasked tokens of its document: spans do not touch, and none is at the edge of a sequence.
Source: Joshi et al. 2019, arXiv:1907.10529, sections 3.1 and 3.2. Departs: touching spans are
drawn again here; in the paper's code they are merged.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float64

from ..batches import MicroBatch
from .draws import KeyedRandom
from .masked import MASK_RATE, batch_from_mask, replace_by_draw
from .objective import BatchInputs
from .token_properties import TokenSpan, document_spans, token_spans, word_spans

CONTINUE_PROBABILITY, MAX_SPAN_WORDS = 0.8, 10
LENGTH_WEIGHTS: Float64[np.ndarray, "10"] = CONTINUE_PROBABILITY ** np.arange(
    MAX_SPAN_WORDS, dtype=np.float64
)
"""Weight of each length from 1 on."""
DRAWS_PER_WORD = 4
"""Draws per word of a sequence before the remaining share is given up."""


def boundary_batch(making: BatchInputs) -> MicroBatch:
    """A batch with masked spans; `edges` has each masked token's span and its offset in it."""
    rows, known, noise = making.rows, making.context.token_properties, making.context.noise
    original = rows.ids[:, 1:]
    ids, chosen = original.copy(), np.zeros(original.shape, dtype=bool)
    edges = np.zeros((*original.shape, 3), dtype=np.int64)
    units = word_spans if noise.whole_words else token_spans
    for row, documents in enumerate(rows.documents):
        draws, spans = making.keyed_random(row), document_spans(documents)
        inside = [units(original[row], document, known) for document in spans]
        fate = np.ones(len(documents))
        for start, end in _draw_spans(spans, inside, noise.rate or MASK_RATE, draws):
            chosen[row, start:end] = True
            fate[start:end] = draws.uniform_scalar()
            edges[row, start:end] = [(start - 1, end, offset) for offset in range(end - start)]
        other = draws.uniform(len(documents))
        ids[row] = replace_by_draw(ids[row], chosen[row], fate, other, known)
    batch = batch_from_mask(making, ids, original, chosen)
    return batch._replace(edges=torch.from_numpy(edges))


def _draw_spans(
    documents: Sequence[TokenSpan],
    inside: Sequence[Sequence[TokenSpan]],
    rate: float,
    draws: KeyedRandom,
) -> list[TokenSpan]:
    """Spans of whole words that mask a share of a sequence's tokens, in order.

    documents  span of each document
    inside     spans of each document's words
    """
    units = [(word, number) for number, words in enumerate(inside) for word in range(len(words))]
    remaining = draws.round_stochastically(
        rate * sum(w.end - w.start for words in inside for w in words)
    )
    is_masked = np.zeros(max((each.end for each in documents), default=0) + 1, dtype=bool)
    spans: list[TokenSpan] = []
    for _ in range(DRAWS_PER_WORD * len(units)):
        if not remaining:
            break
        word, number = units[draws.random_integer(len(units))]
        length = 1 + int(draws.weighted_choice(LENGTH_WEIGHTS, 1)[0])
        span = _fit_words(inside[number][word : word + length], remaining)
        if span.start <= documents[number].start or span.end >= documents[number].end:
            continue  # without a neighbour on both sides
        if span.end == span.start or is_masked[span.start - 1 : span.end + 1].any():
            continue
        is_masked[span.start : span.end] = True
        remaining -= span.end - span.start
        spans.append(span)
    return sorted(spans)


def _fit_words(found: Sequence[TokenSpan], most: int) -> TokenSpan:
    """The longest run of adjacent leading words with at most `most` tokens.

    >>> _fit_words([TokenSpan(4, 6), TokenSpan(6, 7), TokenSpan(7, 9)], 4)
    TokenSpan(start=4, end=7)
    """
    start = end = found[0].start
    for word in found:
        if word.end - start > most or word.start != end:
            break
        end = word.end
    return TokenSpan(start, end)
