"""Speculative decoding: guess the next tokens, compute them in one pass, keep those that come true.

A pass over a few tokens reads the weights once, so it takes little longer than over one. A drafter
proposes tokens; the engine computes their logits together and chooses at each place as it would
have without a draft, from the same logits and the same uniform number. While the choice is the
drafted token, the next place counts too. So the answer is the one without drafts, to the byte. A
token d that is looked up is kept with probability p(d), which is the sum of min(p, q) where q is
certain of d; a draft model draws with the same uniform number, so it agrees wherever both
distributions put the same token there. Drawing from max(p - q, 0) after a rejection would keep a
few more of its tokens, but would change what a seed means.

Whether drafting pays depends on the text and the machine, so it is measured: `DraftControl`
compares the time of a token with and without, sets the length by what is accepted, and pauses when
it is slower.
Source: Leviathan et al. 2023, arXiv:2211.17192; look-up: Saxena 2023 (prompt lookup decoding).
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from groundup.core import CapacityError, ConfigError, Reason
from groundup.kernels import BLOCK_TOKENS
from groundup.model import PagedBatch, PagedDecoder, PagedPart

from ..sampling import TokenSampler, choose_tokens
from .answers import is_finite
from .blocks import BlockPool


@runtime_checkable
class Drafter(Protocol):
    """Proposes what may follow one sequence."""

    def add(self, token: int) -> None:
        """The sequence's next token."""
        ...

    def draft(self, length: int) -> list[int]:
        """Up to `length` tokens that may follow; empty if nothing is known."""
        ...

    def close(self) -> None:
        """The sequence has ended."""
        ...


class NgramDrafter:
    """What followed the last time that the newest tokens occurred; the longest match counts.

    >>> drafter = NgramDrafter([5, 6, 7, 8, 5, 6])
    >>> drafter.draft(2)
    [7, 8]
    """

    def __init__(
        self, ids: Sequence[int] = (), sampler: TokenSampler | None = None, *, longest: int = 4,
        shortest: int = 2,
    ) -> None:  # fmt: skip
        """Begin with a prompt.

        sampler            not needed: what followed is a guess for any settings
        longest, shortest  tokens that must match
        """
        self.sizes = range(longest, shortest - 1, -1)
        self.ids: list[int] = []
        self._ends: dict[tuple[int, ...], int] = {}
        """Position behind the latest occurrence of some tokens."""
        self._match: int | None = None
        for token in ids:
            self.add(token)

    def add(self, token: int) -> None:
        """Look the newest tokens up, then note where they end."""
        self.ids.append(token)
        self._match, end = None, len(self.ids)
        for size in self.sizes:
            if size > end:
                continue
            key = tuple(self.ids[-size:])
            if self._match is None:
                self._match = self._ends.get(key)
            self._ends[key] = end

    def draft(self, length: int) -> list[int]:
        """The tokens after the match."""
        return [] if self._match is None else self.ids[self._match : self._match + length]

    def close(self) -> None:
        """Nothing is held."""


class DraftModel:
    """A smaller model that drafts for any number of sequences, on a cache of its own."""

    def __init__(self, decoder: PagedDecoder, vocab_size: int) -> None:
        """Combine with the tokenizer's vocabulary; ConfigError if the model's is smaller."""
        if decoder.shape.vocab_size < vocab_size:
            raise ConfigError(
                f"The draft model has {decoder.shape.vocab_size} ids and the vocabulary "
                f"{vocab_size}; draft with a model of the same tokenizer."
            )
        self.decoder, self.vocab_size = decoder, vocab_size
        self.pool = BlockPool(decoder.num_blocks, BLOCK_TOKENS, decoder.copy_block)

    def __call__(self, ids: Sequence[int], sampler: TokenSampler) -> "ModelDrafter":
        """The drafter of one sequence."""
        return ModelDrafter(self, ids, sampler)


