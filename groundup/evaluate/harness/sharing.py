"""Shared prefixes: what many requests begin with is computed once.

    root    what nearly all contexts begin with, such as few-shot examples: one row, computed once
    trunk   a context after the root; requests with the same context have one trunk
    twigs   the continuations of a trunk, each on a copy of the trunk's keys and values

A continuation's first token is predicted by the trunk's last one, so options of one token need no
twig. A context with one continuation is read with it in one pass. Logits exist only for what is
scored. Rows of unlike length are padded on the right, and padding is attended by nobody.
Knows ids and a model that can branch; no text.
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
"""Shortest context that options share: copying a shorter one's keys costs more than it saves."""
ROOT_TOKENS = 16
"""Shortest root."""
OUTSIDE = 0.1
"""Share of contexts at either end of the alphabet that need not begin with the root."""
CACHE_POSITIONS = 32_768
"""Most positions that the rows of a batch keep keys and values of."""
ALIKE = 0.8
"""A row at least this share as long as a batch's longest joins it: the rest would be padding."""
WORTH = 0.25
"""Up to this share of `batch_tokens` any row joins: small batches cost more than padding."""


@runtime_checkable
class BranchingModel(ScoredModel, Protocol):
    """A model that goes on where it stopped, from one row to many."""

    @property
    def context_length(self) -> int:
        """Most positions of a row, padding included."""
        ...

    def begin(self, rows: int, capacity: int) -> Any:
        """The state of empty rows, with room for so many positions each."""
        ...

    def extend(
        self, state: Any, ids: Int[Tensor, "B T"], lengths: Int[Tensor, " B"]
    ) -> Float[Tensor, "B T D"]:
        """Read `lengths` more ids of each row into its state; hidden states after each."""
        ...

    def branch(self, state: Any, rows: Int[Tensor, " b"]) -> Any:
        """These rows' states, copied; the old one stays as it is."""
        ...

    def join(self, states: Sequence[Any], capacity: int) -> Any:
        """All rows of some states as one, with room for so many positions each."""
        ...


class TokenPair(NamedTuple):
    """Ids whose likelihood is asked after other ids; neither is empty."""

    context: list[int]
    continuation: list[int]


class Trunk(NamedTuple):
    """Ids that are read once, and the requests that hang on them."""

    ids: list[int]
    """A context; for a request alone, also its continuation but for the last id."""
    members: list[int]
    """Places of the requests; several share the context."""
    longest: int
    """Most ids that a twig reads."""

    @property
    def is_shared(self) -> bool:
        """Whether it has twigs."""
        return len(self.members) > 1


class Root(NamedTuple):
    """What trunks begin with and its state; no ids if they share nothing."""

    ids: list[int]
    state: Any


def pair_scores(
    model: BranchingModel, pairs: Sequence[TokenPair], *, batch_tokens: int, share: bool = True
) -> Iterator[RowScore]:
    """Score each continuation after its context, in the order in which they become known.

    batch_tokens  tokens computed at a time, padding included
    share         False computes each pair alone, so that no other can move it by a bit
    """
    if not share:
        yield from alone(model, pairs)
        return
    trunks = trunks_of(pairs)
    prefix = root_of([trunk.ids for trunk in trunks])
    inside, outside = parted(trunks, pairs, prefix)
    with evaluating(model):
        for ids, some in ((prefix, inside), ([], outside)):
            some.sort(key=lambda trunk: -len(trunk.ids))
            work = Work(model, exact_head(model), rooted(model, ids, some), pairs, batch_tokens)
            lone = [trunk for trunk in some if not trunk.is_shared]
            for batch in alike(lone, lambda trunk: len(trunk.ids) - len(ids), batch_tokens):  # noqa: B023
                yield from lone_scores(work, batch)
            shared = [trunk for trunk in some if trunk.is_shared]
            for batch in bunches(shared, model.context_length):
                yield from shared_scores(work, batch)


