"""A model with a KV cache that branches: one sequence becomes many, and batches are joined.

A state holds a batch. `extend` appends ids, padded on the right; `join` moves the padding to the
left, so that every sequence is contiguous and ends in the last column: decoding, windows and biases
by distance need that. Padding is never attended, so a sequence computes what it would alone. A
shared prefix is computed once and branched. Only ids here; no text and no sampling.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby, takewhile
from typing import Any, NamedTuple, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from groundup.core import ConfigError
from groundup.model import (
    Bits,
    Cache,
    EncoderOutput,
    GraphStep,
    KeysValues,
    Transformer,
    apply_softcap,
    fits_graph,
    supports,
)

from .batching.native import NativeEngine

BATCH_TOKENS = {"cpu": 512}
"""Tokens computed at a time by device type. More exceed a CPU's caches and take a fifth longer per
token."""
OTHER_BATCH_TOKENS = 32_768
MIN_PREFIX_TOKENS = 16
"""Shortest shared prefix."""
MAX_SHARE_WITHOUT_PREFIX = 0.1
"""Share of sequences at either end of the sort order that may lack the shared prefix."""
MIN_LENGTH_RATIO = 0.8
"""Minimum length of a sequence relative to its batch's longest, which bounds padding."""
GRAPH_DEVICES, STEPS_BEFORE_GRAPH = ("cuda",), 16
"""Where a batch's steps become a graph, and after how many."""
SMALL_BATCH_SHARE = 0.25
"""Below this share of `batch_tokens` any sequence joins: small batches cost more than padding."""

Projection = Callable[[Tensor], Tensor]
"""Hidden states (N, D) to logits (N, V)."""