class ModelDrafter:
    """Drafts for one sequence: what a smaller model chooses with the sequence's own settings."""

    def __init__(self, model: DraftModel, ids: Sequence[int], sampler: TokenSampler) -> None:
        self.model, self.ids, self.sampler = model, list(ids), sampler
        self.table: list[int] = []
        self.computed = 0

    def add(self, token: int) -> None:
        """What was drafted in its place is computed anew, unless it was this token."""
        self.ids.append(token)

    def close(self) -> None:
        """Release the blocks."""
        self.model.pool.release(self.table)
        self.table, self.computed = [], 0

    @torch.inference_mode()
    def draft(self, length: int) -> list[int]:
        """Up to `length` tokens; none if the model's context or cache is full."""
        context = self.model.decoder.shape.context_length
        length = min(length, context - len(self.ids))
        if length < 1:
            return []
        try:
            self.model.pool.reserve(self.table, self.computed, len(self.ids) + length)
        except CapacityError:
            self.close()
            return []
        known, sampler = list(self.ids), self.sampler.copy()
        for _ in range(length):
            logits = self._run(known[self.computed :])
            if not is_finite(logits):
                break
            [token] = choose_tokens(logits, [sampler])
            if isinstance(token, Reason):
                break
            known.append(token)
            sampler.add(token)
        drafted = known[len(self.ids) :]
        self.computed = len(self.ids)  # drafts may be rejected; the next pass overwrites them
        return drafted

    def _run(self, ids: Sequence[int]) -> Float[Tensor, "1 V"]:
        """Append tokens; the logits behind the last."""
        part = PagedPart(self.table, ids, self.computed)
        self.computed += len(ids)
        return self.model.decoder.run(PagedBatch.of([part]))[:, : self.model.vocab_size]


class DraftControl:
    """Measures whether drafting pays, and how long drafts should be."""

    MOST, PROBE, PAUSE, LONGEST_PAUSE = 12, 4, 48, 1536
    """Tokens of a draft; steps of a trial; steps of a pause, which doubles each time."""
    KEPT = 0.9
    """Weight of the past in running means."""

    def __init__(self) -> None:
        self.plain: float | None = None
        """Seconds of a step without drafts."""
        self.gain: float | None = None
        """Running mean of the speed with drafts, relative to without."""
        self.accepted = 3.0
        """Running mean of the tokens accepted of a draft."""
        self.trials = self.pauses = 0
        self.paused_until, self.step = 0, 0
        self.reason = ""
        """Why drafting pauses; empty if it does not."""

    @property
    def length(self) -> int:
        """Tokens that the next drafts should have; 0 while drafting pauses or is not comparable."""
        if self.step < self.paused_until or self.plain is None:
            return 0
        return min(self.MOST, max(2, round(2 * self.accepted)))

    def record_plain(self, seconds: float) -> None:
        """Note a step in which nothing was drafted."""
        self.step += 1
        self.plain = _mean(self.plain, seconds, self.KEPT)

    def record_drafted(self, seconds: float, drafts: int, accepted: int) -> None:
        """Note a step that verified drafts of some sequences; `accepted` of all their tokens."""
        self.step += 1
        assert self.plain is not None, "drafts begin after a step without"
        self.accepted = _mean(self.accepted, accepted / drafts, self.KEPT)
        self.gain = _mean(self.gain, (1 + accepted / drafts) * self.plain / seconds, self.KEPT)
        self.trials += 1
        if self.trials >= self.PROBE and self.gain < 1:
            self._pause()

    def _pause(self) -> None:
        share = f"{self.accepted:.1f} tokens of a draft were accepted"
        self.reason = f"{share}; with drafts decoding ran at {self.gain:.2f} of its speed"
        self.paused_until = self.step + min(self.PAUSE << self.pauses, self.LONGEST_PAUSE)
        self.pauses += 1
        self.trials, self.gain = 0, None


def _mean(past: float | None, value: float, kept: float) -> float:
    return value if past is None else kept * past + (1 - kept) * value