def alone(model: ScoredModel, pairs: Sequence[TokenPair]) -> Iterator[RowScore]:
    """Score one pair after the other, each in one pass without padding."""
    for place, (context, continuation) in enumerate(pairs):
        ids = torch.tensor(context + continuation)
        row = TokenRow("", ids, torch.arange(len(ids)) >= len(context), 0)
        for found in row_scores(model, [row], whole, batch_tokens=len(ids)):
            yield found._replace(row=place)


def whole(length: int) -> Iterator[Window]:
    """One window that holds a whole row."""
    yield Window(0, length - 1, 1)


def trunks_of(pairs: Sequence[TokenPair]) -> list[Trunk]:
    """Put the pairs of one context together where that pays.

    >>> [t.ids for t in trunks_of([TokenPair([1] * 9, [5]), TokenPair([1] * 9, [6, 7])])]
    [[1, 1, 1, 1, 1, 1, 1, 1, 1]]
    """
    groups = defaultdict(list)
    for place, pair in enumerate(pairs):
        groups[tuple(pair.context)].append(place)
    trunks = []
    for context, members in groups.items():
        if len(members) > 1 and len(context) >= TRUNK_TOKENS:
            longest = max(len(pairs[place].continuation) for place in members) - 1
            trunks.append(Trunk(list(context), members, longest))
        else:
            trunks += [Trunk([*context, *pairs[i].continuation[:-1]], [i], 0) for i in members]
    return trunks


def root_of(rows: Sequence[Sequence[int]]) -> list[int]:
    """What nearly all rows begin with; empty if that is too little to pay.

    >>> len(root_of([[7] * 20 + [n] for n in range(40)] + [[1, 2, 3]]))
    20
    """
    if len(rows) < 2:
        return []
    ordered = sorted(map(list, rows))
    outside = int(OUTSIDE * len(ordered))
    low, high = ordered[outside], ordered[-1 - outside]
    equal = takewhile(lambda both: both[0] == both[1], zip(low, high, strict=False))
    ids = [one for one, _ in equal]
    return ids if len(ids) >= ROOT_TOKENS else []


def parted(
    trunks: Sequence[Trunk], pairs: Sequence[TokenPair], root: list[int]
) -> tuple[list[Trunk], list[Trunk]]:
    """Trunks that begin with the root and are scored after it, and the others."""
    inside, outside = [], []
    for trunk in trunks:
        context = len(pairs[trunk.members[0]].context)
        is_inside = context > len(root) > 0 and trunk.ids[: len(root)] == root
        (inside if is_inside else outside).append(trunk)
    return (inside, outside) if len(inside) > 1 else ([], [*inside, *outside])


class Work(NamedTuple):
    """What every batch needs."""

    model: BranchingModel
    head: Float[Tensor, "V D"]
    root: Root
    pairs: Sequence[TokenPair]
    batch_tokens: int


@torch.inference_mode()
def rooted(model: BranchingModel, ids: list[int], trunks: Sequence[Trunk]) -> Root:
    """Read the root, with room for the longest trunk."""
    if not ids or not trunks:
        return Root([], None)
    return begun(model, ids, max(len(trunk.ids) for trunk in trunks))


def begun(model: BranchingModel, ids: list[int], capacity: int) -> Root:
    """One row that has read `ids`, with room for `capacity` positions in all."""
    state = model.begin(1, capacity)
    place = model.head.device
    model.extend(state, torch.tensor([ids], device=place), torch.tensor([len(ids)], device=place))
    return Root(ids, state)


def bunches(trunks: Sequence[Trunk], context_length: int) -> Iterator[list[Trunk]]:
    """Trunks, longest first, that are kept at a time while their twigs are read."""
    bunch: list[Trunk] = []
    for trunk in trunks:
        if bunch:
            twig = max(trunk.longest, *(each.longest for each in bunch))
            length = len(bunch[0].ids) + twig
            # Each fits the context, but perhaps not the longest trunk with another's twig.
            if length > context_length or (len(bunch) + 1) * length > CACHE_POSITIONS:
                yield bunch
                bunch = []
        bunch.append(trunk)
    if bunch:
        yield bunch


