"""Batches: what one micro-batch of training is, from token shards or from rendered examples.

A source of batches is a pure function of the step: `batches(step)` gives the micro-batches of that
optimizer step, whatever was asked before. So a resumed run sees what the undisturbed one saw.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class Batch(NamedTuple):
    """One micro-batch; what an objective does not need is None."""

    ids: Int[Tensor, "B T"]
    targets: Int[Tensor, "B T"]
    """What is to be told at each position: the id that follows, or the one that was hidden."""
    weights: Float[Tensor, "B T"]
    """How much each target counts; 0 leaves it out of the loss."""
    documents: Int[Tensor, "B T"] | None
    """Number of each position's document; attention stays within it, -1 is padding."""
    names: tuple[str, ...] = ()
    """Where the rows come from, for error messages."""
    source: Int[Tensor, "B S"] | None = None
    """What the encoder of an encoder–decoder reads."""
    source_documents: Int[Tensor, "B S"] | None = None
    """Numbers as in `documents`: a position reads the source of its own document."""
    types: Int[Tensor, "B T"] | None = None
    """Kind of segment: the first or the second text of a pair."""
    prefix: Bool[Tensor, "B T"] | None = None
    """Positions that their whole document sees."""
    edges: Int[Tensor, "B T 3"] | None = None
    """For a token of a hidden span: positions just left and right of the span, place in it."""
    labels: Int[Tensor, " B"] | Float[Tensor, " B"] | None = None
    """Class of each row, or a number."""
    label_weights: Float[Tensor, " B"] | None = None
    """How many targets a row's class counts for."""
    positions: Int[Tensor, "B T"] | None = None
    """Places of the positions where they are not those of their order in the row."""


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
    rows = torch.arange(len(batch.ids)).tensor_split(pieces)
    columns = {
        name: value.tensor_split(pieces)
        for name, value in batch._asdict().items()
        if isinstance(value, Tensor)
    }
    names = batch.names if len(batch.names) == len(batch.ids) else ()
    return [
        batch._replace(
            names=tuple(names[int(row)] for row in rows[i] if names),
            **{name: column[i] for name, column in columns.items()},
        )
        for i in range(pieces)
    ]


def placed(batch: Batch, place: torch.device) -> Batch:
    """The batch on a device."""
    tensors = {n: v.to(place) for n, v in batch._asdict().items() if isinstance(v, Tensor)}
    return batch._replace(**tensors)
