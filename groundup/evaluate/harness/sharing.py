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

from ..likelihood import (
    RowScore,
    ScoredModel,
    TokenRow,
    Window,
    evaluating,
    exact_head,
    row_scores,
    token_scores,
)

TRUNK_TOKENS = 8
"""Shortest context that is shared: copying the keys of a shorter one costs more than it saves."""
ROOT_TOKENS = 16
"""Shortest shared prefix."""
OUTSIDE = 0.1
"""Share of contexts at either end of the sort order that may lack the shared prefix."""
CACHE_POSITIONS = 32_768
"""Maximum cache positions of a batch."""
ALIKE = 0.8
"""Minimum length of a sequence relative to its batch's longest, which bounds padding."""
WORTH = 0.25
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

    def branch(self, state: Any, rows: Int[Tensor, " b"]) -> Any:
        """Copy these sequences' states; the original is unchanged."""
        ...

    def join(self, states: Sequence[Any], capacity: int) -> Any:
        """Concatenate states along the batch, with room for `capacity` positions each."""
        ...


class TokenPair(NamedTuple):
    """A tokenized loglikelihood request; neither part is empty."""

    context: list[int]
    continuation: list[int]


class Trunk(NamedTuple):
    """A context that is read once, and the requests that share it."""

    ids: list[int]
    """The context; for a single request, followed by its continuation without the last id."""
    members: list[int]
    """Indices of the requests."""
    longest: int
    """Maximum ids that a continuation feeds after the context."""

    @property
    def is_shared(self) -> bool:
        """Whether several requests share the context."""
        return len(self.members) > 1


class Root(NamedTuple):
    """A shared prefix and its state; without ids if there is none."""

    ids: list[int]
    state: Any


def pair_scores(
    model: BranchingModel, pairs: Sequence[TokenPair], *, batch_tokens: int, share: bool = True
) -> Iterator[RowScore]:
    """Score each continuation after its context; yield scores as they are computed.

    batch_tokens  tokens computed at a time, padding included
    share         False computes each pair alone: bitwise independent of the others
    """
    if not share:
        yield from alone(model, pairs)
        return
    groups = trunks_of(pairs)
    prefix = root_of([group.ids for group in groups])
    inside, outside = parted(groups, pairs, prefix)
    with evaluating(model):
        for ids, selected in ((prefix, inside), ([], outside)):
            selected.sort(key=lambda group: -len(group.ids))
            inputs = Work(
                model, exact_head(model), rooted(model, ids, selected), pairs, batch_tokens
            )
            single = [group for group in selected if not group.is_shared]
            for batch in alike(single, lambda each: len(each.ids) - len(ids), batch_tokens):  # noqa: B023
                yield from lone_scores(inputs, batch)
            shared = [group for group in selected if group.is_shared]
            for batch in bunches(shared, model.context_length):
                yield from shared_scores(inputs, batch)


def alone(model: ScoredModel, pairs: Sequence[TokenPair]) -> Iterator[RowScore]:
    for index, (context, continuation) in enumerate(pairs):
        ids = torch.tensor(context + continuation)
        row = TokenRow("", ids, torch.arange(len(ids)) >= len(context), 0)
        for score in row_scores(model, [row], whole, batch_tokens=len(ids)):
            yield RowScore(index, score.nats, score.is_greedy)


def whole(length: int) -> Iterator[Window]:
    yield Window(0, length - 1, 1)


def trunks_of(pairs: Sequence[TokenPair]) -> list[Trunk]:
    """Group the pairs of equal contexts where that pays off.

    >>> [t.ids for t in trunks_of([TokenPair([1] * 9, [5]), TokenPair([1] * 9, [6, 7])])]
    [[1, 1, 1, 1, 1, 1, 1, 1, 1]]
    """
    groups = defaultdict(list)
    for index, pair in enumerate(pairs):
        groups[tuple(pair.context)].append(index)
    shared = []
    for context, members in groups.items():
        if len(members) > 1 and len(context) >= TRUNK_TOKENS:
            longest = max(len(pairs[index].continuation) for index in members) - 1
            shared.append(Trunk(list(context), members, longest))
        else:
            shared += [Trunk([*context, *pairs[i].continuation[:-1]], [i], 0) for i in members]
    return shared


def root_of(rows: Sequence[Sequence[int]]) -> list[int]:
    """The prefix of nearly all sequences; empty if it is too short to pay off.

    >>> len(root_of([[7] * 20 + [n] for n in range(40)] + [[1, 2, 3]]))
    20
    """
    if len(rows) < 2:
        return []
    ordered = sorted(map(list, rows))
    outside = int(OUTSIDE * len(ordered))
    low, high = ordered[outside], ordered[-1 - outside]
    equal = takewhile(lambda both: both[0] == both[1], zip(low, high, strict=False))
    ids = [token for token, _ in equal]
    return ids if len(ids) >= ROOT_TOKENS else []


