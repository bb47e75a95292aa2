"""Decoder objectives: predict each next token, causally, after a prefix, or in the middle.

    causal   a b c d e           each from those before it
    prefix   [a b c] d e         the prefix attends to itself in both directions; no targets in it
    middle   prefix middle suffix <end>, as one of
             <prefix> prefix <suffix> suffix <middle> middle <end>       PSM
             <prefix> <suffix> suffix <middle> prefix middle <end>       SPM

In fill-in-the-middle half of the documents are transformed, half of these in either order. Split
points are uniform over characters, so a middle may begin within a token, as a user's cursor does.
All tokens are targets, the markers too. A transformed document keeps its length in the sequence:
its last four tokens make room for the markers and the end, and padding fills the rest.
Source: prefix language models: Liu et al. 2018, arXiv:1801.10198; drawn as in Raffel et al. 2019,
arXiv:1910.10683, section 3.2.1. Bavarian et al. 2022, arXiv:2207.14255, sections 3 and 3.1
(context-level FIM); SPM is its variant 2, which shares the markers of PSM.
"""

from typing import NamedTuple

import numpy as np
import torch

from groundup.tokenizer import DOCUMENT_END, MIDDLE, PREFIX, SUFFIX

from ..batches import MicroBatch
from .objective import BatchInputs, KeyedRandom, ObjectiveContext, document_spans


def causal_batch(making: BatchInputs) -> MicroBatch:
    """Windows unchanged: every token is a target once per epoch."""
    rows = making.rows
    ids = torch.from_numpy(rows.ids)
    return MicroBatch(
        ids[:, :-1],
        ids[:, 1:],
        torch.from_numpy(rows.weights),
        torch.from_numpy(rows.documents),
        rows.names,
    )


def prefix_batch(making: BatchInputs) -> MicroBatch:
    """Each document split in two: a prefix, and the targets after it.

    Of n positions the first c are the prefix, c uniform in 1 to n - 1; the last of them predicts
    the first token after the prefix. A document of one position has no prefix.
    """
    batch, rows = causal_batch(making), making.rows
    prefix = np.zeros(rows.documents.shape, dtype=bool)
    weights = rows.weights
    for row, documents in enumerate(rows.documents):
        draws = making.keyed_random(row)
        for document in document_spans(documents):
            length = document.end - document.start
            cut = 1 + draws.random_integer(length - 1) if length > 1 else 0
            prefix[row, document.start : document.start + cut] = True
            weights[row, document.start : document.start + max(cut - 1, 0)] = 0.0
    return batch._replace(prefix=torch.from_numpy(prefix), weights=torch.from_numpy(weights))


NUM_MARKERS = 4
"""Prefix, suffix, middle and end-of-document tokens."""


class MiddleSplit(NamedTuple):
    """A document in three parts."""

    prefix: list[int]
    middle: list[int]
    suffix: list[int]


def middle_batch(making: BatchInputs) -> MicroBatch:
    """Windows in which some documents have their middle moved to the end."""
    rows, setting = making.rows, making.context
    end = setting.token_properties.special_token_id(DOCUMENT_END)
    ids, documents = rows.ids.copy(), rows.documents.copy()
    for row, numbers in enumerate(rows.documents):
        draws = making.keyed_random(row)
        for document in document_spans(numbers):
            if draws.uniform_scalar() >= setting.noise.middle_rate:
                continue
            body = ids[row, 1 + document.start : 1 + document.end].tolist()
            moved = _move_middle(body, setting, draws)
            if moved is None:
                continue
            stop = document.start + len(moved)
            ids[row, document.start] = end  # hides the token before the window
            ids[row, 1 + document.start : 1 + document.end] = end
            ids[row, 1 + document.start : 1 + stop] = moved
            documents[row, stop : document.end] = -1
    return causal_batch(making._replace(rows=rows._replace(ids=ids, documents=documents)))


def _move_middle(
    body: list[int], setting: ObjectiveContext, draws: KeyedRandom
) -> list[int] | None:
    """A document with its middle last, in no more tokens than before; None if it is too short."""
    known = setting.token_properties
    end = known.special_token_id(DOCUMENT_END)
    text, room = [id for id in body if id != end], len(body) - NUM_MARKERS
    if room < 3:
        return None
    divide = _split_at_characters if setting.noise.characters else _split_at_tokens
    prefix, middle, suffix = divide(text[:room], setting, draws)
    suffix = suffix[: max(0, room - len(prefix) - len(middle))]
    if len(prefix) + len(middle) > room:
        return None  # encoding the parts separately gave too many tokens
    first, last, between = (known.special_token_id(name) for name in (PREFIX, SUFFIX, MIDDLE))
    if draws.uniform_scalar() < setting.noise.suffix_first:
        return [first, last, *suffix, between, *prefix, *middle, end]
    return [first, *prefix, last, *suffix, between, *middle, end]


def _split_at_tokens(ids: list[int], setting: ObjectiveContext, draws: KeyedRandom) -> MiddleSplit:
    low, high = sorted(draws.random_integer(len(ids) + 1) for _ in range(2))
    return MiddleSplit(ids[:low], ids[low:high], ids[high:])


def _split_at_characters(
    ids: list[int], setting: ObjectiveContext, draws: KeyedRandom
) -> MiddleSplit:
    tokenizer = setting.tokenizer
    text = tokenizer.decode_bytes(ids).decode("utf-8", "ignore")  # a window may cut a character
    low, high = sorted(draws.random_integer(len(text) + 1) for _ in range(2))
    return MiddleSplit(*map(tokenizer.encode, (text[:low], text[low:high], text[high:])))
