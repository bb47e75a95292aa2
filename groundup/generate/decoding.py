"""Decoding: prompts are continued token by token in an engine, each until it stops.

On the native stack they share its engine and cache. Other models have an engine for all prompts of
similar length (batching/contiguous.py), and the prefix of nearly all prompts is computed once. A
sequence ends at an end id, at a stop string, or after `max_tokens`, and with a Reason if its logits
are not finite or no token may be chosen. How a token is chosen is in sampling.py.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch

from groundup.core import Reason, Sampling
from groundup.kernels import BLOCK_TOKENS

from .batching.answers import DecodedSequence
from .batching.contiguous import ContiguousDecoder
from .batching.engine import BatchEngine, DecodeRequest, Observer, TokenEvent
from .batching.native import MAX_CACHE_POSITIONS
from .batching.scheduler import SchedulerLimits
from .cached import CachedModel, CachedTransformer, eval_mode, find_shared_prefix, prefill_prefix
from .grammar.compiling import Grammar

MAX_BATCH_SIZE = 128
MIN_BATCH_RATIO = 0.5
"""Minimum length of a sequence relative to its batch's longest, by which all are padded."""
UNBOUNDED = 2**31
"""Token budget of a step whose prompts are split by `batch_tokens`."""


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
    for running in begin_decoding(model, prompts, options, seeds, observe):
        yield from running.answers()


class DecodingRun(NamedTuple):
    """Prompts that run in an engine."""

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


def begin_decoding(
    model: CachedModel, prompts: Sequence[list[int]], options: DecodingOptions,
    seeds: Sequence[int] = (), observe: Observer | None = None,
) -> Iterator[DecodingRun]:  # fmt: skip
    """Give prompts to engines; a run ends before the next begins. See `decode_prompts`."""
    seeds = seeds or [options.sampling.seed] * len(prompts)
    requests = [
        DecodeRequest(
            ids, options.sampling, seed, end_ids=options.end_ids, grammar=options.grammar,
            decode=options.decode,
        )
        for ids, seed in zip(prompts, seeds, strict=True)
    ]  # fmt: skip
    if isinstance(model, CachedTransformer) and prompts:
        new, context = options.sampling.max_tokens, model.context_length
        lengths = [min(len(ids) + new, context) for ids in prompts]
        with model.native.lock:  # neither another engine nor a step comes between
            engine = model.native.with_room(lengths, options.vocab_size)
            if engine is not None:
                run = _start(engine, dict(enumerate(requests)), observe)
        if engine is not None:
            yield run
            return
    prefix = [] if options.invariant or not model.is_causal else find_shared_prefix(prompts)
    with torch.inference_mode(), eval_mode(model.model):
        shared = prefill_prefix(model, prefix, max(map(len, prompts), default=0))
    for batch in batch_prompts(model, prompts, options):
        engine = BatchEngine(
            ContiguousDecoder(
                model, batch.num_blocks, vocab_size=options.vocab_size,
                batch_tokens=options.batch_tokens, prefix=shared,
            ),
            vocab_size=options.vocab_size, limits=SchedulerLimits(UNBOUNDED, batch.size),
        )  # fmt: skip
        own = {index: replace(requests[index], salt=str(index)) for index in batch.indices}
        if isinstance(model, CachedTransformer) and model.start is not None:
            own = {
                i: replace(r, ids=[model.start, *model.forced], source=r.ids)
                for i, r in own.items()
            }
        yield _start(engine, own, observe)


def _start(
    engine: BatchEngine, requests: dict[int, DecodeRequest], observe: Observer | None
) -> DecodingRun:
    engine.observe = observe
    indices = {engine.add(request): index for index, request in requests.items()}
    return DecodingRun(engine, indices, engine.stream(indices))


class PromptBatch(NamedTuple):
    """Prompts of similar length, which an engine continues."""

    indices: list[int]
    """Longest first."""
    size: int
    """How many run at a time."""
    num_blocks: int
    """Of those."""


def batch_prompts(
    model: CachedModel, prompts: Sequence[Sequence[int]], options: DecodingOptions
) -> Iterator[PromptBatch]:
    """Batches of prompts, whose caches have at most MAX_CACHE_POSITIONS unless one needs more."""
    new = options.sampling.max_tokens
    sizes = [min((1 if model.reads_sources else len(ids)) + new, model.context_length)
             for ids in prompts]  # fmt: skip
    waiting = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
    while waiting:
        longest = sizes[waiting[0]]
        near = [i for i in waiting if sizes[i] >= MIN_BATCH_RATIO * longest]
        size = 1 if options.invariant else MAX_CACHE_POSITIONS // longest
        size = min(max(size, 1), MAX_BATCH_SIZE, len(near))
        yield PromptBatch(near, size, size * -(-longest // BLOCK_TOKENS))
        waiting = waiting[len(near) :]
