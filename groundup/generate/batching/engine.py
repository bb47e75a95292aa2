"""Continuous batching: many requests on one model, each as if it ran alone.

    step:  schedule -> run -> postprocess

Each step computes one batch of tokens, some of prompts and some of answers (scheduler.py), chooses
the next token of each sequence whose tokens are all computed (sampling.py), and ends those that are
done. On the native stack a sequence has the same bits whatever runs beside it, however its prompt
is chunked, and whether it was pre-empted, found a prefix, or drafted (speculative.py): no lever
changes a byte. Only ids here; text is seen through `decode`, for stop strings.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from groundup.core import CapacityError, FinishReason, Reason, Sampling, TokenLogprob
from groundup.kernels import BLOCK_TOKENS
from groundup.model import EncodedSource, PagedBatch, PagedDecoder

from ..decoding import (
    NOT_FINITE,
    DecodedSequence,
    Observer,
    find_stop,
    is_finite,
    stop_position,
)
from ..sampling import TokenSampler, choose_tokens, top_logprobs
from .blocks import BlockPool
from .scheduler import DEFAULT_LIMITS, Chunk, DecodingSequence, Scheduler, SchedulerLimits
from .speculative import DraftControl, Drafter


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
    source: EncodedSource | None = None


class NewToken(NamedTuple):
    """A token that a step chose."""

    request: int
    id: int


class BatchStep(NamedTuple):
    """What a step brought."""

    tokens: list[NewToken]
    finished: list[tuple[int, DecodedSequence | Reason]]


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


@dataclass(eq=False)
class _Answer:
    """What was chosen for a request so far."""

    sampling: Sampling
    limit: int
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    alternatives: list[tuple[TokenLogprob, ...]] = field(default_factory=list)


class BatchEngine:
    """Serves requests on one model with one paged cache."""

    def __init__(
        self, decoder: PagedDecoder, *, end_ids: Sequence[int] = (), vocab_size: int | None = None,
        decode: Callable[[Sequence[int]], str] = str, limits: SchedulerLimits = DEFAULT_LIMITS,
        drafter: Callable[[Sequence[int]], Drafter] | None = None,
    ) -> None:  # fmt: skip
        """Begin without requests.

        end_ids     ids that end an answer
        vocab_size  ids from this one on are never chosen; default: the model's
        decode      text of ids, in which stop strings are searched
        drafter     makes what proposes the tokens after a prompt; None: one token a step
        """
        self.decoder, self.end_ids, self.decode, self.new_drafter = (
            decoder,
            end_ids,
            decode,
            drafter,
        )
        self.vocab_size = vocab_size or decoder.config.vocab_size
        self.pool = BlockPool(decoder.num_blocks, BLOCK_TOKENS, decoder.copy_block)
        self.scheduler = Scheduler(self.pool, limits, chunks=not decoder.config.prefix)
        self.metrics, self.drafting = EngineMetrics(), DraftControl()
        self.observe: Observer | None = None
        """Called with logits and samplers before tokens are chosen."""
        self._answers: dict[int, _Answer] = {}
        self._sequences: dict[int, DecodingSequence] = {}
        self._next_number = 0

    @property
    def is_idle(self) -> bool:
        """Whether no request waits or runs."""
        return not self._sequences

    def add(self, request: DecodeRequest) -> int:
        """Let a request wait; its number, by which steps name it.

        Raises CapacityError if the context or the cache leaves no token for the answer, or if too
        many wait.
        """
        context, size = self.decoder.config.context_length, len(request.ids)
        limit = min(request.sampling.max_tokens, context - size)
        if limit < 1 or not size:
            raise CapacityError(
                f"The prompt has {size} tokens and the context {context}; it needs at least one "
                "token and must leave one for the answer."
            )
        number, self._next_number = self._next_number, self._next_number + 1
        sampler = TokenSampler(request.sampling, request.ids, self.end_ids, request.seed, limit)
        sequence = DecodingSequence(
            number, list(request.ids), size, sampler, request.priority, request.salt, request.source
        )
        self.scheduler.add(sequence, size + limit - 1)
        if self.new_drafter is not None:
            sequence.drafter = self.new_drafter(request.ids)
        self._sequences[number] = sequence
        self._answers[number] = _Answer(request.sampling, limit)
        return number

    def abort(self, number: int) -> bool:
        """Drop a request and free its blocks at once; False if it has ended already."""
        sequence = self._sequences.pop(number, None)
        if sequence is not None:
            self.scheduler.finish(sequence)
            del self._answers[number]
        return sequence is not None

    @torch.inference_mode()
    def step(self) -> BatchStep:
        """Compute one batch and choose the next tokens; nothing if the engine is idle."""
        started = time.perf_counter()
        plan = self.scheduler.schedule()
        if not plan:
            return BatchStep([], [])
        drafts, accepted = sum(bool(each.sequence.draft) for each in plan), self.metrics.accepted
        decodes = all(chunk.sequence.is_decoding for chunk in plan)
        logits = self.decoder.run(self._batch(plan))[:, : self.vocab_size]
        result = self._postprocess(plan, logits)
        seconds = time.perf_counter() - started
        if drafts:
            self.drafting.record_drafted(seconds, drafts, self.metrics.accepted - accepted)
        elif decodes:
            self.drafting.record_plain(seconds)
        return result

    def run(self) -> Iterator[tuple[int, DecodedSequence | Reason]]:
        """Steps until the engine is idle; yields requests as they finish."""
        while not self.is_idle:
            yield from self.step().finished

    def _batch(self, plan: Sequence[Chunk]) -> PagedBatch:
        ids: list[int] = []
        positions: list[int] = []
        selected: list[int] = []
        for sequence, count in plan:
            first, known = sequence.computed, [*sequence.ids, *sequence.draft]
            ids += known[first : first + count]
            positions += range(first, first + count)
            wanted = count - (len(sequence.ids) - 1 - first)  # logits behind the newest token on
            selected += range(len(ids) - max(wanted, 0), len(ids))
        width = max(len(chunk.sequence.table) for chunk in plan)
        tables = [
            chunk.sequence.table + [0] * (width - len(chunk.sequence.table)) for chunk in plan
        ]
        starts = [0, *accumulate(chunk.count for chunk in plan)]
        sources = [chunk.sequence.source for chunk in plan]
        new = partial(torch.tensor, dtype=torch.int32)
        return PagedBatch(
            new(ids), new(positions), new(starts), new(tables), new(selected),
            [each for each in sources if each is not None],
        )  # fmt: skip

    def _postprocess(self, plan: Sequence[Chunk], logits: Float[Tensor, "count V"]) -> BatchStep:
        """Choose tokens, accept drafts, and end what is done."""
        result, row = BatchStep([], []), 0
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
            self._advance(sequence, token, rows, logprobs[row : row + len(rows)], result)
        for sequence, _ in plan:
            if sequence.number in self._sequences:
                self.scheduler.truncate(sequence)
                self.scheduler.publish(sequence)
                if sequence.drafter is not None and sequence.is_decoding:
                    left = self._answers[sequence.number].limit - sequence.sampler.length - 1
                    sequence.draft = sequence.drafter.draft(min(self.drafting.length, left))
        return result

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
        logprobs: Float[Tensor, "n V"], result: BatchStep,
    ) -> None:  # fmt: skip
        """Append the chosen token and, as long as they agree with what is chosen, drafted ones."""
        draft, sequence.draft = sequence.draft, []
        for at in range(len(draft) + 1):
            ended = self._append(sequence, token, logits[at], logprobs[at], result)
            if ended or at == len(draft) or token != draft[at]:
                break
            self.metrics.accepted += 1
            [token] = self._choose([sequence], logits[at + 1 : at + 2], [0])
        # What a rejected draft computed is overwritten by the next chunk.
        sequence.computed = min(sequence.computed, len(sequence.ids) - 1)

    def _append(
        self, sequence: DecodingSequence, token: int | Reason, logits: Float[Tensor, " V"],
        logprobs: Float[Tensor, " V"], result: BatchStep,
    ) -> bool:  # fmt: skip
        """Append a token to an answer; whether that ends it."""
        number = sequence.number
        answer = self._answers[number]
        if isinstance(token, Reason):
            return self._end(sequence, token, result)
        self.metrics.new_tokens += 1
        sequence.ids.append(token)
        sequence.sampler.add(token)
        if sequence.drafter is not None:
            sequence.drafter.add(token)
        answer.ids.append(token)
        answer.logprobs.append(float(logprobs[token]))
        if answer.sampling.logprobs:
            answer.alternatives.append(top_logprobs(logits, answer.sampling.logprobs))
        result.tokens.append(NewToken(number, token))
        reason = self._finish_reason(sequence, answer)
        if reason is None:
            return False
        own = answer.ids, answer.logprobs, reason, answer.alternatives
        return self._end(sequence, DecodedSequence(*own), result)

    def _end(
        self, sequence: DecodingSequence, ended: DecodedSequence | Reason, result: BatchStep
    ) -> bool:
        result.finished.append((sequence.number, ended))
        self.metrics.preemptions += sequence.preemptions
        self.metrics.shared_tokens += sequence.shared
        sequence.computed = min(sequence.computed, len(sequence.ids) - 1)
        self.scheduler.publish(sequence)
        return self.abort(sequence.number)

    def _finish_reason(self, sequence: DecodingSequence, answer: _Answer) -> FinishReason | None:
        ids, sampling = answer.ids, answer.sampling
        if ids[-1] in sequence.sampler.ends:
            return "stop"
        if sampling.stop:  # the last ids first: they may spell otherwise than in the whole text
            window = max(len(text.encode()) for text in sampling.stop) + 1
            if find_stop(self.decode(ids[-window:]), sampling.stop) is not None:
                if stop_position(ids, sampling, self.decode) is not None:
                    return "stop"
        return "length" if len(ids) == answer.limit else None


def _exact(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)