class CachedModel(ABC):
    """What decoding and scoring need of a model: its cache, and logits of its hidden states."""

    model: Any
    """The torch module, whose dropout is switched off."""
    context_length: int
    """Maximum positions of a sequence, padding included."""
    is_causal = True
    """Whether no token's hidden state depends on later ids, so that prefixes can be shared."""

    @property
    def reads_sources(self) -> bool:
        """Whether prompts are sources, which use no context of the answers."""
        return False

    @property
    @abstractmethod
    def head(self) -> Tensor:
        """Output embedding (V, D)."""

    def projection(self, vocab_size: int | None = None, *, exact: bool = False) -> Projection:
        """The function from hidden states to logits of the first `vocab_size` ids.

        exact  compute in float32 or better, whatever the model's dtype
        """
        head = self.head.detach()[:vocab_size]
        head = head.to(torch.promote_types(head.dtype, torch.float32)) if exact else head
        return lambda hidden: F.linear(hidden.to(head.dtype), head)

    @abstractmethod
    def forward(self, ids: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Hidden states of complete sequences, without a cache."""

    @abstractmethod
    def begin(self, num_sequences: int, capacity: int) -> Any:
        """The state of empty sequences, with room for `capacity` positions each."""

    @abstractmethod
    def extend(
        self, state: Any, ids: Int[Tensor, "B T"], lengths: Int[Tensor, " B"]
    ) -> Float[Tensor, "B T D"]:
        """Append `lengths` ids to each sequence's state; return the hidden states."""

    @abstractmethod
    def branch(self, state: Any, indices: Int[Tensor, " b"]) -> Any:
        """Copy these sequences' states; the original is unchanged."""

    @abstractmethod
    def join(self, states: Sequence[Any], capacity: int) -> Any:
        """Concatenate states along the batch, with room for `capacity` positions each."""


@dataclass
class CachedBatch:
    """The state of a batch: its cache, and each sequence's length without padding."""

    cache: Cache
    lengths: Int[Tensor, " B"]
    is_padded: bool = False
    encoded: EncoderOutput | None = None
    """The sources of an encoder–decoder."""
    steps: int = 0
    """Tokens appended one at a time."""
    graph: GraphStep | None = None


class CachedTransformer(CachedModel):
    """A decoder or an encoder–decoder."""

    model: Transformer
    forced: tuple[int, ...] = ()
    """Ids that the decoder of an encoder–decoder reads behind the first."""

    def __init__(
        self, model: Transformer, start: int | None = None, bits: Bits | None = None
    ) -> None:
        """Wrap a model; ConfigError for an encoder.

        start  first id that the decoder of an encoder–decoder reads
        bits   of the weights on the native stack; default: the model's
        """
        if model.config.kind == "encoder":
            raise ConfigError("An encoder cannot generate: use a decoder or an encoder_decoder.")
        if bits is not None and not supports(model):
            raise ConfigError(
                f"bits={bits} needs the native stack, which does not run this model here."
            )
        self.model, self.start, self.context_length = model, start, model.config.context_length
        self.native = NativeEngine(model, bits)
        self.is_causal = model.config.kind == "decoder" and not model.config.prefix

    @property
    def reads_sources(self) -> bool:
        """Whether this is an encoder–decoder with a start id."""
        return self.start is not None

    @property
    def head(self) -> Float[Tensor, "V D"]:
        """Output embedding."""
        return self.model.head

    def projection(self, vocab_size: int | None = None, *, exact: bool = False) -> Projection:
        """Also with the model's bias and soft cap."""
        model, softcap = self.model, self.model.config.output.softcap
        bias, plain = model.lm_bias, super().projection(vocab_size, exact=exact)

        def project(hidden: Tensor) -> Tensor:
            states = model.output_states(hidden)
            with torch.autocast(states.device.type, enabled=False):
                logits = plain(states)
                logits = logits if bias is None else logits + bias.detach()[:vocab_size]
                return apply_softcap(logits, softcap)

        return project

    def forward(self, ids: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        return self.model(ids)

    def begin(self, num_sequences: int, capacity: int) -> CachedBatch:
        """Empty sequences, with memory for `capacity` positions."""
        head = self.head
        cache = Cache(self.model.config, num_sequences, capacity, head.dtype, head.device)
        return CachedBatch(cache, torch.zeros(num_sequences, dtype=torch.long, device=head.device))

    def prefill_sources(
        self, sources: Sequence[Sequence[int]], capacity: int
    ) -> tuple[CachedBatch, Tensor]:
        """Encode sources and feed the first ids, with room for `capacity` target positions."""
        ids, lengths = pad_right(sources, self.head.device)
        state = self.begin(len(sources), capacity + len(self.forced))
        state.encoded = self.model.encode(ids, documents=_padding_documents(ids, lengths))
        first = torch.tensor([self.start or 0, *self.forced], device=ids.device)
        starts = first.expand(len(sources), -1)
        hidden = self.extend(state, starts, torch.full_like(lengths, len(first)))
        return state, hidden[:, -1]

    def extend(
        self, state: CachedBatch, ids: Int[Tensor, "B T"], lengths: Int[Tensor, " B"]
    ) -> Float[Tensor, "B T D"]:
        """Append ids; those beyond a sequence's length are padding, which is never attended."""
        state.steps = state.steps + 1 if ids.shape[1] == 1 else 0
        is_steady = state.steps >= STEPS_BEFORE_GRAPH and ids.device.type in GRAPH_DEVICES
        if is_steady and fits_graph(self.model):
            return self._replay(state, ids)
        state.graph = None
        columns = torch.arange(ids.shape[1], device=ids.device)
        documents = None if ids.shape[1] == 1 else _padding_documents(ids, lengths)
        # A prefix LM attends to the first ids bidirectionally.
        is_prefix = self.model.config.prefix and state.cache.length == 0
        hidden = self.model(
            ids, cache=state.cache, documents=documents, encoded=state.encoded,
            positions=state.lengths[:, None] + columns if state.is_padded else None,
            prefix=columns < lengths[:, None] if is_prefix else None,
        )  # fmt: skip
        state.lengths = state.lengths + lengths
        state.is_padded = state.is_padded or documents is not None
        return hidden

    def _replay(self, state: CachedBatch, ids: Int[Tensor, "B 1"]) -> Float[Tensor, "B 1 D"]:
        """A step as a graph; capturing one costs some steps."""
        if state.graph is None or not state.graph.is_current:
            state.graph = GraphStep(self.model, state.cache, state.lengths)
        state.lengths = state.lengths + 1
        return state.graph.run(ids)

    def branch(self, state: CachedBatch, indices: Int[Tensor, " b"]) -> CachedBatch:
        """Copy the cache, and the sources of an encoder–decoder."""
        cache, encoded = copy.copy(state.cache), state.encoded
        cache.select(indices)  # replaces the tensors of the copy only
        if encoded is not None:
            documents = encoded.documents
            documents = None if documents is None else documents[indices]
            encoded = EncoderOutput(encoded.hidden[indices], documents)
        return CachedBatch(cache, state.lengths[indices], state.is_padded, encoded)

    def join(self, states: Sequence[CachedBatch], capacity: int) -> CachedBatch:
        """Concatenate the sequences, each contiguous, padded on the left."""
        lengths = torch.cat([state.lengths for state in states])
        joined, longest, start = self.begin(len(lengths), capacity), int(lengths.max()), 0
        cache = joined.cache
        documents = torch.full((len(lengths), longest), -1, device=lengths.device)
        for state in states:
            old, sizes, row = state.cache, state.lengths.tolist(), 0
            firsts = [0] * len(sizes)
            if old.documents is not None:
                firsts = (old.documents == 0).long().argmax(1).tolist()
            layers = list(zip(cache.keys + cache.values, old.keys + old.values, strict=True))
            # Sequences of one length are copied together: slices are faster than indices.
            for (first, size), equal in groupby(zip(firsts, sizes, strict=True)):
                count, columns = len(list(equal)), slice(longest - size, longest)
                rows, own = slice(start + row, start + row + count), slice(row, row + count)
                documents[rows, columns] = 0
                for new, source in layers:
                    new[rows, :, columns] = source[own, :, first : first + size]
                row += count
            start += row
        joined.encoded = _join_sources(states, cache)
        joined.is_padded, joined.lengths = bool((documents < 0).any()), lengths
        cache.begin(longest, documents if joined.is_padded else None)
        cache.advance(longest)
        return joined


def _join_sources(states: Sequence[CachedBatch], cache: Cache) -> EncoderOutput | None:
    """The sources of some batches, padded on the right, whose keys and values `cache` is given."""
    outputs = [state.encoded for state in states if state.encoded is not None]
    if not outputs:
        return None
    longest = max(output.hidden.shape[1] for output in outputs)
    documents = [
        output.hidden.new_zeros(output.hidden.shape[:2], dtype=torch.long)
        if output.documents is None else output.documents
        for output in outputs
    ]  # fmt: skip
    for layer in states[0].cache.encoder_keys_values:
        pairs = (state.cache.encoder_keys_values[layer] for state in states)
        cache.encoder_keys_values[layer] = KeysValues(*(
            torch.cat([F.pad(t, (0, 0, 0, longest - t.shape[2])) for t in tensors])
            for tensors in zip(*pairs, strict=True)
        ))  # fmt: skip
    return EncoderOutput(
        torch.cat([F.pad(o.hidden, (0, 0, 0, longest - o.hidden.shape[1])) for o in outputs]),
        torch.cat([F.pad(d, (0, longest - d.shape[1]), value=-1) for d in documents]),
    )


@contextmanager
def eval_mode(model: torch.nn.Module) -> Iterator[None]:
    """Switch to evaluation mode; restore the mode on exit."""
    if not model.training:
        yield
        return
    model.train(False)
    try:
        yield
    finally:
        model.train(True)


def default_batch_tokens(device: torch.device) -> int:
    """Tokens computed at a time on a device."""
    return BATCH_TOKENS.get(device.type, OTHER_BATCH_TOKENS)


def pad_right(
    sequences: Sequence[Sequence[int]], device: torch.device | str = "cpu"
) -> tuple[Int[Tensor, "B T"], Int[Tensor, " B"]]:
    """Pad sequences on the right with id 0.

    >>> pad_right([[5, 6], [7]])[0].tolist()
    [[5, 6], [7, 0]]
    """
    width = max(len(row) for row in sequences)
    ids = torch.tensor([list(row) + [0] * (width - len(row)) for row in sequences], device=device)
    return ids, torch.tensor([len(row) for row in sequences], device=device)


def _padding_documents(
    ids: Int[Tensor, "B T"], lengths: Int[Tensor, " B"]
) -> Int[Tensor, "B T"] | None:
    """0 for tokens and -1 for padding on the right; None without padding."""
    if bool((lengths == ids.shape[1]).all()):
        return None
    return (torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]).long() - 1


class SharedPrefix(NamedTuple):
    """A shared prefix and its state; without ids if there is none."""

    ids: list[int]
    state: Any


NO_PREFIX = SharedPrefix([], None)


def find_shared_prefix(sequences: Sequence[Sequence[int]]) -> list[int]:
    """The prefix of nearly all sequences, each of which is longer; empty if it would not pay off.

    >>> len(find_shared_prefix([[7] * 20 + [n] for n in range(40)] + [[1, 2, 3]]))
    20
    """
    if len(sequences) < 2:
        return []
    ordered = sorted(map(list, sequences))
    outside = int(MAX_SHARE_WITHOUT_PREFIX * len(ordered))
    low, high = ordered[outside], ordered[-1 - outside]
    equal = takewhile(lambda both: both[0] == both[1], zip(low[:-1], high, strict=False))
    ids = [token for token, _ in equal]
    return ids if len(ids) >= MIN_PREFIX_TOKENS else []


def prefill_prefix(model: CachedModel, ids: list[int], capacity: int) -> SharedPrefix:
    """Prefill a shared prefix, with room for `capacity` positions in total."""
    if not ids or not capacity:
        return NO_PREFIX
    state, device = model.begin(1, capacity), model.head.device
    model.extend(state, torch.tensor([ids], device=device), torch.tensor([len(ids)], device=device))
    return SharedPrefix(ids, state)


Row = TypeVar("Row")


def batch_similar_lengths(
    items: Sequence[Row], length: Callable[[Row], int], batch_tokens: int
) -> Iterator[list[Row]]:
    """Split sequences, longest first, into batches with little padding.

    >>> list(batch_similar_lengths([100, 99, 50, 48, 2], lambda row: row, batch_tokens=200))
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


def prefill(
    model: CachedModel, sequences: Sequence[Sequence[int]], new_tokens: int, batch_tokens: int,
    prefix: SharedPrefix = NO_PREFIX,
) -> tuple[Any, Float[Tensor, "B D"]]:  # fmt: skip
    """Prefill sequences, longest first, or the sources of an encoder–decoder.

    new_tokens    positions that stay free after the longest sequence
    batch_tokens  tokens computed at a time, padding included
    prefix        its ids are the first of every sequence, which is longer
    """
    if isinstance(model, CachedTransformer) and model.reads_sources:
        return model.prefill_sources(sequences, new_tokens)
    start, device, states, last = len(prefix.ids), model.head.device, [], []
    for batch in batch_similar_lengths(sequences, lambda ids: len(ids) - start, batch_tokens):
        ids, lengths = pad_right([sequence[start:] for sequence in batch], device)
        state, hidden = extend_prefix(model, prefix, ids, lengths, batch_tokens)
        states.append(state)
        last.append(hidden[torch.arange(len(batch), device=device), lengths - 1])
    joined = model.join(states, max(map(len, sequences)) + new_tokens)
    return joined, torch.cat(last)


def extend_prefix(
    model: CachedModel, prefix: SharedPrefix, ids: Int[Tensor, "B T"], lengths: Int[Tensor, " B"],
    batch_tokens: int,
) -> tuple[Any, Float[Tensor, "B T D"]]:  # fmt: skip
    """Append ids to copies of the prefix; a single long sequence in chunks, which stay in cache."""
    if prefix.state is None:
        state = model.begin(len(ids), ids.shape[1])
    else:
        state = model.branch(prefix.state, torch.zeros_like(lengths))
    if len(ids) > 1 or ids.shape[1] <= batch_tokens or not model.is_causal:
        return state, model.extend(state, ids, lengths)
    chunks = ids.split(batch_tokens, dim=1)
    parts = [model.extend(state, chunk, lengths * 0 + chunk.shape[1]) for chunk in chunks]
    return state, torch.cat(parts, 1)
