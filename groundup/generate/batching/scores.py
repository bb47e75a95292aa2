"""Log-probabilities of given continuations on a paged cache, with the bits that sampling has.

Contexts are sorted, so that what they share is computed once and found as published blocks; equal
contexts are read once, and each of their continuations continues a fork. How requests are packed
into passes changes no bit, so a score is that of the request alone, and the log-probability of a
sampled token is what the sampler reported.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from groundup.core import CapacityError, DataError
from groundup.model import PagedBatch

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


class _Part(NamedTuple):
    """Tokens to compute behind what a table holds."""

    owner: int
    table: list[int]
    ids: Sequence[int]
    first: int
    """Position of the first."""
    wanted: int
    """Number of last tokens whose log-probabilities are wanted."""


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
    context, vocab = engine.decoder.config.context_length, engine.vocab_size
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
            note(forked[index], logprobs, forked[index].continuation[done : done + len(logprobs)])
    finally:
        for table in tables:
            engine.pool.release(table)
    for index, values in nats.items():
        yield ContinuationScore(index, values, greedy[index])


def _contexts(
    engine: BatchEngine, groups: Sequence[list[_Request]], tables: list[list[int]]
) -> Iterator[_Part]:
    """What is to be computed of each context, and of its continuation if it has only one."""
    size = engine.pool.block_tokens
    for number, members in enumerate(groups):
        context, is_single = members[0].context, len(members) == 1
        ids = [*context, *members[0].continuation[:-1]] if is_single else context
        known = engine.pool.find_prefix(ids)[: (len(context) - 1) // size]
        table = engine.pool.share(known)
        tables.append(table)
        _reserve(engine, table, len(known) * size, len(ids))
        wanted = len(members[0].continuation) if is_single else 1
        yield _Part(number, table, ids[len(known) * size :], len(known) * size, wanted)


def _forks(
    engine: BatchEngine, groups: Sequence[list[_Request]], tables: list[list[int]]
) -> Iterator[_Part]:
    for members, table in zip(groups, list(tables), strict=False):
        for request in members if len(members) > 1 else ():
            ids, first = request.continuation[:-1], len(request.context)
            if ids:
                fork = engine.pool.share(table)
                tables.append(fork)
                _reserve(engine, fork, first, first + len(ids))
                yield _Part(request.index, fork, ids, first, len(ids))


def _reserve(engine: BatchEngine, table: list[int], first: int, end: int) -> None:
    """Blocks for the tokens first..end; the one that is partly filled is copied if shared."""
    pool = engine.pool
    blocks: list[int | None] = []
    if first % pool.block_tokens:
        blocks.append(pool.own(table.pop()))
    missing = -(-end // pool.block_tokens) - len(table) - len(blocks)
    blocks += [pool.allocate() for _ in range(missing)]
    table += [block for block in blocks if block is not None]
    if None in blocks:
        raise CapacityError(
            f"The cache's {pool.num_blocks} blocks are in use; give it more or score less at once."
        )


def _run_parts(
    engine: BatchEngine, parts: Sequence[_Part]
) -> Iterator[tuple[int, Float[Tensor, "n V"]]]:
    """Compute parts in passes; yield each one's owner and log-probabilities, perhaps in parts."""
    rows = max(1, PASS_LOGITS // engine.vocab_size)
    batch: list[_Part] = []
    for whole in parts:
        left = whole
        while left.ids:
            tokens = PASS_TOKENS - sum(len(each.ids) for each in batch)
            room = rows - sum(each.wanted for each in batch)
            count = min(tokens, len(left.ids), len(left.ids) - left.wanted + room)
            if count > 0:
                wanted = max(0, count - (len(left.ids) - left.wanted))
                batch.append(left._replace(ids=left.ids[:count], wanted=wanted))
                left = left._replace(
                    ids=left.ids[count:], first=left.first + count, wanted=left.wanted - wanted
                )
            if left.ids:
                yield from _run_pass(engine, batch)
                batch = []
    if batch:
        yield from _run_pass(engine, batch)


def _run_pass(
    engine: BatchEngine, batch: Sequence[_Part]
) -> Iterator[tuple[int, Float[Tensor, "n V"]]]:
    starts = [0, *accumulate(len(each.ids) for each in batch)]
    width = max(len(each.table) for each in batch)
    selected = [
        end - back
        for end, each in zip(starts[1:], batch, strict=True)
        for back in range(each.wanted, 0, -1)
    ]
    numbered = [torch.tensor(each, dtype=torch.int32) for each in (
        [token for each in batch for token in each.ids],
        [each.first + at for each in batch for at in range(len(each.ids))],
        starts, [each.table + [0] * (width - len(each.table)) for each in batch], selected,
    )]  # fmt: skip
    logits = engine.decoder.run(
        PagedBatch(numbered[0], numbered[1], numbered[2], numbered[3], numbered[4])
    )
    logprobs = logits[:, : engine.vocab_size].log_softmax(-1)
    row = 0
    for each in batch:
        if each.wanted:
            yield each.owner, logprobs[row : row + each.wanted]
        row += each.wanted
