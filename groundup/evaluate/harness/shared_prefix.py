"""Loglikelihood scoring with shared prefixes, each of which is computed once.

    shared prefix   start of nearly all contexts, such as few-shot examples: computed once
    context         the rest of a context; requests with equal contexts compute it once
    continuations   of one context, each on a copy of the context's keys and values

A continuation's first token is predicted by its context's last one, so an option of one token needs
no pass of its own. A context with one continuation is read together with it. Logits exist only
where something is scored. Sequences are padded on the right, and padding is never attended.
Only ids and a model whose cache can branch here; no text.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundup.generate import eval_mode

from ..likelihood import (
    ScoredModel,
    ScoredSequence,
    SequenceScore,
    Window,
    float32_head,
    score_sequences,
    score_targets,
)

MIN_SHARED_CONTEXT = 8
"""Shortest context that is shared: copying the keys of a shorter one costs more than it saves."""
MIN_PREFIX_TOKENS = 16
"""Shortest shared prefix."""
MAX_SHARE_WITHOUT_PREFIX = 0.1
"""Share of contexts at either end of the sort order that may lack the shared prefix."""
MAX_CACHE_POSITIONS = 32_768
"""Maximum cache positions of a batch."""
MIN_LENGTH_RATIO = 0.8
"""Minimum length of a sequence relative to its batch's longest, which bounds padding."""
SMALL_BATCH_SHARE = 0.25
"""Below this share of `batch_tokens` any sequence joins: small batches cost more than padding."""


@runtime_checkable
class BranchingModel(ScoredModel, Protocol):
    """A model with a KV cache that can be branched from one sequence into many."""

    @property
    def context_length(self) -> int:
        """Maximum positions of a sequence, padding included."""
        ...

    def begin(self, rows: int, capacity: int) -> Any:
        """The state of empty sequences, with room for `capacity` positions each."""
        ...

    def extend(
        self, state: Any, ids: Int[Tensor, "B T"], lengths: Int[Tensor, " B"]
    ) -> Float[Tensor, "B T D"]:
        """Append `lengths` ids to each sequence's state; return the hidden states."""
        ...

    def branch(self, state: Any, indices: Int[Tensor, " b"]) -> Any:
        """Copy these sequences' states; the original is unchanged."""
        ...

    def join(self, states: Sequence[Any], capacity: int) -> Any:
        """Concatenate states along the batch, with room for `capacity` positions each."""
        ...


class TokenPair(NamedTuple):
    """A tokenized loglikelihood request; neither part is empty."""

    context: list[int]
    continuation: list[int]


class ContextGroup(NamedTuple):
    """A context that is read once, and the requests that share it."""

    ids: list[int]
    """The context; for a single request, followed by its continuation without the last id."""
    members: list[int]
    """Indices of the requests."""
    max_continuation: int
    """Maximum ids that a continuation feeds after the context."""

    @property
    def is_shared(self) -> bool:
        """Whether several requests share the context."""
        return len(self.members) > 1


class SharedPrefix(NamedTuple):
    """A shared prefix and its state; without ids if there is none."""

    ids: list[int]
    state: Any


def score_pairs(
    model: BranchingModel, pairs: Sequence[TokenPair], *, batch_tokens: int, share: bool = True
) -> Iterator[SequenceScore]:
    """Score each continuation after its context; yield scores as they are computed.

    batch_tokens  tokens computed at a time, padding included
    share         False computes each pair alone: bitwise independent of the others
    """
    if not share:
        yield from _score_separately(model, pairs)
        return
    groups = _group_by_context(pairs)
    prefix = find_shared_prefix([group.ids for group in groups])
    inside, outside = _split_by_prefix(groups, pairs, prefix)
    with eval_mode(model):
        for ids, selected in ((prefix, inside), ([], outside)):
            selected.sort(key=lambda group: -len(group.ids))
            inputs = ScoringInputs(
                model,
                float32_head(model),
                _prefill_context_prefix(model, ids, selected),
                pairs,
                batch_tokens,
            )
            single = [group for group in selected if not group.is_shared]
            start = len(ids)
            for batch in _batch_similar_lengths(
                single, lambda each, start=start: len(each.ids) - start, batch_tokens
            ):
                yield from _score_single_requests(inputs, batch)
            shared = [group for group in selected if group.is_shared]
            for batch in _cache_batches(shared, model.context_length):
                yield from _score_shared_contexts(inputs, batch)


