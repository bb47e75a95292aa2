"""Sequences that fork: each step some continue, some several times, and the others are dropped.

A fork refers to its parent's blocks; only the last one, which both would write, is copied, and only
when it is written. Beam search is the user: it forks every sequence at every step.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from groundup.model import PagedBatch, PagedDecoder, PagedPart

from .blocks import BlockPool

PREFILL_TOKENS = 512
"""Tokens of prompts computed at a time."""


class ForkingSequences:
    """Sequences on one paged cache that all grow by one token a step."""

    def __init__(self, decoder: PagedDecoder, pool: BlockPool, vocab_size: int) -> None:
        """Begin without sequences; see `prefill`."""
        self.decoder, self.pool, self.vocab_size = decoder, pool, vocab_size
        self.tables: list[list[int]] = []
        self.lengths: list[int] = []

    def prefill(self, prompts: Sequence[Sequence[int]]) -> Float[Tensor, "N V"]:
        """Begin with these prompts; the logits behind each."""
        rows = []
        for ids in prompts:
            self.tables.append([])
            self.lengths.append(0)
            number, logits = len(self.tables) - 1, torch.empty(0)
            for start in range(0, len(ids), PREFILL_TOKENS):
                logits = self._run([number], [ids[start : start + PREFILL_TOKENS]])
            rows.append(logits)
        return torch.cat(rows)

    def select(self, rows: Sequence[int]) -> None:
        """Keep these sequences, each as often as it is named."""
        tables = [self.pool.share(self.tables[row]) for row in rows]
        lengths = [self.lengths[row] for row in rows]
        self.close()
        self.tables, self.lengths = tables, lengths

    def extend(self, ids: Sequence[int]) -> Float[Tensor, "N V"]:
        """Append one token to each sequence; the logits behind it."""
        return self._run(range(len(ids)), [[token] for token in ids])

    def close(self) -> None:
        """Drop all sequences."""
        for table in self.tables:
            self.pool.release(table)
        self.tables, self.lengths = [], []

    def _run(self, numbers: Sequence[int], new: Sequence[Sequence[int]]) -> Float[Tensor, "N V"]:
        parts = []
        for number, ids in zip(numbers, new, strict=True):
            first = self.lengths[number]
            self.lengths[number] = first + len(ids)
            self.pool.reserve(self.tables[number], first, first + len(ids))
            parts.append(PagedPart(self.tables[number], ids, first))
        return self.decoder.run(PagedBatch.of(parts))[:, : self.vocab_size]
