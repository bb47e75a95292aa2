"""Continuing prompts: many at a time, each until its own end.

Prompts of like length share a batch, what nearly all of them begin with is read once, and rows that
have ended leave the batch. A text ends before the first of `until`, at an end id of the model, or
after `max_tokens`. Each row draws from its own seed, so neighbours decide nothing.
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
"""Most rows of a batch."""
COMPACT_BELOW = 0.75
"""Ended rows are dropped when at most this share still runs: dropping copies the cache."""
NOT_FINITE = Reason("not_finite", "The model's logits are not finite; its weights are broken.")


@runtime_checkable
class Voice(Protocol):
    """What a text needs of a tokenizer."""

    @property
    def ends(self) -> tuple[int, ...]:
        """Ids that end a text."""
        ...

    @property
    def vocab_size(self) -> int:
        """Ids from here on are never chosen."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Text of the ids, without special tokens."""
        ...


class Batch(NamedTuple):
    """Prompts that are continued together."""

    places: list[int]
    prompts: list[list[int]]
    """Longest first."""
    batch_tokens: int
    """Tokens of them that are computed at a time."""


def completions(
    model: BranchingModel, voice: Voice, prompts: Sequence[list[int]], stops: Stops, *,
    batch_tokens: int, share: bool = True,
) -> Iterator[tuple[int, Completion | Reason]]:  # fmt: skip
    """Continue prompts of ids; each leaves room for `max_tokens` and comes as soon as it has ended.

    batch_tokens  tokens of prompts computed at a time, padding included
    share         False continues each prompt alone, so that no other can move it by a bit
    """
    prefix = root_of(prompts) if share else []
    parts: list[list[int]] = [[], []]
    for place, ids in enumerate(prompts):
        is_inside = len(ids) > len(prefix) > 0 and ids[: len(prefix)] == prefix
        parts[is_inside].append(place)
    with evaluating(model):
        for ids, places in (([], parts[0]), (prefix, parts[1])):
            root = rooted(model, ids, [prompts[i] for i in places])
            for some in batches(prompts, places, stops.sampling.max_tokens, share):
                batch = Batch(some, [prompts[i] for i in some], batch_tokens)
                yield from Run(model, voice, stops, batch).answers(root)


@torch.inference_mode()
def rooted(model: BranchingModel, ids: list[int], prompts: Sequence[list[int]]) -> Root:
    """Read what all prompts begin with, with room for the longest of them."""
    if not ids or not prompts:
        return Root([], None)
    return begun(model, ids, max(map(len, prompts)))


def batches(
    prompts: Sequence[list[int]], places: Sequence[int], new: int, share: bool
) -> Iterator[list[int]]:
    """Places of prompts of like length, longest first."""
    waiting = sorted(places, key=lambda place: -len(prompts[place]))
    while waiting:
        size = CACHE_POSITIONS // (len(prompts[waiting[0]]) + new)
        size = min(max(1, size), ROWS) if share else 1
        yield waiting[:size]
        waiting = waiting[size:]


class Run:
    """One batch on its way."""

    def __init__(self, model: BranchingModel, voice: Voice, stops: Stops, batch: Batch) -> None:
        self.model, self.voice, self.stops, self.batch = model, voice, stops, batch
        self.said: list[list[int]] = [[] for _ in batch.places]
        self.rows = list(range(len(batch.places)))
        """Rows of the state; some may have ended."""
        self.running = set(self.rows)
        sampling = stops.sampling
        seeds = [sampling.seed] * len(self.rows) if sampling.temperature > 0 else []
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.tail = max((len(text.encode()) for text in stops.until), default=0) + 1
        """Number of last ids in which a stop that has just been said must lie."""

    def answers(self, root: Root) -> Iterator[tuple[int, Completion | Reason]]:
        """Yield each answer with its place among all prompts."""
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
        """Read the prompts after the root, those of like length together."""
        prompts, new = self.batch.prompts, self.stops.sampling.max_tokens
        state, last = grown(
            self.model, root, prompts, len(prompts[0]) + new, self.batch.batch_tokens
        )
        return state, self.logits(last)

    @torch.inference_mode()
    def step(self, state: Any, ids: Int[Tensor, " B"]) -> tuple[Any, Float[Tensor, "b V"]]:
        """Read the chosen ids; rows that have ended are dropped now and then."""
        if len(self.running) <= COMPACT_BELOW * len(self.rows):
            kept = [at for at, row in enumerate(self.rows) if row in self.running]
            places = torch.tensor(kept, device=ids.device)
            state, ids = self.model.branch(state, places), ids[places]
            self.rows = [self.rows[at] for at in kept]
        hidden = self.model.extend(state, ids[:, None], torch.ones_like(ids))
        return state, self.logits(hidden[:, -1])

    def logits(self, hidden: Float[Tensor, "B D"]) -> Float[Tensor, "B V"]:
        """Logits of the ids that may be chosen."""
        return torch.nn.functional.linear(hidden, self.model.head)[:, : self.voice.vocab_size]

    def choose(self, logits: Float[Tensor, "B V"]) -> Int[Tensor, " B"]:
        """The next id of each row of the state."""
        if not self.generators:
            return logits.argmax(-1)
        generators = [self.generators[row] for row in self.rows]
        return choose(logits.nan_to_num(), self.stops.sampling, generators)

    def unfit(self, logits: Float[Tensor, "B V"]) -> Iterator[tuple[int, Reason]]:
        """End the rows whose logits are not finite."""
        if bool(torch.isfinite(logits.sum())):
            return
        is_fit = torch.isfinite(logits).all(-1).tolist()
        for row, fits in zip(self.rows, is_fit, strict=True):
            if not fits and row in self.running:
                self.running.discard(row)
                yield self.batch.places[row], NOT_FINITE

    def ended(self, row: int) -> Completion | None:
        """The answer, if it ends with the id just said."""
        said, until = self.said[row], self.stops.until
        if said[-1] in self.voice.ends:
            return self.answer(row, self.voice.decode(said[:-1]), "stop")
        if until and first(self.voice.decode(said[-self.tail :]), until) is not None:
            text = self.voice.decode(said)
            if first(text, until) is not None:
                return self.answer(row, text, "stop")
        if len(said) == self.stops.sampling.max_tokens:
            return self.answer(row, self.voice.decode(said), "length")
        return None

    def answer(self, row: int, text: str, finish: Any) -> Completion:
        """The record of an answer, cut before the first stop."""
        place = first(text, self.stops.until)
        return Completion(text[:place], finish, len(self.said[row]), len(self.batch.prompts[row]))


def first(text: str, until: Sequence[str]) -> int | None:
    """Where the first stop begins; None if there is none.

    >>> first("one two three", ["three", "two", ""])
    4
    """
    found = [text.find(stop) for stop in until if stop]
    return min((place for place in found if place >= 0), default=None)
