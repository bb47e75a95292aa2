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

from groundup.core import Reason, Sampling

from .batching.answers import NOT_FINITE, DecodedSequence, PartialAnswer, is_finite
from .batching.engine import BatchEngine, DecodeRequest, Observer, TokenEvent
from .batching.native import MAX_CACHE_POSITIONS
from .cached import (
    NO_PREFIX,
    CachedModel,
    CachedTransformer,
    SharedPrefix,
    eval_mode,
    find_shared_prefix,
    prefill,
    prefill_prefix,
)
from .grammar.compiling import Grammar
from .sampling import TokenSampler, choose_tokens, gather_logprobs

MAX_BATCH_SIZE = 128
COMPACT_BELOW = 0.75
"""Drop finished sequences once at most this share still runs: dropping copies the cache."""


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


def decode_prompts(
    model: CachedModel, prompts: Sequence[list[int]], options: DecodingOptions,
    seeds: Sequence[int] = (), observe: Observer | None = None,
) -> Iterator[tuple[int, DecodedSequence | Reason]]:  # fmt: skip
    """Continue tokenized prompts; yield each index and answer as it finishes.

    A prompt leaves room for at least one token; an answer ends where the context ends.

    seeds    one per prompt; they replace `sampling.seed`
    observe  called with logits and samplers before tokens are chosen
    """
    seeds = seeds or [options.sampling.seed] * len(prompts)
    if running := begin_natively(model, prompts, options, seeds, observe):
        yield from running.answers()
        return
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
            run.observe = observe
            for finished in run.steps():
                for row, answer in finished:
                    yield chosen[row], answer


class NativeRun(NamedTuple):
    """Prompts that run in the engine on the native stack."""

    engine: BatchEngine
    indices: dict[int, int]
    """Of the prompts, by the number of their request."""
    events: Iterator[TokenEvent]

    def answers(self) -> Iterator[tuple[int, DecodedSequence | Reason]]:
        """Yield each index and answer as it finishes."""
        try:
            for event in self.events:
                if event.ended is not None:
                    yield self.indices[event.request], event.ended
        finally:
            self.engine.observe = None


def begin_natively(
    model: CachedModel, prompts: Sequence[list[int]], options: DecodingOptions,
    seeds: Sequence[int], observe: Observer | None = None,
) -> NativeRun | None:  # fmt: skip
    """Give prompts to the engine on the native stack; None where it cannot run."""
    if not isinstance(model, CachedTransformer) or not prompts:
        return None
    new, context = options.sampling.max_tokens, model.context_length
    lengths = [min(len(ids) + new, context) for ids in prompts]
    with model.native.lock:  # neither another engine nor a step comes between
        engine = model.native.with_room(lengths, options.vocab_size)
        if engine is None:
            return None
        engine.observe = observe
        indices: dict[int, int] = {}
        for index, (ids, seed) in enumerate(zip(prompts, seeds, strict=True)):
            request = DecodeRequest(
                ids, options.sampling, seed, end_ids=options.end_ids, grammar=options.grammar,
                decode=options.decode,
            )  # fmt: skip
            indices[engine.add(request)] = index
        return NativeRun(engine, indices, engine.stream(indices))


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
        self.active = list(range(len(prompts)))
        """Index of each sequence in the state; some may have finished."""
        self.running = set(self.active)
        self.project = model.projection(options.vocab_size)
        begun = [model.start or 0] if has_sources(model) else None  # what a decoder reads first
        self.answers = [
            PartialAnswer(
                TokenSampler(
                    options.sampling, begun or ids, options.end_ids, seed, self.limit,
                    options.grammar and options.grammar.matcher(),
                ),
                self.limit, options.decode,
            )
            for ids, seed in zip(prompts, seeds, strict=True)
        ]  # fmt: skip
        self.observe: Observer | None = None
        """Called with the logits and samplers of each step, before the tokens are chosen."""

    @torch.inference_mode()
    def steps(self) -> Iterator[list[tuple[int, DecodedSequence | Reason]]]:
        """Yield what finishes at each new token; `answers` holds the tokens so far."""
        with eval_mode(self.model.model):
            state, last = prefill(
                self.model, self.prompts, self.limit, self.options.batch_tokens, self.prefix
            )
            logits = self.project(last)
            for _ in range(self.limit):
                finished = []
                if not is_finite(logits):
                    finished, logits = self.end_non_finite(logits), logits.nan_to_num()
                samplers = [self.answers[row].sampler for row in self.active]
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
                    [(self.answers[row].ids or [0])[-1] for row in self.active],
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
        logprobs: list[float | None] = [None] * len(chosen)
        if self.options.logprobs:
            ids = torch.tensor([0 if isinstance(token, Reason) else token for token in chosen])
            logprobs = gather_logprobs(logits, ids.to(logits.device)).double().tolist()
        finished: list[tuple[int, DecodedSequence | Reason]] = []
        for at, (row, token) in enumerate(zip(self.active, chosen, strict=True)):
            if row not in self.running:
                continue
            ended: DecodedSequence | Reason | None = token if isinstance(token, Reason) else None
            if not isinstance(token, Reason):
                ended = self.answers[row].append(token, logits[at], logprobs[at])
            if ended is not None:
                self.running.discard(row)
                finished.append((row, ended))
        return finished
