"""Likelihood: how many nats a model needs for text, each token scored exactly once.

A document is read as `<|endoftext|>` and its ids, so the first token is predicted too. What exceeds
the window is read in overlapping windows that start `stride` tokens apart; a token is scored in the
first window that reaches it. So tokens see everything before them up to `window` tokens, and later
ones at least the last `window - stride + 1`. A score's signature says all of that.

Bits per byte is nats / ln 2 / UTF-8 bytes: models with different tokenizers compare.
Logits exist for a chunk of tokens at a time, in float32 or better, whatever the model's dtype.
Source: Gao et al. 2020 (The Pile), arXiv:2101.00027, §3.1 (bits per byte).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from math import isfinite
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundup.core import ConfigError, Conversation, DataError, ShapeError, Tokenizer, record
from groundup.tokenizer import render, template_digest, well_formed

CHUNK_LOGITS = 2**24
"""Logits that exist at one time: 64 MiB in float32."""

Ids = Sequence[int] | np.ndarray | Tensor


@runtime_checkable
class ScoredModel(Protocol):
    """What scoring needs of a model; groundup.model.Transformer has it."""

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
    """What a model needs for one document, or for the answers of one conversation."""

    name: str
    """The document's name; scores of one name are resampled together."""
    nats: float
    bytes: int
    tokens: int
    """Number of tokens scored."""
    signature: str
    """How it was scored; only equal signatures compare."""


class TokenRow(NamedTuple):
    """Ids in a row and which of them are scored; the first cannot be."""

    name: str
    ids: Tensor
    own: Tensor
    bytes: int


class Window(NamedTuple):
    """Ids [start, end) are read; the targets [first, end] are scored."""

    start: int
    end: int
    first: int


def score_documents(
    model: ScoredModel, documents: Iterable[tuple[str, Ids, int]], *, bos: int,
    window: int = 2048, stride: int | None = None, batch_tokens: int = 8192,
) -> list[DocumentScore]:  # fmt: skip
    """Score documents given as (name, ids, bytes), in their order.

    An `<|endoftext|>` at the end of the ids is scored like any other token: the code is then
    complete, as a compressor's is.

    bos           id of `<|endoftext|>`, read before each document
    window        most tokens read at a time; at most the model's context
    stride        tokens between the starts of windows; None is half a window
    batch_tokens  tokens computed at a time, padding included

    Raises ConfigError for a stride that would skip tokens and DataError naming a document without
    bytes or one for which the model gives no finite number.
    """
    stride = check_stride(window, stride)
    rows = []
    for name, ids, size in documents:
        row = torch.from_numpy(np.concatenate([[bos], np.asarray(ids)]).astype(np.int64))
        if size <= 0 < len(ids):
            raise DataError(f"{name} has {len(ids)} tokens and {size} bytes; leave it out.")
        rows.append(TokenRow(name, row, torch.ones(len(row), dtype=torch.bool), size))
    signature = f"document|first:after_bos|{rule(model, window, stride)}"
    return score(model, rows, signature, (window, stride), batch_tokens)


def answer_scores(
    model: ScoredModel, tokenizer: Tokenizer, conversations: Sequence[Conversation], *,
    names: Sequence[str] | None = None, window: int = 2048, batch_tokens: int = 8192,
) -> list[DocumentScore]:  # fmt: skip
    """Score the assistant's words in each conversation, rendered as for tuning and serving.

    `<|im_end|>` is read but not counted: it has no bytes, and a base model that never saw one would
    lose by it alone. `names` gives what is resampled together, such as a module; None numbers the
    conversations.

    Raises DataError naming a conversation whose assistant says nothing.
    """
    names = [str(number) for number in range(len(conversations))] if names is None else names
    if len(names) != len(conversations):
        raise DataError(f"{len(conversations)} conversations need as many names; got {len(names)}.")
    specials, rows = list(tokenizer.specials.values()), []
    for name, conversation in zip(names, conversations, strict=True):
        rendered = render(tokenizer, conversation)
        ids = torch.tensor(rendered.ids)
        own = torch.tensor(rendered.mask) & ~torch.isin(ids, torch.tensor(specials))
        said = "".join(well_formed(m.content) for m in conversation if m.role == "assistant")
        if not said:
            raise DataError(f"In conversation {name} the assistant says nothing; leave it out.")
        rows.append(TokenRow(name, ids, own, len(said.encode())))
    stride = check_stride(window, None)
    form = f"template:{template_digest()[:12]}|stop:not_counted"
    signature = f"answer|{form}|{rule(model, window, stride)}"
    return score(model, rows, signature, (window, stride), batch_tokens)


