"""Encoder objectives: predict masked tokens from both sides.

    masked         the cat sat on the mat  ->  the [MASK] sat on dog mat       targets: cat, the
    boundary       the [MASK] [MASK] [MASK] game    each is predicted from its own state, and from
                                                    `the`, `game` and its offset in the span
    next_sentence  [CLS] the cat sat [SEP] on the mat [SEP]      is next
                   [CLS] the cat sat [SEP] by law of 1871 [SEP]  is not
                   types 0 0 0 0 0   1 1 1 1

15 % of the tokens are chosen, in whole words; of these 80 % become [MASK], 10 % a random token and
10 % stay, so that the model cannot rely on [MASK] to find its targets. Special tokens and padding
are never chosen, and the random token is never special.
Lengths of boundary spans in words are geometric, l ~ Geo(0.2) up to 10, mean 3.8; each span is
masked, replaced or kept as one. Both its neighbours are unmasked tokens of its document.
In pairs each sequence's longest document is split at a word; with probability 1/2 the second half
comes from another document of the batch. A batch of only one document has no other, and all its
pairs are "next": use steps of several documents.
Source: Devlin et al. 2018, arXiv:1810.04805, section 3.1; whole words: its authors' code, 2019;
dynamic masking: Liu et al. 2019, arXiv:1907.11692, section 4.1; Joshi et al. 2019,
arXiv:1907.10529, sections 3.1 and 3.2. Departs: the papers' random token may be special; touching
spans are drawn again here, where SpanBERT's code merges them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64

from groundup.tokenizer import CLS, DOCUMENT_END, MASK, SEPARATOR

from ..batches import MicroBatch
from .objective import (
    BatchInputs,
    KeyedRandom,
    TokenProperties,
    TokenSpan,
    document_spans,
    token_spans,
    word_spans,
)

MASK_RATE = 0.15
MASKED_SHARE, RANDOM_SHARE = 0.8, 0.1


def masked_batch(making: BatchInputs) -> MicroBatch:
    """A batch with masked tokens; targets are the original ids, weighted where masked."""
    rows, known, noise = making.rows, making.context.token_properties, making.context.noise
    original = rows.ids[:, 1:]  # aligned with the document numbers
    ids, chosen = original.copy(), np.zeros(original.shape, dtype=bool)
    units = word_spans if noise.whole_words else token_spans
    for row, documents in enumerate(rows.documents):
        draws = making.keyed_random(row)
        candidates = [
            unit for p in document_spans(documents) for unit in units(original[row], p, known)
        ]
        chosen[row] = choose_masked_tokens(
            candidates, len(documents), noise.rate or MASK_RATE, draws
        )
        ids[row] = apply_mask(ids[row], chosen[row], known, draws)
    return batch_from_mask(making, ids, original, chosen)


def batch_from_mask(
    making: BatchInputs,
    ids: Int64[np.ndarray, "B T"],
    original: Int64[np.ndarray, "B T"],
    chosen: Bool[np.ndarray, "B T"],
) -> MicroBatch:
    """A batch from masked ids, original ids and the mask."""
    return MicroBatch(
        torch.from_numpy(ids),
        torch.from_numpy(original.copy()),
        torch.from_numpy(chosen.astype(np.float32)),
        torch.from_numpy(making.rows.documents),
        making.rows.names,
    )


def choose_masked_tokens(
    units: Sequence[TokenSpan], length: int, rate: float, draws: KeyedRandom
) -> Bool[np.ndarray, " length"]:
    """Choose words until the share of tokens is met, skipping words that would exceed it.

    The number of tokens is rounded stochastically, so its mean is the rate exactly.

    >>> spans = [TokenSpan(1, 3), TokenSpan(3, 5)]
    >>> choose_masked_tokens(spans, 6, 0.5, KeyedRandom(0)).astype(int).tolist()
    [0, 0, 0, 1, 1, 0]
    """
    chosen = np.zeros(length, dtype=bool)
    remaining = draws.round_stochastically(rate * sum(unit.end - unit.start for unit in units))
    for index in draws.permutation(len(units)):
        start, end = units[index]
        if end - start <= remaining:
            chosen[start:end] = True
            remaining -= end - start
        if not remaining:
            break
    return chosen


def apply_mask(
    ids: Int64[np.ndarray, " T"],
    chosen: Bool[np.ndarray, " T"],
    known: TokenProperties,
    draws: KeyedRandom,
) -> Int64[np.ndarray, " T"]:
    """Replace chosen tokens by [MASK] (80 %), a random token (10 %) or themselves (10 %)."""
    fate, other = draws.uniform(len(ids)), draws.uniform(len(ids))
    return replace_by_draw(ids, chosen, fate, other, known)


def replace_by_draw(
    ids: Int64[np.ndarray, " T"],
    chosen: Bool[np.ndarray, " T"],
    draw: np.ndarray,
    other: np.ndarray,
    known: TokenProperties,
) -> Int64[np.ndarray, " T"]:
    """Replace chosen tokens; `draw` in [0, 1) selects how, `other` the random token."""
    random = known.ordinary_ids[(other * len(known.ordinary_ids)).astype(np.int64)]
    shown = np.where(draw < MASKED_SHARE, known.special_token_id(MASK), random)
    return np.where(chosen & (draw < MASKED_SHARE + RANDOM_SHARE), shown, ids)


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


IS_NEXT, IS_RANDOM = 0, 1
NUM_SPECIAL_TOKENS = 3
"""[CLS] and two [SEP]."""


class SplitDocument(NamedTuple):
    """A sequence's longest document in two parts."""

    document: int
    first: list[int]
    second: list[int]