def _score_separately(model: ScoredModel, pairs: Sequence[TokenPair]) -> Iterator[SequenceScore]:
    for index, (context, continuation) in enumerate(pairs):
        ids = torch.tensor(context + continuation)
        row = ScoredSequence("", ids, torch.arange(len(ids)) >= len(context), 0)
        for score in score_sequences(model, [row], _single_window, batch_tokens=len(ids)):
            yield SequenceScore(index, score.nats, score.is_greedy)


def _single_window(length: int) -> Iterator[Window]:
    yield Window(0, length - 1, 1)


def _group_by_context(pairs: Sequence[TokenPair]) -> list[ContextGroup]:
    """Group the pairs of equal contexts where that pays off.

    >>> [t.ids for t in _group_by_context([TokenPair([1] * 9, [5]), TokenPair([1] * 9, [6, 7])])]
    [[1, 1, 1, 1, 1, 1, 1, 1, 1]]
    """
    groups = defaultdict(list)
    for index, pair in enumerate(pairs):
        groups[tuple(pair.context)].append(index)
    shared = []
    for context, members in groups.items():
        if len(members) > 1 and len(context) >= MIN_SHARED_CONTEXT:
            longest = max(len(pairs[index].continuation) for index in members) - 1
            shared.append(ContextGroup(list(context), members, longest))
        else:
            shared += [
                ContextGroup([*context, *pairs[i].continuation[:-1]], [i], 0) for i in members
            ]
    return shared


def find_shared_prefix(sequences: Sequence[Sequence[int]]) -> list[int]:
    """The prefix of nearly all sequences; empty if it is too short to pay off.

    >>> len(find_shared_prefix([[7] * 20 + [n] for n in range(40)] + [[1, 2, 3]]))
    20
    """
    if len(sequences) < 2:
        return []
    ordered = sorted(map(list, sequences))
    outside = int(MAX_SHARE_WITHOUT_PREFIX * len(ordered))
    low, high = ordered[outside], ordered[-1 - outside]
    equal = takewhile(lambda both: both[0] == both[1], zip(low, high, strict=False))
    ids = [token for token, _ in equal]
    return ids if len(ids) >= MIN_PREFIX_TOKENS else []


def _split_by_prefix(
    context_groups: Sequence[ContextGroup], pairs: Sequence[TokenPair], prefix: list[int]
) -> tuple[list[ContextGroup], list[ContextGroup]]:
    """Split contexts into those that are scored after the prefix, and the others."""
    inside, outside = [], []
    for group in context_groups:
        context = len(pairs[group.members[0]].context)
        is_inside = context > len(prefix) > 0 and group.ids[: len(prefix)] == prefix
        (inside if is_inside else outside).append(group)
    return (inside, outside) if len(inside) > 1 else ([], [*inside, *outside])


class ScoringInputs(NamedTuple):
    """Inputs of every batch."""

    model: BranchingModel
    head: Float[Tensor, "V D"]
    prefix: SharedPrefix
    pairs: Sequence[TokenPair]
    batch_tokens: int


@torch.inference_mode()
def _prefill_context_prefix(
    model: BranchingModel, ids: list[int], context_groups: Sequence[ContextGroup]
) -> SharedPrefix:
    """Prefill the shared prefix, with room for the longest context."""
    if not ids or not context_groups:
        return SharedPrefix([], None)
    return prefill_prefix(model, ids, max(len(trunk.ids) for trunk in context_groups))


def prefill_prefix(model: BranchingModel, ids: list[int], capacity: int) -> SharedPrefix:
    """Prefill one sequence with `ids`, with room for `capacity` positions in total."""
    state = model.begin(1, capacity)
    device = model.head.device
    model.extend(state, torch.tensor([ids], device=device), torch.tensor([len(ids)], device=device))
    return SharedPrefix(ids, state)


def _cache_batches(
    context_groups: Sequence[ContextGroup], context_length: int
) -> Iterator[list[ContextGroup]]:
    """Batches of contexts, longest first, whose caches fit at one time."""
    batch: list[ContextGroup] = []
    for group in context_groups:
        if batch:
            longest = max(group.max_continuation, *(other.max_continuation for other in batch))
            length = len(batch[0].ids) + longest
            # Each fits the context, but the longest context with another's continuation may not.
            if length > context_length or (len(batch) + 1) * length > MAX_CACHE_POSITIONS:
                yield batch
                batch = []
        batch.append(group)
    if batch:
        yield batch


Row = TypeVar("Row")