def parted(
    trunks: Sequence[Trunk], pairs: Sequence[TokenPair], root: list[int]
) -> tuple[list[Trunk], list[Trunk]]:
    """Split contexts into those that are scored after the prefix, and the others."""
    inside, outside = [], []
    for group in trunks:
        context = len(pairs[group.members[0]].context)
        is_inside = context > len(root) > 0 and group.ids[: len(root)] == root
        (inside if is_inside else outside).append(group)
    return (inside, outside) if len(inside) > 1 else ([], [*inside, *outside])


class Work(NamedTuple):
    """Inputs of every batch."""

    model: BranchingModel
    head: Float[Tensor, "V D"]
    root: Root
    pairs: Sequence[TokenPair]
    batch_tokens: int


@torch.inference_mode()
def rooted(model: BranchingModel, ids: list[int], trunks: Sequence[Trunk]) -> Root:
    """Prefill the shared prefix, with room for the longest context."""
    if not ids or not trunks:
        return Root([], None)
    return begun(model, ids, max(len(trunk.ids) for trunk in trunks))


def begun(model: BranchingModel, ids: list[int], capacity: int) -> Root:
    """Prefill one sequence with `ids`, with room for `capacity` positions in total."""
    state = model.begin(1, capacity)
    device = model.head.device
    model.extend(state, torch.tensor([ids], device=device), torch.tensor([len(ids)], device=device))
    return Root(ids, state)


def bunches(trunks: Sequence[Trunk], context_length: int) -> Iterator[list[Trunk]]:
    """Batches of contexts, longest first, whose caches fit at one time."""
    batch: list[Trunk] = []
    for group in trunks:
        if batch:
            longest = max(group.longest, *(other.longest for other in batch))
            length = len(batch[0].ids) + longest
            # Each fits the context, but the longest context with another's continuation may not.
            if length > context_length or (len(batch) + 1) * length > CACHE_POSITIONS:
                yield batch
                batch = []
        batch.append(group)
    if batch:
        yield batch


Row = TypeVar("Row")


def alike(
    rows: Sequence[Row], length: Callable[[Row], int], batch_tokens: int
) -> Iterator[list[Row]]:
    """Split sequences, longest first, into batches with little padding.

    >>> list(alike([100, 99, 50, 48, 2], lambda row: row, batch_tokens=200))
    [[100, 99], [50, 48], [2]]
    """
    batch: list[Row] = []
    for row in rows:
        if batch:
            longest = length(batch[0])
            has_room = (len(batch) + 1) * longest <= batch_tokens
            is_small = len(batch) * longest < WORTH * batch_tokens
            if not (has_room and (is_small or length(row) >= ALIKE * longest)):
                yield batch
                batch = []
        batch.append(row)
    if batch:
        yield batch


class Scored(NamedTuple):
    """Targets of a forward pass: which hidden states predict them, and for which request."""

    row: Int[Tensor, " M"]
    column: Int[Tensor, " M"]
    """Position of each hidden state that is needed."""
    by: Int[Tensor, " N"]
    """Index of the hidden state that predicts each target, ascending."""
    targets: Int[Tensor, " N"]
    owners: Int[Tensor, " N"]
    """Index of the request within the batch."""


class Sums:
    """Accumulates the scores of a batch's requests."""

    def __init__(self, members: Sequence[int]) -> None:
        self.members = members
        self.nats, self.misses = (torch.zeros(len(members), dtype=torch.float64) for _ in range(2))

    def add(self, hidden: Float[Tensor, "B T D"], head: Float[Tensor, "V D"], of: Scored) -> None:
        """Score the targets of a forward pass."""
        row, column, by, targets = (part.to(head.device) for part in of[:4])
        scores = token_scores(hidden[row, column].to(head.dtype), head, targets, by)
        self.nats.index_add_(0, of.owners, scores.nats.double().cpu())
        self.misses.index_add_(0, of.owners, (~scores.is_greedy).double().cpu())

    def scores(self) -> list[RowScore]:
        """The requests' scores."""
        rows = zip(self.members, self.nats.tolist(), self.misses.tolist(), strict=True)
        return [RowScore(place, nats, not misses) for place, nats, misses in rows]


@torch.inference_mode()
def lone_scores(work: Work, batch: Sequence[Trunk]) -> list[RowScore]:
    """Score requests that share no context, in one pass."""
    model, head, root, pairs, batch_tokens = work
    prefix_length = len(root.ids)
    ids, lengths = padded([trunk.ids[prefix_length:] for trunk in batch], head.device)
    if root.state is None and ids.shape[1] <= batch_tokens:
        hidden = model.forward(ids)  # padding on the right does not affect causal attention
    else:
        state = branched(model, root, len(batch), prefix_length + ids.shape[1])
        hidden = read(model, state, ids, lengths, batch_tokens)
    sums = Sums([trunk.members[0] for trunk in batch])
    continuations = [pairs[index].continuation for index in sums.members]
    sums.add(hidden, head, last_ids(continuations, lengths.tolist(), range(len(batch))))
    return sums.scores()


