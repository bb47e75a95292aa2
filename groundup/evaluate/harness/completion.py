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

from groundup.core import Completion, Reason, StopCriteria
from groundup.generate import eval_mode, sample_tokens

from .shared_prefix import (
    MAX_CACHE_POSITIONS,
    BranchingModel,
    SharedPrefix,
    find_shared_prefix,
    prefill_batch,
    prefill_prefix,
)

MAX_BATCH_SIZE = 128
"""Maximum sequences in a batch."""
COMPACT_BELOW = 0.75
"""Drop finished sequences once at most this share still runs: dropping copies the cache."""
NOT_FINITE = Reason("not_finite", "The model's logits are not finite; its weights are damaged.")


@runtime_checkable
class Detokenizer(Protocol):
    """What decoding needs of a tokenizer."""

    @property
    def end_ids(self) -> tuple[int, ...]:
        """Ids that end a text."""
        ...

    @property
    def vocab_size(self) -> int:
        """Ids from this one on are never chosen."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Text of the ids, without special tokens."""
        ...


class CompletionBatch(NamedTuple):
    """Prompts that are completed together."""

    indices: list[int]
    prompts: list[list[int]]
    """Longest first."""
    batch_tokens: int
    """Prompt tokens computed at a time."""


def complete_prompts(
    model: BranchingModel,
    detokenizer: Detokenizer,
    prompts: Sequence[list[int]],
    stops: StopCriteria,
    *,
    batch_tokens: int,
    share_prefix: bool = True,
) -> Iterator[tuple[int, Completion | Reason]]:
    """Complete tokenized prompts, each of which leaves room for `max_tokens`; yield as they finish.

    batch_tokens  prompt tokens computed at a time, padding included
    share_prefix  False completes each prompt alone: bitwise independent of the others
    """
    prefix = find_shared_prefix(prompts) if share_prefix else []
    by_prefix: list[list[int]] = [[], []]
    for index, ids in enumerate(prompts):
        is_inside = len(ids) > len(prefix) > 0 and ids[: len(prefix)] == prefix
        by_prefix[is_inside].append(index)
    with eval_mode(model):
        for ids, indices in (([], by_prefix[0]), (prefix, by_prefix[1])):
            root = _prefill_shared(model, ids, [prompts[i] for i in indices])
            for batch_indices in _batches_by_length(
                prompts, indices, stops.sampling.max_tokens, share_prefix
            ):
                batch = CompletionBatch(
                    batch_indices, [prompts[i] for i in batch_indices], batch_tokens
                )
                yield from CompletionRun(model, detokenizer, stops, batch).run(root)


@torch.inference_mode()
def _prefill_shared(
    model: BranchingModel, ids: list[int], prompts: Sequence[list[int]]
) -> SharedPrefix:
    """Prefill the shared prefix, with room for the longest prompt."""
    if not ids or not prompts:
        return SharedPrefix([], None)
    return prefill_prefix(model, ids, max(map(len, prompts)))


def _batches_by_length(
    prompts: Sequence[list[int]], indices: Sequence[int], max_tokens: int, share_batches: bool
) -> Iterator[list[int]]:
    """Indices of prompts of similar length, longest first."""
    waiting = sorted(indices, key=lambda place: -len(prompts[place]))
    while waiting:
        size = MAX_CACHE_POSITIONS // (len(prompts[waiting[0]]) + max_tokens)
        size = min(max(1, size), MAX_BATCH_SIZE) if share_batches else 1
        yield waiting[:size]
        waiting = waiting[size:]


