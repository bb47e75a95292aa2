"""Loglikelihood scoring with shared prefixes, each of which is computed once.

    shared prefix   start of nearly all contexts, such as few-shot examples: computed once
    context         the rest of a context; requests with equal contexts compute it once
    continuations   of one context, each on a copy of the context's keys and values

A continuation's first token is predicted by its context's last one, so an option of one token needs
no pass of its own. A context with one continuation is read together with it. Logits exist only
where something is scored, for a chunk at a time, in float32 or better. Only ids here; no text.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .batching.engine import BatchEngine
from .batching.native import MAX_CACHE_POSITIONS
from .batching.scores import BATCH_TOKENS, score_continuations
from .cached import (
    NO_PREFIX,
    CachedModel,
    CachedTransformer,
    Projection,
    SharedPrefix,
    batch_similar_lengths,
    eval_mode,
    extend_prefix,
    find_shared_prefix,
    pad_right,
    prefill,
    prefill_prefix,
)

MIN_SHARED_CONTEXT = 8
"""Shortest context that is shared: copying the keys of a shorter one costs more than it saves."""
CHUNK_LOGITS = 2**24
"""Logits that exist at one time: 64 MiB in float32."""


class TokenPair(NamedTuple):
    """A tokenized loglikelihood request; neither part is empty."""

    context: list[int]
    continuation: list[int]


class PairScore(NamedTuple):
    """The score of a continuation."""

    index: int
    nats: float
    is_greedy: bool
    """Whether each target is the most likely id at its position."""
    token_nats: list[float]


def score_pairs(
    model: CachedModel,
    pairs: Sequence[TokenPair],
    *,
    batch_tokens: int,
    sharing: Literal["prefix", "batch", "none"] = "prefix",
    vocab_size: int | None = None,
) -> Iterator[PairScore]:
    """Score each continuation after its context; yield scores as they are computed.

    batch_tokens  tokens computed at a time, padding included
    sharing       prefix  equal prefixes and contexts are computed once
                  batch   every pair is computed in full, in batches without a cache
                  none    every pair is computed alone: bitwise independent of the others
    vocab_size    ids from this one on have no probability; None is the model's
    """
    with ExitStack() as stack:
        engine = _native_engine(model, pairs, vocab_size, stack)
        if engine is not None:
            for index, nats, is_greedy in score_continuations(engine, pairs):
                yield PairScore(index, sum(nats), is_greedy, nats)
            return
    if sharing == "prefix" and _counts_lengths(model, pairs):
        sharing = "batch"
    project = model.projection(vocab_size, exact=True)
    # A prefix LM reads a context bidirectionally, so apart from what follows.
    is_apart = not model.is_causal and sharing != "batch"
    groups = _group_by_context(pairs, sharing == "prefix", is_apart)
    shares_prefix = sharing == "prefix" and model.is_causal
    prefix = find_shared_prefix([group.ids for group in groups]) if shares_prefix else []
    inside, outside = _split_by_prefix(groups, pairs, prefix)
    for ids, selected in ((prefix, inside), ([], outside)):
        if selected:
            selected.sort(key=lambda group: -len(group.ids))
            yield from _Scorer(model, pairs, batch_tokens, project).run(
                ids, selected, sharing == "none"
            )


def _counts_lengths(model: CachedModel, pairs: Sequence[TokenPair]) -> bool:
    """Whether a text is so long that its own length decides how its keys are rotated."""
    if not isinstance(model, CachedTransformer):
        return False
    scaling = model.model.config.position.scaling
    longest = max((len(pair.context) + len(pair.continuation) for pair in pairs), default=0)
    return scaling.depends_on_length and longest > scaling.original_length


def _native_engine(
    model: CachedModel, pairs: Sequence[TokenPair], vocab_size: int | None, stack: ExitStack
) -> BatchEngine | None:
    """The engine on the native stack with room for these pairs; None where it cannot run.

    It stays as it is until the stack ends.
    """
    if not isinstance(model, CachedTransformer) or not pairs:
        return None
    longest = max(sum(map(len, pair)) for pair in pairs)
    with model.native.lock:
        room = [longest + 2 * BATCH_TOKENS]
        engine = model.native.with_room(room, vocab_size or len(model.head))
        if engine is not None:
            stack.enter_context(engine.reading())
    return engine


class ContextGroup(NamedTuple):
    """A context that is read once, and the requests that share it."""

    ids: list[int]
    """The context; for a single request, followed by its continuation without the last id."""
    members: list[int]
    """Indices of the requests."""
    max_continuation: int = 0
    """Maximum ids that a continuation feeds after the context."""
    is_shared: bool = False
    """Whether the context is read on its own."""


def _group_by_context(
    pairs: Sequence[TokenPair], shares: bool, is_apart: bool
) -> list[ContextGroup]:
    """Group the pairs of equal contexts where that pays off, or all that must be read apart."""
    groups = defaultdict(list)
    for index, pair in enumerate(pairs):
        groups[tuple(pair.context) if shares else index].append(index)
    found = []
    for members in groups.values():
        context = pairs[members[0]].context
        if is_apart or (len(members) > 1 and len(context) >= MIN_SHARED_CONTEXT):
            longest = max(len(pairs[index].continuation) for index in members) - 1
            found.append(ContextGroup(context, members, longest, True))
        else:
            found += [ContextGroup([*context, *pairs[i].continuation[:-1]], [i]) for i in members]
    return found


def _split_by_prefix(
    groups: Sequence[ContextGroup], pairs: Sequence[TokenPair], prefix: list[int]
) -> tuple[list[ContextGroup], list[ContextGroup]]:
    inside, outside = [], []
    for group in groups:
        context = len(pairs[group.members[0]].context)
        is_inside = context > len(prefix) > 0 and group.ids[: len(prefix)] == prefix
        (inside if is_inside else outside).append(group)
    return (inside, outside) if len(inside) > 1 else ([], [*inside, *outside])


def _cache_batches(
    groups: Sequence[ContextGroup], context_length: int, max_groups: int | None
) -> Iterator[list[ContextGroup]]:
    batch: list[ContextGroup] = []
    for group in groups:
        if batch:
            longest = max(each.max_continuation for each in (group, *batch))
            length = len(batch[0].ids) + longest
            # Each fits the context, but the longest context with another's continuation may not.
            if (
                length > context_length
                or (len(batch) + 1) * length > MAX_CACHE_POSITIONS
                or len(batch) == max_groups
            ):
                yield batch
                batch = []
        batch.append(group)
    if batch:
        yield batch


class _Scorer:
    """Scores requests that begin with one prefix."""

    def __init__(
        self, model: CachedModel, pairs: Sequence[TokenPair], batch_tokens: int,
        project: Projection,
    ) -> None:  # fmt: skip
        self.model, self.pairs, self.batch_tokens = model, pairs, batch_tokens
        self.project, self.device = project, model.head.device
        self.prefix: SharedPrefix = NO_PREFIX

    @torch.inference_mode()
    def run(
        self, prefix: list[int], groups: Sequence[ContextGroup], alone: bool
    ) -> Iterator[PairScore]:
        start = len(prefix)
        single = [group for group in groups if not group.is_shared]
        shared = [group for group in groups if group.is_shared]
        batches = batch_similar_lengths(
            single, lambda group: len(group.ids) - start, self.batch_tokens
        )
        with eval_mode(self.model.model):
            longest = max(len(group.ids) for group in groups)
            self.prefix = prefill_prefix(self.model, prefix, longest)
            for batch in ([each] for each in single) if alone else batches:
                yield from self.score_single_requests(batch, alone)
            max_groups = 1 if alone else None
            for batch in _cache_batches(shared, self.model.context_length, max_groups):
                yield from self.score_shared_contexts(batch)

    def score_single_requests(
        self, batch: Sequence[ContextGroup], alone: bool
    ) -> Iterator[PairScore]:
        """Score requests that share no context, in one pass."""
        start = len(self.prefix.ids)
        ids, lengths = pad_right([group.ids[start:] for group in batch], self.device)
        if self.prefix.state is None and (alone or ids.shape[1] <= self.batch_tokens):
            hidden = self.model.forward(ids)  # padding on the right affects no causal attention
        else:
            _, hidden = extend_prefix(self.model, self.prefix, ids, lengths, self.batch_tokens)
        scores = _BatchScores([group.members[0] for group in batch], self.pairs, self.project)
        scores.add_last(hidden, lengths, range(len(batch)))
        return scores.results()

    def score_shared_contexts(self, batch: Sequence[ContextGroup]) -> Iterator[PairScore]:
        """Score requests that share contexts: first the contexts, then all continuations."""
        model, contexts = self.model, [group.ids for group in batch]
        owners = [row for row, group in enumerate(batch) for _ in group.members]
        longest = max(group.max_continuation for group in batch)
        members = [index for group in batch for index in group.members]
        scores = _BatchScores(members, self.pairs, self.project)
        state, last = prefill(model, contexts, longest, self.batch_tokens, self.prefix)
        scores.add_first(last, owners)
        rest = [self.pairs[index].continuation[:-1] for index in members]
        long = sorted((n for n, ids in enumerate(rest) if ids), key=lambda n: -len(rest[n]))
        size = max(1, MAX_CACHE_POSITIONS // (len(contexts[0]) + longest))
        for similar in batch_similar_lengths(long, lambda n: len(rest[n]), self.batch_tokens):
            for numbers in (similar[at : at + size] for at in range(0, len(similar), size)):
                ids, lengths = pad_right([rest[number] for number in numbers], self.device)
                rows = torch.tensor([owners[number] for number in numbers], device=self.device)
                hidden = model.extend(model.branch(state, rows), ids, lengths)
                scores.add_last(hidden, lengths, numbers, skip=1)
        return scores.results()


class _BatchScores:
    """The scores of a batch's requests."""

    def __init__(
        self, members: Sequence[int], pairs: Sequence[TokenPair], project: Projection
    ) -> None:
        self.members, self.pairs, self.project = members, pairs, project
        self.nats: list[list[float]] = [[] for _ in members]
        self.is_greedy = [True for _ in members]

    def add_first(self, hidden: Float[Tensor, "B D"], owners: Sequence[int]) -> None:
        """Score each continuation's first id by the last hidden state of its context."""
        pairs = [self.pairs[index] for index in self.members]
        targets = torch.tensor([pair.continuation[0] for pair in pairs])
        self.add(hidden, targets, range(len(pairs)), [1] * len(pairs), torch.tensor(owners))

    def add_last(
        self, hidden: Float[Tensor, "B T D"], lengths: Int[Tensor, " B"], requests: Sequence[int],
        skip: int = 0,
    ) -> None:  # fmt: skip
        """Score continuations whose last id is predicted by the sequence's last hidden state.

        skip  number of first ids that are not scored here
        """
        pairs = [self.pairs[self.members[request]] for request in requests]
        sizes = torch.tensor([len(pair.continuation) - skip for pair in pairs])
        row = torch.arange(len(pairs)).repeat_interleave(sizes)
        starts = lengths.cpu() - sizes.cumsum(0)  # from a target's index to its position
        position = torch.arange(len(row)) + starts[row]
        targets = torch.tensor([id for pair in pairs for id in pair.continuation[skip:]])
        device = hidden.device
        states = hidden[row.to(device), position.to(device)]
        self.add(states, targets, requests, sizes.tolist())

    def add(
        self, hidden: Float[Tensor, "M D"], targets: Int[Tensor, " N"], requests: Sequence[int],
        counts: Sequence[int], hidden_indices: Int[Tensor, " N"] | None = None,
    ) -> None:  # fmt: skip
        """Score the targets, `counts` of each request; see `score_targets`."""
        device = hidden.device
        indices = None if hidden_indices is None else hidden_indices.to(device)
        scores = score_targets(hidden, self.project, targets.to(device), indices)
        nats, greedy, start = scores.nats.double().tolist(), scores.is_greedy.tolist(), 0
        for request, count in zip(requests, counts, strict=True):
            self.nats[request] += nats[start : start + count]
            self.is_greedy[request] &= all(greedy[start : start + count])
            start += count

    def results(self) -> Iterator[PairScore]:
        """The requests' scores."""
        for index, nats, is_greedy in zip(self.members, self.nats, self.is_greedy, strict=True):
            yield PairScore(index, sum(nats), is_greedy, nats)


