"""Continuous batching: many requests on one model, each as if it ran alone.

    step:  schedule -> run -> postprocess

Each step computes one batch of tokens, some of prompts and some of answers (scheduler.py), chooses
the next token of each sequence whose tokens are all computed (sampling.py), and ends those that are
done. On the native stack a sequence has the same bits whatever runs beside it, however its prompt
is chunked, and whether it was pre-empted, found a prefix, or drafted (speculative.py): no lever
changes a byte. Only ids here; text is seen through a request's `decode`, for stop strings.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from groundup.core import CapacityError, ConfigError, Reason, Sampling, TokenLogprob
from groundup.kernels import BLOCK_TOKENS
from groundup.model import PagedBatch, PagedDecoder, PagedPart

from ..grammar.compiling import Grammar
from ..sampling import TokenSampler, choose_tokens
from .answers import NOT_FINITE, DecodedSequence, PartialAnswer, is_finite
from .blocks import BlockPool
from .scheduler import DEFAULT_LIMITS, Chunk, DecodingSequence, Scheduler, SchedulerLimits
from .speculative import DraftControl, Drafter, DraftModel
from .text import Decode


@dataclass
class DecodeRequest:
    """A prompt to continue."""

    ids: list[int]
    sampling: Sampling
    seed: int | None = None
    """Replaces `sampling.seed`."""
    priority: int = 0
    """Smaller is sooner."""
    salt: str = ""
    """Prefixes are shared among requests of one salt only, such as a tenant's."""
    source: Sequence[int] | None = None
    end_ids: Sequence[int] = ()
    """Ids that end the answer."""
    grammar: Grammar | None = None
    """Compiled constraint of `sampling`."""
    decode: Decode = str


Observer = Callable[[Tensor, Sequence[TokenSampler]], None]
"""Called with logits and samplers before tokens are chosen."""


class TokenEvent(NamedTuple):
    """A request's next token, or its end without one."""

    request: int
    id: int
    """-1 if it ends with a Reason."""
    ended: DecodedSequence | Reason | None = None
    """The whole answer, if this is its last token."""
    logprob: float = 0.0
    """Of the token, nats."""
    alternatives: tuple[TokenLogprob, ...] = ()
    """The most likely tokens, if they were asked for."""


@dataclass
class EngineMetrics:
    """Counts since the engine began."""

    steps: int = 0
    prompt_tokens: int = 0
    """Computed for prompts, anew after pre-emptions."""
    shared_tokens: int = 0
    """Of prompts, found computed."""
    new_tokens: int = 0
    preemptions: int = 0
    drafted: int = 0
    accepted: int = 0


