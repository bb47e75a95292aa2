"""A micro-batch of training, from token shards or from rendered examples.

A source of batches is a pure function of the step: `batches(step)` returns the micro-batches of
that optimizer step, so a resumed run reads the same data as an uninterrupted one.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor

from groundup.kernels import Branches


class MicroBatch(NamedTuple):
    """One micro-batch; fields that an objective does not need are None."""

    ids: Int[Tensor, "B T"]
    targets: Int[Tensor, "B T"]
    """Target id at each position: the next token, or the masked one."""
    weights: Float[Tensor, "B T"]
    """Loss weight of each target; 0 excludes it."""
    documents: Int[Tensor, "B T"] | None
    """Document number of each position; attention stays within it, -1 is padding."""
    names: tuple[str, ...] = ()
    """Source documents of the sequences, for error messages."""
    source: Int[Tensor, "B S"] | None = None
    """Encoder input of an encoder-decoder."""
    source_documents: Int[Tensor, "B S"] | None = None
    """Document numbers of `source`; cross-attention stays within a document."""
    types: Int[Tensor, "B T"] | None = None
    """Segment ids (BERT's token types): first or second text of a pair."""
    prefix: Bool[Tensor, "B T"] | None = None
    """Positions with bidirectional attention (prefix LM)."""
    edges: Int[Tensor, "B T 3"] | None = None
    """For a masked span's token: the positions left and right of the span, and the offset in it."""
    labels: Int[Tensor, " B"] | Float[Tensor, " B"] | None = None
    """Class of each sequence, or a regression target."""
    label_weights: Float[Tensor, " B"] | None = None
    """Loss weight of each sequence's label, in targets."""
    positions: Int[Tensor, "B T"] | None = None
    """Position ids, where they differ from the order in the sequence."""
    reference: Float[Tensor, "B T"] | None = None
    """Log-probability of each target under another model, such as the one before training."""
    sampled: Float[Tensor, "B T"] | None = None
    """Log-probability of each target when it was sampled."""
    advantages: Float[Tensor, "B T"] | None = None
    """How much better than expected a target is, or the answer that it is of."""
    values: Float[Tensor, "B T"] | None = None
    """The value of each target when it was sampled."""
    returns: Float[Tensor, "B T"] | None = None
    """What each target's value turned out to be."""
    branches: Branches | None = None
    """How each row forks: a prompt, and answers to it."""


@lru_cache(4)
def _epoch_order(seed: int, epoch: int, count: int) -> Int64[np.ndarray, " count"]:
    return np.random.default_rng([seed, epoch]).permutation(count)


def shuffled_indices(step: int, size: int, count: int, seed: int) -> list[int]:
    """Which of `count` examples a step of `size` reads; each epoch is another permutation.

    >>> sorted(shuffled_indices(0, 2, 4, seed=7) + shuffled_indices(1, 2, 4, seed=7))
    [0, 1, 2, 3]
    """
    places = (divmod(place, count) for place in range(step * size, (step + 1) * size))
    return [int(_epoch_order(seed, epoch, count)[at]) for epoch, at in places]


BatchSource = Callable[[int], Sequence[MicroBatch]]


def single_document_batch(
    ids: Int[Tensor, "B T_plus_1"], names: tuple[str, ...] = ()
) -> MicroBatch:
    """A batch of sequences that are each one document, without padding.

    >>> single_document_batch(torch.tensor([[5, 6, 7]])).targets
    tensor([[6, 7]])
    """
    inputs, targets = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
    return MicroBatch(inputs, targets, torch.ones(targets.shape), None, names)


def split_batch(batch: MicroBatch, parts: int) -> list[MicroBatch]:
    """Split a batch into micro-batches of nearly equal size; gradients do not change."""
    count = min(parts, len(batch.ids))
    rows = torch.arange(len(batch.ids)).tensor_split(count)
    columns = {
        name: value.tensor_split(count)
        for name, value in batch._asdict().items()
        if isinstance(value, Tensor)
    }
    names = batch.names if len(batch.names) == len(batch.ids) else ()
    return [
        batch._replace(
            names=tuple(names[int(row)] for row in rows[i] if names),
            **{name: column[i] for name, column in columns.items()},
        )
        for i in range(count)
    ]


def batch_to_device(batch: MicroBatch, device: torch.device) -> MicroBatch:
    """Move a batch to a device."""
    tensors = {n: v.to(device) for n, v in batch._asdict().items() if isinstance(v, Tensor)}
    return batch._replace(**tensors)
