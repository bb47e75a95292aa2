"""Batches: what one micro-batch of training is, from token shards or from rendered examples.

A source of batches is a pure function of the step: `batches(step)` gives the micro-batches of that
optimizer step, whatever was asked before. So a resumed run sees what the undisturbed one saw.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Batch(NamedTuple):
    """One micro-batch."""

    ids: Int[Tensor, "B T"]
    targets: Int[Tensor, "B T"]
    """The id that follows each position."""
    weights: Float[Tensor, "B T"]
    """How much each target counts; 0 leaves it out of the loss."""
    documents: Int[Tensor, "B T"] | None
    """Number of each position's document; attention stays within it, -1 is padding."""
    names: tuple[str, ...] = ()
    """Where the rows come from, for error messages."""


Batches = Callable[[int], Sequence[Batch]]


def one_document(ids: Int[Tensor, "B T_plus_1"], names: tuple[str, ...] = ()) -> Batch:
    """Batch whose rows are each one document without padding.

    >>> one_document(torch.tensor([[5, 6, 7]])).targets
    tensor([[6, 7]])
    """
    inputs, targets = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
    return Batch(inputs, targets, torch.ones(targets.shape), None, names)


def split(batch: Batch, parts: int) -> list[Batch]:
    """Cut a batch's rows into micro-batches of nearly equal size; gradients do not change."""
    pieces = min(parts, len(batch.ids))
    columns = [
        value.tensor_split(pieces) if isinstance(value, Tensor) else [None] * pieces
        for value in batch[:4]
    ]
    names = batch.names if len(batch.names) == len(batch.ids) else ()
    starts = torch.arange(len(batch.ids)).tensor_split(pieces)
    return [
        Batch(*(column[i] for column in columns), tuple(names[int(j)] for j in starts[i] if names))  # type: ignore[arg-type]
        for i in range(pieces)
    ]
