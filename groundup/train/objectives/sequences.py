"""Source and target batches: the encoder reads the source, the decoder writes the target.

    decoder input    <start>  Guten    Tag
    target            Guten    Tag    <end>

A sequence may pack several pairs: each is a document, and its target attends to its own source.
Padding has document -1 and weight 0.
Source: shifted targets (teacher forcing): Sutskever et al. 2014, arXiv:1409.3215.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from groundup.core import DataError
from groundup.tokenizer import DOCUMENT_END

from ..batches import MicroBatch
from .draws import KeyedRandom
from .objective import BatchInputs
from .token_properties import document_spans


class SourceTarget(NamedTuple):
    """Ids of a source and of its target, end token included."""

    source: list[int]
    target: list[int]


def sequence_batch(
    rows: Sequence[Sequence[SourceTarget]],
    *,
    start: int,
    names: tuple[str, ...] = (),
    length: int | None = None,
    multiple: int = 1,
) -> MicroBatch:
    """A batch of packed pairs.

    start     id before the first token of a target; also the padding id
    length    padded length of sources and maximum of targets; None: as long as needed
    multiple  padded lengths are multiples of this, which limits the number of shapes

    >>> batch = sequence_batch([[SourceTarget([7, 8], [5, 6, 0])]], start=1)
    >>> batch.ids, batch.targets
    (tensor([[1, 5, 6]]), tensor([[5, 6, 0]]))

    Raises DataError if a source is empty, and if a source or a target is longer than `length`.
    """
    for number, row in enumerate(rows):
        if not all(pair.source for pair in row):
            raise DataError(f"Row {number} has a pair without a source; remove the pair.")
    sources = [[pair.source for pair in row] for row in rows]
    targets = [[pair.target for pair in row] for row in rows]
    shifted = [[[start, *target[:-1]] if target else [] for target in row] for row in targets]
    S = _round_up_to_multiple(_longest_sequence(sources), multiple) if length is None else length
    T = _round_up_to_multiple(_longest_sequence(targets), multiple)
    if length is not None:
        _check_length(max(_longest_sequence(sources), _longest_sequence(targets)), length)
        T = min(T, length)
    documents = _pair_numbers(targets, T)
    return MicroBatch(
        _pad_rows(shifted, T, start),
        _pad_rows(targets, T, start),
        (documents >= 0).float(),
        documents,
        names,
        source=_pad_rows(sources, S, start),
        source_documents=_pair_numbers(sources, S),
    )


def corrupted_batch(
    making: BatchInputs, corrupt: Callable[[list[int], KeyedRandom], SourceTarget], multiple: int
) -> MicroBatch:
    """A batch of documents, each corrupted separately.

    corrupt   makes source and target from a document's ids
    multiple  see `sequence_batch`
    """
    rows, pairs = making.rows, []
    for row, documents in enumerate(rows.documents):
        draws, ids = making.keyed_random(row), rows.ids[row, 1:].tolist()
        pairs.append([corrupt(ids[start:stop], draws) for start, stop in document_spans(documents)])
    return sequence_batch(
        pairs,
        start=making.context.token_properties.special_token_id(DOCUMENT_END),
        names=rows.names,
        length=rows.documents.shape[1],
        multiple=multiple,
    )


def _check_length(longest: int, length: int) -> None:
    """Raise DataError if the longest sequence does not fit."""
    if longest > length:
        raise DataError(
            f"A source or target has {longest} tokens, more than length={length}; shorten it."
        )


def _round_up_to_multiple(length: int, multiple: int) -> int:
    """Round up to a multiple, at least one."""
    return max(1, -(-length // multiple)) * multiple


def _longest_sequence(rows: Sequence[Sequence[list[int]]]) -> int:
    """Tokens of the longest sequence."""
    return max((sum(map(len, row)) for row in rows), default=0)


def _pad_rows(rows: Sequence[Sequence[list[int]]], length: int, padding: int) -> Tensor:
    """Concatenate each row's ids and pad on the right, (B, length)."""
    flat = [[id for ids in row for id in ids] for row in rows]
    return torch.tensor([[*row, *[padding] * (length - len(row))] for row in flat])


def _pair_numbers(rows: Sequence[Sequence[list[int]]], length: int) -> Tensor:
    """Each token's pair number within its sequence, -1 in padding, (B, length)."""
    return _pad_rows([[[n] * len(ids) for n, ids in enumerate(row)] for row in rows], length, -1)