def _batch_similar_lengths(
    items: Sequence[Row], length: Callable[[Row], int], batch_tokens: int
) -> Iterator[list[Row]]:
    """Split sequences, longest first, into batches with little padding.

    >>> list(_batch_similar_lengths([100, 99, 50, 48, 2], lambda row: row, batch_tokens=200))
    [[100, 99], [50, 48], [2]]
    """
    batch: list[Row] = []
    for row in items:
        if batch:
            longest = length(batch[0])
            has_room = (len(batch) + 1) * longest <= batch_tokens
            is_small = len(batch) * longest < SMALL_BATCH_SHARE * batch_tokens
            if not (has_room and (is_small or length(row) >= MIN_LENGTH_RATIO * longest)):
                yield batch
                batch = []
        batch.append(row)
    if batch:
        yield batch


class ScoredTargets(NamedTuple):
    """Targets of a forward pass: which hidden states predict them, and for which request."""

    sequence: Int[Tensor, " M"]
    position: Int[Tensor, " M"]
    """Position of each hidden state that is needed."""
    hidden_index: Int[Tensor, " N"]
    """Index of the hidden state that predicts each target, ascending."""
    targets: Int[Tensor, " N"]
    request: Int[Tensor, " N"]
    """Index of the request within the batch."""


class ScoreAccumulator:
    """Accumulates the scores of a batch's requests."""

    def __init__(self, members: Sequence[int]) -> None:
        self.members = members
        self.nats, self.misses = (torch.zeros(len(members), dtype=torch.float64) for _ in range(2))

    def add(
        self, hidden: Float[Tensor, "B T D"], head: Float[Tensor, "V D"], scored: ScoredTargets
    ) -> None:
        """Score the targets of a forward pass."""
        row, column, by, targets = (part.to(head.device) for part in scored[:4])
        scores = score_targets(hidden[row, column].to(head.dtype), head, targets, by)
        self.nats.index_add_(0, scored.request, scores.nats.double().cpu())
        self.misses.index_add_(0, scored.request, (~scores.is_greedy).double().cpu())

    def scores(self) -> list[SequenceScore]:
        """The requests' scores."""
        rows = zip(self.members, self.nats.tolist(), self.misses.tolist(), strict=True)
        return [SequenceScore(place, nats, not misses) for place, nats, misses in rows]


@torch.inference_mode()
def _score_single_requests(
    inputs: ScoringInputs, batch: Sequence[ContextGroup]
) -> list[SequenceScore]:
    """Score requests that share no context, in one pass."""
    model, head, root, pairs, batch_tokens = inputs
    prefix_length = len(root.ids)
    ids, lengths = _pad_right([trunk.ids[prefix_length:] for trunk in batch], head.device)
    if root.state is None and ids.shape[1] <= batch_tokens:
        hidden = model.forward(ids)  # padding on the right does not affect causal attention
    else:
        state = _branch_prefix(model, root, len(batch), prefix_length + ids.shape[1])
        hidden = _extend_in_chunks(model, state, ids, lengths, batch_tokens)
    sums = ScoreAccumulator([trunk.members[0] for trunk in batch])
    continuations = [pairs[index].continuation for index in sums.members]
    sums.add(hidden, head, _final_targets(continuations, lengths.tolist(), range(len(batch))))
    return sums.scores()


