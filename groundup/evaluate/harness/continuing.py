"""Batched completion of prompts, with a shared prefix and stop strings.

Prompts of similar length share a batch, the prefix of nearly all of them is computed once, and
finished sequences leave the batch. A completion ends before the first of `until`, at an end id of
the model, or after `max_tokens`. Each sequence samples with its own generator, so other sequences
of the batch do not affect it.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundup.core import Completion, Reason, Stops
from groundup.generate import choose

from ..likelihood import evaluating
from .sharing import CACHE_POSITIONS, BranchingModel, Root, begun, grown, root_of

ROWS = 128
"""Maximum sequences in a batch."""
COMPACT_BELOW = 0.75
"""Drop finished sequences once at most this share still runs: dropping copies the cache."""
NOT_FINITE = Reason("not_finite", "The model's logits are not finite; its weights are damaged.")


@runtime_checkable
class Voice(Protocol):
    """What decoding needs of a tokenizer."""

    @property
    def ends(self) -> tuple[int, ...]:
        """Ids that end a text."""
        ...

    @property
    def vocab_size(self) -> int:
        """Ids from this one on are never chosen."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Text of the ids, without special tokens."""
        ...


class Batch(NamedTuple):
    """Prompts that are completed together."""

    places: list[int]
    prompts: list[list[int]]
    """Longest first."""
    batch_tokens: int
    """Prompt tokens computed at a time."""


def completions(
    model: BranchingModel, voice: Voice, prompts: Sequence[list[int]], stops: Stops, *,
    batch_tokens: int, share: bool = True,
) -> Iterator[tuple[int, Completion | Reason]]:  # fmt: skip
    """Complete tokenized prompts, each of which leaves room for `max_tokens`; yield as they finish.

    batch_tokens  prompt tokens computed at a time, padding included
    share_prefix  False completes each prompt alone: bitwise independent of the others
    """
    prefix = root_of(prompts) if share else []
    by_prefix: list[list[int]] = [[], []]
    for index, ids in enumerate(prompts):
        is_inside = len(ids) > len(prefix) > 0 and ids[: len(prefix)] == prefix
        by_prefix[is_inside].append(index)
    with evaluating(model):
        for ids, indices in (([], by_prefix[0]), (prefix, by_prefix[1])):
            root = rooted(model, ids, [prompts[i] for i in indices])
            for batch_indices in batches(prompts, indices, stops.sampling.max_tokens, share):
                batch = Batch(batch_indices, [prompts[i] for i in batch_indices], batch_tokens)
                yield from Run(model, voice, stops, batch).answers(root)


@torch.inference_mode()
def rooted(model: BranchingModel, ids: list[int], prompts: Sequence[list[int]]) -> Root:
    """Prefill the shared prefix, with room for the longest prompt."""
    if not ids or not prompts:
        return Root([], None)
    return begun(model, ids, max(map(len, prompts)))


def batches(
    prompts: Sequence[list[int]], places: Sequence[int], new: int, share: bool
) -> Iterator[list[int]]:
    """Indices of prompts of similar length, longest first."""
    waiting = sorted(places, key=lambda place: -len(prompts[place]))
    while waiting:
        size = CACHE_POSITIONS // (len(prompts[waiting[0]]) + new)
        size = min(max(1, size), ROWS) if share else 1
        yield waiting[:size]
        waiting = waiting[size:]


