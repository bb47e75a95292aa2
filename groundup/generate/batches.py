"""Batches: which requests run together, and how prompts of different lengths become one tensor.

Requests of similar length share a batch, which keeps padding small. A request whose answer the
context would truncate runs only with requests of the same length: a longer one would truncate it
further.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

MAX_BATCH_TOKENS = 32_768
"""Positions in a batch at most, padding and answers included: bounds the cache."""
MAX_BATCH_SIZE = 128


class LeftPaddedPrompts(NamedTuple):
    """Left-padded prompts: each ends in the last column."""

    ids: Int[Tensor, "B T"]
    positions: Int[Tensor, "B T"]
    """Counted from each sequence's first token; 0 in the padding."""
    documents: Int[Tensor, "B T"] | None
    """-1 in the padding, else 0; None if there is no padding."""


def batch_by_length(
    lengths: Sequence[int], new_tokens: int, context_length: int
) -> Iterator[list[int]]:
    """Yield the indices of the requests of each batch, longest first.

    >>> list(batch_by_length([3, 9, 4], new_tokens=2, context_length=10))
    [[1], [2, 0]]
    """
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])

    def batch_key(i: int) -> int:  # the length if the context would truncate the answer, else 0
        return lengths[i] if lengths[i] + new_tokens > context_length else 0

    for _, group in groupby(order, key=batch_key):
        waiting = list(group)
        while waiting:
            size = MAX_BATCH_TOKENS // max(lengths[waiting[0]] + new_tokens, 1)
            size = min(max(size, 1), MAX_BATCH_SIZE)
            yield waiting[:size]
            waiting = waiting[size:]


def left_padded(
    prompts: Sequence[Sequence[int]], device: torch.device | str = "cpu"
) -> LeftPaddedPrompts:
    """Pad on the left, so that every sequence's next token is in the same column.

    >>> left_padded([[5, 6, 7], [8]]).positions
    tensor([[0, 1, 2],
            [0, 0, 0]])
    """
    width = max(len(prompt) for prompt in prompts)
    ids = torch.tensor([[0] * (width - len(prompt)) + list(prompt) for prompt in prompts])
    starts = torch.tensor([width - len(prompt) for prompt in prompts])
    positions = torch.arange(width) - starts[:, None]  # (B, T)
    documents = ((positions >= 0).long() - 1).to(device) if bool(starts.any()) else None
    return LeftPaddedPrompts(ids.to(device), positions.clamp(min=0).to(device), documents)


def right_padded(sequences: Sequence[Sequence[int]]) -> Int[Tensor, "B T"]:
    """Pad with id 0 on the right; `right_padding_documents` masks the padding."""
    width = max(len(row) for row in sequences)
    return torch.tensor([list(row) + [0] * (width - len(row)) for row in sequences])


def right_padding_documents(
    sequences: Sequence[Sequence[int]], device: torch.device | str = "cpu"
) -> Int[Tensor, "B T"] | None:
    """Document ids of `right_padded`: 0 for tokens, -1 for padding; None without padding.

    >>> right_padding_documents([[5, 6], [7]])
    tensor([[ 0,  0],
            [ 0, -1]])
    """
    lengths = torch.tensor([len(row) for row in sequences], device=device)
    width = int(lengths.max())
    if bool((lengths == width).all()):
        return None
    return (torch.arange(width, device=device) < lengths[:, None]).long() - 1
