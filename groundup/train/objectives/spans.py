"""Masked spans and what their edges tell: SpanBERT's objective.

    the [MASK] [MASK] [MASK] game    told of each: by its own state, and from `the`, `game` and
                                     its place in the span

Lengths in words are geometric, l ~ Geo(0.2) up to 10, 3.8 in the mean; spans are drawn until 15 %
of the tokens are hidden, and a whole span is masked, replaced or left. Both its neighbours are
in its document and seen: spans do not touch each other, and none lies at a row's edge.
Source: Joshi et al. 2019, arXiv:1907.10529, sections 3.1 and 3.2. Departs: spans that touch are
drawn again here; in the paper's code they become one.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float64

from ..batches import Batch
from .draws import Draws
from .masked import RATE, hidden_batch, with_fates
from .objective import Making
from .vocabulary import Span, pieces, tokens, words

CONTINUES, LONGEST = 0.8, 10
LENGTHS: Float64[np.ndarray, "10"] = CONTINUES ** np.arange(LONGEST, dtype=np.float64)
"""Weight of each length from 1 on."""
TRIES = 4
"""How often a place is drawn for each word of a row before its share is given up."""


def boundary_batch(making: Making) -> Batch:
    """Rows with hidden spans; `edges` tells each hidden token's span and its place in it."""
    rows, known, noise = making.rows, making.setting.known, making.setting.noise
    original = rows.ids[:, 1:]
    ids, chosen = original.copy(), np.zeros(original.shape, dtype=bool)
    edges = np.zeros((*original.shape, 3), dtype=np.int64)
    units = words if noise.whole_words else tokens
    for row, documents in enumerate(rows.documents):
        draws, found = making.draws(row), pieces(documents)
        inside = [units(original[row], piece, known) for piece in found]
        fate = np.ones(len(documents))
        for start, end in draw_spans(found, inside, noise.rate or RATE, draws):
            chosen[row, start:end] = True
            fate[start:end] = draws.chance()
            edges[row, start:end] = [(start - 1, end, place) for place in range(end - start)]
        other = draws.uniform(len(documents))
        ids[row] = with_fates(ids[row], chosen[row], fate, other, known)
    batch = hidden_batch(making, ids, original, chosen)
    return batch._replace(edges=torch.from_numpy(edges))


def draw_spans(
    documents: Sequence[Span], inside: Sequence[Sequence[Span]], rate: float, draws: Draws
) -> list[Span]:
    """Spans of whole words that hide a share of a row's tokens, in order.

    documents  where each lies
    inside     the words of each
    """
    units = [(word, piece) for piece, found in enumerate(inside) for word in range(len(found))]
    left = draws.rounded(rate * sum(w.end - w.start for found in inside for w in found))
    taken = np.zeros(max((piece.end for piece in documents), default=0) + 1, dtype=bool)
    spans: list[Span] = []
    for _ in range(TRIES * len(units)):
        if not left:
            break
        word, piece = units[draws.below(len(units))]
        length = 1 + int(draws.weighted(LENGTHS, 1)[0])
        span = fitted(inside[piece][word : word + length], left)
        if span.start <= documents[piece].start or span.end >= documents[piece].end:
            continue  # without a neighbour on either side
        if span.end == span.start or taken[span.start - 1 : span.end + 1].any():
            continue
        taken[span.start : span.end] = True
        left -= span.end - span.start
        spans.append(span)
    return sorted(spans)


def fitted(found: Sequence[Span], most: int) -> Span:
    """The first words in a row that are at most so many tokens together.

    >>> fitted([Span(4, 6), Span(6, 7), Span(7, 9)], 4)
    Span(start=4, end=7)
    """
    start = end = found[0].start
    for word in found:
        if word.end - start > most or word.start != end:
            break
        end = word.end
    return Span(start, end)