@torch.inference_mode()
def shared_scores(work: Work, batch: Sequence[Trunk]) -> list[RowScore]:
    """Score requests that share contexts: first the contexts, then all continuations."""
    model, head, root, pairs, batch_tokens = work
    sums = Sums([index for group in batch for index in group.members])
    continuations = [pairs[index].continuation for index in sums.members]
    owners = [row for row, group in enumerate(batch) for _ in group.members]
    longest = max(group.longest for group in batch)
    contexts = [group.ids for group in batch]
    state, last = grown(model, root, contexts, len(contexts[0]) + longest, batch_tokens)
    sums.add(last[:, None], head, first_ids([ids[0] for ids in continuations], owners))
    long = [number for number, ids in enumerate(continuations) if len(ids) > 1]
    long.sort(key=lambda number: -len(continuations[number]))
    size = max(1, CACHE_POSITIONS // (len(contexts[0]) + longest))
    for similar in alike(long, lambda number: len(continuations[number]) - 1, batch_tokens):
        for numbers in (similar[at : at + size] for at in range(0, len(similar), size)):
            ids, lengths = padded([continuations[number][:-1] for number in numbers], head.device)
            contexts_of = torch.tensor([owners[number] for number in numbers], device=head.device)
            hidden = model.extend(model.branch(state, contexts_of), ids, lengths)
            rest = [continuations[number][1:] for number in numbers]
            sums.add(hidden, head, last_ids(rest, lengths.tolist(), numbers))
    return sums.scores()


class Grown(NamedTuple):
    """Prefilled sequences as one state."""

    state: Any
    last: Float[Tensor, "B D"]
    """Hidden state after each sequence's last id."""


def grown(
    model: BranchingModel, root: Root, rows: Sequence[list[int]], capacity: int, batch_tokens: int
) -> Grown:
    """Prefill sequences after the shared prefix, longest first, in batches of similar length."""
    prefix_length, device = len(root.ids), model.head.device
    states, last = [], []
    for batch in alike(rows, lambda ids: len(ids) - prefix_length, batch_tokens):
        ids, lengths = padded([sequence[prefix_length:] for sequence in batch], device)
        states.append(branched(model, root, len(batch), prefix_length + ids.shape[1]))
        hidden = read(model, states[-1], ids, lengths, batch_tokens)
        last.append(hidden[torch.arange(len(batch), device=device), lengths - 1])
    return Grown(model.join(states, capacity), torch.cat(last))


def read(
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


def branched(model: BranchingModel, root: Root, rows: int, capacity: int) -> Any:
    """A state with copies of the shared prefix."""
    if root.state is None:
        return model.begin(rows, capacity)
    return model.branch(root.state, torch.zeros(rows, dtype=torch.long, device=model.head.device))


def last_ids(ids: Sequence[list[int]], ends: Sequence[int], owners: Sequence[int]) -> Scored:
    """Targets at the end of each sequence, the last predicted by its last hidden state.

    >>> found = last_ids([[5, 6], [7]], ends=[3, 1], owners=[0, 1])
    >>> found.row.tolist(), found.column.tolist()
    ([0, 0, 1], [1, 2, 0])
    """
    counts = torch.tensor([len(each) for each in ids])
    row = torch.arange(len(ids)).repeat_interleave(counts)
    starts = torch.tensor(ends) - counts.cumsum(0)  # offset from a target's index to its position
    every = torch.arange(len(row))
    targets = torch.tensor([token for each in ids for token in each])
    return Scored(row, every + starts[row], every, targets, torch.tensor(owners)[row])


def first_ids(targets: Sequence[int], owners: Sequence[int]) -> Scored:
    """One target per request, predicted by the only hidden state of its context."""
    row = torch.arange(owners[-1] + 1)
    every = torch.arange(len(targets))
    return Scored(row, torch.zeros_like(row), torch.tensor(owners), torch.tensor(targets), every)


class PaddedRows(NamedTuple):
    """Sequences of ids as one tensor, padded on the right."""

    ids: Int[Tensor, "B T"]
    lengths: Int[Tensor, " B"]


def padded(rows: Sequence[Sequence[int]], device: torch.device | str = "cpu") -> PaddedRows:
    """Pad sequences on the right with id 0.

    >>> padded([[5, 6], [7]]).ids.tolist()
    [[5, 6], [7, 0]]
    """
    width = max(len(row) for row in rows)
    ids = torch.tensor([list(row) + [0] * (width - len(row)) for row in rows], device=device)
    return PaddedRows(ids, torch.tensor([len(row) for row in rows], device=device))