def check_stride(window: int, stride: int | None) -> int:
    """The stride, half a window by default; ConfigError if windows would leave gaps."""
    stride = max(1, window // 2) if stride is None else stride
    if not 1 <= stride <= window:
        raise ConfigError(f"stride={stride} must lie between 1 and window={window}.")
    return stride


def rule(model: ScoredModel, window: int, stride: int) -> str:
    """The part of a signature that tells context and number format."""
    place, computed = model.head.device.type, model.head.dtype
    if torch.is_autocast_enabled(place):
        computed = torch.get_autocast_dtype(place)
    dtype = str(computed).removeprefix("torch.")
    return f"window:{window}|stride:{stride}|dtype:{dtype}"


def windows(length: int, window: int, stride: int) -> Iterator[Window]:
    """Cut a row of `length` ids so that each but the first is a target exactly once.

    >>> list(windows(6, window=3, stride=2))
    [Window(start=0, end=3, first=1), Window(start=2, end=5, first=4)]
    """
    start, first = 0, 1
    while first < length:
        end = min(start + window, length - 1)
        yield Window(start, end, first)
        start, first = start + stride, end + 1


def disjoint(length: int, window: int) -> Iterator[Window]:
    """Cut a row so that windows score without overlap: lm-eval's rolling windows.

    A window's first target sees one id, except in the last window, which reaches back to be full.

    >>> list(disjoint(7, window=4))
    [Window(start=0, end=4, first=1), Window(start=2, end=6, first=5)]
    """
    first = 1
    while first < length:
        end = min(first + window - 1, length - 1)
        yield Window(max(0, end - window), end, first)
        first = end + 1


def score(
    model: ScoredModel, rows: Sequence[TokenRow], signature: str, cut: tuple[int, int],
    batch_tokens: int,
) -> list[DocumentScore]:  # fmt: skip
    """Score the `own` ids of each row, read in windows that start a stride apart."""
    check_vocabulary(model, rows)
    found: dict[int, float] = {}
    with record.progress("score", sum(len(row.ids) for row in rows), "tokens") as bar:
        for one in row_scores(model, rows, partial(windows, window=cut[0], stride=cut[1]),
                              batch_tokens=batch_tokens):  # fmt: skip
            found[one.row] = one.nats
            bar.advance(len(rows[one.row].ids))
    return [finished(row, found[number], signature) for number, row in enumerate(rows)]


class RowScore(NamedTuple):
    """What a model needs for the scored ids of a row."""

    row: int
    nats: float
    is_greedy: bool
    """Whether each of them is the likeliest one at its place."""


Cut = Callable[[int], Iterator[Window]]
"""Windows of a row of so many ids."""


def row_scores(
    model: ScoredModel, rows: Sequence[TokenRow], cut: Cut, *, batch_tokens: int
) -> Iterator[RowScore]:
    """Score the `own` ids of each row; a row comes as soon as its last window is computed.

    Windows of like length share a batch, whatever row they are of. Rows with nothing to score come
    first, with 0 nats.
    """
    todo = todo_of(rows, cut)
    head = exact_head(model)
    left = Counter(number for number, _ in todo)
    nats, misses = (torch.zeros(len(rows), dtype=torch.float64) for _ in range(2))
    yield from (RowScore(number, 0.0, False) for number in range(len(rows)) if not left[number])
    with evaluating(model):
        for batch in batched(todo, batch_tokens):
            filled = fill(rows, batch)
            scored = batch_scores(model, head, filled)
            owners = torch.tensor(batch.rows)[:, None].expand(filled.own.shape)[filled.own]
            nats.index_add_(0, owners, scored.nats.double().cpu())
            misses.index_add_(0, owners, (~scored.is_greedy).double().cpu())
            left.subtract(batch.rows)
            for number in dict.fromkeys(batch.rows):
                if not left[number]:
                    yield RowScore(number, float(nats[number]), not misses[number])


def exact_head(model: ScoredModel) -> Float[Tensor, "V D"]:
    """The head in float32 or better."""
    return model.head.detach().to(torch.promote_types(model.head.dtype, torch.float32))


@torch.inference_mode()
def batch_scores(model: ScoredModel, head: Float[Tensor, "V D"], filled: "Filled") -> "TokenScores":
    """Score the own targets of a batch, row by row."""
    place = head.device
    hidden = model.forward(filled.ids.to(place))[filled.own.to(place)]  # (N, D)
    with torch.autocast(place.type, enabled=False):
        return token_scores(hidden.to(head.dtype), head, filled.targets[filled.own].to(place))


@contextmanager
def evaluating(model: ScoredModel) -> Iterator[None]:
    """Put a model into evaluation and, afterwards, back into what it was in."""
    was_training = model.training
    model.train(False)
    try:
        yield
    finally:
        model.train(was_training)


def check_vocabulary(model: ScoredModel, rows: Sequence[TokenRow]) -> None:
    """Raise if the head is no plain matrix, or a row has ids that it does not."""
    if not model.head.is_floating_point():
        raise ShapeError(
            f"The head must be a float matrix to score with; it is {model.head.dtype}."
        )
    for row in rows:
        if len(row.ids) and int(row.ids.max()) >= len(model.head):
            raise DataError(
                f"{row.name} has the id {int(row.ids.max())} and the model only {len(model.head)} "
                "ids; encode it with the model's tokenizer."
            )


def finished(row: TokenRow, nats: float, signature: str) -> DocumentScore:
    """The score of a row; DataError if it is not a finite number."""
    if not isfinite(nats):
        raise DataError(
            f"The model gives {row.name} {nats} nats; its weights or activations are not finite."
        )
    return DocumentScore(row.name, nats, row.bytes, int(row.own[1:].sum()), signature)


class WindowBatch(NamedTuple):
    """Windows that are computed together, and the rows that they are cut from."""

    rows: list[int]
    windows: list[Window]


def todo_of(rows: Sequence[TokenRow], cut: Cut) -> list[tuple[int, Window]]:
    """The windows that score anything, each with its row's number, longest first."""
    todo = []
    for number, row in enumerate(rows):
        parts = list(cut(len(row.ids)))
        targets = [target for part in parts for target in (part.first, part.end)]
        assert targets == sorted(targets), "a token would be scored twice"
        todo += [(number, part) for part in parts if row.own[part.first : part.end + 1].any()]
    return sorted(todo, key=lambda one: one[1].start - one[1].end)


def batched(todo: Sequence[tuple[int, Window]], batch_tokens: int) -> Iterator[WindowBatch]:
    """Group windows of like length, so that padding is little."""
    place = 0
    while place < len(todo):
        longest = todo[place][1].end - todo[place][1].start
        batch = todo[place : place + max(1, batch_tokens // longest)]
        yield WindowBatch([number for number, _ in batch], [window for _, window in batch])
        place += len(batch)


class Filled(NamedTuple):
    """Tensors of a batch, padded on the right, where causal attention does not look."""

    ids: Int[Tensor, "B T"]
    targets: Int[Tensor, "B T"]
    own: Tensor
    """bool (B, T): whether the target is scored here."""


def fill(rows: Sequence[TokenRow], batch: WindowBatch) -> Filled:
    """Copy the windows' ids and targets into rectangular tensors."""
    longest = max(window.end - window.start for window in batch.windows)
    shape = (len(batch.rows), longest)
    ids, targets = torch.zeros(shape, dtype=torch.int64), torch.zeros(shape, dtype=torch.int64)
    own = torch.zeros(shape, dtype=torch.bool)
    for place, (number, (start, end, first)) in enumerate(
        zip(batch.rows, batch.windows, strict=True)
    ):
        row, length = rows[number], end - start
        ids[place, :length] = row.ids[start:end]
        targets[place, :length] = row.ids[start + 1 : end + 1]
        own[place, first - start - 1 : length] = row.own[first : end + 1]
    return Filled(ids, targets, own)


class TokenScores(NamedTuple):
    """What is known of each target."""

    nats: Float[Tensor, " N"]
    """-log p."""
    is_greedy: Bool[Tensor, " N"]
    """Whether no other id is likelier."""


def token_scores(
    hidden: Float[Tensor, "M D"], head: Float[Tensor, "V D"], targets: Int[Tensor, " N"],
    rows: Int[Tensor, " N"] | None = None,
) -> TokenScores:  # fmt: skip
    """-log p of each target; logits exist for a chunk of hidden states at a time.

    rows  the hidden state that predicts each target, in rising order; None: the target's own

    >>> token_scores(torch.zeros(2, 3), torch.ones(8, 3), torch.tensor([0, 7])).nats.exp()
    tensor([8., 8.])
    """
    rows = torch.arange(len(targets), device=targets.device) if rows is None else rows
    chunk = max(1, CHUNK_LOGITS // head.shape[0])
    starts = torch.arange(0, len(hidden) + chunk, chunk, device=rows.device)
    bounds = torch.searchsorted(rows, starts).tolist()
    nats, greedy = hidden.new_empty(len(targets)), targets.new_empty(len(targets), dtype=torch.bool)
    for number, (first, end) in enumerate(pairwise(bounds)):
        start, here = number * chunk, slice(first, end)
        logits = hidden[start : start + chunk] @ head.T  # (chunk, V)
        place = rows[here] - start
        top, right = logits.amax(-1), logits[place, targets[here]]
        total = logits.sub_(top[:, None]).exp_().sum(-1).log_() + top
        nats[here] = total[place] - right
        greedy[here] = right >= top[place]
    return TokenScores(nats, greedy)