class TargetScores(NamedTuple):
    """The score of each target."""

    nats: Float[Tensor, " N"]
    """-log p."""
    is_greedy: Bool[Tensor, " N"]
    """Whether no other id is more likely."""


def score_targets(
    hidden: Float[Tensor, "M D"], project: Projection, targets: Int[Tensor, " N"],
    hidden_indices: Int[Tensor, " N"] | None = None,
) -> TargetScores:  # fmt: skip
    """-log p of each target; logits exist for a chunk of hidden states at a time.

    hidden_indices  index of the hidden state that predicts each target, ascending; None is one each

    >>> score_targets(torch.zeros(2, 3), lambda h: h @ torch.ones(3, 8), torch.tensor([0, 7])).nats
    tensor([2.0794, 2.0794])
    """
    if hidden_indices is None:
        hidden_indices = torch.arange(len(targets), device=targets.device)
    chunk = max(1, CHUNK_LOGITS // project(hidden[:0]).shape[1])
    starts = torch.arange(0, len(hidden) + chunk, chunk, device=hidden_indices.device)
    bounds = torch.searchsorted(hidden_indices, starts).tolist()
    nats, greedy = [], []
    for number, (first, end) in enumerate(pairwise(bounds)):
        start, here = number * chunk, slice(first, end)
        logits = project(hidden[start : start + chunk])  # (chunk, V)
        row = hidden_indices[here] - start
        top, target_logits = logits.amax(-1), logits[row, targets[here]]
        total = logits.sub_(top[:, None]).exp_().sum(-1).log_() + top
        nats.append(total[row] - target_logits)
        greedy.append(target_logits >= top[row])
    return TargetScores(torch.cat(nats), torch.cat(greedy))
