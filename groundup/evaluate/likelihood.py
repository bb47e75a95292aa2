"""Likelihood: the nats a model assigns to text, each token scored exactly once.

A document is read as `<|endoftext|>` and its ids, so the first token is predicted too. A document
longer than the window is read in overlapping windows that start `stride` tokens apart; a token is
scored in the first window that contains it. So the context of a token is everything before it up to
`window` tokens, and at least `window - stride + 1` of them later on. The signature records this.

Bits per byte is nats / ln 2 / UTF-8 bytes, which compares models with different tokenizers.
Source: Gao et al. 2020 (The Pile), arXiv:2101.00027, §3.1 (bits per byte).
"""

import lzma
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from math import inf, isfinite, log
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from groundup.core import ConfigError, DataError, Reason, record
from groundup.generate import CachedModel, CachedTransformer, PairScore, TokenPair, score_pairs
from groundup.measure import Interval, bootstrap
from groundup.model import Transformer

IDS_AT_A_TIME = 2**20
"""Ids that exist as Python lists at one time."""

Ids = Sequence[int] | np.ndarray | Tensor


class DocumentScore(NamedTuple):
    """The score of one document."""

    name: str
    """The document's name; scores with equal names are resampled together."""
    nats: float
    bytes: int
    tokens: int
    """Number of tokens scored."""
    signature: str
    """How it was scored; only scores with equal signatures are comparable."""


class Window(NamedTuple):
    """Ids [start, end) are read; the targets [first, end] are scored."""

    start: int
    end: int
    first_target: int


def score_documents(
    model: Transformer, documents: Iterable[tuple[str, Ids, int]], *, bos: int,
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
    stride, rows = check_stride(window, stride), []
    for name, ids, size in documents:
        if size <= 0 < len(ids):
            raise DataError(f"{name} has {len(ids)} tokens and {size} bytes; remove it.")
        row = np.concatenate([[bos], np.asarray(ids)]).astype(np.int64)
        if (highest := int(row.max())) >= (known := len(model.head)):
            raise DataError(
                f"{name} has the id {highest} and the model has {known}; use the model's tokenizer."
            )
        rows.append((name, row, size))
    signature = f"document|first:after_bos|{_window_signature(model, window, stride)}"
    split = partial(sliding_windows, window=window, stride=stride)
    cached, found = CachedTransformer(model), dict[int, DocumentScore]()
    with record.progress("score", sum(len(row) for _, row, _ in rows), "tokens") as bar:
        for indices in _slices([len(row) for _, row, _ in rows]):
            ids = [rows[i][1].tolist() for i in indices]
            for number, nats, _, token_nats in score_windows(
                cached, ids, split, batch_tokens=batch_tokens, sharing="batch"
            ):
                name, row, size = rows[indices[number]]
                if not isfinite(nats):
                    raise DataError(f"{name} scores {nats} nats; check the model's weights.")
                found[indices[number]] = DocumentScore(name, nats, size, len(token_nats), signature)
                bar.advance(len(row))
    return [found[number] for number in range(len(rows))]


def check_stride(window: int, stride: int | None) -> int:
    """The stride, half a window by default; ConfigError if windows would skip tokens."""
    stride = max(1, window // 2) if stride is None else stride
    if not 1 <= stride <= window:
        raise ConfigError(f"stride={stride} must lie between 1 and window={window}.")
    return stride


def _window_signature(model: Transformer, window: int, stride: int) -> str:
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


def _slices(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices of consecutive rows with IDS_AT_A_TIME ids together."""
    indices, size = [], 0
    for index, length in enumerate(lengths):
        indices, size = [*indices, index], size + length
        if size >= IDS_AT_A_TIME:
            yield indices
            indices, size = [], 0
    if indices:
        yield indices


def score_windows(
    model: CachedModel, rows: Sequence[list[int]], split: Callable[[int], Iterator[Window]], *,
    batch_tokens: int, sharing: Literal["prefix", "batch", "none"],
) -> Iterator[PairScore]:  # fmt: skip
    """Score each row's ids after the first; each is yielded once its last window is computed.

    split  the windows of a row, given its length

    See `score_pairs` for the others.
    """
    pairs, owners = list[TokenPair](), list[int]()
    for number, row in enumerate(rows):
        for start, end, first in split(len(row)):
            pairs.append(TokenPair(row[start:first], row[first : end + 1]))
            owners.append(number)
    remaining = Counter(owners)
    parts: list[list[PairScore]] = [[] for _ in rows]
    yield from (PairScore(i, 0.0, False, []) for i in range(len(rows)) if not remaining[i])
    for score in score_pairs(model, pairs, batch_tokens=batch_tokens, sharing=sharing):
        number = owners[score.index]
        parts[number].append(score)
        remaining[number] -= 1
        if not remaining[number]:
            nats = [value for part in parts[number] for value in part.token_nats]
            yield PairScore(number, sum(nats), all(part.is_greedy for part in parts[number]), nats)


NATS_PER_BIT = log(2)
NON_NEGATIVE = (0.0, inf)


def bits_per_byte(
    scores: Sequence[DocumentScore], *, confidence: float = 0.95
) -> Interval | Reason:
    """Bits per byte of all documents together, resampled by name.

    >>> def score(name, bits): return DocumentScore(name, bits * log(2), 10, 4, "")
    >>> print(bits_per_byte([score("a", 8.0), score("b", 12.0)]).estimate)
    1.0
    """
    groups = [score.name for score in scores]
    if (count := len(set(groups))) < 2:
        text = f"An interval needs at least 2 documents or groups; there are {count}."
        return Reason("too_few_groups", text)
    bits = np.array([score.nats / NATS_PER_BIT for score in scores])
    size = np.array([score.bytes for score in scores], dtype=np.float64)
    return bootstrap(bits, groups, weights=size, confidence=confidence, limits=NON_NEGATIVE)


def score_compressor(documents: Iterable[tuple[str, str]]) -> list[DocumentScore]:
    """Score documents, given as (name, text), by xz: a baseline without a model.

    Each document is compressed alone, at the highest preset, without the container's header. Sizes
    are in nats, as a model's are.
    """
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}]
    scores = []
    for name, text in documents:
        data = text.encode()
        size = len(lzma.compress(data, format=lzma.FORMAT_RAW, filters=filters))
        nats = size * 8 * NATS_PER_BIT
        scores.append(DocumentScore(name, nats, len(data), size, "compressor|xz|preset:9e|alone"))
    return scores
