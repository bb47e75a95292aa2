"""Likelihood: the nats a model assigns to text, each token scored exactly once.

A document is read as `<|endoftext|>` and its ids, so the first token is predicted too. A document
longer than the window is read in overlapping windows that start `stride` tokens apart; a token is
scored in the first window that contains it. So the context of a token is everything before it up to
`window` tokens, and at least `window - stride + 1` of them later on. The signature records this.

Bits per byte is nats / ln 2 / UTF-8 bytes, which compares models with different tokenizers.
Logits exist for a chunk of tokens at a time, in float32 or better, whatever the model's dtype.
Source: Gao et al. 2020 (The Pile), arXiv:2101.00027, §3.1 (bits per byte).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from math import isfinite
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundup.core import ConfigError, Conversation, DataError, ShapeError, Tokenizer, record
from groundup.generate import eval_mode
from groundup.tokenizer import render, template_digest, well_formed

CHUNK_LOGITS = 2**24
"""Logits that exist at one time: 64 MiB in float32."""

Ids = Sequence[int] | np.ndarray | Tensor


@runtime_checkable
class ScoredModel(Protocol):
    """What scoring needs of a model; fulfilled by groundup.model.Transformer."""

    @property
    def training(self) -> bool:
        """Whether it trains."""
        ...

    @property
    def head(self) -> Tensor:
        """Output embedding (V, D)."""
        ...

    def forward(self, ids: Tensor) -> Tensor:
        """Hidden states (B, T, D) after the last norm of causal attention over ids (B, T)."""
        ...

    def train(self, mode: bool = True) -> object:
        """Switch between training and scoring."""
        ...


class DocumentScore(NamedTuple):
    """The score of one document, or of the answers in one conversation."""

    name: str
    """The document's name; scores with equal names are resampled together."""
    nats: float
    bytes: int
    tokens: int
    """Number of tokens scored."""
    signature: str
    """How it was scored; only scores with equal signatures are comparable."""


class ScoredSequence(NamedTuple):
    """A sequence of ids and the mask of those that are scored; the first cannot be."""

    name: str
    ids: Tensor
    is_target: Tensor
    bytes: int


class Window(NamedTuple):
    """Ids [start, end) are read; the targets [first, end] are scored."""

    start: int
    end: int
    first_target: int


def score_documents(
    model: ScoredModel, documents: Iterable[tuple[str, Ids, int]], *, bos: int,
    window: int = 2048, stride: int | None = None, batch_tokens: int = 8192,
) -> list[DocumentScore]:  # fmt: skip
    """Score documents given as (name, ids, bytes), in their order.

    An `<|endoftext|>` at the end of the ids is scored like any other token: like a compressor's
    output, the code is then complete.

    bos           id of `<|endoftext|>`, read before each document
    window        tokens read at a time; at most the model's context
    stride        tokens between the starts of windows; None is half a window
    batch_tokens  tokens computed at a time, padding included

    Raises ConfigError for a stride that would skip tokens, and DataError naming a document without
    bytes or without a finite score.
    """
    stride = check_stride(window, stride)
    rows = []
    for name, ids, size in documents:
        row = torch.from_numpy(np.concatenate([[bos], np.asarray(ids)]).astype(np.int64))
        if size <= 0 < len(ids):
            raise DataError(f"{name} has {len(ids)} tokens and {size} bytes; remove it.")
        rows.append(ScoredSequence(name, row, torch.ones(len(row), dtype=torch.bool), size))
    signature = f"document|first:after_bos|{_window_signature(model, window, stride)}"
    return _score_sequences(model, rows, signature, (window, stride), batch_tokens)


def score_conversations(
    model: ScoredModel, tokenizer: Tokenizer, conversations: Sequence[Conversation], *,
    names: Sequence[str] | None = None, window: int = 2048, batch_tokens: int = 8192,
) -> list[DocumentScore]:  # fmt: skip
    """Score the assistant's text in each conversation, rendered as for tuning and serving.

    `<|im_end|>` is read but not counted: it has no bytes, and a base model that never saw one would
    lose by it alone. Conversations with equal `names` are resampled together; None numbers them.

    Raises DataError naming a conversation without assistant text.
    """
    names = [str(number) for number in range(len(conversations))] if names is None else names
    if len(names) != len(conversations):
        raise DataError(
            f"Expected one name per conversation ({len(conversations)}); got {len(names)}."
        )
    specials, rows = list(tokenizer.specials.values()), []
    for name, conversation in zip(names, conversations, strict=True):
        rendered = render(tokenizer, conversation)
        ids = torch.tensor(rendered.ids)
        own = torch.tensor(rendered.mask) & ~torch.isin(ids, torch.tensor(specials))
        answer_text = "".join(well_formed(m.content) for m in conversation if m.role == "assistant")
        if not answer_text:
            raise DataError(f"In conversation {name} the assistant says nothing; remove it.")
        rows.append(ScoredSequence(name, ids, own, len(answer_text.encode())))
    stride = check_stride(window, None)
    form = f"template:{template_digest()[:12]}|stop:not_counted"
    signature = f"answer|{form}|{_window_signature(model, window, stride)}"
    return _score_sequences(model, rows, signature, (window, stride), batch_tokens)


