"""Source and target: an encoder reads the one, a decoder writes the other.

    decoder reads   <start>  Guten    Tag
    and tells        Guten    Tag    <end>

A row may hold several pairs: each is a document, and its target reads its own source alone.
Padding is number -1 and weighs nothing.
Source: shifted targets ("teacher forcing"): Sutskever et al. 2014, arXiv:1409.3215.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from groundup.core import DataError
from groundup.tokenizer import DOCUMENT_END

from ..batches import Batch
from .draws import Draws
from .objective import Making
from .vocabulary import pieces


class SourceTarget(NamedTuple):
    """Ids of a source and of what is to be written of it, its end included."""

    source: list[int]
    target: list[int]


def sequence_batch(
    rows: Sequence[Sequence[SourceTarget]],
    *,
    start: int,
    names: tuple[str, ...] = (),
    length: int | None = None,
    multiple: int = 1,
) -> Batch:
    """A batch of rows of pairs.

    start     id before the first token of a target; also stands in padding
    length    tokens of a padded source, the most of a padded target; None: as many as they need
    multiple  padded lengths are multiples of this, so that few shapes arise

    >>> batch = sequence_batch([[SourceTarget([7, 8], [5, 6, 0])]], start=1)
    >>> batch.ids, batch.targets
    (tensor([[1, 5, 6]]), tensor([[5, 6, 0]]))

    Raises DataError if a source is empty, and if a source or a target is longer than `length`.
    """
    for number, row in enumerate(rows):
        if not all(pair.source for pair in row):
            raise DataError(f"Row {number} has a pair without a source; leave it out.")
    sources = [[pair.source for pair in row] for row in rows]
    targets = [[pair.target for pair in row] for row in rows]
    shifted = [[[start, *target[:-1]] if target else [] for target in row] for row in targets]
    S = rounded(longest(sources), multiple) if length is None else length
    T = rounded(longest(targets), multiple)
    if length is not None:
        check(max(longest(sources), longest(targets)), length)
        T = min(T, length)
    documents = numbers(targets, T)
    return Batch(
        filled(shifted, T, start), filled(targets, T, start), (documents >= 0).float(), documents,
        names, source=filled(sources, S, start), source_documents=numbers(sources, S),
    )  # fmt: skip


def damaged_batch(
    making: Making, damage: Callable[[list[int], Draws], SourceTarget], multiple: int
) -> Batch:
    """Rows of documents, each damaged on its own, and what is to be written of them.

    damage    makes source and target of a document's ids
    multiple  see `sequence_batch`
    """
    rows, pairs = making.rows, []
    for row, documents in enumerate(rows.documents):
        draws, ids = making.draws(row), rows.ids[row, 1:].tolist()
        pairs.append([damage(ids[start:stop], draws) for start, stop in pieces(documents)])
    return sequence_batch(
        pairs, start=making.setting.known.special(DOCUMENT_END), names=rows.names,
        length=rows.documents.shape[1], multiple=multiple,
    )  # fmt: skip


def check(longest: int, length: int) -> None:
    """Refuse what does not fit."""
    if longest > length:
        raise DataError(
            f"A source or target has {longest} tokens, and {length} is the most; shorten it."
        )


def rounded(length: int, multiple: int) -> int:
    """The next multiple of a length, at least one."""
    return max(1, -(-length // multiple)) * multiple


def longest(rows: Sequence[Sequence[list[int]]]) -> int:
    """Tokens of the longest row."""
    return max((sum(map(len, row)) for row in rows), default=0)


def filled(rows: Sequence[Sequence[list[int]]], length: int, padding: int) -> Tensor:
    """Rows of ids, padded on the right, (B, length)."""
    flat = [[id for part in row for id in part] for row in rows]
    return torch.tensor([[*row, *[padding] * (length - len(row))] for row in flat])


def numbers(rows: Sequence[Sequence[list[int]]], length: int) -> Tensor:
    """Each token's place of its pair in the row, -1 in padding, (B, length)."""
    return filled([[[n] * len(part) for n, part in enumerate(row)] for row in rows], length, -1)