Row = TypeVar("Row")


def alike(
    rows: Sequence[Row], length: Callable[[Row], int], batch_tokens: int
) -> Iterator[list[Row]]:
    """Cut rows, longest first, into batches with little padding.

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
    """Targets of a pass: which hidden states predict them and whose they are."""

    row: Int[Tensor, " M"]
    column: Int[Tensor, " M"]
    """Of the hidden states that are needed."""
    by: Int[Tensor, " N"]
    """Which of them predicts each target, in rising order."""
    targets: Int[Tensor, " N"]
    owners: Int[Tensor, " N"]
    """Number of the request among the batch's."""


class Sums:
    """What is known of the requests of a batch so far."""

    def __init__(self, members: Sequence[int]) -> None:
        self.members = members
        self.nats, self.misses = (torch.zeros(len(members), dtype=torch.float64) for _ in range(2))

    def add(self, hidden: Float[Tensor, "B T D"], head: Float[Tensor, "V D"], of: Scored) -> None:
        """Score the targets of a pass."""
        row, column, by, targets = (part.to(head.device) for part in of[:4])
        found = token_scores(hidden[row, column].to(head.dtype), head, targets, by)
        self.nats.index_add_(0, of.owners, found.nats.double().cpu())
        self.misses.index_add_(0, of.owners, (~found.is_greedy).double().cpu())

    def scores(self) -> list[RowScore]:
        """The requests' scores."""
        rows = zip(self.members, self.nats.tolist(), self.misses.tolist(), strict=True)
        return [RowScore(place, nats, not misses) for place, nats, misses in rows]


@torch.inference_mode()
def lone_scores(work: Work, batch: Sequence[Trunk]) -> list[RowScore]:
    """Score requests that share no context: one pass."""
    model, head, root, pairs, batch_tokens = work
    skip = len(root.ids)
    ids, lengths = padded([trunk.ids[skip:] for trunk in batch], head.device)
    if root.state is None and ids.shape[1] <= batch_tokens:
        hidden = model.forward(ids)  # padding on the right moves no causal row
    else:
        state = branched(model, root, len(batch), skip + ids.shape[1])
        hidden = read(model, state, ids, lengths, batch_tokens)
    sums = Sums([trunk.members[0] for trunk in batch])
    rest = [pairs[place].continuation for place in sums.members]
    sums.add(hidden, head, last_ids(rest, lengths.tolist(), range(len(batch))))
    return sums.scores()