def check_stride(window: int, stride: int | None) -> int:
    """The stride, half a window by default; ConfigError if windows would skip tokens."""
    stride = max(1, window // 2) if stride is None else stride
    if not 1 <= stride <= window:
        raise ConfigError(f"stride={stride} must lie between 1 and window={window}.")
    return stride


def _window_signature(model: ScoredModel, window: int, stride: int) -> str:
    """The part of a signature that records windows and dtype."""
    device_type, computed = model.head.device.type, model.head.dtype
    if torch.is_autocast_enabled(device_type):
        computed = torch.get_autocast_dtype(device_type)
    dtype = str(computed).removeprefix("torch.")
    return f"window:{window}|stride:{stride}|dtype:{dtype}"


def sliding_windows(length: int, window: int, stride: int) -> Iterator[Window]:
    """Overlapping windows over `length` ids, so that each but the first is a target exactly once.

    >>> list(sliding_windows(6, window=3, stride=2))
    [Window(start=0, end=3, first_target=1), Window(start=2, end=5, first_target=4)]
    """
    start, first = 0, 1
    while first < length:
        end = min(start + window, length - 1)
        yield Window(start, end, first)
        start, first = start + stride, end + 1


def disjoint_windows(length: int, window: int) -> Iterator[Window]:
    """lm-eval's rolling windows, which score without overlap.

    A window's first target has one id of context, except in the last window, which extends back to
    be full.

    >>> list(disjoint_windows(7, window=4))
    [Window(start=0, end=4, first_target=1), Window(start=2, end=6, first_target=5)]
    """
    first = 1
    while first < length:
        end = min(first + window - 1, length - 1)
        yield Window(max(0, end - window), end, first)
        first = end + 1


def _score_sequences(
    model: ScoredModel,
    sequences: Sequence[ScoredSequence],
    signature: str,
    window_and_stride: tuple[int, int],
    batch_tokens: int,
) -> list[DocumentScore]:
    """Score the targets of each sequence, in windows that start a stride apart."""
    _check_vocabulary(model, sequences)
    nats: dict[int, float] = {}
    with record.progress("score", sum(len(row.ids) for row in sequences), "tokens") as bar:
        split = partial(sliding_windows, window=window_and_stride[0], stride=window_and_stride[1])
        for scored in score_sequences(model, sequences, split, batch_tokens=batch_tokens):
            nats[scored.sequence] = scored.nats
            bar.advance(len(sequences[scored.sequence].ids))
    return [_document_score(row, nats[number], signature) for number, row in enumerate(sequences)]


class SequenceScore(NamedTuple):
    """The score of a sequence's targets."""

    sequence: int
    nats: float
    is_greedy: bool
    """Whether each target is the most likely id at its position."""


WindowSplitter = Callable[[int], Iterator[Window]]
"""The windows of a sequence, given its length."""


def score_sequences(
    model: ScoredModel,
    sequences: Sequence[ScoredSequence],
    split: WindowSplitter,
    *,
    batch_tokens: int,
) -> Iterator[SequenceScore]:
    """Score the targets of each sequence; each is yielded once its last window is computed.

    Windows of similar length share a batch, across sequences. Sequences without targets come first,
    with 0 nats.
    """
    todo = _windows_with_targets(sequences, split)
    head = float32_head(model)
    remaining = Counter(number for number, _ in todo)
    nats, misses = (torch.zeros(len(sequences), dtype=torch.float64) for _ in range(2))
    yield from (
        SequenceScore(number, 0.0, False)
        for number in range(len(sequences))
        if not remaining[number]
    )
    with eval_mode(model):
        for batch in _batch_windows(todo, batch_tokens):
            filled = _pad_windows(sequences, batch)
            scored = _score_batch(model, head, filled)
            owners = torch.tensor(batch.sequences)[:, None].expand(filled.is_target.shape)[
                filled.is_target
            ]
            nats.index_add_(0, owners, scored.nats.double().cpu())
            misses.index_add_(0, owners, (~scored.is_greedy).double().cpu())
            remaining.subtract(batch.sequences)
            for number in dict.fromkeys(batch.sequences):
                if not remaining[number]:
                    yield SequenceScore(number, float(nats[number]), not misses[number])


def float32_head(model: ScoredModel) -> Float[Tensor, "V D"]:
    """The head in float32 or better."""
    return model.head.detach().to(torch.promote_types(model.head.dtype, torch.float32))


@torch.inference_mode()
def _score_batch(
    model: ScoredModel, head: Float[Tensor, "V D"], padded: "PaddedWindows"
) -> "TargetScores":
    """Score the targets of a batch, sequence by sequence."""
    device = head.device
    hidden = model.forward(padded.ids.to(device))[padded.is_target.to(device)]  # (N, D)
    with torch.autocast(device.type, enabled=False):
        return score_targets(
            hidden.to(head.dtype), head, padded.targets[padded.is_target].to(device)
        )


def _check_vocabulary(model: ScoredModel, sequences: Sequence[ScoredSequence]) -> None:
    """Raise if the head is not a float matrix, or a sequence has ids beyond it."""
    if not model.head.is_floating_point():
        raise ShapeError(f"Scoring needs a head of floats; got {model.head.dtype}.")
    for row in sequences:
        if len(row.ids) and int(row.ids.max()) >= len(model.head):
            raise DataError(
                f"{row.name} has the id {int(row.ids.max())} and the model has {len(model.head)}; "
                "encode it with the model's tokenizer."
            )


def _document_score(sequence: ScoredSequence, nats: float, signature: str) -> DocumentScore:
    """The score of a sequence; DataError if it is not finite."""
    if not isfinite(nats):
        raise DataError(
            f"{sequence.name} scores {nats} nats; the model's weights or activations are not "
            f"finite."
        )
    return DocumentScore(
        sequence.name, nats, sequence.bytes, int(sequence.is_target[1:].sum()), signature
    )


class WindowBatch(NamedTuple):
    """Windows that are computed together, and the indices of their sequences."""

    sequences: list[int]
    windows: list[Window]


def _windows_with_targets(
    sequences: Sequence[ScoredSequence], split: WindowSplitter
) -> list[tuple[int, Window]]:
    """The windows with targets, each with its sequence's index, longest first."""
    todo = []
    for number, row in enumerate(sequences):
        spans = list(split(len(row.ids)))
        targets = [target for window in spans for target in (window.first_target, window.end)]
        assert targets == sorted(targets), "a token would be scored twice"
        todo += [
            (number, window)
            for window in spans
            if row.is_target[window.first_target : window.end + 1].any()
        ]
    return sorted(todo, key=lambda each: each[1].start - each[1].end)


def _batch_windows(
    windows_to_score: Sequence[tuple[int, Window]], batch_tokens: int
) -> Iterator[WindowBatch]:
    """Batch windows of similar length, with little padding."""
    start = 0
    while start < len(windows_to_score):
        longest = windows_to_score[start][1].end - windows_to_score[start][1].start
        batch = windows_to_score[start : start + max(1, batch_tokens // longest)]
        yield WindowBatch([number for number, _ in batch], [window for _, window in batch])
        start += len(batch)


class PaddedWindows(NamedTuple):
    """A batch of windows, padded on the right, which causal attention ignores."""

    ids: Int[Tensor, "B T"]
    targets: Int[Tensor, "B T"]
    is_target: Tensor
    """bool (B, T): whether the target is scored in this window."""


def _pad_windows(sequences: Sequence[ScoredSequence], batch: WindowBatch) -> PaddedWindows:
    """Pad the windows' ids and targets."""
    longest = max(window.end - window.start for window in batch.windows)
    shape = (len(batch.sequences), longest)
    ids, targets = torch.zeros(shape, dtype=torch.int64), torch.zeros(shape, dtype=torch.int64)
    own = torch.zeros(shape, dtype=torch.bool)
    for i, (number, (start, end, first)) in enumerate(
        zip(batch.sequences, batch.windows, strict=True)
    ):
        row, length = sequences[number], end - start
        ids[i, :length] = row.ids[start:end]
        targets[i, :length] = row.ids[start + 1 : end + 1]
        own[i, first - start - 1 : length] = row.is_target[first : end + 1]
    return PaddedWindows(ids, targets, own)


class TargetScores(NamedTuple):
    """The score of each target."""

    nats: Float[Tensor, " N"]
    """-log p."""
    is_greedy: Bool[Tensor, " N"]
    """Whether no other id is more likely."""


def score_targets(
    hidden: Float[Tensor, "M D"], head: Float[Tensor, "V D"], targets: Int[Tensor, " N"],
    hidden_indices: Int[Tensor, " N"] | None = None,
) -> TargetScores:  # fmt: skip
    """-log p of each target; logits exist for a chunk of hidden states at a time.

    hidden_indices  index of the hidden state that predicts each target, ascending; None is one each

    >>> score_targets(torch.zeros(2, 3), torch.ones(8, 3), torch.tensor([0, 7])).nats.exp()
    tensor([8., 8.])
    """
    hidden_indices = (
        torch.arange(len(targets), device=targets.device)
        if hidden_indices is None
        else hidden_indices
    )
    chunk = max(1, CHUNK_LOGITS // head.shape[0])
    starts = torch.arange(0, len(hidden) + chunk, chunk, device=hidden_indices.device)
    bounds = torch.searchsorted(hidden_indices, starts).tolist()
    nats, greedy = hidden.new_empty(len(targets)), targets.new_empty(len(targets), dtype=torch.bool)
    for number, (first, end) in enumerate(pairwise(bounds)):
        start, here = number * chunk, slice(first, end)
        logits = hidden[start : start + chunk] @ head.T  # (chunk, V)
        row = hidden_indices[here] - start
        top, target_logits = logits.amax(-1), logits[row, targets[here]]
        total = logits.sub_(top[:, None]).exp_().sum(-1).log_() + top
        nats[here] = total[row] - target_logits
        greedy[here] = target_logits >= top[row]
    return TargetScores(nats, greedy)