def pair_batch(making: BatchInputs) -> MicroBatch:
    """A batch of pairs with masked tokens; a label weighs as much as a sequence's mean targets."""
    known, noise = making.context.token_properties, making.context.noise
    halves = [_split_longest_document(making, row) for row in range(len(making.rows.ids))]
    shape = making.rows.documents.shape
    original = np.full(shape, known.special_token_id(DOCUMENT_END), dtype=np.int64)
    documents, types = np.full(shape, -1, dtype=np.int32), np.zeros(shape, dtype=np.int64)
    labels, ids = np.zeros(shape[0], dtype=np.int64), original.copy()
    chosen = np.zeros(shape, dtype=bool)
    units = word_spans if noise.whole_words else token_spans
    for row, own in enumerate(halves):
        draws = making.keyed_random(row)
        others = [each for each in halves if each.document != own.document and each.second]
        is_other = draws.uniform_scalar() < 0.5 and bool(others)
        labels[row] = IS_RANDOM if is_other else IS_NEXT
        second = others[draws.random_integer(len(others))].second if is_other else own.second
        pair = _join_pair(own.first, second, known, shape[1])
        size, border = len(pair), 2 + len(own.first)
        original[row, :size], documents[row, :size] = pair, 0
        types[row, border:size] = 1
        candidates = units(original[row], TokenSpan(0, size), known)
        chosen[row] = choose_masked_tokens(candidates, shape[1], noise.rate or MASK_RATE, draws)
        ids[row] = apply_mask(original[row], chosen[row], known, draws)
    weights = chosen.astype(np.float32)
    each = np.full(len(labels), weights.sum() / len(labels), dtype=np.float32)
    return MicroBatch(
        torch.from_numpy(ids), torch.from_numpy(original), torch.from_numpy(weights),
        torch.from_numpy(documents), making.rows.names, types=torch.from_numpy(types),
        labels=torch.from_numpy(labels), label_weights=torch.from_numpy(each),
    )  # fmt: skip


def _split_longest_document(making: BatchInputs, row: int) -> SplitDocument:
    """The longest document of a sequence, split at the start of a word, without its end token."""
    rows, known = making.rows, making.context.token_properties
    ids, draws = rows.ids[row, 1:], making.keyed_random(row, "cut")
    spans = document_spans(rows.documents[row])
    if not spans:
        return SplitDocument(-1, [], [])
    longest = max(spans, key=lambda span: span.end - span.start)
    most = rows.documents.shape[1] - NUM_SPECIAL_TOKENS
    inside = ids[longest.start : longest.end]
    body = inside[~known.is_special[inside]][:most]
    starts = [word.start for word in word_spans(body, TokenSpan(0, len(body)), known)]
    cut = starts[1 + draws.random_integer(len(starts) - 1)] if len(starts) > 1 else len(body)
    document = int(rows.documents[row, longest.start])
    return SplitDocument(document, body[:cut].tolist(), body[cut:].tolist())


def _join_pair(first: list[int], second: list[int], known: TokenProperties, most: int) -> list[int]:
    """[CLS] first [SEP] second [SEP], the second truncated to fit."""
    mark, border = known.special_token_id(CLS), known.special_token_id(SEPARATOR)
    room = most - NUM_SPECIAL_TOKENS - len(first)
    return [mark, *first, border, *second[:room], border]
