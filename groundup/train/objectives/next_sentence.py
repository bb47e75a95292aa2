"""Next sentence prediction (BERT), in addition to masked tokens.

    [CLS] the cat sat [SEP] on the mat [SEP]      is next
    [CLS] the cat sat [SEP] by law of 1871 [SEP]  is not
    types 0 0 0 0 0   1 1 1 1

A "sentence" is a span of text, as in the paper. Each sequence's longest document is split at a
word; with probability 1/2 the second half comes from another document of the batch. A batch of only
one document has no other, and all its pairs are "next": use steps of several documents.
Source: Devlin et al. 2018, arXiv:1810.04805, section 3.1, task 2.
"""

from typing import NamedTuple

import numpy as np
import torch

from groundup.tokenizer import CLS, DOCUMENT_END, SEPARATOR

from ..batches import MicroBatch
from .masked import MASK_RATE, apply_mask, choose_masked_tokens
from .objective import BatchInputs
from .token_properties import TokenProperties, TokenSpan, document_spans, token_spans, word_spans

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
