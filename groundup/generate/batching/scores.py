"""Log-probabilities of given continuations on a paged cache, with the bits that sampling has.

Contexts are sorted, so that what they share is computed once and found as published blocks; equal
contexts are read once, and each of their continuations continues a fork. How requests are packed
into passes changes no bit, so a score is that of the request alone, and the log-probability of a
sampled token is what the sampler reported.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from groundup.core import CapacityError, DataError
from groundup.model import PagedBatch, PagedPart

from .engine import BatchEngine

PASS_TOKENS, PASS_LOGITS = 512, 2**24
"""Tokens and logits of a pass."""
BATCH_TOKENS = 8192
"""Tokens of contexts and continuations whose blocks are held at a time, unless one has more."""
FORK_TOKENS = 64
"""Room that a context and a fork of it may waste in their last blocks."""


class ContinuationScore(NamedTuple):
    """What was measured of one request."""

    index: int
    nats: list[float]
    """-log p of each token."""
    is_greedy: bool
    """Whether each token is the most likely one at its place."""


class _Request(NamedTuple):
    index: int
    context: list[int]
    continuation: list[int]


def score_continuations(
    engine: BatchEngine, pairs: Sequence[tuple[list[int], list[int]]]
) -> Iterator[ContinuationScore]:
    """Score (context, continuation) pairs, neither part empty, in any order.

    Raises CapacityError if one exceeds the context or the free blocks of the cache, DataError for
    an id that the vocabulary lacks.
    """
    context, vocab = engine.decoder.shape.context_length, engine.vocab_size
    for ids, rest in pairs:
        if len(ids) + len(rest) - 1 > context:
            raise CapacityError(f"A text of {len(ids) + len(rest)} tokens exceeds {context}.")
        if not 0 <= min([*ids, *rest]) <= max([*ids, *rest]) < vocab:
            raise DataError(
                f"A text has an id outside 0 to {vocab - 1}; use the model's tokenizer."
            )
    requests = [_Request(i, context, rest) for i, (context, rest) in enumerate(pairs)]
    requests.sort(key=lambda each: each.context)
    held: list[list[_Request]] = []
    size = 0
    for request in requests:
        is_new = not held or held[-1][0].context != request.context
        added = len(request.continuation) + FORK_TOKENS + is_new * len(request.context)
        if held and size + added > BATCH_TOKENS:
            yield from _score_groups(engine, held)
            held, size, is_new = [], len(request.context), True
        held += [[]] if is_new else []
        held[-1].append(request)
        size += added
    if held:
        yield from _score_groups(engine, held)


@torch.inference_mode()
def _score_groups(
    engine: BatchEngine, groups: Sequence[list[_Request]]
) -> Iterator[ContinuationScore]:
    """Score the requests of some contexts: the contexts, then the continuations that share them."""
    tables: list[list[int]] = []
    nats: dict[int, list[float]] = {each.index: [] for group in groups for each in group}
    greedy = dict.fromkeys(nats, True)

    def note(request: _Request, logprobs: Float[Tensor, "n V"], targets: Sequence[int]) -> None:
        own = logprobs.gather(1, torch.tensor(targets)[:, None])[:, 0]
        nats[request.index] += (-own.double()).tolist()
        greedy[request.index] &= bool((own >= logprobs.amax(-1)).all())

    with engine.lock:
        try:
            for number, logprobs in _run_parts(engine, list(_contexts(engine, groups, tables))):
                if len(members := groups[number]) == 1:
                    done = len(nats[members[0].index])
                    targets = members[0].continuation[done : done + len(logprobs)]
                    note(members[0], logprobs, targets)
                    continue
                for request in members:
                    note(request, logprobs, request.continuation[:1])
            for members, table in zip(groups, tables, strict=True):
                engine.pool.publish(table, members[0].context)
            forked = {each.index: each for group in groups if len(group) > 1 for each in group}
            for index, logprobs in _run_parts(engine, list(_forks(engine, groups, tables))):
                done = len(nats[index])
                note(
                    forked[index], logprobs, forked[index].continuation[done : done + len(logprobs)]
                )
        finally:
            for table in tables:
                engine.pool.release(table)
    for index, values in nats.items():
        yield ContinuationScore(index, values, greedy[index])


def _contexts(
    engine: BatchEngine, groups: Sequence[list[_Request]], tables: list[list[int]]
) -> Iterator[tuple[int, PagedPart]]:
    """What is to be computed of each context, and of its continuation if it has only one."""
    size = engine.pool.block_tokens
    for number, members in enumerate(groups):
        context, is_single = members[0].context, len(members) == 1
        ids = [*context, *members[0].continuation[:-1]] if is_single else context
        known = engine.pool.find_prefix(ids)[: (len(context) - 1) // size]
        table = engine.pool.share(known)
        tables.append(table)
        engine.pool.reserve(table, len(known) * size, len(ids))
        wanted = len(members[0].continuation) if is_single else 1
        yield number, PagedPart(table, ids[len(known) * size :], len(known) * size, wanted)


def _forks(
    engine: BatchEngine, groups: Sequence[list[_Request]], tables: list[list[int]]
) -> Iterator[tuple[int, PagedPart]]:
    for members, table in zip(groups, list(tables), strict=False):
        for request in members if len(members) > 1 else ():
            ids, first = request.continuation[:-1], len(request.context)
            if ids:
                fork = engine.pool.share(table)
                tables.append(fork)
                engine.pool.reserve(fork, first, first + len(ids))
                yield request.index, PagedPart(fork, ids, first, len(ids))


def _run_parts(
    engine: BatchEngine, parts: Sequence[tuple[int, PagedPart]]
) -> Iterator[tuple[int, Float[Tensor, "n V"]]]:
    """Compute parts in passes; yield each one's owner and log-probabilities, perhaps in parts."""
    rows = max(1, PASS_LOGITS // engine.vocab_size)
    batch: list[tuple[int, PagedPart]] = []
    for owner, left in parts:
        while left.ids:
            tokens = PASS_TOKENS - sum(len(part.ids) for _, part in batch)
            room = rows - sum(part.wanted for _, part in batch)
            silent = len(left.ids) - left.wanted  # tokens whose log-probabilities are not wanted
            count = min(tokens, len(left.ids), silent + room)
            if count > 0:
                wanted = max(0, count - silent)
                batch.append((owner, left._replace(ids=left.ids[:count], wanted=wanted)))
                left = left._replace(
                    ids=left.ids[count:], first=left.first + count, wanted=left.wanted - wanted
                )
            if left.ids:
                yield from _run_pass(engine, batch)
                batch = []
    if batch:
        yield from _run_pass(engine, batch)


def _run_pass(
    engine: BatchEngine, batch: Sequence[tuple[int, PagedPart]]
) -> Iterator[tuple[int, Float[Tensor, "n V"]]]:
    logits = engine.decoder.run(PagedBatch.of([part for _, part in batch]))
    logprobs = logits[:, : engine.vocab_size].log_softmax(-1)
    row = 0
    for owner, part in batch:
        if part.wanted:
            yield owner, logprobs[row : row + part.wanted]
        row += part.wanted
