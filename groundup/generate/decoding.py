"""Decoding: batches of prompts are continued token by token, each until it stops.

Prompts of similar length share a batch, the prefix of nearly all of them is computed once, and
finished sequences leave the batch. A sequence ends at an end id, at a stop string, or after
`max_tokens`, and with a Reason if its logits are not finite or no token may be chosen. How a token
is chosen is in sampling.py.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple, TypeGuard

import torch
from jaxtyping import Float
from torch import Tensor

from groundup.core import FinishReason, Reason, Sampling, TokenLogprob

from .cached import (
    MAX_CACHE_POSITIONS,
    NO_PREFIX,
    CachedModel,
    CachedTransformer,
    SharedPrefix,
    eval_mode,
    find_shared_prefix,
    prefill,
    prefill_prefix,
)
from .grammar import Grammar
from .sampling import TokenSampler, choose_tokens, gather_logprobs, top_logprobs

MAX_BATCH_SIZE = 128
COMPACT_BELOW = 0.75
"""Drop finished sequences once at most this share still runs: dropping copies the cache."""
NOT_FINITE = Reason("not_finite", "The model's logits are not finite; its weights are damaged.")


class DecodingOptions(NamedTuple):
    """How prompts are continued."""

    sampling: Sampling
    end_ids: Sequence[int]
    """Ids that end a sequence."""
    vocab_size: int
    """Ids from this one on are never chosen."""
    batch_tokens: int
    """Prompt tokens computed at a time, padding included."""
    decode: Callable[[Sequence[int]], str] = str
    """Text of ids, in which stop strings are searched."""
    logprobs: bool = False
    """Whether to compute log-probabilities."""
    grammar: Grammar | None = None
    """Compiled constraint of `sampling`."""
    invariant: bool = False
    """Continue each prompt alone: bitwise independent of the others."""


class DecodedSequence(NamedTuple):
    """The continuation of one prompt."""

    ids: list[int]
    """Generated ids, the end id included."""
    logprobs: list[float]
    """Log-probability of each, nats; empty unless they were asked for."""
    finish_reason: FinishReason
    alternatives: list[tuple[TokenLogprob, ...]] = []
    """The most likely tokens at each place; empty unless they were asked for."""


def decode_prompts(
    model: CachedModel, prompts: Sequence[list[int]], options: DecodingOptions,
    seeds: Sequence[int] = (),
) -> Iterator[tuple[int, DecodedSequence | Reason]]:  # fmt: skip
    """Continue tokenized prompts; yield each index and answer as it finishes.

    A prompt leaves room for at least one token; an answer ends where the context ends.

    seeds  one per prompt; they replace `sampling.seed`
    """
    seeds = seeds or [options.sampling.seed] * len(prompts)
    prefix = [] if options.invariant or not model.is_causal else find_shared_prefix(prompts)
    by_prefix: list[list[int]] = [[], []]
    for index, ids in enumerate(prompts):
        by_prefix[len(ids) > len(prefix) > 0 and ids[: len(prefix)] == prefix].append(index)
    for ids, indices in (([], by_prefix[0]), (prefix, by_prefix[1])):
        longest = max((len(prompts[i]) for i in indices), default=0)
        with torch.inference_mode(), eval_mode(model.model):
            shared = prefill_prefix(model, ids, longest)
        inside, new = [prompts[i] for i in indices], options.sampling.max_tokens
        for batch in batch_prompts(model, inside, new, alone=options.invariant):
            chosen = [indices[i] for i in batch]
            run = DecodingRun(
                model, [prompts[i] for i in chosen], options, [seeds[i] for i in chosen], shared
            )
            for finished in run.steps():
                for row, answer in finished:
                    yield chosen[row], answer


def has_sources(model: CachedModel) -> TypeGuard[CachedTransformer]:
    """Whether prompts are sources, which use no context of the answers."""
    return isinstance(model, CachedTransformer) and model.start is not None


def batch_prompts(
    model: CachedModel, prompts: Sequence[Sequence[int]], new_tokens: int, *, alone: bool = False
) -> Iterator[list[int]]:
    """Yield the indices of the prompts of each batch, longest first.

    A prompt whose answer the context would truncate runs only with prompts of the same length: a
    longer one would truncate it further.

    alone  one prompt in each
    """
    new, lengths = 0 if has_sources(model) else new_tokens, [len(prompt) for prompt in prompts]
    order = sorted(range(len(prompts)), key=lambda i: -lengths[i])

    def batch_key(i: int) -> int:  # the length if the context would truncate the answer, else 0
        return lengths[i] if lengths[i] + new > model.context_length else 0

    for _, group in groupby(order, key=batch_key):
        waiting = list(group)
        while waiting:
            size = MAX_CACHE_POSITIONS // max(lengths[waiting[0]] + new, 1)
            size = 1 if alone else min(max(size, 1), MAX_BATCH_SIZE)
            yield waiting[:size]
            waiting = waiting[size:]


Observer = Callable[[Tensor, Sequence[TokenSampler]], None]


class DecodingRun:
    """Decodes one batch."""

    def __init__(
        self, model: CachedModel, prompts: Sequence[list[int]], options: DecodingOptions,
        seeds: Sequence[int], prefix: SharedPrefix = NO_PREFIX,
    ) -> None:  # fmt: skip
        """Prepare; see `steps`.

        prompts  of one batch; see `batch_prompts`
        prefix   its ids are the first of every prompt
        """
        self.model, self.prompts, self.options, self.prefix = model, prompts, options, prefix
        used = 0 if has_sources(model) else len(prompts[0])
        self.limit = min(options.sampling.max_tokens, model.context_length - used)
        self.ids: list[list[int]] = [[] for _ in prompts]
        self.logprobs: list[list[float]] = [[] for _ in prompts]
        self.alternatives: list[list[tuple[TokenLogprob, ...]]] = [[] for _ in prompts]
        self.active = list(range(len(prompts)))
        """Index of each sequence in the state; some may have finished."""
        self.running = set(self.active)
        self.project = model.projection(options.vocab_size)
        begun = [model.start or 0] if has_sources(model) else None  # what a decoder reads first
        self.samplers = [
            TokenSampler(
                options.sampling, begun or ids, options.end_ids, seed, self.limit,
                options.grammar and options.grammar.matcher(),
            )
            for ids, seed in zip(prompts, seeds, strict=True)
        ]  # fmt: skip
        self.observe: Observer | None = None
        """Called with the logits and samplers of each step, before the tokens are chosen."""
        self.stop_window = (
            max((len(text.encode()) for text in options.sampling.stop), default=0) + 1
        )
        """Number of last ids that must contain a stop string that the newest id completes."""

    @torch.inference_mode()
    def steps(self) -> Iterator[list[tuple[int, DecodedSequence | Reason]]]:
        """Yield what finishes at each new token; `ids` holds the tokens so far."""
        with eval_mode(self.model.model):
            state, last = prefill(
                self.model, self.prompts, self.limit, self.options.batch_tokens, self.prefix
            )
            logits = self.project(last)
            for _ in range(self.limit):
                finished = []
                if not is_finite(logits):
                    finished, logits = self.end_non_finite(logits), logits.nan_to_num()
                samplers = [self.samplers[row] for row in self.active]
                if self.observe is not None:
                    self.observe(logits, samplers)
                chosen = choose_tokens(logits, samplers)
                yield finished + self.append(chosen, logits)
                if not self.running:
                    return
                if len(self.running) <= COMPACT_BELOW * len(self.active):
                    kept = [at for at, row in enumerate(self.active) if row in self.running]
                    state = self.model.branch(state, torch.tensor(kept, device=logits.device))
                    self.active = [self.active[at] for at in kept]
                ids = torch.tensor(
                    [self.ids[row][-1] if self.ids[row] else 0 for row in self.active],
                    device=logits.device,
                )
                hidden = self.model.extend(state, ids[:, None], torch.ones_like(ids))
                logits = self.project(hidden[:, -1])

    def end_non_finite(
        self, logits: Float[Tensor, "B V"]
    ) -> list[tuple[int, DecodedSequence | Reason]]:
        """End the sequences whose logits are not finite."""
        finite = torch.isfinite(logits).all(-1).tolist()
        ended = [row for row, each in zip(self.active, finite, strict=True) if not each]
        ended = [row for row in ended if row in self.running]
        self.running.difference_update(ended)
        return [(row, NOT_FINITE) for row in ended]

    def append(
        self, chosen: Sequence[int | Reason], logits: Float[Tensor, "B V"]
    ) -> list[tuple[int, DecodedSequence | Reason]]:
        """Append the chosen ids; return the sequences that they finish."""
        logprobs, count = [0.0] * len(chosen), self.options.sampling.logprobs
        if self.options.logprobs:
            ids = torch.tensor([0 if isinstance(token, Reason) else token for token in chosen])
            logprobs = gather_logprobs(logits, ids.to(logits.device)).double().tolist()
        finished: list[tuple[int, DecodedSequence | Reason]] = []
        for at, (row, token) in enumerate(zip(self.active, chosen, strict=True)):
            if row not in self.running:
                continue
            if isinstance(token, Reason):
                self.running.discard(row)
                finished.append((row, token))
                continue
            self.ids[row].append(token)
            self.samplers[row].add(token)
            if self.options.logprobs:
                self.logprobs[row].append(logprobs[at])
            if count:
                self.alternatives[row].append(top_logprobs(logits[at], count))
            if (reason := self.finish_reason(row)) is not None:
                self.running.discard(row)
                answer = self.ids[row], self.logprobs[row], reason, self.alternatives[row]
                finished.append((row, DecodedSequence(*answer)))
        return finished

    def finish_reason(self, row: int) -> FinishReason | None:
        """Why the newest id ends a sequence; None if it does not."""
        ids, sampling, text = self.ids[row], self.options.sampling, self.options.decode
        if ids[-1] in self.samplers[row].ends:
            return "stop"
        # A cheap look at the last ids first: what they spell alone may differ from the whole text.
        stop = sampling.stop
        if stop and find_stop(text(ids[-self.stop_window :]), stop) is not None:
            if stop_position(ids, sampling, text) is not None:
                return "stop"
        return "length" if len(ids) == self.limit else None


def is_finite(logits: Float[Tensor, "B V"]) -> bool:
    """Whether all logits are finite; a sum of finite ones may overflow."""
    return bool(torch.isfinite(logits.sum())) or bool(torch.isfinite(logits).all())


def find_stop(text: str, until: Sequence[str]) -> int | None:
    """Position of the first stop string; None if there is none.

    >>> find_stop("one two three", ["three", "two", ""])
    4
    """
    positions = [text.find(stop) for stop in until if stop]
    return min((position for position in positions if position >= 0), default=None)


def stop_position(
    ids: Sequence[int], sampling: Sampling, decode: Callable[[Sequence[int]], str]
) -> int | None:
    """Position in a text of the stop string that ends it: the first after `min_tokens`, if any."""
    if not sampling.stop or len(ids) < sampling.min_tokens:
        return None
    begin = len(decode(ids[: sampling.min_tokens - 1])) if sampling.min_tokens > 1 else 0
    at = find_stop(decode(ids)[begin:], sampling.stop)
    return None if at is None else begin + at


class StopBuffer:
    """Streams a text up to a stop string, of which no part is let through."""

    def __init__(self, stop: Sequence[str]) -> None:
        self.stop, self.held = stop, ""

    def add(self, text: str) -> str:
        """What can be shown after a further piece: all but what may begin a stop string.

        >>> buffer = StopBuffer(["END"])
        >>> buffer.add("the E"), buffer.add("ast, EN"), buffer.add("D. More")
        ('the ', 'East, ', '')
        """
        self.held += text
        at = find_stop(self.held, self.stop)
        if at is None:
            begins = range(
                max(0, len(self.held) - max(map(len, self.stop), default=0)), len(self.held)
            )
            at = next(
                (i for i in begins if any(s.startswith(self.held[i:]) for s in self.stop)),
                len(self.held),
            )
        shown, self.held = self.held[:at], self.held[at:]
        return shown