@torch.inference_mode()
def shared_scores(work: Work, batch: Sequence[Trunk]) -> list[RowScore]:
    """Score requests that share contexts: passes over the trunks, then over all their twigs."""
    model, head, root, pairs, batch_tokens = work
    sums = Sums([place for trunk in batch for place in trunk.members])
    ids_of = [pairs[place].continuation for place in sums.members]
    owners = [row for row, trunk in enumerate(batch) for _ in trunk.members]
    longest = max(trunk.longest for trunk in batch)
    rows = [trunk.ids for trunk in batch]
    state, last = grown(model, root, rows, len(rows[0]) + longest, batch_tokens)
    sums.add(last[:, None], head, first_ids([ids[0] for ids in ids_of], owners))
    twigs = [number for number, ids in enumerate(ids_of) if len(ids) > 1]
    twigs.sort(key=lambda number: -len(ids_of[number]))
    size = max(1, CACHE_POSITIONS // (len(rows[0]) + longest))
    for some in alike(twigs, lambda number: len(ids_of[number]) - 1, batch_tokens):
        for part in (some[at : at + size] for at in range(0, len(some), size)):
            ids, lengths = padded([ids_of[number][:-1] for number in part], head.device)
            of = torch.tensor([owners[number] for number in part], device=head.device)
            hidden = model.extend(model.branch(state, of), ids, lengths)
            rest = [ids_of[number][1:] for number in part]
            sums.add(hidden, head, last_ids(rest, lengths.tolist(), part))
    return sums.scores()


class Grown(NamedTuple):
    """Rows that have been read, as one state."""

    state: Any
    last: Float[Tensor, "B D"]
    """Hidden state after each row's last id."""


def grown(
    model: BranchingModel, root: Root, rows: Sequence[list[int]], capacity: int, batch_tokens: int
) -> Grown:
    """Read rows after the root, longest first, those of like length together."""
    skip, device = len(root.ids), model.head.device
    states, last = [], []
    for some in alike(rows, lambda ids: len(ids) - skip, batch_tokens):
        ids, lengths = padded([each[skip:] for each in some], device)
        states.append(branched(model, root, len(some), skip + ids.shape[1]))
        hidden = read(model, states[-1], ids, lengths, batch_tokens)
        last.append(hidden[torch.arange(len(some), device=device), lengths - 1])
    return Grown(model.join(states, capacity), torch.cat(last))


def read(
    model: BranchingModel, state: Any, ids: Int[Tensor, "B T"], lengths: Int[Tensor, " B"],
    batch_tokens: int,
) -> Float[Tensor, "B T D"]:  # fmt: skip
    """Read rows on; a long one in pieces of `batch_tokens`, whose work stays near the processor."""
    if len(ids) > 1 or ids.shape[1] <= batch_tokens:
        return model.extend(state, ids, lengths)
    parts = ids.split(batch_tokens, dim=1)
    return torch.cat([model.extend(state, part, lengths * 0 + part.shape[1]) for part in parts], 1)


def branched(model: BranchingModel, root: Root, rows: int, capacity: int) -> Any:
    """So many rows that have read the root."""
    if root.state is None:
        return model.begin(rows, capacity)
    return model.branch(root.state, torch.zeros(rows, dtype=torch.long, device=model.head.device))


def last_ids(ids: Sequence[list[int]], ends: Sequence[int], owners: Sequence[int]) -> Scored:
    """Targets that end a row each: the last of them is predicted by the row's last hidden state.

    >>> found = last_ids([[5, 6], [7]], ends=[3, 1], owners=[0, 1])
    >>> found.row.tolist(), found.column.tolist()
    ([0, 0, 1], [1, 2, 0])
    """
    counts = torch.tensor([len(each) for each in ids])
    row = torch.arange(len(ids)).repeat_interleave(counts)
    starts = torch.tensor(ends) - counts.cumsum(0)  # what is added to a target's own number
    every = torch.arange(len(row))
    targets = torch.tensor([token for each in ids for token in each])
    return Scored(row, every + starts[row], every, targets, torch.tensor(owners)[row])


def first_ids(targets: Sequence[int], owners: Sequence[int]) -> Scored:
    """One target a request, predicted by the only hidden state of the row that owns it."""
    row = torch.arange(owners[-1] + 1)
    every = torch.arange(len(targets))
    return Scored(row, torch.zeros_like(row), torch.tensor(owners), torch.tensor(targets), every)


class PaddedRows(NamedTuple):
    """Rows of ids as one tensor, padded on the right."""

    ids: Int[Tensor, "B T"]
    lengths: Int[Tensor, " B"]


def padded(rows: Sequence[Sequence[int]], device: torch.device | str = "cpu") -> PaddedRows:
    """Pad rows on the right with id 0.

    >>> padded([[5, 6], [7]]).ids.tolist()
    [[5, 6], [7, 0]]
    """
    width = max(len(row) for row in rows)
    ids = torch.tensor([list(row) + [0] * (width - len(row)) for row in rows], device=device)
    return PaddedRows(ids, torch.tensor([len(row) for row in rows], device=device))
