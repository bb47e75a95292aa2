"""Fill in the middle: a decoder learns to write the text between two texts.

    document   prefix middle suffix <end>
    PSM        <prefix> prefix <suffix> suffix <middle> middle <end>
    SPM        <prefix> <suffix> suffix <middle> prefix middle <end>

Half of the documents are transformed, half of these in either order; the rest are unchanged. Split
points are uniform over characters, so a middle may begin within a token, as a user's cursor does.
All tokens are targets, the markers too. A transformed document keeps its length in the sequence:
its last four tokens make room for the markers and the end, and padding fills the rest.
Source: Bavarian et al. 2022, arXiv:2207.14255, sections 3 and 3.1 (context-level FIM); SPM is its
variant 2, which shares the markers of PSM.
"""

from typing import NamedTuple

from groundup.tokenizer import DOCUMENT_END, MIDDLE, PREFIX, SUFFIX

from ..batches import MicroBatch
from .causal import causal_batch
from .draws import KeyedRandom
from .objective import BatchInputs, ObjectiveContext
from .token_properties import document_spans

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
    """Split at token boundaries; any part may be empty."""
    low, high = sorted(draws.random_integer(len(ids) + 1) for _ in range(2))
    return MiddleSplit(ids[:low], ids[low:high], ids[high:])


def _split_at_characters(
    ids: list[int], setting: ObjectiveContext, draws: KeyedRandom
) -> MiddleSplit:
    """Split at characters, and encode the parts separately."""
    tokenizer = setting.tokenizer
    text = tokenizer.decode_bytes(ids).decode("utf-8", "ignore")  # a window may cut a character
    low, high = sorted(draws.random_integer(len(text) + 1) for _ in range(2))
    return MiddleSplit(*map(tokenizer.encode, (text[:low], text[low:high], text[high:])))
