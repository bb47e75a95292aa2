"""A paged decoder over any model with a contiguous cache: what the native stack does not compute.

All sequences decode in one state of the model. A prompt that begins joins it; what has ended stays
as padding until a quarter of the rows has, or no column is left, and the rest moves to a state of
its own. Blocks are only counted: a sequence is known by its first one. Prompts are read whole,
after what most of them begin with.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from groundup.model import PagedBatch, PagedShape

from ..cached import NO_PREFIX, CachedModel, SharedPrefix, eval_mode, prefill

COMPACT_BELOW = 0.75
"""Drop ended sequences once at most this share still runs: dropping copies the cache."""
GROWTH = 256
"""Columns that a state has beyond its longest sequence."""


class ContiguousDecoder:
    """Fulfils `PagedDecoder` for an engine without drafts, each of whose requests has a salt."""

    def __init__(
        self, model: CachedModel, num_blocks: int, *, vocab_size: int, batch_tokens: int,
        prefix: SharedPrefix = NO_PREFIX,
    ) -> None:  # fmt: skip
        """Begin without sequences.

        num_blocks    that the engine may count with
        batch_tokens  of prompts that are computed at a time, padding included
        prefix        computed once for all prompts that begin with it and are longer
        """
        self.model, self.num_blocks, self.prefix = model, num_blocks, prefix
        self.batch_tokens, self.project = batch_tokens, model.projection(vocab_size)
        self.shape = PagedShape(len(model.head), model.context_length, chunks=False)
        self._state: Any = None
        self._rows: list[int] = []
        """First block of each sequence of the state."""
        self._lengths: dict[int, int] = {}
        """Tokens of each sequence that goes on, by its first block."""
        self._room = 0
        """Columns that are left."""

    def copy_block(self, source: int, target: int) -> None:
        """Raises AssertionError: with a salt of its own no sequence shares a block."""
        raise AssertionError("called for requests that share a salt")

    def run(self, batch: PagedBatch) -> Float[Tensor, "count V"]:
        """Append the tokens to their sequences; logits behind each."""
        keys, firsts = batch.blocks[:, 0].tolist(), batch.positions[batch.starts[:-1]].tolist()
        ids = [batch.ids[first:end].tolist() for first, end in pairwise(batch.starts.tolist())]
        prompts: Sequence[Any] = batch.sources or ids
        going = [at for at, first in enumerate(firsts) if first > 0]
        begun = [at for at, first in enumerate(firsts) if first == 0]
        begun.sort(key=lambda at: -len(prompts[at]))
        groups = [[at for at in begun if self._has_prefix(prompts[at]) == has] for has in (1, 0)]
        self._lengths = {keys[at]: firsts[at] + 1 for at in going}
        parts = list[Tensor]()
        with eval_mode(self.model.model):
            if going:
                parts.append(self._extend([keys[at] for at in going], [ids[at][0] for at in going]))
            for places, prefix in zip(groups, (self.prefix, NO_PREFIX), strict=True):
                if places:
                    sizes = {keys[at]: len(ids[at]) for at in places}
                    parts.append(self._begin(sizes, [prompts[at] for at in places], prefix))
        order = torch.tensor([*going, *groups[0], *groups[1]]).argsort()
        return self.project(torch.cat(parts)[order.to(parts[0].device)])

    def _has_prefix(self, ids: Sequence[int]) -> bool:
        start = self.prefix.ids
        return len(ids) > len(start) > 0 and ids[: len(start)] == start

    def _begin(
        self, sizes: dict[int, int], prompts: Sequence[Sequence[int]], prefix: SharedPrefix
    ) -> Float[Tensor, "N D"]:
        """Compute prompts, longest first, beside what goes on; the hidden state behind each."""
        longest, context = max(sizes.values()), self.model.context_length
        room = min(GROWTH, context - longest)
        new = room + longest if self.model.reads_sources else room
        state, hidden = prefill(self.model, prompts, new, self.batch_tokens, prefix)
        if self._lengths:
            longest = max(longest, *self._lengths.values())
            room = min(GROWTH, context - longest)
            state = self.model.join([self._select(list(self._lengths)), state], longest + room)
        self._state, self._rows, self._room = state, [*self._lengths, *sizes], room
        self._lengths |= sizes
        return hidden

    def _extend(self, keys: list[int], ids: list[int]) -> Float[Tensor, "N D"]:
        """Append a token to each sequence that goes on, and id 0 to what has ended."""
        is_full = self._room < 1
        if len(keys) < len(self._rows) and (is_full or self._is_sparse(len(keys))):
            self._state, self._rows = self._select(keys), keys
        if is_full:
            longest = max(self._lengths.values()) - 1
            self._room = min(GROWTH, self.model.context_length - longest)
            self._state = self.model.join([self._state], longest + self._room)
        self._room -= 1
        device, column = self.model.head.device, torch.zeros(len(self._rows), dtype=torch.long)
        places = {row: at for at, row in enumerate(self._rows)}
        own = torch.tensor([places[key] for key in keys])
        column[own] = torch.tensor(ids)
        column = column.to(device)
        hidden = self.model.extend(self._state, column[:, None], torch.ones_like(column))
        return hidden[own.to(device), -1]

    def _is_sparse(self, running: int) -> bool:
        return running <= COMPACT_BELOW * len(self._rows)

    def _select(self, keys: Sequence[int]) -> Any:
        """The state of these sequences alone."""
        places = {row: at for at, row in enumerate(self._rows)}
        rows = torch.tensor([places[key] for key in keys], device=self.model.head.device)
        return self.model.branch(self._state, rows)