class Run:
    """Decodes one batch."""

    def __init__(self, model: BranchingModel, voice: Voice, stops: Stops, batch: Batch) -> None:
        self.model, self.voice, self.stops, self.batch = model, voice, stops, batch
        self.said: list[list[int]] = [[] for _ in batch.places]
        self.rows = list(range(len(batch.places)))
        """Index of each sequence in the state; some may have finished."""
        self.running = set(self.rows)
        sampling = stops.sampling
        seeds = [sampling.seed] * len(self.rows) if sampling.temperature > 0 else []
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.tail = max((len(text.encode()) for text in stops.until), default=0) + 1
        """Number of last ids that must contain a stop string that the newest id completes."""

    def answers(self, root: Root) -> Iterator[tuple[int, Completion | Reason]]:
        """Yield each answer with its index among all prompts."""
        state, logits = self.begin(root)
        for _ in range(self.stops.sampling.max_tokens):
            yield from self.unfit(logits)
            ids = self.choose(logits)
            for row, token in zip(self.rows, ids.tolist(), strict=True):
                if row in self.running:
                    self.said[row].append(token)
                    if (answer := self.ended(row)) is not None:
                        self.running.discard(row)
                        yield self.batch.places[row], answer
            if not self.running:
                return
            state, logits = self.step(state, ids)

    @torch.inference_mode()
    def begin(self, root: Root) -> tuple[Any, Float[Tensor, "B V"]]:
        """Prefill the prompts after the shared prefix, those of similar length together."""
        prompts, new = self.batch.prompts, self.stops.sampling.max_tokens
        state, last = grown(
            self.model, root, prompts, len(prompts[0]) + new, self.batch.batch_tokens
        )
        return state, self.logits(last)

    @torch.inference_mode()
    def step(self, state: Any, ids: Int[Tensor, " B"]) -> tuple[Any, Float[Tensor, "b V"]]:
        """Feed the chosen ids; finished sequences are dropped once they are many."""
        if len(self.running) <= COMPACT_BELOW * len(self.rows):
            kept = [at for at, row in enumerate(self.rows) if row in self.running]
            indices = torch.tensor(kept, device=ids.device)
            state, ids = self.model.branch(state, indices), ids[indices]
            self.rows = [self.rows[at] for at in kept]
        hidden = self.model.extend(state, ids[:, None], torch.ones_like(ids))
        return state, self.logits(hidden[:, -1])

    def logits(self, hidden: Float[Tensor, "B D"]) -> Float[Tensor, "B V"]:
        """Logits of the ids that may be chosen."""
        return torch.nn.functional.linear(hidden, self.model.head)[:, : self.voice.vocab_size]

    def choose(self, logits: Float[Tensor, "B V"]) -> Int[Tensor, " B"]:
        """The next id of each sequence in the state."""
        if not self.generators:
            return logits.argmax(-1)
        generators = [self.generators[row] for row in self.rows]
        return choose(logits.nan_to_num(), self.stops.sampling, generators)

    def unfit(self, logits: Float[Tensor, "B V"]) -> Iterator[tuple[int, Reason]]:
        """End the sequences whose logits are not finite."""
        if bool(torch.isfinite(logits.sum())):
            return
        is_finite = torch.isfinite(logits).all(-1).tolist()
        for row, finite in zip(self.rows, is_finite, strict=True):
            if not finite and row in self.running:
                self.running.discard(row)
                yield self.batch.places[row], NOT_FINITE

    def ended(self, row: int) -> Completion | None:
        """The answer, if the newest id ends it."""
        ids, until = self.said[row], self.stops.until
        if ids[-1] in self.voice.ends:
            return self.answer(row, self.voice.decode(ids[:-1]), "stop")
        if until and first(self.voice.decode(ids[-self.tail :]), until) is not None:
            text = self.voice.decode(ids)
            if first(text, until) is not None:
                return self.answer(row, text, "stop")
        if len(ids) == self.stops.sampling.max_tokens:
            return self.answer(row, self.voice.decode(ids), "length")
        return None

    def answer(self, row: int, text: str, finish: Any) -> Completion:
        """Build an answer, truncated before the first stop string."""
        end = first(text, self.stops.until)
        return Completion(text[:end], finish, len(self.said[row]), len(self.batch.prompts[row]))


def first(text: str, until: Sequence[str]) -> int | None:
    """Position of the first stop string; None if there is none.

    >>> first("one two three", ["three", "two", ""])
    4
    """
    positions = [text.find(stop) for stop in until if stop]
    return min((position for position in positions if position >= 0), default=None)