class BatchEngine:
    """Serves requests on one model with one paged cache."""

    def __init__(
        self, decoder: PagedDecoder, *, vocab_size: int | None = None,
        limits: SchedulerLimits = DEFAULT_LIMITS,
        drafter: Callable[[Sequence[int], TokenSampler], Drafter] | None = None,
        lock: AbstractContextManager[Any] | None = None,
    ) -> None:  # fmt: skip
        """Begin without requests.

        vocab_size  ids from this one on are never chosen; default: the model's
        drafter     makes what proposes the tokens after a prompt; None: one token a step
        lock        held while something is computed; a reentrant one of its own if None

        Raises ConfigError for a draft model of another vocabulary.
        """
        self.decoder, self.new_drafter = decoder, drafter
        self.lock = lock or threading.RLock()
        shape = decoder.shape
        self.vocab_size = vocab_size or shape.vocab_size
        if isinstance(drafter, DraftModel) and drafter.vocab_size != self.vocab_size:
            raise ConfigError(
                f"The draft model drafts {drafter.vocab_size} ids, not {self.vocab_size}."
            )
        self.pool = BlockPool(decoder.num_blocks, BLOCK_TOKENS, decoder.copy_block)
        self.scheduler = Scheduler(self.pool, limits, chunks=shape.chunks, window=shape.window)
        self.metrics, self.drafting = EngineMetrics(), DraftControl()
        self.observe: Observer | None = None
        """Called with logits and samplers before tokens are chosen."""
        self._answers: dict[int, PartialAnswer] = {}
        self._sequences: dict[int, DecodingSequence] = {}
        self._inboxes: dict[int, deque[TokenEvent]] = {}
        """Events of requests that somebody follows."""
        self._next_number = 0
        self.readers = 0
        """Of those that compute in the cache without requests; see `reading`."""

    @property
    def is_idle(self) -> bool:
        """Whether no request waits or runs, and nobody else uses the cache."""
        return not self._sequences and not self.readers

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Context of one who computes in the cache without requests, and keeps blocks in it."""
        with self.lock:
            self.readers += 1
        try:
            yield
        finally:
            with self.lock:
                self.readers -= 1

    def add(self, request: DecodeRequest) -> int:
        """Let a request wait; its number, by which steps name it.

        Raises CapacityError if the context or the cache leaves no token for the answer, or if too
        many wait.
        """
        context, size = self.decoder.shape.context_length, len(request.ids)
        limit = min(request.sampling.max_tokens, context - size)
        if limit < 1 or not size:
            raise CapacityError(
                f"The prompt has {size} tokens and the context {context}; it needs at least one "
                "token and must leave one for the answer."
            )
        if not 0 <= min(request.ids) <= max(request.ids) < self.decoder.shape.vocab_size:
            raise ConfigError(
                f"The prompt has an id outside 0 to {self.decoder.shape.vocab_size - 1}; use the "
                "model's tokenizer."
            )
        with self.lock:
            number, self._next_number = self._next_number, self._next_number + 1
            sampler = TokenSampler(
                request.sampling, request.ids, request.end_ids, request.seed, limit,
                request.grammar and request.grammar.matcher(),
            )  # fmt: skip
            sequence = DecodingSequence(
                number, list(request.ids), sampler, request.priority, request.salt, request.source
            )
            self.scheduler.add(sequence, size + limit - 1)
            if self.new_drafter is not None:
                sequence.drafter = self.new_drafter(request.ids, sampler)
            self._sequences[number] = sequence
            self._answers[number] = PartialAnswer(sampler, limit, request.decode)
            return number

    def abort(self, number: int) -> bool:
        """Drop a request and free its blocks at once; False if it has ended already."""
        with self.lock:
            self._inboxes.pop(number, None)
            return self._drop(number)

    def _drop(self, number: int) -> bool:
        sequence = self._sequences.pop(number, None)
        if sequence is not None:
            self.scheduler.finish(sequence)
            del self._answers[number]
            if sequence.drafter is not None:
                sequence.drafter.close()
        return sequence is not None

    @torch.inference_mode()
    def step(self) -> list[TokenEvent]:
        """Compute one batch and choose the next tokens; none if the engine is idle."""
        with self.lock:
            started = time.perf_counter()
            plan = self.scheduler.schedule()
            if not plan:
                return []
            drafts = sum(bool(each.sequence.draft) for each in plan)
            accepted = self.metrics.accepted
            decodes = all(chunk.sequence.is_decoding for chunk in plan)
            logits = self.decoder.run(self._batch(plan))[:, : self.vocab_size]
            events = self._postprocess(plan, logits)
            seconds = time.perf_counter() - started
            if decodes and drafts:  # a step that computes a prompt too says nothing about drafts
                self.drafting.record_drafted(seconds, drafts, self.metrics.accepted - accepted)
            elif decodes:
                self.drafting.record_plain(seconds)
            for event in events:
                find = self._inboxes.get if event.ended is None else self._inboxes.pop
                if (inbox := find(event.request, None)) is not None:
                    inbox.append(event)
            return events

    def subscribe(self, request: int, inbox: deque[TokenEvent]) -> None:
        """Keep the events of a request in an inbox, whoever computes them."""
        with self.lock:
            self._inboxes[request] = inbox

    def stream(self, requests: Iterable[int]) -> Iterator[TokenEvent]:
        """The events of these requests, which run until all have ended.

        Others that run beside them keep their events for whoever follows those. If the reader
        stops, what has not ended is aborted. Raises ConfigError for a request that has ended.
        """
        inbox, left = deque[TokenEvent](), set(requests)
        with self.lock:
            if unknown := left - self._sequences.keys():
                raise ConfigError(f"The requests {sorted(unknown)} have ended or never began.")
            self._inboxes |= dict.fromkeys(left, inbox)

        def events() -> Iterator[Any]:
            try:
                yield None
                while left:
                    with self.lock:  # a step of another thread may have filled it meanwhile
                        while not inbox:
                            self.step()
                        event = inbox.popleft()
                        if event.ended is not None:
                            left.discard(event.request)
                    yield event
            finally:
                for number in left:
                    self.abort(number)

        running = events()
        next(running)  # begun, so that closing it aborts even before the first event
        return running

    def _batch(self, plan: Sequence[Chunk]) -> PagedBatch:
        parts = []
        for sequence, count in plan:
            first = sequence.computed
            ids = [*sequence.ids[first:], *sequence.draft][:count]
            wanted = first + count - len(sequence.ids) + 1  # from behind the newest token on
            parts.append(PagedPart(sequence.table, ids, first, max(0, wanted), sequence.source))
        return PagedBatch.of(parts)

    def _postprocess(
        self, plan: Sequence[Chunk], logits: Float[Tensor, "count V"]
    ) -> list[TokenEvent]:
        """Choose tokens, accept drafts, and end what is done."""
        events, row = list[TokenEvent](), 0
        self._count(plan)
        choosing = [chunk.sequence for chunk in plan if chunk.is_last]
        first_rows = []
        for sequence in choosing:
            first_rows.append(row)
            row += 1 + len(sequence.draft)
        for sequence, count in plan:
            sequence.computed += count
        chosen = self._choose(choosing, logits, first_rows)
        logprobs = logits.log_softmax(-1, dtype=_exact(logits.dtype))
        for sequence, row, token in zip(choosing, first_rows, chosen, strict=True):
            rows = logits[row : row + 1 + len(sequence.draft)]
            self._advance(sequence, token, rows, logprobs[row : row + len(rows)], events)
        for sequence, _ in plan:
            if sequence.number in self._sequences:
                self.scheduler.publish(sequence)
                self.scheduler.truncate(sequence)
                if sequence.drafter is not None and sequence.is_decoding:
                    left = self._answers[sequence.number].limit - sequence.sampler.length - 1
                    sequence.draft = sequence.drafter.draft(min(self.drafting.length, left))
        return events

    def _count(self, plan: Sequence[Chunk]) -> None:
        own = self.metrics
        own.steps += 1
        for sequence, count in plan:
            if not sequence.is_decoding:
                own.prompt_tokens += count
            own.drafted += len(sequence.draft)

    def _choose(
        self, choosing: Sequence[DecodingSequence], logits: Tensor, rows: Sequence[int]
    ) -> list[int | Reason]:
        if not choosing:
            return []
        own = logits if len(rows) == len(logits) else logits[rows]
        samplers = [sequence.sampler for sequence in choosing]
        if self.observe is not None:
            self.observe(own, samplers)
        if is_finite(own):
            return choose_tokens(own, samplers)
        finite = torch.isfinite(own).all(-1).tolist()
        chosen = choose_tokens(own.nan_to_num(), samplers)
        return [token if ok else NOT_FINITE for token, ok in zip(chosen, finite, strict=True)]

    def _advance(
        self, sequence: DecodingSequence, token: int | Reason, logits: Float[Tensor, "n V"],
        logprobs: Float[Tensor, "n V"], events: list[TokenEvent],
    ) -> None:  # fmt: skip
        """Append the chosen token and, as long as they agree with what is chosen, drafted ones."""
        draft, sequence.draft = sequence.draft, []
        for at in range(len(draft) + 1):
            ended = self._append(sequence, token, logits[at], logprobs[at], events)
            if ended or at == len(draft) or token != draft[at]:
                break
            self.metrics.accepted += 1
            [token] = self._choose([sequence], logits[at + 1 : at + 2], [0])
        # What a rejected draft computed is overwritten by the next chunk.
        sequence.computed = min(sequence.computed, len(sequence.ids) - 1)

    def _append(
        self, sequence: DecodingSequence, token: int | Reason, logits: Float[Tensor, " V"],
        logprobs: Float[Tensor, " V"], events: list[TokenEvent],
    ) -> bool:  # fmt: skip
        """Append a token to an answer; whether that ends it."""
        if isinstance(token, Reason):
            events.append(TokenEvent(sequence.number, -1, token))
            return self._end(sequence)
        self.metrics.new_tokens += 1
        sequence.ids.append(token)
        if sequence.drafter is not None:
            sequence.drafter.add(token)
        answer = self._answers[sequence.number]
        logprob = float(logprobs[token])
        ended = answer.append(token, logits, logprob)
        alternatives = answer.alternatives[-1] if answer.alternatives else ()
        events.append(TokenEvent(sequence.number, token, ended, logprob, alternatives))
        return ended is not None and self._end(sequence)

    def _end(self, sequence: DecodingSequence) -> bool:
        self.metrics.preemptions += sequence.preemptions
        self.metrics.shared_tokens += sequence.shared
        sequence.computed = min(sequence.computed, len(sequence.ids) - 1)
        self.scheduler.publish(sequence)
        return self._drop(sequence.number)


def _exact(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)
