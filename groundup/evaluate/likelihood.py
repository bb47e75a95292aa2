"""Likelihood: how many nats a model needs for text, each token scored exactly once.

A document is read as `<|endoftext|>` and its ids, so the first token is predicted too. What exceeds
the window is read in overlapping windows that start `stride` tokens apart; a token is scored in the
first window that reaches it. So tokens see everything before them up to `window` tokens, and later
ones at least the last `window - stride + 1`. A score's signature says all of that.

Bits per byte is nats / ln 2 / UTF-8 bytes: models with different tokenizers compare.
Logits exist for a chunk of tokens at a time, in float32 or better, whatever the model's dtype.
Source: Gao et al. 2020 (The Pile), arXiv:2101.00027, §3.1 (bits per byte).
"""

from collections.abc import Iterable, Iterator, Sequence
from math import isfinite
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundup.core import ConfigError, Conversation, DataError, ShapeError, Tokenizer, record
from groundup.tokenizer import render, template_digest, well_formed

CHUNK_LOGITS = 2**24
"""Logits that exist at one time: 64 MiB in float32."""

Ids = Sequence[int] | np.ndarray | Tensor


@runtime_checkable
class ScoredModel(Protocol):
    """What scoring needs of a model; groundup.model.Transformer has it."""

    training: bool

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


@torch.inference_mode()
def score(
    model: ScoredModel, rows: Sequence[TokenRow], signature: str, cut: tuple[int, int],
    batch_tokens: int,
) -> list[DocumentScore]:  # fmt: skip
    """Score the `own` ids of each row; windows of like length share a batch."""
    check_vocabulary(model, rows)
    device, was_training = model.head.device, model.training
    exact = torch.promote_types(model.head.dtype, torch.float32)
    head = model.head.to(exact)
    totals = torch.zeros(len(rows), dtype=torch.float64)
    model.train(False)
    try:
        batches = list(batched(rows, cut, batch_tokens))
        with record.progress("score", sum(b.read for b in batches), "tokens") as bar:
            for batch in batches:
                ids, targets, own = (part.to(device) for part in fill(rows, batch))
                hidden = model.forward(ids)[own]  # (N, D)
                with torch.autocast(device.type, enabled=False):
                    nats = token_nats(hidden.to(exact), head, targets[own])
                owners = torch.tensor(batch.rows)[:, None].expand(own.shape)[own.cpu()]
                totals.index_add_(0, owners, nats.double().cpu())
                bar.advance(batch.read)
    finally:
        model.train(was_training)
    return [
        finished(row, total, signature) for row, total in zip(rows, totals.tolist(), strict=True)
    ]


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

    @property
    def read(self) -> int:
        """Tokens read."""
        return sum(window.end - window.start for window in self.windows)


def batched(
    rows: Sequence[TokenRow], cut: tuple[int, int], batch_tokens: int
) -> Iterator[WindowBatch]:
    """Group the windows that score anything, longest first, so that padding is little."""
    todo = [
        (number, window)
        for number, row in enumerate(rows)
        for window in windows(len(row.ids), *cut)
        if row.own[window.first : window.end + 1].any()
    ]
    todo.sort(key=lambda one: one[1].start - one[1].end)
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


def token_nats(
    hidden: Float[Tensor, "N D"], head: Float[Tensor, "V D"], targets: Int[Tensor, " N"]
) -> Float[Tensor, " N"]:
    """-log p of each target, nats; logits exist for a chunk of tokens at a time.

    >>> token_nats(torch.zeros(2, 3), torch.ones(8, 3), torch.tensor([0, 7])).exp()
    tensor([8., 8.])
    """
    chunk = max(1, CHUNK_LOGITS // head.shape[0])
    found = hidden.new_empty(len(targets))
    for start in range(0, len(targets), chunk):
        here = slice(start, start + chunk)
        logits = hidden[here] @ head.T  # (chunk, V)
        right = logits.gather(-1, targets[here, None]).squeeze(-1)
        found[here] = logits.logsumexp(-1) - right
    return found