@torch.inference_mode()
def _score_shared_contexts(
    inputs: ScoringInputs, batch: Sequence[ContextGroup]
) -> list[SequenceScore]:
    """Score requests that share contexts: first the contexts, then all continuations."""
    model, head, root, pairs, batch_tokens = inputs
    sums = ScoreAccumulator([index for group in batch for index in group.members])
    continuations = [pairs[index].continuation for index in sums.members]
    owners = [row for row, group in enumerate(batch) for _ in group.members]
    longest = max(group.max_continuation for group in batch)
    contexts = [group.ids for group in batch]
    state, last = prefill_batch(model, root, contexts, len(contexts[0]) + longest, batch_tokens)
    sums.add(last[:, None], head, _first_targets([ids[0] for ids in continuations], owners))
    long = [number for number, ids in enumerate(continuations) if len(ids) > 1]
    long.sort(key=lambda number: -len(continuations[number]))
    size = max(1, MAX_CACHE_POSITIONS // (len(contexts[0]) + longest))
    for similar in _batch_similar_lengths(
        long, lambda number: len(continuations[number]) - 1, batch_tokens
    ):
        for numbers in (similar[at : at + size] for at in range(0, len(similar), size)):
            ids, lengths = _pad_right(
                [continuations[number][:-1] for number in numbers], head.device
            )
            contexts_of = torch.tensor([owners[number] for number in numbers], device=head.device)
            hidden = model.extend(model.branch(state, contexts_of), ids, lengths)
            rest = [continuations[number][1:] for number in numbers]
            sums.add(hidden, head, _final_targets(rest, lengths.tolist(), numbers))
    return sums.scores()


class PrefilledBatch(NamedTuple):
    """Prefilled sequences as one state."""

    state: Any
    last_hidden: Float[Tensor, "B D"]
    """Hidden state after each sequence's last id."""


def prefill_batch(
    model: BranchingModel,
    prefix: SharedPrefix,
    sequences: Sequence[list[int]],
    capacity: int,
    batch_tokens: int,
) -> PrefilledBatch:
    """Prefill sequences after the shared prefix, longest first, in batches of similar length."""
    prefix_length, device = len(prefix.ids), model.head.device
    states, last = [], []
    for batch in _batch_similar_lengths(
        sequences, lambda ids: len(ids) - prefix_length, batch_tokens
    ):
        ids, lengths = _pad_right([sequence[prefix_length:] for sequence in batch], device)
        states.append(_branch_prefix(model, prefix, len(batch), prefix_length + ids.shape[1]))
        hidden = _extend_in_chunks(model, states[-1], ids, lengths, batch_tokens)
        last.append(hidden[torch.arange(len(batch), device=device), lengths - 1])
    return PrefilledBatch(model.join(states, capacity), torch.cat(last))


def _extend_in_chunks(
    model: BranchingModel, state: Any, ids: Int[Tensor, "B T"], lengths: Int[Tensor, " B"],
    batch_tokens: int,
) -> Float[Tensor, "B T D"]:  # fmt: skip
    """Extend a state; a single long sequence in chunks of `batch_tokens`, which stay in cache."""
    if len(ids) > 1 or ids.shape[1] <= batch_tokens:
        return model.extend(state, ids, lengths)
    chunks = ids.split(batch_tokens, dim=1)
    return torch.cat(
        [model.extend(state, chunk, lengths * 0 + chunk.shape[1]) for chunk in chunks], 1
    )


def _branch_prefix(
    model: BranchingModel, prefix: SharedPrefix, num_sequences: int, capacity: int
) -> Any:
    """A state with copies of the shared prefix."""
    if prefix.state is None:
        return model.begin(num_sequences, capacity)
    return model.branch(
        prefix.state, torch.zeros(num_sequences, dtype=torch.long, device=model.head.device)
    )


def _final_targets(
    ids: Sequence[list[int]], ends: Sequence[int], owners: Sequence[int]
) -> ScoredTargets:
    """Targets at the end of each sequence, the last predicted by its last hidden state.

    >>> found = _final_targets([[5, 6], [7]], ends=[3, 1], owners=[0, 1])
    >>> found.sequence.tolist(), found.position.tolist()
    ([0, 0, 1], [1, 2, 0])
    """
    counts = torch.tensor([len(each) for each in ids])
    row = torch.arange(len(ids)).repeat_interleave(counts)
    starts = torch.tensor(ends) - counts.cumsum(0)  # offset from a target's index to its position
    every = torch.arange(len(row))
    targets = torch.tensor([token for each in ids for token in each])
    return ScoredTargets(row, every + starts[row], every, targets, torch.tensor(owners)[row])


def _first_targets(targets: Sequence[int], owners: Sequence[int]) -> ScoredTargets:
    """One target per request, predicted by the only hidden state of its context."""
    row = torch.arange(owners[-1] + 1)
    every = torch.arange(len(targets))
    return ScoredTargets(
        row, torch.zeros_like(row), torch.tensor(owners), torch.tensor(targets), every
    )


class RightPaddedIds(NamedTuple):
    """Sequences of ids as one tensor, padded on the right."""

    ids: Int[Tensor, "B T"]
    lengths: Int[Tensor, " B"]


def _pad_right(
    sequences: Sequence[Sequence[int]], device: torch.device | str = "cpu"
) -> RightPaddedIds:
    """Pad sequences on the right with id 0.

    >>> _pad_right([[5, 6], [7]]).ids.tolist()
    [[5, 6], [7, 0]]
    """
    width = max(len(row) for row in sequences)
    ids = torch.tensor([list(row) + [0] * (width - len(row)) for row in sequences], device=device)
    return RightPaddedIds(ids, torch.tensor([len(row) for row in sequences], device=device))