class CompletionRun:
    """Decodes one batch."""

    def __init__(
        self,
        model: BranchingModel,
        detokenizer: Detokenizer,
        stops: StopCriteria,
        batch: CompletionBatch,
    ) -> None:
        self.model, self.detokenizer, self.stops, self.batch = model, detokenizer, stops, batch
        self.generated: list[list[int]] = [[] for _ in batch.indices]
        self.active = list(range(len(batch.indices)))
        """Index of each sequence in the state; some may have finished."""
        self.running = set(self.active)
        sampling = stops.sampling
        seeds = [sampling.seed] * len(self.active) if sampling.temperature > 0 else []
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.stop_window = max((len(text.encode()) for text in stops.until), default=0) + 1
        """Number of last ids that must contain a stop string that the newest id completes."""

    def run(self, prefix: SharedPrefix) -> Iterator[tuple[int, Completion | Reason]]:
        """Yield each answer with its index among all prompts."""
        state, logits = self.prefill(prefix)
        for _ in range(self.stops.sampling.max_tokens):
            yield from self.end_non_finite(logits)
            ids = self.sample(logits)
            for row, token in zip(self.active, ids.tolist(), strict=True):
                if row in self.running:
                    self.generated[row].append(token)
                    if (answer := self.finished_answer(row)) is not None:
                        self.running.discard(row)
                        yield self.batch.indices[row], answer
            if not self.running:
                return
            state, logits = self.decode_step(state, ids)

    @torch.inference_mode()
    def prefill(self, prefix: SharedPrefix) -> tuple[Any, Float[Tensor, "B V"]]:
        """Prefill the prompts after the shared prefix, those of similar length together."""
        prompts, new = self.batch.prompts, self.stops.sampling.max_tokens
        state, last = prefill_batch(
            self.model, prefix, prompts, len(prompts[0]) + new, self.batch.batch_tokens
        )
        return state, self.logits(last)

    @torch.inference_mode()
    def decode_step(self, state: Any, ids: Int[Tensor, " B"]) -> tuple[Any, Float[Tensor, "b V"]]:
        """Feed the chosen ids; finished sequences are dropped once they are many."""
        if len(self.running) <= COMPACT_BELOW * len(self.active):
            kept = [at for at, row in enumerate(self.active) if row in self.running]
            indices = torch.tensor(kept, device=ids.device)
            state, ids = self.model.branch(state, indices), ids[indices]
            self.active = [self.active[at] for at in kept]
        hidden = self.model.extend(state, ids[:, None], torch.ones_like(ids))
        return state, self.logits(hidden[:, -1])

    def logits(self, hidden: Float[Tensor, "B D"]) -> Float[Tensor, "B V"]:
        """Logits of the ids that may be chosen."""
        return torch.nn.functional.linear(hidden, self.model.head)[:, : self.detokenizer.vocab_size]

    def sample(self, logits: Float[Tensor, "B V"]) -> Int[Tensor, " B"]:
        """The next id of each sequence in the state."""
        if not self.generators:
            return logits.argmax(-1)
        generators = [self.generators[row] for row in self.active]
        return sample_tokens(logits.nan_to_num(), self.stops.sampling, generators)

    def end_non_finite(self, logits: Float[Tensor, "B V"]) -> Iterator[tuple[int, Reason]]:
        """End the sequences whose logits are not finite."""
        if bool(torch.isfinite(logits.sum())):
            return
        is_finite = torch.isfinite(logits).all(-1).tolist()
        for row, finite in zip(self.active, is_finite, strict=True):
            if not finite and row in self.running:
                self.running.discard(row)
                yield self.batch.indices[row], NOT_FINITE

    def finished_answer(self, row: int) -> Completion | None:
        """The answer, if the newest id ends it."""
        ids, until = self.generated[row], self.stops.until
        if ids[-1] in self.detokenizer.end_ids:
            return self.build_completion(row, self.detokenizer.decode(ids[:-1]), "stop")
        if (
            until
            and _find_stop(self.detokenizer.decode(ids[-self.stop_window :]), until) is not None
        ):
            text = self.detokenizer.decode(ids)
            if _find_stop(text, until) is not None:
                return self.build_completion(row, text, "stop")
        if len(ids) == self.stops.sampling.max_tokens:
            return self.build_completion(row, self.detokenizer.decode(ids), "length")
        return None

    def build_completion(self, row: int, text: str, finish: Any) -> Completion:
        """Build an answer, truncated before the first stop string."""
        end = _find_stop(text, self.stops.until)
        return Completion(
            text[:end], finish, len(self.generated[row]), len(self.batch.prompts[row])
        )


def _find_stop(text: str, until: Sequence[str]) -> int | None:
    """Position of the first stop string; None if there is none.

    >>> _find_stop("one two three", ["three", "two", ""])
    4
    """
    positions = [text.find(stop) for stop in until if stop]
    return min((position for position in positions if position >= 0), default=None)
